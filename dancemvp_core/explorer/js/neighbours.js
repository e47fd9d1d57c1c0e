// The nearest neighbours of the point that dances, as cards: one plays beside it, its arrow goes there.
// Uses basics.js; of the explorer: state, frames, dance.

class Neighbours {
  constructor(explorer) {
    this.explorer = explorer;
    this.element = make("div", { class: "neighbours", role: "group", "aria-label": "nearest neighbours" });
  }

  show() {
    const { state, frames } = this.explorer;
    const near = state.clip && state.selected >= 0 ? state.near(state.selected) : [];
    const cards = near.map((point, rank) => this.card(point, rank));
    this.element.replaceChildren(
      make("strong", { text: "Nearest in feature space, with cosine" }),
      ...(cards.length ? cards : [make("p", { class: "hint", text: "This performance is not on the map." })]));
    frames.paintMap();
  }

  card(point, rank) {
    const { state, dance } = this.explorer, { map, mate, selected, attribute, atlas } = state;
    const piece = map.piece[point], name = state.nameOf(piece);
    const beside = Boolean(mate) && state.pieceOf(mate.header) === piece;
    const similarity = map.similarity[selected * atlas.header.neighbours + rank];
    const handler = { click: () => dance.beside(beside ? null : piece) };
    return make("div", { class: "card" },
      make("button", { type: "button", "aria-pressed": String(beside), title: `${name}: play beside, in step`, on: handler },
        make("i", { style: `background: rgb(${attribute.colour(piece)})` }),
        make("span", { text: name }),
        make("small", { text: number(similarity, 2) })),
      button("→", `Go to ${name}`, () => dance.select(point), { class: "go" }));
  }
}
