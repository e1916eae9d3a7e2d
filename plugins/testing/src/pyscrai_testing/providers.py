"""The tests that a provider has to pass. A provider's author subclasses one of the two suites.

::

    class TestEcho(ProviderSuite):
        obeys = frozenset()  # it says everything back, however long

        def provider(self):
            return EchoProvider(EchoProvider.Config())

What the provider does not list among its `capabilities` is skipped; what it cannot do for another reason is
said by an attribute, as above. `VendorSuite` adds what can go wrong over HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import math
import re
import secrets
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, get_args

import attrs
import jsonschema
import pytest

from pyscrai_answers.options import Option
from pyscrai_core import (
    Completion,
    FinishReason,
    Message,
    Request,
    Sampling,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from pyscrai_core.contracts import Probe, Provider
from pyscrai_records import errors
from pyscrai_records.secret import redact

from .servers import Fault, FaultServer, Hang, Reply, Reset, model_server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["glad", "sad"]},
        "coins": {"type": "integer", "minimum": 1, "maximum": 9},
        "sold": {"type": "boolean"},
    },
    "required": ["mood", "coins"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = ToolSpec("weather", "Tells the weather in a city.", CITY)


class Pieces(list[str]):
    """A sink that keeps what is written; `begun` is set with the first piece."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    def write(self, text: str) -> None:
        self.append(text)
        self.begun.set()


@contextlib.asynccontextmanager
async def using(provider: Provider) -> AsyncIterator[Provider]:
    await provider.aopen()
    try:
        yield provider
    finally:
        await provider.aclose()


