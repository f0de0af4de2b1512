
// The choices in the part of the address behind "#": a link or a bookmark shows what was seen. Only
// what differs from the first view is written.
class Address {
  // `first` has the values of the first view: texts and truth values.
  constructor(first) {
    this.first = { ...first };
  }

  // All choices. Names and values that mean nothing here are passed over.
  read() {
    const choices = { ...this.first };
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (typeof this.first[name] === "boolean") {
        choices[name] = value === "true";
      } else if (Object.hasOwn(this.first, name)) {
        choices[name] = value;
      }
    }
    return choices;
  }

  write(choices) {
    const changed = Object.entries(choices).filter(([name, value]) => value !== this.first[name]);
    const text = new URLSearchParams(changed.map(([name, value]) => [name, String(value)])).toString();
    if (text !== location.hash.slice(1)) {
      history.replaceState(null, "", `#${text}`);
    }
  }
}
