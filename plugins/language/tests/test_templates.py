"""Prompts: strict about names, kept in their sandbox, and never long at work.

No test here measures time: a template that is not bounded would not come to an end at all.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Any

import pytest

from pyscrai_language import sandbox
from pyscrai_language.misfit import Misfit
from pyscrai_language.templates import Prompt
from pyscrai_records.errors import ContractError
from pyscrai_records.records import Event


def shout(value: str) -> str:
    return value.upper() + "!"


VALUES: dict[str, Any] = {
    "name": "Mara",
    "goals": ["win", "rest"],
    "state": {"items": 3, "stall": {"apples": [1, 2]}},
    "shout": shout,
    "event": Event(1, 1, "say", "Jon", ("*",), {"text": "Hello."}),
}


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """A template that is not bounded fails here, instead of taking the machine with it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def rendered(text: str, **values: Any) -> str:
    given = {**VALUES, **values}
    prompt = Prompt(text, "p.j2", frozenset(given))
    prompt.check()
    return prompt.render(**given)


def refused(text: str, **values: Any) -> Misfit:
    with pytest.raises((Misfit, ContractError)) as caught:
        rendered(text, **values)
    # What is wrong is told when it is checked, or when it is rendered and then as the author's mistake.
    error = caught.value if isinstance(caught.value, Misfit) else caught.value.__cause__
    assert isinstance(error, Misfit)
    return error


# -- what templates can do ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You are {{ name }}.", "You are Mara."),
        ("{{ goals | join(', ') }} {{ ', '.join(goals) }}", "win, rest win, rest"),
        (
            "{% for goal in goals %}{{ loop.index }}/{{ loop.length }} {{ goal }};{% endfor %}",
            "1/2 win;2/2 rest;",
        ),
        ("{{ state.items }} {{ state['items'] }} {{ state | items | first | first }}", "3 3 items"),
        ("{{ state.stall.apples[1:] }} {{ state.stall.apples[-1] }}", "[2] 2"),
        ("{{ state | tojson }}", '{"items": 3, "stall": {"apples": [1, 2]}}'),
        ('{{ "it\'s <b>" | tojson }}', '"it\'s <b>"'),
        ("{{ shout(name) }} {{ event.payload.text }} {{ name.upper() }}", "MARA! Hello. MARA"),
        ("{{ name.replace('M', 'L') }} {{ name | replace('a', 'o', 1) }}", "Lara Mora"),
        (
            "{% macro greet(who, times=1) %}{{ 'Hi ' * times }}{{ who }}{% endmacro %}{{ greet(name, 2) }}",
            "Hi Hi Mara",
        ),
        ("{% macro box() %}[{{ caller() }}]{% endmacro %}{% call box() %}x{% endcall %}", "[x]"),
        ("{% set line %}{{ name }}{% endset %}{{ line ~ 1 ~ none }}", "Mara1None"),
        ("{% filter upper %}{{ name }}{% endfilter %}", "MARA"),
        ("{{ [3, 1, 2] | sort | list }} {{ [1, 2, 3] | select('odd') | list }}", "[1, 2, 3] [1, 3]"),
        ("{{ [{'a': 1}, {'a': 2}] | selectattr('a', 'gt', 1) | list }}", "[{'a': 2}]"),
        ("{{ 7 // 2 }} {{ 2 ** 10 }} {{ 1 if name == 'Mara' and 'win' in goals }}", "3 1024 1"),
        ("{{ range(3) | list }} {{ 'a b c' | wordcount }} {{ 3.456 | round(1) }}", "[0, 1, 2] 3 3.5"),
        ("{% raw %}{{ x }}{% endraw %}{# a note #}", "{{ x }}"),
        ("{{ 'a\nb' | indent(2) }} {{ ' xx ' | trim | trim('x') | length }}", "a\n  b 0"),
        ("{{ [1, 2.5] | sum }} {{ [{'a': 1}, {'a': 2}] | sum(attribute='a') }}", "3.5 3"),
        (
            "{{ [event] | tojson | length > 50 }} {{ {'a': (1, 2)} | tojson(2) }}",
            'True {\n  "a": [\n    1,\n    2\n  ]\n}',
        ),
        ("{{ state.price is defined }} {{ state.price | default('none') }}", "False none"),
        ("{{ ', '.join([name, 1]) }} {{ 'a-b-c'.replace('-', '+', 1) }}", "Mara, 1 a+b-c"),
        ("{% for x in goals %}{{ '-'.join([x, x]).replace('-', '+') }};{% endfor %}", "win+win;rest+rest;"),
        ("{% for x in goals | select %}{{ loop.index }}/{{ loop.length }};{% endfor %}", "1/2;2/2;"),
        ("{% for goal in goals if goal != 'win' %}\n- {{ goal }}\n{% endfor %}\n", "- rest"),
    ],
)
def test_what_a_template_can_do(text: str, expected: str) -> None:
    assert rendered(text) == expected


