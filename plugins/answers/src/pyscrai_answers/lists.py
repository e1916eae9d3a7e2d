"""What lines of lists, quotations, code and data look like, in which names are no speakers."""

from __future__ import annotations

import re

#: What lists and quotes have before or behind a name, where the words before announce them.
ITEM = re.compile(r"[ \t]*(?:[-*•–+>][ \t]+|\d{1,3}[.)][ \t]+|[\"“„«])")
#: What follows the name in such a list: a number, or what somebody has or does, unlike what somebody says.
VALUE = re.compile(
    r"[*_ \t]*(?:[-+~≈±]?[$€£¥]?\d|(?!(?:i|we|you|no|nope|yes|yeah|yep|ok|okay|well|hi|hello|hey|thanks|sure"
    r"|fine|what|why|how|who)\b)[a-zß-öø-ÿ][^?!\n]*\s*\Z)"
)
#: What somebody does, in the third person, as in `**Jon:** brings apples`; nobody speaks so of oneself.
DOES = re.compile(
    r"[*_ \t]*(?!(?:yes|thanks|this|is|was|has|does|as|its|perhaps|always|sounds|looks|seems|means|makes"
    r"|guess|lets|works)\b)[a-z]{2,18}s\b(?!'|’)"
    r"(?![^\n]*\b(?:I|me|my|you|your|we|our|us)\b)[^.?!:\"“”\n]{0,120}\.?\s*\Z"
)
#: How many characters of a line of somebody else are waited for: it may be such a line of a list.
LONGEST_ITEM = 300
#: Where code and data begin; names in them are no speakers.
CODE = re.compile(
    r"[ \t]*```(?:json5?|ya?ml|toml|ini|xml|html|css|csv|sql|python|py|javascript|js|typescript|ts|bash|sh"
    r"|java|go|c|cpp|rust|r|latex|mermaid)\s*\Z",
    re.IGNORECASE,
)
DATA = re.compile(r"[ \t]*(?:\{\s*(?:\"|\Z)|\[\s*[\[{\"])")
