// Drawing: when something has changed, at most once a frame. Uses of the explorer: state, root, map, stage, curves, player,
// practice, music, readInk.

const FRAMES_KEPT = 600;

class Frames {
  constructor(explorer) {
    this.explorer = explorer;
    this.queued = false;
    this.mapChanged = true;
    this.danceChanged = true;
    this.count = 0;       // frames so far
    this.mapTimes = [];   // when the map was drawn (ms), newest last
  }

  /** Draw the map in the next frame. */
  paintMap() {
    this.mapChanged = true;
    this.request();
  }

  /** Draw the map and the dance in the next frame. */
  paint() {
    this.danceChanged = true;
    this.paintMap();
  }

  request() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame((now) => this.draw(now));
  }

  draw(now) {
    const { state, root, map, player, music } = this.explorer;
    this.queued = false;
    if (!root.isConnected) {
      music.audio.pause();
      return;
    }
    if (!state.ink.text && !this.explorer.readInk()) return;  // in a notebook the style sheet may come after the script
    if (state.playing && state.clip) {
      player.advance(now);
      this.danceChanged = true;
    }
    if (this.danceChanged && state.clip) this.drawDance();
    if (this.mapChanged && map.overlay.clientWidth) this.drawMap(now);
    this.mapChanged = this.danceChanged = false;
    this.count++;
    if (state.playing && state.clip) this.request();
  }

  drawDance() {
    const { stage, curves, player, practice } = this.explorer;
    stage.draw();
    curves.draw();
    player.show();
    if (!practice.element.hidden) practice.draw();
  }

  drawMap(now) {
    this.explorer.map.draw();
    this.mapTimes.push(now);
    if (this.mapTimes.length > FRAMES_KEPT) this.mapTimes.shift();
  }
}
