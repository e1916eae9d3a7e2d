"""Converts the schemas of OpenAPI files to JSON Schema."""

from __future__ import annotations

from typing import Any

from pyscrai_core import ConfigError

#: Keywords that are specific to OpenAPI, or useless to the caller.
DROPPED = {
    "nullable",
    "example",
    "discriminator",
    "xml",
    "externalDocs",
    "deprecated",
    "readOnly",
    "writeOnly",
}
#: Keywords whose value maps names to schemas, and keywords whose value is plain data.
NAMED = {"properties", "patternProperties", "$defs", "dependentSchemas"}
PLAIN = {"enum", "const", "default", "examples", "required"}


class Schemas:
    """Converts schemas of `document` to JSON Schema 2020-12. Referenced schemas are in `definitions`."""

    def __init__(self, document: dict[str, Any], where: str) -> None:
        self.definitions: dict[str, Any] = {}
        self._document, self._where = document, where
        self._names: dict[str, str] = {}

    def resolved(self, node: Any) -> dict[str, Any]:
        """A part of the document, with its reference resolved. Raises `ConfigError`."""
        seen = set()
        while isinstance(node, dict) and "$ref" in node and node["$ref"] not in seen:
            seen.add(node["$ref"])
            node = self._found(node["$ref"])
        if not isinstance(node, dict) or "$ref" in node:
            raise ConfigError(f"{self._where}: {str(node)[:60]!r} is not valid here; fix the file")
        return node

    def _found(self, reference: str) -> Any:
        node: Any = self._document if reference.startswith("#/") else None
        for step in reference[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or key not in node:
                what = f"$ref {reference!r} does not exist; expected one such as #/components/schemas/NAME"
                raise ConfigError(f"{self._where}: {what}")
            node = node[key]
        return node

    def converted(self, node: Any) -> Any:
        """A schema that may refer to `definitions`."""
        if isinstance(node, list):
            return [self.converted(part) for part in node]
        if not isinstance(node, dict):
            return node
        made: dict[str, Any] = {}
        for key, part in node.items():
            if key == "$ref":
                made[key] = f"#/$defs/{self._definition(part)}"
            elif key in NAMED:
                made[key] = {name: self.converted(one) for name, one in part.items()}
            elif key not in DROPPED and not key.startswith("x-"):
                made[key] = part if key in PLAIN else self.converted(part)
        for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if made.get(bound) is True:  # the form in version 3.0
                made[bound] = made.pop(limit)
            elif made.get(bound) is False:
                del made[bound]
        return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made

    def _definition(self, reference: str) -> str:
        if reference not in self._names:
            name = "".join(c if c.isalnum() else "_" for c in reference.rpartition("/")[2])
            name = self._names[reference] = (
                name if name not in self.definitions else f"{name}_{len(self._names)}"
            )
            self.definitions[name] = {}  # it may refer to itself
            self.definitions[name] = self.converted(self._found(reference))
        return self._names[reference]
