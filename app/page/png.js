// A mask as services and releases write it, a grey PNG of the numbers of classes, -> its numbers.

/** The mask in a PNG's base64: {width, height, numbers}. */
export async function readMask(base64) {
  const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  const wishes = { colorSpaceConversion: "none", premultiplyAlpha: "none" }; // numbers are no colours to be corrected
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), wishes);
  const { width, height } = bitmap;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, numbers: Uint8Array.from({ length: width * height }, (_, place) => data[place * 4]) };
}
