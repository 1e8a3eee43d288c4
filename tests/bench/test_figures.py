import pytest

from app.bench.figures import Benchmark, Row, Timing, cost, percentile, throughput, timing
from app.bench.text import milliseconds, text


def row(path, precision, *rounds_ms, runtime="LiteRT", threads=1):
    timings = (Timing(threads, sorted(rounds_ms)[len(rounds_ms) // 2], 9.0, 1.0, rounds_ms),) if rounds_ms else ()
    return Row(path, "tflite", precision, runtime, 2048, 0.98, 0.99, "passed" if rounds_ms else "failed", "", timings=timings)


def benchmark(*rows, threads=(1,)):
    settings = {"pictures": 3, "rounds": 5, "threads": list(threads)}
    machine = {"processor": "a processor", "cores": 2, "system": "Linux", "versions": {}}
    return Benchmark("net-pets", 4, "accuracy", machine, settings, rows)


def test_percentiles_of_known_numbers():
    numbers = [float(number) for number in range(100, 0, -1)]
    assert percentile(numbers, 50) == 50.5
    assert percentile(numbers, 95) == pytest.approx(95.05)
    assert percentile([7.0], 95) == 7.0
    assert percentile([1.0, 3.0], 95) == pytest.approx(2.9)


def test_a_round_that_was_disturbed_does_not_count():
    calm = ([0.001, 0.002, 0.003], 0.004)
    found = timing(2, [calm, calm, ([0.5, 0.6, 0.7], 0.9)])
    assert found == Timing(threads=2, median_ms=2.0, p95_ms=2.9, cpu_ms=4.0, rounds_ms=(2.0, 2.0, 600.0))


def test_throughput_is_that_of_the_best_batch_or_of_single_pictures():
    assert throughput(2, 10.0, {4: [0.02, 0.02, 9.0], 16: [0.1, 0.1, 0.1]}).batch == 4
    assert throughput(2, 10.0, {4: [0.02, 0.02, 9.0]}).pictures_per_second == 200
    assert (throughput(1, 2.0, {4: [1.0]}).batch, throughput(1, 2.0, {}).pictures_per_second) == (1, 500)


def test_int8_is_compared_with_float32_of_its_runtime_round_by_round():
    # Medians alone would say 3 / 4: a busy machine slowed one round of each file, and not the same.
    found = benchmark(
        row("int8.tflite", "int8", 1.0, 9.0, 3.0),
        row("fp16.tflite", "fp16", 1.0, 1.0, 1.0),
        row("fp32.tflite", "fp32", 2.0, 18.0, 4.0),
        row("model.onnx", "fp32", 100.0, 100.0, 100.0, runtime="ONNX Runtime"),
        row("lonely.onnx", "int8", 5.0, 5.0, 5.0, runtime="another"),
    )
    assert [(one.path, one.to, one.runtime, one.threads, one.ratio) for one in found.ratios] == [
        ("int8.tflite", "fp32.tflite", "LiteRT", 1, 0.5)
    ]
    assert "int8.tflite takes 0.50 of the time of fp32.tflite in LiteRT on 1 thread" in text(found)


def test_what_was_not_measured_is_a_dash_and_has_its_reason_below():
    broken = row("fp32.tflite", "fp32")
    told = text(benchmark(row("int8.tflite", "int8", 2.0), broken, threads=(1, 4)))
    lines = told.splitlines()
    assert [title for title in ("1 thread: ms", "4 threads: ms", "pictures/s", "accuracy") if title not in lines[0]] == []
    assert lines[3].split()[:3] == ["fp32.tflite", "LiteRT", "2.0"]
    assert lines[3].count(" - ") == 10  # load, memory, three figures twice, throughput and its batch
    assert "fp32.tflite in LiteRT: failed: " in told
    assert "medians over 5 rounds of 3 pictures, the files in turns; a processor, 2 cores" in told


def test_a_busy_machine_is_told():
    calm, slowed = row("calm.onnx", "fp32", 1.4), row("slowed.onnx", "fp32", 1.6)  # milliseconds, of which 1 of the processor
    assert "busy" not in text(benchmark(calm))
    assert "the machine was busy: 1 of 2 took over 1.5 times their CPU time on 1 thread; measure again" in text(
        benchmark(calm, slowed)
    )


def test_milliseconds_have_three_digits():
    assert [milliseconds(value) for value in (0.0213, 1.2345, 12.34, 1234.5)] == ["0.021", "1.23", "12.3", "1,234.5"]


def test_the_cost_of_boxes_is_that_of_each_round():
    rounds = [((0.010,) * 3, (0.008,) * 3), ((0.030,) * 3, (0.024,) * 3), ((0.012,) * 3, (0.006,) * 3)]
    found = cost("model.onnx", "ONNX Runtime", 1, rounds)
    assert (found.whole_ms, found.body_ms, found.share) == (12, 8, 0.2)
