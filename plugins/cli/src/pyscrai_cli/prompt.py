"""`pyscrai prompt`: what a model would be asked, or was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from attrs import frozen

from pyscrai_core import Message, estimate_tokens
from pyscrai_records.canonical import canonical

from . import options, output
from .paging import paged

if TYPE_CHECKING:
    from pyscrai_core.scenario.overrides import Override


@frozen
class Part:
    """A part of a request: what it is, its text, and its tokens as the kernel estimates them."""

    title: str
    text: str
    tokens: int


@frozen
class Told:
    """A request: where, to whom, its parts, who draws its closed choices, and what was drawn."""

    step: int
    path: str
    provider: str
    parts: list[Part]
    draw: str | None
    draws: Sequence[dict[str, Any]] = ()


@click.command()
@click.argument("what", metavar="FILE|RUN")
@click.option("--agent", required=True, metavar="NAME", help="Whose request.")
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="In which step.  [default: the first]")
@options.set_option
@options.seed_option
@options.store_option
@click.option(
    "--trust",
    is_flag=True,
    help="Approve all that the scenario demands: files elsewhere, hosts, secrets, programs, its own code.",
)
@options.pager_option
@options.json_option
def prompt(
    what: str,
    agent: str,
    step: int | None,
    overrides: list[Override],
    seed: int | None,
    store: str | None,
    trust: bool,
    pager: bool,
    as_json: bool,
) -> None:
    """Show the prompts that a model would get, or got.

    Prints exactly what is sent, with the tokens of each part. No model is asked. With a scenario's FILE: the
    agent's first request in a step, with placeholders in angle brackets for earlier answers. With a recorded
    RUN: what was sent in that step. Says who draws closed choices, and what was drawn with which
    probabilities.

    \b
    Examples:
      pyscrai prompt market.yaml --agent Mara
      pyscrai prompt market.yaml --agent Jon --step 4 --set agents.Jon.memory=window
      pyscrai prompt last --agent Mara --step 3
    """
    if Path(what).exists():
        told = _of_scenario(Path(what), agent, step, overrides, seed, store, trust)
    else:
        told = _of_run(what, agent, step, store)
    if as_json:
        output.print_json(
            [
                {
                    "position": {"agent": agent, "step": one.step, "path": one.path},
                    "provider": one.provider,
                    "parts": [{"part": p.title, "text": p.text, "tokens": p.tokens} for p in one.parts],
                    "tokens": sum(part.tokens for part in one.parts),
                    "draw": one.draw,
                    "draws": list(one.draws),
                }
                for one in told
            ]
        )
        return
    with paged(pager):
        _print(agent, told)


def _print(agent: str, told: Sequence[Told]) -> None:
    from .draws import text_of

    for one in told:
        title = f"{output.shown(agent)}, step {one.step}, call {one.path}, to {output.shown(one.provider)}"
        output.echo(click.style(title, bold=True))
        for part in one.parts:
            size = f", {output.counted(part.tokens, 'token')}" if part.tokens else ""
            output.echo(click.style(f"-- {part.title}{size}", dim=True))
            output.echo(output.clean(part.text))
        if one.draw:
            output.echo(click.style(f"-- closed choices: drawn by the {one.draw}", dim=True))
        for draw in one.draws:
            output.echo(text_of(draw))
        total = output.counted(sum(part.tokens for part in one.parts), "token")
        output.echo(click.style(f"-- {total} in all, as PyScrAI estimates them\n", dim=True))


def _of_scenario(
    file: Path,
    agent: str,
    step: int | None,
    overrides: list[Override],
    seed: int | None,
    store: str | None,
    trust: bool,
) -> list[Told]:
    from pyscrai_core import api
    from pyscrai_core.config import load_settings
    from pyscrai_core.runtime import execution

    from .draws import who_draws
    from .perform import gate_of, prepare
    from .preview import preview

    plan = api.prepare(file, settings=load_settings(store=store), seed=seed, overrides=overrides)
    approval = execution.approve(gate_of(trust), plan, str(file))
    found = prepare(preview(plan, approval, agent, step))
    if found.invented:
        output.note("no model was asked: earlier answers are placeholders in angle brackets")
    request = found.request
    tools = [tool.to_dict() for tool in request.tools]
    parts = _parts(request.messages, request.schema, tools, request.sampling.to_dict())
    draw = who_draws({"schema": request.schema, "tools": tools}, kernel=found.kernel)
    where = request.position
    return [Told(where.step, where.path, f"{request.provider} ({found.use})", parts, draw)]


def _of_run(ref: str, agent: str, step: int | None, store: str | None) -> list[Told]:
    from pyscrai_core import ConfigError
    from pyscrai_records.store.store import Store

    from .draws import who_draws
    from .perform import settings_for

    settings, _ = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        run = opened.run(ref)
        asked = [call for call in run.calls() if call["kind"] == "complete"]
        calls = [call for call in asked if call["agent"] == agent]
        if not calls:
            known = ", ".join(dict.fromkeys(call["agent"] for call in asked)) or "nobody"
            raise ConfigError(f"--agent {agent}: in run {run.id} no model was asked for it, but for: {known}")
        step = calls[0]["step"] if step is None else step
        chosen = [call for call in calls if call["step"] == step]
        if not chosen:
            steps = ", ".join(sorted({str(call["step"]) for call in calls}, key=int))
            raise ConfigError(f"--step {step}: {agent} asked nothing in it; it asked in steps {steps}")
        told: list[Told] = []
        for call in sorted(chosen, key=lambda one: int(one["number"])):
            frame = run.frame(call["number"])
            parts = _parts(run.messages(call["number"]), frame["schema"], frame["tools"], frame["sampling"])
            draws = (call["answer"] or {}).get("draws", ())
            provider = call["provider"] or call["target"]
            told.append(Told(call["step"], call["path"], provider, parts, who_draws(frame, draws), draws))
        return told


def _parts(
    messages: Sequence[Message], schema: Any, tools: Sequence[dict[str, Any]], sampling: dict[str, Any]
) -> list[Part]:
    parts = [Part(message.role, _text(message), estimate_tokens(message)) for message in messages]
    for title, value in (("schema", schema), *((f"tool {tool['name']}", tool) for tool in tools)):
        if value is not None:
            text = orjson.dumps(value).decode()  # in its own order, in which a model fills it in
            parts.append(Part(title, text, estimate_tokens(text)))
    given = {name: value for name, value in sampling.items() if value not in (None, [])}
    if given:
        parts.append(Part("sampling", canonical(given).decode(), 0))
    return parts


def _text(message: Message) -> str:
    """A message to read: its words, and what else it has as JSON."""
    lines = [message.text] if message.text else []
    for part in message.to_dict()["parts"]:
        if part["type"] != "text":
            lines.append(canonical(part).decode())
    return "\n".join(lines)
