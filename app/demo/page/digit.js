// Strokes of a finger -> where they lie in a network's picture: of the size that the release's samples have, the centre of
// their ink in the middle, as MNIST's were prepared. Strokes are lists of points {x, y}; nothing here needs a browser.

const LARGEST_ENLARGEMENT = 4; // of the finger's own size: a dot stays a dot

/** The box around the points: {left, top, width, height}. */
export function box(strokes) {
  const points = strokes.flat();
  const left = Math.min(...points.map((point) => point.x));
  const top = Math.min(...points.map((point) => point.y));
  return {
    left,
    top,
    width: Math.max(...points.map((point) => point.x)) - left,
    height: Math.max(...points.map((point) => point.y)) - top,
  };
}

/**
 * The strokes in a square of side 1, in its middle, their longer side `span` long including the pen's width.
 * Points come in fractions of the drawing surface.
 */
export function place(strokes, span, pen) {
  const { left, top, width, height } = box(strokes);
  const scale = Math.min((span - pen) / Math.max(width, height, 1e-6), LARGEST_ENLARGEMENT);
  const move = (value, start, length) => 0.5 + (value - start - length / 2) * scale;
  return strokes.map((stroke) => stroke.map(({ x, y }) => ({ x: move(x, left, width), y: move(y, top, height) })));
}

/** How far a drawing may be moved so that the centre of its ink comes to the middle, and no ink leaves the square. */
export function shift(ink, strokes, pen) {
  const { left, top, width, height } = box(strokes);
  const within = (wanted, start, length) =>
    Math.max(Math.min(0, pen / 2 - start), Math.min(wanted, Math.max(0, 1 - pen / 2 - start - length)));
  return { x: within(0.5 - ink.x, left, width), y: within(0.5 - ink.y, top, height) };
}

/** The centre of the ink of a square picture in fractions of its side; brightness is ink. Pixels are RGBA. */
export function centreOfInk(rgba, side) {
  let sum = 0;
  let x = 0;
  let y = 0;
  for (let place = 0; place < side * side; place++) {
    const ink = rgba[place * 4];
    sum += ink;
    x += ink * ((place % side) + 0.5);
    y += ink * (Math.floor(place / side) + 0.5);
  }
  return sum === 0 ? { x: 0.5, y: 0.5 } : { x: x / sum / side, y: y / sum / side };
}
