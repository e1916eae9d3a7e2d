"""The kernel of PyScrAI: what plugin authors and notebooks import, and nothing else.

Light to import: no vendor's SDK, no plugin, no template engine, no database. `run`, `arun` and the few
names that need more are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .contracts import (
    Component,
    Engine,
    Executor,
    Exporter,
    Memory,
    NoConfig,
    Observer,
    Probe,
    Provider,
    Reasoning,
    Schedule,
    Sink,
    Tool,
    Toolset,
    Trial,
    TrialResult,
)
from .errors import (
    AnswerRejected,
    AuthenticationFailed,
    BudgetSpent,
    CallFailed,
    ConfigError,
    ContextTooLong,
    ContractError,
    Divergence,
    ExtensionError,
    InputError,
    Mistake,
    NoAnswer,
    NobodyToAsk,
    Overloaded,
    PyscraiError,
    RateLimited,
    RequestRejected,
    ScenarioError,
    StoreError,
    TimedOut,
    ToolFailed,
    TransientError,
    TrustRequired,
    Unreachable,
)
from .hookspecs import hookimpl
from .records import (
    EVERYONE,
    Allowance,
    CallRecord,
    Completion,
    Event,
    Extension,
    FinishReason,
    Message,
    Position,
    Request,
    RunResult,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from .secret import read_secret
from .tokens import estimate_tokens

if TYPE_CHECKING:
    from .agent import Agent
    from .api import arun, run
    from .contracts import FilePath, JsonSchema, Program, SecretName, Url
    from .language.expressions import Expression
    from .language.templates import Prompt
    from .runtime.turn import Stage, Turn
    from .store.runs import StoredRun
    from .tools import tool

_LAZY = {
    "Agent": "agent",
    "Expression": "language.expressions",
    "FilePath": "contracts",
    "JsonSchema": "contracts",
    "Program": "contracts",
    "Prompt": "language.templates",
    "SecretName": "contracts",
    "Stage": "runtime.turn",
    "StoredRun": "store.runs",
    "Turn": "runtime.turn",
    "Url": "contracts",
    "arun": "api",
    "run": "api",
    "tool": "tools",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


__version__ = "0.1.0"

__all__ = [
    "EVERYONE",
    "Agent",
    "Allowance",
    "AnswerRejected",
    "AuthenticationFailed",
    "BudgetSpent",
    "CallFailed",
    "CallRecord",
    "Completion",
    "Component",
    "ConfigError",
    "ContextTooLong",
    "ContractError",
    "Divergence",
    "Engine",
    "Event",
    "Executor",
    "Exporter",
    "Expression",
    "Extension",
    "ExtensionError",
    "FilePath",
    "FinishReason",
    "InputError",
    "JsonSchema",
    "Memory",
    "Message",
    "Mistake",
    "NoAnswer",
    "NoConfig",
    "NobodyToAsk",
    "Observer",
    "Overloaded",
    "Position",
    "Probe",
    "Program",
    "Prompt",
    "Provider",
    "PyscraiError",
    "RateLimited",
    "Reasoning",
    "Request",
    "RequestRejected",
    "RunResult",
    "Sampling",
    "ScenarioError",
    "Schedule",
    "SecretName",
    "Sink",
    "Stage",
    "StoreError",
    "StoredRun",
    "Text",
    "Thinking",
    "TimedOut",
    "Tool",
    "ToolCall",
    "ToolFailed",
    "ToolResult",
    "ToolSpec",
    "Toolset",
    "TransientError",
    "Trial",
    "TrialResult",
    "TrustRequired",
    "Turn",
    "Unreachable",
    "Url",
    "Usage",
    "arun",
    "estimate_tokens",
    "hookimpl",
    "read_secret",
    "run",
    "tool",
]
