"""Needs a package that nobody has."""

import a_package_that_nobody_has  # type: ignore[import-not-found]

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [Extension("no-import", "fixture_no_import.plugin:Engine", a_package_that_nobody_has.WORDS)]
