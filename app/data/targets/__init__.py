"""Annotations -> what a network is trained towards. A row for each encoder that a network may name."""

from app.data.targets.one_hot import one_hot

ENCODERS = {"one_hot": one_hot}
