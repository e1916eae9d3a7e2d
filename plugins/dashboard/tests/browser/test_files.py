"""The files of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pyscrai_dashboard

STATIC = Path(pyscrai_dashboard.__file__).parent / "static"
OWN = [path for path in STATIC.rglob("*") if path.suffix in (".js", ".css") and "vendor" not in path.parts]


def test_every_file_is_loaded_at_once() -> None:
    """The browser would find modules one after the other."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:href|src)="/static/([^"]+)"', page))
    assert {str(path.relative_to(STATIC)) for path in OWN} <= named
    assert all((STATIC / path).is_file() for path in named)


def test_text_is_never_parsed_as_html_and_nothing_comes_from_elsewhere() -> None:
    for path in (*OWN, STATIC / "index.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path
        outside = set(re.findall(r"https?://[\w.-]+", text)) - {"http://www.w3.org"}
        assert not outside, path
        assert len(text.splitlines()) <= 450, path


def test_libraries_of_others_have_their_licence() -> None:
    for folder in (STATIC / "vendor").iterdir():
        assert not folder.is_dir() or (folder / "LICENSE").is_file(), folder
