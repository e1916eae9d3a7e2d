"""The gate: what needs a person's approval, and the approvals that were given.

A scenario, a bundle and a store are data. They demand more than that by naming code, programs, secrets,
hosts or files elsewhere. Such demands are shown in full, and approved once for exactly this content, as
direnv does. Components are made with an `Approval` only (`Blueprint.make`), which only a `Gate` gives, so
that no caller can forget to ask. Approvals are kept in the user's state folder, never in what they are about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from attrs import define, field, frozen

from pyscrai_records.base.atomic_files import replace_file
from pyscrai_records.base.demands import counted, listed, shown
from pyscrai_records.base.first_use import state_folder
from pyscrai_records.base.private import is_private
from pyscrai_records.errors import TrustRequired

#: How a person is asked: with a question, for a yes or no.
Confirm = Callable[[str], bool]


@frozen
class Approval:
    """The demands that a person approved. Only a `Gate` gives one."""

    demands: frozenset[str] = frozenset()

    def check(self, what: str, demands: Collection[str]) -> None:
        """Raise `TrustRequired` unless all `demands` of `what` were approved."""
        if missing := [one for one in demands if one not in self.demands]:
            raise TrustRequired(f"{what}: it was not approved, and needs to:\n{listed(missing)}")

    def __or__(self, other: Approval) -> Approval:
        return Approval(self.demands | other.demands)


@define
class Gate:
    """Gives approvals.

    `trust` is a person's yes to everything, given beforehand (`--trust`); `confirm` asks a person now (None:
    nobody can be asked).
    """

    trust: bool = False
    confirm: Confirm | None = None
    _given: dict[str, Approval] = field(factory=dict, init=False)

    def for_workers(self) -> Gate:
        """A gate with what was approved here, for processes in which nobody can be asked."""
        gate = Gate(self.trust)
        gate._given.update(self._given)
        return gate

    def approve(self, where: str, content: str, demands: Iterable[str]) -> Approval:
        """The approval of what something demands, and of all else that was approved of this content.

        A person is asked, unless the demands were approved before.
        `where` tells the person what it is; `content` is the hash of all that it consists of. Raises
        `TrustRequired` if the person says no, or if nobody can be asked.
        """
        where, asked, known = shown(where), list(dict.fromkeys(demands)), self._known(content)
        approval = Approval(known.union(asked))
        if known.issuperset(asked) or self.trust:
            self._given[content] = approval
            return approval
        needs = f"{where} needs your approval to do {counted(asked)}:\n{listed(asked)}"
        if self.confirm is None:
            raise TrustRequired(f"{needs}\nread the scenario, then add --trust")
        if not self.confirm(f"{needs}\nApprove, and remember that for this content?"):
            raise TrustRequired(f"{where}: you did not approve it; nothing was run")
        self.remember(where, content, asked)
        return approval

    def remember(self, where: str, content: str, demands: Iterable[str]) -> None:
        """Keep the approval of a content: of one that a person was asked about, or that was made from it."""
        known, demands = self._known(content), frozenset(demands)
        self._given[content] = Approval(known | demands)
        if demands <= known:
            return
        try:
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if is_private(folder):
                kept = json.dumps({"what": where, "demands": sorted(known | demands)})
                replace_file(folder / content, kept.encode())
        except OSError:
            return  # where nothing can be kept, a person is asked again

    def _known(self, content: str) -> frozenset[str]:
        given = self._given.get(content, Approval()).demands
        folder = _folder()
        try:
            # What others could have written there is nobody's approval.
            if is_private(folder):
                given |= frozenset(json.loads((folder / content).read_text())["demands"])
        except (OSError, ValueError, LookupError, TypeError):
            pass  # nothing is kept, or nothing that can be read: a person is asked
        return given


def _folder() -> Path:
    return state_folder() / "approvals"
