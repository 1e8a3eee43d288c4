// Runs a file of the release off the page's thread, so that the page stays quick under the thumb. A classic worker: LiteRT's
// loader asks for importScripts, which modules lack.

const RUNTIMES = { onnx: "./onnx.js", tflite: "./litert.js" };
let run = null;

const ACTIONS = {
  /** Loads a file; until it is there, the one before it answers nothing. */
  async open({ variant, shape }) {
    run = null;
    const runtime = await import(RUNTIMES[variant.format]);
    const model = new Uint8Array(await (await fetched(variant.path)).arrayBuffer());
    const { kept } = await import("./outputs.js");
    const opened = await runtime.open(model, variant, shape);
    await opened(new Uint8ClampedArray(shape.width * shape.height * 3)); // the first time is slow: memory, code
    run = async (pixels) => kept(await opened(pixels), shape);
    return {};
  },
  /** Pixels -> outputs by their names, and the milliseconds that the network took. */
  async run({ pixels }) {
    if (!run) throw new Error("this file did not open; choose another one below");
    const start = performance.now();
    const outputs = await run(pixels);
    return { outputs, milliseconds: performance.now() - start };
  },
};

let turn = Promise.resolve();
self.addEventListener("message", ({ data }) => {
  turn = turn.then(async () => {
    try {
      self.postMessage({ number: data.number, result: await ACTIONS[data.action](data) });
    } catch (error) {
      self.postMessage({ number: data.number, error: String(error?.message ?? error) });
    }
  });
});

async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}
