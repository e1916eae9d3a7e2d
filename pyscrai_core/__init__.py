"""The kernel of PyScrAI: what plugin authors and notebooks import, and nothing else.

Light to import: no vendor's SDK, no plugin, no template engine, no database. `run`, `arun` and the few
names that need more are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyscrai_records.canonical import Json
from pyscrai_records.errors import (
    AnswerRejected,
    AnswerTruncated,
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
    Refused,
    RequestRejected,
    ScenarioError,
    StoreError,
    TimedOut,
    ToolFailed,
    TransientError,
    TrustRequired,
    Uncertain,
    Unreachable,
)
from pyscrai_records.messages import Message, Text, Thinking, ToolCall, ToolResult, estimate_tokens
from pyscrai_records.records import (
    EVERYONE,
    Completion,
    Cost,
    Event,
    Extension,
    FinishReason,
    Position,
    RateLimitStatus,
    Request,
    RunResult,
    RunStatus,
    Sampling,
    Sink,
    ToolSpec,
    Usage,
)
from pyscrai_records.secret import read_secret
from pyscrai_records.stored_run import StoredRun

from .agent import Action, Agent, OnUncertain
from .base.progress import CallRecord, Execution, ToolRecord, TurnRecord
from .contracts import (
    Ask,
    Component,
    Engine,
    Executor,
    Exporter,
    FilePath,
    HubFile,
    JsonSchema,
    Listen,
    Memory,
    NoConfig,
    Observer,
    Probe,
    Program,
    Provider,
    Reasoning,
    Schedule,
    SecretName,
    Tool,
    Toolset,
    Trial,
    TrialResult,
    Url,
)
from .discovery.installed import version as _version
from .hookspecs import hookimpl
from .turn import Scope, Stage, Turn, View

if TYPE_CHECKING:
    __version__: str
    from pyscrai_language.describe import describe_schema, without_meanings
    from pyscrai_language.expressions import Expression
    from pyscrai_language.patterns import compile_pattern
    from pyscrai_language.schemas import check_value
    from pyscrai_language.templates import Prompt
    from pyscrai_records.base.files import read_file

    from .api import Session, arun, export, open_store, run, runs
    from .plugins import Host
    from .scenario.names import ScenarioNames
    from .tools import tool

_LAZY = {
    "Expression": "pyscrai_language.expressions",
    "Host": "pyscrai_core.plugins",
    "Prompt": "pyscrai_language.templates",
    "ScenarioNames": "pyscrai_core.scenario.names",
    **dict.fromkeys(("Session", "arun", "export", "open_store", "run", "runs"), "pyscrai_core.api"),
    **dict.fromkeys(("describe_schema", "without_meanings"), "pyscrai_language.describe"),
    "check_value": "pyscrai_language.schemas",
    "compile_pattern": "pyscrai_language.patterns",
    "read_file": "pyscrai_records.base.files",
    "tool": "pyscrai_core.tools",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version("pyscrai-core")
    if name == "api":
        return import_module("pyscrai_core.api")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


__all__ = [
    "EVERYONE",
    "Action",
    "Agent",
    "AnswerRejected",
    "AnswerTruncated",
    "Ask",
    "AuthenticationFailed",
    "BudgetSpent",
    "CallFailed",
    "CallRecord",
    "Completion",
    "Component",
    "ConfigError",
    "ContextTooLong",
    "ContractError",
    "Cost",
    "Divergence",
    "Engine",
    "Event",
    "Execution",
    "Executor",
    "Exporter",
    "Expression",
    "Extension",
    "ExtensionError",
    "FilePath",
    "FinishReason",
    "Host",
    "HubFile",
    "InputError",
    "Json",
    "JsonSchema",
    "Listen",
    "Memory",
    "Message",
    "Mistake",
    "NoAnswer",
    "NoConfig",
    "NobodyToAsk",
    "Observer",
    "OnUncertain",
    "Overloaded",
    "Position",
    "Probe",
    "Program",
    "Prompt",
    "Provider",
    "PyscraiError",
    "RateLimitStatus",
    "RateLimited",
    "Reasoning",
    "Refused",
    "Request",
    "RequestRejected",
    "RunResult",
    "RunStatus",
    "Sampling",
    "ScenarioError",
    "ScenarioNames",
    "Schedule",
    "Scope",
    "SecretName",
    "Session",
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
    "ToolRecord",
    "ToolResult",
    "ToolSpec",
    "Toolset",
    "TransientError",
    "Trial",
    "TrialResult",
    "TrustRequired",
    "Turn",
    "TurnRecord",
    "Uncertain",
    "Unreachable",
    "Url",
    "Usage",
    "View",
    "arun",
    "check_value",
    "compile_pattern",
    "describe_schema",
    "estimate_tokens",
    "export",
    "hookimpl",
    "open_store",
    "read_file",
    "read_secret",
    "run",
    "runs",
    "tool",
    "without_meanings",
]
