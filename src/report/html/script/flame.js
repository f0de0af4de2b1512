
// The flame graph: draws calls as boxes as wide as what they hold, and answers mouse and keys.

const ROW = 22;
const MOST_ROWS = 600;
// Boxes narrower than this, in pixels, are drawn as one.
const NARROW = 1.5;
const PADDING = 6;

class Flame {
  #canvas = byId("flame");
  #context = this.#canvas.getContext("2d");
  // Boxes from top to bottom, in each row from left to right.
  #rows = [];
  #hovered = null;

  // `changed` is called when another call is selected or zoomed in to.
  constructor(colors, changed) {
    this.colors = colors;
    this.changed = changed;
    this.query = new Query("", false);
    const canvas = this.#canvas;
    canvas.addEventListener("pointermove", (event) => this.#hover(event));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("click", (event) => this.#click(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.draw());
    canvas.addEventListener("blur", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  // Shows another tree, from its root.
  show(tree) {
    this.tree = tree;
    this.zoomed = tree.root;
    this.selected = null;
    this.draw();
  }

  zoom(call) {
    this.zoomed = call;
    this.selected = call.isRoot ? null : call;
    this.draw();
    this.changed();
  }

  // The boxes of what is zoomed in to, below its callers.
  #layout(width) {
    this.#rows = this.zoomed.path.map((call) => [{ call, x: 0, width }]);
    const place = (call, x, scale) => {
      if (call.depth + 1 >= this.zoomed.depth + MOST_ROWS) {
        return;
      }
      let left = x;
      let rest = 0;
      let others = 0;
      for (const child of this.tree.children(call)) {
        const wide = child.width * scale;
        if (wide < NARROW) {
          rest += wide;
          others += 1;
          continue;
        }
        this.#row(child.depth).push({ call: child, x: left, width: wide });
        place(child, left, scale);
        left += wide;
      }
      if (rest >= 0.5) {
        this.#row(call.depth + 1).push({ call: null, x: left, width: rest, others });
      }
    };
    if (this.zoomed.width > 0) {
      place(this.zoomed, 0, width / this.zoomed.width);
    }
  }

  #row(depth) {
    while (this.#rows.length <= depth) {
      this.#rows.push([]);
    }
    return this.#rows[depth];
  }

  draw() {
    const width = this.#canvas.parentElement.clientWidth;
    if (this.tree === undefined || width === 0) {
      return;
    }
    this.#layout(width);
    const height = Math.max(this.#rows.length, 1) * ROW;
    const scale = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    this.#canvas.style.height = `${height}px`;
    const context = this.#context;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = `12px ${getComputedStyle(document.documentElement).getPropertyValue("--text")}`;
    context.textBaseline = "middle";
    this.#rows.forEach((row, depth) => row.forEach((box) => this.#box(box, depth * ROW)));
    this.#outline();
  }

  #box({ call, x, width }, y) {
    const context = this.#context;
    const color = this.#color(call);
    context.globalAlpha = call !== null && call.depth < this.zoomed.depth ? 0.65 : 1;
    context.fillStyle = `rgb(${color.join(" ")})`;
    context.fillRect(x, y, Math.max(width - 1, 0.75), ROW - 1);
    if (call !== null && width > 28) {
      context.fillStyle = inkOn(color);
      this.#write(call, x + PADDING, y + ROW / 2, width - 2 * PADDING);
    }
    context.globalAlpha = 1;
  }

  // The name, and what the call holds if there is room for that too.
  #write(call, x, y, room) {
    const context = this.#context;
    const name = this.#label(call, room);
    context.fillText(name, x, y);
    const left = x + context.measureText(name).width + 12;
    const { tree } = this;
    const size = amount(tree.metric, tree.amount(call, NEW));
    if (!name.endsWith("…") && room > 120 && left + context.measureText(size).width <= x + room) {
      context.globalAlpha *= 0.65;
      context.fillText(size, left, y);
    }
  }

