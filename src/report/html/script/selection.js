
// What the filters keep, as sums at the nodes of the tree of calls.

// Marks with 1 the nodes whose stack has a frame that `query` finds; null if there is nothing to find.
function nodesBelow(query) {
  if (query.isEmpty || query.error !== "") {
    return null;
  }
  const found = new Uint8Array(parents.length);
  for (let node = 1; node < parents.length; node += 1) {
    found[node] = found[parents[node]] || Number(query.findsFrame(calls[node]));
  }
  return found;
}

class Selection {
  // `crate`, `tag` and `thread` are indices into the strings or null, `domain` a number or null. `focus` and `ignore` are
  // queries: stacks with a frame that one finds are the only ones kept, or left out.
  constructor({ hideStandard, crate, domain, tag, thread, focus, ignore }) {
    this.#hide(hideStandard);
    const focused = nodesBelow(focus);
    const ignored = nodesBelow(ignore);
    const keeps = (node) => (focused === null || focused[node] === 1) && (ignored === null || ignored[node] === 0);
    const nodes = parents.length;
    // By snapshot and metric: at each node what was allocated right there.
    this.own = snapshots.map(() => [new Float64Array(nodes), new Float64Array(nodes)]);
    this.total = snapshots.map(() => [0, 0]);
    // By snapshot and metric: by class of size.
    this.sizes = snapshots.map(() => [new Float64Array(65), new Float64Array(65)]);
    const chosen = { crate, domain, tag, thread };
    snapshots.forEach((sites, which) => this.#add(which, sites, chosen, keeps));
    const used = (node) => this.own.some((own) => own[BLOCKS][node] !== 0);
    this.leaves = Array.from(parents.keys()).filter(used);
    this.all = this.own.map((own) => own.map((sums) => this.inclusive(sums)));
  }

  // Which frames are left out. A stack of which nothing would be left keeps its most recent frame.
  #hide(hideStandard) {
    const shown = new Uint32Array(parents.length);
    // The caller of each node among those that are shown.
    this.up = new Uint32Array(parents.length);
    // The node that blocks of each node are shown at.
    this.at = new Uint32Array(parents.length);
    for (let node = 1; node < parents.length; node += 1) {
      const caller = shown[parents[node]];
      const hidden = hideStandard && isStandard(calls[node]);
      this.up[node] = caller;
      shown[node] = hidden ? caller : node;
      this.at[node] = hidden && calls[caller] !== CUT ? caller : node;
    }
  }

  #add(which, sites, { crate, domain, tag, thread }, keeps) {
    for (let site = 0; site < sites.nodes.length; site += 1) {
      const node = this.at[sites.nodes[site]];
      if (!keeps(sites.nodes[site])) {
        continue;
      }
      if (domain !== null && sites.domains[site] !== domain) {
        continue;
      }
      if (tag !== null && labelOf(sites, "tags", site) !== tag) {
        continue;
      }
      if (thread !== null && labelOf(sites, "threads", site) !== thread) {
        continue;
      }
      if (crate !== null && frames.crate[calls[node]] !== crate) {
        continue;
      }
      const amounts = [sites.bytes[site], sites.blocks[site]];
      for (const metric of [BYTES, BLOCKS]) {
        this.own[which][metric][node] += amounts[metric];
        this.total[which][metric] += amounts[metric];
        this.sizes[which][metric][sites.classes[site]] += amounts[metric];
      }
    }
  }

  // Sums at the nodes with all that they call.
  inclusive(own) {
    const sums = Float64Array.from(own);
    for (let node = parents.length - 1; node > 0; node -= 1) {
      if (sums[node] !== 0) {
        sums[this.up[node]] += sums[node];
      }
    }
    return sums;
  }

  // The frames of the stack that ends at `node`, oldest first.
  stack(node) {
    const stack = [];
    for (let at = node; at !== 0; at = this.up[at]) {
      stack.push(calls[at]);
    }
    return stack.reverse();
  }
}
