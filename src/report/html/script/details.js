
// What is said of one call of the flame graph: below the mouse in short, below the graph at length.

const MOST_LINES = 12;

function rootName(tree) {
  return tree.inverted ? "all allocations" : "all";
}

const nameOf = (tree, call) => (call.isRoot ? rootName(tree) : functionOf(call.frame));

// What `call` holds, as a sentence; in a diff how it changed.
function summary(tree, call) {
  const { metric } = tree;
  if (isDiff) {
    const [now, before] = [tree.amount(call, NEW), tree.amount(call, OLD)];
    return `${signed(metric, now - before)}: ${spoken(metric, before)} before, ${spoken(metric, now)} now`;
  }
  const size = tree.amount(call, NEW);
  return `${spoken(metric, size)}, ${percent(size, tree.root.width)} of what is shown`;
}

// `box` is what the mouse is on, if it is on anything.
function showTip(tree, box, event) {
  const tip = byId("tip");
  tip.hidden = box === null;
  if (box === null) {
    return;
  }
  tip.replaceChildren(...(box.call === null ? others(box.others) : tipOf(tree, box.call)));
  const graph = tip.parentElement;
  const left = Math.min(event.offsetX + 14, graph.clientWidth - tip.offsetWidth);
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${event.offsetY + 18}px`;
}

// Calls too narrow to be drawn one by one.
function others(count) {
  const calls = `${unsignedCount(count)} smaller ${count === 1 ? "call" : "calls"}`;
  return [element("p", {}, calls), element("p", { className: "faint" }, "The table shows each.")];
}

function tipOf(tree, call) {
  const lines = call.isRoot ? [] : tree.lines(call);
  const more = lines.length > 1 ? ` and ${lines.length - 1} more` : "";
  return [
    element("p", { className: "name" }, nameOf(tree, call)),
    element("p", {}, summary(tree, call)),
    lines.length > 0 ? element("p", { className: "faint" }, placeOf(lines[0].frame) + more) : "",
  ];
}

function amounts(tree, call) {
  const { metric } = tree;
  const other = metric === BYTES ? BLOCKS : BYTES;
  const pair = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
  if (isDiff) {
    const change = (of, which) => of.call(tree, call, NEW, which) - of.call(tree, call, OLD, which);
    return [
      pair("Change", signed(metric, change(tree.amount, metric))),
      pair("Now", amount(metric, tree.amount(call, NEW))),
      pair("Before", amount(metric, tree.amount(call, OLD))),
      pair(other === BLOCKS ? "Blocks" : "Bytes", signed(other, change(tree.amount, other))),
      ...(tree.inverted ? [] : [pair("Own change", signed(metric, change(tree.ownAmount, metric)))]),
    ];
  }
  const size = tree.amount(call, NEW);
  return [
    pair(tree.inverted ? "Allocated" : "With callees", amount(metric, size)),
    pair("Share", percent(size, tree.root.width)),
    pair(other === BLOCKS ? "Blocks" : "Bytes", amount(other, tree.amount(call, NEW, other))),
    ...(tree.inverted ? [] : [pair("Own", amount(metric, tree.ownAmount(call, NEW)))]),
  ];
}

function lineRow(tree, { frame, sums }) {
  const size = isDiff ? signed(tree.metric, sums[NEW] - sums[OLD]) : amount(tree.metric, sums[NEW]);
  const source = sourceOf(frame);
  return element(
    "tr",
    {},
    element("td", { className: "number" }, size),
    element("td", {}, span("source", placeOf(frame)), source ? element("div", { className: "source faint" }, source) : ""),
  );
}

function filterButtons(call, filter) {
  const button = (name, text) => {
    const made = element("button", { type: "button" }, text);
    made.addEventListener("click", () => filter(name, functionOf(call.frame)));
    return made;
  };
  return element("p", { className: "actions" }, button("focus", "Focus on it"), button("ignore", "Ignore it"));
}

function aboutCall(tree, call) {
  if (call.frame === CUT) {
    return "";
  }
  const isWithoutOwn = call.frame === calls[noOwnCode];
  return isWithoutOwn ? cratesWithoutOwnCode(tree.selection, tree.metric) : `crate ${crateOf(call.frame)}`;
}

// `filter` is called with the name of a filter and of the function that it is to look for.
function showDetails(tree, call, filter) {
  const box = byId("details");
  if (call === null || call.isRoot) {
    box.replaceChildren();
    return;
  }
  const lines = tree.lines(call);
  const rows = lines.slice(0, MOST_LINES).map((line) => lineRow(tree, line));
  const left = lines.length - rows.length;
  box.replaceChildren(
    element("h2", {}, functionOf(call.frame)),
    element("p", { className: "faint" }, aboutCall(tree, call)),
    element("dl", { className: "amounts" }, ...amounts(tree, call)),
    element("table", { className: "lines" }, element("tbody", {}, ...rows)),
    left > 0 ? element("p", { className: "faint" }, `${left} more lines`) : "",
    call.frame === CUT ? "" : filterButtons(call, filter),
  );
}
