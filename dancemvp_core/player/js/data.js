// What Python sends: a header (JSON) and one buffer of arrays. An atlas is all that is known about the points of the
// maps; a clip is one dance. Uses basics.js.
//
// Times are seconds from the piece's start, on the clip's clock.

const MISSING = 65535;  // the code of an unknown class

const KINDS = {
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array,
};

/** Named typed arrays over one buffer, by the layout {name: [dtype, first byte, items]}; copied where misaligned. */
function unpack(layout, view) {
  const whole = view instanceof ArrayBuffer;
  const bytes = whole ? new Uint8Array(view) : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const arrays = {};
  for (const [name, [kind, start, count]] of Object.entries(layout)) {
    const Kind = KINDS[kind];
    arrays[name] = new Kind(bytes.slice(start, start + count * Kind.BYTES_PER_ELEMENT).buffer);
  }
  return arrays;
}

/** The bytes of a text in base64. */
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;

// --- the atlas: maps, attributes, pieces ---

/**
 * What is known about the points. `maps[i]` has xy, piece, near and similarity. An attribute has a value for each piece;
 * `byClip` finds the piece of a "sequence-move"; `practiceOf` finds the trials of a sequence's dancer.
 */
function readAtlas(header, data) {
  const arrays = unpack(header.arrays, data);
  const attributes = header.attributes.map((about) => {
    const values = arrays[`piece.${about.id}`];
    return about.kind === "class" ? classAttribute(about, values) : numberAttribute(about, values, header.ramp);
  });
  const [sequence, move] = [arrays["piece.sequence"], arrays["piece.move"]];
  const byClip = new Map();
  sequence.forEach((_, i) => byClip.set(`${sequence[i]}-${move[i]}`, i));
  const [maps, practiceOf] = [readMaps(header, arrays), readPractice(header, arrays)];
  return { header, maps, attributes, sequence, move, byClip, practiceOf };
}

function readMaps(header, arrays) {
  const parts = ["xy", "piece", "near", "similarity"];
  return header.maps.map(({ id, title }) => ({
    id, title, ...Object.fromEntries(parts.map((part) => [part, arrays[`map.${id}.${part}`]])),
  }));
}

/**
 * An attribute of names, a level say. Both kinds of attribute tell of a piece: its bin in the legend, whether its value
 * is known, the value as text, and its colour. The bin of an unknown value comes after the last of the entries.
 */
function classAttribute(about, values) {
  const entries = about.names.map((name, i) => ({ name, colour: rgb(about.colours[i]) }));
  const bin = (piece) => (values[piece] === MISSING ? entries.length : values[piece]);
  const known = (piece) => bin(piece) < entries.length;
  const says = (piece) => (values[piece] === MISSING ? "unknown" : about.names[values[piece]]);
  const colour = (piece) => entries[bin(piece)]?.colour ?? rgb(GREY);
  return { ...about, values, entries, bin, known, says, colour };
}

/** An attribute of numbers, a score say; the legend has a bin for each equal part of its range. */
function numberAttribute(about, values, ramp) {
  const span = about.high - about.low, parts = ramp.length;
  const edge = (i) => about.low + (span * i) / parts;
  const entries = ramp.map((hex, i) => ({ name: `${number(edge(i))}–${number(edge(i + 1))}`, colour: rgb(hex) }));
  const missing = (piece) => Number.isNaN(values[piece]);
  const share = (piece) => (values[piece] - about.low) / span;
  const bin = (piece) => (missing(piece) ? parts : clamp(Math.floor(share(piece) * parts), 0, parts - 1));
  const known = (piece) => bin(piece) < entries.length;
  const says = (piece) => (missing(piece) ? "unknown" : number(values[piece]));
  const colour = (piece) => (missing(piece) ? rgb(GREY) : ramped(ramp, share(piece)));
  return { ...about, values, entries, bin, known, says, colour };
}

/** For each sequence all trials of its dancer and choreography, and at which of them it is. */
function readPractice(header, arrays) {
  const dancers = header.dancers.map(([choreography, level]) => ({ choreography, level, trials: [] }));
  arrays["practice.sequence"].forEach((sequence, i) => {
    const [trial, bar, score] = ["trial", "bar", "score"].map((name) => arrays[`practice.${name}`][i]);
    dancers[arrays["practice.dancer"][i]].trials.push({ sequence, trial, bar, score });
  });
  const practiceOf = new Map();
  for (const { trials, ...who } of dancers) {
    trials.forEach(({ sequence }, at) => practiceOf.set(sequence, { ...who, trials, at }));
  }
  return practiceOf;
}

// --- a clip: one dance ---

/** A clip's arrays, and the joints (V * 3) at a time: the nearest frames' mean by distance, after the last frame the last. */
function readClip({ header, data }) {
  const arrays = unpack(header.arrays, data);
  const size = header.joints * 3;
  const pose = new Float32Array(size);
  const poseAt = (time) => {
    const at = clamp(time * header.fps, 0, header.frames - 1);
    const first = Math.floor(at), part = at - first, last = Math.min(first + 1, header.frames - 1);
    for (let i = 0; i < size; i++) {
      const value = arrays.joints[first * size + i] * (1 - part) + arrays.joints[last * size + i] * part;
      pose[i] = header.centre[i % 3] + value * header.step;
    }
    return pose;
  };
  return { header, poseAt, ...arrays };
}
