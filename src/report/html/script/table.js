
// The sortable table of groups.

const ROWS_AT_ONCE = 100;
const STACKS_SHOWN = 3;

// A column of numbers: `value` of a group sorts, `text` is shown.
function columnsFor(metric, by) {
  const other = metric === BYTES ? BLOCKS : BYTES;
  const title = metric === BYTES ? "Bytes" : "Blocks";
  const otherTitle = metric === BYTES ? "Blocks" : "Bytes";
  const cumulative = by !== "traceback" && !isLabel(by);
  if (isDiff) {
    const change = (name, title, sums, which, lesser) => ({
      name,
      title,
      lesser,
      value: (group) => Group.change(group[sums], which),
      rank: (group) => Math.abs(Group.change(group[sums], which)),
      text: (group) => signed(which, Group.change(group[sums], which)),
      signed: true,
    });
    const plain = (name, title, snapshot, lesser) => ({
      name,
      title,
      lesser,
      value: (group) => group.own[snapshot][metric],
      text: (group) => amount(metric, group.own[snapshot][metric]),
    });
    return [
      change("own", `±${title}`, "own", metric),
      ...(cumulative ? [change("all", "±With callees", "all", metric)] : []),
      plain("new", "New", NEW, true),
      plain("old", "Old", OLD, true),
      change("other", `±${otherTitle}`, "own", other, "kept"),
    ];
  }
  const average = (group) =>
    group.own[NEW][BLOCKS] === 0 ? -1 : group.own[NEW][BYTES] / group.own[NEW][BLOCKS];
  const plain = (name, title, sums, which, lesser) => ({
    name,
    title,
    lesser,
    value: (group) => group[sums][NEW][which],
    text: (group) => amount(which, group[sums][NEW][which]),
  });
  return [
    { ...plain("own", title, "own", metric), strong: true },
    { name: "share", title: "Share", lesser: true, share: true, value: (group) => group.own[NEW][metric] },
    ...(cumulative ? [plain("all", "With callees", "all", metric)] : []),
    plain("other", otherTitle, "own", other, "kept"),
    {
      name: "average",
      title: "Average",
      lesser: true,
      value: average,
      text: (group) => (average(group) < 0 ? "–" : unsignedSize(average(group))),
    },
  ];
}

// Lesser columns are left out where there is little room, unless they are to be kept there.
function numberClass(lesser) {
  return `number ${lesser ? "lesser" : ""} ${lesser === "kept" ? "kept" : ""}`.trim();
}

class Table {
  #body = byId("table").tBodies[0];
  #head = byId("table").tHead;
  #limit = ROWS_AT_ONCE;
  #order = { column: "own", descending: true };

  constructor(find) {
    // Called with the name that is to be found in the flame graph.
    this.find = find;
    byId("more").addEventListener("click", () => {
      const first = this.#body.querySelectorAll("tr.row").length;
      this.#limit += 5 * ROWS_AT_ONCE;
      this.#fill();
      this.#body.querySelectorAll("tr.row")[first]?.querySelector("button")?.focus();
    });
  }

  show(selection, metric, by, query) {
    Object.assign(this, { selection, metric, by, query });
    this.columns = columnsFor(metric, by);
    if (!this.columns.some((column) => column.name === this.#order.column)) {
      this.#order = { column: "own", descending: true };
    }
    this.groups = groupsBy(by, selection).filter((group) => this.#isFound(group));
    this.#limit = ROWS_AT_ONCE;
    this.#sort();
    this.#heading();
    this.#fill();
  }

  #isFound(group) {
    if (isDiff && !group.hasChanged) {
      return false;
    }
    if (this.query.isEmpty) {
      return true;
    }
    if (this.by === "traceback") {
      return this.selection.stack(group.node).some((frame) => this.query.findsFrame(frame));
    }
    return this.query.finds(this.#name(group)) || this.query.finds(aboutGroup(this.by, group));
  }

  #sort() {
    const { column: name, descending } = this.#order;
    const direction = descending ? -1 : 1;
    const byName = (a, b) => this.#name(a).localeCompare(this.#name(b), "en");
    if (name === "name") {
      this.groups.sort((a, b) => -direction * byName(b, a));
      return;
    }
    const column = this.columns.find((column) => column.name === name);
    const value = column.rank ?? column.value;
    this.groups.sort((a, b) => direction * (value(a) - value(b)) || byName(a, b));
  }

  #name(group) {
    return nameOfGroup(this.by, group);
  }

