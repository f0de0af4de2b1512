
// Colors, from the style sheet: crates by hue, changes from blue to red.

const CRATE_COLOURS = 7;

class Colors {
  #values = new Map();
  #crates = new Map();

  #ownCode = false;

  // `crates` are the crates in the order of their size: the largest get colors of their own.
  give(crates, ownCode) {
    this.#ownCode = ownCode;
    this.#crates.clear();
    crates.slice(0, CRATE_COLOURS).forEach((crate, index) => {
      this.#crates.set(crate, `--crate-${index + 1}`);
    });
  }

  // Forgets what the style sheet said: the theme has changed.
  forget() {
    this.#values.clear();
  }

  // A variable of the style sheet as numbers of red, green and blue.
  rgb(variable) {
    let value = this.#values.get(variable);
    if (value === undefined) {
      const probe = element("i");
      probe.style.color = `var(${variable})`;
      document.body.append(probe);
      value = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
      probe.remove();
      this.#values.set(variable, value);
    }
    return value;
  }

  css(variable) {
    return `rgb(${this.rgb(variable).join(" ")})`;
  }

  // The variable of a frame's color.
  ofFrame(frame) {
    if (frame === CUT) {
      return "--standard";
    }
    return this.#crates.get(frames.crate[frame]) ?? (isStandard(frame) ? "--standard" : "--other");
  }

  // `part` is from -1, all is gone, to 1, all is new.
  ofChange(part) {
    const same = this.rgb("--same");
    const full = this.rgb(part < 0 ? "--shrink" : "--grow");
    // A small part must differ from none, and a half from the whole.
    const weight = part === 0 ? 0 : Math.max(0.08, Math.sqrt(Math.min(1, Math.abs(part))));
    return same.map((channel, index) => Math.round(channel + (full[index] - channel) * weight));
  }

  legend() {
    const entry = (name, color) => {
      const swatch = element("i");
      swatch.style.background = color;
      return element("li", {}, swatch, name);
    };
    if (isDiff) {
      const shades = [
        ["− gone", -1],
        ["− shrinks", -0.2],
        ["no change", 0],
        ["+ grows", 0.2],
        ["+ new", 1],
      ];
      return shades.map(([name, part]) => entry(name, `rgb(${this.ofChange(part).join(" ")})`));
    }
    const crates = [...this.#crates].map(([crate, variable]) =>
      entry(strings[crate] || UNKNOWN, this.css(variable)),
    );
    const other = entry(this.#ownCode ? "no own code" : "other", this.css("--other"));
    return [...crates, this.#ownCode ? "" : entry("standard library", this.css("--standard")), other];
  }
}

// Black or white, whichever is better read on a color.
function inkOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#14181d" : "#f4f6f8";
}
