"""The report as one HTML page."""

from __future__ import annotations

from typing import Any


def as_html(content: dict[str, Any]) -> str:
    raise NotImplementedError
