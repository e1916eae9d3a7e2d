"""One execution of a run, as it is told to an observer: becomes spans and metrics."""

from __future__ import annotations

from typing import Any

from attrs import define
from opentelemetry.trace import SpanKind

from pyscrai_core import (
    CallRecord,
    Event,
    Execution,
    Position,
    Request,
    RunResult,
    ToolRecord,
    TurnRecord,
    Usage,
)
from pyscrai_records.secret import redact

from . import content
from . import conventions as names
from .spans import Attributes, Open, Sender, Trace
from .totals import Labels, Totals, labels

#: What calls are named by, and how their duration is measured.
OPERATIONS = {
    "complete": (names.CHAT, names.CHAT_DURATION),
    "embed": (names.EMBEDDINGS, names.EMBEDDINGS_DURATION),
}
REFUSED = ("refusal", "content_filter")


@define(eq=False)
class _Asked:
    """A call under way, with what an earlier execution paid for it."""

    span: Open
    usage: Usage
    cost: float


class Watched:
    """Takes what happens in an execution, and adds to spans and totals. `sender` is None without traces."""

    def __init__(
        self, execution: Execution, totals: Totals, sender: Sender, *, with_content: bool, former: bool
    ) -> None:
        self._execution = execution
        self._totals, self._with_content, self._former = totals, with_content, former
        self._new = execution.kind == "new"
        follows = "" if self._new else execution.parent or execution.run
        self._trace = Trace(sender, execution.run, first=self._new, follows=follows)
        self._steps: dict[int, Open] = {}
        self._turns: dict[tuple[str, int, str], Open] = {}
        self._tools: dict[tuple[str, int, str], Open] = {}
        self._calls: dict[Position, _Asked] = {}
        self._labels: dict[Any, Labels] = {}
        self._recorded = 0
        self.over = False

    # -- the run --

    def end(self, status: str, result: RunResult | None) -> None:
        """The execution ended; without a result, by an error that is no result."""
        if self.over:
            return
        self.over = True
        # What is open was cut off: its end is that of the run.
        for position, asked in list(self._calls.items()):
            self._end_cut_off(position, asked)
        self._end_steps(None)
        one = self._execution
        attributes: Attributes = {
            names.OPERATION: names.WORKFLOW, names.AGENT: one.scenario, names.CONVERSATION: one.run,
            names.RUN: one.run, names.SCENARIO: one.scenario, names.SEED: one.seed, names.STATUS: status,
            names.RESUMED: not self._new, names.RECORDED: self._recorded,
        }  # fmt: skip
        attributes |= {names.LABEL + name: redact(value) for name, value in one.labels.items()}
        if one.parent:
            attributes[names.PARENT] = one.parent
        if result is not None:
            attributes |= {
                names.STEPS: result.steps, names.CALLS: result.calls, names.ASKED: result.asked,
                names.INPUT_TOKENS: result.usage.input_tokens,
                names.OUTPUT_TOKENS: result.usage.output_tokens,
                names.COST: result.cost.dollars, names.FINGERPRINT: result.fingerprint,
            }  # fmt: skip
        failed = status == "failed"
        if failed:
            attributes[names.ERROR_TYPE] = "failed"
        detail = result.error if result is not None and self._with_content else ""
        self._trace.end(
            self._trace.root, f"{names.WORKFLOW} {one.scenario}", attributes, failed=failed, detail=detail
        )
        self._totals.count(names.RUNS, self._series(status=status))

    def _end_cut_off(self, position: Position, asked: _Asked) -> None:
        self._trace.end(
            asked.span, "call", {**self._place(position), names.ERROR_TYPE: "cancelled"}, failed=True
        )

    # -- steps and turns --

    def _step(self, number: int) -> Open:
        """The span of a step, which begins with the first thing in it."""
        found = self._steps.get(number)
        if found is None:
            self._end_steps(number)
            found = self._steps[number] = self._trace.begin(self._trace.root, live=False)
        return found

    def _end_steps(self, before: int | None) -> None:
        for number in [one for one in self._steps if before is None or one < before]:
            span = self._steps.pop(number)
            attributes = {names.RUN: self._execution.run, names.STEP: number}
            self._trace.end(span, "step", attributes, ended=span.last)

    def on_turn(self, turn: TurnRecord) -> None:
        place = (turn.position.agent, turn.position.step, turn.position.path)
        if turn.status == "started":
            live = self._new or turn.position.step > self._execution.recorded_steps
            self._turns[place] = self._trace.begin(self._step(turn.position.step), live=live)
            return
        span = self._turns.pop(place)
        attributes = {names.OPERATION: names.INVOKE_AGENT, **self._place(turn.position)}
        if turn.error_type:
            attributes[names.ERROR_TYPE] = turn.error_type
        if turn.status == "skipped":
            attributes[names.SKIPPED] = True
        name = f"{names.INVOKE_AGENT} {turn.position.agent}"
        seconds = self._trace.end(span, name, attributes, failed=bool(turn.error_type))
        if span.live:
            key = self._series(operation=names.INVOKE_AGENT, error=turn.error_type)
            self._totals.record(names.AGENT_DURATION, key, seconds)

    # -- tools --

    def on_tool(self, tool: ToolRecord) -> None:
        position = tool.position
        place = (position.agent, position.step, position.path)
        if tool.status == "started":
            parent = self._parent(position)
            # Until it is known to be new: a recorded answer of an external tool is none.
            self._tools[place] = self._trace.begin(parent, live=parent.live)
            return
        span = self._tools.pop(place)
        attributes = {
            names.OPERATION: names.EXECUTE_TOOL, names.TOOL_NAME: tool.name, names.TOOL_TYPE: "function",
            **self._place(position),
        }  # fmt: skip
        if tool.error_type:
            attributes[names.ERROR_TYPE] = tool.error_type
        if self._with_content:
            attributes[names.TOOL_ARGUMENTS] = content.as_json(tool.arguments)
            if tool.status == "answered":
                attributes[names.TOOL_RESULT] = content.as_json(tool.answer)
        detail = tool.error if self._with_content else ""
        seconds = self._trace.end(
            span, f"{names.EXECUTE_TOOL} {tool.name}", attributes, failed=bool(tool.error_type), detail=detail
        )
        if span.live:
            key = self._series(operation=names.EXECUTE_TOOL, tool=tool.name, error=tool.error_type)
            self._totals.record(names.TOOL_DURATION, key, seconds)

    # -- calls --

    def on_call(self, call: CallRecord) -> None:
        if call.kind == "tool":
            self._on_tool_call(call)
        elif call.status == "started":
            self._start(call)
        elif call.journaled:
            self._recorded += 1
        elif call.status == "sent":
            pass  # the event before it has the time until then
        elif call.status == "waiting":
            self._calls[call.position].span.note("waiting", self._detailed({}, call.error))
        elif call.status == "retrying":
            attributes = {
                names.ERROR_TYPE: call.error_type, names.ATTEMPT_SECONDS: call.seconds,
                names.ATTEMPT_WAIT: call.wait,
            }  # fmt: skip
            self._calls[call.position].span.note("retry", self._detailed(attributes, call.error))
            key = self._series(**self._model(call), error=call.error_type)
            self._totals.count(names.RETRIES, key)
        else:
            self._end_call(call, self._calls.pop(call.position))

    def _on_tool_call(self, call: CallRecord) -> None:
        """An external tool is called, or its recorded answer was taken: then there is no span for its use."""
        position = call.position
        span = self._tools.get((position.agent, position.step, position.path.rpartition("#")[0]))
        if call.journaled:
            self._recorded += 1
            if span is not None:
                span.live = False
        elif call.status == "started" and span is not None:
            span.become_live()

    def _start(self, call: CallRecord) -> None:
        parent = self._trace.root if call.kind == "tools" else self._parent(call.position)
        parent.become_live()
        span = self._trace.begin(parent)
        self._calls[call.position] = _Asked(span, call.usage, call.cost or 0.0)
        request = call.request
        if isinstance(request, Request):
            sampling = request.sampling
            given = {
                names.REQUEST_SEED: request.seed, names.REQUEST_TEMPERATURE: sampling.temperature,
                names.REQUEST_TOP_P: sampling.top_p, names.REQUEST_MAX_TOKENS: sampling.max_tokens,
                names.REQUEST_STOP: sampling.stop or None,
                names.OUTPUT_TYPE: "json" if request.schema is not None else "text",
            }  # fmt: skip
            span.attributes = {name: value for name, value in given.items() if value is not None}
            if self._with_content:
                span.attributes |= content.of_request(request)

    def _end_call(self, call: CallRecord, asked: _Asked) -> None:
        operation = OPERATIONS.get(call.kind)
        attributes = {**asked.span.attributes, **self._place(call.position)}
        if call.error_type:
            attributes[names.ERROR_TYPE] = call.error_type
        if operation is None:
            name, kind = f"{call.kind} {call.target}", SpanKind.INTERNAL
            attributes[names.KIND] = call.kind
        else:
            model = self._model(call)
            name, kind = f"{operation[0]} {model['request']}".rstrip(), SpanKind.CLIENT
            attributes |= self._attributes_of(call, model)
        detail = call.error if self._with_content else ""
        # The last attempt's end: what follows it is our own work, such as writing the answer down.
        ended = int((call.started + call.seconds) * 1e9) if call.started else 0
        seconds = self._trace.end(
            asked.span, name, attributes, kind=kind, failed=bool(call.error_type), detail=detail, ended=ended
        )
        if operation is not None:
            self._measure(call, asked, operation[1], seconds)

    def _attributes_of(self, call: CallRecord, model: dict[str, str]) -> Attributes:
        usage = call.usage
        attributes: Attributes = {
            names.OPERATION: model["operation"], names.PROVIDER: model["provider"],
            names.INPUT_TOKENS: usage.input_tokens, names.OUTPUT_TOKENS: usage.output_tokens,
            names.QUEUED: call.queued,
        }  # fmt: skip
        more = {
            names.REQUEST_MODEL: model["request"], names.RESPONSE_MODEL: call.model,
            names.CACHE_READ_TOKENS: usage.cached_tokens, names.CACHE_WRITE_TOKENS: usage.cache_write_tokens,
            names.ESTIMATED: usage.estimated,
        }  # fmt: skip
        attributes |= {name: value for name, value in more.items() if value}
        if call.cost is not None:
            attributes[names.COST] = call.cost
        if call.kind == "complete" and call.status == "answered":
            attributes[names.FINISH_REASONS] = [call.answer["finish_reason"]]
            if self._with_content:
                attributes[names.OUTPUT_MESSAGES] = content.of_answer(call.answer)
        return attributes

    def _measure(self, call: CallRecord, asked: _Asked, duration: names.Instrument, seconds: float) -> None:
        totals, model = self._totals, self._model(call)
        key, timed = self._series(**model), self._series(**model, error=call.error_type)
        totals.record(duration, timed, seconds)
        if self._former:
            totals.record(names.FORMER_DURATION, timed, seconds)
        if call.kind != "complete":
            return
        usage, before = call.usage, asked.usage
        tokens = self._series(**model, modality="text")
        sent = usage.input_tokens - before.input_tokens
        received = usage.output_tokens - before.output_tokens
        totals.count(names.INPUT_USAGE, tokens, sent)
        totals.count(names.OUTPUT_USAGE, tokens, received)
        if usage.cached_tokens:
            totals.count(names.CACHE_READ_USAGE, tokens, usage.cached_tokens - before.cached_tokens)
        if usage.cache_write_tokens:
            totals.count(
                names.CACHE_WRITE_USAGE, tokens, usage.cache_write_tokens - before.cache_write_tokens
            )
        totals.record(names.INPUT_DISTRIBUTION, key, sent)
        totals.record(names.OUTPUT_DISTRIBUTION, key, received)
        if self._former:
            totals.record(names.FORMER_TOKENS, self._series(**model, tokens="input"), sent)
            totals.record(names.FORMER_TOKENS, self._series(**model, tokens="output"), received)
        totals.record(names.QUEUE_TIME, key, call.queued)
        if call.cost is not None:
            totals.count(names.SPENT, key, call.cost - asked.cost)
        elif call.status == "answered" or usage != Usage():
            totals.count(names.UNPRICED, key)
        reason = call.answer["finish_reason"] if call.status == "answered" else ""
        if reason == "length":
            totals.count(names.TRUNCATED, key)
        if reason in REFUSED or call.error_type == "Refused":
            totals.count(names.REFUSED, key)

    # -- events --

    def on_event(self, event: Event) -> None:
        if event.seq <= self._execution.recorded_events:
            return  # it was counted when it was recorded
        self._totals.count(names.EVENTS, self._series(kind=event.kind))
        if event.kind == "rejected":
            self._totals.count(names.REJECTED, self._series(kind=str(event.payload.get("kind", ""))))

    # -- for all --

    def _parent(self, position: Position) -> Open:
        """The span that a call, or a use of a tool, is part of: of a tool's use, a turn, or a step."""
        agent, step, path = position.agent, position.step, position.path.partition("#")[0]
        # A use of a tool is in the turn's or in that of another tool, not in itself.
        while "/" in path:
            if self._tools and (tool := self._tools.get((agent, step, path))) is not None:
                return tool
            path = path.rpartition("/")[0]
        return self._turns.get((agent, step, path)) or self._step(step)

    def _place(self, position: Position) -> Attributes:
        run = self._execution.run
        place = {
            names.CONVERSATION: run,
            names.RUN: run,
            names.STEP: position.step,
            names.PATH: position.path,
        }
        if not position.agent.startswith("@"):
            place[names.AGENT] = position.agent
        return place

    def _model(self, call: CallRecord) -> dict[str, str]:
        """Who was asked: the operation, the provider's extension, the model asked for, and the one served."""
        found = self._execution.models.get(call.provider or call.target)
        operation = OPERATIONS[call.kind][0]
        if found is None:
            return {"operation": operation, "provider": call.target, "request": "", "response": call.model}
        return {
            "operation": operation, "provider": found.use, "request": found.model, "response": call.model,
        }  # fmt: skip

    def _detailed(self, attributes: Attributes, detail: str) -> Attributes:
        return {**attributes, names.DETAIL: detail} if self._with_content else attributes

    def _series(
        self, operation: str = "", provider: str = "", request: str = "", response: str = "", error: str = "",
        tool: str = "", kind: str = "", status: str = "", modality: str = "", tokens: str = "",
    ) -> Labels:  # fmt: skip
        """The attributes of a metric."""
        key = (operation, provider, request, response, error, tool, kind, status, modality, tokens)
        found = self._labels.get(key)
        if found is None:
            found = self._labels[key] = labels(
                {
                    names.SCENARIO: self._execution.scenario, names.OPERATION: operation,
                    names.PROVIDER: provider, names.REQUEST_MODEL: request, names.RESPONSE_MODEL: response,
                    names.ERROR_TYPE: error, names.TOOL_NAME: tool, names.KIND: kind, names.STATUS: status,
                    names.TOKEN_MODALITY: modality, names.TOKEN_TYPE: tokens,
                }
            )  # fmt: skip
        return found