  #color(call) {
    if (call === null) {
      return this.colors.rgb("--same");
    }
    if (!call.isRoot && this.query.findsFrame(call.frame)) {
      return this.colors.rgb("--mark");
    }
    if (isDiff) {
      return this.colors.ofChange(call.width === 0 ? 0 : this.tree.change(call) / call.width);
    }
    return this.colors.rgb(call.isRoot ? "--standard" : this.colors.ofFrame(call.frame));
  }

  #label(call, room) {
    const context = this.#context;
    const change = this.tree.change(call);
    let before = change === 0 ? "" : `${signed(this.tree.metric, change)}  `;
    // A number that is cut short is another number: then its sign alone.
    if (context.measureText(before).width > 0.6 * room) {
      before = change < 0 ? `${MINUS} ` : "+ ";
    }
    const forms = call.isRoot ? [rootName(this.tree)] : shortForms(functionOf(call.frame));
    for (const form of forms) {
      // Measuring text costs time; a character is 4 pixels wide at least.
      if ((before.length + form.length) * 4 < room && context.measureText(before + form).width <= room) {
        return before + form;
      }
    }
    const text = before + forms[forms.length - 1];
    let kept = Math.min(text.length, Math.floor(room / 4));
    while (kept > 1 && context.measureText(`${text.slice(0, kept)}…`).width > room) {
      kept -= 1;
    }
    return kept > 1 ? `${text.slice(0, kept)}…` : "";
  }

  // A frame around what is selected and what the mouse is on.
  #outline() {
    const context = this.#context;
    const focused = document.activeElement === this.#canvas;
    for (const [call, thick] of [[this.#hovered, 1], [this.selected, focused ? 2.5 : 1.5]]) {
      const box = call === null ? null : this.box(call);
      if (box) {
        context.lineWidth = thick;
        context.strokeStyle = this.colors.css("--ink");
        const inset = thick / 2;
        context.strokeRect(box.x + inset, box.y + inset, Math.max(box.width - 1 - thick, 1), ROW - 1 - thick);
      }
    }
  }

  // Where a call is drawn, in pixels; null if it is not.
  box(call) {
    const found = this.#rows[call.depth]?.find((box) => box.call === call);
    return found ? { ...found, y: call.depth * ROW } : null;
  }

  #at(event) {
    const row = this.#rows[Math.floor(event.offsetY / ROW)] ?? [];
    const hit = row.find((box) => event.offsetX >= box.x && event.offsetX < box.x + box.width);
    return hit ?? null;
  }

  #hover(event) {
    const box = event === null || event.pointerType === "touch" ? null : this.#at(event);
    const call = box?.call ?? null;
    if (call !== this.#hovered) {
      this.#hovered = call;
      this.draw();
    }
    showTip(this.tree, box, event);
  }

  #click(event) {
    const call = this.#at(event)?.call ?? null;
    if (call !== null) {
      this.#hovered = null;
      showTip(this.tree, null);
      this.zoom(call);
    }
  }

  #key(event) {
    const from = this.selected ?? this.zoomed;
    const siblings = from.isRoot ? [from] : this.#visible(from.parent);
    const at = siblings.indexOf(from);
    const moves = {
      ArrowDown: () => this.#visible(from)[0],
      ArrowUp: () => from.parent,
      ArrowRight: () => siblings[at + 1],
      ArrowLeft: () => siblings[at - 1],
    };
    if (event.key in moves) {
      this.#move(moves[event.key]());
    } else if (event.key === "Enter" || event.key === " ") {
      this.zoom(from);
    } else if ((event.key === "Escape" || event.key === "Backspace") && !this.zoomed.isRoot) {
      this.zoom(this.zoomed.parent);
    } else if (event.key === "Home") {
      this.zoom(this.tree.root);
    } else {
      return;
    }
    event.preventDefault();
  }

  // What is drawn below a call.
  #visible(call) {
    return this.tree.children(call).filter((child) => this.box(child) !== null);
  }

  #move(call) {
    if (!call) {
      return;
    }
    if (call.depth < this.zoomed.depth) {
      this.zoomed = call;
    }
    this.selected = call;
    this.draw();
    this.changed();
  }
}
