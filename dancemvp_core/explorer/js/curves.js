// The curves under the dance: music intensity above motion intensity, the peaks of both, which of them match, and the play
// head, which follows the pointer. Uses basics.js; of the explorer: state, player.

const BANDS = { left: 46, right: 8, top: 16, bottom: 15 };  // the margins around the curves, in CSS pixels
const FULL = 65535;  // the largest value of a curve

class Curves {
  constructor(explorer) {
    this.explorer = explorer;
    const canvas = make("canvas", { class: "curves", role: "img", "aria-label": "music and motion intensity with their peaks" });
    this.element = canvas;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.dataset.held = "yes";
      this.scrubTo(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (canvas.dataset.held) this.scrubTo(event); });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { delete canvas.dataset.held; });
  }

  scrubTo(event) {
    const box = this.element.getBoundingClientRect();
    this.explorer.player.seek((event.clientX - box.left - BANDS.left) / (box.width - BANDS.left - BANDS.right));
  }

  /** Draw the curves; `peaks` keeps which of the music's and the motion's peaks match. */
  draw() {
    const { clip, mate, phase, ink } = this.explorer.state;
    const matched = matchesOf(clip);
    const sheet = new CurveSheet(this.element, clip, mate, ink);
    sheet.drawScale();
    sheet.drawMusic();
    if (mate) sheet.drawMate();
    sheet.drawMotion();
    sheet.drawPairs();
    clip.music_peaks.forEach((time, i) => sheet.drawMusicPeak(time, matched.music.has(i)));
    clip.motion_peaks.forEach((time, i) => sheet.drawMotionPeak(time, matched.motion.has(i)));
    sheet.drawHead(phase);
    this.peaks = {
      music: [...clip.music_peaks].map((_, i) => matched.music.has(i)),
      motion: [...clip.motion_peaks].map((_, i) => matched.motion.has(i)),
    };
  }
}

/** The pairs of a music peak and a motion peak; -1 stands for a partner outside of the piece. */
function pairsOf(clip) {
  const pairs = [];
  for (let i = 0; i < clip.pairs.length; i += 2) pairs.push([clip.pairs[i], clip.pairs[i + 1]]);
  return pairs;
}

/** The peaks of music and of motion that have a partner, also one outside of the piece. */
function matchesOf(clip) {
  const pairs = pairsOf(clip);
  const side = (at) => new Set(pairs.map((pair) => pair[at]).filter((peak) => peak >= 0));
  return { music: side(0), motion: side(1) };
}

/** The canvas of one frame with its scales: time goes across, intensity goes up in two bands, music above motion. */
class CurveSheet {
  constructor(canvas, clip, mate, ink) {
    const { context, width, height } = sized(canvas);
    Object.assign(this, { context, clip, mate, ink, height });
    this.duration = clip.header.duration;
    this.wide = width - BANDS.left - BANDS.right;
    this.floor = height - BANDS.bottom;
    this.split = BANDS.top + (this.floor - BANDS.top) * 0.42;  // the music's floor
    // Both dancers' motion is on one scale, that of the livelier one.
    this.most = Math.max(clip.header.motion_max, mate?.header.motion_max ?? 0, 1e-9);
  }

  x(time) {
    return BANDS.left + (this.wide * time) / this.duration;
  }

  /** How high a dance's motion curve is at one of its frames; the curve's values are parts of its own maximum. */
  motionAt(dance, frame) {
    const share = ((dance.motion[frame] / FULL) * dance.header.motion_max) / this.most;
    return this.floor - share * (this.floor - this.split - 8);
  }

  drawScale() {
    const { context, floor, split, height } = this;
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = this.ink.quiet;
    context.textBaseline = "middle";
    context.fillText("music", 0, (BANDS.top + split) / 2 + 4);
    context.fillText("motion", 0, (split + floor) / 2 + 4);
    context.textBaseline = "alphabetic";
    for (let s = 0; s <= this.duration; s += 0.5) {
      context.fillRect(this.x(s), floor, 1, s % 1 ? 2 : 4);
      if (s === 0) context.fillText(`${number(this.clip.header.start, 1)} s`, this.x(s), height - 1);
      else if (s % 1 === 0) context.fillText(`+${s}`, this.x(s) - 6, height - 1);
    }
  }

