"""Parts of error messages: the name that was probably meant, the names there are, and values, cut short."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: How many names are compared with a wrong one, and how long a name that is compared may be.
MAX_NAMES = 10_000
MAX_LENGTH = 100
#: How many names a message lists, and the longest value that it quotes, in characters.
LISTED = 12
QUOTED = 60


#: How alike two names are, from 0 to 1, of which one is taken for a mistyped form of the other.
TYPO = 0.75


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The name among `known` that is most like `name`, whatever its case; "" if none is like it.

    `cutoff` is how alike they must be, from 0 to 1.
    """
    import difflib  # loading it takes longer than most commands need it for

    names = sorted(known)[:MAX_NAMES]  # the order of a set would differ from process to process
    folded = {each.casefold(): each for each in names if len(each) <= MAX_LENGTH}
    matches = difflib.get_close_matches(name[:MAX_LENGTH].casefold(), folded, n=1, cutoff=cutoff)
    return folded[matches[0]] if matches else ""


def meant(name: str, known: Iterable[str]) -> str:
    """The name among `known` that `name` is like, or that it is the beginning of; "" if there is none."""
    names = list(known)
    longer = [each for each in names if len(name) >= 3 and each.casefold().startswith(name.casefold())]
    return closest(name, names) or (longer[0] if len(longer) == 1 else "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or "" if `name` is like none of `known`."""
    match = meant(name, known)
    return f" (did you mean {quote(match)}?)" if match else ""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The message for a key that is not among `known`."""
    names = sorted(known)
    match = meant(key, names)
    remedy = f"did you mean {match!r}? " if match else ""
    return f"unknown key {key!r}; {remedy}known keys: {', '.join(names) or 'none'}"


def quote(text: str) -> str:
    """`text` in quotes. `repr` depends on the characters that a version of Python knows."""
    return repr(text) if text.isascii() else f"'{text}'"


def list_some(names: Iterable[str]) -> str:
    """The first of `names`, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return ", ".join(listed[:LISTED]) + more


def format_value(value: Any) -> str:
    """`value` as a scenario writes it, cut to a short text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= QUOTED else text[: QUOTED - 3] + "…"


def there_is_no(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for the name of a `kind` of thing that is not among `known`."""
    return f"there is no {kind} {name!r}{did_you_mean(name, known)}; {kind}s: {list_some(known) or 'none'}"


def expected(what: str, value: Any) -> str:
    """The message for a `value` that is not `what` was expected."""
    return f"expected {what}{';' if ', ' in what else ','} got {format_value(value)}"


def format_json(value: Any) -> str:
    """`value` as JSON, cut to a short text. It is the same in every version of Python."""
    import json

    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=lambda other: type(other).__name__)
    text = text.encode(errors="backslashreplace").decode()  # half of a surrogate pair cannot be written
    return text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"
