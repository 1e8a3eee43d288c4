// Boxes and masks over a picture, in the colours that `python -m app predict --draw` has: a class keeps its own everywhere.

const TURN = 0.618034; // of the circle of hues, from one class to the next: no two among many come close
const START = 0.58;
const SHADES = [[0.85, 0.95], [0.6, 1], [0.95, 0.7]]; // saturation and brightness, in turn
const PAINT = 0.6; // share of the colour in a painted pixel
export const BACKGROUND = "background"; // the class that is left as it is
const VOID = 255;
const TEXT = 15; // pixels of a letter's height
const LINE = 3; // pixels of a box's side
const EDGE = 1 / 160; // of the longer side: the line around an area

/** The colour of a class as [red, green, blue], 0..255. */
export function colour(number) {
  const [saturation, brightness] = SHADES[number % SHADES.length];
  const hue = ((START + number * TURN) % 1) * 6;
  return [5, 3, 1].map((turn) => {
    const place = (turn + hue) % 6;
    return Math.round(255 * brightness * (1 - saturation * Math.max(0, Math.min(place, 4 - place, 1))));
  });
}

/** The same for style sheets. */
export function css(number) {
  return `rgb(${colour(number).join(" ")})`;
}

/** Where a picture lies that is shown whole and as large as it goes in a frame: {x, y, width, height}. */
export function contained(picture, frame) {
  const scale = Math.min(frame.width / picture.width, frame.height / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  return { x: (frame.width - width) / 2, y: (frame.height - height) / 2, width, height };
}

/** A canvas that lies over what is shown, as fine as the screen. */
export class Overlay {
  #canvas;
  #shown = () => null;
  #draw = () => {};

  /** `shown` gives the size of the picture under the canvas, {width, height}; null where none is seen. */
  constructor(canvas, shown) {
    this.#canvas = canvas;
    this.#shown = shown;
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  /** Takes everything away. */
  clear() {
    this.#draw = () => {};
    this.redraw();
  }

  /** Draws boxes: [{label, number, score, box: [ymin, xmin, ymax, xmax]}] in fractions of the picture, the surest first. */
  boxes(boxes) {
    this.#draw = (context, place) => drawBoxes(context, place, boxes);
    this.redraw();
  }

  /** Paints a mask: {width, height, numbers}, a class's number for every pixel. */
  mask(mask, classes) {
    const painted = paint(mask, classes);
    this.#draw = (context, { x, y, width, height }) => {
      context.imageSmoothingEnabled = false;
      context.drawImage(painted, x, y, width, height);
    };
    this.redraw();
  }

  /** Once more, for a picture of another size. */
  redraw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    this.#canvas.width = Math.round(width * devicePixelRatio);
    this.#canvas.height = Math.round(height * devicePixelRatio);
    const picture = this.#shown();
    if (!picture?.width || !width) return;
    const context = this.#canvas.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    this.#draw(context, contained(picture, { width, height }));
  }
}

function drawBoxes(context, place, boxes) {
  const rows = boxes.map((one) => ({ ...one, ...inPixels(one.box, place) }));
  const surestLast = [...rows].reverse();
  context.lineJoin = "round";
  for (const { number, left, top, width, height } of surestLast) {
    for (const [ink, line] of [[contrast(number), LINE + 2], [css(number), LINE]]) { // so that it is seen on its own colour
      Object.assign(context, { strokeStyle: ink, lineWidth: line });
      context.strokeRect(left + LINE / 2, top + LINE / 2, Math.max(0, width - LINE), Math.max(0, height - LINE));
    }
  }
  Object.assign(context, { font: `600 ${TEXT}px system-ui, sans-serif`, textBaseline: "middle" });
  const taken = [];
  for (const row of rows) { // the surest has the first choice of a place for its tag
    row.words = shortened(context, `${row.label} ${Math.round(row.score * 100)}%`, place.width - 10);
    row.tag = freePlace(row, { width: context.measureText(row.words).width + 10, height: TEXT + 7 }, place, taken);
    taken.push(row.tag);
  }
  for (const { number, tag, words } of surestLast) {
    context.fillStyle = css(number);
    context.fillRect(tag.left, tag.top, tag.width, tag.height);
    context.fillStyle = contrast(number);
    context.fillText(words, tag.left + 5, tag.top + tag.height / 2 + 1);
  }
}

function inPixels([ymin, xmin, ymax, xmax], { x, y, width, height }) {
  const across = (share) => x + Math.min(1, Math.max(0, share)) * width;
  const down = (share) => y + Math.min(1, Math.max(0, share)) * height;
  return { left: across(xmin), top: down(ymin), width: across(xmax) - across(xmin), height: down(ymax) - down(ymin) };
}

/** Where the tag of a box goes: above it, below it or inside, wherever no other tag is; always inside the picture. */
function freePlace(box, size, picture, taken) {
  const places = [];
  for (const left of [box.left, box.left + box.width - size.width]) {
    for (const top of [box.top - size.height, box.top + box.height, box.top, box.top + box.height - size.height]) {
      const within = (wanted, start, room) => Math.max(start, Math.min(wanted, start + room));
      places.push({
        ...size,
        left: within(left, picture.x, picture.width - size.width),
        top: within(top, picture.y, picture.height - size.height),
      });
    }
  }
  const covered = (place) => taken.reduce((sum, other) => sum + shared(place, other), 0);
  return places.reduce((best, place) => (covered(place) < covered(best) ? place : best));
}

function shared(one, other) {
  const width = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const height = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  return Math.max(0, width) * Math.max(0, height);
}

function shortened(context, words, width) {
  let end = words.length;
  while (end > 1 && context.measureText(words.slice(0, end)).width > width) end--;
  return end < words.length ? `${words.slice(0, end - 1)}…` : words;
}

/** Black or white, whichever is read better on the colour of a class. */
function contrast(number) {
  const [red, green, blue] = colour(number);
  return 299 * red + 587 * green + 114 * blue > 128_000 ? "#000" : "#fff";
}

/** A canvas with the colours of a mask's classes, clear where the background is; areas have a line around them. */
function paint({ width, height, numbers }, classes) {
  const made = Object.assign(document.createElement("canvas"), { width, height });
  const context = made.getContext("2d");
  const picture = context.createImageData(width, height);
  const line = Math.max(1, Math.floor(Math.max(width, height) * EDGE));
  for (let place = 0; place < numbers.length; place++) {
    const number = numbers[place];
    if (classes[number] === BACKGROUND) continue;
    const ink = number === VOID ? [20, 20, 20] : colour(number);
    const edge = beside(numbers, place, width, line);
    picture.data.set([...ink, Math.round(255 * (edge ? 1 : PAINT))], place * 4);
  }
  context.putImageData(picture, 0, 0);
  return made;
}

/** Whether a pixel of another class is within some steps across or down. */
function beside(numbers, place, width, steps) {
  const [number, column] = [numbers[place], place % width];
  for (let step = 1; step <= steps; step++) {
    if (column >= step && numbers[place - step] !== number) return true;
    if (column + step < width && numbers[place + step] !== number) return true;
    if (place >= step * width && numbers[place - step * width] !== number) return true;
    if (place + step * width < numbers.length && numbers[place + step * width] !== number) return true;
  }
  return false;
}
