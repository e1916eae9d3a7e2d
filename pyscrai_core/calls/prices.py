"""What calls cost: by the prices of a person's settings, else by what the provider knows."""

from __future__ import annotations

from collections.abc import Mapping

from pyscrai_records.errors import ConfigError
from pyscrai_records.records import Price, Usage

from ..contracts import Provider
from ..scenario.model import Scenario


class Prices:
    """The prices of the models of opened `providers`, those that a person has `given` first."""

    def __init__(self, given: Mapping[str, Price], providers: Mapping[str, Provider]) -> None:
        self._given = given
        self._providers = providers

    def cost(self, provider: str, usage: Usage, served: str = "") -> float | None:
        """US dollars for `usage` of a provider's model as `served` (empty: as configured); None: unknown."""
        for model in (served, self.model(provider)):
            price = self._named(model)
            if price is not None:
                return price.of(usage)
        asked = self._providers.get(provider)
        if asked is None:
            return None
        cost = asked.cost(usage, served)
        return asked.cost(usage) if cost is None and served else cost

    def load(self) -> None:
        """Have the providers load their price lists, which takes long: no answer then waits for that."""
        for provider in self._providers:
            self.cost(provider, Usage(1, 1))

    def model(self, provider: str) -> str:
        """The model that a provider is configured with, if it names one."""
        asked = self._providers.get(provider)
        return str(getattr(asked.config, "model", "")) if asked else ""

    def _named(self, model: str) -> Price | None:
        # A vendor serves `NAME-2026-05-01` where `NAME` was asked for: the longest beginning counts.
        found = [name for name in self._given if model == name or model.startswith(f"{name}-")]
        return self._given[max(found, key=len)] if found else None


def check_prices(prices: Prices, scenario: Scenario) -> None:
    """Raise `ConfigError` if a budget of money cannot be kept, since a price is not known."""
    limited = [("limits", scenario.limits.money, list(scenario.providers))]
    for name, agent in scenario.agents.items():
        use = scenario.providers.get(agent.provider)
        asked = [agent.provider, *(use.policy.fallback if use else ())]
        limited.append((f"agents.{name}.limits", agent.limits.money, asked))
    for where, money, asked in limited:
        if money is None:
            continue
        for provider in asked:
            if prices.cost(provider, Usage(1, 1)) is None:
                model = prices.model(provider) or "MODEL"
                raise ConfigError(
                    f"{where}.money: the price of provider {provider!r} ({model}) is unknown, so that no "
                    f'budget can be kept; add to pyscrai.toml: [prices."{model}"] with input = … and '
                    "output = …, in US dollars for a million tokens"
                )
