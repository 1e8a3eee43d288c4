"""What training makes small. A row for each loss that a network's recipe may name."""

from collections.abc import Callable
from typing import Any

from app.train.losses import classification

LOSSES: dict[str, Callable[[], Any]] = {**classification.LOSSES}