  #heading() {
    const heading = (name, title, className) => {
      const { column, descending } = this.#order;
      const button = element("button", { type: "button" }, title);
      button.addEventListener("click", () => {
        this.#order = { column: name, descending: column === name ? !descending : name !== "name" };
        this.#sort();
        this.#heading();
        this.#fill();
        this.#head.querySelector("[aria-sort] button").focus();
      });
      const cell = element("th", { scope: "col", className }, button);
      if (column === name) {
        cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      }
      return cell;
    };
    const numbers = this.columns.map(({ name, title, lesser }) =>
      heading(name, title, numberClass(lesser)),
    );
    const place = this.by === "traceback" ? "Most recent call" : this.by[0].toUpperCase() + this.by.slice(1);
    const last = heading("name", place, "wide");
    this.#head.replaceChildren(element("tr", {}, ...numbers, last));
  }

  #fill() {
    const shown = this.groups.slice(0, this.#limit);
    this.#body.replaceChildren(...shown.map((group) => this.#row(group)));
    if (shown.length === 0) {
      const nothing = isDiff ? "No change." : memory === "" ? "No live blocks." : "No blocks.";
      const text = this.query.isEmpty ? nothing : "Nothing matches the search.";
      const cell = element("td", { className: "none", colSpan: this.columns.length + 1 }, text);
      this.#body.append(element("tr", {}, cell));
    }
    byId("more").hidden = shown.length === this.groups.length;
    byId("rows").textContent = `${unsignedCount(shown.length)} of ${unsignedCount(this.groups.length)} rows`;
  }

  #row(group) {
    const cells = this.columns.map((column) => this.#cell(column, group));
    const button = element(
      "button",
      { type: "button", className: "place", "aria-expanded": "false" },
      element("span", {}, ...this.query.marked(this.#name(group))),
    );
    const isWithoutOwn = group.node === noOwnCode && !isLabel(this.by);
    const about = isWithoutOwn ? cratesWithoutOwnCode(this.selection, this.metric) : aboutGroup(this.by, group);
    const source = this.by === "line" || this.by === "traceback" ? sourceOf(group.frame) : "";
    const place = element(
      "th",
      { scope: "row", className: "wide" },
      button,
      about ? element("div", { className: "sub" }, ...this.query.marked(about)) : "",
      source ? element("div", { className: "source" }, source) : "",
    );
    const row = element("tr", { className: "row" }, ...cells, place);
    button.addEventListener("click", () => this.#toggle(row, button, group));
    return row;
  }

  #cell(column, group) {
    const className = numberClass(column.lesser);
    if (column.share) {
      const whole = this.selection.total[NEW][this.metric];
      const bar = element("i");
      bar.style.transform = `scaleX(${whole === 0 ? 0 : column.value(group) / whole})`;
      return element("td", { className: `${className} share` }, percent(column.value(group), whole), bar);
    }
    const cell = element("td", { className }, column.text(group));
    if (column.signed && column.value(group) !== 0) {
      cell.classList.add(column.value(group) > 0 ? "grow" : "shrink");
    }
    cell.classList.toggle("strong", column.strong === true || (isDiff && column.name === "own"));
    return cell;
  }

  // The stacks behind a row, below it.
  #toggle(row, button, group) {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      row.nextElementSibling.remove();
      return;
    }
    const cell = element("td", { colSpan: this.columns.length + 1 }, this.#stacks(group));
    row.after(element("tr", { className: "inner" }, cell));
  }

  #stacks(group) {
    const box = element("div", { className: "stacks" });
    const stacks = this.#stacksOf(group);
    for (const { leaf, sums } of stacks.slice(0, STACKS_SHOWN)) {
      const size = isDiff ? signed(this.metric, sums[NEW] - sums[OLD]) : spoken(this.metric, sums[NEW]);
      if (this.by !== "traceback" || group.node === noOwnCode) {
        box.append(element("h3", {}, size));
      }
      // What has no own code would have nothing to show.
      const isWhole = group.node === noOwnCode && !isLabel(this.by);
      box.append(stackList(isWhole ? Selection.wholeStack(leaf) : this.selection.stack(leaf)));
    }
    const others = stacks.length - STACKS_SHOWN;
    if (others > 0) {
      const text = `${unsignedCount(others)} more ${others === 1 ? "stack" : "stacks"}`;
      box.append(element("p", { className: "faint" }, text));
    }
    if (!isLabel(this.by)) {
      const name = this.by === "traceback" ? functionOf(group.frame) : this.#name(group);
      const find = element("button", { type: "button" }, "Find in flame graph");
      find.addEventListener("click", () => this.find(name));
      box.append(find);
    }
    return box;
  }

  // The stacks of a group and what they hold of it by snapshot, the largest first.
  #stacksOf(group) {
    const held = new Map();
    const addSites = (leafOf) => this.selection.eachSite((which, site, node) => {
      const sites = snapshots[which];
      const leaf = leafOf(sites, site, node);
      if (leaf !== 0) {
        const sums = held.get(leaf) ?? snapshots.map(() => 0);
        sums[which] += (this.metric === BYTES ? sites.bytes : sites.blocks)[site];
        held.set(leaf, sums);
      }
    });
    if (isLabel(this.by)) {
      const { column } = LABELS[this.by];
      addSites((sites, site, node) => (labelOf(sites, column, site) === group.number ? node : 0));
    } else if (group.node === noOwnCode) {
      addSites((sites, site, node) => (node === noOwnCode ? sites.nodes[site] : 0));
    } else {
      for (const leaf of this.by === "traceback" ? [group.node] : this.#leavesThrough(group)) {
        held.set(leaf, this.selection.own.map((own) => own[this.metric][leaf]));
      }
    }
    const weight = ({ sums }) => (isDiff ? Math.abs(sums[NEW] - sums[OLD]) : sums[NEW]);
    const stacks = [...held].map(([leaf, sums]) => ({ leaf, sums }));
    return stacks.sort((a, b) => weight(b) - weight(a));
  }

  // The stacks that have a group of frames in them.
  #leavesThrough(group) {
    const { selection } = this;
    const numbers = groupsOfFrames(this.by);
    return selection.leaves.filter((leaf) => {
      for (let node = leaf; node !== 0; node = selection.up[node]) {
        if (numbers[calls[node]] === group.number) {
          return true;
        }
      }
      return false;
    });
  }
}
