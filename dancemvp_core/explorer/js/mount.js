// The explorer: a map of points, and behind each point a dance with its music. It puts the parts together, watches the
// theme and the size, and takes everything down again. Uses all other files.
//
// The parts know one another through the explorer: `explorer.map`, `explorer.player` and so on.

const INKS = ["text", "quiet", "faint", "shadow", "ground", "accent", "left", "right", "good", "music"];

class Explorer {
  constructor(element, source) {
    this.source = source;
    this.state = new State(readAtlas(source.header, source.points));
    this.frames = new Frames(this);
    this.toolbar = new Toolbar(this);
    this.map = new PointMap(this);
    this.legend = new Legend(this);
    this.group = new Group(this);
    this.dance = new Dance(this);
    this.stage = new Stage(this);
    this.music = new Music(this);
    this.player = new Player(this);
    this.curves = new Curves(this);
    this.practice = new Practice(this);
    this.neighbours = new Neighbours(this);
    this.note = make("p", { class: "note" });
    this.root = this.build();
    element.replaceChildren(this.root);
    this.root.addEventListener("keydown", (event) => this.player.key(event));
    new MapInput(this);
    this.watch();
    this.readInk();
    this.toolbar.showAtlas();
  }

  /** All elements in the order in which they are read. */
  build() {
    const { map, legend, group, dance, stage, player, curves, practice, neighbours } = this;
    const left = make("section", { class: "left", "aria-label": "map" }, map.element, legend.element, group.element);
    const under = make("div", { class: "under" },
      player.element, curves.element, dance.key, practice.element, neighbours.element);
    const right = make("section", { class: "right", "aria-label": "dance" }, dance.header, stage.element, under);
    const halves = make("div", { class: "halves" }, left, right);
    return make("div", { class: "dancemvp-explorer empty", "data-lm-suppress-shortcuts": "true" },
      this.toolbar.element, halves, this.note);
  }

  /** Follow the size of the two halves, and the theme of the notebook and of the system. */
  watch() {
    const readInk = () => this.readInk();
    const sizes = new ResizeObserver(() => {
      if (!this.map.moved) this.map.fit();
      this.frames.paint();
    });
    sizes.observe(this.map.element);
    sizes.observe(this.stage.element);
    const theme = new MutationObserver(readInk);
    const themes = ["data-jp-theme-light", "data-jp-theme-name", "class"];
    theme.observe(document.body, { attributes: true, attributeFilter: themes });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", readInk);
    this.unwatch = () => {
      sizes.disconnect();
      theme.disconnect();
      dark.removeEventListener("change", readInk);
    };
  }

  /** Colours come from the style sheet, so that the theme is said in one place; returns whether there is one yet. */
  readInk() {
    const style = getComputedStyle(this.root), { ink } = this.state;
    for (const name of INKS) ink[name] = style.getPropertyValue(`--${name}`).trim();
    this.frames.paint();
    return ink.text !== "";
  }

  close() {
    this.unwatch();
    this.music.close();
    this.source.close();
  }

  /** What is on the screen, once nothing is queued to be drawn: for tests, which compare it with the data. */
  get drawn() {
    const { state, frames, map, stage, music, curves } = this, { clip, mate, phase, playing, speed, selected } = state;
    const danced = ({ header: { sequence, primitive, duration } }) => ({ sequence, primitive, time: phase * duration });
    const { audio, drift } = music;
    return {
      map: state.map.id, painter: map.painter.kind, view: map.view, orbit: stage.orbit, selected, phase, playing, speed,
      clip: clip && { ...danced(clip), reach: clip.header.reach, height: clip.header.height },
      mate: mate && danced(mate),
      stage: stage.size, joints: stage.places, peaks: curves.peaks, frames: frames.count, queued: frames.queued,
      audio: { time: audio.currentTime, duration: audio.duration, paused: audio.paused, rate: audio.playbackRate, drift },
    };
  }
}

/** What tests ask of an explorer: what it has drawn, where point i is in CSS pixels, and which piece it is. */
function forTests(explorer) {
  const { state, map, frames } = explorer;
  return {
    get drawn() { return explorer.drawn; },
    get mapFrames() { return frames.mapTimes; },
    point: (i) => map.toScreen(i),
    piece(i) {
      const [sequence, primitive] = state.clipOf(state.map.piece[i]);
      return { sequence, primitive };
    },
    near: (i) => state.near(i),
  };
}

/** Build the explorer in an element; returns a function that takes it down. */
function mount(element, source) {
  const explorer = new Explorer(element, source);
  element.explorer = forTests(explorer);
  return () => explorer.close();
}

// A notebook calls `render`; a page calls `mount` with a source that is `embedded`.
export { embedded, mount };
export default {
  render({ model, el }) {
    return mount(el, live(model));
  },
};
