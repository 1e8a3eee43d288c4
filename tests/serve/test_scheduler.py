"""The queue and its slots: every caller gets its own answer, and nobody waits for what cannot come."""

import asyncio
import gc
import threading
import time
import weakref

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from app.runners.onnx import OnnxRunner
from app.serve.refusal import Refusal
from app.serve.scheduler import Scheduler
from app.serve.statistics import Statistics
from app.serve.tuning import Tuning
from tests.serve.clients import until

SHAPE = (1, 2, 3)
WAYS = pytest.mark.parametrize("inline", [True, False], ids=["inline", "threads"])


def joined(made):
    """Waits for its slots to end."""
    for thread in made._threads:
        thread.join(30)


def scheduler(run, *, inline=False, batch=8, slots=2, most=512):
    made = Scheduler("net", run, Tuning(batch, inline, 0.001), slots, most, Statistics())
    made.statistics = made._statistics
    return made


def picture(number, count=1):
    """Pictures that tell which they are."""
    images = np.zeros((count, *SHAPE), np.float32)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = number, np.arange(count)
    return images


def echo(images):
    return {"seen": images[:, 0, 0, :2].copy()}


class Gate:
    """A run that waits until it may, and knows what it was given."""

    def __init__(self):
        self.opened, self.sizes, self.numbers = threading.Event(), [], []

    def __call__(self, images):
        self.sizes.append(len(images))
        self.numbers += images[:, 0, 0, 0].astype(int).tolist()
        assert self.opened.wait(30)
        return echo(images)


async def settled(check):
    """Waits, in the loop, until the check holds."""
    for _ in range(3000):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


@WAYS
def test_requests_that_run_together_get_their_parts_of_every_output_whatever_its_rank(inline):
    gate = Gate()

    def run(images):
        gate(images)
        number = images[:, 0, 0, 0]
        return {
            "count": number.copy(),
            "boxes": np.stack([number] * 4, 1)[:, None],
            "masks": np.ones((1, 64, 64, 3)) * number[:, None, None, None],
        }

    async def story():
        made = scheduler(run, inline=inline, slots=1)
        if inline:
            gate.opened.set()  # one turn of the loop gathers them all
        waiting = [made.submit(picture(number, count), 30.0) for number, count in ((1, 1), (2, 2), (3, 1), (4, 3))]
        await asyncio.sleep(0.05)
        gate.opened.set()
        found = await asyncio.gather(*waiting)
        made.close()
        joined(made)
        return found

    found = asyncio.run(story())
    assert max(gate.sizes) > 3, "they ran together"
    for (number, count), outputs in zip(((1, 1), (2, 2), (3, 1), (4, 3)), found, strict=True):
        shapes = {name: values.shape for name, values in outputs.items()}
        assert shapes == {"count": (count,), "boxes": (count, 1, 4), "masks": (count, 64, 64, 3)}
        assert all((values == number).all() for values in outputs.values())


@WAYS
def test_100000_requests_of_mixed_sizes_get_their_own_answers(inline):
    async def story():
        made = scheduler(echo, inline=inline, batch=16)
        counts = np.random.default_rng(0).integers(1, 9, 100_000).tolist()
        todo = iter(enumerate(counts))
        right = 0

        async def client():
            nonlocal right
            for number, count in todo:
                found = (await made.submit(picture(number, count), 30.0))["seen"]
                right += found.tolist() == [[number, place] for place in range(count)]

        await asyncio.gather(*(client() for _ in range(64)))
        made.close()
        joined(made)
        sizes = made.statistics.batches
        assert sum(size * runs for size, (runs, _) in sizes.items()) == sum(counts)
        assert max(sizes) <= 16
        return right, sum(runs for runs, _ in sizes.values())

    right, runs = asyncio.run(story())
    print(f"\n100,000 requests in {runs} runs, {right} with their own answer")
    assert right == 100_000
    assert runs < 60_000


