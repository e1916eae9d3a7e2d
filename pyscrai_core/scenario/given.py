"""Scenarios from Python: plain data, in which classes may stand where a file has the names of extensions.

A class becomes a name, `module:ClassName`, which is what a run's manifest records. Such a name means nothing
without the class: whoever resumes or replays the run has to give the class again.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from types import ModuleType
from typing import Any, TypeAlias

from pyscrai_language.document import Document, Mark
from pyscrai_language.lookalikes import normalize
from pyscrai_records.base.frozen import as_tuple
from pyscrai_records.base.suggest import expected
from pyscrai_records.canonical import check_json
from pyscrai_records.errors import ConfigError, ExtensionError, Mistake, ScenarioError
from pyscrai_records.records import Extension

from ..contracts import CONTRACTS, Component, Toolset
from ..discovery.loading import GIVEN, Offer, Plugin
from ..plugins import Host
from .model import Scenario

#: An extension's class, or a function, which becomes a tool.
Given: TypeAlias = type | Callable[..., Any]

#: Where the classes are found by the loader of extensions, which imports modules.
_MODULE = ModuleType("pyscrai_given_classes")
_NUMBER = count()


def read(scenario: Mapping[str, Any] | Scenario) -> tuple[Document, list[Given]]:
    """A scenario that is given as data, with names for the classes in it, and those classes.

    Raises `ScenarioError`.
    """
    classes: list[Given] = []
    value = named(scenario.document if isinstance(scenario, Scenario) else scenario, classes)
    if not isinstance(value, dict):
        what = expected("a path, a Scenario, or a mapping with at least `agents`", value)
        raise ScenarioError([Mistake("the scenario", "", what)])
    try:
        value = normalize(copy.deepcopy(check_json(value, "the scenario")))
    except (ValueError, RecursionError) as error:
        what = f"{error}; a scenario is plain data, as JSON is, and classes of extensions"
        raise ScenarioError([Mistake("the scenario", "", what)]) from None
    return Document.at(value, Mark("the scenario")), classes


def named(value: Any, classes: list[Given]) -> Any:
    """The value with the name of each class and function in it; these are added to `classes`."""
    if isinstance(value, Mapping):
        return {key: named(part, classes) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [named(part, classes) for part in value]
    if inspect.isclass(value) or inspect.isfunction(value):
        classes.append(value)
        return name_of(value)
    return value


def name_of(given: Given) -> str:
    """`module:ClassName`."""
    return f"{given.__module__}:{given.__qualname__}"


def is_given(use: str) -> bool:
    """Whether the name of an extension is that of a class that was given."""
    return ":" in use and ".py:" not in use


def missing(host: Host, kind: str, use: str) -> ExtensionError:
    """The error for a class that is not here, or is none of this kind."""
    for offer in host.offers():
        if offer.name == use:
            what = (
                f"it is a class of the kind {offer.kind}; expected a subclass of {CONTRACTS[kind].__name__}"
            )
            return ExtensionError(f"{kind} {use!r}: {what}")
    name = use.rpartition(":")[2].rpartition(".")[2]
    return ExtensionError(
        f"{kind} {use!r}: it was given as a class or function from Python; give it again, as in: "
        f"pyscrai_core.api.resume(…, classes=[{name}])"
    )


def add_classes(host: Host, classes: Iterable[Given]) -> Host:
    """A host that also knows these classes, and functions as tools. Raises `ConfigError` for others."""
    known: dict[str, Given] = {}
    for one in classes:
        if known.setdefault(name_of(one), one) is not one:
            raise ConfigError(f"{name_of(one)}: two classes have this name; give one of them another")
    if not known:
        return host
    sys.modules[_MODULE.__name__] = _MODULE
    offers = [offer for name, one in known.items() for offer in _offers(name, one)]
    return host.adding(Plugin("given classes", GIVEN, "", _MODULE.__name__, extensions=as_tuple(offers)))


def _offers(name: str, one: Given) -> list[Offer]:
    cls: Any = one
    if inspect.isfunction(one):
        from ..tools import tool

        try:
            cls = tool(one)
        except TypeError as error:
            raise ConfigError(f"{name}: {error}") from None
    contracts: dict[str, type] = {**CONTRACTS, "toolset": Toolset}
    known = inspect.isclass(cls)
    kinds = [kind for kind, contract in contracts.items() if known and issubclass(cls, contract)]
    if not kinds:
        base = Component.__name__
        raise ConfigError(f"{name}: it is no extension; expected a class of an engine, tool, … (a {base})")
    attribute = f"{cls.__name__}_{next(_NUMBER)}"
    setattr(_MODULE, attribute, cls)
    return [
        Offer(
            "tool" if kind == "toolset" else kind, name, Extension(name, f"{_MODULE.__name__}:{attribute}"),
            "given classes", GIVEN, "",
        )
        for kind in kinds
    ]  # fmt: skip