def test_the_same_template_says_the_same_every_time() -> None:
    text = "{% for key, value in state | items %}{{ key }}{{ value }}{% endfor %}{{ goals | unique | list }}"
    assert rendered(text) == rendered(text)


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (
            "a\nb\n{{ nam }}",
            3,
            "the name 'nam' is not defined (did you mean 'name'?); known here: event, goals, name",
        ),
        ("{% if gaols %}x{% endif %}", 1, "the name 'gaols' is not defined (did you mean 'goals'?)"),
        ("{{ lipsum() }}", 1, "the name 'lipsum' is not defined"),
        ("{{ cycler }}", 1, "the name 'cycler' is not defined"),
        ("{{ namespace() }}", 1, "the name 'namespace' is not defined"),
        ("{{ self }}", 1, "the name 'self' is not defined"),
        ("{{ loop.index }}", 1, "the name 'loop' is not defined"),
        ("\n{{ name | uper }}", 2, "the filter 'uper' is not available (did you mean 'upper'?)"),
        ("{{ goals | random }}", 1, "the filter 'random' is not available"),
        ("{{ goals | map('upper') }}", 1, "the filter 'map' is not available"),
        ("{{ name | attr('upper') }}", 1, "the filter 'attr' is not available"),
        ("{{ name | pprint }}", 1, "the filter 'pprint' is not available"),
        ("{{ name | wordwrap(9) }}", 1, "the filter 'wordwrap' is not available"),
        ("{{ name is callable }}", 1, "the test 'callable' is not available"),
        ("{{ 1 if name is filter }}", 1, "the test 'filter' is not available"),
        ("\n\n{% if %}", 3, "Expected an expression"),
        ("{{ name", 1, "unexpected end of template"),
        ("{% for x in goals %}", 1, "Unexpected end of template"),
    ],
)
def test_what_does_not_exist_is_told_with_its_line(text: str, line: int, expected: str) -> None:
    error = refused(text)
    assert expected in str(error)
    assert str(error).startswith(f"p.j2:{line}: ")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("a\n{{ state.price }}", 2, "p.j2:2: 'dict object' has no attribute 'price'"),
        ("{{ goals[9] }}", 1, "p.j2:1: list object has no element 9"),
        ("{{ name + 1 }}", 1, "p.j2:1: TypeError: can only concatenate str"),
        ("\n{{ 1 / 0 }}", 2, "p.j2:2: ZeroDivisionError"),
        ("{{ name | truncate(1) }}{{ 'long text' | truncate(1) }}", 1, "p.j2:1: AssertionError"),
    ],
)
def test_what_a_value_lacks_is_told_with_its_line(text: str, line: int, expected: str) -> None:
    error = refused(text)
    assert expected in str(error)
    assert str(error).startswith(f"p.j2:{line}: ")


# -- ways out of the sandbox --------------------------------------------------------------------

