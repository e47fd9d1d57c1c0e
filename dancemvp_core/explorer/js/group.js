// A group of points, drawn around with the lasso: of what it is made, beside all pieces of the map.
// Uses basics.js; of the explorer: state, root, legend.

class Group {
  constructor(explorer) {
    this.explorer = explorer;
    this.element = make("div", { class: "group", "aria-live": "polite" });
  }

  /** Make a group of a list of points; of none, there is no group. */
  set(points) {
    const { state, root, legend } = this.explorer;
    state.group = points && points.length ? new Set(points) : null;
    root.dataset.group = state.group ? state.group.size : 0;
    legend.refilter();
  }

  show() {
    if (this.explorer.state.group) this.describe();
    else this.invite();
  }

  invite() {
    const { map, shown } = this.explorer.state;
    const all = () => this.set([...map.piece.keys()].filter((i) => shown[i]));
    this.element.replaceChildren(
      make("p", { class: "hint", text: "Lasso a group to see what it is made of." }),
      button("Group all shown", "Take all shown pieces as a group", all));
  }

  /** Show a bar for each class attribute and means of the numbers, each beside all pieces of the map. */
  describe() {
    const { atlas, group, map, shown } = this.explorer.state;
    const pieces = [...group].filter((i) => shown[i]).map((i) => map.piece[i]), all = [...map.piece];
    const labels = atlas.attributes.filter((a) => a.group === "Label");
    const classes = atlas.attributes.filter((a) => a.kind === "class" && (a.group === "Label" || a.id === "error_class"));
    const means = labels.filter((a) => a.kind === "number").map((a) => {
      const [own, whole] = [pieces, all].map((list) => number(meanOf(a, list), 1));
      return `${a.title}: mean ${own} (map ${whole})`;
    });
    const head = make("div", { class: "row" },
      make("strong", { text: `${pieces.length} pieces in the group` }),
      make("span", { text: means.join(" · ") }),
      button("Clear", "Clear the group", () => this.set(null)));
    this.element.replaceChildren(head, ...classes.map((a) => madeOf(a, pieces, all)));
  }
}

/** A row with the name of a class attribute and a bar of the group's shares. */
function madeOf(attribute, pieces, all) {
  const { id, title, entries } = attribute;
  const [own, whole] = [pieces, all].map((list) => sharesOf(attribute, list));
  const texts = entries.map(({ name }, i) => `${name} ${number(100 * own[i])} %`);
  const parts = entries.map(({ colour }, i) => {
    if (own[i] === 0) return null;
    const bright = colour[0] * 0.299 + colour[1] * 0.587 + colour[2] * 0.114 > 140;
    return make("span", {
      style: `flex-grow: ${own[i]}; background: rgb(${colour}); color: ${bright ? "#111" : "#fff"}`,
      title: `${texts[i]}; ${number(100 * whole[i])} % of the map`, text: own[i] > 0.12 ? texts[i] : "",
    });
  });
  const name = id === "error_class" ? "prediction" : title.replace(" (primitive)", "");
  return make("div", { class: "made-of" },
    make("span", { text: name }),
    make("div", { class: "bar", role: "img", "aria-label": texts.join(", ") }, ...parts));
}

/** Which share of the pieces whose class is known each class has. */
function sharesOf(attribute, pieces) {
  const counts = new Array(attribute.entries.length).fill(0);
  const known = pieces.filter((piece) => attribute.known(piece));
  known.forEach((piece) => { counts[attribute.bin(piece)]++; });
  return counts.map((count) => count / Math.max(known.length, 1));
}

/** The mean of the numbers that are known, NaN without any. */
function meanOf(attribute, pieces) {
  const known = pieces.map((piece) => attribute.values[piece]).filter((value) => !Number.isNaN(value));
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
}
