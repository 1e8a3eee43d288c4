// The release's own proof, on this device: its samples through a file, compared with what was recorded when it was exported.

import { boxesOf, overlap } from "./outputs.js";
import { openPicture, pixelsOf } from "./pixels.js";
import { readMask } from "./png.js";

const CLOSE = { fp32: 1e-3, fp16: 1e-2 }; // in probability; of integers the likeliest class alone is asked for
const SURE = 0.25; // score from which a box has to be there; those below come and go with rounding
const SAME_BOX = 0.9; // IoU
const SAME_PIXELS = { fp32: 0.999, fp16: 0.995 }; // share of a mask
const OTHER_PIXELS = 0.98; // of integers

/** The samples: [{path, label}] or [{path, labels}], and what each file answered to them. */
export async function readSamples() {
  return (await fetch("./samples/samples.json")).json();
}

/** A picture of the site. */
export async function pictureAt(path) {
  return openPicture(await (await fetch(`./${path}`)).blob());
}

/** Its pixels. */
export async function pixelsAt(path, shape) {
  const bitmap = await pictureAt(path);
  const pixels = pixelsOf(bitmap, shape);
  bitmap.close();
  return pixels;
}

/** How many of the samples a network answers as recorded: {right, total}. */
export async function check(network, variant, shape, samples) {
  const recorded = samples.outputs[variant.file];
  let right = 0;
  for (const [place, { path }] of samples.pictures.entries()) {
    const { outputs } = await network.run(await pixelsAt(path, shape));
    const [kind] = Object.keys(SAME).filter((name) => name in recorded);
    const row = Object.fromEntries(Object.entries(recorded).map(([name, rows]) => [name, rows[place]]));
    if (await SAME[kind](outputs, row, variant.precision)) right += 1;
  }
  return { right, total: samples.pictures.length };
}

/** By what was recorded: whether outputs are the same. */
const SAME = {
  probabilities({ probabilities }, { probabilities: recorded }, precision) {
    return top(probabilities) === top(recorded) && farthest(probabilities, recorded) <= (CLOSE[precision] ?? 1);
  },
  boxes(outputs, recorded, precision) {
    const flat = { ...recorded, boxes: recorded.boxes.flat(), count: [recorded.count] };
    const sides = [outputs, flat].map((side) => boxesOf(side, [], 0));
    const near = (one, other) => one.number === other.number && overlap(one.box, other.box) > SAME_BOX &&
      Math.abs(one.score - other.score) <= (CLOSE[precision] ?? 1);
    const answered = ([ours, theirs]) => ours.every((one) => one.score < SURE || theirs.some((other) => near(one, other)));
    return answered(sides) && answered(sides.reverse());
  },
  async masks({ mask }, { masks: recorded }, precision) {
    const { numbers } = await readMask(recorded);
    const same = mask.numbers.filter((number, place) => number === numbers[place]).length;
    return same / numbers.length >= (SAME_PIXELS[precision] ?? OTHER_PIXELS);
  },
};

function top(values) {
  return values.indexOf(Math.max(...values));
}

function farthest(values, recorded) {
  return Math.max(...values.map((value, index) => Math.abs(value - recorded[index])));
}
