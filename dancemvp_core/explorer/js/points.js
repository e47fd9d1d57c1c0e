// Points on a plane: how they are drawn (WebGL2, or a 2-D canvas where there is none), and which of them is where.
// Uses basics.js.
//
// A painter draws points through a view {scale, x, y}: screen = map * scale + offset, and the map's y goes up.
//
//   painter.place(xy), painter.tint(rgba)   the points in map units; their colours, four bytes each
//   painter.draw(view, radius, outline)     in CSS pixels; a point without alpha is left out

const VERTEX = `#version 300 es
in vec2 at; in vec4 colour; uniform vec4 view; uniform float size; out vec4 tint;
void main() { gl_Position = vec4(at * view.xy + view.zw, 0.0, 1.0); gl_PointSize = colour.a > 0.0 ? size : 0.0; tint = colour; }`;
const FRAGMENT = `#version 300 es
precision highp float; in vec4 tint; uniform float size; uniform vec3 outline; out vec4 pixel;
void main() { float edge = (0.5 - length(gl_PointCoord - 0.5)) * size; float a = tint.a * clamp(edge, 0.0, 1.0);
  if (a <= 0.0) discard; pixel = vec4(mix(outline, tint.rgb, 0.75 + 0.25 * clamp(edge - 0.8, 0.0, 1.0)) * a, a); }`;

/** A painter on a canvas. A browser may take WebGL away (sleep, 16 other maps); then it goes on in 2-D and calls `redraw`. */
function pointPainter(canvas, redraw) {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: true });
  if (!gl) return flatPainter(canvas);
  let painter = shaderPainter(canvas, gl), places, colours;
  canvas.addEventListener("webglcontextlost", () => {
    const plain = canvas.cloneNode(); // a canvas that had WebGL has no 2-D context
    canvas.replaceWith(plain);
    painter = flatPainter(plain);
    painter.place(places);
    painter.tint(colours);
    redraw();
  }, { once: true });
  return {
    get kind() { return painter.kind; },
    place(xy) { places = xy; painter.place(xy); },
    tint(rgba) { colours = rgba; painter.tint(rgba); },
    draw: (...view) => painter.draw(...view),
  };
}

function shaderPainter(canvas, gl) {
  const program = shaderProgram(gl);
  const places = shaderInput(gl, program, "at", [2, gl.FLOAT, false]);
  const tints = shaderInput(gl, program, "colour", [4, gl.UNSIGNED_BYTE, true]);
  const [view, size, outline] = ["view", "size", "outline"].map((name) => gl.getUniformLocation(program, name));
  let count = 0;
  return {
    kind: "webgl2",
    place: (xy) => { places(xy); count = xy.length / 2; },
    tint: tints,
    draw({ scale, x, y }, radius, ink) {
      const { width, height, ratio } = resized(canvas);
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

/** The program of both shaders, in use; colours carry their alpha multiplied in. */
function shaderProgram(gl) {
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
  return program;
}

/** A buffer for one input of the program; returns the function that fills it. */
function shaderInput(gl, program, name, [items, kind, normalised]) {
  const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, items, kind, normalised, 0, 0);
  return (data) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  };
}

function flatPainter(canvas) {
  let points, colours;
  return {
    kind: "2d",
    place: (xy) => { points = xy; },
    tint: (rgba) => { colours = rgba; },
    draw({ scale, x, y }, radius) {
      const { context } = sized(canvas);
      if (!points || !colours) return;
      for (let i = 0; i < points.length / 2; i++) {
        if (!colours[4 * i + 3]) continue;
        context.fillStyle = `rgba(${colours[4 * i]},${colours[4 * i + 1]},${colours[4 * i + 2]},${colours[4 * i + 3] / 255})`;
        context.fillRect(points[2 * i] * scale + x - radius, y - points[2 * i + 1] * scale - radius, 2 * radius, 2 * radius);
      }
    },
  };
}

/** Points in square cells, so that the nearest to a place is found among few. */
class Grid {
  constructor(xy) {
    this.xy = xy;
    this.measure();
    const count = xy.length / 2;
    this.cell = Math.max(this.right - this.left, this.high - this.low, 1e-6) / Math.max(4, Math.sqrt(count));
    this.cells = new Map();
    for (let i = 0; i < count; i++) {
      const at = this.key(xy[2 * i], xy[2 * i + 1]);
      if (!this.cells.has(at)) this.cells.set(at, []);
      this.cells.get(at).push(i);
    }
  }

  /** Find the box around the points. */
  measure() {
    [this.left, this.right, this.low, this.high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.xy.length; i += 2) {
      const [x, y] = [this.xy[i], this.xy[i + 1]];
      this.left = Math.min(this.left, x);
      this.right = Math.max(this.right, x);
      this.low = Math.min(this.low, y);
      this.high = Math.max(this.high, y);
    }
  }

  key(x, y) {
    return `${Math.floor((x - this.left) / this.cell)},${Math.floor((y - this.low) / this.cell)}`;
  }

  /** The nearest point within a radius (map units) for which `allowed` is true; -1 for none. */
  nearest(x, y, radius, allowed) {
    let best = -1, closest = radius * radius;
    for (let gx = x - radius; gx < x + radius + this.cell; gx += this.cell) {
      for (let gy = y - radius; gy < y + radius + this.cell; gy += this.cell) {
        for (const i of this.cells.get(this.key(gx, gy)) ?? []) {
          const distance = (this.xy[2 * i] - x) ** 2 + (this.xy[2 * i + 1] - y) ** 2;
          if (distance > closest || !allowed(i)) continue;
          closest = distance;
          best = i;
        }
      }
    }
    return best;
  }
}

/** Whether a place lies inside a polygon of [x, y]. */
function inside(polygon, x, y) {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}