  drawMusic() {
    const { context, clip, split } = this;
    if (!clip.music) {
      context.fillText("no music", BANDS.left + 4, (BANDS.top + split) / 2 + 4);
      return;
    }
    const up = (split - BANDS.top - 6) / FULL;
    context.beginPath();
    clip.music.forEach((value, i) => context.lineTo(this.x(this.timeOf(i)), split - 2 - value * up));
    context.lineTo(this.x(this.duration), split - 2);
    context.lineTo(BANDS.left, split - 2);
    context.globalAlpha = 0.3;
    context.fillStyle = this.ink.music;
    context.fill();
    context.globalAlpha = 1;
  }

  timeOf(frame) {
    return Math.min(frame / this.clip.header.fps, this.duration);
  }

  /** Draw the neighbour's motion, dashed, over the same eight beats. */
  drawMate() {
    const { context, mate, wide } = this, { fps, duration } = mate.header;
    context.setLineDash([3, 3]);
    context.strokeStyle = this.ink.quiet;
    context.lineWidth = 1;
    context.beginPath();
    mate.motion.forEach((_, i) => context.lineTo(BANDS.left + wide * Math.min(i / fps / duration, 1), this.motionAt(mate, i)));
    context.stroke();
    context.setLineDash([]);
  }

  drawMotion() {
    const { context, clip } = this;
    context.beginPath();
    clip.motion.forEach((_, i) => context.lineTo(this.x(this.timeOf(i)), this.motionAt(clip, i)));
    context.strokeStyle = this.ink.text;
    context.lineWidth = 1.5;
    context.stroke();
  }

  /** Where a peak of the motion is on its curve. */
  onMotion(time) {
    const { fps, frames } = this.clip.header;
    return [this.x(time), this.motionAt(this.clip, clamp(Math.round(time * fps), 0, frames - 1))];
  }

  drawPairs() {
    const { context, clip } = this;
    context.strokeStyle = this.ink.good;
    context.lineWidth = 1.25;
    for (const [music, motion] of pairsOf(clip)) {
      if (music < 0 || motion < 0) continue;
      stroke(context, [this.x(clip.music_peaks[music]), BANDS.top - 4], this.onMotion(clip.motion_peaks[motion]));
    }
  }

  /** Draw a triangle for a peak that the dancer met, a cross for one that was missed. */
  drawMusicPeak(time, met) {
    const { context, ink } = this, [x, y] = [this.x(time), BANDS.top - 7];
    if (met) {
      context.fillStyle = ink.music;
      context.beginPath();
      context.moveTo(x - 4.5, y - 4);
      context.lineTo(x + 4.5, y - 4);
      context.lineTo(x, y + 4);
      context.fill();
      return;
    }
    context.strokeStyle = ink.right;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x - 4, y - 4);
    context.lineTo(x + 4, y + 4);
    context.moveTo(x + 4, y - 4);
    context.lineTo(x - 4, y + 4);
    context.stroke();
  }

  /** Draw a disc for a peak on the music, a ring for one beside it. */
  drawMotionPeak(time, met) {
    const { context, ink } = this;
    circle(context, ...this.onMotion(time), 4);
    context.fillStyle = met ? ink.good : ink.ground;
    context.fill();
    context.strokeStyle = ink.good;
    context.lineWidth = 1.5;
    context.stroke();
  }

  drawHead(phase) {
    const x = this.x(phase * this.duration);
    this.context.strokeStyle = this.ink.accent;
    this.context.lineWidth = 2;
    stroke(this.context, [x, 2], [x, this.floor + 3]);
  }
}
