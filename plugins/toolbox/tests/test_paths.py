"""Paths that lead out of the folder of `files`, or to what is no file: none is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyscrai_core import FilePath, ToolFailed
from pyscrai_toolbox.files import Files, FilesConfig


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "library"
    (folder / "old").mkdir(parents=True)
    (folder / "apples.txt").write_text("Apples are red.")
    (tmp_path / "secret.txt").write_text("the treasure")
    (tmp_path / "library-2").mkdir()
    (tmp_path / "library-2" / "secret.txt").write_text("the treasure")
    for name, target in (
        ("out.txt", "../secret.txt"),
        ("out", ".."),
        ("round", "round"),
        ("zero", "/dev/zero"),
        ("random", "/dev/urandom"),
        ("memory", "/proc/self/mem"),
        ("environment", "/proc/self/environ"),
        ("old/far", str(tmp_path / "secret.txt")),
    ):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    with (folder / "large").open("wb") as file:
        file.truncate(10_000_000_000)
    return Files(FilesConfig(FilePath(str(folder))))


PATHS = [
    "../secret.txt", "../../secret.txt", "old/../../secret.txt", "./../secret.txt",
    "old/./.././../secret.txt", "/etc/passwd", "/etc/../etc/passwd", "//etc/passwd", "/proc/self/environ",
    "/dev/zero", "~/secret.txt", "~root", "out.txt", "out/secret.txt", "out/library-2/secret.txt",
    "../library-2/secret.txt", "round", "round/x", "zero", "random", "memory", "environment", "old/far",
    "pipe", "large", "", ".", "..", "old", "old/", "apples.txt/x", "apples.txt\x00.png", "..\\secret.txt",
    "C:\\secret.txt", "file:///etc/passwd", "%2e%2e/secret.txt", "..%2fsecret.txt", "a" * 300, "a/" * 3000,
    "\ud800", "apples.txt ", "library/../../secret.txt",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path)[:30])
def test_nothing_else_is_read(path: str, files: Files) -> None:
    with pytest.raises(ToolFailed, match="^files: "):
        files.read_file(path)


def test_what_is_there_is_read(files: Files) -> None:
    assert files.read_file("apples.txt")["text"] == "Apples are red."
    assert files.read_file("old/../apples.txt")["text"] == "Apples are red."
    assert "apples.txt" in files.list_files()
    assert not {"out.txt", "zero", "pipe"} & set(files.list_files())


@pytest.mark.parametrize("path", ["apples.txt", "old/secret.txt"])
def test_a_link_that_is_put_there_just_now_is_not_followed(
    path: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, folder = Path.resolve, files._folder
    assert os.open in os.supports_dir_fd

    def resolved(self: Path, strict: bool = False) -> Path:
        found = whole(self, strict)
        if path == "apples.txt":
            (folder / path).unlink()
            (folder / path).symlink_to("../secret.txt")
        else:
            (folder / "old").rename(folder / "older")
            (folder / "old").symlink_to("..")
        return found

    monkeypatch.setattr(Path, "resolve", resolved)
    with pytest.raises(ToolFailed, match="cannot be read"):
        files.read_file(path)
