"""Who may ask: names of the server, other sites, the token; and the command's own errors."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from pyscrai_core import Extension, hookimpl
from pyscrai_core.plugins import Host
from pyscrai_dashboard.access import is_loopback
from pyscrai_dashboard.panels import Panels
from pyscrai_dashboard.peers import owner
from pyscrai_dashboard.replies import Refused
from pyscrai_dashboard.serving import listen


def test_every_answer_has_the_headers(reading: Any) -> None:
    for path in (
        "/",
        "/runs/abc",
        "/static/index.html",
        "/api/runs",
        "/api/nothing",
        "/static/none",
        "/panels/a/b",
    ):
        headers = reading.client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"


def test_the_page_is_given_for_all_of_its_paths(reading: Any) -> None:
    pages = {
        reading.client.get(path).text for path in ("/", "/runs/x", "/compare", "/experiments/a/b", "/start")
    }
    assert len(pages) == 1
    assert pages.pop().lstrip().lower().startswith("<!doctype html>")
    assert reading.client.get("/other").status_code == 404
    assert reading.client.get("/static/../app.py").status_code == 404
    assert reading.client.get("/static/%2e%2e/app.py").status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200), ("localhost:{port}", 200), ("LOCALHOST:1", 200), ("[::1]:{port}", 200),
        ("evil.example", 421), ("evil.example:{port}", 421), ("127.0.0.1.evil.example", 421), ("", 421),
        ("127.0.0.1@evil.example", 421), ("localhost.", 421), ("[", 421),
    ],
)  # fmt: skip
def test_only_the_servers_own_names_are_answered(reading: Any, host: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", reading.port)) as connection:
        host = host.format(port=reading.port)
        connection.sendall(f"GET /api/runs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.startswith(f"HTTP/1.1 {status}")
    if status != 200:
        assert "is not this server's name" in answer


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as another user")
@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_another_user_of_this_machine_gets_nothing(reading: Any, host: str) -> None:
    request = (
        f"POST /api/start HTTP/1.1\r\nHost: 127.0.0.1:{reading.port}\r\nX-Forwarded-For: 127.0.0.1\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    )
    program = (
        f"import socket; to = socket.create_connection(({host!r}, {reading.port})); "
        f"to.sendall({request!r}.encode()); print(b''.join(iter(lambda: to.recv(65536), b'')).decode())"
    )
    mine = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "403" not in mine.stdout.splitlines()[0], mine.stdout
    theirs = subprocess.run(
        ["/usr/bin/env", "python3", "-c", program], capture_output=True, text=True, user=65534, env={},
        cwd="/", check=True,
    )  # fmt: skip
    assert theirs.stdout.startswith("HTTP/1.1 403"), theirs.stdout
    assert "another user of this machine" in theirs.stdout


#: Connects, and tells its port. Told to, it sends an order and resets the connection.
LEAVES_AN_ORDER = """
import random, socket, struct
server, to = ("127.0.0.1", int(input())), None
while to is None:
    # Below the ports that the system gives to others, which may take this one as soon as it is free.
    try:
        to = socket.create_connection(server, source_address=("127.0.0.1", random.randrange(10000, 32000)))
    except OSError as error:
        if "in use" not in str(error):
            raise
