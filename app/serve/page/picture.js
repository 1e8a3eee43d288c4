// A file that was dropped, pasted, chosen or photographed -> what is shown, and what is sent.

const LARGEST_SIDE = 2048; // of a picture made smaller: more than any classic network looks at
const QUALITY = 0.9;
const COARSE = 128; // pixels: smaller pictures are shown with their pixels, not blurred

/** Why a file cannot be used, in words for people. */
export class Unreadable extends Error {}

/** The bytes of a file as it is, said to be a picture: JSON by its name must not be taken for numbers. */
export async function bytesOf(file) {
  try {
    const type = file.type.startsWith("image/") ? file.type : "application/octet-stream";
    return new Blob([await file.arrayBuffer()], { type });
  } catch {
    throw new Unreadable("It may be a folder, or it was moved or changed since. Choose it again.");
  }
}

/** The picture as a JPEG whose longer side is at most 2048 pixels, upright, on white where it is transparent. */
export async function shrink(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    throw new Unreadable("This browser cannot open the picture to make it smaller. Make it smaller elsewhere, or take another.");
  }
  const scale = Math.min(1, LARGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
}

/** The part of the page that shows the picture, and is tapped for another one. */
export class Stage {
  #stage = document.querySelector("#stage");
  #image = document.querySelector("#picture");
  #invitation = document.querySelector("#invitation");
  #blank = document.querySelector("#no-preview");
  #about = document.querySelector("#about-picture");

  constructor(tapped) {
    this.#stage.addEventListener("click", tapped);
    this.#image.addEventListener("load", () => {
      this.#image.classList.toggle("coarse", Math.max(this.#image.naturalWidth, this.#image.naturalHeight) < COARSE);
    });
    this.#image.addEventListener("error", () => {
      this.#image.hidden = true;
      this.#blank.hidden = false;
    });
  }

  /** Shows a picture, and words about it. What the browser cannot draw is sent all the same, and named. */
  show(blob, words) {
    URL.revokeObjectURL(this.#image.src);
    this.#image.src = URL.createObjectURL(blob);
    this.#image.alt = words;
    this.#image.hidden = false;
    this.#invitation.hidden = true;
    this.#blank.hidden = true;
    this.#about.textContent = words;
    this.#stage.setAttribute("aria-label", "Choose another picture");
  }
}
