// The page's side of the worker: opens files of the release and asks them about pixels.

/** A network in the background. `open` a variant first; `run` then gives outputs and milliseconds. */
export class Network {
  #worker = new Worker(new URL("./worker.js", import.meta.url));
  #waiting = new Map();
  #count = 0;

  constructor() {
    this.#worker.addEventListener("message", ({ data: { number, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(number);
      this.#waiting.delete(number);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    });
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message ?? "the worker did not start"));
      this.#waiting.clear();
    });
  }

  /** Loads a variant of the release; the one before it is gone at once. */
  open(variant, shape) {
    return this.#ask("open", { variant, shape });
  }

  /** Pixels (RGB, 0..255) -> {outputs, milliseconds}. */
  run(pixels) {
    return this.#ask("run", { pixels });
  }

  #ask(action, values) {
    const number = this.#count++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#worker.postMessage({ number, action, ...values });
    });
  }
}
