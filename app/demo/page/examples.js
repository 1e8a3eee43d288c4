// The release's samples as pictures to tap: something to ask at once, with the right answer beside the network's.

/** A grid of the samples. `chosen` is called with a sample: {path, label or labels}. */
export class Examples {
  #samples;
  #buttons;
  #chosen;
  #place = 0;

  constructor(grid, samples, chosen) {
    this.#samples = samples;
    this.#chosen = chosen;
    this.#buttons = samples.map(({ path, label, labels = [label] }, place) => button(path, labels, () => this.show(place)));
    grid.replaceChildren(...this.#buttons);
  }

  /** Asks about one of them; without a place about the one before. */
  show(place = this.#place) {
    this.#place = place;
    this.#buttons.forEach((one, index) => one.setAttribute("aria-pressed", index === place));
    this.#buttons[place].scrollIntoView({ block: "nearest" });
    this.#chosen(this.#samples[place]);
  }

  /** Asks about the one after. */
  next() {
    this.show((this.#place + 1) % this.#samples.length);
  }
}

function button(path, labels, tapped) {
  const made = document.createElement("button");
  const image = document.createElement("img");
  Object.assign(image, { src: `./${path}`, alt: `Example of ${labels.join(", ") || "nothing"}` });
  made.type = "button";
  made.append(image);
  made.addEventListener("click", tapped);
  return made;
}
