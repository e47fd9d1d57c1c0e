// The bar above the map: which run's points, which map of them, which colours; and how many are shown.
// Uses basics.js, data.js; of the explorer: source, state, root, note, map, legend, neighbours.

class Toolbar {
  constructor(explorer) {
    this.explorer = explorer;
    const choice = (name, change) => make("select", { "aria-label": name, on: { change } });
    this.runs = choice("run", () => this.changeRun(this.runs.value));
    this.maps = choice("map", () => this.showMap(this.maps.selectedIndex));
    this.colours = choice("colour by", () => this.colourBy(this.colours.selectedIndex));
    this.tally = make("span", { class: "tally", role: "status" });
    const label = (text, select) => make("label", {}, make("span", { text }), select);
    this.runLabel = label("Run", this.runs);
    this.element = make("div", { class: "toolbar", role: "toolbar", "aria-label": "map" },
      this.runLabel, label("Map", this.maps), label("Colour", this.colours), this.tally);
  }

  /** Offer what the atlas has, and show its first map. */
  showAtlas() {
    const { state, note } = this.explorer, { header, maps, attributes } = state.atlas;
    this.maps.replaceChildren(...maps.map(({ title, piece }) => make("option", { text: `${title}, ${piece.length} pieces` })));
    const groups = new Map();
    for (const { title, group } of attributes) {
      if (!groups.has(group)) groups.set(group, make("optgroup", { label: group }));
      groups.get(group).append(make("option", { text: title }));
    }
    this.colours.replaceChildren(...groups.values());
    this.runs.replaceChildren(...header.encoders.map((name) => make("option", { text: name, value: name })));
    this.runs.value = header.encoder;
    this.runLabel.hidden = header.encoders.length < 2;
    const data = `${header.synthetic ? "Synthetic data: " : ""}${header.dataset}, profile ${header.profile}`;
    note.textContent = `${data}, features of ${header.encoder}. ${header.note}`;
    state.attributeIndex = 0;
    this.showMap(0);
  }

  /** Show another map; the piece that dances stays chosen where it is on both. */
  showMap(index) {
    const { state, map, legend, neighbours } = this.explorer;
    const piece = state.selected >= 0 ? state.map?.piece[state.selected] : undefined;
    state.mapIndex = index;
    this.maps.selectedIndex = index;
    state.group = null;
    state.hover = -1;
    state.selected = piece === undefined ? -1 : state.map.piece.indexOf(piece);
    map.take();
    legend.refilter();
    map.fit();
    neighbours.show();
  }

  colourBy(index) {
    this.explorer.state.attributeIndex = index;
    this.explorer.legend.refilter();
  }

  async changeRun(name) {
    const { source, state, root } = this.explorer;
    root.classList.add("busy");
    this.tally.textContent = "Mapping the features …";
    try {
      const { header, data } = await source.atlas(name);
      state.take(readAtlas(header, data));
      this.showAtlas();
    } catch (fault) {
      this.tally.textContent = fault.message;
      this.runs.value = state.atlas.header.encoder;
    }
    root.classList.remove("busy");
  }
}
