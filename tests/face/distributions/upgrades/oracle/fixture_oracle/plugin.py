"""A model behind a key."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_providers() -> list[Extension]:
    return [Extension("oracle", "fixture_oracle.model:Oracle", "needs a key and a server")]
