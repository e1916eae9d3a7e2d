"""The README: its example runs, and it names every fixture."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pyscrai_testing import plugin

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    Path("test_example.py").write_text(example)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "failed" not in done.stdout


def test_every_fixture_is_described() -> None:
    for name in plugin.__all__:
        assert f"| `{name}` |" in README
