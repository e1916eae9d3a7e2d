"""The README: its examples run, and it names all functions. The command: what it prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import pyscrai_statistics as st
from pyscrai_statistics.__main__ import main, parser

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROWS = "model,seed,score,won\n" + "".join(
    f"{model},{seed},{seed % 4 + (seed % 3 + 1) * (model == 'new')},{int(seed % 2 or model == 'new')}\n"
    for model in ("old", "new")
    for seed in range(12)
)


def test_its_examples_run() -> None:
    namespace: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) > 8
    for block in blocks:
        exec(compile(block, "README", "exec"), namespace)


def test_it_names_every_function() -> None:
    functions = [name for name in st.__all__ if name[0].islower()]
    assert [name for name in functions if f"`{name}" not in README and f"{name}(" not in README] == []


def test_the_command_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "runs.csv"
    table.write_text(ROWS)
    assert main(["compare", str(table), "--outcome", "score", "--arm", "model", "--pair", "seed"]) == 0
    printed = capsys.readouterr().out
    assert "old: 12 values, mean 1.5 (" in printed
    assert "Supported: that new and old differ. The difference of means is 2 (95 % interval " in printed
    options = ["--outcome", "won", "--arm", "model", "--pair", "seed", "--kind", "proportion", "--json"]
    assert main(["compare", str(table), *options, "--reference", "old"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["contrasts"][0]["test"]["name"] == "McNemar"
    assert main(["summarize", str(table), "--outcome", "score"]) == 0
    assert capsys.readouterr().out.startswith("all: 24 values, mean 2.5 (")


def test_the_command_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "runs.csv"
    table.write_text(ROWS)
    assert main(["compare", str(table), "--outcome", "scor", "--arm", "model"]) == 2
    assert "did you mean 'score'?" in capsys.readouterr().err


def test_the_command_reads_inspects_logs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("zstandard")
    log = str(Path(__file__).parent / "data" / "capitals.eval")
    assert main(["summarize", log, "--outcome", "score", "--scorer", "match", "--kind", "proportion"]) == 0
    assert capsys.readouterr().out.startswith("all: 3 values, success 0.6667 (")
    assert main(["summarize", log, "--outcome", "score", "--scorer", "mach"]) == 2
    assert "did you mean 'match'" in capsys.readouterr().err


def test_its_help_has_examples() -> None:
    assert "examples:\n  python -m pyscrai_statistics compare" in parser().format_help()
