// The explorer in the browser: a map of points, and behind each point a dance with its music. No dependency, no request:
// everything that is shown comes through a `source`, of which there are two.
//
//   source.header, source.points   what dancemvp_core/explorer/scene.py calls an atlas: JSON and one buffer of arrays
//   source.has(sequence, move)     whether that clip can be had
//   source.clip(sequence, move), source.audio(key), source.atlas(encoder)   promises of {header, data}
//
// In a notebook (`render`, the anywidget form) they are messages to the kernel; in the static page (`embedded`) they are
// in the page. Times are seconds from the piece's start, on the clip's clock; `phase` is 0..1 of the piece, so that two
// pieces of eight beats played at one phase are on the same beat.

const MISSING = 65535;
const GREY = "#9a9a9a";
const SPEEDS = [0.25, 0.5, 1, 1.5];

// --- arrays and small things ---------------------------------------------------------------------------------------

const KINDS = {
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array,
};

/** Named typed arrays over one buffer, by the layout {name: [dtype, first byte, items]}; copied where misaligned. */
export function unpack(layout, view) {
  const bytes = view instanceof ArrayBuffer ? new Uint8Array(view) : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const arrays = {};
  for (const [name, [kind, start, count]] of Object.entries(layout)) {
    const Kind = KINDS[kind];
    arrays[name] = new Kind(bytes.slice(start, start + count * Kind.BYTES_PER_ELEMENT).buffer);
  }
  return arrays;
}

/** An element with properties (class, text, on: {event: handler}, anything else an attribute) and children. */
function make(tag, { class: name, text, on = {}, ...rest } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  for (const [event, handler] of Object.entries(on)) element.addEventListener(event, handler);
  for (const [key, value] of Object.entries(rest)) if (value !== undefined && value !== null) element.setAttribute(key, value);
  element.append(...children.filter((child) => child));
  return element;
}

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const number = (x, digits = 0) => (x === null || x === undefined || Number.isNaN(x) ? "–" : x.toFixed(digits));

/** A colour of a ramp of hex colours, at 0..1. */
function ramped(ramp, share) {
  const at = clamp(share, 0, 1) * (ramp.length - 1);
  const [low, high] = [ramp[Math.floor(at)], ramp[Math.ceil(at)]].map(rgb);
  return low.map((c, i) => Math.round(c + (high[i] - c) * (at % 1)));
}

/** A 2-D context sized to its element in device pixels, in which one unit is a CSS pixel; its size, and whether it has one. */
function sized(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// --- the two sources -----------------------------------------------------------------------------------------------

/** Clips and atlases from the kernel: each question has an id that its answer repeats. */
function live(model) {
  const waiting = new Map();
  const buffer = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  const listen = (message, buffers) => {
    const asked = waiting.get(message.id);
    if (!asked) return;
    waiting.delete(message.id);
    if (message.error) asked.reject(new Error(message.error));
    else asked.resolve({ header: message.header, data: buffer(buffers[0]) });
  };
  model.on("msg:custom", listen);
  const ask = (question) =>
    new Promise((resolve, reject) => {
      const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
      waiting.set(id, { resolve, reject });
      model.send({ ...question, id });
    });
  return {
    header: model.get("header"),
    points: model.get("points"),
    has: () => true,
    clip: (sequence, primitive) => ask({ ask: "clip", sequence, primitive }),
    audio: (key) => ask({ ask: "audio", key }),
    atlas: (encoder) => ask({ ask: "atlas", encoder }),
    close: () => model.off("msg:custom", listen),
  };
}

/** Everything in the page: {header, points, clips: {"sequence-move": [header, arrays]}, audio: {key: flac}}, in base64. */
export function embedded(page) {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const clip = async (key) => {
    if (!page.clips[key]) throw new Error("This dance is not in the page.");
    const [header, data] = page.clips[key];
    return { header, data: bytes(data) };
  };
  return {
    header: page.header,
    points: bytes(page.points),
    has: (sequence, move) => `${sequence}-${move}` in page.clips,
    clip: (sequence, move) => clip(`${sequence}-${move}`),
    audio: async (key) => ({ header: {}, data: bytes(page.audio[key]) }),
    atlas: async () => Promise.reject(new Error("Other runs are not in the page.")),
    close: () => {},
  };
}

// --- atlas: points and attributes ----------------------------------------------------------------------------------

/** What is known about the points: `maps[i]` with xy, piece, near, similarity; attributes with a bin for each piece. */
function readAtlas(header, data) {
  const arrays = unpack(header.arrays, data);
  const maps = header.maps.map(({ id, title }) => ({
    id, title, ...Object.fromEntries(["xy", "piece", "near", "similarity"].map((k) => [k, arrays[`map.${id}.${k}`]])),
  }));
  const attributes = header.attributes.map((about) => {
    const values = arrays[`piece.${about.id}`];
    if (about.kind === "class") {
      const entries = about.names.map((name, i) => ({ name, colour: rgb(about.colours[i]) }));
      const bin = (piece) => (values[piece] === MISSING ? entries.length : values[piece]);
      const says = (piece) => (values[piece] === MISSING ? "unknown" : about.names[values[piece]]);
      return { ...about, values, entries, bin, says, colour: (piece) => entries[bin(piece)]?.colour ?? rgb(GREY) };
    }
    const span = about.high - about.low;
    const fifths = header.ramp.length;
    const edge = (i) => about.low + (span * i) / fifths;
    const entries = header.ramp.map((hex, i) => ({ name: `${number(edge(i))}–${number(edge(i + 1))}`, colour: rgb(hex) }));
    const share = (piece) => (values[piece] - about.low) / span;
    const bin = (piece) => (Number.isNaN(values[piece]) ? fifths : clamp(Math.floor(share(piece) * fifths), 0, fifths - 1));
    const says = (piece) => (Number.isNaN(values[piece]) ? "unknown" : number(values[piece]));
    const colour = (piece) => (Number.isNaN(values[piece]) ? rgb(GREY) : ramped(header.ramp, share(piece)));
    return { ...about, values, entries, bin, says, colour };
  });
  const count = arrays["piece.sequence"].length;
  const byClip = new Map();
  for (let i = 0; i < count; i++) byClip.set(`${arrays["piece.sequence"][i]}-${arrays["piece.move"][i]}`, i);
  return { header, arrays, maps, attributes, sequence: arrays["piece.sequence"], move: arrays["piece.move"], byClip, count };
}

// --- the map: points by WebGL2, or by 2-D canvas where there is none -------------------------------------------------

const VERTEX = `#version 300 es
in vec2 at; in vec4 colour; uniform vec4 view; uniform float size; out vec4 tint;
void main() { gl_Position = vec4(at * view.xy + view.zw, 0.0, 1.0); gl_PointSize = colour.a > 0.0 ? size : 0.0; tint = colour; }`;
const FRAGMENT = `#version 300 es
precision highp float; in vec4 tint; uniform float size; uniform vec3 outline; out vec4 pixel;
void main() { float edge = (0.5 - length(gl_PointCoord - 0.5)) * size; float a = tint.a * clamp(edge, 0.0, 1.0);
  if (a <= 0.0) discard; pixel = vec4(mix(outline, tint.rgb, 0.75 + 0.25 * clamp(edge - 0.8, 0.0, 1.0)) * a, a); }`;

/** Draws points (xy in map units, rgba bytes) through a view {scale, x, y}: screen = map * scale + offset. */
function pointPainter(canvas) {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: true });
  if (!gl) return flatPainter(canvas);
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const feed = (name, items, kind, normalised) => {
    const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, items, kind, normalised, 0, 0);
    return (data) => { gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW); };
  };
  const places = feed("at", 2, gl.FLOAT, false), tints = feed("colour", 4, gl.UNSIGNED_BYTE, true);
  const [view, size, outline] = ["view", "size", "outline"].map((name) => gl.getUniformLocation(program, name));
  let count = 0;
  return {
    kind: "webgl2",
    set: (xy, rgba) => { places(xy); tints(rgba); count = xy.length / 2; },
    tint: tints,
    draw({ scale, x, y }, radius, ink) {
      const ratio = window.devicePixelRatio || 1;
      const { clientWidth: width, clientHeight: height } = canvas;
      const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform4f(view, (2 * scale) / width, (2 * scale) / height, (2 * x) / width - 1, 1 - (2 * y) / height);
      gl.uniform1f(size, 2 * radius * ratio);
      gl.uniform3f(outline, ...rgb(ink).map((c) => c / 255));
      gl.drawArrays(gl.POINTS, 0, count);
    },
  };
}

