"""NVIDIA's own client does all that it can: KIND ADDRESS MODEL SLOW PICTURES ANSWERS.

KIND is http, http.aio, grpc or grpc.aio; SLOW is a model that takes long. ANSWERS gets the arrays by name, and a note in JSON
with everything else; a call that failed is there as {"error": sentence, "status": ...}.
"""

import asyncio
import importlib
import inspect
import itertools
import json
import sys

import numpy as np
from tritonclient.utils import InferenceServerException

kind, address, model, slow, pictures, answers = sys.argv[1:]
library = importlib.import_module(f"tritonclient.{kind}")
http, images = kind.startswith("http"), np.load(pictures)["pictures"].astype(np.float32)
KEY = {"authorization": "Bearer secret"}
told, arrays = {}, {}
as_json = {} if http else {"as_json": True}


async def ask(method, *arguments, headers=KEY, **named):
    """What a method gives, whether it is awaited or not; http's adds to the headers that it is given."""
    try:
        found = getattr(client, method)(*arguments, headers=dict(headers), **named)
        return await found if inspect.isawaitable(found) else found
    except InferenceServerException as error:
        return {"error": error.message(), "status": error.status()}
    except Exception as error:  # the client cannot read what came
        return {"error": repr(error), "status": "unreadable"}


def tensor(values=images, datatype="FP32", binary=True, name="image"):
    found = library.InferInput(name, list(values.shape), datatype)
    if http:
        found.set_data_from_numpy(values, binary_data=binary)
    else:
        found.set_data_from_numpy(values)
    return [found]


def output(name="probabilities", binary=True, **more):
    return [library.InferRequestedOutput(name, **({"binary_data": binary} if http else {}), **more)]


async def infer(case, inputs=None, name=model, **named):
    """Notes an answer under a name: its tensor, and the rest of it; or the error."""
    found = await ask("infer", name, tensor() if inputs is None else inputs, **named)
    note(case, found)


def note(case, found):
    if isinstance(found, dict):
        told[case] = found
        return
    values = found.as_numpy("probabilities")
    if values.dtype == object:
        told[case] = [[text.decode() if isinstance(text, bytes) else text for text in row] for row in values.tolist()]
    else:
        arrays[case] = values
        response = found.get_response() if http else found.get_response(as_json=True)
        told[case] = {name: response.get(name) for name in ("model_name", "model_version", "id")}


async def look():
    told["live"] = await ask("is_server_live")
    told["ready"] = await ask("is_server_ready")
    for name, version in ((model, ""), (model, "1"), (model, "9"), ("nobody", "")):
        told[f"ready {'model' if name == model else name} {version}".strip()] = await ask("is_model_ready", name, version)
    told["server"] = await ask("get_server_metadata", **as_json)
    told["metadata"] = await ask("get_model_metadata", model, **as_json)
    told["config"] = await ask("get_model_config", model, **as_json)
    told["index"] = await ask("get_model_repository_index", **as_json)
    told["no metadata"] = await ask("get_model_metadata", "nobody")
    told["no key"] = await ask("get_model_metadata", model, headers={"authorization": "Bearer wrong"})


async def mix():
    """Tensors in every way that the client has; each case is to give the same numbers."""
    packings = (None, "gzip", "deflate")
    if http:
        for given, wanted, sent, received in itertools.product((True, False), (True, False, None), packings, packings):
            await infer(
                f"same {given} {wanted} {sent} {received}",
                tensor(binary=given),
                outputs=None if wanted is None else output(binary=wanted),
                request_compression_algorithm=sent,
                response_compression_algorithm=received,
            )
    else:
        for wanted, sent in itertools.product((True, None), packings):
            await infer(f"same {wanted} {sent}", outputs=wanted and output(), compression_algorithm=sent)
    for binary in (True, False):
        await infer(f"same bytes {binary}", tensor(images.astype(np.uint8), "UINT8", binary))
    await infer("same version", model_version="1")
    await infer("id", request_id="mine-7")
    await infer("patient", timeout=5_000_000)
    many = np.concatenate([images] * 64)[:64]
    await infer("many", tensor(many))
    if not kind.endswith("aio"):
        await infer_later()
    for binary in (True, False):
        await infer(f"classes {binary}", outputs=output(binary=binary, class_count=3))


async def infer_later():
    """As the clients without asyncio ask for several answers at once."""
    if http:
        waiting = [client.async_infer(model, tensor(images[:1]), headers=dict(KEY)) for _ in range(4)]
        found = [one.get_result() for one in waiting]
    else:
        import queue

        got = queue.Queue()
        for _ in range(4):
            client.async_infer(model, tensor(images[:1]), lambda result, error: got.put(error or result), headers=dict(KEY))
        found = [got.get(timeout=30) for _ in range(4)]
    arrays["later"] = np.concatenate([one.as_numpy("probabilities") for one in found])


async def fail():
    for binary in (True, False):
        words = np.array([[b"a", b"b"]], dtype=np.object_)
        await infer(f"words {binary}", tensor(words, "BYTES", binary))
    await infer("shape", tensor(images[..., :1]))
    await infer("type", tensor(images.astype(np.float64), "FP64"))
    await infer("name", tensor(name="picture"))
    await infer("two inputs", tensor() * 2)
    await infer("output", outputs=output("boxes"))
    await infer("version", model_version="9")
    await infer("no model", name="nobody")
    await infer("too many", tensor(np.concatenate([images] * 65)[:65]))
    await infer("no number", tensor(np.full_like(images, np.nan)))
    await infer("impatient", tensor(np.zeros((1, 4, 4, 3), np.float32)), name=slow, timeout=1000)
    if not http:
        await infer("left", tensor(np.zeros((1, 4, 4, 3), np.float32)), name=slow, client_timeout=0.01)


async def keep():
    told["load nobody"] = await ask("load_model", "nobody")
    told["load otherwise"] = await ask("load_model", model, config="{}")
    told["unload nobody"] = await ask("unload_model", "nobody")
    told["unload"] = await ask("unload_model", model)
    told["unloaded"] = await ask("is_model_ready", model)
    await infer("infer unloaded")
    told["unloaded index"] = await ask("get_model_repository_index", **as_json)
    told["load"] = await ask("load_model", model)
    told["loaded"] = await ask("is_model_ready", model)
    told["statistics before"] = await ask("get_inference_statistics", model, "1", **as_json)
    await infer("same loaded")
    told["statistics"] = await ask("get_inference_statistics", model, "1", **as_json)
    told["all statistics"] = await ask("get_inference_statistics", **as_json)


async def main():
    global client
    client = library.InferenceServerClient(address)
    for step in (look, mix, fail, keep):
        await step()
    closing = client.close()
    if inspect.isawaitable(closing):
        await closing


asyncio.run(main())
np.savez(answers, note=json.dumps(told), **arrays)
