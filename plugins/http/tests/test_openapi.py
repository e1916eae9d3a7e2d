"""The toolset `openapi`: from a file to tools."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pyscrai_core import ConfigError, Tool
from pyscrai_http.openapi import MAX_TOOLS, OpenApi, OpenApiConfig

SHOP = """
openapi: 3.0.3
info: {title: Shop, version: 2024-01-01}
servers: [{url: https://elsewhere.example/v2}]
paths:
  /items/{id}:
    parameters:
      - {$ref: '#/components/parameters/Id'}
      - {name: lang, in: query, schema: {type: string}, description: of the path}
    get:
      operationId: items.find
      summary: Find  an item
      parameters:
        - {name: lang, in: query, schema: {enum: [de, en], default: de}}
        - {name: id, in: query, schema: {type: integer, minimum: 0, exclusiveMinimum: true}}
        - {name: Authorization, in: header, required: true, schema: {type: string}}
        - {name: X-Key, in: header, required: true, schema: {type: string}}
        - {name: seen, in: cookie, schema: {type: string}}
        - {name: since, in: query, schema: {type: string, default: 2024-01-01}}
    put:
      operationId: change
      requestBody:
        required: true
        content: {application/merge+json: {schema: {$ref: '#/components/schemas/Item'}}}
  /items:
    post: {operationId: upload, requestBody: {content: {text/csv: {schema: {type: string}}}}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: string}}
  schemas:
    Item:
      type: object
      required: [example]
      properties:
        example: {type: string, nullable: true, example: apple}
        parts: {type: array, items: {$ref: '#/components/schemas/Item'}}
"""


def made(file: Path, text: str, **options: Any) -> list[Tool]:
    """The tools of a file; each is usable until the end of the test's loop."""
    file.write_text(text)

    async def listed() -> list[Tool]:
        toolset = OpenApi(OpenApiConfig(file=str(file), **{"server": "http://x.test/api/", **options}))
        await toolset.aopen()
        tools = await toolset.list()
        await toolset.aclose()
        return tools

    return asyncio.run(listed())


def test_operations_become_tools(tmp_path: Path) -> None:
    chosen = {"operations": ("items.find", "change"), "headers": {"X-Key": "k"}}
    find, change = made(tmp_path / "shop.yaml", SHOP, **chosen)
    assert (find.name, find.description, find.repeatable) == ("items_find", "Find an item", True)
    assert find.parameters == {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "lang": {"enum": ["de", "en"], "default": "de"},
            "id_query": {"type": "integer", "exclusiveMinimum": 0},
            "since": {"type": "string", "default": "2024-01-01"},
        },
        "required": ["id"],
        "additionalProperties": False,
    }
    item = change.parameters["$defs"]["Item"]
    assert change.parameters["properties"]["body"] == {"$ref": "#/$defs/Item"}
    assert item["properties"]["example"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert item["properties"]["parts"]["items"] == {"$ref": "#/$defs/Item"}
    assert item["required"] == ["example"]


def test_a_call_is_a_request(api: Any, tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(__import__("yaml").safe_load(SHOP), default=str))

    async def called() -> list[Any]:
        reach = {"server": api.url + "/api", "private": True, "operations": ("change", "items.find")}
        toolset = OpenApi(OpenApiConfig(file=str(file), **reach))
        await toolset.aopen()
        change, find = await toolset.list()
        body = {"example": None}
        turn: Any = None
        told = [await change.call({"id": "a/b", "body": body}, turn)]
        told.append(await find.call({"id": "7", "id_query": 3, "lang": "en"}, turn))
        await toolset.aclose()
        return told

    put, got = asyncio.run(called())
    assert (put["method"], put["path"], put["body"]) == ("PUT", "/api/items/a%2Fb", {"example": None})
    assert api.seen[0][2]["Content-Type"] == "application/merge+json"
    assert got["path"] == "/api/items/7?id=3&lang=en"


@pytest.mark.parametrize(
    "options, change, words",
    [
        ({"server": None}, ("", ""), "set `server: https://elsewhere.example/v2`"),
        ({"operations": ("find",)}, ("", ""), "no operation 'find'; there are items.find, change, upload"),
        ({}, ("", ""), "upload: its body is text/csv, expected JSON"),
        ({}, ("3.0.3", "2.0"), "expected 3.0 or 3.1"),
        ({}, ("parameters/Id'", "parameters/No'"), "does not exist"),
        ({}, ("components:", "more: &a [*a]\ncomponents:"), "aliases"),
        ({}, ("components:", "components: ]"), "cannot be read"),
        ({}, ("name: id, in: path", "in: path"), "not a valid OpenAPI file .KeyError: 'name'"),
        ({"operations": ("change",)}, ("type: array", "type: list"), "change: it has an invalid schema"),
    ],
)
def test_mistakes(tmp_path: Path, options: dict[str, Any], change: tuple[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        made(tmp_path / "shop.yaml", SHOP.replace(*change) if change[0] else SHOP, **options)


def test_many_operations_have_to_be_chosen(tmp_path: Path) -> None:
    paths = {f"/{number}": {"get": {}} for number in range(MAX_TOOLS + 1)}
    text = json.dumps({"openapi": "3.1.0", "paths": paths, "servers": [{"url": "http://localhost:1"}]})
    with pytest.raises(ConfigError, match="choose some with `operations`: get/0, get/1"):
        made(tmp_path / "many.json", text, server=None)
    assert made(tmp_path / "many.json", text, operations=("get/7",))[0].name == "get_7"
