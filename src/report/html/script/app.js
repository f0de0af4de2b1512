
// What is chosen, and the controls that choose it.

const state = {
  view: "flame",
  metric: "bytes",
  direction: "callers",
  by: "line",
  query: "",
  // Whether queries are regular expressions.
  pattern: false,
  focus: "",
  ignore: "",
  crate: "",
  domain: "",
  tag: "",
  thread: "",
  type: "",
  // What the sums are about: live memory, or one of the other views.
  memory: "",
  // Only the frames of the program's own packages.
  ownCode: payload.own_code,
  hideStandard: true,
};
const address = new Address(state);
Object.assign(state, address.read());

const queryOf = (name) => new Query(state[name], state.pattern);
let query = queryOf("query");

const metricOf = () => (state.metric === "bytes" ? BYTES : BLOCKS);

const nothing = new Query("", false);
const whole = new Selection({
  hideStandard: false,
  ownCode: false,
  crate: null,
  domain: null,
  tag: null,
  thread: null,
  type: null,
  focus: nothing,
  ignore: nothing,
});
const cratesBySize = groupsBy("crate", whole)
  .sort((a, b) => b.all[NEW][BYTES] - a.all[NEW][BYTES])
  .filter((group) => !isStandard(group.frame));
const colors = new Colors();
const flame = new Flame(colors, () => showSelected());
const table = new Table((name) => findInFlame(name));
let selection = whole;

function showSelected() {
  const path = flame.zoomed.path.map((call) => {
    const isLast = call === flame.zoomed;
    const button = element("button", { type: "button", title: nameOf(flame.tree, call) });
    button.textContent = call.isRoot ? rootName(flame.tree) : shortForms(functionOf(call.frame))[2];
    if (isLast) {
      button.setAttribute("aria-current", "true");
    }
    button.addEventListener("click", () => {
      flame.zoom(call);
      byId("flame").focus();
    });
    return element("li", {}, button);
  });
  byId("path").replaceChildren(...shortened(path));
  const call = flame.selected;
  byId("spoken").textContent =
    call === null ? "" : `${nameOf(flame.tree, call)}: ${summary(flame.tree, call)}`;
  showDetails(flame.tree, call, filterBy);
}

// A long path without its middle.
function shortened(path) {
  const MOST = 8;
  if (path.length <= MOST) {
    return path;
  }
  return [path[0], element("li", { className: "faint" }, `… ${path.length - MOST}`), ...path.slice(1 - MOST)];
}

// How much of the snapshot is shown, and how much of that the search has found.
function showStatus() {
  const metric = metricOf();
  const which = snapshots.length - 1;
  const shown = selection.total[NEW][metric];
  const all = whole.total[NEW][metric];
  const parts = [];
  if (selection.total.some((total, index) => total[BLOCKS] !== whole.total[index][BLOCKS])) {
    const before = isDiff ? `, before ${spoken(metric, selection.total[which][metric])}` : "";
    parts.push(`Filtered: ${spoken(metric, shown)} of ${spoken(metric, all)}${before}.`);
  }
  if (state.ownCode) {
    const own = shown - selection.own[NEW][metric][noOwnCode];
    const what = metric === BYTES ? "bytes" : "blocks";
    parts.push(`Own code is in the stacks of ${percent(own, shown)} of the ${what}; frames of other packages are left out.`);
  }
  for (const name of ["query", "focus", "ignore"]) {
    const { error } = queryOf(name);
    byId(name).setAttribute("aria-invalid", String(error !== ""));
    if (error !== "") {
      parts.push(`${error}.`);
    }
  }
  if (!query.isEmpty && query.error === "") {
    const hit = selection.leaves.filter((leaf) => selection.stack(leaf).some((frame) => query.findsFrame(frame)));
    const size = (of) => hit.reduce((sum, leaf) => sum + selection.own[of][metric][leaf], 0);
    const change = isDiff ? `, ${signed(metric, size(NEW) - size(OLD))}` : "";
    parts.push(`Found in stacks that hold ${spoken(metric, size(NEW))}, ${percent(size(NEW), shown)}${change}.`);
  }
  byId("status").textContent = parts.join(" ");
}

function showView() {
  for (const view of ["flame", "table", "sizes"]) {
    byId(`${view}-view`).hidden = state.view !== view;
  }
  const metric = metricOf();
  address.write(state);
  query = queryOf("query");
  flame.query = query;
  if (state.view === "flame") {
    flame.show(new Tree(selection, metric, state.direction === "inverted"));
    showSelected();
    byId("legend").replaceChildren(...colors.legend());
  } else if (state.view === "table") {
    table.show(selection, metric, state.by, query);
  } else {
    showSizes(selection, metric);
  }
  showStatus();
}

function select() {
  const crates = cratesBySize.filter((group) => !state.ownCode || isOwn(group.frame));
  colors.give(crates.map((group) => frames.crate[group.frame]), state.ownCode);
  selection = new Selection({
    hideStandard: state.hideStandard,
    ownCode: state.ownCode,
    crate: state.crate === "" ? null : Number(state.crate),
    domain: state.domain === "" ? null : Number(state.domain),
    tag: state.tag === "" ? null : Number(state.tag),
    thread: state.thread === "" ? null : Number(state.thread),
    type: state.type === "" ? null : Number(state.type),
    focus: queryOf("focus"),
    ignore: queryOf("ignore"),
  });
  showView();
}