#: The classic ones, and those that hide the name of what they reach for.
ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ name['__class__'] }}",
    "{{ name['__cla' ~ 'ss__'] }}",
    "{{ name['__cla' + 'ss__'] }}",
    "{{ name[['__cla', 'ss__'] | join] }}",
    "{{ name['__CLASS__' | lower] }}",
    "{{ name['__ssalc__' | reverse] }}",
    "{{ name | attr('__class__') }}",
    "{{ (1).__class__ }}",
    "{{ [].__class__ }}",
    "{{ {}.__class__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ shout.__globals__ }}",
    "{{ shout['__glo' ~ 'bals__'] }}",
    "{{ shout.__code__ }}",
    "{{ name.upper.__self__ }}",
    "{{ range.__class__ }}",
    "{{ range(1).__class__ }}",
    "{{ event.__class__ }}",
    "{{ event['__init__'] }}",
    "{{ goals | groupby('__class__') }}",
    "{{ goals | sort(attribute='__class__') }}",
    "{{ goals | sum(attribute='__class__') }}",
    "{{ goals | selectattr('__class__') | list }}",
    "{{ goals | join(attribute='__class__') }}",
    "{{ goals | unique(attribute='__class__') | list }}",
    "{{ goals | min(attribute='__class__') }}",
    "{% for x in goals %}{{ loop.__class__ }}{% endfor %}",
    "{% for x in goals %}{{ loop['__init__'] }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__init__ }}",
    "{% macro m() %}{% endmacro %}{{ m['_fu' ~ 'nc'] }}",
    "{{ (goals | select).gi_frame }}",
    "{{ (goals | select)['gi_' ~ 'frame'] }}",
    "{{ self._TemplateReference__context }}",
    "{{ '{0.__class__}'.format(name) }}",
    "{{ '{0.__class__}'['format'](name) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ '%s' % name }}",
    "{{ name.encode() }}",
    "{{ (1).to_bytes(9) }}",
    "{{ (1).real.conjugate() }}",
    "{{ goals.append('x') }}",
    "{{ goals.sort() }}",
    "{{ state.update({'x': 1}) }}",
    "{{ state.pop('items') }}",
    "{{ state.__setitem__('x', 1) }}",
    "{% set goals.x = 1 %}",
    "{% include 'other' %}",
    "{% import 'other' as other %}",
    "{% from 'other' import x %}",
    "{% extends 'other' %}",
    "{% block x %}{{ self.x() }}{% endblock %}",
    "{% autoescape true %}{{ name }}{% endautoescape %}",
    "{% do goals.append(1) %}",
    "{% for x in goals recursive %}{{ loop(goals) }}{% endfor %}",
    # What Python shows of these holds an address, which is another one in each run.
    "{{ shout }}",
    "{{ [shout] }}",
    "{{ shout ~ '' }}",
    "{{ shout | string }}",
    "{{ [shout] | join }}",
    "{{ [shout] | upper }}",
    "{{ name.upper }}",
    "{{ goals | join(shout) }}",
    "{{ {'a': shout}.values() }}",
    "{{ {'a': shout}.items() }}",
    "{{ goals | select }}",
    "{{ goals | select ~ '' }}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_a_template_does_not_get_out(text: str) -> None:
    refused(text)
    assert VALUES["goals"] == ["win", "rest"]
    assert VALUES["state"] == {"items": 3, "stall": {"apples": [1, 2]}}


def test_words_of_a_value_are_never_compiled() -> None:
    words = "{{ goals }}{% for x in range(3) %}"
    assert rendered("{{ name }}", name=words) == words
    assert (
        rendered("{% set x %}{{ name }}{% endset %}{{ x }}{{ x | upper }}", name=words)
        == words + words.upper()
    )


# -- work ---------------------------------------------------------------------------------------


