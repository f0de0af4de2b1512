
// Calls that are alike, merged: what the flame graph draws. Callers first, or inverted: what
// allocated first, and below it who called that. Children are worked out when they are asked for,
// since most are never wide enough to be seen.

class Call {
  constructor(parent, frame) {
    this.parent = parent;
    this.frame = frame;
    this.depth = parent === null ? 0 : parent.depth + 1;
    // The nodes merged here; inverted, one for each of `leaves`.
    this.nodes = [];
    this.leaves = [];
    this.width = 0;
    this.children = null;
  }

  get isRoot() {
    return this.parent === null;
  }

  // The calls from the root to this one.
  get path() {
    return this.isRoot ? [this] : [...this.parent.path, this];
  }
}

class Tree {
  constructor(selection, metric, inverted) {
    this.selection = selection;
    this.metric = metric;
    this.inverted = inverted;
    const sums = selection.own.map((own) => own[metric]);
    // Where memory went away there must be something to see: the larger of both snapshots.
    this.own = isDiff ? sums[NEW].map((size, node) => Math.max(size, sums[OLD][node])) : sums[NEW];
    this.all = isDiff ? selection.inclusive(this.own) : selection.all[NEW][metric];
    this.root = new Call(null, CUT);
    if (inverted) {
      this.root.leaves = selection.leaves;
      this.root.nodes = selection.leaves;
      this.root.width = selection.leaves.reduce((sum, leaf) => sum + this.own[leaf], 0);
    } else {
      this.#link();
      this.root.nodes = [0];
      this.root.width = this.all[0];
    }
  }

  // Chains what each node calls.
  #link() {
    this.first = new Uint32Array(parents.length);
    this.next = new Uint32Array(parents.length);
    for (let node = parents.length - 1; node > 0; node -= 1) {
      if (this.all[node] > 0) {
        const caller = this.selection.up[node];
        this.next[node] = this.first[caller];
        this.first[caller] = node;
      }
    }
  }

  // The calls below `call`, widest first.
  children(call) {
    if (call.children === null) {
      const found = new Map();
      if (this.inverted) {
        call.nodes.forEach((node, index) => {
          const leaf = call.leaves[index];
          const below = call.isRoot ? node : this.selection.up[node];
          if (below !== 0 && this.own[leaf] > 0) {
            this.#merge(found, call, below, this.own[leaf]).leaves.push(leaf);
          }
        });
      } else {
        for (const node of call.nodes) {
          for (let below = this.first[node]; below !== 0; below = this.next[below]) {
            this.#merge(found, call, below, this.all[below]);
          }
        }
      }
      call.children = [...found.values()].sort((a, b) => b.width - a.width || a.frame - b.frame);
    }
    return call.children;
  }

  #merge(found, parent, node, width) {
    const frame = calls[node];
    const key = frame === CUT ? "" : GROUPINGS.function.key(frame);
    let call = found.get(key);
    if (call === undefined) {
      call = new Call(parent, frame);
      found.set(key, call);
    }
    call.nodes.push(node);
    call.width += width;
    return call;
  }

  // What a snapshot holds below `call`, in a metric.
  amount(call, which, metric = this.metric) {
    const { own, all } = this.selection;
    const [sums, at] = this.inverted
      ? [own[which][metric], call.leaves]
      : [all[which][metric], call.nodes];
    return at.reduce((sum, node) => sum + sums[node], 0);
  }

  // What was allocated in `call` itself.
  ownAmount(call, which, metric = this.metric) {
    const sums = this.selection.own[which][metric];
    return call.nodes.reduce((sum, node) => sum + sums[node], 0);
  }

  change(call) {
    return isDiff ? this.amount(call, NEW) - this.amount(call, OLD) : 0;
  }

  // The lines that are merged in `call` and what they hold, by snapshot; the largest first.
  lines(call) {
    const { own, all } = this.selection;
    const lines = new Map();
    call.nodes.forEach((node, index) => {
      const at = this.inverted ? call.leaves[index] : node;
      const sums = snapshots.map((_, which) => (this.inverted ? own : all)[which][this.metric][at]);
      const line = lines.get(calls[node]) ?? { frame: calls[node], sums: snapshots.map(() => 0) };
      line.sums = line.sums.map((sum, which) => sum + sums[which]);
      lines.set(calls[node], line);
    });
    return [...lines.values()].sort((a, b) => Math.max(...b.sums) - Math.max(...a.sums));
  }
}
