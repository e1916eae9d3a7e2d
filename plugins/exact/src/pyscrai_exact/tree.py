"""The tree of all histories of a scenario, as far as it is explored.

A node is a choice that is about to be made, behind a history; its children are the nodes behind each option,
or an outcome at the end. Histories that are the same from then on share a node, so that it is a graph without
circles. What is not explored has a mass, which bounds what the outcomes can still get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attrs import define, field, frozen

from pyscrai_core import ContractError

#: Where a choice is made: the agent, the step, the path of the call, and the field of the answer.
Place: TypeAlias = tuple[str, int, str, str]


@frozen
class Step:
    """A choice that was made: at which node, among which options, and which one was taken."""

    key: str
    place: Place
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    index: int


@define
class Node:
    """A choice: `forced` leads here, and `children` are nodes' keys, or None for what is not explored."""

    place: Place
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    forced: Mapping[Place, str]
    children: list[str | None]


@define
class Tree:
    """What is known. `outcomes` are the keys of ends, with the outcome's JSON text."""

    root: str = ""
    nodes: dict[str, Node] = field(factory=dict)
    outcomes: dict[str, str] = field(factory=dict)
    #: The nodes, each before those behind it; None if it has to be found again.
    _order: list[str] | None = None

    def add(self, steps: Sequence[Step], outcome: str) -> None:
        """Add a whole history. Raises `ContractError` if it contradicts what is known."""
        end = f"={outcome}"
        self.outcomes[end] = outcome
        keys = [*(step.key for step in steps), end]
        self.root = self.root or keys[0]
        if keys[0] != self.root:
            raise _differs("the first choice")
        forced: dict[Place, str] = {}
        for step, after in zip(steps, keys[1:], strict=True):
            node = self.nodes.get(step.key)
            if node is None:
                children: list[str | None] = [None] * len(step.labels)
                node = Node(step.place, step.labels, step.probabilities, dict(forced), children)
                self.nodes[step.key] = node
            elif (node.place, node.labels, node.probabilities) != (
                step.place,
                step.labels,
                step.probabilities,
            ):
                raise _differs(f"the choice of {step.place[0]} in step {step.place[1]}")
            if node.children[step.index] not in (None, after):
                raise _differs(f"what follows the choice of {step.place[0]} in step {step.place[1]}")
            node.children[step.index] = after
            forced[step.place] = step.labels[step.index]
        self._order = None

    def masses(self) -> tuple[dict[str, float], list[tuple[float, str, int]]]:
        """The mass of each outcome, and the edges that are not explored: their mass, node and option."""
        if not self.root:
            return {}, []
        mass = dict.fromkeys(self.nodes, 0.0)
        found: dict[str, float] = dict.fromkeys(self.outcomes.values(), 0.0)
        open_: list[tuple[float, str, int]] = []
        if self.root in self.outcomes:  # nothing is to be chosen
            return {self.outcomes[self.root]: 1.0}, []
        mass[self.root] = 1.0
        for key in self._sorted():
            node = self.nodes[key]
            for index, (share, child) in enumerate(zip(node.probabilities, node.children, strict=True)):
                amount = mass[key] * share
                if child is None:
                    if amount:
                        open_.append((amount, key, index))
                elif child in self.outcomes:
                    found[self.outcomes[child]] += amount
                else:
                    mass[child] += amount
        return found, open_

    def forced(self, key: str, index: int) -> dict[Place, str]:
        """The choices that lead to a node and then take an option."""
        node = self.nodes[key]
        return {**node.forced, node.place: node.labels[index]}

    def _sorted(self) -> list[str]:
        """The nodes, each before those behind it."""
        if self._order is None:
            done: dict[str, None] = {}
            stack: list[tuple[str, bool]] = [(self.root, False)]
            while stack:
                key, left = stack.pop()
                if left:
                    done[key] = None
                elif key not in done and key in self.nodes:
                    stack.append((key, True))
                    stack += [(child, False) for child in self.nodes[key].children if child is not None]
            self._order = list(reversed(done))
        return self._order


def _differs(what: str) -> ContractError:
    return ContractError(
        f"exact: {what} was another one when the same history was executed again, expected the same; a "
        "component keeps something that does not depend on the log, or agents that act together call in "
        "changing order: try the schedule round-robin, or take the component out"
    )
