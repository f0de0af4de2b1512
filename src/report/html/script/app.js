
// What is chosen, and the controls that choose it.

const state = {
  view: "flame",
  metric: "bytes",
  direction: "callers",
  by: "line",
  query: "",
  crate: "",
  domain: "",
  hideStandard: true,
};

const metricOf = () => (state.metric === "bytes" ? BYTES : BLOCKS);

const whole = new Selection({ hideStandard: false, crate: null, domain: null });
const cratesBySize = groupsBy("crate", whole)
  .sort((a, b) => b.all[NEW][BYTES] - a.all[NEW][BYTES])
  .filter((group) => !isStandard(group.frame))
  .map((group) => frames.crate[group.frame]);
const colors = new Colors(cratesBySize);
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
  showDetails(flame.tree, call);
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
  if (state.query !== "") {
    const hit = selection.leaves.filter((leaf) => selection.stack(leaf).some((frame) => matches(frame, state.query)));
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
  flame.query = state.query;
  if (state.view === "flame") {
    flame.show(new Tree(selection, metric, state.direction === "inverted"));
    showSelected();
    byId("legend").replaceChildren(...colors.legend());
  } else if (state.view === "table") {
    table.show(selection, metric, state.by, state.query);
  } else {
    showSizes(selection, metric);
  }
  showStatus();
}

function select() {
  selection = new Selection({
    hideStandard: state.hideStandard,
    crate: state.crate === "" ? null : Number(state.crate),
    domain: state.domain === "" ? null : Number(state.domain),
  });
  showView();
}

// Buttons of which one is chosen, the value of `state[name]`.
function segments(name, changed) {
  const buttons = [...byId(name).querySelectorAll("button")];
  const press = () =>
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === state[name])));
  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      state[name] = button.value;
      press();
      changed();
    }),
  );
  press();
  return press;
}

const pressView = segments("view", showView);
segments("metric", showView);
segments("direction", showView);
segments("by", showView);

function choices(name, all, options) {
  const list = byId(name);
  list.append(element("option", { value: "" }, all));
  list.append(...options.map(([value, text]) => element("option", { value }, text)));
  list.addEventListener("change", () => {
    state[name] = list.value;
    select();
  });
}

choices("crate", "all crates", groupsBy("crate", whole)
  .filter((group) => group.own.some((own) => own[BLOCKS] !== 0))
  .sort((a, b) => b.own[NEW][BYTES] - a.own[NEW][BYTES])
  .map((group) => [frames.crate[group.frame], crateOf(group.frame)]));
choices("domain", "all", domains.map((domain) => [domain, domainName(domain)]));
byId("domain").parentElement.hidden = domains.length < 2;

byId("standard").checked = state.hideStandard;
byId("standard").addEventListener("change", (event) => {
  state.hideStandard = event.target.checked;
  select();
});

function search(text) {
  state.query = text.trim().toLowerCase();
  flame.query = state.query;
  if (state.view === "flame") {
    flame.draw();
    showStatus();
  } else {
    showView();
  }
}

let typing = 0;
byId("search").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => search(event.target.value), 120);
});
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    event.target.value = "";
    search("");
    event.target.blur();
  }
});

function findInFlame(name) {
  byId("search").value = name;
  state.query = name.toLowerCase();
  state.view = "flame";
  pressView();
  showView();
  byId("flame").focus();
}

document.addEventListener("keydown", (event) => {
  const typingText = event.target instanceof Element && event.target.matches("input[type=search], select");
  if (event.key === "/" && !typingText && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("search").focus();
    byId("search").select();
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
select();
