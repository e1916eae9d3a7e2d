"""The manifest of a run: all that it takes to execute it again, as the store keeps it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from attrs import asdict, evolve, field, frozen

from pyscrai_records.canonical import LOG_FORMAT, canonical, digest
from pyscrai_records.errors import StoreError
from pyscrai_records.messages import ESTIMATOR
from pyscrai_records.stored_run import StoredRun

from ..discovery.installed import version
from .overrides import Override


@cache
def _kernel() -> str:
    """The kernel's version. To look for it among all distributions takes half a millisecond."""
    return version("pyscrai-core")


@frozen
class Fork:
    """Where a run was forked from another one, and what is different from then on.

    `at` is the event that was named, `after` the step behind which the fork begins. `set` (the overrides as
    text) and `seed` are what a person changed, `accepted` is the difference that a resume went on with.
    `scenario` is the new scenario, if it is another, and `files` those of its files that are others.
    """

    parent: str
    after: int
    at: int
    set: dict[str, str] = field(factory=dict)
    seed: int | None = None
    accepted: str = ""
    scenario: dict[str, Any] | None = None
    files: dict[str, str] = field(factory=dict)

    def describe(self) -> dict[str, Any]:
        """The fork without its scenario and files, as it is shown."""
        change = {"accepted": self.accepted} if self.accepted else {"set": self.set, "seed": self.seed}
        return {"parent": self.parent, "after": self.after, "at": self.at, **change}

    def to_dict(self) -> dict[str, Any]:
        files = {"files": self.files} if self.scenario is not None else {}
        return {**self.describe(), "scenario": self.scenario, **files}


@frozen(kw_only=True)
class Manifest:
    """What a run was made of.

    `scenario` is the resolved document that it began with and `files` are the texts of the files which that
    names; `folder` is where it was. `kernel` and `plugins` are versions, `extensions` the choices of
    components with their options, `prompts` and `modules` the hashes of files. `changes` are what its
    resumes changed, by path, and `resumes` the versions that they went on with where these were others.
    `draws` tells who draws the closed choices of each provider: `kernel` or `provider`.
    """

    format: int = LOG_FORMAT
    kernel: str = field(factory=_kernel)
    estimator: str = ESTIMATOR
    scenario: dict[str, Any]
    folder: str
    files: dict[str, str]
    plugins: list[dict[str, Any]]
    extensions: list[dict[str, Any]]
    prompts: dict[str, str]
    modules: dict[str, str] = field(factory=dict)
    reuse: str = ""
    forks: tuple[Fork, ...] = ()
    changes: dict[str, Any] = field(factory=dict)
    resumes: tuple[dict[str, Any], ...] = ()
    draws: dict[str, str] = field(factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Manifest:
        # Earlier versions noted here that it was approved. No data says that of itself any more.
        data = {key: value for key, value in data.items() if key != "trusted"}
        forks = tuple(Fork(**fork) for fork in data.get("forks", ()))
        resumes = tuple(data.get("resumes", ()))
        return cls(**{"folder": ".", "estimator": "", **data, "forks": forks, "resumes": resumes})

    @classmethod
    def to_execute(cls, run: StoredRun) -> Manifest:
        """The manifest of a run that is to be executed again.

        Raises `StoreError` if the run has another log format: this version would derive other events and
        requests than those that were recorded.
        """
        data = run.manifest
        if data["format"] != LOG_FORMAT:
            raise StoreError(
                f"run {run.id}: it was recorded with log format {data['format']}, this version reads "
                f"{LOG_FORMAT}; use the version of pyscrai-core that recorded it ({data['kernel']})"
            )
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """The manifest as the store keeps it, without what is empty."""
        data = asdict(self, recurse=False)
        data |= {"forks": [fork.to_dict() for fork in self.forks], "resumes": list(self.resumes)}
        optional = ("reuse", "forks", "changes", "resumes", "draws")
        return {key: value for key, value in data.items() if value or key not in optional}

    # -- the run as it is at its end --

    @property
    def changing_forks(self) -> tuple[Fork, ...]:
        """The forks from which on the scenario is another one."""
        return tuple(fork for fork in self.forks if fork.scenario is not None)

    @property
    def last_scenario(self) -> dict[str, Any]:
        return self._scenarios[-1]

    @property
    def known_files(self) -> dict[str, str]:
        files = dict(self.files)
        for fork in self.changing_forks:
            files |= fork.files
        return files

    @property
    def last_plugins(self) -> list[dict[str, Any]]:
        """The plugins that it was executed with last."""
        plugins: list[dict[str, Any]] = self.resumes[-1]["plugins"] if self.resumes else self.plugins
        return plugins

    @property
    def distributions(self) -> dict[tuple[str, str], str]:
        """The distributions of the extensions, by kind and name."""
        named = {plugin["name"]: plugin["distribution"] for plugin in self.plugins}
        return {
            (one["kind"], one["use"]): named[one["plugin"]]
            for one in self.extensions
            if one.get("plugin") in named
        }

    @property
    def _scenarios(self) -> list[dict[str, Any]]:
        return [self.scenario, *(fork.scenario for fork in self.forks if fork.scenario is not None)]

    @property
    def content(self) -> str:
        """The hash of what a person approves; the seeds and what a resume can change are no part of it."""
        scenarios = [{**scenario, "seed": 0} for scenario in self._scenarios]
        files = [self.files, *(fork.files for fork in self.changing_forks)]
        return digest(canonical([scenarios, files, self.folder]))

    # -- what becomes of it --

    def settled(self, changes: Mapping[str, Any]) -> Manifest:
        """The manifest with `changes` in all of its scenarios. Raises `InputError`."""
        settled = evolve(self._with_scenarios(copy.deepcopy), changes={})
        for path, value in changes.items():
            for scenario in settled._scenarios:
                Override.of(path, value).apply_to_recorded(scenario)
        return settled

    def without_limits(self) -> Manifest:
        """The manifest for a replay, which spends nothing."""
        return self._with_scenarios(lambda scenario: {**scenario, "limits": {}})

    def _with_scenarios(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Manifest:
        """The manifest with each of its scenarios changed."""
        forks = tuple(evolve(fork, scenario=fork.scenario and change(fork.scenario)) for fork in self.forks)
        return evolve(self, scenario=change(self.scenario), forks=forks)

    def resumed(self, changes: Mapping[str, Any], now: Manifest) -> Manifest:
        """The manifest of a run that is resumed with `changes`, with the versions that `now` has."""
        versions = {"kernel": now.kernel, "plugins": now.plugins}
        before = self.resumes[-1] if self.resumes else {"kernel": self.kernel, "plugins": self.plugins}
        resumes = self.resumes if before == versions else (*self.resumes, versions)
        return evolve(self, changes=dict(changes), resumes=resumes)

    def forked(self, fork: Fork, now: Manifest | None, reuse: str) -> Manifest:
        """The manifest of a fork; `now` is that of the plan which it continues with, if that is another."""
        keys = ("kernel", "plugins", "extensions", "prompts", "modules") if now is not None else ()
        more: Any = {key: getattr(now, key) for key in keys}
        return evolve(self, **more, forks=(*self.forks, fork), reuse=reuse, resumes=())
