// A picture, a frame of the camera or a drawing -> the pixels that a network takes: RGB, 0..255, its own size.

import { CHANNELS, columnsFirst, stretch, withoutAlpha } from "./resize.js";

const STRIP_PIXELS = 2 ** 21; // read at a time: a photo of 50 million pixels would not fit into a phone's canvas
const LARGEST_SHOWN = 1200;
const LARGEST_PIXELS = 100_000_000;

/** Why a file cannot be used, in words for people. */
export class Unreadable extends Error {}

/** The picture in a file, turned upright, its colours as they were written. */
export async function openPicture(file) {
  if (file.size === 0) throw new Unreadable("That file is empty.");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Unreadable("That file is not a picture this browser can open. Try a JPEG or a PNG.");
  }
  if (bitmap.width * bitmap.height > LARGEST_PIXELS) {
    bitmap.close();
    throw new Unreadable("That picture has more than 100 million pixels. Try a smaller one.");
  }
  return bitmap;
}

/**
 * The pixels of a source stretched to a network's size, on white where it is transparent.
 * `part` is what to take of it: {x, y, width, height}; everything where it is left out.
 */
export function pixelsOf(source, shape, part = whole(source)) {
  return columnsFirst(part, shape) ? byColumns(source, shape, part) : byRows(source, shape, part);
}

/** Strips of rows, each made narrower as it comes; then all of them made lower. */
function byRows(source, shape, part) {
  const rows = new Uint8ClampedArray(shape.width * part.height * CHANNELS);
  for (const [y, height] of strips(part.height, part.width)) {
    const rgb = read(source, { ...part, y: part.y + y, height });
    rows.set(stretch(rgb, height, part.width, CHANNELS, shape.width), y * shape.width * CHANNELS);
  }
  return stretch(rows, 1, part.height, shape.width * CHANNELS, shape.height);
}

/** Strips of columns, each made lower as it comes; then all of them made narrower. */
function byColumns(source, shape, part) {
  const columns = new Uint8ClampedArray(part.width * shape.height * CHANNELS);
  for (const [x, width] of strips(part.width, part.height)) {
    const stride = width * CHANNELS;
    const low = stretch(read(source, { ...part, x: part.x + x, width }), 1, part.height, stride, shape.height);
    for (let y = 0; y < shape.height; y++) {
      columns.set(low.subarray(y * stride, (y + 1) * stride), (y * part.width + x) * CHANNELS);
    }
  }
  return stretch(columns, shape.height, part.width, CHANNELS, shape.width);
}

function* strips(length, other) {
  const most = Math.max(1, Math.floor(STRIP_PIXELS / other));
  for (let start = 0; start < length; start += most) yield [start, Math.min(most, length - start)];
}

/** The RGB pixels of a part of a source, none of them stretched. */
function read(source, { x, y, width, height }) {
  const strip = surface(width, height);
  strip.fillStyle = "#fff";
  strip.fillRect(0, 0, width, height);
  strip.drawImage(source, x, y, width, height, 0, 0, width, height);
  return withoutAlpha(strip.getImageData(0, 0, width, height).data);
}

/** The largest part of a source, around its middle, that has the shape of the network's picture. */
export function middle(source, { width, height }) {
  const all = whole(source);
  const scale = Math.min(all.width / width, all.height / height);
  const part = { width: Math.round(width * scale), height: Math.round(height * scale) };
  return { x: Math.floor((all.width - part.width) / 2), y: Math.floor((all.height - part.height) / 2), ...part };
}

/** A canvas that nobody sees, for reading pixels back. */
export function surface(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.imageSmoothingEnabled = false;
  return context;
}

/** Shows pixels as the network sees them, on a canvas of any size. */
export function show(pixels, { width, height }, canvas) {
  const picture = new ImageData(width, height);
  for (let place = 0; place < width * height; place++) {
    for (let channel = 0; channel < CHANNELS; channel++) picture.data[place * 4 + channel] = pixels[place * CHANNELS + channel];
    picture.data[place * 4 + 3] = 255;
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Shows a picture on a canvas, no larger than a screen needs. */
export function display(bitmap, canvas) {
  const scale = Math.min(1, LARGEST_SHOWN / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  canvas.hidden = false;
}

function whole(source) {
  return { x: 0, y: 0, width: source.videoWidth ?? source.width, height: source.videoHeight ?? source.height };
}
