"""What references and mixed models are about: checked before anything is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyscrai_records.base.files import read_bytes
from pyscrai_records.base.suggest import did_you_mean, list_some

from .choices import Choices, as_category, no_such
from .experiment import Experiment


def check_references(experiment: Experiment, choices: Choices, outcomes: Mapping[str, Sequence[Any]]) -> None:
    """Raise `ScenarioError` for references that do not fit what the scenario offers.

    `outcomes` has the levels of each outcome, as far as they are known.
    """
    for name in experiment.spec.references:
        if name not in outcomes and name not in choices.questions:
            known = [*outcomes, *choices.questions]
            raise experiment.error(("references", name), no_such(name, known), on_key=True)
        weights_of(experiment, name, levels_of(name, choices, outcomes))


def levels_of(name: str, choices: Choices, outcomes: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
    """The categories that an outcome or a choice can have, as far as they are known."""
    if name in outcomes:
        return outcomes[name]
    question = choices.questions[name]
    return question.options or question.scale


def weights_of(experiment: Experiment, name: str, levels: Sequence[Any]) -> dict[Any, float]:
    """The reference: a weight for each category. All `levels` have one; it may be 0."""
    given = experiment.spec.references[name]
    place = ("references", name)
    weights = given if isinstance(given, Mapping) else _read(experiment, name, given)
    by_text = {str(as_category(level)): as_category(level) for level in levels}
    found: dict[Any, float] = dict.fromkeys(by_text.values(), 0.0)
    for category, weight in weights.items():
        text = str(as_category(category))
        if by_text and text not in by_text:
            what = f"there is no category {text!r}{did_you_mean(text, by_text)}"
            raise experiment.error(place, f"{what}; there are: {list_some(by_text)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight >= 0:
            raise experiment.error(place, f"{text}: expected a weight, 0 or more, got {weight!r}")
        found[by_text.get(text, as_category(category))] = float(weight)
    if not sum(found.values()) > 0:
        raise experiment.error(place, "all weights are 0; expected shares, per cents or counts")
    return found


def _read(experiment: Experiment, name: str, file: str) -> dict[Any, Any]:
    import pyscrai_statistics as st  # only where a reference is a file

    place = ("references", name)
    path = experiment.path.parent / file
    try:
        read_bytes(path, file)  # a bounded, regular file
        table = st.read_table(path)
    except ValueError as error:  # StatisticsError is one
        raise experiment.error(place, str(error)) from error
    if len(table) != 2:
        columns = f"two columns, categories and weights, got {len(table)}: {list_some(table)}"
        raise experiment.error(place, f"{file}: expected {columns}")
    categories, weights = table.values()
    if len(set(categories)) < len(categories):
        twice = next(one for one in categories if categories.count(one) > 1)
        raise experiment.error(place, f"{file}: the category {twice!r} stands twice; join its rows")
    return dict(zip(categories, weights, strict=True))


def check_mixed(experiment: Experiment, choices: Choices, outcomes: Mapping[str, str | None]) -> None:
    """Raise `ScenarioError` for names that are neither outcomes of numbers nor numbers that agents choose.

    `outcomes` has the kind of each outcome, as far as it is known.
    """
    known = [*outcomes, *choices.questions]
    for index, name in enumerate(experiment.spec.mixed):
        if name not in known:
            raise experiment.error(("mixed", index), no_such(name, known))
        options = choices.questions[name].options if name not in outcomes else ()
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in options):
            what = f"{name!r} is one of {list_some(map(str, options))}; a mixed model needs numbers"
            raise experiment.error(("mixed", index), f"{what}; name another one")
        if (kind := outcomes.get(name)) not in (None, "number", "proportion"):
            what = f"the outcome {name!r} is of the kind {kind}; a mixed model needs numbers"
            raise experiment.error(("mixed", index), f"{what}; name another one")
