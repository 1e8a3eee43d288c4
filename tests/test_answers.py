"""What people are told of boxes and masks. Answers about classes are in test_objectives."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from app.answers import Box, Boxes, Share, detection, segmentation

NAMES = ("background", "cat", "dog")


def found(scores=(0.5, 0.9, 0.2), count=3):
    boxes = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1, 1], [0, 0, 0.25, 0.25], [0, 0, 0, 0]], np.float32)
    return {
        "boxes": boxes[None],
        "classes": np.array([[1, 2, 1, 0]], np.float32),
        "scores": np.array([[*scores, 0]], np.float32),
        "count": np.array([count], np.float32),
    }


def test_boxes_come_with_the_surest_first_and_without_the_padding():
    (answer,) = detection(found(), NAMES)
    assert answer == Boxes(
        (
            Box("dog", 2, 0.9, 0.5, 0.5, 1, 1),
            Box("cat", 1, 0.5, 0.1, 0.2, 0.3, 0.4),
            Box("cat", 1, 0.2, 0, 0, 0.25, 0.25),
        )
    )


def test_boxes_below_the_threshold_are_left_out_and_one_on_it_is_told():
    assert [box.score for box in detection(found(), NAMES, None, 0.5)[0].boxes] == [0.9, 0.5]
    assert detection(found(), NAMES, None, 0.95)[0].boxes == ()
    assert detection(found(count=0), NAMES)[0].boxes == ()


@pytest.mark.parametrize(("top", "boxes"), [(None, 3), (1, 1), (2, 2), (9, 3)])
def test_top_bounds_boxes_where_it_is_given(top, boxes):
    assert len(detection(found(), NAMES, top)[0].boxes) == boxes


def test_boxes_are_json_of_plain_values():
    told = detection(found(), NAMES, 1)[0].to_json()
    assert json.loads(json.dumps(told)) == {"boxes": [{"label": "dog", "score": 0.9, "box": [0.5, 0.5, 1.0, 1.0]}]}


def test_a_mask_has_the_likeliest_class_of_every_pixel_and_the_shares():
    numbers = np.array([[2, 2, 2, 0], [2, 2, 1, 0]])
    (answer,) = segmentation({"masks": np.eye(3, dtype=np.float32)[numbers][None]}, NAMES)
    assert answer.pixels.dtype == np.uint8
    assert np.array_equal(answer.pixels, numbers)
    assert answer.shares == (Share("dog", 2, 0.625), Share("background", 0, 0.25), Share("cat", 1, 0.125))
    (shorter,) = segmentation({"masks": np.eye(3, dtype=np.float32)[numbers][None]}, NAMES, 1)
    assert shorter.shares == (Share("dog", 2, 0.625),)
    assert np.array_equal(shorter.pixels, numbers)


def test_a_class_without_a_pixel_is_not_told():
    (answer,) = segmentation({"masks": np.eye(3, dtype=np.float32)[np.zeros((1, 2, 2), int)]}, NAMES)
    assert answer.shares == (Share("background", 0, 1.0),)


def test_the_png_of_a_mask_has_the_numbers_of_its_classes():
    numbers = np.random.default_rng(0).integers(0, 3, (5, 9))
    told = json.loads(json.dumps(segmentation({"masks": np.eye(3)[numbers][None]}, NAMES)[0].to_json()))["mask"]
    assert (told["width"], told["height"]) == (9, 5)
    assert sum(row["share"] for row in told["classes"]) == pytest.approx(1, abs=1e-5)
    with Image.open(io.BytesIO(base64.b64decode(told["png"]))) as picture:
        assert np.array_equal(np.asarray(picture), numbers)
