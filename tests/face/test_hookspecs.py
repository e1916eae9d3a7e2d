"""Meta-tests of what plugin authors see: the hooks, and the names of `pyscrai_core`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest

import pyscrai_core
from pyscrai_core import Extension, hookimpl, hookspecs
from pyscrai_core.contracts import CONTRACTS, Component
from pyscrai_core.hookspecs import KINDS
from pyscrai_core.plugins import Host

HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and function.__module__ == hookspecs.__name__
}

NAMES = """
pyscrai_commands pyscrai_displays pyscrai_engines pyscrai_executors pyscrai_exporters pyscrai_memories
pyscrai_observers pyscrai_outcomes pyscrai_panels pyscrai_providers pyscrai_reasoning pyscrai_scenario_loaders
pyscrai_schedules pyscrai_tools
"""

#: The public names. Taking one away breaks somebody's plugin; adding one is a promise.
PUBLIC = """
Action Agent AnswerRejected AnswerTruncated Ask AuthenticationFailed BudgetSpent CallFailed CallRecord
Completion Component ConfigError ContextTooLong ContractError Cost Divergence EVERYONE Engine Event
Execution Executor Exporter Expression Extension ExtensionError FilePath FinishReason Host HubFile
InputError Json JsonSchema Listen Memory Message Mistake NoAnswer NoConfig NobodyToAsk Observer OnUncertain
Overloaded Position Probe Program Prompt Provider PyscraiError RateLimitStatus RateLimited Reasoning Refused
Request RequestRejected RunResult RunStatus Sampling ScenarioError ScenarioNames Schedule Scope SecretName
Session Sink Stage StoreError StoredRun Text Thinking TimedOut Tool ToolCall ToolFailed ToolRecord
ToolResult ToolSpec Toolset TransientError Trial TrialResult TrustRequired Turn TurnRecord Uncertain
Unreachable Url Usage View arun check_value compile_pattern describe_schema estimate_tokens export hookimpl
open_store read_file read_secret run runs tool without_meanings
"""


def test_the_hooks_are_these() -> None:
    assert sorted(HOOKS) == NAMES.split()
    assert set(KINDS) == set(HOOKS)
    assert len(set(KINDS.values())) == len(KINDS)


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_a_hook_is_documented_and_takes_nothing(hook: str) -> None:
    function = HOOKS[hook]
    signature = inspect.signature(function)
    assert not signature.parameters
    assert signature.return_annotation == "list[Extension]"
    assert function.__doc__
    assert function.__doc__.strip().endswith(".")
    assert hasattr(function, "pyscrai_spec")
    contract = CONTRACTS.get(KINDS[hook])
    if contract:
        assert f"`{contract.__name__}`" in function.__doc__


def test_every_kind_has_a_contract_or_is_a_plain_object() -> None:
    plain = {"scenario loader", "command", "outcome", "display", "panel"}
    assert set(KINDS.values()) - set(CONTRACTS) == plain
    assert set(CONTRACTS) < set(KINDS.values())
    for contract in CONTRACTS.values():
        assert issubclass(contract, Component)
        assert contract.__doc__


def test_what_a_plugin_offers_through_every_hook_is_offered() -> None:
    def answer(hook: str) -> Callable[[], list[Extension]]:
        return lambda: [
            Extension(f"second-{hook}", "module:Second"),
            Extension("same", "module:Same", f"through {hook}"),
        ]

    module = ModuleType("everything")
    module.__dict__["pyscrai_api"] = 1
    for hook in HOOKS:
        setattr(module, hook, hookimpl(answer(hook), specname=hook))
    host = Host(plugins=[], extra=[module])

    expected = sorted((kind, name) for hook, kind in KINDS.items() for name in ("same", f"second-{hook}"))
    assert [(offer.kind, offer.name) for offer in host.offers()] == expected
    assert not host.conflicts
    for hook, kind in KINDS.items():
        assert host.offer(kind, "same").extension.summary == f"through {hook}"
        assert [offer.name for offer in host.offers(kind)] == ["same", f"second-{hook}"]


def test_the_public_names_are_pinned() -> None:
    assert sorted(pyscrai_core.__all__) == PUBLIC.split()


@pytest.mark.parametrize("name", pyscrai_core.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(pyscrai_core, name) is not None
    # What a package exports must not be a module that happens to have the same name.
    assert not inspect.ismodule(getattr(pyscrai_core, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        pyscrai_core.nothing_of_the_kind  # noqa: B018
