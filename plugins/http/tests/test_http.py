"""The tool `http` against a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pyscrai_core import ToolFailed
from pyscrai_http.client import Secret
from pyscrai_http.tool import HttpConfig, HttpTool
from pyscrai_http.transport import is_public

TEXT = {"type": "string"}
Ask = Callable[..., Any]


def test_arguments_go_where_they_belong(api: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_KEY", "s3cret-value")
    parameters = {
        "city": TEXT, "units": {**TEXT, "default": "metric"}, "days": {"type": "array", "in": "query"},
        "X-Trace": {**TEXT, "in": "header", "optional": True},
    }  # fmt: skip
    key = {"X-Key": Secret("WEATHER_KEY", "Bearer ")}
    options = {"parameters": parameters, "headers": key, "query": {"app": "p&q"}}
    told = ask(f"{api.url}/v1/{{city}}?x=1", {"city": "a b/c?d#e&ü", "days": [1, True]}, **options)
    assert told["path"] == "/v1/a%20b%2Fc%3Fd%23e%26%C3%BC?x=1&units=metric&days=1&days=true&app=p%26q"
    assert told["key"] == "Bearer s3cret-value"
    assert told["data"][0]["id"] == str(2**60)
    ask(f"{api.url}/{{city}}", {"city": "x", "days": [], "X-Trace": "7"}, parameters=parameters)
    assert api.seen[-1][2]["X-Trace"] == "7"
    tool = HttpTool(HttpConfig(name="t", description="d", url=api.url + "/{city}", parameters=parameters))
    assert tool.parameters["required"] == ["city", "days"]
    assert tool.parameters["properties"]["X-Trace"] == TEXT


@pytest.mark.parametrize("city", ["..", ".", "", "../admin", "a/../b", "..\\x", "a//b"])
def test_an_agent_cannot_leave_the_path(api: Any, ask: Ask, city: str) -> None:
    with pytest.raises(ToolFailed, match="tool t: city"):
        ask(api.url + "/v1/{city}/now", {"city": city}, parameters={"city": TEXT})
    assert not api.seen


def test_a_body_and_a_part_of_the_answer(api: Any, ask: Ask) -> None:
    options = {"method": "POST", "parameters": {"note": TEXT, "at": {**TEXT, "in": "query"}}}
    told = ask(api.url, {"note": "ü", "at": "x"}, **options)
    assert (told["body"], told["path"]) == ({"note": "ü"}, "/?at=x")
    assert ask(api.url, response="data.0.temp") == 21.5
    with pytest.raises(ToolFailed, match=r"no 'data.7.temp': expected '7' in \[\{"):
        ask(api.url, response="data.7.temp")


@pytest.mark.parametrize(
    "charset, text", [("latin-1", "Grüße"), ("klingon", "Gr��e"), ("hex", "Gr��e"), ("", "Gr��e")]
)
def test_text_in_any_charset(api: Any, ask: Ask, charset: str, text: str) -> None:
    assert ask(f"{api.url}/text/{charset}") == text


def test_what_goes_wrong_is_told(api: Any, ask: Ask) -> None:
    with pytest.raises(ToolFailed, match=r'tool t: status 404: \{"why": "no such city"\}'):
        ask(api.url + "/status/404")
    with pytest.raises(ToolFailed, match="is not"):
        ask(api.url + "/nojson")
    assert ask(api.url + "/status/204") == {"status": 204}
    assert ask(api.url, method="HEAD") == {"status": 200}


def test_an_answer_is_bounded_in_size_and_time(api: Any, ask: Ask) -> None:
    with pytest.raises(ToolFailed, match="more than 1,000,000 bytes"):
        ask(api.url + "/huge")
    assert api.sent < 50  # of 100: it was not read to its end
    with pytest.raises(ToolFailed, match="too long"):
        ask(api.url + "/slow", seconds=0.3, tries=1)
    assert api.paths() == ["/huge", "/slow"]


@pytest.mark.parametrize("path", ["/busy/503", "/busy/429", "/cut"])
def test_what_does_no_harm_is_tried_again(api: Any, ask: Ask, path: str) -> None:
    assert ask(api.url + path)["path"] == path
    assert ask(api.url + path + "?x=put", method="PUT")["method"] == "PUT"
    before = len(api.seen)
    with pytest.raises(ToolFailed):
        ask(f"{api.url}{path}?x=once", tries=9, method="POST")
    assert len(api.seen) == before + 1


def test_tries_are_bounded(api: Any, ask: Ask) -> None:
    with pytest.raises(ToolFailed, match="status 503"):
        ask(api.url + "/status/503", tries=2)
    assert len(api.seen) == 2
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with pytest.raises(ToolFailed, match="ConnectError"):
        ask(f"http://127.0.0.1:{port}", tries=2)


# -- where it may go --


def test_private_addresses_are_refused(api: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (api.url, api.url.replace("127.0.0.1", "localhost"), api.url.replace("127.0.0.1", "2130706433"))
    for url in names:
        with pytest.raises(ToolFailed, match="not allowed"):
            ask(url, private=False)
    for address in (
        "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "0.0.0.0", "::1",
        "::ffff:127.0.0.1", "fe80::1", "fd00:ec2::254", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "::",
        "240.0.0.1", "fec0::1",
    ):  # fmt: skip
        assert not is_public(address), address
    for address in ("93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:93.184.215.14", "64:ff9b::808:808"):
        assert is_public(address), address
    assert not api.seen


def test_a_name_is_resolved_once_and_every_address_checked(
    api: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[list[str]] = []
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "api.test":
            return real(host, port, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port or 0)) for one in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = api.url.replace("127.0.0.1", "api.test")
    answers[:] = [["93.184.215.14", "127.0.0.1"]]
    with pytest.raises(ToolFailed, match="api.test is on this machine"):
        ask(url, private=False)
    answers[:] = [["127.0.0.1"], ["10.0.0.1"]]  # a second look would find another
    assert ask(url)["path"] == "/"
    assert answers == [["10.0.0.1"]]
    assert api.seen[-1][2]["Host"] == url.removeprefix("http://")


def test_redirects_stay_where_they_are_allowed(serve: Any, ask: Ask) -> None:
    api, other = serve(), serve()
    assert ask(api.url + "/to/echo")["path"] == "/echo"
    api.target = other.url + "/x"
    with pytest.raises(ToolFailed, match="redirects to 127.0.0.1, which is not allowed"):
        ask(api.url + "/to")
    assert not other.seen
    told = ask(api.url + "/to", hosts=(other.url,), headers={"X-Key": "k"})
    assert (told["path"], told["key"], api.seen[-1][2]["X-Key"]) == ("/x", None, "k")
    api.target = "/to"
    with pytest.raises(ToolFailed, match="more than 5 consecutive redirects"):
        ask(api.url + "/to")
    for target in ("file:///etc/passwd", "gopher://127.0.0.1/", "http://[", "//"):
        api.target = target
        with pytest.raises(ToolFailed):
            ask(api.url + "/to")


def test_a_redirect_to_a_private_address_is_refused(
    api: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name stands for a public address, as far as the check can see; what it redirects to does not.
    monkeypatch.setattr("pyscrai_http.transport.is_public", lambda address: address == "127.0.0.1")
    api.target = f"http://[::1]:{api.server_port}/x"
    with pytest.raises(ToolFailed, match="::1 is on this machine"):
        ask(api.url + "/to", private=False, hosts=(f"http://[::1]:{api.server_port}",))
    assert api.paths() == ["/to"]


def test_cookies_are_not_kept(api: Any) -> None:
    async def twice() -> None:
        tool = HttpTool(HttpConfig(name="t", description="d", url=api.url + "/cookie", private=True))
        await tool.aopen()
        for _ in range(2):
            await tool.call({}, None)  # type: ignore[arg-type]
        await tool.aclose()

    asyncio.run(twice())
    assert "Cookie" not in api.seen[1][2]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"url": "http://{host}/x", "parameters": {"host": TEXT}}, "url: expected a host"),
        ({"url": "http://me:pw@x.test/"}, "without placeholders and password"),
        ({"url": "http://x.test/{a}"}, r"\{a\} is not one of"),
        ({"parameters": {"a": {"in": "cookie"}}}, "parameters.a: in: expected"),
        ({"parameters": {"a": {"in": "path"}}}, "parameters.a: `in: path`"),
        ({"parameters": {"a": {"in": "body"}}}, "GET has no body"),
        ({"parameters": {"a": {"items": {"$ref": "#"}}}}, "write the whole schema"),
        ({"name": "a b"}, "name"),
    ],
)
def test_mistakes(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HttpConfig(**{"name": "t", "description": "d", "url": "http://x.test/", **options})


def test_what_counts_as_repeatable() -> None:
    def made(**options: Any) -> bool:
        return HttpTool(HttpConfig(name="t", description="d", url="http://x.test/", **options)).repeatable

    assert [made(method=one) for one in ("GET", "PUT", "DELETE", "POST", "PATCH")] == [True] * 3 + [False] * 2
    assert made(method="POST", repeatable=True)
