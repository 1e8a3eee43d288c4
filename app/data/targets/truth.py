"""Boxes for networks that compare their own proposals with them: they go in beside the picture, and there are no targets."""

from collections.abc import Callable
from typing import Any

from app.data.spec import Array

INPUT = "truth"


def encoder(network: Any, classes: int) -> Callable[[Array], dict[str, Array]]:  # noqa: ARG001 - as all encoders are made
    """Boxes [B, M, 6] as the network's input of that name.

    Source: Ren et al. 2015, section 3.1.2: which anchors and regions are trained on is drawn inside the network.
    """
    return lambda boxes: {INPUT: boxes}
