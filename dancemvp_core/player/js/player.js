// Time: play and pause, the scrubber, the clock and the speed. The dance goes from phase 0 to 1 and starts again.
// Uses basics.js; of the explorer: state, frames, music, practice.

const SPEEDS = [0.25, 0.5, 1, 1.5];

class Player {
  constructor(explorer) {
    this.explorer = explorer;
    this.before = null;  // when the frame before was drawn (ms), while it plays
    this.button = button("▶", "Play", () => this.set(!explorer.state.playing), { class: "play" });
    this.scrub = make("input", {
      type: "range", min: 0, max: 1000, step: 1, value: 0, "aria-label": "scrub",
      on: { input: () => this.seek(this.scrub.value / 1000) },
    });
    this.clock = make("span", { class: "clock" });
    this.speed = make("select", { "aria-label": "speed", on: { change: () => this.setSpeed(SPEEDS[this.speed.selectedIndex]) } },
      ...SPEEDS.map((speed) => make("option", { text: `${speed}×` })));
    this.speed.selectedIndex = SPEEDS.indexOf(explorer.state.speed);
    this.element = make("div", { class: "transport" }, this.button, this.scrub, this.clock, this.speed, explorer.music.button);
  }

  set(on) {
    const { state, frames, music, practice } = this.explorer;
    state.playing = on;
    this.button.textContent = on ? "❚❚" : "▶";
    this.button.title = on ? "Pause" : "Play";
    this.button.setAttribute("aria-label", this.button.title);
    if (!on) practice.stop();
    music.play();
    this.before = null;
    frames.paint();
  }

  setSpeed(speed) {
    this.explorer.state.speed = speed;
    this.explorer.music.play();
  }

  seek(phase) {
    const { state, frames, music } = this.explorer;
    state.phase = clamp(phase, 0, 1);
    music.toDance();
    frames.paint();
  }

  /** Let the time pass that has passed since the frame before; `now` is in ms. */
  advance(now) {
    const { state, music, practice } = this.explorer;
    const passed = this.before === null ? 0 : Math.min((now - this.before) / 1000, 0.25);
    this.before = now;
    state.phase += (passed * state.speed) / state.clip.header.duration;
    if (state.phase >= 1) {
      state.phase %= 1;
      music.toDance();
      if (state.practising) practice.next();
    }
    music.lead(now, passed);
  }

  /** Show the time that is drawn. */
  show() {
    const { phase, clip } = this.explorer.state, { duration } = clip.header;
    const time = number(phase * duration, 2), whole = number(duration, 2);
    this.scrub.value = Math.round(1000 * phase);
    this.scrub.setAttribute("aria-valuetext", `${time} of ${whole} seconds`);
    this.clock.textContent = `${time} / ${whole} s`;
  }

  /** A button's own space is a click; everywhere else space plays. Keys stay here: a notebook has its own. */
  key(event) {
    const { state } = this.explorer;
    if (event.key === " " && state.clip && !["BUTTON", "SELECT"].includes(event.target.tagName)) {
      event.preventDefault();
      this.set(!state.playing);
    }
    event.stopPropagation();
  }
}
