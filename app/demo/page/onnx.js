// ONNX files by ONNX Runtime's WebAssembly build.

import * as ort from "./runtime/onnx/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./runtime/onnx/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more would need headers that static hosts do not send
ort.env.logLevel = "error";
let current = null;

/** What runs the model: RGB pixels in, outputs by their names out. */
export async function open(model, _variant, { width, height }) {
  await current?.release();
  current = null;
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  current = session;
  return async (pixels) => {
    const image = new ort.Tensor("float32", Float32Array.from(pixels), [1, height, width, 3]);
    const outputs = await session.run({ image });
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, Float32Array.from(data)]));
  };
}