def doubled(kind: str, times: int = 60) -> str:
    """A value that doubles `times` times, in a variable `s`."""
    first, twice = {
        "concatenation": ("'ab'", "{% set s = s ~ s %}"),
        "addition": ("'ab'", "{% set s = s + s %}"),
        "block": ("'ab'", "{% set s %}{{ s }}{{ s }}{% endset %}"),
        "multiplication": ("'ab'", "{% set s = s * 2 %}"),
        "join": ("'ab'", "{% set s = [s, s] | join %}"),
        "method": ("'ab'", "{% set s = ''.join([s, s]) %}"),
        "replacement": ("'ab'", "{% set s = s | replace('b', 'bb') | replace('a', 'aa') %}"),
        "list": ("[1]", "{% set s = s + s %}"),
        "nesting": ("[1]", "{% set s = [s, s] %}"),
        "tuple": ("(1,)", "{% set s = (s, s) %}"),
        "mapping": ("{}", "{% set s = {'a': s, 'b': s} %}"),
    }[kind]
    return f"{{% set s = {first} %}}" + twice * times


BOMBS = {
    "a large range": "{{ range(10**9) | list }}",
    "a huge range": "{{ range(10**30) | list }}",
    "nested loops": "{% for a in range(10000) %}" * 4 + "{% endfor %}" * 4,
    "loops over values": "{% for a in goals * 100 %}" * 9 + "{% endfor %}" * 9,
    "loops that write": "{% for a in range(10000) %}" * 2 + "x" * 1000 + "{% endfor %}" * 2,
    "a long body": "{% for a in range(10000) %}" + "{% if a %}x{% endif %}" * 2000 + "{% endfor %}",
    "a long body in a block": "{% set b %}{% for a in range(10000) %}"
    + "{% if a %}x{% endif %}" * 2000
    + "{% endfor %}{% endset %}",
    "a filter in loops": "{% for a in range(9999) if range(9999) | sum %}{% endfor %}",
    "a macro for ever": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a macro twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
    "{{ f(60) }}",
    "callers": "{% macro f(n) %}{% if n %}{{ caller() }}{% call f(n - 1) %}{{ caller() }}{{ caller() "
    "}}{% endcall %}"
    "{% endif %}{% endmacro %}{% call f(60) %}x{% endcall %}",
    "a long text": "{{ 'a' * 10**10 }}",
    "a long list": "{{ [1] * 10**10 }}",
    "a number first": "{{ 10**10 * 'a' }}",
    "a large power": "{{ 10 ** 10 ** 10 }}",
    "powers of powers": "{% set a = 9 ** 99 %}" + "{% set a = a * a %}" * 60,
    "a number from text": "{{ ('f' * 10**6) | int(0, 16) ** 99 }}",
    "large numbers summed": "{{ ([('f' * 10**6) | int(0, 16)] * 10**5) | sum is odd }}",
    "large numbers divided": "{% set a = 0x" + "f" * 10**5 + " %}{% for i in range(9999) %}"
    "{{ a is divisibleby 0x" + "e" * 50_000 + " }}{% endfor %}",
    "a width": "{{ '%1000000000d' % 1 }}",
    "a format": "{{ '{:>1000000000}'.format(1) }}",
    "justified": "{{ 'a'.ljust(10**9) }}",
    "centered": "{{ 'a' | center(10**9) }}",
    "tabs": "{{ '\t'.expandtabs(10**9) }}",
    "indented": "{{ 'a\nb' | indent(10**9) }}",
    "indented by text": "{{ ('a\n' * 10**5) | indent('x' * 10**5) }}",
    "replaced": "{{ 'a' | replace('a', 'b' * 10**6) | replace('b', 'c' * 10**6) }}",
    "replaced by a method": "{{ ('a' * 10**6).replace('', 'b' * 10**6) }}",
    "joined": "{{ (['a'] * 1000) | join('b' * 10**6) }}",
    "joined by a method": "{{ ('b' * 10**6).join(['a'] * 1000) }}",
    "batches": "{{ [1] | batch(10**9, 0) | list }}",
    "slices": "{{ [1] | slice(10**9) | list }}",
    "wrapped": "{{ ('a' * 10**6) | wordwrap(1) }}",
    "wrapped in much": "{{ ('a ' * 10**5) | wordwrap(1, wrapstring='x' * 10**5) }}",
    "rounded": "{{ 5 | round(-10**9) }}",
    "rounded up": "{{ 5 | round(10**9, 'ceil') }}",
    "json": "{{ state | tojson(10**9) }}",
    "deep json": "{% set s = [1] * 10**4 %}" + "{% set s = [s] %}" * 60 + "{{ s | tojson(8) }}",
    "stripped": "{{ ('a' * 10**6).strip('b' * 10**6 + 'a') }}",
    "trimmed": "{{ ('a' * 10**6) | trim('b' * 10**6 + 'a') }}",
    "lists in a loop": "{% for a in range(9999) %}{{ 'x' if range(9999) | list | length == 1 }}{% endfor %}",
    "selected many times": "{% set s = [1] * 10**5 %}"
    + "{% set s = s | select %}" * 100
    + "{{ s | list | length }}",
    "lists summed": "{{ ([[1] * 100] * 1000) | sum(start=[]) }}",
    "sliced in a loop": "{% set s = 'x' * 10**6 %}{% for i in range(10000) %}{{ s[1:] | length }}{% "
    "endfor %}",
    "a long number": "{{ " + "9" * 5000 + " }}",
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "lists in lists": "{{ " + "[" * 200 + "]" * 200 + " }}",
    "nots": "{{ " + "not " * 5000 + "1 }}",
    "sums": "{{ 1" + " + 1" * 5000 + " }}",
    "blocks in blocks": "{% for a in goals %}" * 30 + "{% endfor %}" * 30,
    "conditions in conditions": "{% if name %}" * 200 + "{% endif %}" * 200,
    "a long template": "{# " + "x" * 300_000 + " #}",
    **{
        f"doubled by {kind}": doubled(kind) + "{{ s }}"
        for kind in (
            "concatenation",
            "addition",
            "block",
            "multiplication",
            "join",
            "method",
            "replacement",
            "list",
        )
    },
    "nested and shown": doubled("nesting") + "{{ s }}",
    "nested and compared": doubled("nesting")
    + doubled("nesting").replace(" s", " t").replace("[s, s]", "[t, t]")
    + "{{ 1 if s == t }}",
    "nested and tested": doubled("nesting") + "{{ 1 if [s, s] is eq([s + [], s]) }}",
    "nested and looked for": doubled("nesting") + "{{ 1 if s + [] in [s] }}",
    "nested and passed": doubled("nesting") + "{{ shout(s) }}",
    "nested and joined": doubled("nesting") + "{{ [s] | join }}",
    "nested and concatenated": doubled("nesting") + "{{ s ~ '' }}",
    "nested and encoded": doubled("mapping") + "{{ s | tojson }}",
    "nested and sorted": doubled("nesting") + "{{ [s, s + []] | sort }}",
    "tuples as keys": doubled("tuple") + "{{ {s: 1} }}",
    "tuples looked up": doubled("tuple") + "{{ state[s] }}",
    "tuples looked up by a method": doubled("tuple") + "{{ state.get(s) }}",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_template_comes_to_an_end(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MAX_WORK", sandbox.MAX_WORK // 10)  # as much a bound, in less time
    error = refused(BOMBS[bomb])
    assert len(str(error)) < 1000


def test_nothing_is_evaluated_when_a_template_is_checked() -> None:
    """Jinja2 folds constants when it compiles, which would do all that work before it is counted."""
    for text in ("{{ 'a' * 10**10 }}", "{{ 'a' | indent(10**9) }}", "{{ 'a' | replace('a', 'b' * 9) }}"):
        Prompt(text, "p.j2").check()


def test_a_large_prompt_is_fine() -> None:
    lines = [f"{number}: somebody said something that takes a line to tell." for number in range(5000)]
    text = "{% for line in lines %}\n- {{ line }}{% if loop.last %}.{% endif %}\n\n{% endfor %}"
    assert rendered(text, lines=lines).count("\n") == 4999


def test_the_budget_is_that_of_one_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MAX_WORK", 1000)
    for _ in range(20):
        assert rendered("{% for x in range(50) %}{{ x }}{% endfor %}").startswith("0123")
    refused("{% for x in range(500) %}{{ x }}{% endfor %}")


INTEGERS = ", ".join(str(n * (2**61 - 1)) for n in range(1, 2000))  # whose hashes are all the same


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (f"{{{{ [{INTEGERS}] | unique | list | length }}}}", "a number is too large to be a key"),
        ("{{ {" + INTEGERS.replace(",", ": 1,") + ": 1} | length }}", "a number is too large to be a key"),
        ("{{ {" + str(2**61) + ": 1} }}", "a number is too large to be a key"),
    ],
)
def test_no_keys_whose_hashes_collide(source: str, told: str) -> None:
    with pytest.raises(ContractError, match=told):
        Prompt(source, "", frozenset()).render()


