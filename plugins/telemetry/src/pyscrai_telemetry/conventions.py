"""The names that are sent, in one table.

Those that begin with `gen_ai.` and `error.` are from OpenTelemetry's semantic conventions for generative AI,
which have had a repository of their own since 2026. All of them are still in development, and later versions
may rename them. `pyscrai.` names are ours.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

#: The version of the conventions, their first release of their own.
VERSION = "0.1.0"
#: Where the conventions are kept, for messages and documentation.
REPOSITORY = "https://github.com/open-telemetry/semantic-conventions-genai"
#: Names the version in what is sent.
SCHEMA = f"https://opentelemetry.io/schemas/gen-ai/{VERSION}"

# -- attributes of spans and metrics --

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_STOP = "gen_ai.request.stop_sequences"
OUTPUT_TYPE = "gen_ai.output.type"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_write.input_tokens"
TOKEN_MODALITY = "gen_ai.token.modality"
TOKEN_TYPE = "gen_ai.token.type"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
ERROR_TYPE = "error.type"

# -- content: only with the option `content` --

SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

# -- values of `gen_ai.operation.name` --

WORKFLOW = "invoke_workflow"
INVOKE_AGENT = "invoke_agent"
CHAT = "chat"
EMBEDDINGS = "embeddings"
EXECUTE_TOOL = "execute_tool"

# -- our own attributes --

RUN = "pyscrai.run.id"
SCENARIO = "pyscrai.scenario"
SEED = "pyscrai.seed"
PARENT = "pyscrai.run.parent"
RESUMED = "pyscrai.run.resumed"
STATUS = "pyscrai.run.status"
FINGERPRINT = "pyscrai.run.fingerprint"
LABEL = "pyscrai.label."
STEP = "pyscrai.step"
STEPS = "pyscrai.run.steps"
CALLS = "pyscrai.run.calls"
ASKED = "pyscrai.run.asked"
RECORDED = "pyscrai.run.recorded_answers"
PATH = "pyscrai.path"
SKIPPED = "pyscrai.turn.skipped"
COST = "pyscrai.cost"
ESTIMATED = "pyscrai.usage.estimated"
QUEUED = "pyscrai.call.queued"
KIND = "pyscrai.kind"
ATTEMPT_SECONDS = "pyscrai.attempt.seconds"
ATTEMPT_WAIT = "pyscrai.attempt.wait"
DETAIL = "pyscrai.detail"
OMITTED = "pyscrai.content.omitted_messages"

# -- metrics --

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


@frozen(eq=False)
class Instrument:
    """A metric: its name, kind, unit (UCUM, or US dollars) and meaning; `bounds` of a histogram's buckets."""

    name: str
    kind: Literal["counter", "histogram"]
    unit: str
    meaning: str
    bounds: tuple[float, ...] = ()


def _seconds(name: str, meaning: str) -> Instrument:
    return Instrument(name, "histogram", "s", meaning, SECONDS)


def _tokens(name: str, meaning: str) -> Instrument:
    return Instrument(f"gen_ai.client.inference.usage.{name}", "counter", "{token}", meaning)


def _distribution(name: str, meaning: str) -> Instrument:
    return Instrument(f"gen_ai.client.inference.operation.{name}", "histogram", "{token}", meaning, TOKENS)


CHAT_DURATION = _seconds(
    "gen_ai.client.inference.duration", "Duration of completions, with waits and retries."
)
EMBEDDINGS_DURATION = _seconds("gen_ai.client.embeddings.duration", "Duration of embeddings.")
AGENT_DURATION = _seconds("gen_ai.invoke_agent.duration", "Duration of turns.")
TOOL_DURATION = _seconds("gen_ai.execute_tool.duration", "Duration of uses of tools.")
INPUT_USAGE = _tokens("input_tokens", "Input tokens, cached ones included.")
OUTPUT_USAGE = _tokens("output_tokens", "Output tokens, thinking included.")
CACHE_READ_USAGE = _tokens("cache_read.input_tokens", "Input tokens that the vendor read from its cache.")
CACHE_WRITE_USAGE = _tokens("cache_write.input_tokens", "Input tokens that the vendor wrote to its cache.")
INPUT_DISTRIBUTION = _distribution("input_tokens", "Input tokens of each completion.")
OUTPUT_DISTRIBUTION = _distribution("output_tokens", "Output tokens of each completion.")
#: Names until version 1.41 of the general conventions; only with the option `former_metrics`.
FORMER_DURATION = _seconds("gen_ai.client.operation.duration", "Duration of completions and embeddings.")
FORMER_TOKENS = Instrument(
    "gen_ai.client.token.usage", "histogram", "{token}", "Tokens of each completion.", TOKENS
)
RUNS = Instrument("pyscrai.runs", "counter", "{run}", "Executions of runs that ended, by status.")
EVENTS = Instrument("pyscrai.events", "counter", "{event}", "Events that were added to logs, by kind.")
REJECTED = Instrument("pyscrai.actions.rejected", "counter", "{event}", "Actions that were not possible.")
TRUNCATED = Instrument("pyscrai.answers.truncated", "counter", "{answer}", "Answers that were cut off.")
REFUSED = Instrument(
    "pyscrai.answers.refused", "counter", "{answer}", "Answers that were refused or withheld."
)
RETRIES = Instrument(
    "pyscrai.call.retries", "counter", "{attempt}", "Attempts that failed and were repeated."
)
SPENT = Instrument("pyscrai.cost", "counter", "USD", "Known cost of completions.")
UNPRICED = Instrument("pyscrai.calls.unpriced", "counter", "{call}", "Completions whose price is unknown.")
QUEUE_TIME = _seconds("pyscrai.call.queue.duration", "Time for which completions waited for limits.")
LOST = Instrument("pyscrai.telemetry.spans.lost", "counter", "{span}", "Spans that were not delivered.")
