// Practice: the trials of the dancer on the stage, their scores of rhythm as a curve, and all of them one after another.
// Uses basics.js; of the explorer: source, state, player, dance.

class Practice {
  constructor(explorer) {
    this.explorer = explorer;
    this.canvas = make("canvas", { class: "practice-curve", "aria-hidden": "true" });
    this.slider = make("input", {
      type: "range", min: 0, max: 0, value: 0, "aria-label": "trial",
      on: { input: () => this.showTrial(Number(this.slider.value)) },
    });
    this.text = make("span", { class: "trial-text" });
    this.button = button("Play all trials", "Play the trials one after another",
      () => this.set(!explorer.state.practising), { "aria-pressed": "false" });
    this.element = make("div", { class: "practice" },
      make("div", { class: "row" }, make("strong", { text: "Practice" }), this.text, this.button), this.canvas, this.slider);
  }

  /** The dancer's trials and at which of them the dance is; undefined where nothing is known of them. */
  get own() {
    const { atlas, clip } = this.explorer.state;
    return atlas.practiceOf.get(clip.header.sequence);
  }

  /** Whether a trial's dance can be had, for the move that is danced. */
  has({ sequence }) {
    const { source, state } = this.explorer;
    return source.has(sequence, state.clip.header.primitive);
  }

  show() {
    const { own } = this;
    this.element.hidden = !own || own.trials.length < 2;
    if (!own) return;
    const { trials, at } = own, { trial, bar, score } = trials[at];
    this.slider.max = trials.length - 1;
    this.slider.value = at;
    const there = trials.filter((one) => this.has(one)).length;
    const fewer = there < trials.length ? ` (${there} in this page)` : "";
    const which = `trial ${trial + 1} of ${trials.at(-1).trial + 1}`;
    this.text.textContent = `${which}, BAR ${number(bar)} %, score ${number(score)}${fewer}`;
    this.slider.setAttribute("aria-valuetext", `trial ${trial + 1}`);
  }

  /** Dance a trial, or where it cannot be had the nearest that can. */
  async showTrial(at) {
    const { dance, state } = this.explorer, { sequence, primitive } = state.clip.header;
    const there = [...this.own.trials.entries()].filter(([, trial]) => this.has(trial));
    const nearer = (best, next) => (Math.abs(next[0] - at) < Math.abs(best[0] - at) ? next : best);
    const [, nearest] = there.reduce(nearer);
    if (nearest.sequence !== sequence) await dance.show(nearest.sequence, primitive);
    else dance.describe();
  }

  set(on) {
    const { state, player } = this.explorer;
    state.practising = on;
    this.button.setAttribute("aria-pressed", String(on));
    this.button.textContent = on ? "Stop" : "Play all trials";
    if (!on) return;
    player.seek(0);
    player.set(true);
  }

  stop() {
    if (this.explorer.state.practising) this.set(false);
  }

  /** Go on with the next trial; after the last one there is no more practice. */
  async next() {
    const { own } = this;
    const next = own?.trials.slice(own.at + 1).find((trial) => this.has(trial));
    if (next) await this.explorer.dance.show(next.sequence, this.explorer.state.clip.header.primitive);
    else this.set(false);
  }

  draw() {
    const { trials, at } = this.own, { ink } = this.explorer.state;
    const { context, width, height } = sized(this.canvas);
    const x = (i) => 8 + ((width - 16) * i) / Math.max(trials.length - 1, 1);
    const y = (bar) => height - 4 - ((height - 8) * bar) / 100;
    const dot = (i, radius) => {
      if (Number.isNaN(trials[i].bar)) return;
      circle(context, x(i), y(trials[i].bar), radius);
      context.fill();
    };
    context.fillStyle = ink.quiet;
    trials.forEach((trial, i) => {
      context.globalAlpha = this.has(trial) ? 0.9 : 0.25;
      dot(i, 1.8);
    });
    context.globalAlpha = 1;
    context.strokeStyle = context.fillStyle = ink.accent;
    context.lineWidth = 2;
    stroke(context, [x(at), 0], [x(at), height]);
    dot(at, 3.5);
  }
}
