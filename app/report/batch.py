"""The first training batch, as the network saw it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app.report import markup
from app.report.material import Material
from app.report.words import NOT_RECORDED, setting_value


def batch_section(run: Material, annotations: str, draw: Callable[[Path], None]) -> str:
    """Its pictures with what was known of them, or that there are none.

    Args:
        annotations: what is drawn on the pictures, as in `its boxes`; empty for their labels below them.
        draw: draws the batch into a file.
    """
    heading, file = "What the network saw", run.file("batch.png")
    if not run.batch:
        return markup.section(heading, markup.paragraph(f"The first batch was {NOT_RECORDED}."))
    draw(file)
    augmented = setting_value(run.settings.get("augment"))
    drawn = f" with {annotations}, as they" if annotations else ", as it"
    note = f"The start of the first training batch{drawn} went into the network. Augmentation: {augmented}."
    alternative = f"Training pictures with their {annotations.removeprefix('its ') or 'labels'}; augmentation: {augmented}."
    return markup.section(heading, markup.paragraph(note, "quiet"), markup.image(file, alternative))


def first_pictures(run: Material, most: int) -> np.ndarray[Any, Any]:
    """Pictures of the batch that can be drawn on. Shapes: uint8 [at most `most`, H, W, C]."""
    pictures: np.ndarray[Any, Any] = run.batch["images"][:most].round().clip(0, 255).astype(np.uint8)
    return pictures
