"""What the messages of the YAML parser mean, and what to do about them."""

from __future__ import annotations

_TAB = "a tab is used for indentation, where spaces were expected; use spaces"
_COLON = "a ':' is where no key can be; quote text that holds ': ', or check the indentation"
_ESCAPE = "this is not an escape that YAML knows; double the backslash, or use single quotes"
_TAG = "a tag begins with '!', and only plain data is read; remove the tag, or quote the text"
_BLOCK = "text cannot follow '|' or '>' on the same line; begin it on the next, or quote it"

#: A part of the parser's message (libyaml's or PyYAML's own), and our words. The first that fits is taken.
#: The message is "while scanning this: found that", so a part that is common needs more beside it.
SYNTAX = (
    ("directive", "a line that begins with '%' is a directive of YAML; quote the text"),
    ("a tag:", _TAG),
    ("tag handle", _TAG),
    ("tab character", _TAB),
    ("cannot start any token", _TAB),
    ("mapping values are not allowed", _COLON),
    (
        "could not find expected ':'",
        "a key without its ':' begins before this; write `key: value`, or quote the text",
    ),
    ("',' or ']'", "the list that begins at {opened} is not closed before this; add the missing ',' or ']'"),
    (
        "',' or '}'",
        "the mapping that begins at {opened} is not closed before this; add the missing ',' or '}'",
    ),
    ("unexpected end of stream", "the quote that is opened at {opened} is never closed; close it"),
    ("unknown escape character", _ESCAPE),
    ("escape sequence", _ESCAPE),
    ("escape code", _ESCAPE),
    ("hexdecimal number", _ESCAPE),
    ("'-' indicator", "the list that begins at {opened} expects '- ' here; add it, or check the indentation"),
    (
        "sequence entries are not allowed",
        "a list cannot begin here; put '- ' on a line of its own, or quote it",
    ),
    (
        "did not find expected key",
        "the mapping that begins at {opened} expects a key here; check the indentation",
    ),
    ("expected <block end>", "this does not belong to what begins at {opened}; check the indentation"),
    ("<document start>", "the document ends before this; remove it, or check brackets and indentation"),
    ("node content", "a value was expected here; write one, or null"),
    ("comment or line break", _BLOCK),
    ("comment or a line break", _BLOCK),
    (
        "alphabetic or numeric",
        "'*' and '&' need a name of letters and digits; quote text that begins with them",
    ),
)
