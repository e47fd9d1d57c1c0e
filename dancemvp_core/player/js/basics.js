// Small helpers for elements, numbers, colours and canvases. All other files use them; this one uses no other.

const GREY = "#9a9a9a";  // the colour of what is unknown

/** An element with properties (class, text, on: {event: handler}, anything else an attribute) and children. */
function make(tag, { class: name, text, on = {}, ...rest } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  for (const [event, handler] of Object.entries(on)) element.addEventListener(event, handler);
  for (const [key, value] of Object.entries(rest)) {
    if (value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child));
  return element;
}

/** A button whose title is also its name for a screen reader. */
function button(text, title, handler, extra = {}) {
  return make("button", { type: "button", text, title, "aria-label": title, on: { click: handler }, ...extra });
}

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const number = (x, digits = 0) => (x === null || x === undefined || Number.isNaN(x) ? "–" : x.toFixed(digits));
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** A colour of a ramp of hex colours, at 0..1. */
function ramped(ramp, share) {
  const at = clamp(share, 0, 1) * (ramp.length - 1);
  const [low, high] = [ramp[Math.floor(at)], ramp[Math.ceil(at)]].map(rgb);
  return low.map((c, i) => Math.round(c + (high[i] - c) * (at % 1)));
}

/** Give a canvas as many pixels as the screen shows of it; returns its size in CSS pixels and the ratio of the two. */
function resized(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
  return { width, height, ratio };
}

/** An empty 2-D context, in which one unit is a CSS pixel, and its size. */
function sized(canvas) {
  const { width, height, ratio } = resized(canvas);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Draw a line through two or more places with the context's own stroke. */
function stroke(context, ...places) {
  context.beginPath();
  context.moveTo(...places[0]);
  for (const place of places.slice(1)) context.lineTo(...place);
  context.stroke();
}

/** Begin a path that is a whole circle. */
function circle(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}
