import random

import numpy as np
import pytest
from PIL import Image

from app.bench.figures import Benchmark, Row, Timing
from app.bench.labels import Box, Bubble, arrange
from app.bench.plot import check_name, draw, label
from app.errors import UserError


def row(path, precision, milliseconds, size, metric=0.98, runtime="LiteRT"):
    timings = (Timing(1, milliseconds, 9.0, 1.0, (milliseconds,)),) if milliseconds else ()
    return Row(path, "tflite", precision, runtime, size, metric, 0.99, "passed", "", timings=timings)


def benchmark(*rows):
    return Benchmark("net-pets", 4, "accuracy", {}, {"threads": [1]}, rows)


def coloured(file):
    """The share of a picture's pixels that are not grey."""
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"), int)
    return (pixels.max(axis=2) - pixels.min(axis=2) > 40).mean()


def test_a_larger_file_is_a_larger_bubble(tmp_path):
    for name, size in (("small", 10_000), ("large", 40_000)):
        draw(
            benchmark(row("model.onnx", "fp32", 1.0, 40_000), row("model-int8.tflite", "int8", 50.0, size)),
            tmp_path / f"{name}.png",
        )
    assert coloured(tmp_path / "large.png") > 1.2 * coloured(tmp_path / "small.png")


def test_files_of_one_metric_and_one_alone_can_be_drawn_and_none_is_told(tmp_path):
    draw(benchmark(row("model.onnx", "fp32", 1.0, 10)), tmp_path / "one.png")
    assert coloured(tmp_path / "one.png") > 0
    with pytest.raises(UserError, match="no file could be measured"):
        draw(benchmark(row("model.onnx", "fp32", None, 10)), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_label_tells_what_sets_a_file_apart_and_its_size():
    assert label(row("model-mcu.tflite", "int8", 1.0, 72 * 1024)) == "mcu, 72 KiB"
    assert label(row("model.onnx", "fp32", 1.0, 100 * 2**20)) == "fp32, 100.0 MiB"


def test_a_plot_is_a_png(tmp_path):
    check_name(tmp_path / "a.PNG")
    with pytest.raises(UserError, match=r"give a name that ends in \.png"):
        check_name(tmp_path / "a.svg")


def test_no_label_hides_another_or_a_line_or_leaves_the_plot():
    chance = random.Random(1)
    for crowd in (1, 3, 9):
        bubbles = [Bubble(200 + chance.random() * 60, 150 + chance.random(), 10, 55, 9) for _ in range(crowd)]
        bounds = Box(0, 0, 400, 300)
        places = arrange(bubbles, bounds)
        assert places == arrange(bubbles, bounds)
        for number, place in enumerate(places):
            assert bounds.holds(place.label)
            assert place.line.left < bubbles[number].x < place.line.right
            for other in places[:number] + places[number + 1 :]:
                assert not place.label.overlaps(other.label)
                assert not place.label.overlaps(other.line)


def test_a_label_at_the_edge_stays_inside():
    bounds = Box(0, 0, 400, 300)
    for x, y in ((5, 150), (395, 150), (200, 295), (200, 5)):
        (place,) = arrange([Bubble(x, y, 10, 55, 9)], bounds)
        assert bounds.holds(place.label)
