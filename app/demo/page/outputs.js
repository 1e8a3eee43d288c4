// What a network gives, by the names of its outputs -> what is shown. Nothing here needs a browser.

import { BACKGROUND } from "./drawn.js";

/** Of masks, which are large, the likeliest class of every pixel alone: {mask: {width, height, numbers}}. Else the outputs. */
export function kept(outputs, { width, height }) {
  if (!outputs.masks) return outputs;
  const classes = outputs.masks.length / (width * height);
  const numbers = new Uint8Array(width * height);
  for (let place = 0; place < numbers.length; place++) {
    let best = 0;
    for (let number = 1; number < classes; number++) {
      if (outputs.masks[place * classes + number] > outputs.masks[place * classes + best]) best = number;
    }
    numbers[place] = best;
  }
  return { mask: { width, height, numbers } };
}

/** [{label, number, score, box: [ymin, xmin, ymax, xmax]}] with a score of at least `threshold`, the surest first. */
export function boxesOf({ boxes, classes: numbers, scores, count }, classes, threshold) {
  return Array.from({ length: count[0] }, (_, place) => ({
    label: classes[numbers[place]],
    number: numbers[place],
    score: scores[place],
    box: Array.from(boxes.slice(place * 4, place * 4 + 4)),
  }))
    .filter(({ score }) => score >= threshold)
    .sort((one, other) => other.score - one.score);
}

/** The classes in a mask by their shares of it, the largest first: [{label, number, share}]; the background has no number. */
export function sharesOf({ numbers }, classes) {
  const counts = new Uint32Array(classes.length);
  for (const number of numbers) counts[number] += 1;
  return classes
    .map((label, number) => ({ label, number: label === BACKGROUND ? undefined : number, share: counts[number] / numbers.length }))
    .filter(({ share }) => share > 0)
    .sort((one, other) => other.share - one.share);
}

/** Intersection over union of two boxes. */
export function overlap(one, other) {
  const side = (from) => Math.max(0, Math.min(one[from + 2], other[from + 2]) - Math.max(one[from], other[from]));
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  const shared = side(0) * side(1);
  return shared / Math.max(area(one) + area(other) - shared, Number.MIN_VALUE);
}
