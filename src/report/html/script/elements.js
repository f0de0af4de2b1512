
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

// Text in which every occurrence of `query`, in lower case, is marked.
function marked(text, query) {
  const pieces = [];
  const lower = query === "" ? "" : text.toLowerCase();
  let start = 0;
  // Lower case may have another length, and places would not fit.
  while (query !== "" && lower.length === text.length) {
    const at = lower.indexOf(query, start);
    if (at < 0) {
      break;
    }
    pieces.push(text.slice(start, at), element("mark", {}, text.slice(at, at + query.length)));
    start = at + query.length;
  }
  pieces.push(text.slice(start));
  return pieces;
}

const span = (className, text) => element("span", { className }, text);

// The stack whose most recent node is `node`, oldest frame first.
function stackList(selection, node) {
  const list = element("ol");
  for (const frame of selection.stack(node)) {
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
