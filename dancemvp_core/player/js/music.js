// The music under the dance, and its button. The music that is heard is the clock: the dance is drawn towards it.
// Uses basics.js; of the explorer: source, state.

class Music {
  constructor(explorer) {
    this.explorer = explorer;
    this.drift = 0;         // how far the music was ahead of the dance, in s
    this.heard = null;      // the time of the music at the last look, and when it came there
    this.heardSince = 0;
    this.moved = 0;         // when the music was last moved to where the dance is
    this.key = null;        // of the piece whose music is to be heard
    this.addresses = new Map();  // for a key, the promise of its music's address
    this.button = button("Sound on", "Sound", () => this.set(!explorer.state.sound), { "aria-pressed": "true" });
    this.audio = new Audio();
    // Before its length is known the music cannot be moved.
    this.audio.addEventListener("loadedmetadata", () => { if (explorer.state.clip) this.toDance(); });
    this.audio.preload = "auto";
    this.audio.preservesPitch = true;
  }

  set(on) {
    this.explorer.state.sound = on;
    this.button.setAttribute("aria-pressed", String(on));
    this.button.textContent = on ? "Sound on" : "Sound off";
    this.play();
  }

  /** Load a clip's music, and play it from where the dance is, also where another dance to it left it elsewhere. */
  async load(clip) {
    const { audio } = this, { audio: key } = clip.header;
    this.button.disabled = !key;
    if (key !== this.key) {  // another piece's music must not be heard under this one
      audio.pause();
      audio.removeAttribute("src");
      this.key = key;
    }
    if (!key) return;
    try {
      const address = await this.addressOf(key);
      if (clip !== this.explorer.state.clip) return;
      if (audio.src !== address) audio.src = address;
      this.play();
    } catch (fault) {
      this.addresses.delete(key);
      this.button.disabled = true;
      this.button.textContent = "No sound";
      this.button.title = fault.message;
    }
  }

  addressOf(key) {
    if (!this.addresses.has(key)) {
      const address = ({ data }) => URL.createObjectURL(new Blob([data], { type: "audio/flac" }));
      this.addresses.set(key, this.explorer.source.audio(key).then(address));
    }
    return this.addresses.get(key);
  }

  /** Play at the dance's speed, or pause, as the state says. */
  play() {
    const { audio } = this, { clip, speed, playing, sound } = this.explorer.state;
    if (!clip?.header.audio || !audio.src) return;
    audio.playbackRate = clamp(clip.header.recorded_per_s * speed, 0.0625, 16);
    if (playing && sound) {
      this.toDance();
      audio.play().catch(() => {});  // before the first gesture a browser plays no sound; the next one starts it
    } else audio.pause();
  }

  /** Move the music to where the dance is. The recording runs faster than the clip's clock where it was stretched. */
  toDance() {
    const { audio } = this, { phase, clip } = this.explorer.state;
    if (!audio.src || !Number.isFinite(audio.duration)) return;
    audio.currentTime = Math.min(phase * clip.header.duration * clip.header.recorded_per_s, audio.duration);
  }

  /** Draw the dance towards the music that is heard; move the music only where it is far off. `passed` is in s, `now` in ms. */
  lead(now, passed) {
    const { audio } = this, { state } = this.explorer;
    if (!state.sound || !audio.src) return;
    if (audio.paused && audio.readyState > 2) {
      this.play();
      return;
    }
    if (audio.paused || audio.seeking || this.standsStill(now)) return;
    const { duration, recorded_per_s } = state.clip.header;
    this.drift = audio.currentTime / recorded_per_s - state.phase * duration;
    const share = 1 - Math.exp(-passed / 0.1);  // within a tenth of a second, however few frames there are
    if (Math.abs(this.drift) < 0.25) state.phase = clamp(state.phase + (share * this.drift) / duration, 0, 1);
    else if (now - this.moved > 1000) {
      this.moved = now;
      this.toDance();
    }
  }

  /** Whether the music has stood still for a while, without an output device say; then the dance goes on alone. */
  standsStill(now) {
    if (this.audio.currentTime !== this.heard) [this.heard, this.heardSince] = [this.audio.currentTime, now];
    return now - this.heardSince > 300;
  }

  close() {
    this.audio.pause();
    this.addresses.forEach((address) => address.then((text) => URL.revokeObjectURL(text), () => {}));
  }
}
