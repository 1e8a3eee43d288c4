"""How figures are written for people."""

from __future__ import annotations

import math
from typing import Any

from app import progress

NOT_RECORDED = "not recorded"
NOT_YET = "not yet"
METRICS = {"map50": "mAP at IoU .5", "miou": "mean IoU"}
MANY = 2000  # pictures, from which a hundredth of a percent says something


def percent(share: float | None, pictures: int | None = 0) -> str:
    """A share 0..1 as `98.6 %`, with two decimals if it is of many pictures; 100 % only if it is all of them."""
    if share is None:
        return NOT_RECORDED
    decimals = 2 if pictures and pictures >= MANY else 1
    text = f"{100 * share:.{decimals}f}"
    if share < 1 and float(text) >= 100:
        text = f"{100 - 10**-decimals:.{decimals}f}"
    return f"{text} %"


def metric_name(key: str) -> str:
    """What a metric is called on a page."""
    return METRICS.get(key, key)


def count(number: int | None) -> str:
    """`61,706`"""
    return NOT_RECORDED if number is None else f"{number:,}"


def decimal(number: float | None) -> str:
    """`0.0412`"""
    return NOT_RECORDED if number is None else f"{number:.4f}"


def duration(seconds: float | None) -> str:
    """`48 s`, `2 min 14 s` or `3 h 5 min`."""
    return NOT_RECORDED if seconds is None or not math.isfinite(seconds) else progress.duration(seconds)


def plural(number: int, noun: str) -> str:
    """`1 picture`, `2 pictures`"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def setting_value(value: Any) -> str:
    """A setting as it would be typed."""
    if value is None:
        return NOT_RECORDED
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or "none"
