"""Makes a host in a process of its own and tells, as JSON, what it found.

python look.py '{"host": {…}, "narrow": […], "ask": [["engine", "parrot"], …]}'
"""

import json
import sys
from typing import Any

from pyscrai_core import plugins
from pyscrai_core.plugins import Host
from pyscrai_records.errors import ExtensionError


def answer(host: Host, kind: str, name: str) -> dict[str, Any]:
    try:
        return {"loaded": host.load(kind, name).__qualname__}
    except ExtensionError as error:
        return {"error": str(error), "cause": type(error.__cause__).__name__ if error.__cause__ else ""}


def main() -> None:
    order = json.loads(sys.argv[1])
    report: dict[str, Any] = {}
    host = Host(**order["host"])
    if order["narrow"] is not None:
        # Nothing may be discovered a second time.
        plugins.entry_points = None  # type: ignore[assignment]
        try:
            host = host.narrowed(order["narrow"])
        except ExtensionError as error:
            report["refused"] = str(error)
    report["plugins"] = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "module": plugin.module,
            "status": plugin.status,
            "error": plugin.error,
            "details": plugin.details,
        }
        for plugin in host.plugins
    ]
    report["offers"] = [[offer.kind, offer.name, offer.plugin] for offer in host.offers()]
    report["conflicts"] = {
        f"{kind} {name}": [offer.distribution for offer in offers]
        for (kind, name), offers in host.conflicts.items()
    }
    report["unmatched"] = host.unmatched
    report["answers"] = [answer(host, kind, name) for kind, name in order["ask"]]
    report["imported"] = sorted(name for name in sys.modules if name.startswith("fixture_"))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
