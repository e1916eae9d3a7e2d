"""The toolset `openapi`: the operations of an OpenAPI file."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import yaml
from attrs import frozen
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from pyscrai_core import ConfigError, FilePath, NoConfig, Tool, Toolset, Url, read_file

from .client import Client, ClientConfig, check_address
from .openapi_schemas import Schemas
from .tool import IDEMPOTENT, Endpoint, Place, RemoteTool, parameters

METHODS = ("get", "head", "post", "put", "patch", "delete")
#: More tools would confuse a model. The scenario then has to choose some.
MAX_TOOLS = 24
#: Header parameters that are ignored: by the specification, or because the client sets them.
IGNORED = {"accept", "content-type", "authorization", "host", "content-length", "transfer-encoding"}


@frozen(kw_only=True)
class OpenApiConfig(ClientConfig):
    """The options of `openapi`."""

    file: FilePath
    server: Url | None = None
    operations: tuple[str, ...] | None = None

    def __attrs_post_init__(self) -> None:
        if self.server is not None:
            check_address(self.server, "server")


class OpenApi(Toolset):
    """A tool for each operation of an OpenAPI file."""

    Config: ClassVar[type] = OpenApiConfig
    config: OpenApiConfig
    _client: Client | None = None

    async def aopen(self) -> None:
        self._where = f"openapi: {self.config.file}"
        self._document = self._load()
        self._server = self.config.server or self._own_server()
        self._client = Client(Path(self.config.file).name, self._server, self.config)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _load(self) -> dict[str, Any]:
        try:
            text = read_file(self.config.file).decode("utf-8-sig")
            document = yaml.load(text, _Loader)  # JSON is YAML
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise ConfigError(f"{self._where}: it cannot be read as JSON or YAML: {error}") from None
        version = document.get("openapi") if isinstance(document, dict) else None
        if not str(version).startswith(("3.0", "3.1")):
            raise ConfigError(f"{self._where}: its version is {version!r}, expected 3.0 or 3.1; convert it")
        return dict(document)

    def _own_server(self) -> str:
        # The user approves addresses that a scenario names. This address is not in the scenario.
        url = str((self._document.get("servers") or [{}])[0].get("url", ""))
        if urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"):
            what = f"its server {url or '/'!r} must be named in the scenario, so that the user can approve it"
            raise ConfigError(f"{self._where}: {what}; set `server: {url or 'https://…'}`")
        return url

    async def list(self) -> list[Tool]:
        try:
            return self._listed()
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            what = f"it is not a valid OpenAPI file ({type(error).__name__}: {error}); fix it"
            raise ConfigError(f"{self._where}: {what}") from error

    def _listed(self) -> builtins.list[Tool]:
        found, wanted = dict(self._operations()), self.config.operations
        if wanted is None and len(found) > MAX_TOOLS:
            what = f"{len(found)} operations, expected at most {MAX_TOOLS}; choose some with `operations`"
            raise ConfigError(f"{self._where}: {what}: {', '.join(found)}")
        for name in wanted or ():
            if name not in found:
                raise ConfigError(f"{self._where}: no operation {name!r}; there are {', '.join(found)}")
        return [self._tool(name, *found[name]) for name in (found if wanted is None else wanted)]

    def _operations(self) -> Iterator[tuple[str, tuple[str, str, dict[str, Any]]]]:
        schemas = Schemas(self._document, self._where)
        for path, given in (self._document.get("paths") or {}).items():
            item = schemas.resolved(given)
            for method in METHODS:
                if method in item:
                    own = item[method]
                    both = [*item.get("parameters", ()), *own.get("parameters", ())]
                    # An operation's parameters override those of its path.
                    named = {(one["name"], one["in"]): one for one in map(schemas.resolved, both)}
                    name = own.get("operationId") or method + path
                    yield name, (method, path, {**own, "parameters": named})

    def _tool(self, name: str, method: str, path: str, operation: dict[str, Any]) -> Tool:
        schemas = Schemas(self._document, f"{self._where}: {name}")
        arguments: dict[str, tuple[str, Place]] = {}
        properties: dict[str, Any] = {}
        required: list[str] = []

        def add(called: str, place: Place, schema: Any, described: dict[str, Any]) -> None:
            key = called if called not in arguments else f"{called}_{place}"
            arguments[key], properties[key] = (called, place), schemas.converted(schema)
            if text := described.get("description"):
                properties[key] = {**properties[key], "description": text}
            if described.get("required"):
                required.append(key)

        fixed = {"header": IGNORED | {one.lower() for one in self.config.headers}, "query": self.config.query}
        for (called, place), one in operation["parameters"].items():
            known = called.lower() if place == "header" else called
            if place != "cookie" and known not in fixed.get(place, ()):
                content: dict[str, Any] = next(iter(one.get("content", {}).values()), {})
                add(called, place, one.get("schema", content.get("schema", {})), one)
        body, kind = schemas.resolved(operation.get("requestBody") or {}), "application/json"
        if contents := body.get("content"):
            kind = next((one for one in contents if re.search(r"[/+]json\b", one)), "")
            if not kind:
                what = f"its body is {', '.join(contents)}, expected JSON; choose others with `operations`"
                raise ConfigError(f"{self._where}: {name}: {what}")
            add("body", "whole", contents[kind].get("schema", {}), body)
        more = {"$defs": schemas.definitions} if schemas.definitions else {}
        schema = parameters(properties, required, **more)
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            what = f"it has an invalid schema: {error.message}; fix it"
            raise ConfigError(f"{self._where}: {name}: {what}") from None
        text = operation.get("summary") or operation.get("description") or f"{method.upper()} {path}"
        tool = RemoteTool(NoConfig())
        tool.name, tool.description = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64], " ".join(text.split())
        tool.parameters, tool.repeatable, tool.client = schema, method.upper() in IDEMPOTENT, self._client
        tool.endpoint = Endpoint(method.upper(), self._server.rstrip("/") + path, arguments, kind)
        return tool


class _Loader(yaml.SafeLoader):
    """The part of YAML that corresponds to JSON: dates are text, and aliases are not allowed."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not supported; write the value itself")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if not pair[0].endswith(":timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
