"""A model that has neither schemas nor tools, so that the kernel puts them into words; it can embed."""

from pyscrai_scripted.provider import ScriptedProvider


class Plain(ScriptedProvider):
    capabilities = frozenset({"seed", "embed"})

    async def embed(self, texts):
        return [[text.count("a") + 1.0, text.count("e") / 4, float(len(text) % 7)] for text in texts]