to.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
print(to.getsockname()[1], flush=True)
to.sendall(input().encode().decode("unicode_escape").encode())
to.close()
print("sent", flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as another user")
@pytest.mark.parametrize("accepted", [True, False])
def test_a_port_that_another_user_left_does_not_pass_on_its_orders(
    accepted: bool, server: Any, until: Any, folder: Path
) -> None:
    """The next connection from that port is the user's own, while the order is still to be read."""
    order = '{"file": "talk.yaml"}'
    head = f"Host: 127.0.0.1:{server.port}\\r\\nContent-Type: application/json\\r\\n"
    with subprocess.Popen(
        ["/usr/bin/env", "python3", "-c", LEAVES_AN_ORDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, user=65534, env={}, cwd="/",
    ) as theirs:  # fmt: skip
        assert theirs.stdin is not None
        assert theirs.stdout is not None
        if not accepted:
            os.kill(server.process.pid, signal.SIGSTOP)
        print(server.port, file=theirs.stdin, flush=True)
        port = int(theirs.stdout.readline())
        if accepted:
            until(lambda: _is_accepted(server.process.pid, port), "the connection")
            os.kill(server.process.pid, signal.SIGSTOP)
        request = f"POST /api/start HTTP/1.1\\r\\n{head}Content-Length: {len(order)}\\r\\n\\r\\n{order}"
        print(request, file=theirs.stdin, flush=True)
        assert theirs.stdout.readline() == "sent\n"
    with socket.socket() as mine:
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        mine.bind(("127.0.0.1", port))
        mine.connect(("127.0.0.1", server.port))
        os.kill(server.process.pid, signal.SIGCONT)
        mine.sendall(
            head.encode().decode("unicode_escape").join(("GET /api/runs HTTP/1.1\r\n", "\r\n")).encode()
        )
        assert mine.recv(12) == b"HTTP/1.1 200"
    run = server.post("/start", 201, file="talk.yaml")["run"]
    until(lambda: server.get(f"/runs/{run}")["status"] == "completed", "its end")
    assert server.get("/runs")["total"] == 1
    assert not [line for line in server.lines if "Error" in line]


def _is_accepted(process: int, port: int) -> bool:
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if line.split()[2].endswith(f":{port:04X}")
    } - {"0"}
    links = (os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink())
    return bool(inodes & {link.removeprefix("socket:[").rstrip("]") for link in links})


def test_where_users_have_no_numbers_of_their_own_nobody_can_tell() -> None:
    """In a user namespace, all users that it does not know have the same number."""
    apart = ["unshare", "--user"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("no user namespaces here")
    code = "from pyscrai_dashboard.peers import can_tell; print(can_tell())"
    for before, told in (([], "True\n"), (apart, "False\n")):
        done = subprocess.run(
            [*before, sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == told


def test_a_connection_without_an_owner_is_nobody_s() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            assert owner(accepted) == os.getuid()
            to.close()
            assert owner(accepted) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 409), ({"Origin": "{url}"}, 409), ({"Sec-Fetch-Site": "same-origin"}, 409),
        ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403), ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415), ({"Content-Type": ""}, 415),
    ],
)  # fmt: skip
def test_only_the_servers_own_page_gives_orders(reading: Any, headers: dict[str, str], status: int) -> None:
    run = reading.get("/runs?scenario=talk")["runs"][-1]["id"]
    given = {"Content-Type": "application/json"}
    given |= {name: value.format(url=reading.url) for name, value in headers.items()}
    answer = reading.client.post(f"/api/runs/{run}/stop", content=b"{}", headers=given)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]


def test_bodies_that_are_no_objects_are_refused(reading: Any) -> None:
    headers = {"Content-Type": "application/json"}
    for content, status in ((b"[1]", 400), (b"{", 400), (b'{"x": 1}', 400), (b"x" * 5_000_000, 413)):
        answer = reading.client.post("/api/start", content=content, headers=headers)
        assert answer.status_code == status
        assert answer.json()["error"].startswith("body: ")
    assert reading.client.get("/api/start").status_code == 405
    assert reading.client.post("/api/runs", json={}).status_code == 405
    assert reading.client.put("/api/start", json={}).status_code == 405


