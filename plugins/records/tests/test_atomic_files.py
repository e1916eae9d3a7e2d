"""Files that are replaced as a whole, several at once: also by a process that is killed meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pyscrai_records.base.atomic_files import replace_files


def test_files_are_replaced_all_or_none(tmp_path: Path) -> None:
    paths = [tmp_path / "new" / "a", tmp_path / "b"]
    paths[1].write_text("old")

    def write(problem: Exception | None) -> None:
        with replace_files(paths) as files:
            for file in files:
                file.write(b"new")
            if problem:
                raise problem

    with pytest.raises(RuntimeError, match="half"):
        write(RuntimeError("half of it was written"))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert paths[1].read_text() == "old"
    write(None)
    assert [path.read_text() for path in paths] == ["new", "new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "new"]


#: Writes half of a file, and waits for its end.
WRITER = """
import sys, time
from pathlib import Path
from pyscrai_records.base.atomic_files import replace_files
with replace_files([Path("a"), Path("b")]) as (a, b):
    a.write(b"half")
    a.flush()
    Path(".a.wal").write_text("")
    print("written", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there, nothing is removed")
def test_what_a_killed_process_left_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("old")
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    killed = processes[0]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
        killed.kill()
        killed.wait()
        assert (tmp_path / "a").read_text() == "old"
        kept = {path.name for path in tmp_path.iterdir() if str(killed.pid) not in path.name}
        with replace_files([tmp_path / "a", tmp_path / "b"]) as (a, _):
            a.write(b"new")
        # What another process is writing stays, and so does what is no temporary file.
        assert {path.name for path in tmp_path.iterdir()} == kept | {"b"}
        assert (tmp_path / "a").read_text() == "new"
    finally:
        for process in processes:
            process.kill()
            process.communicate()