function flatPainter(canvas) {
  let points, colours;
  return {
    kind: "2d",
    set: (xy, rgba) => { points = xy; colours = rgba; },
    tint: (rgba) => { colours = rgba; },
    draw({ scale, x, y }, radius) {
      const { context } = sized(canvas);
      for (let i = 0; i < points.length / 2; i++) {
        if (!colours[4 * i + 3]) continue;
        context.fillStyle = `rgba(${colours[4 * i]},${colours[4 * i + 1]},${colours[4 * i + 2]},${colours[4 * i + 3] / 255})`;
        context.fillRect(points[2 * i] * scale + x - radius, y - points[2 * i + 1] * scale - radius, 2 * radius, 2 * radius);
      }
    },
  };
}

/** Points in square cells, so that the nearest to a place is found among few. */
function gridOf(xy) {
  const count = xy.length / 2;
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < count; i++) {
    left = Math.min(left, xy[2 * i]); right = Math.max(right, xy[2 * i]);
    low = Math.min(low, xy[2 * i + 1]); high = Math.max(high, xy[2 * i + 1]);
  }
  const cell = Math.max(right - left, high - low, 1e-6) / Math.max(4, Math.sqrt(count));
  const cells = new Map();
  const key = (x, y) => `${Math.floor((x - left) / cell)},${Math.floor((y - low) / cell)}`;
  for (let i = 0; i < count; i++) {
    const at = key(xy[2 * i], xy[2 * i + 1]);
    if (!cells.has(at)) cells.set(at, []);
    cells.get(at).push(i);
  }
  /** The nearest point within a radius (map units) for which `allowed` is true; -1 for none. */
  const nearest = (x, y, radius, allowed) => {
    let best = -1, closest = radius * radius;
    for (let gx = x - radius; gx < x + radius + cell; gx += cell) {
      for (let gy = y - radius; gy < y + radius + cell; gy += cell) {
        for (const i of cells.get(key(gx, gy)) ?? []) {
          const distance = (xy[2 * i] - x) ** 2 + (xy[2 * i + 1] - y) ** 2;
          if (distance <= closest && allowed(i)) { closest = distance; best = i; }
        }
      }
    }
    return best;
  };
  return { left, right, low, high, nearest };
}

const inside = (polygon, x, y) => {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
};

// --- the skeleton: joints between frames, seen through an orbiting camera ---------------------------------------------

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

/** World (x across, y up, z to the viewer; floor at 0) to screen: turn by yaw, tilt by pitch, perspective from 5 reaches. */
function camera({ yaw, pitch, zoom }, reach, height, width, tall) {
  const scale = (zoom * 0.43 * Math.min(width, tall)) / Math.max(reach, height / 2);
  const far = 5 * reach, middle = height / 2;
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return (x, y, z) => {
    const turned = x * cy + z * sy, depth = z * cy - x * sy, up = y - middle;
    const rise = up * cp - depth * sp, near = depth * cp + up * sp;
    const k = far / (far - near);
    return [width / 2 + turned * k * scale, tall / 2 - rise * k * scale, k];
  };
}

/** Draws one dancer; returns the joints' places on the canvas in CSS pixels. */
function drawDancer(canvas, clip, time, orbit, skeleton, ink) {
  const { context: c, width, height } = sized(canvas);
  const project = camera(orbit, clip.header.reach, clip.header.height, width, height);
  const reach = clip.header.reach, line = Math.max(2, Math.min(width, height) / 60);
  c.lineCap = "round";
  c.lineWidth = 1;
  c.strokeStyle = ink.faint;
  for (let i = -2; i <= 2; i++) {
    for (const [a, b] of [[[i / 2, -1], [i / 2, 1]], [[-1, i / 2], [1, i / 2]]]) {
      const [p, q] = [a, b].map(([x, z]) => project(x * reach, 0, z * reach));
      c.beginPath(); c.moveTo(p[0], p[1]); c.lineTo(q[0], q[1]); c.stroke();
    }
  }
  for (const joint of skeleton.ends) {  // where hands and feet have just been
    c.strokeStyle = skeleton.sides[joint] === 1 ? ink.left : ink.right;
    let before = null;
    for (let step = 16; step >= 0; step--) {
      const pose = clip.poseAt(Math.max(0, time - step * 0.025));
      const place = project(...pose.slice(3 * joint, 3 * joint + 3));
      if (before) {
        c.globalAlpha = 0.35 * (1 - step / 16);
        c.beginPath(); c.moveTo(before[0], before[1]); c.lineTo(place[0], place[1]); c.stroke();
      }
      before = place;
    }
  }
  c.globalAlpha = 1;
  const pose = clip.poseAt(time);
  const at = (joint) => [pose[3 * joint], pose[3 * joint + 1], pose[3 * joint + 2]];
  c.strokeStyle = ink.shadow;
  c.lineWidth = line;
  for (const [child, parent] of skeleton.bones) {
    const [p, q] = [child, parent].map((j) => project(at(j)[0], 0, at(j)[2]));
    c.beginPath(); c.moveTo(p[0], p[1]); c.lineTo(q[0], q[1]); c.stroke();
  }
  const places = skeleton.sides.map((_, j) => project(...at(j)));
  const order = skeleton.bones.map(([child, parent]) => [child, parent, places[child][2] + places[parent][2]]);
  order.sort((a, b) => a[2] - b[2]);  // far bones first
  for (const [child, parent, near] of order) {
    const side = skeleton.sides[child];
    c.strokeStyle = side === 1 ? ink.left : side === 2 ? ink.right : ink.text;
    c.lineWidth = line * (near / 2);
    c.beginPath(); c.moveTo(places[child][0], places[child][1]); c.lineTo(places[parent][0], places[parent][1]); c.stroke();
  }
  if (skeleton.head >= 0) {
    const [x, y, k] = places[skeleton.head];
    c.fillStyle = ink.text;
    c.beginPath(); c.arc(x, y, 2.1 * line * k, 0, 2 * Math.PI); c.fill();
  }
  return places.map(([x, y]) => [x, y]);
}

// --- intensities under the dance ---------------------------------------------------------------------------------------

