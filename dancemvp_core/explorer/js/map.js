// The map of points: where it is looked at from, what is drawn on it, and the point under the pointer.
// Uses basics.js, points.js; of the explorer: state, root, frames.

const TOLD_BY_NAME = ["genre", "choreography", "level", "primitive"];

class PointMap {
  constructor(explorer) {
    this.explorer = explorer;
    this.view = { scale: 1, x: 0, y: 0 };
    this.fitted = 1;        // the scale at which all points fit
    this.moved = false;     // whether the view was moved since they did
    this.lassoing = false;  // whether the next drag draws a lasso
    this.lasso = null;      // the lasso so far, a list of [x, y] on the screen
    this.rgba = new Uint8Array(0);
    this.grid = null;
    this.points = make("canvas", { class: "points", "aria-hidden": "true" });
    this.overlay = make("canvas", {
      class: "overlay", tabindex: "0", role: "application",
      "aria-label": "Map of pieces. Arrow keys move to the next point, Enter makes it dance, plus and minus zoom.",
    });
    this.tip = make("div", { class: "tip", hidden: "" });
    this.element = make("div", { class: "frame" }, this.points, this.overlay, this.tools(), this.tip);
    this.painter = pointPainter(this.points, () => this.explorer.frames.paintMap());
  }

  tools() {
    const title = "Lasso: draw around points (or drag with Shift)";
    this.lassoButton = button("Lasso", title, () => this.setLassoing(!this.lassoing), { "aria-pressed": "false" });
    return make("div", { class: "tools" },
      this.lassoButton,
      button("+", "Zoom in", () => this.zoom(1.4)),
      button("−", "Zoom out", () => this.zoom(1 / 1.4)),
      button("Fit", "Fit the map", () => this.fit()));
  }

  /** Take the points of the map that is chosen; their colours come with `colour`. */
  take() {
    const { state } = this.explorer;
    const { xy, piece } = state.map;
    this.grid = new Grid(xy);
    this.rgba = new Uint8Array(4 * piece.length);
    state.shown = new Uint8Array(piece.length);
    this.painter.place(xy);
  }

  /** Colour the points and leave out those that are filtered away; returns how many pieces each bin of the legend has. */
  colour() {
    const { attribute, filters, group, map, shown } = this.explorer.state;
    const counts = new Array(attribute.entries.length + 1).fill(0);
    map.piece.forEach((piece, i) => {
      shown[i] = filters.every(([filter, bins]) => !bins.has(filter.bin(piece))) ? 1 : 0;
      counts[attribute.bin(piece)]++;
      this.rgba.set(attribute.colour(piece), 4 * i);
      this.rgba[4 * i + 3] = shown[i] ? (group && !group.has(i) ? 40 : 225) : 0;
    });
    this.painter.tint(this.rgba);
    return counts;
  }

  // --- the view: screen = map * scale + offset, and the map's y goes up ---

  fit() {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    if (!width || !this.grid) return;
    const { left, right, low, high } = this.grid;
    const scale = Math.min((width - 36) / Math.max(right - left, 1e-6), (height - 36) / Math.max(high - low, 1e-6));
    this.view = { scale, x: width / 2 - (scale * (left + right)) / 2, y: height / 2 + (scale * (low + high)) / 2 };
    this.fitted = scale;
    this.moved = false;
    this.explorer.frames.paintMap();
  }

  /** Zoom in (above 1) or out, with the place under x, y staying where it is. */
  zoom(factor, x = this.overlay.clientWidth / 2, y = this.overlay.clientHeight / 2) {
    const { view, fitted } = this;
    const scale = clamp(view.scale * factor, 0.4 * fitted, 60 * fitted), by = scale / view.scale;
    this.moveTo({ scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by });
  }

  moveTo(view) {
    this.view = view;
    this.moved = true;
    this.explorer.frames.paintMap();
  }

  toScreen(point) {
    const { xy } = this.explorer.state.map, { scale, x, y } = this.view;
    return [xy[2 * point] * scale + x, y - xy[2 * point + 1] * scale];
  }

  toMap(x, y) {
    return [(x - this.view.x) / this.view.scale, (this.view.y - y) / this.view.scale];
  }

  /** The shown point at a place of the screen; -1 for none. */
  pick(x, y) {
    const { shown } = this.explorer.state;
    return this.grid.nearest(...this.toMap(x, y), 9 / this.view.scale, (point) => shown[point]);
  }

