// Pictures stretched to a network's size, bit for bit as Pillow's bilinear filter does it, so that a phone's answer is
// that of `python -m app predict`: a triangle as wide as the shrinking asks for, along one side and then along the other,
// in whole numbers, with eight bits in between. Nothing here needs a browser.

export const CHANNELS = 3;
const FRACTION_BITS = 22; // what a weight of 32 bits has left beside a sum of eight
const ONE = 1 << FRACTION_BITS;
const HALF = ONE >> 1;

/** For every place of the output: the first place of the input that counts, and the weights from there on. */
export function weights(inputs, outputs) {
  const scale = inputs / outputs;
  const width = Math.max(scale, 1); // half of the triangle's base
  return Array.from({ length: outputs }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - width + 0.5), 0);
    const end = Math.min(Math.trunc(centre + width + 0.5), inputs);
    const heights = Array.from({ length: end - first }, (_, step) =>
      Math.max(1 - Math.abs((step + first - centre + 0.5) * (1 / width)), 0)); // as Pillow multiplies
    const sum = heights.reduce((total, height) => total + height, 0);
    return { first, taps: Int32Array.from(heights, (height) => Math.trunc(0.5 + (height / sum) * ONE)) };
  });
}

/**
 * Values [outer, length, inner] -> [outer, target, inner]: along rows with a row for outer and the channels for inner,
 * along columns with one outer and a row for inner.
 */
export function stretch(values, outer, length, inner, target) {
  if (length === target) return values;
  const table = weights(length, target);
  const result = new Uint8ClampedArray(outer * target * inner);
  for (let block = 0; block < outer; block++) {
    for (let place = 0; place < target; place++) {
      const { first, taps } = table[place];
      const from = (block * length + first) * inner;
      const to = (block * target + place) * inner;
      for (let within = 0; within < inner; within++) {
        let sum = HALF;
        for (let tap = 0; tap < taps.length; tap++) sum += values[from + tap * inner + within] * taps[tap];
        result[to + within] = sum >> FRACTION_BITS;
      }
    }
  }
  return result;
}

/** Whether columns come first, as Pillow has it: where that takes away more than twice as many lines. */
export function columnsFirst(from, to) {
  return from.height > to.height && from.height - to.height > 2 * (from.width - to.width);
}

/** RGBA -> RGB. */
export function withoutAlpha(rgba) {
  const rgb = new Uint8ClampedArray((rgba.length / 4) * CHANNELS);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += CHANNELS) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

/** RGB pixels of any size -> of another. Sizes are {width, height}. */
export function resize(rgb, from, to) {
  if (columnsFirst(from, to)) {
    return stretch(stretch(rgb, 1, from.height, from.width * CHANNELS, to.height), to.height, from.width, CHANNELS, to.width);
  }
  return stretch(stretch(rgb, from.height, from.width, CHANNELS, to.width), 1, from.height, to.width * CHANNELS, to.height);
}