const BANDS = { left: 46, right: 8, top: 16, bottom: 15 };

/** Music intensity above motion intensity, the peaks, which of them match, and the play head. */
function drawIntensities(canvas, clip, mate, phase, ink) {
  const { context: c, width, height } = sized(canvas);
  const { left, right, top, bottom } = BANDS;
  const duration = clip.header.duration, wide = width - left - right;
  const split = top + (height - top - bottom) * 0.42, floor = height - bottom;
  const x = (time) => left + (wide * time) / duration;
  // Both dancers' motion on one scale, that of the livelier one; a curve's values are 65535ths of its own maximum.
  const most = Math.max(clip.header.motion_max, mate?.header.motion_max ?? 0, 1e-9);
  const motionAt = (own, i) => floor - ((own.motion[i] / 65535) * own.header.motion_max / most) * (floor - split - 8);
  c.font = "11px system-ui, sans-serif";
  c.fillStyle = ink.quiet;
  c.textBaseline = "middle";
  c.fillText("music", 0, (top + split) / 2 + 4);
  c.fillText("motion", 0, (split + floor) / 2 + 4);
  c.textBaseline = "alphabetic";
  for (let s = 0; s <= duration; s += 0.5) {
    c.fillRect(x(s), floor, 1, s % 1 ? 2 : 4);
    if (s % 1 === 0) c.fillText(s === 0 ? `${number(clip.header.start, 1)} s` : `+${s}`, x(s) - (s === 0 ? 0 : 6), height - 1);
  }
  if (clip.music) {
    c.beginPath();
    clip.music.forEach((v, i) => c.lineTo(x(Math.min(i / clip.header.fps, duration)), split - 2 - (v / 65535) * (split - top - 6)));
    c.lineTo(x(duration), split - 2); c.lineTo(left, split - 2);
    c.globalAlpha = 0.3; c.fillStyle = ink.music; c.fill(); c.globalAlpha = 1;
  } else c.fillText("no music", left + 4, (top + split) / 2 + 4);
  if (mate) {
    c.setLineDash([3, 3]); c.strokeStyle = ink.quiet; c.lineWidth = 1;
    c.beginPath();
    mate.motion.forEach((_, i) => c.lineTo(left + wide * Math.min(i / mate.header.fps / mate.header.duration, 1), motionAt(mate, i)));
    c.stroke(); c.setLineDash([]);
  }
  c.beginPath();
  clip.motion.forEach((_, i) => c.lineTo(x(Math.min(i / clip.header.fps, duration)), motionAt(clip, i)));
  c.strokeStyle = ink.text; c.lineWidth = 1.5; c.stroke();
  const peakHeight = (time) => motionAt(clip, clamp(Math.round(time * clip.header.fps), 0, clip.header.frames - 1));
  const matched = { music: new Set(), motion: new Set() };
  for (let i = 0; i < clip.pairs.length; i += 2) {
    const [m, d] = [clip.pairs[i], clip.pairs[i + 1]];
    if (m >= 0) matched.music.add(m);
    if (d >= 0) matched.motion.add(d);
    if (m < 0 || d < 0) continue;
    c.strokeStyle = ink.good; c.lineWidth = 1.25;
    c.beginPath(); c.moveTo(x(clip.music_peaks[m]), top - 4); c.lineTo(x(clip.motion_peaks[d]), peakHeight(clip.motion_peaks[d])); c.stroke();
  }
  clip.music_peaks.forEach((time, i) => {
    const [px, py] = [x(time), top - 7];
    if (matched.music.has(i)) {
      c.fillStyle = ink.music;
      c.beginPath(); c.moveTo(px - 4.5, py - 4); c.lineTo(px + 4.5, py - 4); c.lineTo(px, py + 4); c.fill();
    } else {
      c.strokeStyle = ink.right; c.lineWidth = 2;
      c.beginPath(); c.moveTo(px - 4, py - 4); c.lineTo(px + 4, py + 4); c.moveTo(px + 4, py - 4); c.lineTo(px - 4, py + 4); c.stroke();
    }
  });
  clip.motion_peaks.forEach((time, i) => {
    c.beginPath(); c.arc(x(time), peakHeight(time), 4, 0, 2 * Math.PI);
    c.fillStyle = matched.motion.has(i) ? ink.good : ink.ground; c.fill();
    c.strokeStyle = ink.good; c.lineWidth = 1.5; c.stroke();
  });
  c.strokeStyle = ink.accent; c.lineWidth = 2;
  c.beginPath(); c.moveTo(x(phase * duration), 2); c.lineTo(x(phase * duration), floor + 3); c.stroke();
  return { music: [...clip.music_peaks].map((_, i) => matched.music.has(i)), motion: [...clip.motion_peaks].map((_, i) => matched.motion.has(i)) };
}

// --- the explorer --------------------------------------------------------------------------------------------------------