def opened(test: Callable[[Any, Provider], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
    """Make a test of `async def test(self, provider)`: run it with an open provider, in a loop of its own."""

    def run(self: Any) -> None:
        async def main() -> None:
            async with using(self.provider()) as provider:
                await test(self, provider)

        asyncio.run(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def needs(what: str, among: frozenset[str]) -> None:
    if what not in among:
        pytest.skip(f"the provider has no {what}")


class ProviderSuite:
    """What holds for every provider. Subclass it, and define `provider`."""

    #: How the tests sample.
    sampling = Sampling(max_tokens=24)
    #: Those of these fields of `Sampling` that the provider obeys.
    obeys: frozenset[str] = frozenset({"max_tokens", "stop"})
    #: Whether it reports the tokens that were used.
    counts: bool = True
    #: Whether the same request with the same seed has the same answer.
    repeatable: bool = False
    #: Words that the model has no room for; None: it has room for everything.
    too_long: str | None = "A story about a market. " * 3000

    def provider(self) -> Provider:
        """A provider that is not open yet; called by each test."""
        raise NotImplementedError(f"{type(self).__name__} must define provider()")

    def ask(
        self, words: str = "Write a story of a thousand words about a market.", **changes: Any
    ) -> Request:
        """A request with the suite's sampling; `changes` are other fields of it."""
        return Request(
            **{"messages": (Message.user(words),), "sampling": self.sampling, "seed": 7, **changes}
        )

    def check(self, answer: Completion) -> None:
        """What holds for every answer."""
        usage = answer.usage
        assert answer.model, "the model as served is missing"
        assert answer.finish_reason in get_args(FinishReason)
        assert bool(answer.tool_calls) == (answer.finish_reason == "tool_calls"), answer
        assert min(attrs.astuple(usage)) >= 0, usage
        assert usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens, usage
        assert not self.counts or min(usage.input_tokens, usage.output_tokens) > 0, usage

    def test_config(self) -> None:
        """Config is a frozen attrs class whose docstring names every option."""
        config = self.provider().config
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            config.anything = 1
        options = {option.name for option in attrs.fields(type(config))}
        untold = {name for name in options if not re.search(rf"\b{name}\b", type(config).__doc__ or "")}
        assert not untold, f"the docstring of {type(config).__name__} does not name {untold}"

    @opened
    async def test_answer(self, provider: Provider) -> None:
        answer = await provider.complete(self.ask())
        self.check(answer)
        assert answer.text.strip(), answer

    @opened
    async def test_conversation(self, provider: Provider) -> None:
        history = (
            Message.system("You are a farmer. Be brief."),
            Message.user("Good day. What do you sell?"),
            Message.assistant("Apples."),
            Message.user("¿How many? 🍎"),
        )
        self.check(await provider.complete(self.ask(messages=history)))

    @opened
    async def test_max_tokens(self, provider: Provider) -> None:
        needs("max_tokens", self.obeys)
        answer = await provider.complete(self.ask(sampling=Sampling(max_tokens=16)))
        assert answer.finish_reason == "length", answer
        assert answer.usage.output_tokens <= 16, answer

    @opened
    async def test_stop(self, provider: Provider) -> None:
        needs("stop", self.obeys)
        vowels = ("a", "e", "i", "o")
        answer = await provider.complete(self.ask(sampling=attrs.evolve(self.sampling, stop=vowels)))
        assert answer.finish_reason == "stop", answer
        assert not set(vowels) & set(answer.text), answer

    @opened
    async def test_sampling(self, provider: Provider) -> None:
        """What it does not refuse, it accepts."""
        wanted = Sampling(temperature=0.7, top_p=0.9, max_tokens=16, stop=("###",))
        refused = {name: getattr(Sampling(), name) for name in provider.refuses(wanted)}
        self.check(await provider.complete(self.ask(sampling=attrs.evolve(wanted, **refused))))

    def test_refuses(self) -> None:
        provider = self.provider()
        assert not provider.refuses(Sampling())
        options: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 16, "stop": ("###",)}
        for name, value in options.items():
            refused = provider.refuses(Sampling(**{name: value}))
            assert set(refused) <= {name}, f"it refuses {set(refused)} when {name} is given"
            assert all(refused.values()), "it does not say why"

    @opened
    async def test_seed(self, provider: Provider) -> None:
        needs("seed", provider.capabilities)
        first, again = [await provider.complete(self.ask(seed=2**53 - 1)) for _ in range(2)]
        assert not self.repeatable or first.text == again.text

    @opened
    async def test_schema(self, provider: Provider) -> None:
        """The answer fits, but for bounds: the kernel checks them afterwards, as not every vendor can."""
        needs("schema", provider.capabilities)
        request = self.ask("How is trade?", schema=SCHEMA, sampling=Sampling(max_tokens=64))
        answer = await provider.complete(request)
        self.check(answer)
        unbounded = {**SCHEMA["properties"], "coins": {"type": "integer"}}
        jsonschema.validate(json.loads(answer.text), {**SCHEMA, "properties": unbounded})

    @opened
    async def test_options(self, provider: Provider) -> None:
        """Probabilities, in the order of the options, that depend on nothing but the request."""
        needs("options", provider.capabilities)
        request, options = self.ask("How are you?", schema=SCHEMA), [Option('"glad"'), Option('"sad"')]
        scores = await provider.score(request, '{"mood":', options)
        total = math.fsum(map(math.exp, scores.logprobs))
        assert 0 < total <= 1.001, scores
        assert abs(total + scores.off + scores.missing - 1) < 0.01, scores
        again = await provider.score(request, '{"mood":', options[::-1])
        for one, other in zip(scores.logprobs, again.logprobs[::-1], strict=True):
            assert abs(math.exp(one) - math.exp(other)) < 0.01, (scores, again)

    @opened
    async def test_tools(self, provider: Provider) -> None:
        """Whether the model calls is its own choice; if it does, the call is whole."""
        needs("tools", provider.capabilities)
        request = self.ask("How is the weather in Rome?", tools=(WEATHER,), sampling=Sampling(max_tokens=64))
        for sink in (None, Pieces()):
            answer = await provider.complete(request, sink)
            self.check(answer)
            for call in answer.tool_calls:
                assert call.id and call.name == "weather" and isinstance(call.arguments, dict), call  # noqa: PT018

    @opened
    async def test_tool_results(self, provider: Provider) -> None:
        """Calls side by side, a failed one among them, and a second round are accepted."""
        needs("tools", provider.capabilities)
        calls = [ToolCall(f"call-{number}", "weather", {"city": "Rome"}) for number in range(3)]
        results = [ToolResult("call-0", "sunny"), ToolResult("call-1", "no such city", failed=True)]
        history = (
            Message.user("How is the weather in Rome?"),
            Message("assistant", (calls[0], calls[1])),
            Message("tool", tuple(results)),
            Message("assistant", (*Message.assistant("Once more.").parts, calls[2])),
            Message("tool", (ToolResult("call-2", "rain"),)),
        )
        self.check(await provider.complete(self.ask(messages=history, tools=(WEATHER,))))

    @opened
    async def test_stream(self, provider: Provider) -> None:
        needs("stream", provider.capabilities)
        pieces = Pieces()
        answer = await provider.complete(self.ask(), pieces)
        self.check(answer)
        assert "".join(pieces) == answer.text, answer
        assert len(pieces) > 1, "the words were not written as they came"

    @opened
    async def test_side_by_side(self, provider: Provider) -> None:
        for answer in await asyncio.gather(*(provider.complete(self.ask(seed=seed)) for seed in range(6))):
            self.check(answer)

    @opened
    async def test_cancelled(self, provider: Provider) -> None:
        """A call that is cancelled leaves the provider usable."""
        pieces = Pieces()
        call = asyncio.ensure_future(provider.complete(self.ask(sampling=Sampling(max_tokens=2000)), pieces))
        begun = asyncio.ensure_future(pieces.begun.wait())
        await asyncio.wait({call, begun}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled() or call.result(), "only a call that was done may have an answer"
        self.check(await provider.complete(self.ask()))

    @opened
    async def test_too_long(self, provider: Provider) -> None:
        if self.too_long is None:
            pytest.skip("the model has room for everything")
        with pytest.raises(errors.ContextTooLong, match=r"(?s)\d.*memory"):
            await provider.complete(self.ask(self.too_long))

    def test_cost(self) -> None:
        less, more = (self.provider().cost(usage) for usage in (Usage(1000, 100), Usage(2000, 200)))
        if less is None or more is None:
            assert less is more, "whether the price is known depends on the usage"
        else:
            assert 0 <= less < more or less == more == 0

    def test_probe(self) -> None:
        for probe in asyncio.run(self.provider().probe()):
            assert isinstance(probe, Probe)
            assert probe.what
            assert probe.detail

    @opened
    async def test_secrets_are_hidden(self, provider: Provider) -> None:
        for text in (repr(provider), repr(provider.config), provider.account):
            assert redact(text) == text, "a secret shows"

    @opened
    async def test_closed_twice(self, provider: Provider) -> None:
        await provider.aclose()


#: What the vendor says of a fault, and what has to be found in the error.
WORDS = "the vendor's own words"

STATUSES: dict[int, type[errors.CallFailed]] = {
    **dict.fromkeys((400, 404, 413, 422), errors.RequestRejected),
    **dict.fromkeys((401, 403), errors.AuthenticationFailed),
    **dict.fromkeys((408, 504), errors.TimedOut),
    **dict.fromkeys((500, 502, 503, 529), errors.Overloaded),
    429: errors.RateLimited,
}


class VendorSuite(ProviderSuite):
    """Adds what holds for the providers of vendors over HTTP: each fault becomes the right error, at once.

    ::

        class TestExample(VendorSuite):
            key_variable = "EXAMPLE_API_KEY"

            def provider_at(self, url):
                return ExampleProvider(ExampleProvider.Config(model="smollm2", base_url=f"{url}/v1"))

            def answer(self): ...  # and `stream`, `error_body`, `stream_error`

    The tests of `ProviderSuite` ask the server at the fixture `model_url`: llama.cpp, which speaks OpenAI's
    and Anthropic's APIs. For a vendor with another API override the fixture.
    """

    #: The environment variable with the key.
    key_variable: str
    #: The end of the path that completions are sent to; requests to other paths get no fault.
    path: str = ""
    #: The content type of streams.
    stream_type: str = "text/event-stream"

    def provider_at(self, url: str) -> Provider:
        """A provider that is not open yet, of the server at `url` (`http://127.0.0.1:8000`)."""
        raise NotImplementedError

    def answer(self) -> bytes:
        """The body of a good answer."""
        raise NotImplementedError

    def stream(self) -> bytes | None:
        """The body of a good answer as a stream; None: the vendor has no streams."""
        raise NotImplementedError

    def error_body(self, status: int, message: str) -> bytes:
        """The body of an answer with an error's status."""
        raise NotImplementedError

    def stream_error(self, message: str) -> bytes:
        """The body of a stream that begins well, and continues with an error: overloaded, `message`."""
        raise NotImplementedError

    def respond(self, path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        """What the server answers, faults apart."""
        if body.get("stream"):
            return 200, {"Content-Type": self.stream_type}, self.stream() or b""
        return 200, {}, self.answer()

    @pytest.fixture(scope="class")
    @classmethod
    def model_url(cls) -> Iterator[str]:
        with model_server() as url:
            yield url

    @pytest.fixture(autouse=True)
    def _prepared(self, model_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._model_url = model_url
        # Another key for each test: what one has read is redacted in all that come after it.
        self._key = f"planted-{secrets.token_hex(8)}"
        monkeypatch.setenv(self.key_variable, self._key)

    @pytest.fixture(params=[False, True], ids=["whole", "streamed"])
    def streamed(self, request: pytest.FixtureRequest) -> bool:
        if request.param and self.stream() is None:
            pytest.skip("the vendor has no streams")
        return bool(request.param)

    def provider(self) -> Provider:
        return self.provider_at(self._model_url)

    def server(self, *faults: Fault) -> FaultServer:
        return FaultServer(*faults, answer=self.respond, path=self.path)

    def half(self, streamed: bool) -> Reply:
        """The first half of a good answer that promises the other."""
        _, headers, body = self.respond(self.path, {"stream": streamed})
        return Reply(200, body[: len(body) // 2], headers, length=len(body))

    async def asked(self, url: str, sink: Pieces | None = None) -> Completion:
        async with using(self.provider_at(url)) as provider:
            return await provider.complete(self.ask(), sink)

    def failure(self, fault: Fault, streamed: bool = False) -> errors.CallFailed:
        """The error that `fault` becomes, after one request, and without the key once it is redacted."""
        with self.server(*[fault] * 9) as server, pytest.raises(errors.CallFailed) as caught:
            asyncio.run(self.asked(server.url, Pieces() if streamed else None))
        sent = [received for received in server.requests if received.path.endswith(self.path)]
        assert len(sent) == 1, f"{len(sent)} requests were sent; to try again is the kernel's part"
        shown = [*traceback.format_exception(caught.value), repr(caught.value)]
        assert self._key not in redact("".join(shown)), "the key shows; read it with read_secret"
        return caught.value

    def test_good_answer(self, streamed: bool) -> None:
        pieces = Pieces()
        with self.server() as server:
            answer = asyncio.run(self.asked(server.url, pieces if streamed else None))
        self.check(answer)
        assert answer.text, answer
        assert "".join(pieces) == (answer.text if streamed else ""), answer
        assert any(self._key in value for value in server.requests[-1].headers.values()), (
            "the key was not sent"
        )

    def test_no_key_for_loopback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(self.key_variable)
        with self.server() as server:
            self.check(asyncio.run(self.asked(server.url)))

    def test_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(self.key_variable)
        with pytest.raises(errors.ConfigError, match=self.key_variable):
            asyncio.run(self.provider_at("https://models.example").aopen())

    @pytest.mark.parametrize("status", STATUSES)
    def test_status(self, status: int) -> None:
        """The vendor may repeat the key in its message, and a proxy speaks another language."""
        for reply in (
            Reply(status, self.error_body(status, f"{WORDS} {self._key}")),
            Reply(status, f"<html>{WORDS}</html>".encode(), {"Content-Type": "text/html"}),
        ):
            error = self.failure(reply)
            assert type(error) is STATUSES[status], repr(error)
            assert WORDS in str(error) or reply.headers, repr(error)

    @pytest.mark.parametrize("form", ["seconds", "date", "none"])
    def test_retry_after(self, form: str) -> None:
        date = email.utils.formatdate(time.time() + 3600, usegmt=True)
        headers = {"seconds": {"Retry-After": "3600"}, "date": {"Retry-After": date}, "none": {}}[form]
        error = self.failure(Reply(429, self.error_body(429, WORDS), headers))
        assert isinstance(error, errors.RateLimited), repr(error)
        expected = None if form == "none" else pytest.approx(3600, abs=600)
        assert error.retry_after == expected, f"retry_after is {error.retry_after}"

    @pytest.mark.parametrize("fault", ["reset", "reset midway", "cut off", "half", "html", "null"])
    def test_broken_answer(self, fault: str, streamed: bool) -> None:
        half = self.half(streamed)
        faults: dict[str, Fault] = {
            "reset": Reset(),
            "reset midway": Reset(half),
            "cut off": half,
            "half": attrs.evolve(half, length=None),
            "html": Reply(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}),
            "null": Reply(200, b"null"),
        }
        error = self.failure(faults[fault], streamed)
        # With an answer that is none at all the address may be wrong, so that no other try helps.
        allowed = [errors.Overloaded, *([errors.RequestRejected] if fault in ("html", "null") else [])]
        assert type(error) in allowed, repr(error)

    def test_error_with_status_200(self, streamed: bool) -> None:
        reply = Reply(200, self.error_body(500, WORDS))
        if streamed:
            reply = Reply(200, self.stream_error(WORDS), {"Content-Type": self.stream_type})
        error = self.failure(reply, streamed)
        assert isinstance(error, errors.TransientError | errors.RequestRejected), repr(error)
        assert WORDS in str(error), repr(error)

    def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "{}:{}".format(*taken.getsockname())
        with pytest.raises(errors.Unreachable, match=address):
            asyncio.run(self.asked(f"http://{address}"))
        probes = asyncio.run(self.provider_at(f"http://{address}").probe())
        assert not all(probe.ok for probe in probes), probes

    @pytest.mark.parametrize("midway", [False, True], ids=["before", "midway"])
    def test_hang(self, midway: bool, streamed: bool) -> None:
        """A timeout around the call ends it, and with it the connection."""

        async def ask(provider: Provider) -> None:
            async with asyncio.timeout(None) as limit:
                hung = asyncio.ensure_future(asyncio.to_thread(server.hanging.wait, 60))
                hung.add_done_callback(lambda _: limit.reschedule(0))
                await provider.complete(self.ask(), Pieces() if streamed else None)

        async def main() -> None:
            async with using(self.provider_at(server.url)) as provider:
                with pytest.raises(TimeoutError):
                    await ask(provider)
                assert await asyncio.to_thread(server.left.wait, 60), "it is still connected"

        with self.server(Hang(self.half(streamed) if midway else None)) as server:
            asyncio.run(main())

    def test_many_at_once(self) -> None:
        """No pool of connections makes calls wait: how many there may be is for the kernel to say."""

        async def main() -> None:
            async with using(self.provider_at(server.url)) as provider:
                calls = [asyncio.ensure_future(provider.complete(self.ask())) for _ in range(150)]
                everyone = await asyncio.to_thread(server.hanging.wait, 60)
                assert everyone, f"only {len(server.requests)} of {len(calls)} calls were sent"
                for call in calls:
                    call.cancel()
                await asyncio.wait(calls)

        with self.server(*[Hang()] * 150) as server:
            asyncio.run(main())
