"""Where the labels of a plot's bubbles stand, so that little is hidden."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

LEVELS = 14  # heights at which a label may stand, above and below
SHARES = (0.5, 0.1, 0.9, 0.3, 0.7, -0.04, 1.04)  # of a label's width, that stand left of its line
DOT, GAP = 3.0, 2.0  # points from a bubble's middle, and from a label, that belong to it
PASSES, ORDERS = 3, 12
HIDDEN, TOUCHED, OUTSIDE = 20.0, 1.0, 1000.0  # what they cost, in levels further off


@dataclass(frozen=True)
class Box:
    """A rectangle, from left to right and from bottom to top."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        """Whether they have a place in common."""
        apart = self.right <= other.left or other.right <= self.left or self.top <= other.bottom or other.top <= self.bottom
        return not apart

    def holds(self, other: Box) -> bool:
        """Whether the other is inside."""
        return self.left <= other.left and other.right <= self.right and self.bottom <= other.bottom and other.top <= self.top

    def padded(self, by: float) -> Box:
        """The same with a margin."""
        return Box(self.left - by, self.bottom - by, self.right + by, self.top + by)


@dataclass(frozen=True)
class Bubble:
    """What gets a label.

    Args:
        width, height: of the label.
    """

    x: float
    y: float
    radius: float
    width: float
    height: float

    @property
    def dot(self) -> Box:
        """Its middle, which no label may hide."""
        return Box(self.x, self.y, self.x, self.y).padded(DOT)


@dataclass(frozen=True)
class Place:
    """Where a label stands, and the upright line to it from its bubble's middle; `level`: how far off."""

    level: int
    label: Box
    line: Box


def arrange(bubbles: Sequence[Bubble], bounds: Box) -> list[Place]:
    """A place for every label, the same for the same bubbles.

    One after the other takes its best among the others', some times over. That can end where two are in each other's way,
    so it is tried in other orders until nothing is hidden. All lengths in points.
    """
    candidates = [_candidates(bubble) for bubble in bubbles]
    order, chance = sorted(range(len(bubbles)), key=lambda number: bubbles[number].x), random.Random(0)
    found = []
    for _ in range(ORDERS):
        found.append(_settle(bubbles, candidates, order, bounds))
        if found[-1][0] < HIDDEN:
            break
        chance.shuffle(order)
    return min(found, key=lambda attempt: attempt[0])[1]


def _settle(
    bubbles: Sequence[Bubble], candidates: Sequence[Sequence[Place]], order: Sequence[int], bounds: Box
) -> tuple[float, list[Place]]:
    """What the places cost that are found in this order, and the places."""
    chosen: dict[int, Place] = {}
    total = 0.0
    for _ in range(PASSES):
        total = 0.0
        for turn in order:
            others = [place for number, place in chosen.items() if number != turn]
            dots = [bubble.dot for number, bubble in enumerate(bubbles) if number != turn]
            costs = [_cost(place, others, dots, bounds) for place in candidates[turn]]
            chosen[turn] = candidates[turn][costs.index(min(costs))]
            total += min(costs)
    return total, [chosen[number] for number in range(len(bubbles))]


def _candidates(bubble: Bubble) -> list[Place]:
    """Above and below, the nearest first."""
    found = []
    for level in range(LEVELS):
        away = bubble.radius + DOT + level * (bubble.height + GAP) * 0.6
        for bottom, end in ((bubble.y + away, bubble.y + away), (bubble.y - away - bubble.height, bubble.y - away)):
            line = Box(bubble.x - 0.5, min(bubble.y, end), bubble.x + 0.5, max(bubble.y, end))
            for share in SHARES:
                left = bubble.x - share * bubble.width
                found.append(Place(level, Box(left, bottom, left + bubble.width, bottom + bubble.height), line))
    return found


def _cost(place: Place, others: Sequence[Place], dots: Sequence[Box], bounds: Box) -> float:
    label, line = place.label.padded(GAP / 2), place.line
    hidden = sum(label.overlaps(dot) for dot in dots)
    touched = sum(line.overlaps(dot) for dot in dots)
    for other in others:
        theirs = other.label.padded(GAP / 2)
        hidden += label.overlaps(theirs) + label.overlaps(other.line) + theirs.overlaps(line)
        touched += line.overlaps(other.line)
    return place.level + HIDDEN * hidden + TOUCHED * touched + OUTSIDE * (not bounds.holds(place.label))
