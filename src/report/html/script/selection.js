
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
  // `crate`, `tag`, `thread` and `type` are indices into the strings or null, `domain` a number or null. `focus` and
  // `ignore` are queries: stacks with a frame that one finds are the only ones kept, or left out.
  constructor({ hideStandard, ownCode, crate, domain, tag, thread, type, focus, ignore }) {
    const hidden = (frame) => hideStandard && isStandard(frame);
    // Whatever is shown, a block is allocated by one crate.
    this.allocating = this.#hide(hidden, 0);
    this.at = ownCode ? this.#hide((frame) => !isOwn(frame), noOwnCode) : this.allocating;
    const focused = nodesBelow(focus);
    const ignored = nodesBelow(ignore);
    const keeps = (node) => (focused === null || focused[node] === 1) && (ignored === null || ignored[node] === 0);
    const nodes = parents.length;
    // By snapshot and metric: at each node what was allocated right there.
    this.own = snapshots.map(() => [new Float64Array(nodes), new Float64Array(nodes)]);
    this.total = snapshots.map(() => [0, 0]);
    // By snapshot and metric: by class of size.
    this.sizes = snapshots.map(() => [new Float64Array(65), new Float64Array(65)]);
    // By snapshot: the sites that are kept.
    this.sites = snapshots.map(() => []);
    const labels = Object.entries({ tags: tag, threads: thread, types: type });
    const chosen = { crate, domain, labels: labels.filter(([, label]) => label !== null) };
    snapshots.forEach((sites, which) => this.#add(which, sites, chosen, keeps));
    const used = (node) => this.own.some((own) => own[BLOCKS][node] !== 0);
    this.leaves = Array.from(parents.keys()).filter(used);
    this.all = this.own.map((own) => own.map((sums) => this.inclusive(sums)));
  }

  // Leaves out the frames of which `isHidden` is true, and returns the node that blocks of each node are
  // shown at. A stack of which nothing would be left is shown at the node `none`, or if that is 0 keeps its
  // most recent frame.
  #hide(isHidden, none) {
    const shown = new Uint32Array(parents.length);
    // The caller of each node among those that are shown.
    this.up = new Uint32Array(parents.length);
    const at = new Uint32Array(parents.length);
    for (let node = 1; node < parents.length; node += 1) {
      const caller = shown[parents[node]];
      const hidden = node !== noOwnCode && calls[node] !== CUT && isHidden(calls[node]);
      this.up[node] = caller;
      shown[node] = hidden ? caller : node;
      at[node] = hidden && calls[caller] !== CUT ? caller : hidden && none !== 0 ? none : node;
    }
    return at;
  }

  #add(which, sites, { crate, domain, labels }, keeps) {
    for (let site = 0; site < sites.nodes.length; site += 1) {
      const node = this.at[sites.nodes[site]];
      if (!keeps(sites.nodes[site])) {
        continue;
      }
      if (domain !== null && sites.domains[site] !== domain) {
        continue;
      }
      if (!labels.every(([column, label]) => labelOf(sites, column, site) === label)) {
        continue;
      }
      if (crate !== null && frames.crate[calls[this.allocating[sites.nodes[site]]]] !== crate) {
        continue;
      }
      this.sites[which].push(site);
      const amounts = [sites.bytes[site], sites.blocks[site]];
      for (const metric of [BYTES, BLOCKS]) {
        this.own[which][metric][node] += amounts[metric];
        this.total[which][metric] += amounts[metric];
        this.sizes[which][metric][sites.classes[site]] += amounts[metric];
      }
    }
  }

  // Calls `visit` with each site that is kept: its snapshot, its number, and the node that it is shown at.
  eachSite(visit) {
    this.sites.forEach((kept, which) => {
      kept.forEach((site) => visit(which, site, this.at[snapshots[which].nodes[site]]));
    });
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

  // All frames of a stack, oldest first.
  static wholeStack(node) {
    const stack = [];
    for (let at = node; at !== 0; at = parents[at]) {
      stack.push(calls[at]);
    }
    return stack.reverse();
  }
}