def test_another_host_needs_the_token(serve: Any, talk: str) -> None:
    server = serve("--host", "0.0.0.0")
    token = re.fullmatch(r"\?token=([\w-]{40,})", server.query)[1]  # type: ignore[index]
    assert any(line.startswith("dashboard: http://") for line in server.lines)
    for headers in (
        {}, {"Authorization": f"Bearer {token[:-1]}x"}, {"Authorization": token},
        {"Cookie": "pyscrai_dashboard="}, {"Cookie": "pyscrai_dashboard=forged"},
        {"Cookie": "pyscrai_dashboard=j\u00f6".encode()}, {"Cookie": f"other={token}"},
    ):  # fmt: skip
        for path in ("/", "/api/runs", "/static/index.html", f"/api/runs/{talk}/stream", "/?token=forged"):
            answer = httpx.get(f"{server.url}{path}", headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401, (path, headers)
            assert "token" in answer.json()["error"]
            assert token not in answer.text
    with httpx.Client(base_url=server.url) as browser:
        first = browser.get(f"/runs/x?token={token}&step=3")
        assert first.status_code == 303
        assert first.headers["location"] == "/runs/x?step=3"
        cookie = first.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert browser.get("/api/runs").json()["total"] == 1
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", f"//evil.example/?token={token}")
    assert connection.getresponse().headers["location"] == "/evil.example/"  # never another server
    connection.close()
    assert (
        httpx.get(f"{server.url}/api/runs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    )


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.0.0.2", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("example.org", False), ("", False),
    ],
)  # fmt: skip
def test_which_hosts_are_this_machine_alone(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_a_port_that_is_in_use(pyscrai: Callable[..., Any], reading: Any) -> None:
    done = pyscrai("dashboard", "--port", str(reading.port))
    assert done.returncode == 2
    assert f"--port {reading.port}: another program uses it" in done.stderr
    other = int(re.search(r"another is free: --port (\d+)", done.stderr)[1])  # type: ignore[index]
    with socket.socket() as free:
        free.bind(("127.0.0.1", other))


def test_an_answer_is_sent_at_once() -> None:
    """Each answer is written in two parts; the second would wait for the other side's acknowledgment."""

    async def no_delay() -> bool:
        found = asyncio.get_running_loop().create_future()

        class Sees(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connection = transport.get_extra_info("socket")
                found.set_result(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

        bound = listen("127.0.0.1", 0)
        async with await asyncio.get_running_loop().create_server(Sees, sock=bound):
            _, writer = await asyncio.open_connection(*bound.getsockname())
            result = await found
            writer.close()
        return bool(result)

    assert asyncio.run(no_delay())


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--host", "no.such.host.invalid"], "it is no address of this machine"),
        (["--host", "8.8.8.8", "--port", "0"], "choose an address of this machine"),
        (["--port", "99999"], "is not in the range"),
        (["--store", "ftp://x"], "the scheme 'ftp' is not supported"),
        (["--nothing"], "No such option"),
    ],
)  # fmt: skip
def test_bad_options_are_told(pyscrai: Callable[..., Any], arguments: list[str], part: str) -> None:
    done = pyscrai("dashboard", *arguments)
    assert done.returncode == 2
    assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_help_has_examples(pyscrai: Callable[..., Any]) -> None:
    done = pyscrai("dashboard", "--help")
    assert done.returncode == 0
    assert "pyscrai dashboard --open" in done.stdout


# -- panels of other plugins --


def plugin(**panels: Any) -> Any:
    """A plugin that offers panels."""
    module = types.ModuleType("made_panels")
    vars(module).update(panels)
    sys.modules["made_panels"] = module

    @hookimpl
    def pyscrai_panels() -> list[Extension]:
        return [Extension(name, f"made_panels:{name}", f"The {name}") for name in panels]

    offering = types.ModuleType("made_plugin")
    offering.pyscrai_api = 1  # type: ignore[attr-defined]
    offering.pyscrai_panels = pyscrai_panels  # type: ignore[attr-defined]
    return offering


def test_panels_of_plugins_are_listed_and_broken_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "panel.js").write_text("export function render() {}")

    def raising(store: Any, run: str) -> Any:
        raise ValueError("it cannot")

    given = {"for": "run", "data": lambda store, run: {"run": run}, "files": tmp_path}
    host = Host(
        plugins=[],
        extra=[
            plugin(
                good=given, raises={**given, "data": raising}, noplace={**given, "for": "page"},
                nofile={**given, "files": tmp_path / "none"}, nodata={**given, "data": None}, word="x",
                quiet={**given, "for": "experiment", "files": None},
            )
        ],
    )  # fmt: skip
    panels = Panels(lambda: host)
    assert set(panels.all()) == {"good", "raises", "quiet"}
    assert panels.listed()[0] == {
        "id": "good", "title": "The good", "for": "run", "module": "/panels/good/panel.js",
        "data": "/api/panels/good",
    }  # fmt: skip
    assert [one["id"] for one in panels.listed()] == ["good", "raises"]
    assert panels.folder("good") == tmp_path
    assert panels.data(None, "good", "run", "abc") == {"run": "abc"}  # type: ignore[arg-type]
    for name, place, part in (("raises", "run", "it cannot"), ("good", "experiment", "it is for a run")):
        with pytest.raises(Refused, match=part):
            panels.data(None, name, place, "abc")  # type: ignore[arg-type]


def test_a_panel_of_an_installed_distribution_is_served(serve: Any, folder: Path, talk: str) -> None:
    site = folder / ".site"
    (site / "made_panel" / "files").mkdir(parents=True)
    (site / "made_panel" / "__init__.py").write_text("")
    (site / "made_panel" / "plugin.py").write_text(
        "from pyscrai_core import Extension, hookimpl\npyscrai_api = 1\n@hookimpl\ndef pyscrai_panels():\n"
        '    return [Extension("words", "made_panel.words:PANEL", "Words")]\n'
    )
    (site / "made_panel" / "words.py").write_text(
        "from pathlib import Path\ndef data(store, run):\n"
        "    return {'events': store.run(run).count_events()}\n"
        "PANEL = {'for': 'run', 'data': data, 'files': Path(__file__).parent / 'files'}\n"
    )
    (site / "made_panel" / "files" / "panel.js").write_text("export function render(element, given) {}")
    (site / "secret.txt").write_text("secret")
    info = site / "made_panel-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-panel\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyscrai]\nmade = made_panel.plugin\n")
    server = serve(environment={"PYTHONPATH": str(site)})
    (panel,) = server.get("/info")["panels"]
    assert (panel["id"], panel["title"], panel["for"]) == ("words", "Words", "run")
    module = server.client.get(panel["module"])
    assert module.text.startswith("export function render")
    assert "javascript" in module.headers["content-type"]
    assert "default-src 'none'" in module.headers["content-security-policy"]
    assert server.get(f"/panels/words?run={talk}") == {"events": 9}
    assert server.get("/panels/words?experiment=x", 404)["error"]
    assert "no such run" in server.get("/panels/words?run=none", 400)["error"]
    for path in (
        "/panels/words/../../secret.txt",
        "/panels/words/%2e%2e/%2e%2e/secret.txt",
        "/panels/words/no.js",
    ):
        assert server.client.get(path).status_code == 404


