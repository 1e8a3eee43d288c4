// The release's own proof, on this device: its samples through a file, compared with what was recorded when it was exported.

import { openPicture, pixelsOf } from "./pixels.js";

const CLOSE = { fp32: 1e-3, fp16: 1e-2 }; // in probability; of integers the likeliest class alone is asked for

/** The samples: [{path, label}], and what each file answered to them. */
export async function readSamples() {
  return (await fetch("./samples/samples.json")).json();
}

/** The pixels of a picture of the site. */
export async function pixelsAt(path, shape) {
  const bitmap = await openPicture(await (await fetch(`./${path}`)).blob());
  const pixels = pixelsOf(bitmap, shape);
  bitmap.close();
  return pixels;
}

/** How many of the samples a network answers as recorded: {right, total, difference}. */
export async function check(network, variant, shape, samples) {
  const recorded = Object.values(samples.outputs[variant.file])[0];
  let right = 0;
  let difference = 0;
  for (const [place, { path }] of samples.pictures.entries()) {
    const { probabilities } = await network.run(await pixelsAt(path, shape));
    const largest = Math.max(...probabilities.map((value, index) => Math.abs(value - recorded[place][index])));
    difference = Math.max(difference, largest);
    if (top(probabilities) === top(recorded[place]) && largest <= (CLOSE[variant.precision] ?? 1)) right += 1;
  }
  return { right, total: samples.pictures.length, difference };
}

function top(values) {
  return values.indexOf(Math.max(...values));
}