def test_pictures_in_a_batch_give_what_they_give_alone(tmp_path):
    generator = np.random.default_rng(0)
    weights = {"kernel": generator.normal(0, 0.1, (8, 3, 3, 3)), "second": generator.normal(0, 0.1, (16, 8, 3, 3)),
               "matrix": generator.normal(0, 0.05, (16 * 24 * 24, 10))}  # fmt: skip
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["first", "kernel"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "second"], ["c"]),
            helper.make_node("Flatten", ["c"], ["d"]),
            helper.make_node("Gemm", ["d", "matrix"], ["e"]),
            helper.make_node("Softmax", ["e"], ["probabilities"]),
        ],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 28, 28, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "model.onnx")
    runner = OnnxRunner(tmp_path / "model.onnx", 1)
    images = generator.random((512, 28, 28, 3), np.float32)
    alone = np.concatenate([runner.run(images[number : number + 1])["probabilities"] for number in range(512)])

    async def story():
        made = scheduler(runner.run, batch=16, most=2000)
        tickets = [made.submit(images[number : number + 1 + number % 3], 30.0) for number in range(500)]
        found = await asyncio.gather(*tickets)
        made.close()
        return [one["probabilities"] for one in found], made.statistics.batches

    found, batches = asyncio.run(story())
    largest = max(np.abs(one - alone[number : number + len(one)]).max() for number, one in enumerate(found))
    print(f"\nlargest difference {largest:.1e}; batches of {sorted(batches)}")
    assert max(batches) > 8
    assert largest < 1e-5


def test_a_full_queue_refuses_and_takes_again_when_there_is_room():
    async def story():
        gate = Gate()
        made = scheduler(gate, batch=4, slots=2, most=10)
        running = [made.submit(picture(0), 30.0) for _ in range(1)]
        await settled(lambda: len(gate.sizes) == 1)
        running += [made.submit(picture(1), 30.0)]
        await settled(lambda: len(gate.sizes) == 2)
        waiting = [made.submit(picture(number), 30.0) for number in range(2, 12)]
        with pytest.raises(Refusal) as refused:
            made.submit(picture(12), 30.0)
        assert (refused.value.status, refused.value.retry_after_seconds) == (503, 1)
        assert made.waiting == 10
        gate.opened.set()
        await asyncio.gather(*running, *waiting)
        assert made.waiting == 0
        assert (await made.submit(picture(13), 30.0))["seen"][0, 0] == 13
        assert gate.sizes[2:4] == [4, 4]
        made.close()

    asyncio.run(story())


def test_a_request_larger_than_the_queue_is_taken_when_nothing_waits():
    async def story():
        made = scheduler(echo, batch=4, most=2)
        assert len((await made.submit(picture(1, 8), 30.0))["seen"]) == 8
        made.close()

    asyncio.run(story())


def test_a_deadline_ends_the_wait_and_the_work():
    async def story():
        gate = Gate()
        made = scheduler(gate, slots=1)
        running = made.submit(picture(0), 30.0)
        await settled(lambda: gate.sizes)
        late = made.submit(picture(1), 0.02)
        with pytest.raises(Refusal) as refused:
            await late
        assert refused.value.status == 504
        gate.opened.set()
        await running
        await made.submit(picture(2), 30.0)
        made.close()
        return gate.numbers

    assert asyncio.run(story()) == [0, 2]


def test_work_of_clients_that_left_is_dropped():
    async def story():
        gate = Gate()
        made = scheduler(gate, slots=1, batch=8)
        running = made.submit(picture(0), 30.0)
        await settled(lambda: gate.sizes)
        left, stayed = [], []
        seen = []
        for number in range(1, 101):
            images = picture(number)
            seen.append(weakref.ref(images))
            (stayed if number % 10 == 0 else left).append(made.submit(images, 30.0))
            del images
        for ticket in left:
            ticket.cancel()
        gate.opened.set()
        await asyncio.gather(running, *stayed)
        gc.collect()
        await settled(lambda: not any(one() is not None for one in seen))  # a picture lives no longer than its request
        made.close()
        return gate

    gate = asyncio.run(story())
    print(f"\n101 requests, of which 90 left: {sum(gate.sizes)} pictures in {len(gate.sizes)} runs")
    assert gate.numbers == [0, *range(10, 101, 10)]