def test_unique_is_what_it_was() -> None:
    source = (
        "{{ x | unique | join(' ') }}; {{ x | unique(true) | join(' ') }}; "
        "{{ y | unique(attribute='a') | list | length }}"
    )
    given = {"x": ["a", "A", "b", 1, 1.0, "a"], "y": [{"a": 1}, {"a": 2}, {"a": 1}]}
    assert Prompt(source, "", frozenset(given)).render(**given) == "a b 1; a A b 1; 2"


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"step": "3"}, "the variable step is a string, expected a number"),
        ({"goals": [1]}, "the variable goals[0] is a number, expected a string"),
        ({"actions": [{"nmae": "buy"}]}, "the variable actions[0] has other keys than expected: name, nmae"),
        ({"actions": [{"name": None}]}, "the variable actions[0].name is null, expected a string"),
    ],
)
def test_what_is_passed_is_what_templates_are_checked_with(value: dict[str, Any], wrong: str) -> None:
    """A plugin that passes something else than it says is found out where it does so."""
    samples = {"step": 0, "goals": [""], "actions": [{"name": ""}], "show": None, "state": {}}
    prompt = Prompt("{{ step }}", "p.j2", frozenset(samples), samples)
    given = {"step": 1, "goals": ("rest",), "actions": [], "show": shout, "state": {"a": 1}}
    assert prompt.render(**given) == "1"
    with pytest.raises(ContractError) as caught:
        prompt.render(**{**given, **value})
    assert f"p.j2: {wrong}; correct what the plugin passes" in str(caught.value)
    lent = prompt.lend(Prompt("{{ goals > 1 }}", "mine.j2"))
    assert lent.origin == "mine.j2"
    (found,) = lent.find_unknown({})
    assert found == "mine.j2:1: 'goals > 1' compares a list with a number, which have no order"


def test_the_same_values_give_the_same_text_and_others_another_one() -> None:
    prompt = Prompt("{{ x }} {{ show(x) }}", "p.j2", frozenset({"x", "show", "unread"}))

    def given(**values: Any) -> str:
        return prompt.render(**{"show": shown, **values})

    def shown(value: Any) -> str:
        return type(value).__name__

    values: list[Any] = [[1], (1,), [True], [1.0], "[1]", {"a": [1]}]
    texts = [given(x=value) for value in values]
    assert texts == [
        "[1] list", "(1,) tuple", "[True] list", "[1.0] list", "[1] str", "{'a': [1]} dict",
    ]  # fmt: skip
    assert [given(x=value, unread=texts) for value in values] == texts
    values[0].append(2)
    assert given(x=values[0]) == "[1, 2] list"
    assert given(x=[1], show=lambda value: "another") == "[1] another"
    with pytest.raises(ContractError, match="'x' is undefined"):
        given()
