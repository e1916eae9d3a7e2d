"""What a scenario may only do with a person's approval, and the approvals that were given.

A scenario is data. It demands more than that by naming paths outside of its folder, foreign hosts, secrets,
modules or programs. These demands are shown in full, and approved once for exactly this content, as direnv
does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..canonical import canonical, digest
from ..errors import TrustRequired
from .plan import Plan


def check_trust(
    plan: Plan, where: str, *, trusted: bool, confirm: Callable[[str], bool] | None = None
) -> None:
    """Return if a plan demands nothing or a person approves of it; else raise `TrustRequired`.

    `trusted` is an approval given beforehand (`--trust`), and `confirm` asks a person now (None: nobody can
    be asked).
    """
    demands = list(plan.demands)
    if not demands or trusted:
        return
    # Where the scenario comes from a file, that file is its content: another seed needs no approval.
    content = digest(canonical([plan.source.written or plan.scenario.document, plan.source.files, demands]))
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    approvals = Path(state) / "pyscrai" / "trusted"
    if approvals.exists() and content in approvals.read_text().split():
        return
    listed = "\n".join(f"  - {demand}" for demand in demands)
    if confirm is None:
        raise TrustRequired(
            f"{where}: this scenario needs your approval to:\n{listed}\nread the scenario, then add --trust"
        )
    if not confirm(
        f"{where} needs your approval to:\n{listed}\nApprove, and remember that for this content?"
    ):
        raise TrustRequired(f"{where}: you did not approve it; nothing was run")
    approvals.parent.mkdir(parents=True, exist_ok=True)
    with approvals.open("a") as file:
        file.write(content + "\n")
