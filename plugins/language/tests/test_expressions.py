"""Expressions: what they compute, what they refuse, and how they say so."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyscrai_language import evaluator, values
from pyscrai_language.expressions import FUNCTIONS, Expression, Unevaluable
from pyscrai_records.records import Event

STATE = {
    "sold": 3,
    "price": None,
    "name": "Mara",
    "items": ["pear", "apple"],
    "keys": {"get": 1, "values": [2, 3]},
    "format": "text",
    "matrix": [[1, 2], [3, 4]],
    "empty": [],
}
EVENTS = [
    Event(1, 1, "say", "Mara", ("*",), {"text": "Apples!"}),
    Event(2, 1, "offer", "Mara", ("Jon",), {"price": 4}, cause=1),
    Event(3, 2, "offer", "Jon", ("Mara",), {"price": 2}),
    Event(4, 2, "accept", "Mara", ("*",), {}),
]


def value(source: str, **more: Any) -> Any:
    given = {"state": STATE, "events": EVENTS, "event": EVENTS[1], **more}
    return Expression(source, given).evaluate(**given)


def refusal(source: str, **more: Any) -> str:
    with pytest.raises(ValueError) as caught:
        value(source, **more)
    return str(caught.value)


# -- what they compute --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("state.sold > 0", True),
        ("0 < state.sold <= 3 < 4", True),
        ("1 < 0 < state.nothing", False),
        ("state.sold + 1", 4),
        ("-state.sold // 2 % 5 ** 2", 23),
        ("7 / 2", 3.5),
        ("state.price is None and state.price is null", True),
        ("state.price is null or state.nothing", True),
        ("not true, false, True, null", [False, False, True, None]),
        ("'many' if state.sold > 2 else 'few'", "many"),
        ("state.price or 'none yet'", "none yet"),
        ("state['sold']", 3),
        ("state.matrix[1][0]", 3),
        ("state.items[-1]", "apple"),
        ("state.matrix[0][::-1]", [2, 1]),
        ("state.name[1:3]", "ar"),
        ("'apple' in state.items", True),
        ("'Mar' in state.name", True),
        ("'sold' in state and 'x' not in state", True),
        ("[3, 4] in state.matrix", True),
        ("state.items + ['fig']", ["pear", "apple", "fig"]),
        ("'ab' * 2 + 'c'", "ababc"),
        ("[0] * 3", [0, 0, 0]),
        ("{'a': 1, **{'b': 2}}", {"a": 1, "b": 2}),
        ("[*state.items, *{1, 1}]", ["pear", "apple", 1]),
        ("(1, 2) == [1, 2]", True),
        ("[(1, 2)] == [[1, 2]] != [[1]]", True),
        ("{1, 2} == {2, 1}", True),
        ("len({1, 2, 3} - {2})", 2),
        ("f'{state.name} sold {state.sold}'", "Mara sold 3"),
        ("len(state.items)", 2),
        ("sum([1, 2.5, True])", 4.5),
        ("sum([])", 0),
        ("sum([0.1] * 10)", 1.0),
        ("min(3, 1, 2)", 1),
        ("max(state.items)", "pear"),
        ("max([], default=null)", None),
        ("mean([1, 2])", 1.5),
        ("median([5, 1, 3])", 3),
        ("sorted(state.items, reverse=True)", ["pear", "apple"]),
        ("sorted({3, 1})", [1, 3]),
        ("any([0, 1]) and not all([0, 1])", True),
        ("any(x > 1 for x in [1, 2, null])", True),
        ("all(x > 1 for x in [2, 1, null])", False),
        ("round(2.567, 1)", 2.6),
        ("round(2.5)", 2),
        ("abs(-3)", 3),
        ("[x + y for x, y in state.matrix]", [3, 7]),
        ("[y for x in state.matrix for y in x if y % 2]", [1, 3]),
        ("[[y for y in x] for x in state.matrix]", [[1, 2], [3, 4]]),
        ("{k: len(k) for k in state.keys}", {"get": 3, "values": 6}),
        ("{x % 2 for x in [3, 2, 1]}", [1, 0]),
        ("(x for x in [1, 2])", [1, 2]),
        ("[state for state in [state.sold]]", [3]),
        ("[x for x in [1]] + [x for x in [2]]", [1, 2]),
        ("\n  state.sold\n  > 0  # enough\n", True),
        ("5_000_000 ** 2", 25 * 10**12),
    ],
)
def test_values(source: str, expected: Any) -> None:
    assert value(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("len([e for e in events if e.kind == 'offer'])", 2),
        ("mean([e.payload.price for e in events if e.kind == 'offer'])", 3.0),
        ("[(e.seq, e.step, e.source, e.audience, e.cause) for e in events][1]", [2, 1, "Mara", ["Jon"], 1]),
        ("event['payload']['price']", 4),
        ("event.payload.price == event.payload['price']", True),
        ("'payload' in event and 'line' not in event", True),
        ("event in events", True),
        ("event == events[1] != events[2]", True),
        ("sum(e.kind == 'offer' for e in events)", 2),
        ("{e.source for e in events}", ["Mara", "Jon"]),
    ],
)
def test_events_read_like_mappings(source: str, expected: Any) -> None:
    assert value(source) == expected


def test_attributes_are_keys_never_methods() -> None:
    assert value("state.items") == ["pear", "apple"]
    assert value("state.keys.get") == 1
    assert value("state.keys.values[0]") == 2
    assert value("state.format") == "text"
    for source in ("state.copy", "state.keys.pop", "state.items.append", "state.name.upper", "event.to_dict"):
        assert source.rsplit(".", 1)[1] in refusal(source)


def test_frozen_views_read_like_plain_data() -> None:
    plain = {"a": [1, 2], "b": {"c": [1]}}
    frozen = MappingProxyType({"a": (1, 2), "b": MappingProxyType({"c": (1,)})})
    for source in ("state.a[1]", "[x for x in state.a]", "state.b.c", "state", "len(state)", "sorted(state)"):
        assert value(source, state=frozen) == value(source, state=plain)
    assert value("state == other and state.a == [1, 2] and other.b == state.b", state=frozen, other=plain)
    assert value("[1] in [state.b.c] and state.b in [other.b]", state=frozen, other=plain)


def test_a_result_is_a_plain_copy() -> None:
    state = {"list": [1], "frozen": MappingProxyType({"a": (1,)})}
    result = value("[state.list, state.frozen, {1}]", state=state)
    assert result == [[1], {"a": [1]}, [1]]
    assert [type(part) for part in result] == [list, dict, list]
    result[0].append(2)
    assert state["list"] == [1]


def test_uses_names_the_free_ones_only() -> None:
    names = ["state", "events", "event", "agent"]
    assert Expression("state.x > 0", names).uses == {"state"}
    assert Expression("[state for state in events]", names).uses == {"events"}
    assert Expression("[event for x in event] + [1]", names).uses == {"event"}
    assert Expression("len([1, true, null])", names).uses == frozenset()
    assert Expression("1", names).evaluate(state={}, other=1) == 1
    with pytest.raises(TypeError, match="needs a value for state"):
        Expression("state.x", names).evaluate(events=[])


def test_expressions_compare_and_travel() -> None:
    one = Expression("state.x", ["state"])
    other = pickle.loads(pickle.dumps(one))
    assert other == one != Expression("state.y", ["state"])
    assert hash(other) == hash(one)
    assert other.evaluate(state={"x": 1}) == 1
    assert repr(one) == "Expression('state.x')"
    assert one.source == "state.x"


def test_threads_may_share_an_expression() -> None:
    shared = Expression("sum([x * state.k for x in [1, 2, 3] for y in state.many])", ["state"])
    wrong: list[Any] = []

    def work(k: int) -> None:
        for _ in range(50):
            result = shared.evaluate(state={"k": k, "many": [0] * 20})
            if result != 120 * k:
                wrong.append((k, result))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_failed_evaluation_leaves_nothing_behind() -> None:
    class Log(list[int]):
        """A list that can be watched."""

    log = Log([1, 0])
    watched = weakref.ref(log)
    expression = Expression("[1 / x for x in state.xs]", ["state"])
    with contextlib.suppress(ValueError):
        expression.evaluate(state={"xs": log})
    assert expression.evaluate(state={"xs": [2]}) == [0.5]
    del log
    gc.collect()
    assert watched() is None  # a log must not live on because it was once looked at


def test_no_hash_seed_shows() -> None:
    code = (
        "from pyscrai_language.expressions import Expression\n"
        "words = [f'w{i}' for i in range(50)]\n"
        "print(Expression('[w for w in {x for x in words}] + [*{y for y in words} - {words[0]}]',"
        " ['words']).evaluate(words=words))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


# -- against Python's own evaluation ------------------------------------------------------------

_numbers = st.integers(-50, 50).map(str) | st.sampled_from(["0.5", "2.25", "1e3", "True", "0"])
_arithmetic = st.recursive(
    _numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(inner, st.integers(-3, 3)).map(lambda t: f"({t[0]} ** {t[1]})"),
        inner.map(lambda part: f"(-{part})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"max([{', '.join(parts)}])"),
        inner.map(lambda part: f"abs({part})"),
    ),
    max_leaves=12,
)
_logic = st.recursive(
    st.lists(_arithmetic, min_size=2, max_size=4).flatmap(
        lambda parts: st.lists(
            st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]),
            min_size=len(parts) - 1,
            max_size=len(parts) - 1,
        ).map(
            lambda signs: (
                "(" + parts[0] + "".join(f" {s} {p}" for s, p in zip(signs, parts[1:], strict=True)) + ")"
            )
        )
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda part: f"(not {part})"),
    ),
    max_leaves=5,
)


def _agrees_with_python(source: str) -> None:
    try:
        expected = eval(source)
    except ArithmeticError:
        expected = None
    expression = Expression(source, [])
    if expected is None or isinstance(expected, complex):
        with pytest.raises(ValueError):
            expression.evaluate()
        return
    try:
        result = expression.evaluate()
    except ValueError as error:
        # Python computes on with what is too large for us, and with complex numbers.
        reason = str(error)
        if "too large" not in reason and "root of" not in reason:
            raise
    else:
        assert result == expected
        assert type(result) is type(expected)


@settings(max_examples=300, deadline=None)
@given(_arithmetic)
def test_arithmetic_is_pythons(source: str) -> None:
    _agrees_with_python(source)


@settings(max_examples=200, deadline=None)
@given(_logic)
def test_comparisons_are_pythons(source: str) -> None:
    _agrees_with_python(source)


_data = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(_data, st.lists(_data, max_size=4))
def test_equality_and_membership_are_pythons(x: Any, xs: list[Any]) -> None:
    given = {"x": x, "xs": xs}
    assert value("x in xs", **given) == (x in xs)
    assert value("[x == y for y in xs]", **given) == [x == y for y in xs]
    assert value("x", **given) == x


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        Expression(text, ["state"]).evaluate(state=STATE)


# -- what they refuse ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "().__class__",
        "state.__class__.__mro__",
        "[].__class__.__base__.__subclasses__()",
        "''.__class__",
        "event.__class__",
        "event.__init__.__globals__",
        "events[0].to_dict()",
        "(lambda: 1)()",
        "(x := 1)",
        "[(y := x) for x in [1]]",
        "await state",
        "(yield 1)",
        "(yield from [1])",
        "[x async for x in state]",
        "__import__('os').system('true')",
        "eval('1')",
        "exec('1')",
        "open('/etc/passwd')",
        "getattr(state, 'pop')",
        "type(state)",
        "print(1)",
        "list(state)",
        "str(1)",
        "dict()",
        "set([1])",
        "rand()",
        "randint(3)",
        "len.__self__",
        "len",
        "[len][0]([1])",
        "(len)(*[[1]])",
        "max(**{'default': 1})",
        "(max if 1 else min)([1])",
        "state.sold(1)",
        "'{0.__class__}'.format(state)",
        "'%s' % state",
        "'%c' % 99",
        "f'{state!r}'",
        "f'{state.sold:>{state.sold}}'",
        "f'{state.sold:1000000000}'",
        "f'{state.name=}'",
        "f'{state}'",
        "b'bytes'",
        "1j",
        "...",
        "import os",
        "x = 1",
        "state.sold = 1",
        "del state",
        "1; 2",
        "state.items | state.items",
        "1 << 100",
        "~1",
        "[1] @ [2]",
        "*state.items",
        "state[*state.items]",
        "[x for *x in [[1]]]",
        "[0 for state.sold in [1]]",
        "[0 for len in [1]]",
        "[0 for true in [1]]",
        "[x for x in x]",
        "[y for x in [1] if y for y in [1]]",
        "state is state",
        "'a' is 'a'",
        "sorted(state.items, key=len)",
        "sum([[1], [2]], [])",
        "sum([[1], [2]])",
        "sum(['a', 'b'])",
        "round(1.5, 10 ** 9)",
        "round(1, -10 ** 9)",
        "len()",
        "len(1, 2)",
        "abs('a')",
        "{[1]: 2}",
        "{{}}",
        "{event}",
        "state[[1]]",
        "state[1:2]",
        "state.items['a']",
        "state.items[True]",
        "state.items[1.0]",
        "[x for x in 5]",
        "[x for x in event]",
        "[x for x, y in [[1]]]",
        "[x for x, y in ['ab', 3]]",
        "{**[1]}",
        "[*5]",
        "state.price + 1",
        "state.price < 1",
        "'a' < 1",
        "1 + 'a'",
        "[1] + 'a'",
        "[1] * 1.5",
        "[1] - [1]",
        "-'a'",
        "1 in 'a'",
        "1 in 5",
        "min(1, 'a')",
        "max({}, {})",
        "",
        "  \n ",
        "(",
        "state.",
        "state sold",
        "\x00",
        "'\ud800'",
    ],
)
def test_refused(source: str) -> None:
    message = refusal(source)
    assert message.startswith("'")
    assert ": " in message


@pytest.mark.parametrize(
    "source",
    [
        "2 ** 10 ** 10",
        "9 ** 9 ** 9 ** 9",
        "(2 ** 4000) * (2 ** 4000)",
        "10.0 ** 400",
        "1e308 * 10",
        "1e999",
        "-1e999",
        "1 / 1e-320 / 1e-10",
        "9" * 4000,
        "0x" + "f" * 4000,
        "'a' * 10 ** 10",
        "[0] * 10 ** 9",
        "10 ** 9 * (0,)",
        "'a' * 99_999 + 'bc'",
        "[0] * 60_000 + [0] * 60_000",
        "mean([1e308] * 10)",
        "sum([1e308] * 10)",
        "{2 ** 61: 1}",
        "{(2 ** 61 - 1) * x for x in [1, 2]}",
    ],
)
def test_sizes_are_bounded(source: str) -> None:
    assert "too l" in refusal(source)


_TEN = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
_LOOPS = " ".join(f"for a{n} in [-1, -2]" for n in range(17))
_TUPLE = "(" + ", ".join(f"a{n}" for n in range(17)) + ")"
_NAMES = ", ".join(f"b{n}" for n in range(1500))
_BILLION = f"[{_TEN[1:-1]}" + "]"
for _ in range(5):
    _BILLION = f"[{_BILLION}] * 100"


@pytest.mark.parametrize(
    "source",
    [
        f"[0 {' '.join(f'for x{i} in {_TEN}' for i in range(7))}]",
        f"any(false {' '.join(f'for x{i} in {_TEN}' for i in range(7))})",
        "[a for a in [0] * 100000 for b in [0] * 100000]",
        "[[0] * 100000 for x in [0] * 100000]",
        "['a' * 100000 for x in [0] * 100000]",
        "[f'{x}{x}' for x in ['a' * 40000] for y in [0] * 100000]",
        "[x[1:] for x in ['a' * 100000] for y in [0] * 100000]",
        "[y in x for x in [[0] * 100000] for y in [1] * 100000]",
        "[x == y for x in [[0] * 100000] for y in [[0] * 100000] for z in x]",
        "[sorted(x) for x in [[0] * 100000] for y in x]",
        "[any(x) for x in [[0] * 100000] for y in x]",
        "[sum(x) for x in [[0] * 100000] for y in x]",
        "sorted([x for x in ['a' * 100000] for y in [0] * 100000])",
        "[x == y for x in ['a' * 100000] for y in ['a' * 100000] for z in [0] * 100000]",
        _BILLION,
        f"{_BILLION} == {_BILLION}",
        f"{_BILLION} in [{_BILLION}]",
        f"max([{_BILLION}, {_BILLION}])",
        "[c for a in [[0] * 10] for b in [[a] * 1000] for c in [[b] * 1000]]",
        "{((((0,) * 1000,) * 1000,) * 1000,) * 1000}",
        "[events for e in events for f in [0] * 100000]",
        # -1 and -2 have the same hash.
        f"len({{{_TUPLE} {_LOOPS}}})",
        f"{{({_TUPLE}, {_TUPLE}): 1 {_LOOPS}}}",
        f"[x for x in {{{_TUPLE} {_LOOPS}}} if x in {{{_TUPLE} {_LOOPS}}}]",
        "[s == t for s in [{(0,) * 99999}] for t in [{(0,) * 99999}] for z in [0] * 100000]",
        "[s == t for s in [{(0,) * 99999: 1}] for t in [{(0,) * 99999: 1}] for z in [0] * 100000]",
        "[{**s} for s in [{(0,) * 99999: 1}] for z in [0] * 100000]",
        "[s - t for s in [{(0,) * 99999}] for t in [{(0,) * 99999}] for z in [0] * 100000]",
        "[x in s for s in [{(0,) * 99999}] for x in [(0,) * 99999] for z in [0] * 100000]",
        "['a' * 49 + 'b' + 'a' * 49 in x for x in ['a' * 29999] for z in [0] * 100000]",
        "[x // y for x in [2 ** 4000] for y in [3 ** 700] for z in [0] * 100000]",
        "[round(x, -400) for x in [2 ** 4000] for z in [0] * 100000]",
        f"[0 for ({_NAMES}) in [[0] * 1500] * 99999]",
        f"[[0 for z in [1]] for ({_NAMES}) in [[0] * 1500] for i in [0] * 99999]",
    ],
)
@pytest.mark.usefixtures("ends")
def test_work_is_bounded(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "MAX_WORK", evaluator.MAX_WORK // 10)  # as much a bound, in less time
    message = refusal(source)
    assert "too much work" in message or "times; loop over less" in message


@pytest.mark.usefixtures("ends")
def test_the_bound_itself_is_reached_in_bounded_time() -> None:
    assert "too much work" in refusal("[events for e in events for f in [0] * 100000]")


@pytest.mark.parametrize(
    "source",
    [
        "(" * 300 + "1" + ")" * 300,
        "-" * 9_000 + "1",
        "not " * 2_000 + "1",
        "[" * 150 + "]" * 150,
        "1" + "+1" * 4_000,
        "state" + ".a" * 4_000,
        "state" + ".a" * 4_000 + "()",
        "state" + "[0]" * 3_000,
        "1 if 1 else " * 800 + "1",
        "1" * 20_000,
        "{" * 5_000,
    ],
)
def test_depth_and_length_are_bounded(source: str) -> None:
    assert refusal(source)


def test_long_but_flat_is_fine() -> None:
    assert value(" or ".join(f"state.name == 'n{i}'" for i in range(400))) is False
    assert value("state" + ".a" * 50, state=_nest(50)) == 1


def _nest(depth: int) -> Any:
    data: Any = 1
    for _ in range(depth):
        data = {"a": data}
    return data


def test_deep_data_does_not_overflow_the_stack() -> None:
    deep = _nest(100_000)
    assert "nested too deeply" in refusal("state == state", state=deep)
    assert value("state.a.a == 1", state=deep) is False


def test_a_hundred_thousand_events() -> None:
    many = [Event(i, i, "offer" if i % 2 else "say", "Mara", ("*",), {"price": i}) for i in range(1, 100_001)]
    assert (
        value("len([e for e in events if e.kind == 'offer' and e.payload.price > 10])", events=many) == 49_995
    )
    assert value("any(e.kind == 'accept' for e in events)", events=many) is False
    assert value("max(e.payload.price for e in events)", events=many) == 100_000
    assert value("events[-1].seq", events=many) == 100_000


@pytest.mark.usefixtures("ends")
def test_tuples_whose_hashes_would_collide_are_found_quickly() -> None:
    loops = " ".join(f"for a{n} in [-1, -2]" for n in range(15))
    parts = ", ".join(f"a{n}" for n in range(15))
    assert value(f"len({{({parts}) {loops}}})") == 2**15
    assert value("[(1, -1) in {(1.0, -1)}, (true, 2) in {(1, 2): 3}, {(1, (-1,)): 3}[(1, (-1.0,))]]") == [
        True,
        True,
        3,
    ]


@pytest.mark.usefixtures("ends")
def test_failures_that_nobody_is_told_cost_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*_: Any) -> str:
        raise AssertionError("a message")

    monkeypatch.setattr(evaluator, "alternatives", told)
    monkeypatch.setattr(evaluator, "quote_part", told)
    wide = {f"key{n}": n for n in range(1000)}
    expression = Expression("any(x or state.nosuch for i in state)", {"state", "x"})
    assert expression.holds(state=wide, x=values.UNKNOWN) is None


def test_every_function_is_there() -> None:
    assert " ".join(FUNCTIONS) == "len sum min max mean median sorted any all round abs"
    for name in FUNCTIONS:
        argument = "-1" if name in ("round", "abs") else "[-1]"
        value(f"{name}({argument})")


def test_the_bounds_are_what_the_tests_assume() -> None:
    assert values.MAX_WORK == 5_000_000
    assert evaluator.MAX_ITERATIONS == 1_000_000


# -- how they say so ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "state.solde > 0",
            "'state.solde > 0': 'state' has no key 'solde' (did you mean 'sold'?); it has empty, format, "
            "items, keys, matrix, name, price, sold",
        ),
        (
            "stat.sold",
            "'stat.sold': the name 'stat' is not known (did you mean 'state'?); there is event, "
            "events, state",
        ),
        ("[x for y in events]", "the name 'x' is not known; there is event, events, state, y"),
        ("summ(state.items)", "there is no function 'summ' (did you mean 'sum'?)"),
        ("state.items()", "state.items cannot be called: values have no methods"),
        ("state.price.amount", "'state.price' is null, so it has no 'amount'"),
        ("event.kinds", "'event' has no field 'kinds' (did you mean 'kind'?); an event has"),
        ("state.price > 0", "'state.price > 0': it compares null with a number; test for null first"),
        (
            "state.name + 1 > 0",
            "'state.name + 1' combines a string with a number; it takes two numbers, two strings",
        ),
        ("state.items[7]", "'state.items' has no item 7; it has 2, counted from 0"),
        ("1 / (state.sold - 3)", "division by zero; test the divisor first"),
        ("state.sold = 3", "a comparison is written '=='"),
        ("state.sold > 0 && state.price", "write 'and' and 'or'"),
        ("event.payload.from", "'.from' cannot be read, as it is a word of the language; write ['from']"),
        ("state.sold & 1", "'&' is not available; write 'and'"),
        ("state._secret", "'._secret' begins with an underscore"),
        ("f'{state.sold:.2f}'", "use round()"),
        ("mean([])", "'mean([])': there are no values; test for that first"),
        ("median([x for x in []]) > 1", "'median([x for x in []])': there are no values"),
        ("min([])", "give a default, as in default=0"),
        ("max(1, 2, default=0)", "takes a default for a list only"),
        ("sorted([1], key=len)", "sorted() has no option key; it has reverse"),
        ("sum(state.items)", "numbers were expected, and one of the values is a string"),
        ("sorted([1, null])", "values of these kinds have no order: a number, null"),
        ("(0 - 8) ** 0.5", "a root of a negative number"),
        ("(1, 2", "this is not an expression ('(' was never closed at character 1)"),
        ("", "'': it is empty"),
    ],
)
def test_messages(source: str, message: str) -> None:
    assert message in refusal(source)


def test_messages_stay_short() -> None:
    state = {f"key{i}": i for i in range(5_000)}
    assert len(refusal("state.nothing", state=state)) < 500
    assert len(refusal("state['" + "k" * 9_000 + "']", state=state)) < 900


# -- what is known though a value is not --------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("u", None),
        ("no and u", False),
        ("u and no", False),
        ("u and yes", None),
        ("yes or u", True),
        ("u or yes", True),
        ("u or no", None),
        ("not u", None),
        ("not (u and no)", True),
        ("u == 1 or u.x[2] < len(u)", None),
        ("u in []", False),
        ("u not in state.empty", True),
        ("u in [1]", None),
        ("[u, 1] == 3", None),
        ("(u or 5) == 5", None),
        ("(no and u) == no", True),
        ("no if u else no", False),
        ("no if u else yes", None),
        ("u if no else yes", True),
        ("any([no, u])", None),
        ("any([u, yes])", True),
        ("all([u, no])", False),
        ("any(x == u for x in state.empty)", False),
        ("all(x == u for x in state.empty)", True),
        ("any(x == u and no for x in state.items)", False),
        ("all(x == u or yes for x in state.items)", True),
        ("any(x == u for x in state.items)", None),
        ("any(x == 'fig' for x in state.items if x == u)", False),
        ("any(x == 'pear' for x in state.items if x == u)", None),
        ("all(x == 'pear' for x in state.items if x == u)", None),
        ("len([x for x in state.items if x == u]) > 9", None),
        ("any(x for x in u)", None),
        ("u and state.sold.x", None),  # it may never be evaluated
        ("u and (no and state.sold.x)", False),
        ("f'{u}' == ''", None),
    ],
)
def test_what_holds_is_found_out_without_a_value(source: str, holds: bool | None) -> None:
    given = {"u": values.UNKNOWN, "yes": True, "no": False, "state": STATE}
    assert Expression(source, given).holds(**given) is holds


@pytest.mark.parametrize(
    ("source", "due_to"),
    [
        ("state.sold.x", set()),
        ("state.keys['gone']", set()),
        ("state.keys[event.kind]", {"state", "event"}),
        ("[x[event.kind] for x in [state.keys]]", {"state", "event"}),
        ("[state.keys[x] for y in event.payload for x in [y]]", {"state", "event"}),
        ("1 / (state.sold - 3) + event.seq", {"state"}),
    ],
)
def test_a_failure_names_what_it_is_due_to(source: str, due_to: set[str]) -> None:
    with pytest.raises(Unevaluable) as caught:
        value(source)
    assert caught.value.due_to == due_to
