"""Models on the Hugging Face Hub: finds a file in the cache, or downloads it.

The library `huggingface_hub` does the work. It is an optional dependency, and only imported for such a model.
It honours `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN`.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from pyscrai_core import ConfigError

PREFIX = "hf:"
INSTALL = 'pip install "pyscrai-llamacpp[hub]"'
_FORM = re.compile(
    r"hf:(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w.-]*))?/(?P<file>\w[\w.-]*(/\w[\w.-]*)*)", re.ASCII
)
#: The end of the name of a model in several files. llama.cpp is given the first, and finds the others.
_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")


@frozen
class HubModel:
    """A model on the hub: the repository, the revision (a branch, tag or commit), and the file in it."""

    repo: str
    file: str
    revision: str = "main"

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"{PREFIX}{self.repo}{revision}/{self.file}"

    @property
    def files(self) -> list[str]:
        """All files of the model, the first one first."""
        found = _PART.search(self.file)
        if found is None:
            return [self.file]
        parts = range(1, int(found[1]) + 1)
        return [f"{self.file[: found.start()]}-{part:05}-of-{found[1]}.gguf" for part in parts]


def parse(model: str) -> HubModel:
    """The model that `hf:ORG/REPO/FILE.gguf` names. Raises `ValueError`."""
    found = _FORM.fullmatch(model)
    if found is None or not found["file"].lower().endswith(".gguf"):
        raise ValueError(
            f"model: expected a GGUF file on the Hugging Face Hub as hf:ORG/REPO/FILE.gguf or "
            f"hf:ORG/REPO@REVISION/FILE.gguf, got {model!r}; copy the names from the page of the repository"
        )
    return HubModel(found["repo"], found["file"], found["revision"] or "main")


def cached(model: HubModel) -> Path | None:
    """The model's file in the cache; None if a part of it is not there. Asks nobody."""
    hub = _library(model)
    paths = [hub.try_to_load_from_cache(model.repo, file, revision=model.revision) for file in model.files]
    return Path(paths[0]) if all(isinstance(path, str) for path in paths) else None


def fetch(model: HubModel) -> Path:
    """The model's file, downloaded if it is not in the cache. Reports the progress on stderr. Blocks.

    Raises `ConfigError` if there is no such file, or it cannot be downloaded.
    """
    path = cached(model)
    if path is not None:
        return path
    hub = _library(model)
    print(f"llamacpp: downloading {model} from {hub.constants.ENDPOINT}", file=sys.stderr, flush=True)
    try:
        paths = [hub.hf_hub_download(model.repo, file, revision=model.revision) for file in model.files]
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _failure(hub, model, error) from error
    return Path(paths[0])


def size(model: HubModel) -> int:
    """The bytes of the model's files, as the hub tells. Raises `ConfigError`."""
    hub = _library(model)
    try:
        found = [
            hub.get_hf_file_metadata(hub.hf_hub_url(model.repo, file, revision=model.revision), timeout=10)
            for file in model.files
        ]
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _failure(hub, model, error) from error
    return sum(one.size or 0 for one in found)


def _library(model: HubModel) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise ConfigError(
            f"llamacpp: model: {model} needs the library huggingface_hub, which cannot be imported "
            f"({error}); run: {INSTALL}"
        ) from error


def _failure(hub: Any, model: HubModel, error: Exception) -> ConfigError:
    errors, endpoint = hub.errors, hub.constants.ENDPOINT
    why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, errors.GatedRepoError):
        advice = "accept its conditions on its page, and set HF_TOKEN"
    elif isinstance(error, errors.LocalEntryNotFoundError) or hub.constants.HF_HUB_OFFLINE:
        offline = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else f"{endpoint} cannot be reached"
        advice = f"{offline}: check the network and HF_ENDPOINT, or give the path of a file that is here"
    elif isinstance(
        error, (errors.RepositoryNotFoundError, errors.EntryNotFoundError, errors.RevisionNotFoundError)
    ):
        advice = f"check the names on {endpoint}/{model.repo}; a private repository needs HF_TOKEN"
    else:
        advice = "check the network and the space on the disk, and try again"
    return ConfigError(f"llamacpp: model: {model} cannot be downloaded ({why}); {advice}")
