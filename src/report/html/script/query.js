
// What a reader looks for: a text, or a regular expression. Case does not matter.
class Query {
  #pattern = null;
  #frames = new Map();

  constructor(text, isPattern) {
    this.text = text.trim();
    // Why the regular expression is none; it then finds nothing.
    this.error = "";
    if (this.text === "") {
      return;
    }
    try {
      this.#pattern = new RegExp(isPattern ? this.text : Query.escaped(this.text), "gi");
    } catch (error) {
      this.error = error.message;
    }
  }

  // A regular expression that finds `text`.
  static escaped(text) {
    return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  }

  get isEmpty() {
    return this.text === "";
  }

  finds(text) {
    if (this.#pattern === null) {
      return false;
    }
    this.#pattern.lastIndex = 0;
    return this.#pattern.test(text);
  }

  // True if a name of the frame is found.
  findsFrame(frame) {
    let hit = this.#frames.get(frame);
    if (hit === undefined) {
      const names = [functionOf(frame), placeOf(frame), frame === CUT ? "" : crateOf(frame)];
      hit = names.some((name) => this.finds(name));
      this.#frames.set(frame, hit);
    }
    return hit;
  }

  // The pieces of `text`, with marks around what is found.
  marked(text) {
    const pieces = [];
    let start = 0;
    for (const match of this.#pattern === null ? [] : text.matchAll(this.#pattern)) {
      if (match[0] !== "") {
        pieces.push(text.slice(start, match.index), element("mark", {}, match[0]));
        start = match.index + match[0].length;
      }
    }
    pieces.push(text.slice(start));
    return pieces;
  }
}
