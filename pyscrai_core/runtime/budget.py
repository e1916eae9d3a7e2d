"""What a run and each of its agents may still spend: checked before a call, with its estimate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from attrs import define, field

from ..agent import AgentLimits
from ..errors import BudgetSpent
from ..records import Usage
from ..scenario.model import Limits


@define
class _Meter:
    """What was spent, and what calls under way may spend, against `limits`, which stand at `where`."""

    where: str
    limits: Limits | AgentLimits
    calls: int = 0
    tokens: int = 0
    money: float = 0.0
    seconds: Callable[[], float] = field(default=lambda: 0.0)
    reserved_tokens: int = 0
    reserved_money: float = 0.0
    took: float = 0.0

    def check(self, tokens: int, money: float) -> None:
        limits = self.limits
        if limits.calls is not None and self.calls >= limits.calls:
            raise self._spent("calls", f"{limits.calls:,} calls")
        if limits.seconds is not None and self.seconds() >= limits.seconds:
            raise self._spent("seconds", f"{limits.seconds:g} seconds")
        for name, bound, used, reserved, needed, unit in (
            ("tokens", limits.tokens, self.tokens, self.reserved_tokens, tokens, "{:,.0f} tokens"),
            ("money", limits.money, self.money, self.reserved_money, money, "${:,.6g}"),
        ):
            if bound is None or used + reserved + needed <= bound:
                continue
            if not used and not reserved:
                raise self._spent(
                    name, unit.format(bound), f"one call alone is estimated at {unit.format(needed)}"
                )
            if used < bound:
                raise self._spent(
                    name,
                    unit.format(bound),
                    f"{unit.format(used + reserved)} are spent or under way, and the next call is estimated "
                    f"at {unit.format(needed)}",
                )
            raise self._spent(name, unit.format(bound))

    def _spent(self, name: str, bound: str, why: str = "") -> BudgetSpent:
        reason = f"is too small: {why}" if why else "is spent"
        return BudgetSpent(
            f"{self.where}.{name}: the budget of {bound} {reason}; "
            f"continue with a larger one: pyscrai resume RUN --set {self.where}.{name}=…"
        )


@define
class Reservation:
    """What a call is expected to spend, until it is settled."""

    meters: list[_Meter]
    tokens: int
    money: float


class Budget:
    """The meters of one run: its own and those of the agents that have limits."""

    def __init__(self, limits: Limits, agents: Mapping[str, AgentLimits]) -> None:
        self._began = time.monotonic()
        self._run = _Meter("limits", limits, seconds=lambda: time.monotonic() - self._began)
        self._agents = {}
        for name, own in agents.items():
            if own != AgentLimits():
                meter = self._agents[name] = _Meter(f"agents.{name}.limits", own)
                meter.seconds = lambda meter=meter: meter.took  # type: ignore[misc]
        every = [meter.limits for meter in self._of_all()]
        #: Whether estimates of tokens, and of money, are needed.
        self.needs_money = any(one.money is not None for one in every)
        self.needs_tokens = self.needs_money or any(one.tokens is not None for one in every)

    def _of_all(self) -> list[_Meter]:
        return [self._run, *self._agents.values()]

    def _of(self, agent: str) -> list[_Meter]:
        own = self._agents.get(agent)
        return [self._run] if own is None else [self._run, own]

    def paused(self, seconds: float) -> None:
        """The run's clock stood still for so long."""
        self._began += seconds

    def reserve(self, agent: str, tokens: int = 0, money: float = 0.0) -> Reservation:
        """Take what a call is expected to need; `BudgetSpent` if that is not there any more."""
        meters = self._of(agent)
        for meter in meters:
            meter.check(tokens, money)
        for meter in meters:
            meter.calls += 1
            meter.reserved_tokens += tokens
            meter.reserved_money += money
        return Reservation(meters, tokens, money)

    def settle(self, reservation: Reservation, usage: Usage, money: float | None, seconds: float) -> None:
        """Replace what was expected by what the call came to (nothing, if it failed)."""
        for meter in reservation.meters:
            meter.reserved_tokens -= reservation.tokens
            meter.reserved_money -= reservation.money
            self._add(meter, usage, money, seconds)

    def count(self, agent: str, usage: Usage, money: float | None, seconds: float) -> None:
        """Count a call that was made before, by an earlier execution of the run."""
        for meter in self._of(agent):
            meter.calls += 1
            self._add(meter, usage, money, seconds)

    @staticmethod
    def _add(meter: _Meter, usage: Usage, money: float | None, seconds: float) -> None:
        meter.tokens += usage.input_tokens + usage.output_tokens
        meter.money += money or 0.0
        meter.took += seconds
