// One recording on its own: its dance, what is said of each beat marked on the moving body, and the beats of a timeline, which
// light up and can be clicked. Uses basics.js, data.js, stage.js, music.js, player.js.

const VERDICT_INKS = ["text", "faint", "shadow", "ground", "left", "right", "hit", "early", "late", "missed"];
const MARK_S = 0.45;  // how long a mark stays on the body
const LEAD_S = 0.6;   // a click on a beat shows the time from just before it

class Recording {
  /**
   * `told` is {header, joints (base64), skeleton, beats: [{time_s, verdict, offset_ms}]}; `cells` are the elements of the beats.
   * `music` is a sound file (ArrayBuffer), or null.
   */
  constructor(element, cells, told, music) {
    const clip = readClip({ header: { ...told.header, audio: music && "music" }, data: fromBase64(told.joints) });
    this.state = {
      clip, mate: null, phase: 0, playing: false, practising: false, speed: 1, sound: true, ink: {},
      atlas: { header: { skeleton: told.skeleton } },
    };
    this.source = { audio: async () => ({ data: music }) };
    this.frames = this;                // the parts ask `frames` to paint
    this.practice = { stop() {} };     // one recording has no other trials
    this.marks = told.beats.map((beat) => this.markOf(beat));
    this.cells = cells;
    this.stage = new Stage(this);
    this.music = new Music(this);
    this.player = new Player(this);
    element.replaceChildren(this.stage.element, this.player.element);
    element.addEventListener("keydown", (event) => this.player.key(event));
    this.root = element;
    this.stage.say("");
    this.music.load(clip);
    this.watch();
  }

  /** Follow the size and the theme, and the clicks on beats. */
  watch() {
    new ResizeObserver(() => this.paint()).observe(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readInk());
    this.cells.forEach((cell, i) => cell.addEventListener("click", () => this.showBeat(i)));
    this.readInk();
  }

  readInk() {
    const style = getComputedStyle(this.root);
    for (const name of VERDICT_INKS) this.state.ink[name] = style.getPropertyValue(`--${name}`).trim();
    this.paint();
  }

  showBeat(i) {
    const { duration } = this.state.clip.header;
    this.player.seek(Math.max(0, this.marks[i].beat - LEAD_S) / duration);
    this.player.set(true);
  }

  // --- what is said of a beat, on the body ---

  /** Where on the body and when (s) a beat is marked: at its accent the limb that is fastest then, else on the beat the root. */
  markOf({ time_s: beat, verdict, offset_ms: offset }) {
    if (offset === null) return { beat, verdict, time: beat, joint: -1, says: "missed" };
    const time = beat + offset / 1000;
    const sign = offset < 0 ? "−" : "+";
    return { beat, verdict, time, joint: this.fastest(time), says: `${verdict} ${sign}${Math.abs(offset).toFixed(0)} ms` };
  }

  /** The end of a limb that moves most around a time; without known limbs, any joint. */
  fastest(time) {
    const { clip, atlas } = this.state, { ends, sides } = atlas.header.skeleton;
    const [before, after] = [time - 0.04, time + 0.04].map((t) => clip.poseAt(Math.max(t, 0)).slice());
    const moved = (j) => Math.hypot(...[0, 1, 2].map((axis) => after[3 * j + axis] - before[3 * j + axis]));
    const joints = ends.length ? ends : sides.map((_, j) => j);
    return joints.reduce((best, j) => (moved(j) > moved(best) ? j : best));
  }

  /** The marks on the body at a time, each with how old it is (0..1). */
  marksAt(time) {
    const aged = this.marks.map((mark) => ({ ...mark, age: (time - mark.time) / MARK_S }));
    return aged.filter(({ age }) => age >= 0 && age < 1);
  }

  drawMark({ joint, verdict, says, age }) {
    const { ink } = this.state, context = this.stage.canvas.getContext("2d");
    const [x, y] = joint < 0 ? this.middle() : this.stage.places[joint];
    const radius = 9 + 16 * age;
    context.globalAlpha = 1 - age;
    context.strokeStyle = context.fillStyle = ink[verdict];
    context.lineWidth = 4;
    if (joint < 0) {
      stroke(context, [x - radius, y - radius], [x + radius, y + radius]);
      stroke(context, [x + radius, y - radius], [x - radius, y + radius]);
    } else {
      circle(context, x, y, radius);
      context.stroke();
      circle(context, x, y, 5);
      context.fill();
    }
    context.font = "600 14px system-ui, sans-serif";
    context.textAlign = "center";
    const half = context.measureText(says).width / 2 + 4;
    context.fillText(says, clamp(x, half, this.stage.canvas.clientWidth - half), Math.max(16, y - radius - 9));
    context.globalAlpha = 1;
  }

  /** The middle of the body on the canvas. */
  middle() {
    const { places } = this.stage;
    return [0, 1].map((axis) => places.reduce((sum, place) => sum + place[axis], 0) / places.length);
  }

  // --- drawing ---

  paint() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame((now) => this.draw(now));
  }

  draw(now) {
    this.queued = false;
    if (this.state.playing) this.player.advance(now);
    const { clip, phase, playing, ink } = this.state, time = phase * clip.header.duration;
    if (ink.text && this.stage.canvas.clientWidth) {
      this.stage.draw();
      this.marksAt(time).forEach((mark) => this.drawMark(mark));
      this.player.show();
    }
    const at = this.marks.findLastIndex(({ beat }) => beat <= time);
    this.cells.forEach((cell, i) => cell.classList.toggle("now", i === at));
    if (playing) this.paint();
  }
}
