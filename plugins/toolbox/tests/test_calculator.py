"""The calculator's answers and complaints."""

from __future__ import annotations

import pytest

from pyscrai_core import ToolFailed
from pyscrai_toolbox.calculator import FUNCTIONS, MAX_LENGTH, NAMES, Mistake, calculator, compute


@pytest.mark.parametrize(
    "expression, value",
    [
        ("1 + 2 * 3", 7),
        (" (1 + 2) * 3 ", 9),
        ("7 // 2 + 7 % 2", 4),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("0.1 + 0.2", 0.3),
        ("10 / 3", 3.33333333333),
        ("2 ** 53 - 1", 2**53 - 1),
        ("2 ** 100", 1.26765060023e30),
        ("sqrt(16) + max(1, 2, 3) - floor(2.7)", 5.0),
        ("round(2.567, 1) + round(2.4)", 4.6),
        ("cos(pi) + log(e)", 0.0),
        ("log(8, 2)", 3.0),
        ("1_000 * 2", 2000),
        ("-" * 200 + "1", 1),
    ],
)
def test_it_computes(expression: str, value: float) -> None:
    result = compute(expression)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_can_be_called(name: str) -> None:
    arguments = "0.5, 0.25" if name in ("min", "max") else "0.5"
    assert isinstance(compute(f"{name}({arguments})"), int | float)


@pytest.mark.parametrize(
    "expression, words",
    [
        ("1 / 0", "divided by zero"),
        ("1 % 0", "divided by zero"),
        ("0 ** -1", "divided by zero"),
        ("9 ** 9 ** 9", "too large"),
        ("2 ** 4000 * 2 ** 4000", "too large"),
        ("1e308 * 10", "too large"),
        ("1e400", "too large"),
        ("10.0 ** 1000", "too large"),
        ("exp(1000)", "too large"),
        ("round(5, -10 ** 9)", "digits"),
        ("round(5, 0.5)", "digits"),
        ("sqrt(-1)", "not defined for this number"),
        ("(-8) ** (1 / 3)", "root of a negative number"),
        ("log(0)", "not defined for this number"),
        ("2 ^ 3", r"use \*\*"),
        ("1,000 + 1", "write 1000"),
        ("sqrt", "wrong or missing arguments"),
        ("sqrt()", "wrong or missing arguments"),
        ("pi(3)", "wrong or missing arguments"),
        ("x + 1", "there is no 'x'.* pi, e, abs"),
        ("__import__('os')", "there is no '__import__'"),
        ("'a' * 5", "'a' is not a number"),
        ("True + 1", "True is not a number"),
        ("(1).real", "not only arithmetic"),
        ("[1][0]", "not only arithmetic"),
        ("[n for n in (1, 2)]", "not only arithmetic|comma|there is no"),
        ("1 < 2", "not only arithmetic"),
        ("1 if 2 else 3", "not only arithmetic"),
        ("lambda: 1", "not only arithmetic"),
        ("round(1.5, digits=1)", "not only arithmetic"),
        ("max(*pi)", "not only arithmetic"),
        ("1 << 9", "not only arithmetic"),
        ("15% of 80", "not arithmetic"),
        ("(" * 250, "not arithmetic"),
        ("1 +", "not arithmetic"),
        ("", "not arithmetic"),
        ("\0", "not arithmetic"),
        ("1 + " * MAX_LENGTH + "1", f"at most {MAX_LENGTH}"),
    ],
)
def test_it_says_what_is_wrong(expression: str, words: str) -> None:
    with pytest.raises(Mistake, match=words):
        compute(expression)


def test_the_tool_is_pure_and_fails_in_its_own_words() -> None:
    assert not calculator.external
    assert calculator.function("6 * 7") == 42
    with pytest.raises(ToolFailed, match="^calculator: divided by zero$"):
        calculator.function("1 / 0")
    assert not FUNCTIONS.keys() & NAMES.keys()
