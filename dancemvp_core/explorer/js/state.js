// What the explorer shows at this moment, as one object that all parts read. A part that changes it then asks the others
// to show it. Uses no other file; its atlas is what data.js has read.
//
// A point is the index of a piece's place on the map that is shown; a piece is an index into the atlas. The phase is 0..1
// of the piece that dances, so that two pieces of eight beats played at one phase are on the same beat.

class State {
  mapIndex = 0;
  attributeIndex = 0;        // the attribute that colours the points
  hidden = new Map();        // for an attribute's id, the Set of its bins that are filtered away
  shown = new Uint8Array(0); // for each point 1 where no filter hides it
  group = null;              // a Set of points, or none
  hover = -1;                // a point, -1 for none
  selected = -1;             // the point that dances, -1 for none and for one that is not on the map
  clip = null;               // the dance on the stage
  mate = null;               // the dance beside it
  phase = 0;
  playing = false;
  practising = false;        // all trials of a dancer are played, one after another
  speed = 1;
  sound = true;
  ink = {};                  // the style sheet's colours by name

  constructor(atlas) {
    this.atlas = atlas;
  }

  /** Another run's points: what was chosen among the points before is let go. */
  take(atlas) {
    this.atlas = atlas;
    this.selected = -1;
    this.hidden.clear();
  }

  get map() {
    return this.atlas.maps[this.mapIndex];
  }

  get attribute() {
    return this.atlas.attributes[this.attributeIndex];
  }

  /** The filters that hide something: pairs of an attribute and the Set of its hidden bins. */
  get filters() {
    const active = [...this.hidden].filter(([, bins]) => bins.size);
    return active.map(([id, bins]) => [this.attributeOf(id), bins]);
  }

  attributeOf(id) {
    return this.atlas.attributes.find((attribute) => attribute.id === id);
  }

  /** The points nearest to a point in feature space, nearest first. */
  near(point) {
    const count = this.atlas.header.neighbours;
    return Array.from(this.map.near.subarray(point * count, (point + 1) * count)).filter((other) => other >= 0);
  }

  /** The sequence and the move of a piece: under these its clip can be had. */
  clipOf(piece) {
    return [this.atlas.sequence[piece], this.atlas.move[piece]];
  }

  /** The piece of a clip's header; undefined where the atlas has none. */
  pieceOf({ sequence, primitive }) {
    return this.atlas.byClip.get(`${sequence}-${primitive}`);
  }

  /** What a piece is called: choreography, level, move and trial, as far as known. */
  nameOf(piece) {
    const says = (id) => {
      const attribute = this.attributeOf(id);
      return attribute?.known(piece) ? attribute.says(piece) : null;
    };
    const [sequence, move] = this.clipOf(piece);
    const parts = [says("choreography") ?? says("genre"), says("level"), `move ${move + 1}`];
    const own = this.atlas.practiceOf.get(sequence);
    if (own) parts.push(`trial ${own.trials[own.at].trial + 1}`);
    return parts.filter(Boolean).join(" · ");
  }
}
