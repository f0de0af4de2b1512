
// Sums per line, function, file, crate or traceback, and per label: type, tag or thread.

// What tells the groups of frames apart, and how they are called.
const GROUPINGS = {
  line: {
    key: (frame) => `${frames.file[frame]}:${frames.line[frame]}`,
    name: placeOf,
    about: (frame) => (isNamed(frame) ? "" : strings[frames.function[frame]]),
  },
  function: {
    key: (frame) => frames.function[frame] || `file ${frames.file[frame]}`,
    name: functionOf,
    about: (frame) => (frames.function[frame] && !isNamed(frame) ? fileOf(frame) : ""),
  },
  file: { key: (frame) => frames.file[frame], name: fileOf, about: () => "" },
  crate: { key: (frame) => frames.crate[frame], name: crateOf, about: () => "" },
  traceback: {
    name: placeOf,
    about: (frame) => (isNamed(frame) ? "" : strings[frames.function[frame]]),
  },
};

// The labels that blocks may have: their column, and what is said of a block without one.
const LABELS = {
  type: { column: "types", none: UNKNOWN },
  tag: { column: "tags", none: "<untagged>" },
  thread: { column: "threads", none: UNKNOWN },
};
const isLabel = (by) => Object.hasOwn(LABELS, by);
const labelName = (by, label) => strings[label] || LABELS[by].none;

const nameOfGroup = (by, group) =>
  isLabel(by) ? labelName(by, group.number) : GROUPINGS[by].name(group.frame);
const aboutGroup = (by, group) => (isLabel(by) ? "" : GROUPINGS[by].about(group.frame));

const CRATES_SHOWN = 4;

// The crates that allocated blocks without own code and what of a metric, the largest first, as a text.
function cratesWithoutOwnCode(selection, metric) {
  const sums = new Map();
  selection.eachSite((which, site, node) => {
    if (node === noOwnCode) {
      const sites = snapshots[which];
      const name = crateOf(calls[selection.allocating[sites.nodes[site]]]);
      const sum = sums.get(name) ?? snapshots.map(() => 0);
      sum[which] += (metric === BYTES ? sites.bytes : sites.blocks)[site];
      sums.set(name, sum);
    }
  });
  const value = (sum) => (isDiff ? sum[NEW] - sum[OLD] : sum[NEW]);
  const crates = [...sums].map(([name, sum]) => [name, value(sum)]).filter(([, sum]) => sum !== 0);
  crates.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const text = (sum) => (isDiff ? signed(metric, sum) : spoken(metric, sum));
  const names = crates.slice(0, CRATES_SHOWN).map(([name, sum]) => `${name} ${text(sum)}`);
  const others = crates.length - names.length;
  return [...names, ...(others > 0 ? [`${others} other`] : [])].join(", ");
}

// The group of each frame, as a number. Frame 0 is in none.
const numbered = new Map();
function groupsOfFrames(by) {
  if (!numbered.has(by)) {
    const numbers = new Map();
    const groups = new Uint32Array(frames.count);
    for (let frame = 1; frame < frames.count; frame += 1) {
      const key = GROUPINGS[by].key(frame);
      if (!numbers.has(key)) {
        numbers.set(key, numbers.size + 1);
      }
      groups[frame] = numbers.get(key);
    }
    numbered.set(by, groups);
  }
  return numbered.get(by);
}

// The group of each node's stack: stacks that read the same are one, cut or not.
function groupsOfStacks(selection) {
  const lines = groupsOfFrames("line");
  const numbers = new Map();
  const groups = new Uint32Array(parents.length);
  for (let node = 1; node < parents.length; node += 1) {
    const caller = groups[selection.up[node]];
    const line = lines[calls[node]];
    if (line === 0) {
      groups[node] = caller;
      continue;
    }
    const key = caller * frames.count + line;
    if (!numbers.has(key)) {
      numbers.set(key, numbers.size + 1);
    }
    groups[node] = numbers.get(key);
  }
  return groups;
}

// A group: its number, which of labels is that of the text, a node where it occurs, the frame that names it, and by snapshot and metric
// what was allocated there and what was with all that it calls.
class Group {
  constructor(number, node) {
    this.number = number;
    this.node = node;
    this.frame = calls[node];
    this.own = snapshots.map(() => [0, 0]);
    this.all = snapshots.map(() => [0, 0]);
  }

  get hasChanged() {
    const differs = (sums) => sums[NEW].some((sum, metric) => sum !== sums[OLD][metric]);
    return differs(this.own) || differs(this.all);
  }

  // `new - old` of sums of this group.
  static change(sums, metric) {
    return sums[NEW][metric] - sums[OLD][metric];
  }
}

// All groups that hold something. A block counts once for each group in its stack.
function groupsBy(by, selection) {
  const groups = new Map();
  const group = (number, node) => {
    let found = groups.get(number);
    if (found === undefined) {
      found = new Group(number, node);
      groups.set(number, found);
    }
    return found;
  };
  const add = (sums, node) => {
    selection.own.forEach((own, which) => {
      sums[which][BYTES] += own[BYTES][node];
      sums[which][BLOCKS] += own[BLOCKS][node];
    });
  };
  if (isLabel(by)) {
    selection.eachSite((which, site, node) => {
      const sites = snapshots[which];
      const found = group(labelOf(sites, LABELS[by].column, site), node);
      found.own[which][BYTES] += sites.bytes[site];
      found.own[which][BLOCKS] += sites.blocks[site];
      found.all = found.own;
    });
    return [...groups.values()];
  }
  if (by === "traceback") {
    const numbers = groupsOfStacks(selection);
    for (const leaf of selection.leaves) {
      const found = group(numbers[leaf], leaf);
      add(found.own, leaf);
      add(found.all, leaf);
    }
    return [...groups.values()];
  }
  const numbers = groupsOfFrames(by);
  const seen = new Uint32Array(frames.count + 1);
  for (const leaf of selection.leaves) {
    add(group(numbers[calls[leaf]], leaf).own, leaf);
    for (let node = leaf; node !== 0; node = selection.up[node]) {
      const number = numbers[calls[node]];
      if (number !== 0 && seen[number] !== leaf) {
        seen[number] = leaf;
        add(group(number, node).all, leaf);
      }
    }
  }
  return [...groups.values()];
}
