// TFLite files by LiteRT.js.

import { Tensor, loadAndCompile, loadLiteRt } from "./runtime/litert/index.js";

const FILES = new URL("./runtime/litert/", import.meta.url).href;
self.Module = {
  locateFile: (name) => FILES + name, // in a worker it would look beside worker.js
  printErr: () => {}, // what it is doing is no error; what fails is thrown
};
// It looks for a graphics processor, and says aloud that there is none. These networks are quick without.
Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => null } });
const { warn } = console;
console.warn = () => {};
const ready = loadLiteRt(FILES).finally(() => { console.warn = warn; });
let current = null;

/** What runs the model: RGB pixels in, outputs by their names out. Files with a uint8 input take the pixels as they are. */
export async function open(model, { input_dtype: dtype }, { width, height }) {
  await ready;
  current?.delete();
  current = null;
  const network = await loadAndCompile(model, { accelerator: "wasm" });
  current = network;
  const typed = dtype === "uint8" ? Uint8Array : Float32Array;
  return async (pixels) => {
    const image = new Tensor(typed.from(pixels), [1, height, width, 3]);
    try {
      const outputs = await network.run({ image });
      const found = {};
      for (const [name, output] of Object.entries(outputs)) {
        found[name] = Float32Array.from(await output.data());
        output.delete();
      }
      return found;
    } finally {
      image.delete();
    }
  };
}