# -- experiments --

EXPERIMENT = """\
experiment: prices
scenario: talk.yaml
arms: {plain: {}, dear: {world.state.price: 30}}
replicates: 4
outcomes: {price: {unit: coins, compare: {dear: plain}}}
claim: {text: It is dearer., because: It begins higher.}
"""


def test_an_experiment_with_its_report(
    serve: Any, folder: Path, pyscrai: Callable[..., Any], until: Any
) -> None:
    (folder / "prices.yaml").write_text(EXPERIMENT)
    assert pyscrai("experiment", "run", "prices.yaml", "-q").returncode == 0
    report = json.loads(pyscrai("experiment", "report", "prices.yaml", "--format", "json").stdout)
    server = serve()
    assert "prices.yaml" not in server.get("/info")["scenarios"]
    (listed,) = server.get("/experiments")
    assert (listed["name"], listed["status"], listed["done"], listed["expected"]) == (
        "prices",
        "completed",
        8,
        8,
    )
    found = server.get("/experiments/prices")
    assert found["why"] == ""
    assert found["report"] == report
    arms = {arm["name"]: arm["outcomes"]["price"] for arm in found["arms"]}
    assert arms["dear"]["mean"] == arms["plain"]["mean"] + 10
    (comparison,) = found["comparisons"]
    assert (comparison["first"], comparison["second"], comparison["estimate"]) == ("dear", "plain", 10)
    assert comparison["p"] == report["outcomes"][0]["comparisons"][0]["test"]["p_value"]
    assert found["claim"]["text"] == "It is dearer."
    assert found["runs_total"] == len(found["runs"]) == 8
    runs = {run["id"]: run for run in server.get("/runs?label=experiment=prices")["runs"]}
    for run in found["runs"]:
        assert runs[run["run"]]["labels"]["arm"] == run["arm"]
        assert run["outcomes"]["price"] == (26 if run["arm"] == "dear" else 16)
    assert len(server.get("/experiments/prices?limit=3")["runs"]) == 3
    # Without its file, the trials are there, and what is missing is told.
    (folder / "prices.yaml").unlink()
    without = server.get("/experiments/prices")
    assert "its file is not below" in without["why"]
    assert len(without["runs"]) == 8
    assert [arm["completed"] for arm in without["arms"]] == [4, 4]
