
// How large the blocks are: a row for each class of sizes, each twice as large as the one before.

function showSizes(selection, metric) {
  const classes = [];
  for (let size = 0; size < 65; size += 1) {
    if (selection.sizes.some((sizes) => sizes[BLOCKS][size] !== 0)) {
      classes.push(size);
    }
  }
  // Sizes between two that occur are shown too: a gap tells something.
  const range = [];
  for (let size = classes[0] ?? 0; size <= (classes.at(-1) ?? -1); size += 1) {
    range.push(size);
  }
  const value = (size, which) =>
    isDiff
      ? selection.sizes[NEW][which][size] - selection.sizes[OLD][which][size]
      : selection.sizes[NEW][which][size];
  const longest = Math.max(1, ...range.map((size) => Math.abs(value(size, metric))));
  const sign = isDiff ? "±" : "";
  const headings = [["Block size", ""], [`${sign}Blocks`, "number"], [`${sign}Bytes`, "number"]];
  const table = byId("sizes");
  const cells = headings.map(([text, className]) => element("th", { scope: "col", className }, text));
  const bars = element("th", { scope: "col", className: "wide" }, metric === BYTES ? "Bytes in blocks of this size" : "Blocks of this size");
  table.tHead.replaceChildren(element("tr", {}, ...cells, bars));
  const rows = range.map((size) => sizeRow(size, (which) => value(size, which), metric, longest));
  if (rows.length === 0) {
    rows.push(element("tr", {}, element("td", { className: "none", colSpan: 4 }, "No live blocks.")));
  }
  table.tBodies[0].replaceChildren(...rows);
}

function sizeRow(size, value, metric, longest) {
  const number = (which) => {
    const text = isDiff ? signed(which, value(which)) : amount(which, value(which));
    const cell = element("td", { className: "number" }, text);
    if (isDiff && value(which) !== 0) {
      cell.classList.add(value(which) > 0 ? "grow" : "shrink");
    }
    return cell;
  };
  const fill = element("i");
  if (isDiff) {
    fill.className = value(metric) < 0 ? "shrink" : "grow";
  }
  fill.style.width = `${(100 * Math.abs(value(metric))) / longest}%`;
  return element(
    "tr",
    {},
    element("th", { scope: "row", className: "number" }, className(size)),
    number(BLOCKS),
    number(BYTES),
    element("td", { className: "wide" }, element("span", { className: "bar" }, fill)),
  );
}
