// The legend under the map, which is also the filter: each of its entries hides and shows a bin of the attribute.
// Uses basics.js; of the explorer: state, root, frames, toolbar, map, group.

class Legend {
  constructor(explorer) {
    this.explorer = explorer;
    this.element = make("div", { class: "legend", role: "group", "aria-label": "legend and filter" });
    this.showAll = button("Show all", "Show all: lift every filter", () => {
      explorer.state.hidden.clear();
      this.refilter();
    });
  }

  /** After a change of filter, colour or group: the points, then the legend, the count and the group. */
  refilter() {
    const { state, root, frames, toolbar, map, group } = this.explorer;
    const { attribute, attributeIndex, filters, shown } = state;
    const counts = map.colour();
    toolbar.colours.selectedIndex = attributeIndex;
    this.list(attribute, counts);
    if (filters.length) this.element.append(this.showAll);
    const visible = shown.reduce((sum, one) => sum + one, 0);
    const others = filters.filter(([filter]) => filter !== attribute).map(([filter]) => filter.title);
    const filtered = others.length ? `, filtered by ${others.join(", ")}` : "";
    toolbar.tally.textContent = `${visible} of ${shown.length} pieces${filtered}`;
    group.show();
    root.dataset.shown = visible;
    frames.paintMap();
  }

  /** List the attribute's bins, those that no piece of the map has left out. */
  list(attribute, counts) {
    const hidden = this.explorer.state.hidden.get(attribute.id) ?? new Set();
    const bins = [...attribute.entries, { name: "unknown", colour: rgb(GREY) }];
    const entries = bins.map(({ name, colour }, bin) => {
      if (counts[bin] === 0) return null;
      const action = hidden.has(bin) ? "show" : "hide";
      return make("button", {
        type: "button", class: "entry", "aria-pressed": String(!hidden.has(bin)), "data-bin": bin,
        title: `${name}: ${counts[bin]} pieces; click to ${action}, double-click for it alone`,
        on: { click: () => this.toggle(attribute.id, bin), dblclick: () => this.alone(attribute.id, bin, counts.length) },
      },
      make("i", { style: `background: rgb(${colour})` }), make("span", { text: name }), make("small", { text: counts[bin] }));
    });
    this.element.replaceChildren(...entries.filter(Boolean));
  }

  toggle(id, bin) {
    const { hidden } = this.explorer.state;
    const bins = hidden.get(id) ?? new Set();
    if (!bins.delete(bin)) bins.add(bin);
    hidden.set(id, bins);
    this.refilter();
    this.element.querySelector(`[data-bin="${bin}"]`)?.focus();
  }

  alone(id, bin, count) {
    const all = [...new Array(count).keys()];
    this.explorer.state.hidden.set(id, new Set(all.filter((other) => other !== bin)));
    this.refilter();
  }
}