@WAYS
def test_a_run_that_fails_fails_its_own_callers_alone(inline):
    def run(images):
        if images[0, 0, 0, 0] < 0:
            raise ValueError("no such picture")
        return echo(images)

    async def story():
        made = scheduler(run, inline=inline, batch=1, slots=2)
        tickets = [made.submit(picture(-1 if number % 3 == 0 else number), 30.0) for number in range(300)]
        found = await asyncio.gather(*tickets, return_exceptions=True)
        assert made.alive
        made.close()
        return found

    for number, one in enumerate(asyncio.run(story())):
        if number % 3 == 0:
            assert isinstance(one, RuntimeError)
            assert "no such picture" in str(one)
        else:
            assert one["seen"][0, 0] == number


def test_a_slot_that_dies_is_noticed_and_replaced(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def run(images):
        if images[0, 0, 0, 0] < 0:
            raise SystemExit
        return echo(images)

    async def story():
        made = scheduler(run, batch=1, slots=2)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                await made.submit(picture(-1), 30.0)
        await settled(lambda: not any(thread.is_alive() for thread in made._threads))
        assert not made.alive
        waiting = made.submit(picture(5), 30.0)
        assert made.revive() == 2
        assert made.alive
        assert made.revive() == 0
        assert (await waiting)["seen"][0, 0] == 5
        made.close()

    asyncio.run(story())


@WAYS
def test_a_version_that_is_replaced_answers_all_that_it_was_asked(inline):
    async def story():
        gate = Gate()
        made = scheduler(gate, slots=2, batch=2, inline=inline)
        tickets = [made.submit(picture(number), 30.0) for number in range(20)]
        made.close()
        gate.opened.set()
        found = await asyncio.gather(*tickets)
        joined(made)
        # Whoever found this version before another took its place, and read its body until now, asks it still.
        late = [made.submit(picture(number), 5.0) for number in range(20, 40)]
        found += await asyncio.gather(*late)
        joined(made)
        assert not any(thread.is_alive() for thread in made._threads)
        return found, weakref.ref(gate)

    found, run = asyncio.run(story())
    assert [int(one["seen"][0, 0]) for one in found] == list(range(40))
    gc.collect()
    assert run() is None  # its memory goes with it


def test_twice_the_capacity_is_refused_and_what_is_taken_waits_no_longer_than_the_queue_is():
    most, seconds = 32, 0.01

    def run(images):
        time.sleep(seconds)
        return echo(images)

    async def story():
        made = scheduler(run, batch=4, slots=2, most=most)
        answered, refused, longest = [], 0, 0
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < 1.5:
            while len(answered) + refused < passed * 2 * 8 / seconds:  # twice what two slots with four pictures can
                try:
                    answered.append(made.submit(picture(1), 30.0))
                except Refusal:
                    refused += 1
                longest = max(longest, made.waiting)
            await asyncio.sleep(0.001)
        await asyncio.gather(*answered)
        made.close()
        return len(answered), refused, longest, made.statistics

    taken, refused, longest, counted = asyncio.run(story())
    waited = counted.queue_ns / taken / 1e6
    print(f"\n{taken} taken, {refused} refused, at most {longest} waiting, {waited:.0f} ms on average; "
          f"a full queue is {most / 8 * seconds * 1000:.0f} ms")  # fmt: skip
    assert longest == most
    assert refused > taken / 4
    assert counted.batches[4][0] > 0.8 * sum(runs for runs, _ in counted.batches.values())


def test_its_threads_end_with_it():
    before = threading.active_count()

    async def story():
        for _ in range(20):
            made = scheduler(echo, slots=4)
            await made.submit(picture(1), 30.0)
            made.close()

    asyncio.run(story())
    until(lambda: threading.active_count() <= before)


def test_a_picture_that_the_slot_cannot_decode_is_refused_alone():
    """The others of its batch get their answers, and the slot goes on."""

    def unreadable():
        raise Refusal(400, "no picture")

    async def story():
        made = scheduler(echo, slots=1)
        asked = [
            made.submit_unread(lambda: picture(3), 30.0),
            made.submit_unread(unreadable, 30.0),
            made.submit(picture(5), 30.0),
        ]
        first, second, third = await asyncio.gather(*asked, return_exceptions=True)
        assert (second.status, second.message) == (400, "no picture")
        assert (first["seen"].tolist(), third["seen"].tolist()) == ([[3, 0]], [[5, 0]])
        assert sum(size * count for size, (count, _) in made.statistics.batches.items()) == 2
        assert made.alive
        made.close()

    asyncio.run(story())
