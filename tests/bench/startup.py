"""How long the command takes to start, as a ratio to a bare interpreter (`python -c pass`).

    python tests/bench/startup.py [ROUNDS]

The commands take turns, so that a busy machine slows all of them down alike. Compiled modules are kept in a
folder of their own and are there when the measuring begins, as they are after an installation.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PYSCRAI = ("-m", "pyscrai_cli.main")
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "import pyscrai_core": ("-c", "import pyscrai_core"),
    "pyscrai --help": (*PYSCRAI, "--help"),
    "pyscrai plugins": (*PYSCRAI, "plugins"),
    "pyscrai run": (*PYSCRAI, "run", "talk.json", "--quiet"),
}
TALK = {
    "scenario": "talk",
    "providers": {"default": {"use": "scripted", "replies": ["hello", "goodbye"]}},
    "agents": {"Mara": {"persona": "A farmer"}, "Jon": {"persona": "A buyer"}},
    "schedule": {"use": "round-robin", "rounds": 1},
}


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "talk.json").write_text(json.dumps(TALK))
        left_out = ("PYTHONDONTWRITEBYTECODE", "PYSCRAI_STORE", "PYSCRAI_PLUGINS", "PYSCRAI_DISABLE")
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "compiled")

        def seconds(arguments: tuple[str, ...]) -> float:
            began = time.perf_counter()
            command = [sys.executable, *arguments]
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
            return time.perf_counter() - began

        for arguments in COMMANDS.values():
            seconds(arguments)
        taken = [{name: seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(rounds)]
    for name in COMMANDS:
        ratio = statistics.median(one[name] / one["python -c pass"] for one in taken)
        middle = statistics.median(one[name] for one in taken)
        print(f"{name:<22}{middle * 1000:8.1f} ms  {ratio:6.1f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
