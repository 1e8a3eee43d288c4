"""The service described for programs.

Source: the OpenAPI Specification 3.1.
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def document() -> dict[str, Any]:
    """All ways in, with what they take and give."""
    return {"openapi": "3.1.0", "info": {"title": "Convoy", "version": "2"}, "paths": {}}
