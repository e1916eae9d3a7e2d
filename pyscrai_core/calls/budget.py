"""What a run and each of its agents may still spend: checked before a call, with its estimate."""

from __future__ import annotations

import time
from collections.abc import Mapping

from attrs import define

from pyscrai_records.errors import BudgetSpent

from ..agent import AgentLimits
from ..scenario.model import Limits
from .call import Call


@define
class _Meter:
    """What was spent, and what calls under way may spend, against `limits`, which stand at `where`."""

    where: str
    limits: Limits | AgentLimits
    calls: int = 0
    tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0
    reserved_tokens: int = 0
    reserved_money: float = 0.0

    def check(self, tokens: int, money: float) -> None:
        limits = self.limits
        if limits.calls is not None and self.calls >= limits.calls:
            raise self._spent("calls", f"{limits.calls:,} calls")
        if limits.seconds is not None and self.seconds >= limits.seconds:
            raise self._spent("seconds", f"{limits.seconds:g} seconds")
        for name, bound, used, reserved, needed, unit in (
            ("tokens", limits.tokens, self.tokens, self.reserved_tokens, tokens, "{:,.0f} tokens"),
            ("money", limits.money, self.money, self.reserved_money, money, "${:,.6g}"),
        ):
            if bound is None or used + reserved + needed <= bound:
                continue
            why = ""
            if not used and not reserved:
                why = f"one call alone is estimated at {unit.format(needed)}"
            elif used < bound:
                why = (
                    f"{unit.format(used + reserved)} are spent or under way, and the next call is estimated "
                    f"at {unit.format(needed)}"
                )
            raise self._spent(name, unit.format(bound), why)

    def _spent(self, name: str, bound: str, why: str = "", late: str = "") -> BudgetSpent:
        reason = f"is too small: {why}" if why else f"is spent{late and f', and {late} has not ended'}"
        return BudgetSpent(
            f"{self.where}.{name}: the budget of {bound} {reason}; "
            f"continue with a larger one: pyscrai resume RUN --set {self.where}.{name}=…"
        )

    def add(self, call: Call) -> None:
        """Add what a call came to (nothing, if it failed)."""
        self.tokens += call.usage.total
        self.money += call.cost or 0.0
        self.seconds += call.seconds


class Budget:
    """The meters of one run: its own and those of the agents that have limits."""

    def __init__(self, limits: Limits, agents: Mapping[str, AgentLimits]) -> None:
        self._began = time.monotonic()
        self._run = _Meter("limits", limits)
        self._agents = {
            name: _Meter(f"agents.{name}.limits", own) for name, own in agents.items() if own != AgentLimits()
        }
        every = [meter.limits for meter in (self._run, *self._agents.values())]
        #: Whether estimates of tokens, and of money, are needed.
        self.needs_money = any(one.money is not None for one in every)
        self.needs_tokens = self.needs_money or any(one.tokens is not None for one in every)

    def _of(self, call: Call) -> list[_Meter]:
        own = self._agents.get(call.position.agent)
        return [self._run] if own is None else [self._run, own]

    def paused(self, seconds: float) -> None:
        """The run's clock stood still for so long."""
        self._began += seconds

    def seconds_left(self) -> float | None:
        """How long the run may still last; None: without a limit."""
        bound = self._run.limits.seconds
        return None if bound is None else bound - (time.monotonic() - self._began)

    def late(self, waiting: str) -> BudgetSpent:
        """The run's seconds are over, while it is `waiting` for what does not end."""
        return self._run._spent("seconds", f"{self._run.limits.seconds:g} seconds", late=waiting)

    def reserve(self, call: Call, tokens: int, money: float) -> None:
        """Reserve what a call is expected to need. Raises `BudgetSpent` if that is not there any more."""
        # An agent's seconds are those of its calls, but the run's are those of the clock.
        self._run.seconds = time.monotonic() - self._began
        meters = self._of(call)
        for meter in meters:
            meter.check(tokens, money)
        for meter in meters:
            meter.calls += 1
            meter.reserved_tokens += tokens
            meter.reserved_money += money

    def settle(self, call: Call, tokens: int, money: float) -> None:
        """The call has ended: what was reserved for it is replaced by what it came to."""
        for meter in self._of(call):
            meter.reserved_tokens -= tokens
            meter.reserved_money -= money
            meter.add(call)

    def count(self, call: Call) -> None:
        """Count a call that was made before, by an earlier execution of the run."""
        for meter in self._of(call):
            meter.calls += 1
            meter.add(call)
