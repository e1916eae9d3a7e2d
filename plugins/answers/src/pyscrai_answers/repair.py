"""Structured answers: whether one fits its schema, and what a model is told if it does not."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from pyscrai_language.parsing import parse_json
from pyscrai_language.schemas import check_value, map_schemas
from pyscrai_records.canonical import canonical
from pyscrai_records.errors import AnswerRejected
from pyscrai_records.messages import Message
from pyscrai_records.records import Completion

from .reading import COMPLAINT, cut_off

#: How often an answer that does not fit its schema is asked for again.
REPAIRS = 2
#: How often an answer is drawn anew that fits as far as a vendor's grammar enforces it.
DRAWS = 10
#: Keywords that vendors' grammars ignore. (llama.cpp: grammars/README.md; OpenAI, Anthropic and Ollama ignore
#: or reject them as well.)
NOT_ENFORCED = {
    *(
        "uniqueItems",
        "pattern",
        "format",
        "multipleOf",
        "contains",
        "minContains",
        "maxContains",
        "not",
        "if",
    ),
    *("then", "else", "dependentRequired", "dependentSchemas", "propertyNames", "patternProperties"),
    *("minProperties", "maxProperties", "unevaluatedProperties", "unevaluatedItems"),
}
#: What a person can do about an answer that is still wrong after all repairs.
WAYS_OUT = (
    "ask again with: pyscrai resume RUN; to continue without such answers, add: "
    "--set agents.NAME.on_error=skip; or use another model"
)


def check_answer(completion: Completion, schema: dict[str, Any]) -> tuple[str | None, Any]:
    """What is wrong with a structured answer (None: nothing), and its value."""
    value, wrong = parse_json(completion.text)
    if wrong is None:
        wrong = check_value(schema, value)
    return wrong and wrong + cut_off(completion), value


def is_unlucky(schema: dict[str, Any], value: Any) -> bool:
    """Whether an answer breaks only rules that grammars ignore: another draw may keep them.

    A small model repeats a mistake that it is shown, so it is better asked as if for the first time.
    """
    return check_value(_enforced(schema), value) is None


@lru_cache(maxsize=256)
def _enforced_of(schema: bytes) -> dict[str, Any]:
    def relaxed(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        rest = {key: one for key, one in part.items() if key not in NOT_ENFORCED}
        return map_schemas(rest, lambda _, inner: relaxed(inner))

    found: dict[str, Any] = relaxed(orjson.loads(schema))
    return found


def _enforced(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without the rules that grammars ignore; the same object for the same schema."""
    return _enforced_of(canonical(schema))


def repair_prompt(wrong: str, schema: dict[str, Any] | None) -> Message:
    """What a model is told of an answer that does not fit."""
    form = ", as JSON of the demanded form alone" if schema is not None else ""
    return Message.user(f"{COMPLAINT}: {wrong}. Answer again{form}.")


def given_up(provider: str, wrong: str) -> str:
    """What a person is told of an answer that could not be read, after all repairs.

    Failures in older stores name their provider themselves.
    """
    who = "" if wrong.startswith("provider ") else f"provider {provider!r}: "
    return f"{who}{wrong}; after {REPAIRS} repairs; {WAYS_OUT}"


def rejection(provider: str, completion: Completion, wrong: str) -> AnswerRejected:
    """The error for an answer that does not fit after all repairs."""
    what = f"the answer does not fit its schema, after {REPAIRS} repairs: {wrong}"
    if completion.text.strip():
        what += f"; it began: {completion.text[:120]!r}"
    else:
        why = f" ({completion.why_empty})" if completion.why_empty else ""
        what = f"the model answers nothing, after {REPAIRS} repairs{why}"
    error = AnswerRejected(f"provider {provider!r} ({completion.model}): {what}; {WAYS_OUT}")
    error.given_up = True
    return error
