// The stage: skeletons on their canvases, seen through a camera that a hand can turn around them.
// Uses basics.js; of the explorer: state, frames.

const FRONT = { yaw: 0.45, pitch: 0.12, zoom: 1 };  // the camera at the start
const TURNS = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
const TRAIL = { steps: 16, step_s: 0.025 };  // where hands and feet have just been

class Stage {
  constructor(explorer) {
    this.explorer = explorer;
    this.orbit = { ...FRONT };
    this.canvas = make("canvas", {
      class: "dancer", tabindex: "0", role: "img", "aria-label": "skeleton; drag or arrow keys turn it",
    });
    this.mateCanvas = make("canvas", { class: "dancer", tabindex: "0", role: "img", "aria-label": "neighbour's skeleton" });
    this.mateName = make("span", { class: "name" });
    this.mateBox = make("div", { class: "box", hidden: "" }, this.mateCanvas, this.mateName);
    this.waiting = make("div", { class: "waiting", role: "status", text: "Click a point to see it dance" });
    const sides = make("div", { class: "sides", title: "the dancer's left and right" },
      make("span", { text: "left", style: "color: var(--left)" }), make("span", { text: "right", style: "color: var(--right)" }));
    this.element = make("div", { class: "dancers" },
      make("div", { class: "box" }, this.canvas), this.mateBox, sides, this.waiting);
    this.turnBy(this.canvas);
    this.turnBy(this.mateCanvas);
  }

  /** Say something in the place of the dance; "" takes it away. */
  say(text) {
    this.waiting.textContent = text;
  }

  /** Put a dance beside the one on the stage, or none. */
  setMate(clip, piece) {
    const { state } = this.explorer;
    state.mate = clip;
    this.mateBox.hidden = !clip;
    this.mateName.textContent = clip ? state.nameOf(piece) : "";
  }

  /** Draw who dances; `places` and `size` keep where the joints are, in CSS pixels. */
  draw() {
    const { clip, mate, phase } = this.explorer.state;
    this.places = this.drawDancer(this.canvas, clip, phase * clip.header.duration);
    this.size = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (mate) this.drawDancer(this.mateCanvas, mate, phase * mate.header.duration);
  }

  drawDancer(canvas, clip, time) {
    const { ink, atlas } = this.explorer.state;
    return new Dancer(canvas, clip, this.orbit, ink).draw(time, atlas.header.skeleton);
  }

  // --- turning ---

  turnBy(canvas) {
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, y: event.clientY, ...this.orbit };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from) this.turn(from.yaw + (event.clientX - from.x) / 90, from.pitch + (event.clientY - from.y) / 160);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
    canvas.addEventListener("dblclick", () => this.turn(FRONT.yaw, FRONT.pitch));
    canvas.addEventListener("keydown", (event) => {
      const by = TURNS[event.key];
      if (!by) return;
      event.preventDefault();
      this.turn(this.orbit.yaw + by[0], this.orbit.pitch + by[1]);
    });
  }

  turn(yaw, pitch) {
    this.orbit = { ...this.orbit, yaw, pitch: clamp(pitch, -0.3, 1.4) };
    this.explorer.frames.paint();
  }
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

/** One dancer on one canvas, for one frame: the floor, the trails, the shadow, then the bones over them. */
class Dancer {
  constructor(canvas, clip, orbit, ink) {
    const { context, width, height } = sized(canvas);
    const { reach, height: tallness } = clip.header;
    this.context = context;
    this.project = camera(orbit, reach, tallness, width, height);
    this.line = Math.max(2, Math.min(width, height) / 60);
    this.clip = clip;
    this.ink = ink;
  }

  /** Returns the joints' places on the canvas in CSS pixels. */
  draw(time, skeleton) {
    this.context.lineCap = "round";
    this.drawFloor(this.clip.header.reach);
    for (const joint of skeleton.ends) this.drawTrail(joint, skeleton.sides[joint], time);
    this.context.globalAlpha = 1;
    const pose = this.clip.poseAt(time);
    const joints = skeleton.sides.map((_, j) => [pose[3 * j], pose[3 * j + 1], pose[3 * j + 2]]);
    this.drawShadow(skeleton, joints);
    const places = joints.map((joint) => this.project(...joint));
    this.drawBones(skeleton, places);
    if (skeleton.head >= 0) this.drawHead(...places[skeleton.head]);
    return places.map(([x, y]) => [x, y]);
  }

  /** Draw a line between two projected places, of which the third number is how near they are. */
  lineBetween([ax, ay], [bx, by]) {
    stroke(this.context, [ax, ay], [bx, by]);
  }

  drawFloor(reach) {
    this.context.lineWidth = 1;
    this.context.strokeStyle = this.ink.faint;
    for (let i = -2; i <= 2; i++) {
      for (const [a, b] of [[[i / 2, -1], [i / 2, 1]], [[-1, i / 2], [1, i / 2]]]) {
        this.lineBetween(...[a, b].map(([x, z]) => this.project(x * reach, 0, z * reach)));
      }
    }
  }

  drawTrail(joint, side, time) {
    const { context, clip, ink } = this;
    context.strokeStyle = side === 1 ? ink.left : ink.right;
    let before = null;
    for (let step = TRAIL.steps; step >= 0; step--) {
      const pose = clip.poseAt(Math.max(0, time - step * TRAIL.step_s));
      const place = this.project(...pose.slice(3 * joint, 3 * joint + 3));
      context.globalAlpha = 0.35 * (1 - step / TRAIL.steps);
      if (before) this.lineBetween(before, place);
      before = place;
    }
  }

  drawShadow(skeleton, joints) {
    this.context.strokeStyle = this.ink.shadow;
    this.context.lineWidth = this.line;
    for (const bone of skeleton.bones) {
      this.lineBetween(...bone.map((j) => this.project(joints[j][0], 0, joints[j][2])));
    }
  }

  /** Draw the bones, far ones first. */
  drawBones(skeleton, places) {
    const { context, ink, line } = this;
    const bones = skeleton.bones.map(([child, parent]) => [child, parent, places[child][2] + places[parent][2]]);
    bones.sort((a, b) => a[2] - b[2]);
    for (const [child, parent, near] of bones) {
      const side = skeleton.sides[child];
      context.strokeStyle = side === 1 ? ink.left : side === 2 ? ink.right : ink.text;
      context.lineWidth = line * (near / 2);
      this.lineBetween(places[child], places[parent]);
    }
  }

  drawHead(x, y, near) {
    this.context.fillStyle = this.ink.text;
    circle(this.context, x, y, 2.1 * this.line * near);
    this.context.fill();
  }
}
