"""Pictures that a detector learns in seconds: bright rectangles on grey, of the class of their colour."""

import numpy as np


def rectangles(count, side=64, seed=0):
    """Pictures float32 [N, side, side, 3] with two rectangles each, and their boxes [N, 3, 6]."""
    rng = np.random.default_rng(seed)
    images = rng.normal(90, 10, (count, side, side, 3)).astype(np.float32)
    boxes = np.zeros((count, 3, 6), np.float32)
    boxes[:, :, 4] = -1
    for picture in range(count):
        for half in range(2):
            height, width = rng.integers(side // 5, side // 2 - 4, 2)
            top, left = rng.integers(0, side - height), half * side // 2 + rng.integers(0, side // 2 - width)
            label = rng.integers(3)
            images[picture, top : top + height, left : left + width, label] = 250
            boxes[picture, half] = [top / side, left / side, (top + height) / side, (left + width) / side, label, 0]
    return images, boxes
