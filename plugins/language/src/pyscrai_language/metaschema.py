"""The schema of schemas (JSON Schema, draft 2020-12), as one document that is checked like any other.

As it is published it consists of eight documents that refer to each other by address. jsonschema would follow
these references slowly, and with classes of its own, in which no work is counted.
"""

from __future__ import annotations

import functools
from typing import Any

_BASE = "https://json-schema.org/draft/2020-12/"


@functools.cache
def metaschema() -> dict[str, Any]:
    """The document."""
    from jsonschema_specifications import REGISTRY

    root: dict[str, Any] = REGISTRY.contents(f"{_BASE}schema")
    names = [part["$ref"] for part in root["allOf"]]
    parts = {name: _moved(REGISTRY.contents(_BASE + name), name) for name in names}
    return {**_moved(root, ""), "$defs": {name.replace("/", "-"): part for name, part in parts.items()}}


@functools.cache
def keywords() -> frozenset[str]:
    """All keywords."""
    parts = (metaschema(), *metaschema()["$defs"].values())
    return frozenset(key for part in parts for key in part.get("properties", ()))


def _moved(part: Any, document: str) -> Any:
    """A part of a document, with its references leading into the one document."""
    if isinstance(part, list):
        return [_moved(each, document) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _moved(each, document) for key, each in part.items()}
    if isinstance(part.get("pattern"), str):
        del found["pattern"]  # it is for a keyword that is not available
    if isinstance(reference := part.get("$ref"), str):
        name, _, pointer = reference.partition("#")
        found["$ref"] = f"#/$defs/{(name or document).replace('/', '-')}{pointer}"
    if isinstance(part.get("$dynamicRef"), str):
        found["$ref"] = "#"  # to the whole
    return found
