
// Makes elements. Text is set as text: names never become markup.

const byId = (id) => document.getElementById(id);

// Parts of tables say what they are: on small screens they are laid out as something else, and then
// browsers no longer know.
const TABLE_ROLES = {
  tr: () => "row",
  td: () => "cell",
  th: (properties) => (properties.scope === "row" ? "rowheader" : "columnheader"),
};

// An element with properties and children; strings are text.
function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  if (tag in TABLE_ROLES) {
    made.setAttribute("role", TABLE_ROLES[tag](properties));
  }
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.includes("-") || name === "role" || name === "scope") {
      made.setAttribute(name, value);
    } else {
      made[name] = value;
    }
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

const span = (className, text) => element("span", { className }, text);

// A stack of frames, oldest first. The allocation comes first, where a reader looks first.
function stackList(stack) {
  const list = element("ol");
  for (const frame of stack.toReversed()) {
    const name = functionOf(frame);
    const place = placeOf(frame);
    const source = sourceOf(frame);
    list.append(
      element(
        "li",
        {},
        place,
        name === place ? null : span("function", name),
        source ? span("source", source) : null,
      ),
    );
  }
  return list;
}