/** Build the explorer in an element; returns a function that takes it down. `element.explorer` tells tests what is drawn. */
export function mount(element, source) {
  let atlas = readAtlas(source.header, source.points);
  const down = [];
  const state = {
    map: 0, attribute: 0, hidden: new Map(), group: null, hover: -1, selected: -1, lasso: null, lassoing: false,
    clip: null, mate: null, wanted: 0, phase: 0, playing: false, speed: 1, sound: true, practising: false,
    view: { scale: 1, x: 0, y: 0 }, orbit: { yaw: 0.45, pitch: 0.12, zoom: 1 }, ink: {},
  };
  const stats = { frames: 0, panning: [], drift: 0 };
  const map = () => atlas.maps[state.map];
  const attribute = () => atlas.attributes[state.attribute];

  // Elements, in the order in which they are read.
  const mapChoice = make("select", { "aria-label": "map", on: { change: () => showMap(mapChoice.selectedIndex) } });
  const colourChoice = make("select", { "aria-label": "colour by", on: { change: () => colourBy(colourChoice.selectedIndex) } });
  const runChoice = make("select", { "aria-label": "run", on: { change: () => changeRun(runChoice.value) } });
  const button = (text, title, handler, extra = {}) => make("button", { type: "button", text, title, "aria-label": title, on: { click: handler }, ...extra });
  const lassoButton = button("Lasso", "Lasso: draw around points (or drag with Shift)", () => setLassoing(!state.lassoing), { "aria-pressed": "false" });
  const showAll = button("Show all", "Show all: lift every filter", () => { state.hidden.clear(); refilter(); });
  const tally = make("span", { class: "tally", role: "status" });
  const runLabel = make("label", {}, make("span", { text: "Run" }), runChoice);
  const toolbar = make("div", { class: "toolbar", role: "toolbar", "aria-label": "map" },
    runLabel, make("label", {}, make("span", { text: "Map" }), mapChoice), make("label", {}, make("span", { text: "Colour" }), colourChoice), tally);

  const points = make("canvas", { class: "points", "aria-hidden": "true" });
  const overlay = make("canvas", {
    class: "overlay", tabindex: "0", role: "application",
    "aria-label": "Map of pieces. Arrow keys move to the next point, Enter makes it dance, plus and minus zoom.",
  });
  const tip = make("div", { class: "tip", hidden: "" });
  const tools = make("div", { class: "tools" }, lassoButton, button("+", "Zoom in", () => zoom(1.4)), button("−", "Zoom out", () => zoom(1 / 1.4)), button("Fit", "Fit the map", () => fit()));
  const frame = make("div", { class: "frame" }, points, overlay, tools, tip);
  const legend = make("div", { class: "legend", role: "group", "aria-label": "legend and filter" });
  const group = make("div", { class: "group", "aria-live": "polite" });
  const left = make("section", { class: "left", "aria-label": "map" }, frame, legend, group);

  const heading = make("h3", { text: "No dance chosen" });
  const facts = make("p", { class: "facts", text: "A point is a piece: eight beats of one dancer, and their music." });
  const stageA = make("canvas", { class: "dancer", tabindex: "0", role: "img", "aria-label": "skeleton; drag or arrow keys turn it" });
  const stageB = make("canvas", { class: "dancer", tabindex: "0", role: "img", "aria-label": "neighbour's skeleton" });
  const mateName = make("span", { class: "name" });
  const boxA = make("div", { class: "box" }, stageA), boxB = make("div", { class: "box", hidden: "" }, stageB, mateName);
  const waiting = make("div", { class: "waiting", role: "status", text: "Click a point to see it dance" });
  const sides = make("div", { class: "sides", title: "the dancer's left and right" }, make("span", { text: "left", style: "color: var(--left)" }), make("span", { text: "right", style: "color: var(--right)" }));
  const dancers = make("div", { class: "dancers" }, boxA, boxB, sides, waiting);
  const play = button("▶", "Play", () => setPlaying(!state.playing), { class: "play" });
  const scrub = make("input", { type: "range", min: 0, max: 1000, step: 1, value: 0, "aria-label": "scrub", on: { input: () => seek(scrub.value / 1000) } });
  const clock = make("span", { class: "clock" });
  const speed = make("select", { "aria-label": "speed", on: { change: () => { state.speed = SPEEDS[speed.selectedIndex]; hear(); } } });
  SPEEDS.forEach((s) => speed.append(make("option", { text: `${s}×` })));
  speed.selectedIndex = 2;
  const sound = button("Sound on", "Sound", () => setSound(!state.sound), { "aria-pressed": "true" });
  const transport = make("div", { class: "transport" }, play, scrub, clock, speed, sound);
  const curves = make("canvas", { class: "curves", role: "img", "aria-label": "music and motion intensity with their peaks" });
  const key = make("p", { class: "key" });
  const practiceCanvas = make("canvas", { class: "practice-curve", "aria-hidden": "true" });
  const trial = make("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "trial", on: { input: () => showTrial(Number(trial.value)) } });
  const trialText = make("span", { class: "trial-text" });
  const practise = button("Play all trials", "Play the trials one after another", () => setPractising(!state.practising), { "aria-pressed": "false" });
  const practice = make("div", { class: "practice" }, make("div", { class: "row" }, make("strong", { text: "Practice" }), trialText, practise), practiceCanvas, trial);
  const neighbours = make("div", { class: "neighbours", role: "group", "aria-label": "nearest neighbours" });
  const under = make("div", { class: "under" }, transport, curves, key, practice, neighbours);
  const right = make("section", { class: "right", "aria-label": "dance" }, make("header", {}, heading, facts), dancers, under);
  const note = make("p", { class: "note" });
  const root = make("div", { class: "dancemvp-explorer empty", "data-lm-suppress-shortcuts": "true" }, toolbar, make("div", { class: "halves" }, left, right), note);
  element.replaceChildren(root);

  const audio = new Audio();
  audio.addEventListener("loadedmetadata", () => { if (state.clip) soundTo(); });  // before that it cannot be moved
  audio.preload = "auto";
  audio.preservesPitch = true;
  const sounds = new Map(), clips = new Map();
  const painter = pointPainter(points);
  let rgba = new Uint8Array(0), shown = new Uint8Array(0), grid = null;

  // Colours come from the style sheet, so that the theme is said in one place.
  const readInk = () => {
    const style = getComputedStyle(root);
    for (const name of ["text", "quiet", "faint", "shadow", "ground", "accent", "left", "right", "good", "music"]) {
      state.ink[name] = style.getPropertyValue(`--${name}`).trim();
    }
    paint();
    return state.ink.text !== "";
  };

  // --- map ---

  function showAtlas() {
    const { header } = atlas;
    mapChoice.replaceChildren(...atlas.maps.map(({ title, piece }) => make("option", { text: `${title}, ${piece.length} pieces` })));
    const groups = new Map();
    for (const { title, group: name } of atlas.attributes) {
      if (!groups.has(name)) groups.set(name, make("optgroup", { label: name }));
      groups.get(name).append(make("option", { text: title }));
    }
    colourChoice.replaceChildren(...groups.values());
    runChoice.replaceChildren(...header.encoders.map((name) => make("option", { text: name, value: name })));
    runChoice.value = header.encoder;
    runLabel.hidden = header.encoders.length < 2;
    note.textContent = `${header.synthetic ? "Synthetic data: " : ""}${header.dataset}, profile ${header.profile}, features of ${header.encoder}. ${header.note}`;
    state.attribute = 0;
    showMap(0);
  }

  function showMap(index) {
    const piece = state.selected >= 0 ? map()?.piece[state.selected] : undefined;
    state.map = index;
    mapChoice.selectedIndex = index;
    state.group = null;
    state.hover = -1;
    state.selected = piece === undefined ? -1 : map().piece.indexOf(piece);
    grid = gridOf(map().xy);
    rgba = new Uint8Array(4 * map().piece.length);
    shown = new Uint8Array(map().piece.length);
    refilter(() => painter.set(map().xy, rgba));
    fit();
    showNeighbours();
  }

  function colourBy(index) {
    state.attribute = index;
    refilter();
  }

  /** Which points are shown and in what colour; then the legend and the count. */
  function refilter(upload = () => painter.tint(rgba)) {
    const { piece } = map(), own = attribute();
    const filters = [...state.hidden].filter(([, bins]) => bins.size).map(([id, bins]) => [atlas.attributes.find((a) => a.id === id), bins]);
    const counts = new Array(own.entries.length + 1).fill(0);
    let visible = 0;
    for (let i = 0; i < piece.length; i++) {
      shown[i] = filters.every(([a, bins]) => !bins.has(a.bin(piece[i]))) ? 1 : 0;
      visible += shown[i];
      counts[own.bin(piece[i])]++;
      rgba.set(own.colour(piece[i]), 4 * i);
      rgba[4 * i + 3] = shown[i] ? (state.group && !state.group.has(i) ? 40 : 225) : 0;
    }
    upload();
    colourChoice.selectedIndex = state.attribute;
    const names = [...own.entries, { name: "unknown", colour: rgb(GREY) }];
    const bins = state.hidden.get(own.id) ?? new Set();
    legend.replaceChildren(...names.map(({ name, colour }, bin) => counts[bin] === 0 ? null : make("button", {
      type: "button", class: "entry", "aria-pressed": String(!bins.has(bin)), "data-bin": bin,
      title: `${name}: ${counts[bin]} pieces; click to ${bins.has(bin) ? "show" : "hide"}, double-click for it alone`,
      on: { click: () => toggleBin(own.id, bin), dblclick: () => aloneBin(own.id, bin, counts) },
    }, make("i", { style: `background: rgb(${colour})` }), make("span", { text: name }), make("small", { text: counts[bin] }))).filter(Boolean));
    const others = filters.filter(([a]) => a !== own).map(([a]) => a.title);
    if (filters.length) legend.append(showAll);
    tally.textContent = `${visible} of ${piece.length} pieces${others.length ? `, filtered by ${others.join(", ")}` : ""}`;
    if (state.group) describeGroup();
    else group.replaceChildren(make("p", { class: "hint", text: "Lasso a group to see what it is made of." }),
      button("Group all shown", "Take all shown pieces as a group", () => setGroup(piece.map((_, i) => i).filter((i) => shown[i]))));
    root.dataset.shown = visible;
    paintMap();
  }

  function toggleBin(id, bin) {
    const bins = state.hidden.get(id) ?? new Set();
    if (!bins.delete(bin)) bins.add(bin);
    state.hidden.set(id, bins);
    refilter();
    legend.querySelector(`[data-bin="${bin}"]`)?.focus();
  }

  function aloneBin(id, bin, counts) {
    state.hidden.set(id, new Set(counts.map((_, i) => i).filter((i) => i !== bin)));
    refilter();
  }

  function fit() {
    const { clientWidth: width, clientHeight: height } = overlay;
    if (!width || !grid) return;
    const scale = Math.min((width - 36) / Math.max(grid.right - grid.left, 1e-6), (height - 36) / Math.max(grid.high - grid.low, 1e-6));
    state.view = { scale, x: width / 2 - (scale * (grid.left + grid.right)) / 2, y: height / 2 + (scale * (grid.low + grid.high)) / 2 };
    state.fitted = scale;
    state.moved = false;
    paintMap();
  }

  function zoom(factor, x = overlay.clientWidth / 2, y = overlay.clientHeight / 2) {
    const { view } = state;
    const scale = clamp(view.scale * factor, 0.4 * state.fitted, 60 * state.fitted), by = scale / view.scale;
    state.view = { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
    state.moved = true;
    paintMap();
  }

  const toScreen = (i) => [map().xy[2 * i] * state.view.scale + state.view.x, state.view.y - map().xy[2 * i + 1] * state.view.scale];
  const toMap = (x, y) => [(x - state.view.x) / state.view.scale, (state.view.y - y) / state.view.scale];
  const pick = (x, y) => grid.nearest(...toMap(x, y), 9 / state.view.scale, (i) => shown[i]);
  const radius = () => clamp(2.2 * Math.sqrt(state.view.scale / state.fitted) * Math.sqrt(1200 / Math.max(map().piece.length, 1)) + 1.4, 2, 6);

  function drawMap() {
    painter.draw(state.view, radius(), state.ink.text);
    const { context: c } = sized(overlay);
    const { ink } = state, size = radius();
    const ring = (i, colour, extra, width = 2) => {
      const [x, y] = toScreen(i);
      c.strokeStyle = colour; c.lineWidth = width;
      c.beginPath(); c.arc(x, y, size + extra, 0, 2 * Math.PI); c.stroke();
    };
    if (state.selected >= 0) {
      const [x, y] = toScreen(state.selected);
      c.strokeStyle = ink.text; c.globalAlpha = 0.6; c.lineWidth = 1;
      for (const i of nearOf(state.selected)) {
        const [nx, ny] = toScreen(i);
        c.beginPath(); c.moveTo(x, y); c.lineTo(nx, ny); c.stroke();
      }
      c.globalAlpha = 1;
      nearOf(state.selected).forEach((i) => ring(i, ink.text, 2, 1.25));
      ring(state.selected, ink.ground, 3, 5);
      ring(state.selected, ink.accent, 3, 2.5);
    }
    if (state.hover >= 0) ring(state.hover, ink.text, 2);
    if (state.lasso?.length > 1) {
      c.beginPath();
      state.lasso.forEach(([x, y]) => c.lineTo(x, y));
      c.closePath();
      c.fillStyle = ink.accent; c.globalAlpha = 0.12; c.fill(); c.globalAlpha = 1;
      c.strokeStyle = ink.accent; c.lineWidth = 1.5; c.setLineDash([5, 4]); c.stroke(); c.setLineDash([]);
    }
    root.dataset.painted = map().id;
  }

  const place = (event) => {
    const box = overlay.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let drag = null;
  overlay.addEventListener("pointerdown", (event) => {
    const [x, y] = place(event);
    overlay.setPointerCapture(event.pointerId);
    overlay.focus({ preventScroll: true });
    if (state.lassoing || event.shiftKey) state.lasso = [[x, y]];
    drag = { x, y, moved: false, view: { ...state.view } };
  });
  overlay.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!drag) return hoverOver(pick(x, y), x, y);
    if (Math.hypot(x - drag.x, y - drag.y) > 3) drag.moved = true;
    if (state.lasso) state.lasso.push([x, y]);
    else if (drag.moved) {
      hoverOver(-1);
      state.moved = true;
      state.view = { ...drag.view, x: drag.view.x + x - drag.x, y: drag.view.y + y - drag.y };
    }
    paintMap();
  });
  overlay.addEventListener("pointerup", (event) => {
    const [x, y] = place(event), was = drag;
    drag = null;
    if (state.lasso) {
      const polygon = state.lasso.map(([px, py]) => toMap(px, py));
      state.lasso = null;
      if (was.moved) {
        const { xy, piece } = map();
        setGroup([...piece.keys()].filter((i) => shown[i] && inside(polygon, xy[2 * i], xy[2 * i + 1])));
        setLassoing(false);
        return;
      }
    }
    const hit = pick(x, y);
    if (!was?.moved && hit >= 0) select(hit);
  });
  overlay.addEventListener("pointercancel", () => { drag = null; state.lasso = null; paintMap(); });
  overlay.addEventListener("pointerleave", () => hoverOver(-1));
  // A wheel scrolls the page; over a map that has the focus, or with Ctrl, it zooms.
  overlay.addEventListener("wheel", (event) => {
    if (document.activeElement !== overlay && !event.ctrlKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...place(event));
  }, { passive: false });
  overlay.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      const next = towards(state.hover >= 0 ? state.hover : state.selected, step);
      if (next >= 0) hoverOver(next, ...toScreen(next));
    } else if (event.key === "Enter" && state.hover >= 0) select(state.hover);
    else if (event.key === "+" || event.key === "=") zoom(1.4);
    else if (event.key === "-") zoom(1 / 1.4);
    else if (event.key === "0") fit();
    else if (event.key === "Escape") { setLassoing(false); setGroup(null); }
    else return;
    event.preventDefault();
  });

  /** The shown point that lies nearest in a direction of the screen; without a start, the one nearest to the middle. */
  function towards(from, [dx, dy]) {
    const [x, y] = from >= 0 ? toScreen(from) : [overlay.clientWidth / 2, overlay.clientHeight / 2];
    let best = -1, least = Infinity;
    for (let i = 0; i < shown.length; i++) {
      if (!shown[i] || i === from) continue;
      const [px, py] = toScreen(i), along = (px - x) * dx + (py - y) * dy, aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      const cost = from < 0 ? Math.hypot(px - x, py - y) : along > 1 && aside < 2 * along ? along + 2 * aside : Infinity;
      if (cost < least) { least = cost; best = i; }
    }
    return best;
  }

  function hoverOver(i, x, y) {
    if (i === state.hover && i < 0) return;
    state.hover = i;
    tip.hidden = i < 0;
    if (i >= 0) {
      const piece = map().piece[i];
      tip.replaceChildren(make("strong", { text: nameOf(piece) }), ...atlas.attributes.filter((a) => !["genre", "choreography", "level", "primitive"].includes(a.id) && a.bin(piece) < a.entries.length)
        .map((a) => make("div", {}, make("span", { text: `${a.title} ` }), make("b", { text: a.says(piece) }))));
      const wide = overlay.clientWidth, tall = overlay.clientHeight;
      tip.style.left = `${clamp(x + 14, 4, Math.max(4, wide - tip.offsetWidth - 4))}px`;
      tip.style.top = `${y + 16 + tip.offsetHeight > tall ? Math.max(4, y - tip.offsetHeight - 12) : y + 16}px`;
    }
    overlay.style.cursor = i >= 0 ? "pointer" : state.lassoing ? "crosshair" : "grab";
    paintMap();
  }

  const says = (id, piece) => { const a = atlas.attributes.find((b) => b.id === id); return a && a.bin(piece) < a.entries.length ? a.says(piece) : null; };
  /** What a piece is called: choreography, level, move and trial, as far as known. */
  function nameOf(piece) {
    const parts = [says("choreography", piece) ?? says("genre", piece), says("level", piece), `move ${atlas.move[piece] + 1}`];
    const own = practiceOf.get(atlas.sequence[piece]);
    if (own) parts.push(`trial ${own.trials[own.at].trial + 1}`);
    return parts.filter(Boolean).join(" · ");
  }

  // --- groups ---

  function setLassoing(on) {
    state.lassoing = on;
    lassoButton.setAttribute("aria-pressed", String(on));
    overlay.style.cursor = on ? "crosshair" : "grab";
  }

  function setGroup(members) {
    state.group = members && members.length ? new Set(members) : null;
    root.dataset.group = state.group ? state.group.size : 0;
    refilter();
  }

  /** Of what the group is made: a bar for each class attribute, means of the numbers, each beside all pieces of the map. */
  function describeGroup() {
    const pieces = [...state.group].filter((i) => shown[i]).map((i) => map().piece[i]), all = [...map().piece];
    const rows = [];
    for (const a of atlas.attributes.filter((b) => b.group === "Label" || b.id === "error_class")) {
      if (a.kind === "class") {
        const count = (list) => { const n = new Array(a.entries.length).fill(0); let known = 0; list.forEach((p) => { const b = a.bin(p); if (b < n.length) { n[b]++; known++; } }); return n.map((v) => v / Math.max(known, 1)); };
        const own = count(pieces), whole = count(all);
        const bar = make("div", { class: "bar", role: "img", "aria-label": a.entries.map((e, i) => `${e.name} ${number(100 * own[i])} %`).join(", ") });
        a.entries.forEach((entry, i) => {
          if (own[i] === 0) return;
          const text = `${entry.name} ${number(100 * own[i])} %`;
          const bright = entry.colour[0] * 0.299 + entry.colour[1] * 0.587 + entry.colour[2] * 0.114 > 140;
          bar.append(make("span", { style: `flex-grow: ${own[i]}; background: rgb(${entry.colour}); color: ${bright ? "#111" : "#fff"}`, title: `${text}; ${number(100 * whole[i])} % of the map`, text: own[i] > 0.12 ? text : "" }));
        });
        rows.push(make("div", { class: "made-of" }, make("span", { text: a.id === "error_class" ? "prediction" : a.title.replace(" (primitive)", "") }), bar));
      }
    }
    const mean = (a, list) => { const known = list.map((p) => a.values[p]).filter((v) => !Number.isNaN(v)); return known.length ? known.reduce((x, y) => x + y, 0) / known.length : NaN; };
    const means = atlas.attributes.filter((a) => a.kind === "number" && a.group === "Label").map((a) => `${a.title}: mean ${number(mean(a, pieces), 1)} (map ${number(mean(a, all), 1)})`);
    group.replaceChildren(make("div", { class: "row" }, make("strong", { text: `${pieces.length} pieces in the group` }), make("span", { text: means.join(" · ") }), button("Clear", "Clear the group", () => setGroup(null))), ...rows);
  }

  // --- the dance ---

  let practiceOf = new Map();
  function readPractice() {
    const { arrays, header } = atlas;
    const dancers = header.dancers.map(([choreography, level]) => ({ choreography, level, trials: [] }));
    practiceOf = new Map();
    arrays["practice.sequence"].forEach((sequence, i) => {
      const own = dancers[arrays["practice.dancer"][i]].trials;
      own.push({ sequence, trial: arrays["practice.trial"][i], bar: arrays["practice.bar"][i], score: arrays["practice.score"][i] });
    });
    for (const { trials, ...who } of dancers) trials.forEach(({ sequence }, at) => practiceOf.set(sequence, { ...who, trials, at }));
  }

  const nearOf = (i) => Array.from(map().near.subarray(i * atlas.header.neighbours, (i + 1) * atlas.header.neighbours)).filter((n) => n >= 0);

  async function fetchClip(sequence, move) {
    const id = `${sequence}-${move}`;
    if (!clips.has(id)) clips.set(id, source.clip(sequence, move).then(readClip));
    try {
      return await clips.get(id);
    } catch (fault) {
      clips.delete(id);
      throw fault;
    }
  }

  /** A point that is chosen dances at once. */
  async function select(i) {
    const piece = map().piece[i];
    setPractisingOff();
    await dance(atlas.sequence[piece], atlas.move[piece]);
    if (!state.playing) setPlaying(true);
  }

  /** Make a piece the one that is on the stage; it plays where the one before did. */
  async function dance(sequence, move) {
    const wanted = ++state.wanted;
    waiting.textContent = "Loading the dance …";
    const slow = setTimeout(() => { waiting.textContent = "Loading the dance … (the kernel is busy, or was stopped)"; }, 4000);
    try {
      const clip = await fetchClip(sequence, move);
      if (wanted !== state.wanted) return;
      state.clip = clip;
      state.selected = map().piece.indexOf(atlas.byClip.get(`${sequence}-${move}`));
      if (!state.practising) setMate(null);
      root.classList.remove("empty");
      waiting.textContent = "";
      describe();
      showNeighbours();
      loadSound(clip);
    } catch (fault) {
      if (wanted === state.wanted) waiting.textContent = fault.message;
    } finally {
      clearTimeout(slow);
      paint();
    }
  }

  function describe() {
    const { header } = state.clip, piece = atlas.byClip.get(`${header.sequence}-${header.primitive}`);
    const parts = [header.choreography ?? header.genre, header.level, `move ${header.primitive + 1}`, header.trial === null ? null : `trial ${header.trial + 1}`];
    heading.textContent = parts.filter((part) => part !== null && part !== undefined).join(" · ");
    const said = [header.genre, `score ${number(header.score)}`, `BAR ${number(header.bar)} %`];
    const predicted = atlas.attributes.filter((a) => a.group === "Prediction" && piece !== undefined && a.bin(piece) < a.entries.length)
      .map((a) => `${a.title.replace(/predicted |choreography|level| \(%\)/g, "")} ${a.says(piece)}${a.title.includes("%") ? " %" : ""}`.trim());
    if (predicted.length) said.push(`predicted: ${predicted.join(", ")}`);
    facts.textContent = facts.title = said.filter(Boolean).join(" · ");
    key.replaceChildren(...[["music", "▼", `music peak (${header.labelled ? "labelled" : "onset"})`], ["right", "✕", "missed"], ["good", "●", "motion peak, matched"], ["good", "○", "unmatched"]]
      .map(([ink, mark, text]) => make("span", {}, make("i", { text: mark, style: `color: var(--${ink})` }), ` ${text}`)));
    const own = practiceOf.get(header.sequence);
    practice.hidden = !own || own.trials.length < 2;
    if (own) {
      trial.max = own.trials.length - 1;
      trial.value = own.at;
      const { trial: n, bar, score } = own.trials[own.at];
      const there = own.trials.filter(({ sequence }) => source.has(sequence, header.primitive)).length;
      trialText.textContent = `trial ${n + 1} of ${own.trials.at(-1).trial + 1}, BAR ${number(bar)} %, score ${number(score)}${there < own.trials.length ? ` (${there} in this page)` : ""}`;
      trial.setAttribute("aria-valuetext", `trial ${n + 1}`);
    }
  }

  function showNeighbours() {
    const cards = [];
    if (state.clip && state.selected >= 0) {
      nearOf(state.selected).forEach((i, rank) => {
        const piece = map().piece[i], [sequence, move] = [atlas.sequence[piece], atlas.move[piece]];
        const beside = state.mate && state.mate.header.sequence === sequence && state.mate.header.primitive === move;
        const similarity = map().similarity[state.selected * atlas.header.neighbours + rank];
        cards.push(make("div", { class: "card" },
          make("button", { type: "button", "aria-pressed": String(Boolean(beside)), title: `${nameOf(piece)}: play beside, in step`, on: { click: () => playBeside(beside ? null : piece) } },
            make("i", { style: `background: rgb(${attribute().colour(piece)})` }), make("span", { text: nameOf(piece) }), make("small", { text: number(similarity, 2) })),
          make("button", { type: "button", class: "go", text: "→", title: `Go to ${nameOf(piece)}`, "aria-label": `Go to ${nameOf(piece)}`, on: { click: () => select(i) } })));
      });
    }
    neighbours.replaceChildren(make("strong", { text: "Nearest in feature space, with cosine" }),
      ...(cards.length ? cards : [make("p", { class: "hint", text: "This performance is not on the map." })]));
    paintMap();
  }

  async function playBeside(piece) {
    try {
      setMate(piece === null ? null : await fetchClip(atlas.sequence[piece], atlas.move[piece]), piece);
    } catch (fault) {
      waiting.textContent = fault.message;
    }
    showNeighbours();
    paint();
  }

  function setMate(clip, piece) {
    state.mate = clip;
    boxB.hidden = !clip;
    mateName.textContent = clip ? nameOf(piece) : "";
  }

  async function showTrial(at) {
    const own = practiceOf.get(state.clip.header.sequence), move = state.clip.header.primitive;
    const there = own.trials.map(({ sequence }, i) => [i, sequence]).filter(([, sequence]) => source.has(sequence, move));
    const [, nearest] = there.reduce((best, next) => (Math.abs(next[0] - at) < Math.abs(best[0] - at) ? next : best));
    if (nearest !== state.clip.header.sequence) await dance(nearest, move);
    else describe();
  }

  function setPractising(on) {
    state.practising = on;
    practise.setAttribute("aria-pressed", String(on));
    practise.textContent = on ? "Stop" : "Play all trials";
    if (on) { seek(0); setPlaying(true); }
  }

  async function nextTrial() {
    const { header } = state.clip, own = practiceOf.get(header.sequence);
    const next = own?.trials.slice(own.at + 1).find(({ sequence }) => source.has(sequence, header.primitive));
    if (!next) return setPractising(false);
    await dance(next.sequence, header.primitive);
  }

  function setPlaying(on) {
    state.playing = on;
    play.textContent = on ? "❚❚" : "▶";
    play.setAttribute("aria-label", on ? "Pause" : "Play");
    play.title = on ? "Pause" : "Play";
    if (!on) setPractisingOff();
    hear();
    tick.last = null;
    paint();
  }
  const setPractisingOff = () => { if (state.practising) setPractising(false); };

  function setSound(on) {
    state.sound = on;
    sound.setAttribute("aria-pressed", String(on));
    sound.textContent = on ? "Sound on" : "Sound off";
    hear();
  }

  function seek(phase) {
    state.phase = clamp(phase, 0, 1);
    soundTo();
    paint();
  }

  async function loadSound(clip) {
    const { audio: soundKey } = clip.header;
    sound.disabled = !soundKey;
    if (soundKey !== stats.sounding) {  // another piece's music must not be heard under this one
      audio.pause();
      audio.removeAttribute("src");
      stats.sounding = soundKey;
    }
    if (!soundKey) return;
    if (!sounds.has(soundKey)) {
      sounds.set(soundKey, source.audio(soundKey).then(({ data }) => URL.createObjectURL(new Blob([data], { type: "audio/flac" }))));
    }
    try {
      const url = await sounds.get(soundKey);
      if (clip !== state.clip) return;
      if (audio.src !== url) audio.src = url;
      hear();  // from where the dance is, also where another dance to the same music left it elsewhere
    } catch (fault) {
      sounds.delete(soundKey);
      sound.disabled = true;
      sound.textContent = "No sound";
      sound.title = fault.message;
    }
  }

  /** Where in its excerpt the music has to be now; the recording runs faster than the clip's clock where it was stretched. */
  const heardAt = () => state.phase * state.clip.header.duration * state.clip.header.recorded_per_s;

  /** Bring the music to where the dance is, once it is there to be brought. */
  function soundTo() {
    if (audio.src && Number.isFinite(audio.duration)) audio.currentTime = Math.min(heardAt(), audio.duration);
  }

  function hear() {
    if (!state.clip?.header.audio || !audio.src) return;
    audio.playbackRate = clamp(state.clip.header.recorded_per_s * state.speed, 0.0625, 16);
    if (state.playing && state.sound) {
      soundTo();
      audio.play().catch(() => {});  // before the first gesture a browser plays no sound; the next one starts it
    } else audio.pause();
  }

  // --- drawing: when something changed, at most once a frame ---

  let queued = false, mapDirty = true, danceDirty = true;
  function paintMap() { mapDirty = true; request(); }
  function paint() { mapDirty = danceDirty = true; request(); }
  function request() {
    if (!queued) { queued = true; requestAnimationFrame(tick); }
  }

  function tick(now) {
    queued = false;
    if (!root.isConnected) { audio.pause(); return; }
    if (!state.ink.text && !readInk()) return;  // in a notebook the style sheet may come after the script
    if (state.playing && state.clip) {
      const passed = tick.last === null || tick.last === undefined ? 0 : Math.min((now - tick.last) / 1000, 0.25);
      tick.last = now;
      state.phase += (passed * state.speed) / state.clip.header.duration;
      if (state.phase >= 1) {
        state.phase %= 1;
        soundTo();
        if (state.practising) nextTrial();
      }
      followSound(now, passed);
      danceDirty = true;
    }
    if (danceDirty && state.clip) drawDance();
    if (mapDirty && overlay.clientWidth) { drawMap(); stats.panning.push(now); if (stats.panning.length > 600) stats.panning.shift(); }
    mapDirty = danceDirty = false;
    stats.frames++;
    if (state.playing && state.clip) request();
  }

  /** The music that is heard is the clock: the dance is drawn towards it, and it is moved only where it is far off. */
  function followSound(now, passed) {
    if (!state.sound || !audio.src) return;
    if (audio.paused && audio.readyState > 2) return hear();
    if (audio.paused || audio.seeking) return;
    if (audio.currentTime !== stats.heard) [stats.heard, stats.heardAt] = [audio.currentTime, now];
    if (now - stats.heardAt > 300) return;  // it stands still, without an output device say: the dance goes on
    const { duration, recorded_per_s } = state.clip.header;
    stats.drift = audio.currentTime / recorded_per_s - state.phase * duration;
    const share = 1 - Math.exp(-passed / 0.1);  // within a tenth of a second, however few frames there are
    if (Math.abs(stats.drift) < 0.25) state.phase = clamp(state.phase + (share * stats.drift) / duration, 0, 1);
    else if (now - (stats.moved ?? 0) > 1000) { stats.moved = now; soundTo(); }
  }

  function drawDance() {
    const { clip, mate, phase, orbit, ink } = state, { skeleton } = atlas.header;
    stats.places = drawDancer(stageA, clip, phase * clip.header.duration, orbit, skeleton, ink);
    stats.stage = [stageA.clientWidth, stageA.clientHeight];
    if (mate) drawDancer(stageB, mate, phase * mate.header.duration, orbit, skeleton, ink);
    stats.peaks = drawIntensities(curves, clip, mate, phase, ink);
    const time = phase * clip.header.duration;
    scrub.value = Math.round(1000 * phase);
    scrub.setAttribute("aria-valuetext", `${number(time, 2)} of ${number(clip.header.duration, 2)} seconds`);
    clock.textContent = `${number(time, 2)} / ${number(clip.header.duration, 2)} s`;
    if (!practice.hidden) drawPractice();
  }

  function drawPractice() {
    const own = practiceOf.get(state.clip.header.sequence);
    const { context: c, width, height } = sized(practiceCanvas);
    const x = (i) => 8 + ((width - 16) * i) / Math.max(own.trials.length - 1, 1), y = (bar) => height - 4 - ((height - 8) * bar) / 100;
    c.fillStyle = state.ink.quiet;
    own.trials.forEach(({ bar, sequence }, i) => {
      if (Number.isNaN(bar)) return;
      c.globalAlpha = source.has(sequence, state.clip.header.primitive) ? 0.9 : 0.25;
      c.beginPath(); c.arc(x(i), y(bar), 1.8, 0, 2 * Math.PI); c.fill();
    });
    c.globalAlpha = 1;
    const { bar } = own.trials[own.at];
    c.strokeStyle = state.ink.accent; c.lineWidth = 2;
    c.beginPath(); c.moveTo(x(own.at), 0); c.lineTo(x(own.at), height); c.stroke();
    if (!Number.isNaN(bar)) { c.fillStyle = state.ink.accent; c.beginPath(); c.arc(x(own.at), y(bar), 3.5, 0, 2 * Math.PI); c.fill(); }
  }

  // --- turning the dancer, scrubbing, keys ---

  for (const stage of [stageA, stageB]) {
    let from = null;
    stage.addEventListener("pointerdown", (event) => { from = { x: event.clientX, y: event.clientY, ...state.orbit }; stage.setPointerCapture(event.pointerId); });
    stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      state.orbit = { ...state.orbit, yaw: from.yaw + (event.clientX - from.x) / 90, pitch: clamp(from.pitch + (event.clientY - from.y) / 160, -0.3, 1.4) };
      paint();
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { from = null; });
    stage.addEventListener("dblclick", () => { state.orbit = { yaw: 0.45, pitch: 0.12, zoom: 1 }; paint(); });
    stage.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (!turn) return;
      event.preventDefault();
      state.orbit = { ...state.orbit, yaw: state.orbit.yaw + turn[0], pitch: clamp(state.orbit.pitch + turn[1], -0.3, 1.4) };
      paint();
    });
  }
  const scrubTo = (event) => {
    const box = curves.getBoundingClientRect();
    seek((event.clientX - box.left - BANDS.left) / (box.width - BANDS.left - BANDS.right));
  };
  curves.addEventListener("pointerdown", (event) => { curves.setPointerCapture(event.pointerId); curves.dataset.held = "yes"; scrubTo(event); });
  curves.addEventListener("pointermove", (event) => { if (curves.dataset.held) scrubTo(event); });
  for (const end of ["pointerup", "pointercancel"]) curves.addEventListener(end, () => { delete curves.dataset.held; });
  root.addEventListener("keydown", (event) => {
    // A button's own space is a click; everywhere else space plays. Keys stay here: a notebook has its own.
    if (event.key === " " && state.clip && !["BUTTON", "SELECT"].includes(event.target.tagName)) {
      event.preventDefault();
      setPlaying(!state.playing);
    }
    event.stopPropagation();
  });

  async function changeRun(name) {
    root.classList.add("busy");
    tally.textContent = "Mapping the features …";
    try {
      const { header, data } = await source.atlas(name);
      atlas = readAtlas(header, data);
      state.selected = -1;
      state.hidden.clear();
      readPractice();
      showAtlas();
    } catch (fault) {
      tally.textContent = fault.message;
      runChoice.value = atlas.header.encoder;
    }
    root.classList.remove("busy");
  }

  // --- start and end ---

  readPractice();
  const watch = new ResizeObserver(() => { if (!state.moved) fit(); paint(); });
  watch.observe(frame);
  watch.observe(dancers);
  const theme = new MutationObserver(readInk);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", readInk);
  readInk();
  showAtlas();
  down.push(() => watch.disconnect(), () => theme.disconnect(), () => dark.removeEventListener("change", readInk), () => audio.pause(), () => source.close());
  down.push(() => sounds.forEach((url) => url.then((u) => URL.revokeObjectURL(u), () => {})));

  element.explorer = {
    /** What is on the screen, once nothing is queued to be drawn: for tests, which compare it with the data. */
    get drawn() {
      const { clip, mate, phase, orbit, view } = state;
      return {
        map: map().id, painter: painter.kind, selected: state.selected, view, orbit, phase, playing: state.playing, speed: state.speed,
        clip: clip && { sequence: clip.header.sequence, primitive: clip.header.primitive, time: phase * clip.header.duration, reach: clip.header.reach, height: clip.header.height },
        mate: mate && { sequence: mate.header.sequence, primitive: mate.header.primitive, time: phase * mate.header.duration },
        stage: stats.stage, joints: stats.places, peaks: stats.peaks, frames: stats.frames, queued,
        audio: { time: audio.currentTime, duration: audio.duration, paused: audio.paused, rate: audio.playbackRate, drift: stats.drift },
      };
    },
    /** Where point i of the map is on its canvas, in CSS pixels. */
    point: (i) => toScreen(i),
    /** When the map was drawn (ms), newest last. */
    get mapFrames() { return stats.panning; },
    piece: (i) => ({ sequence: atlas.sequence[map().piece[i]], primitive: atlas.move[map().piece[i]] }),
    near: (i) => nearOf(i),
  };
  return () => down.forEach((end) => end());
}

export default {
  render({ model, el }) {
    return mount(el, live(model));
  },
};
