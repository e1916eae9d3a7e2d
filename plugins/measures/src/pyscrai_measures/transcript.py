"""What a judge sees of a run: its transcript, blinded, and the items to be judged."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from pyscrai_core import ConfigError, Event, StoredRun
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from .rubric import WHOLE, Rubric

#: Kinds that are for the researcher, or tell how the world works.
HIDDEN_KINDS = ("change", "rejected", "tool", "thought", "turn.failed")
HIDDEN = "[hidden]"


@frozen
class Material:
    """What is judged of a run: lines of its transcript, and items, as plain JSON."""

    lines: list[str]
    items: list[dict[str, Any]]


def hidden_words(rubric: Rubric, store: Store, runs: Iterable[RecordedRun]) -> list[str]:
    """The words that no judge must see: those of the rubric, and the labels of the runs.

    Of an experiment, the labels of all its trials are hidden in each, so that what is hidden tells nothing.
    Numbers and single characters are not hidden.
    """
    words = set(rubric.spec.blind.words)
    if rubric.spec.blind.labels:
        known = {run.id: run for run in runs}
        for name in {run.labels["experiment"] for run in known.values() if "experiment" in run.labels}:
            known |= {run.id: run for run in store.runs(labels={"experiment": name})}
        texts = {text.strip() for run in known.values() for text in run.labels.values()}
        words |= {text for text in texts if len(text) > 1 and not re.fullmatch(r"[\d.,+-]+", text)}
    return sorted(words, key=lambda word: (-len(word), word))


def material_of(rubric: Rubric, run: StoredRun, hidden: Iterable[str]) -> Material:
    """What is judged of a run. Raises `ConfigError` if there is nothing."""
    spec = rubric.spec
    known = list(run.manifest["scenario"]["agents"])
    events = [event for event in run.events() if _is_shown(event, rubric)]
    speakers = [name for name in known if any(event.source == name for event in events)]
    aliases = _aliases(rubric, run, known) if spec.blind.agents else {name: name for name in known}
    blinded = _Blinded(aliases if spec.blind.agents else {}, hidden)
    lines = [blinded.event(event) for event in events]
    items: list[dict[str, Any]]
    if spec.of == "transcript":
        items = [{"id": "transcript"}] if lines else []
    elif spec.of == "agent":
        items = [{"id": name, "name": aliases[name]} for name in speakers]
    else:
        items = [
            {"id": str(event.seq), "first": max(0, place - spec.context), "place": place}
            for place, event in enumerate(events)
            if event.kind == spec.of
        ]
    if not items:
        kinds = ", ".join(dict.fromkeys(event.kind for event in run.events())) or "none"
        what = "nothing that agents did is in it" if spec.of in WHOLE else f"it has no event {spec.of!r}"
        raise ConfigError(
            f"run {run.id}: {what}: there is nothing to judge; the kinds of its events: {kinds}"
        )
    return Material(lines, items)


def _is_shown(event: Event, rubric: Rubric) -> bool:
    chosen = rubric.spec.events
    if event.kind in chosen or event.kind == rubric.spec.of:
        return True
    return (
        not chosen and event.kind not in HIDDEN_KINDS and bool(event.audience) and event.source != "@kernel"
    )


def _aliases(rubric: Rubric, run: StoredRun, names: list[str]) -> dict[str, str]:
    """A neutral name for each agent, in an order that tells nothing."""
    shuffled = sorted(names)
    random.Random(f"{rubric.spec.seed}:{run.fingerprint}:names").shuffle(shuffled)
    return {name: f"Agent {_letters(place)}" for place, name in enumerate(shuffled)}


def _letters(number: int) -> str:
    """A, B, …, Z, AA, AB, …"""
    text = ""
    while number >= 0:
        text = chr(ord("A") + number % 26) + text
        number = number // 26 - 1
    return text


def _plain(word: str) -> str:
    """A word in lower case, with one blank for what separates its parts."""
    return " ".join(re.split(r"[\s_-]+", word.casefold())).strip()


class _Blinded:
    """Replaces names and words, wherever they stand as whole words, in any case.

    `high-trust` is also found as `High trust` and `high_trust`.
    """

    def __init__(self, aliases: Mapping[str, str], hidden: Iterable[str]) -> None:
        self._aliases = aliases
        self._new = {_plain(word): HIDDEN for word in hidden}
        self._new |= {_plain(name): alias for name, alias in aliases.items()}
        words = sorted(self._new, key=lambda one: (-len(one), one))
        found = "|".join(r"[\s_-]+".join(map(re.escape, word.split())) for word in words if word)
        self._pattern = re.compile(rf"(?<!\w)(?:{found})(?!\w)", re.IGNORECASE) if found else None

    def event(self, event: Event) -> str:
        """An event as a paragraph."""
        payload = self._value(event.payload)
        source, *audience = [
            self._aliases.get(one, self.text(one)) for one in (event.source, *event.audience)
        ]
        kind = event.kind if event.kind == "say" else self.text(event.kind)
        return evolve(event, kind=kind, source=source, audience=tuple(audience), payload=payload).describe()

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self._value(part) for key, part in value.items()} if value else {}
        if isinstance(value, list | tuple):
            return [self._value(part) for part in value]
        return value

    def text(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._new.get(_plain(found[0]), HIDDEN), text)
