// The paper: strokes of a finger, mouse or pen, and the picture that a network is given of them.

import { resize, withoutAlpha } from "./resize.js";
import { centreOfInk, place, shift } from "./digit.js";
import { surface } from "./pixels.js";

const FINER = 8; // times larger than the network's picture when drawn, for soft edges

/** A canvas to draw on. `changed` is called after every stroke and while one is drawn. */
export class Paper {
  #canvas;
  #style;
  #strokes = [];
  #changed;

  constructor(canvas, style, changed) {
    this.#canvas = canvas;
    this.#style = style;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#extend(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.#changed());
    new ResizeObserver(() => this.#redraw()).observe(canvas);
  }

  get empty() {
    return this.#strokes.length === 0;
  }

  /** Takes every stroke away. */
  clear() {
    this.#strokes = [];
    this.#redraw();
  }

  /** The drawing as the release's pictures look: its size, its place, light on dark where they are. RGB pixels. */
  pixels(shape) {
    const side = Math.max(shape.width, shape.height);
    const { span, pen } = this.#style;
    const placed = place(this.#strokes, span, pen);
    const fine = surface(side * FINER, side * FINER);
    paint(fine, placed, pen, "#fff", "#000");
    const ink = centreOfInk(read(fine), side * FINER);
    const { x, y } = shift(ink, placed, pen);
    const centred = placed.map((stroke) => stroke.map((point) => ({ x: point.x + x, y: point.y + y })));
    paint(fine, centred, pen, ...(this.#style.dark ? ["#fff", "#000"] : ["#000", "#fff"]));
    return resize(withoutAlpha(read(fine)), { width: side * FINER, height: side * FINER }, shape);
  }

  #begin(event) {
    if (event.button !== 0 || !event.isPrimary) return; // a second finger draws nothing
    event.preventDefault();
    this.#canvas.setPointerCapture(event.pointerId);
    this.#strokes.push([this.#point(event)]);
    this.#redraw();
    this.#changed();
  }

  #extend(event) {
    if (!this.#canvas.hasPointerCapture(event.pointerId)) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    this.#strokes.at(-1).push(...(moves.length ? moves : [event]).map((move) => this.#point(move)));
    this.#redraw();
    this.#changed();
  }

  #point(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
  }

  #redraw() {
    const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    if (side === 0) return;
    this.#canvas.width = side;
    this.#canvas.height = side;
    const colours = getComputedStyle(this.#canvas);
    paint(this.#canvas.getContext("2d"), this.#strokes, 0.075, colours.color, colours.backgroundColor);
  }
}

/** Draws strokes, whose points are fractions of the side, onto a ground. */
function paint(context, strokes, pen, ink, ground) {
  const side = context.canvas.width;
  context.fillStyle = ground;
  context.fillRect(0, 0, side, side);
  Object.assign(context, { strokeStyle: ink, lineWidth: pen * side, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(stroke[0].x * side, stroke[0].y * side);
    for (const { x, y } of stroke.length > 1 ? stroke : [...stroke, stroke[0]]) context.lineTo(x * side, y * side);
    context.stroke();
  }
}

function read(context) {
  return context.getImageData(0, 0, context.canvas.width, context.canvas.height).data;
}
