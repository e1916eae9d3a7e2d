"""Models on the Hugging Face Hub: a server on loopback answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import ConfigError, api
from pyscrai_core.config import load_settings
from pyscrai_llamacpp import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "hf:org/tiny-GGUF/tiny.gguf"
CONTENT = b"GGUF" + b"weights" * 50_000
FILES = {
    "/org/tiny-GGUF/resolve/main/tiny.gguf": CONTENT,
    "/org/tiny-GGUF/resolve/v1.0/sub/tiny.gguf": CONTENT[:500],
    **{f"/org/large/resolve/main/m-0000{part}-of-00002.gguf": b"GGUF%d" % part for part in (1, 2)},
}
FIND = """
import sys
from pyscrai_core import ConfigError
from pyscrai_llamacpp.models import find_weights
try:
    print(find_weights(sys.argv[1]))
except ConfigError as error:
    sys.exit(str(error))
"""
PROBE = """
import asyncio, sys
from pyscrai_llamacpp.provider import LlamaCppProvider
(probe,) = asyncio.run(LlamaCppProvider(LlamaCppProvider.Config(model=sys.argv[1])).probe())
print(probe.ok, probe.detail)
"""


class Hub:
    """The server, the folder of the cache, and the requests that it got."""

    def __init__(self, cache: Path) -> None:
        self.requests: list[str] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def _answer(self, *, body: bool) -> None:
                requests.append(f"{self.command} {self.path}")
                content = FILES.get(self.path.removeprefix("/cdn"))
                if content is None:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("X-Repo-Commit", COMMIT)
                    self.send_header("Content-Length", "0")
                elif self.path.startswith("/cdn"):
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.send_header("ETag", '"of-the-cdn"')
                else:  # files are on another host
                    self.send_response(302)
                    self.send_header(
                        "Location", f"http://localhost:{self.server.server_address[1]}/cdn{self.path}"
                    )
                    self.send_header("X-Repo-Commit", COMMIT)
                    self.send_header("X-Linked-Size", str(len(content)))
                    self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                    self.send_header("Content-Length", "0")
                self.end_headers()
                if body and content is not None and self.path.startswith("/cdn"):
                    self.wfile.write(content)

            def log_message(self, *given: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": f"http://127.0.0.1:{self.server.server_address[1]}",
            "HF_HOME": str(cache),
        }

    def python(self, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run code in a process of its own: the library reads the environment when it is imported."""
        self.requests.clear()
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path / "cache")
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.mark.slow
def test_a_file_is_downloaded_once(server: Hub, tmp_path: Path) -> None:
    offline = server.python(FIND, MODEL, HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert f"llamacpp: model: {MODEL} cannot be downloaded" in offline.stderr
    assert "HF_HUB_OFFLINE is set" in offline.stderr
    assert not server.requests

    probed = server.python(PROBE, MODEL)
    assert probed.stdout == f"True {MODEL}: 0 MB, the first run downloads it\n", probed.stderr
    assert not any(request.startswith("GET /cdn") for request in server.requests)

    first = server.python(FIND, MODEL)
    assert first.returncode == 0, first.stderr
    path = Path(first.stdout.strip())
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache")
    assert f"llamacpp: downloading {MODEL} from http://127.0.0.1:" in first.stderr
    assert any(request.startswith("GET /cdn") for request in server.requests)

    again = server.python(FIND, MODEL, HF_HUB_OFFLINE="")
    assert (again.stdout, again.stderr, server.requests) == (first.stdout, "", [])
    assert "tiny.gguf, 0 MB" in server.python(PROBE, MODEL).stdout


def test_a_revision_a_folder_and_a_model_in_several_files(server: Hub) -> None:
    tagged = server.python(FIND, "hf:org/tiny-GGUF@v1.0/sub/tiny.gguf")
    assert Path(tagged.stdout.strip()).read_bytes() == CONTENT[:500], tagged.stderr
    several = server.python(FIND, "hf:org/large/m-00001-of-00002.gguf")
    path = Path(several.stdout.strip())
    assert path.read_bytes() == b"GGUF1", several.stderr
    assert path.with_name("m-00002-of-00002.gguf").read_bytes() == b"GGUF2"


@pytest.mark.slow
def test_what_is_not_there(server: Hub) -> None:
    missing = server.python(FIND, "hf:org/tiny-GGUF/other.gguf")
    assert missing.returncode == 1
    assert "check the names on http://127.0.0.1:" in missing.stderr
    nowhere = server.python(FIND, MODEL, HF_ENDPOINT="http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached: check the network and HF_ENDPOINT" in nowhere.stderr


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r'run: pip install "pyscrai-llamacpp\[hub\]"'):
        hub.fetch(hub.parse(MODEL))


def scenario(folder: Path, model: str) -> Path:
    file = folder / "scenario.json"
    provider = {"use": "llamacpp", "model": model}
    file.write_text(
        json.dumps({"scenario": "s", "providers": {"default": provider}, "agents": {"A": {"memory": "none"}}})
    )
    return file


def test_a_scenario_needs_approval_to_download(tmp_path: Path) -> None:
    for name in ("cast", "memory", "schedules"):
        pytest.importorskip(f"pyscrai_{name}.plugin", reason=f"needs pyscrai-{name}")
    plan: Any = api.prepare(scenario(tmp_path, MODEL), settings=load_settings())
    assert list(plan.demands) == [f"download from the Hugging Face Hub, unless it is there already: {MODEL}"]
    with pytest.raises(
        pyscrai_core.ScenarioError, match="a file on the Hugging Face Hub, as hf:ORG/REPO/FILE"
    ):
        api.prepare(scenario(tmp_path, "hf:org/tiny"), settings=load_settings())
