// The payload, as columns of numbers. Entry 0 of every table stands for nothing: the empty text,
// the frames that were cut off, the root of the tree of calls.

const payload = JSON.parse(document.getElementById("payload").textContent);

const strings = payload.strings;
const frames = {
  count: payload.frames.length,
  file: Uint32Array.from(payload.frames, (row) => row[0]),
  line: Uint32Array.from(payload.frames, (row) => row[1]),
  function: Uint32Array.from(payload.frames, (row) => row[2]),
  crate: Uint32Array.from(payload.frames, (row) => row[3]),
  source: Uint32Array.from(payload.frames, (row) => row[4]),
  flags: Uint8Array.from(payload.frames, (row) => row[5]),
};

// Callers have smaller numbers than what they call.
const parents = Uint32Array.from(payload.parents);
const calls = Uint32Array.from(payload.calls);

// What the sums are about. The address says which of them is shown; another one is another page to the
// rest of the script.
const memories = { "": payload.snapshots, ...payload.views };
const MEMORY_NAMES = {
  "": "live",
  at_peak: "at the peak",
  allocated: "all allocated",
  temporary: "temporary",
};
const memoryInAddress = () => {
  const name = new URLSearchParams(location.hash.slice(1)).get("memory") ?? "";
  return Object.hasOwn(memories, name) ? name : "";
};
const memory = memoryInAddress();
const snapshots = memories[memory];

// The new snapshot is the first one, the old one the second.
const NEW = 0;
const OLD = 1;
const isDiff = snapshots.length === 2;

// Metrics, in the order in which sums hold them.
const BYTES = 0;
const BLOCKS = 1;

// Frames that were not kept: the caller of the oldest frame of a stack that was cut.
const CUT = 0;
const CUT_NAME = "… older frames, not kept";
const UNKNOWN = "<unknown>";

// The node of blocks without own code; 0 if nobody knows whose code is whose.
const noOwnCode = payload.no_own_code;
const isOwn = (frame) => (frames.flags[frame] & 4) !== 0;
const isStandard = (frame) => (frames.flags[frame] & 2) !== 0;
const isNamed = (frame) => (frames.flags[frame] & 1) !== 0;

const fileOf = (frame) => (frame === CUT ? CUT_NAME : strings[frames.file[frame]]);
const crateOf = (frame) => strings[frames.crate[frame]] || UNKNOWN;
const functionOf = (frame) => strings[frames.function[frame]] || fileOf(frame);
const sourceOf = (frame) => strings[frames.source[frame]];

// File and line, the file alone where the line is not known.
function placeOf(frame) {
  const line = frames.line[frame];
  return line === 0 ? fileOf(frame) : `${fileOf(frame)}:${line}`;
}

// The domains that blocks have, the allocator's own first.
const domains = [...new Set(snapshots.flatMap((sites) => sites.domains))].sort((a, b) => a - b);
const domainName = (domain) => (domain === 0 ? "Heap" : `Domain ${domain}`);

// The labels of blocks, their tags, threads or types: texts, the largest first. Empty if no block has one.
function labelsBySize(column) {
  const sums = new Map();
  for (const sites of snapshots) {
    (sites[column] ?? []).forEach((label, site) => {
      sums.set(label, (sums.get(label) ?? 0) + sites.bytes[site]);
    });
  }
  return [...sums].sort((a, b) => b[1] - a[1]).map(([label]) => label);
}
const labelOf = (sites, column, site) => (sites[column] === undefined ? 0 : sites[column][site]);
