"""Regular expressions that scenarios and tools bring along: one dialect, searched in linear time.

A pattern may come from a stranger, and Python's `re` can take for ever on one of ten characters. RE2 cannot:
its time is at most the length of the text times the size of the pattern, and both are bounded here.

The dialect is that of JSON Schema (ECMA-262, in its Unicode mode), wherever a pattern stands:

- `\\d`, `\\w` and `\\b` know letters and digits of ASCII only; `\\p{L}` and `\\p{N}` those of all languages;
- `\\s` is every blank of Unicode; `.` is every character but `\\n`;
- `^` and `$` are the ends of the text: `$` is not before a `\\n` at its end;
- flags are written in the pattern: `(?i)`, `(?s)`, `(?m)`.

Look-arounds and back-references, which cannot be searched for in linear time, are refused.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from pyscrai_records.base.suggest import format_json

from .misfit import Misfit

#: The longest pattern, in characters, and the memory that a compiled one may take, in bytes.
MAX_SOURCE = 10_000
MAX_MEMORY = 1 << 20
#: The most work of one search: the length of the text, in bytes, times the size of the compiled pattern.
MAX_WORK = 100_000_000

_BLANK = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_NO_BLANK = (
    r"\x00-\x08\x0e-\x1f!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"
)
_TOKEN = re.compile(
    r"\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u\{[\da-fA-F]+\}|\\u[\da-fA-F]{4}"
    r"|\\[pP]\{[^}]*\}|\\k<|\\.|\(\?(?:<?[=!]|>|P=|\(|\#)|\[\^?\]?|\{,\d+\}|.",
    re.DOTALL,
)
_AROUND = "leave it out, and test what stands there with a pattern of its own (`allOf`, `not` in a schema)"
_REFUSED = {
    **dict.fromkeys(("(?=", "(?!"), f"a look-ahead is not available; {_AROUND}"),
    **dict.fromkeys(("(?<=", "(?<!"), f"a look-behind is not available; {_AROUND}"),
    **dict.fromkeys(
        ("(?P=", "\\k<", *(f"\\{n}" for n in range(1, 10))),
        "a back-reference is not available; write the alternatives that it may repeat",
    ),
    "(?>": "an atomic group is not available; write '(?:'",
    "(?(": "a conditional group is not available; write the alternatives with '|'",
    "(?#": "a comment is not available; leave it out",
    "\\C": "it is not available; write '.'",
    "\\u": "four hexadecimal digits were expected; write \\u00e9 or \\u{e9}",
    "\\Q": "it is not available; put '\\' before each character that has a meaning",
}


class Pattern:
    """A compiled pattern; `size` is how many steps it has."""

    def __init__(self, source: str, compiled: Any) -> None:
        self.source = source
        self.size: int = compiled.programsize
        self._compiled = compiled

    def work(self, text: str) -> int:
        """The most work of a search in `text`."""
        return self.size * (len(text) + 64)

    def search(self, text: str) -> bool:
        """Whether it is found anywhere in `text`. Raises `Misfit` if that would take too much work."""
        data = text.encode(errors="replace")
        if self.size * len(data) > MAX_WORK:
            raise Misfit(f"the text is too long to look for the pattern {format_json(self.source)} in it")
        return self._compiled.search(data) is not None


@functools.lru_cache(maxsize=1024)
def compile_pattern(source: str) -> Pattern:
    """The pattern that `source` writes. Raises `Misfit`, which says what to write instead."""
    import re2

    shown = f"the pattern {source!r}" if len(source) <= 100 else f"the pattern {source[:100]!r}…"
    if len(source) > MAX_SOURCE:
        raise Misfit(f"{shown}: it is longer than {MAX_SOURCE:,} characters; write a shorter one, or an enum")
    options = re2.Options()
    options.max_mem, options.never_capture, options.log_errors = MAX_MEMORY, True, False
    try:
        return Pattern(source, re2.compile(_translated(source, shown), options))
    except UnicodeEncodeError:
        raise Misfit(f"{shown}: it holds half of a surrogate pair; write the whole character") from None
    except re2.error as error:
        cause = error.args[0] if error.args else ""
        what = cause.decode(errors="replace") if isinstance(cause, bytes) else str(cause)
    if "too large" in what or "repetition size" in what:
        limit = "at most 1,000 repetitions, those within one another multiplied"
        raise Misfit(f"{shown}: it is too large; write a simpler one, with {limit}")
    raise Misfit(f"{source[:100]!r} is not a regular expression: {what}; correct it")


def _translated(source: str, shown: str) -> str:
    """`source` as RE2 writes it."""
    parts = []
    in_class = False
    for found in _TOKEN.finditer(source):
        token = found[0]
        if in_class:
            in_class = token != "]"
            token = {
                "\\s": _BLANK, "\\S": _NO_BLANK, "\\b": "\\x08", "[": "\\[", "[^": "\\[^", "[]": "\\[]",
                "[^]": "\\[^]",
            }.get(token, token)  # fmt: skip
            in_class = in_class and token[-2:] not in ("[]", "^]")
        elif token in _REFUSED:
            raise Misfit(f"{shown}, character {found.start() + 1}: {token!r}: {_REFUSED[token]}")
        elif token.startswith("{,"):
            what = f"{token!r} has no lower bound; write '{{0{token[1:]}'"
            raise Misfit(f"{shown}, character {found.start() + 1}: {what}")
        elif token.startswith("["):
            in_class = True
        else:
            token = {"\\s": f"[{_BLANK}]", "\\S": f"[^{_BLANK}]", "\\Z": "\\z"}.get(token, token)
        if token.startswith("\\u"):
            token = f"\\x{{{_code(token):x}}}"
        elif token.startswith(("\\p{", "\\P{")):
            token = re.sub(r"\{(?:Script|sc|General_Category|gc)=", "{", token)
        parts.append(token)
    return "".join(parts)


def _code(escape: str) -> int:
    """The character that `\\uXXXX`, two of these or `\\u{X}` stand for."""
    if len(escape) == 12:
        return 0x10000 + ((int(escape[2:6], 16) & 0x3FF) << 10 | int(escape[8:], 16) & 0x3FF)
    return int(escape[2:].strip("{}"), 16)
