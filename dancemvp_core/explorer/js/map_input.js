// Pointer and keys on the map: a drag moves it or draws a lasso, a click makes a point dance, the wheel zooms; keys walk from
// point to point, zoom, and make a point dance. Uses of the explorer: state, map, group, dance, frames.

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class MapInput {
  constructor(explorer) {
    this.explorer = explorer;
    this.map = explorer.map;
    this.drag = null;  // where the pointer went down, the view then, and whether it moved since
    const { overlay } = this.map;
    overlay.addEventListener("pointerdown", (event) => this.down(event));
    overlay.addEventListener("pointermove", (event) => this.move(event));
    overlay.addEventListener("pointerup", (event) => this.up(event));
    overlay.addEventListener("pointercancel", () => this.cancel());
    overlay.addEventListener("pointerleave", () => this.map.hoverOver(-1));
    overlay.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    overlay.addEventListener("keydown", (event) => { if (this.key(event.key)) event.preventDefault(); });
  }

  /** Where on the map an event is, in CSS pixels. */
  place(event) {
    const box = this.map.overlay.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    const { map } = this;
    const [x, y] = this.place(event);
    map.overlay.setPointerCapture(event.pointerId);
    map.overlay.focus({ preventScroll: true });
    if (map.lassoing || event.shiftKey) map.lasso = [[x, y]];
    this.drag = { x, y, moved: false, view: { ...map.view } };
  }

  move(event) {
    const { map, drag } = this;
    const [x, y] = this.place(event);
    if (!drag) {
      map.hoverOver(map.pick(x, y), x, y);
      return;
    }
    if (Math.hypot(x - drag.x, y - drag.y) > 3) drag.moved = true;
    if (map.lasso) map.lasso.push([x, y]);
    else if (drag.moved) {
      map.hoverOver(-1);
      map.moveTo({ ...drag.view, x: drag.view.x + x - drag.x, y: drag.view.y + y - drag.y });
    }
    this.explorer.frames.paintMap();
  }

  up(event) {
    const { map, drag } = this, { lasso } = map;
    this.drag = map.lasso = null;
    if (lasso && drag.moved) {
      this.explorer.group.set(map.within(lasso));
      map.setLassoing(false);
      return;
    }
    const hit = map.pick(...this.place(event));
    if (!drag?.moved && hit >= 0) this.explorer.dance.select(hit);
  }

  cancel() {
    this.drag = this.map.lasso = null;
    this.explorer.frames.paintMap();
  }

  /** A wheel scrolls the page; over a map that has the focus, or with Ctrl, it zooms. */
  wheel(event) {
    if (document.activeElement !== this.map.overlay && !event.ctrlKey) return;
    event.preventDefault();
    this.map.zoom(Math.exp(-event.deltaY / 400), ...this.place(event));
  }

  /** Do what a key says; whether it says anything here. */
  key(name) {
    const { map } = this, { state, group, dance } = this.explorer;
    if (STEPS[name]) this.step(STEPS[name]);
    else if (name === "Enter" && state.hover >= 0) dance.select(state.hover);
    else if (name === "+" || name === "=") map.zoom(1.4);
    else if (name === "-") map.zoom(1 / 1.4);
    else if (name === "0") map.fit();
    else if (name === "Escape") {
      map.setLassoing(false);
      group.set(null);
    } else return false;
    return true;
  }

  step(direction) {
    const { map } = this, { hover, selected } = this.explorer.state;
    const next = map.towards(hover >= 0 ? hover : selected, direction);
    if (next >= 0) map.hoverOver(next, ...map.toScreen(next));
  }
}
