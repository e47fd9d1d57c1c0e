// The dance on the stage: which piece it is, what is said about it, and the neighbour beside it.
// Uses basics.js, data.js; of the explorer: source, state, root, frames, stage, music, player, practice, neighbours.

class Dance {
  constructor(explorer) {
    this.explorer = explorer;
    this.clips = new Map();  // for a "sequence-move", the promise of its clip
    this.asked = 0;          // how often a dance was asked for: only the last one comes to the stage
    this.heading = make("h3", { text: "No dance chosen" });
    this.facts = make("p", { class: "facts", text: "A point is a piece: eight beats of one dancer, and their music." });
    this.header = make("header", {}, this.heading, this.facts);
    this.key = make("p", { class: "key" });
  }

  /** A point that is chosen dances at once. */
  async select(point) {
    const { state, player, practice } = this.explorer;
    const clip = state.clipOf(state.map.piece[point]);
    practice.stop();
    await this.show(...clip);
    if (!state.playing) player.set(true);
  }

  /** Make a piece the one that is on the stage; it plays where the one before did. */
  async show(sequence, move) {
    const { stage, frames } = this.explorer;
    const asked = ++this.asked;
    stage.say("Loading the dance …");
    const slow = setTimeout(() => stage.say("Loading the dance … (the kernel is busy, or was stopped)"), 4000);
    try {
      const clip = await this.load(sequence, move);
      if (asked === this.asked) this.take(clip);
    } catch (fault) {
      if (asked === this.asked) stage.say(fault.message);
    } finally {
      clearTimeout(slow);
      frames.paint();
    }
  }

  async load(sequence, move) {
    const id = `${sequence}-${move}`;
    if (!this.clips.has(id)) this.clips.set(id, this.explorer.source.clip(sequence, move).then(readClip));
    try {
      return await this.clips.get(id);
    } catch (fault) {
      this.clips.delete(id);
      throw fault;
    }
  }

  take(clip) {
    const { state, root, stage, music, neighbours } = this.explorer;
    state.clip = clip;
    state.selected = state.map.piece.indexOf(state.pieceOf(clip.header));
    if (!state.practising) stage.setMate(null);
    root.classList.remove("empty");
    stage.say("");
    this.describe();
    neighbours.show();
    music.load(clip);
  }

  /** Play a piece beside the one on the stage, in step; null takes it away. */
  async beside(piece) {
    const { state, frames, stage, neighbours } = this.explorer;
    try {
      stage.setMate(piece === null ? null : await this.load(...state.clipOf(piece)), piece);
    } catch (fault) {
      stage.say(fault.message);
    }
    neighbours.show();
    frames.paint();
  }

  /** Say what is known about the dance: its name, its scores, what was predicted; then the key of the curves, the trials. */
  describe() {
    const { header } = this.explorer.state.clip;
    const trial = header.trial === null ? null : `trial ${header.trial + 1}`;
    const parts = [header.choreography ?? header.genre, header.level, `move ${header.primitive + 1}`, trial];
    this.heading.textContent = parts.filter((part) => part !== null && part !== undefined).join(" · ");
    const said = [header.genre, `score ${number(header.score)}`, `BAR ${number(header.bar)} %`];
    const predicted = this.predictions(header);
    if (predicted.length) said.push(`predicted: ${predicted.join(", ")}`);
    this.facts.textContent = this.facts.title = said.filter(Boolean).join(" · ");
    this.explainCurves(header.labelled ? "labelled" : "onset");
    this.explorer.practice.show();
  }

  /** What was predicted of the piece, as "title value" with a short title. */
  predictions(header) {
    const { state } = this.explorer, piece = state.pieceOf(header);
    if (piece === undefined) return [];
    const predicted = state.atlas.attributes.filter((a) => a.group === "Prediction" && a.known(piece));
    return predicted.map((a) => {
      const title = a.title.replace(/predicted |choreography|level| \(%\)/g, "");
      return `${title} ${a.says(piece)}${a.title.includes("%") ? " %" : ""}`.trim();
    });
  }

  explainCurves(peaks) {
    const marks = [
      ["music", "▼", `music peak (${peaks})`], ["right", "✕", "missed"],
      ["good", "●", "motion peak, matched"], ["good", "○", "unmatched"],
    ];
    this.key.replaceChildren(...marks.map(([ink, mark, text]) =>
      make("span", {}, make("i", { text: mark, style: `color: var(--${ink})` }), ` ${text}`)));
  }
}
