"""The tool `http`: a request from a template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, get_args
from urllib.parse import quote, urlencode

from attrs import field, frozen, validators

from pyscrai_core import JsonSchema, Tool, ToolFailed, Turn, Url

from .client import Client, ClientConfig, check_address

#: The place of an argument in the request: `whole` is the whole body, `body` is a key of the body.
Place: TypeAlias = Literal["path", "query", "header", "body", "whole"]

#: The idempotent methods (RFC 9110, section 9.2.2).
IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE")
WITH_BODY = ("POST", "PUT", "PATCH")
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


@frozen
class Endpoint:
    """A method, the template of a URL, and for each argument its name in the request and its place."""

    method: str
    url: str
    arguments: Mapping[str, tuple[str, Place]]
    content_type: str = "application/json"

    def request(self, given: Mapping[str, Any]) -> tuple[str, dict[str, str], bytes | None]:
        """The URL, header fields and body for these arguments. Raises `ToolFailed`."""
        at: dict[str, dict[str, Any]] = {place: {} for place in get_args(Place)}
        for key, value in given.items():
            name, place = self.arguments[key]
            at[place][name] = value
        url = PLACEHOLDER.sub(lambda found: _segment(found[1], at["path"].get(found[1])), self.url)
        pairs = [(name, one) for name, value in at["query"].items() for one in _texts(value)]
        if pairs:
            url += ("&" if "?" in url else "?") + urlencode(pairs)
        headers = {name: ",".join(_texts(value)) for name, value in at["header"].items()}
        if any(not value.isascii() or not value.isprintable() for value in headers.values()):
            raise ToolFailed("a header may only contain printable ASCII characters; remove the others")
        if not at["body"] and not at["whole"]:
            return url, headers, None
        content = at["whole"]["body"] if at["whole"] else at["body"]
        return url, {**headers, "Content-Type": self.content_type}, json.dumps(content).encode()


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [one if isinstance(one, str) else json.dumps(one) for one in values]


def _segment(name: str, value: Any) -> str:
    """An escaped value for the URL's path. Raises `ToolFailed` if it would change the path's structure."""
    text = ",".join(_texts(value))
    if any(step in ("", ".", "..") for step in re.split(r"[/\\]", text)):
        raise ToolFailed(f"{name}: {text!r} cannot be part of the URL's path; use a plain value")
    return quote(text, safe="")


class RemoteTool(Tool):
    """A tool that sends requests to an `endpoint`. `defaults` are the values of optional arguments."""

    endpoint: Endpoint
    client: Client | None = None
    defaults: Mapping[str, Any] = {}

    async def call(self, arguments: dict[str, Any], turn: Turn) -> Any:
        assert self.client is not None
        try:
            url, headers, body = self.endpoint.request({**self.defaults, **arguments})
            return await self.client.fetch(self.endpoint.method, url, headers, body, self.repeatable)
        except ToolFailed as error:
            raise ToolFailed(f"tool {self.name}: {error}") from error


@frozen(kw_only=True)
class HttpConfig(ClientConfig):
    """The options of `http`. The keys `in` and `optional` of a parameter are not part of its JSON Schema."""

    name: str = field(validator=validators.matches_re(r"[A-Za-z0-9_-]{1,64}"))
    description: str = field(validator=validators.min_len(1))
    url: Url
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    parameters: dict[str, JsonSchema] = field(factory=dict)
    response: str = ""
    repeatable: bool | None = None

    def __attrs_post_init__(self) -> None:
        check_address(self.url, "url")
        for name in PLACEHOLDER.findall(self.url):
            if name not in self.parameters:
                raise ValueError(f"url: {{{name}}} is not one of `parameters`; add it there")
        for name, schema in self.parameters.items():
            where, place = f"parameters.{name}", self.place(name)
            if place not in ("path", "query", "header", "body"):
                raise ValueError(f"{where}: in: expected path, query, header or body, got {place!r}")
            if (place == "path") != (f"{{{name}}}" in self.url):
                raise ValueError(f"{where}: `in: path` and {{{name}}} in the url require each other; fix one")
            if place == "body" and self.method not in WITH_BODY:
                raise ValueError(f"{where}: {self.method} has no body; set `method`, or `in: query`")
            if '"$ref":' in json.dumps(schema):
                raise ValueError(f"{where}: $ref is not supported here; write the whole schema")

    def place(self, name: str) -> Any:
        """The place of a parameter in the request."""
        default = "body" if self.method in WITH_BODY else "query"
        return self.parameters[name].get("in", "path" if f"{{{name}}}" in self.url else default)


class HttpTool(RemoteTool):
    """A request to a web API."""

    Config: ClassVar[type] = HttpConfig
    config: HttpConfig

    def __init__(self, config: HttpConfig) -> None:
        super().__init__(config)
        given = config.parameters
        self.name, self.description = config.name, config.description
        self.repeatable = config.method in IDEMPOTENT if config.repeatable is None else config.repeatable
        self.defaults = {name: schema["default"] for name, schema in given.items() if "default" in schema}
        places = {name: (name, config.place(name)) for name in given}
        self.endpoint = Endpoint(config.method, config.url, places)
        extra = ("in", "optional")
        plain = {name: {k: v for k, v in one.items() if k not in extra} for name, one in given.items()}
        required = [name for name, one in given.items() if not one.get("optional") and "default" not in one]
        self.parameters = parameters(plain, required)

    async def aopen(self) -> None:
        self.client = Client(self.name, self.config.url, self.config)

    async def aclose(self) -> None:
        if self.client is not None:
            await self.client.aclose()

    async def call(self, arguments: dict[str, Any], turn: Turn) -> Any:
        value, path = await super().call(arguments, turn), self.config.response
        for key in path.split(".") if path else ():
            parts = {str(n): one for n, one in enumerate(value)} if isinstance(value, list) else value
            if not isinstance(parts, dict) or key not in parts:
                where = f"the answer has no {path!r}: expected {key!r} in {json.dumps(value)[:300]}"
                raise ToolFailed(f"tool {self.name}: {where}")
            value = parts[key]
        return value


def parameters(properties: Mapping[str, Any], required: list[str], **more: Any) -> dict[str, Any]:
    """The schema of an object with these properties and no others."""
    made = {"type": "object", "properties": dict(properties), "required": required}
    return {**made, "additionalProperties": False, **more}