  /** The shown point that lies nearest in a direction of the screen; without a start, the one nearest to the middle. */
  towards(from, [dx, dy]) {
    const { shown } = this.explorer.state;
    const [x, y] = from >= 0 ? this.toScreen(from) : [this.overlay.clientWidth / 2, this.overlay.clientHeight / 2];
    let best = -1, least = Infinity;
    for (let i = 0; i < shown.length; i++) {
      if (!shown[i] || i === from) continue;
      const [px, py] = this.toScreen(i);
      const along = (px - x) * dx + (py - y) * dy, aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      const ahead = along > 1 && aside < 2 * along ? along + 2 * aside : Infinity;
      const cost = from < 0 ? Math.hypot(px - x, py - y) : ahead;
      if (cost >= least) continue;
      least = cost;
      best = i;
    }
    return best;
  }

  /** The points inside a polygon of the screen, of those that are shown. */
  within(polygon) {
    const { map, shown } = this.explorer.state;
    const corners = polygon.map(([x, y]) => this.toMap(x, y));
    return [...map.piece.keys()].filter((i) => shown[i] && inside(corners, map.xy[2 * i], map.xy[2 * i + 1]));
  }

  // --- the point under the pointer, and the lasso ---

  hoverOver(point, x, y) {
    const { state, frames } = this.explorer;
    if (point === state.hover && point < 0) return;
    state.hover = point;
    this.tip.hidden = point < 0;
    if (point >= 0) this.showTip(state.map.piece[point], x, y);
    this.overlay.style.cursor = point >= 0 ? "pointer" : this.lassoing ? "crosshair" : "grab";
    frames.paintMap();
  }

  showTip(piece, x, y) {
    const { state } = this.explorer, { tip } = this;
    const others = state.atlas.attributes.filter((a) => !TOLD_BY_NAME.includes(a.id) && a.known(piece));
    tip.replaceChildren(
      make("strong", { text: state.nameOf(piece) }),
      ...others.map((a) => make("div", {}, make("span", { text: `${a.title} ` }), make("b", { text: a.says(piece) }))));
    const { clientWidth: wide, clientHeight: tall } = this.overlay;
    tip.style.left = `${clamp(x + 14, 4, Math.max(4, wide - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 16 + tip.offsetHeight > tall ? Math.max(4, y - tip.offsetHeight - 12) : y + 16}px`;
  }

  setLassoing(on) {
    this.lassoing = on;
    this.lassoButton.setAttribute("aria-pressed", String(on));
    this.overlay.style.cursor = on ? "crosshair" : "grab";
  }

  // --- drawing ---

  draw() {
    const { state, root } = this.explorer, { ink, selected, hover, map } = state;
    this.painter.draw(this.view, this.radius(), ink.text);
    const { context } = sized(this.overlay);
    if (selected >= 0) this.drawSelected(context);
    if (hover >= 0) this.ring(context, hover, ink.text, 2);
    if (this.lasso?.length > 1) this.drawLasso(context);
    root.dataset.painted = map.id;
  }

  radius() {
    const crowd = Math.sqrt(1200 / Math.max(this.explorer.state.map.piece.length, 1));
    return clamp(2.2 * Math.sqrt(this.view.scale / this.fitted) * crowd + 1.4, 2, 6);
  }

  ring(context, point, colour, extra, width = 2) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    circle(context, ...this.toScreen(point), this.radius() + extra);
    context.stroke();
  }

  /** Draw the point that dances, and lines to its nearest in feature space. */
  drawSelected(context) {
    const { state } = this.explorer, { ink, selected } = state;
    const near = state.near(selected);
    context.strokeStyle = ink.text;
    context.globalAlpha = 0.6;
    context.lineWidth = 1;
    near.forEach((other) => stroke(context, this.toScreen(selected), this.toScreen(other)));
    context.globalAlpha = 1;
    near.forEach((other) => this.ring(context, other, ink.text, 2, 1.25));
    this.ring(context, selected, ink.ground, 3, 5);
    this.ring(context, selected, ink.accent, 3, 2.5);
  }

  drawLasso(context) {
    const { accent } = this.explorer.state.ink;
    context.beginPath();
    this.lasso.forEach(([x, y]) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = accent;
    context.globalAlpha = 0.12;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = accent;
    context.lineWidth = 1.5;
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
  }
}