// Each makes a control show what is chosen; after the address has changed all of them do.
const controls = [];
function syncControls() {
  controls.forEach((sync) => sync());
}

// Buttons of which one is chosen, the value of `state[name]`.
function segments(name, changed) {
  const buttons = [...byId(name).querySelectorAll("button")];
  controls.push(() => {
    if (!buttons.some((button) => button.value === state[name] && !button.hidden)) {
      state[name] = address.first[name];
    }
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === state[name])));
  });
  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      state[name] = button.value;
      syncControls();
      changed();
    }),
  );
}

function choices(name, all, options) {
  const list = byId(name);
  list.append(element("option", { value: "" }, all));
  list.append(...options.map(([value, text]) => element("option", { value }, text)));
  controls.push(() => {
    list.value = state[name];
    if (list.selectedIndex < 0) {
      state[name] = list.value = "";
    }
  });
  list.addEventListener("change", () => {
    state[name] = list.value;
    select();
  });
}

// A field whose text is `state[name]`; `changed` is called when typing has paused.
function field(name, changed) {
  const input = byId(name);
  let typing = 0;
  const set = (text) => {
    if (text !== state[name]) {
      state[name] = text;
      changed();
    }
  };
  controls.push(() => {
    input.value = state[name];
  });
  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => set(input.value.trim()), 120);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      clearTimeout(typing);
      input.value = "";
      set("");
      input.blur();
    }
  });
}

segments("view", showView);
segments("metric", showView);
segments("direction", showView);
segments("by", showView);

choices("crate", "all crates", groupsBy("crate", whole)
  .filter((group) => group.own.some((own) => own[BLOCKS] !== 0))
  .sort((a, b) => b.own[NEW][BYTES] - a.own[NEW][BYTES])
  .map((group) => [String(frames.crate[group.frame]), crateOf(group.frame)]));
choices("domain", "all", domains.map((domain) => [String(domain), domainName(domain)]));
byId("domain").parentElement.hidden = domains.length < 2;
for (const [name, { column }] of Object.entries(LABELS)) {
  const labels = labelsBySize(column);
  byId("by").querySelector(`button[value=${name}]`).hidden = labels.length === 0;
  choices(name, "all", labels.map((label) => [String(label), labelName(name, label)]));
  byId(name).parentElement.hidden = labels.length === 0;
}

const shownMemory = byId("memory");
shownMemory.parentElement.hidden = Object.keys(memories).length < 2;
shownMemory.append(...Object.keys(memories).map((value) => element("option", { value }, MEMORY_NAMES[value])));
shownMemory.addEventListener("change", () => {
  state.memory = shownMemory.value;
  address.write(state);
  location.reload();
});
controls.push(() => {
  shownMemory.value = state.memory = memory;
});
// Sums have no sizes of blocks.
const sizesButton = byId("view").querySelector("button[value=sizes]");
sizesButton.hidden = memory !== "" || payload.view !== "live";

byId("own").parentElement.hidden = noOwnCode === 0;
controls.push(() => {
  state.ownCode &&= noOwnCode !== 0;
  byId("own").checked = state.ownCode;
  // Its frames are no own code.
  byId("standard").disabled = state.ownCode;
  byId("standard").checked = state.hideStandard;
  byId("pattern").setAttribute("aria-pressed", String(state.pattern));
});
byId("standard").addEventListener("change", (event) => {
  state.hideStandard = event.target.checked;
  select();
});
byId("own").addEventListener("change", (event) => {
  state.ownCode = event.target.checked;
  syncControls();
  select();
});
byId("pattern").addEventListener("click", () => {
  state.pattern = !state.pattern;
  syncControls();
  select();
});

field("query", search);
field("focus", select);
field("ignore", select);

// The zoom stays where it is.
function search() {
  if (state.view !== "flame") {
    showView();
    return;
  }
  address.write(state);
  query = queryOf("query");
  flame.query = query;
  flame.draw();
  showStatus();
}

// A text that finds a name and no other, as far as the kind of query allows.
const named = (name) => (state.pattern ? Query.escaped(name) : name);

function filterBy(name, text) {
  state[name] = named(text);
  syncControls();
  select();
}

function findInFlame(name) {
  state.query = named(name);
  state.view = "flame";
  syncControls();
  showView();
  byId("flame").focus();
}

addEventListener("hashchange", () => {
  if (memoryInAddress() !== memory) {
    location.reload();
    return;
  }
  Object.assign(state, address.read());
  syncControls();
  select();
});

document.addEventListener("keydown", (event) => {
  const typingText = event.target instanceof Element && event.target.matches("input[type=search], select");
  if (event.key === "/" && !typingText && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("query").focus();
    byId("query").select();
  }
});

const THEMES = ["auto", "light", "dark"];
function retheme() {
  colors.forget();
  flame.draw();
  byId("legend").replaceChildren(...colors.legend());
}
byId("theme").hidden = false;
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const theme = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
  root.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  retheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", retheme);

byId("report").hidden = false;
syncControls();
select();
