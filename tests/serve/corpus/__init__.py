"""Requests that are wrong, each in its own way, for the network `tests.serve.tiny`: byte for byte, with the status they get."""

from collections.abc import Iterator

from tests.serve.corpus import paths, pictures, tensors, texts, wires
from tests.serve.corpus.case import Case


def corpus() -> Iterator[Case]:
    """All of them."""
    for group in (tensors.values, tensors.binaries, texts.texts, texts.encodings,
                  pictures.instances, pictures.bodies, pictures.forms,
                  paths.repository, paths.places, paths.methods, wires.wires):  # fmt: skip
        for case in group():
            yield Case(f"{group.__name__}: {case.name}", case.sent, case.status)
