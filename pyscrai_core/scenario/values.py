"""Types for options that mean more than their plain value: the kernel checks them and asks for trust."""

from __future__ import annotations

from typing import Any, NewType

#: A file, as an absolute path; a scenario gives it relative to its own folder. Outside of that folder it
#: needs a person's yes.
FilePath = NewType("FilePath", str)

#: An address that is connected to. One that is neither loopback nor the vendor's own default needs a
#: person's yes.
Url = NewType("Url", str)

#: The name of an environment variable that holds a secret. Naming one needs a person's yes.
SecretName = NewType("SecretName", str)

#: A program that is started, with its arguments: `[python, ./server.py]`. What begins with `./` is a file in
#: the scenario's folder. It needs a person's yes.
Program = NewType("Program", list[str])

#: A JSON Schema (draft 2020-12), checked when the scenario is loaded.
JsonSchema = NewType("JsonSchema", dict[str, Any])
