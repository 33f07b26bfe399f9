"""Stored templates: the language they have, every escape known for Jinja2, and bombs within bounds of time and memory."""
# ruff: noqa: E501 - a template is easier to read in one line

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from cases import each
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.errors import TemplateError
from mailer.message import Message
from mailer.sandbox import StoredTemplate, TemplateLimits

SECRET = "s3cr3t-VALUE"


class User:
    """An object of the app."""

    def __init__(self) -> None:
        self.name = "Ann"
        self._password = SECRET
        self.deleted = False

    def delete(self) -> str:
        self.deleted = True
        return "deleted"

    @property
    def town(self) -> str:
        return "Graz"

    def __call__(self) -> str:
        return self.delete()


def text_of(source: str, context: dict[str, object] | None = None, **limits: int) -> str:
    stored = StoredTemplate(text=source, limits=TemplateLimits(**limits))
    return stored.render(Message(), context or {}).text or ""


# --- what it can ------------------------------------------------------------------------------------------------------

WORKS = {
    "{{ name }} {{ user.name }} {{ user.town }} {{ user['name'] }}": "<Ann> Ann Graz Ann",
    "{% if n > 1 and not none_ %}many{% elif n %}one{% else %}no{% endif %}": "many",
    "{% for i in items %}{{ loop.index }}/{{ loop.length }} {{ i.name }}{{ ', ' if not loop.last }}{% endfor %}": "1/2 Tea, 2/2 Cup",
    "{% for k, v in prices.items() %}{{ k }}={{ v }};{% endfor %}": "tea=3;cup=12;",
    "{% for i in range(3) if i != 1 %}{{ loop.cycle('a', 'b') }}{{ i }}{% else %}none{% endfor %}": "a0b2",
    "{% for i in [] %}{% else %}none{% endfor %}": "none",
    "{{ order.items | join(', ') }} {{ order.get('x', 'none') }}": "1, 2 none",
    "{% set total = prices.tea * 2 + 1 %}{{ total }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 1 / 4 }} {{ -n }}": "7 3 3 0.25 -2",
    "{{ 'a' ~ 1 ~ name }} {{ 'ab' + 'cd' }} {{ '-' * 3 }} {{ [1] + [2] }} {{ ('a', 'b')[1] }} {{ 'abc'[1:] }}": "a1<Ann> abcd --- [1, 2] b bc",
    "{{ name.upper() }} {{ 'a b'.split()[0] }} {{ ' x '.strip() }} {{ 'abc'.startswith('a') }}": "<ANN> a x True",
    "{{ day.strftime('%d.%m.%Y') }} {{ day.year }} {{ money }} {{ money * 2 }} {{ money | round(1) }}": "24.12.2026 2026 12.50 25.00 12.5",
    "{{ nope | default('-') }} {{ nope is defined }} {{ 4 is even }} {{ 9 is divisibleby(3) }} {{ 'a' in 'abc' }}": "- False True True True",
    "{{ [3, 1, 2] | sort | join }} {{ items | sort(attribute='name') | first }}": "123 {'name': 'Cup'}",
    "{{ 'abc' | replace('b', 'x') | title | truncate(2, true, '', 0) }} {{ [1, 2.5] | sum }} {{ '7' | int + 1 }}": "Ax 3.5 8",
    "{{ {'a': 1}.a }} {{ [1, [2, {'b': 3}]][1][1].b }}{{ 'x' if none_ }}": "1 3",
    "{# a comment #}{% raw %}{{ x }}{% endraw %}": "{{ x }}",
}
CONTEXT = {
    "name": "<Ann>",
    "n": 2,
    "none_": None,
    "items": [{"name": "Tea"}, {"name": "Cup"}],
    "prices": {"tea": 3, "cup": 12},
    "order": {"items": [1, 2]},
    "day": date(2026, 12, 24),
    "money": Decimal("12.50"),
}


@pytest.mark.parametrize("source", WORKS)
def test_the_language(source):
    assert text_of(source, {**CONTEXT, "user": User()}) == WORKS[source]


def test_it_renders_as_templates_do():
    stored = StoredTemplate(subject=" Hi {{ x }}\n", html="<b>{{ x }}</b>{{ x ~ '<' }}")
    message = Message(to="a@b.test", context={"x": "<&"}, tags="t", template="gone")
    assert stored.render(message) == Message(
        to="a@b.test", tags="t", subject="Hi <&", html="<b>&lt;&amp;</b>&lt;&amp;&lt;", text="<&<&<"
    )
    assert stored.render(message.with_(html="own", text=False)).html == "own"
    assert stored.render(message.with_(text=False)).text is None
    assert StoredTemplate(text="t").render(message).text == "t"
    with pytest.raises(TemplateError, match="stored subject: the subject is more than one line"):
        stored.render(message, {"x": "a\nb"})


def test_it_is_a_value():
    stored = StoredTemplate(subject="{{ x }}", limits=TemplateLimits(steps=10))
    for other in (pickle.loads(pickle.dumps(stored)), copy.deepcopy(stored), dataclasses.replace(stored)):
        assert other == stored
        assert hash(other) == hash(stored)
        assert other.render(Message(), {"x": 1}).subject == "1"
    with pytest.raises(dataclasses.FrozenInstanceError):
        stored.subject = "x"
    assert "_parts" not in repr(stored)


def test_values_of_the_app_are_shown():
    class Safe:
        def __html__(self):
            return "<i>"

    stored = StoredTemplate(html="{{ a }}{{ b }}{{ c }}")
    rendered = stored.render(Message(), {"a": Safe(), "b": datetime(2026, 1, 1, tzinfo=UTC), "c": User})
    assert rendered.html == "<i>2026-01-01 00:00:00+00:00&lt;class &#39;test_sandbox.User&#39;&gt;"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("\n{{ nmae }}", "stored text, line 2: 'nmae' is undefined; did you mean 'name'"),
        ("{{ user.nothing }}", "'nothing' is undefined in what is a Loud"),
        ("{{ nope + 1 }}", "'nope' is undefined"),
        ("{{ nope() }}", "'nope' is undefined"),
        ("{{ nope | round }}", "'nope' is undefined"),
        ("{% for x in nope %}{% endfor %}", "'nope' is undefined"),
        ("{{ name.upper }} {{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ name * none }}", "is for numbers"),
        ("{{ user.boom }}", "ValueError was raised in boom"),
    ],
)
def test_errors_name_the_line_and_never_a_value(source, wanted):
    class Loud(User):
        @property
        def boom(self):
            raise ValueError(SECRET)

    with pytest.raises(TemplateError, match=wanted) as caught:
        text_of(source, {"name": SECRET, "user": Loud()})
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


# --- what it cannot ---------------------------------------------------------------------------------------------------

REFUSED = [
    # statements: refused when it is made, whatever they would do
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'x' import y %}",
    "{% extends 'base.html' %}",
    "{% block b %}{% endblock %}{{ self.b() }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call x() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% set x %}y{% endset %}",
    "{% set ns.x = 1 %}",
    "{% autoescape false %}{{ x }}{% endautoescape %}",
    "{% with x = 1 %}{% endwith %}",
    "{% for x in [[1]] recursive %}{{ loop(x) }}{% endfor %}",
    "{% do [].append(1) %}",
    "{% debug %}",
    "{% trans %}x{% endtrans %}",
    "{{ 2 ** 2 }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ caller() }}",
    "{{ super() }}",
    "{{ varargs }}",
    "{{ range(*[1, 2]) }}",
    "{{ dict(**{'a': 1}) }}",
    # filters and tests that are not listed
    "{{ '<b>' | safe }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('format') }}",
    "{{ ['x'] | map('upper') | list }}",
    "{{ [''] | map(attribute='__class__') | list }}",
    "{{ [user] | selectattr('_password') | list }}",
    "{{ user | pprint }}",
    "{{ user | tojson }}",
    "{{ 'x' | center(10) }}",
    "{{ '%s' | format(1) }}",
    "{{ user | xmlattr }}",
    "{{ [user] | groupby('_password') }}",
    "{{ 1 is filter }}",
    "{{ range is callable }}",
    "{{ user is sameas(user) }}",
]
ESCAPES = [
    # attributes that lead to Python
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''['_' ~ '_class_' ~ '_'] }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ [].__class__.__base__ }}",
    "{{ ().__class__.__bases__[0].__subclasses__()[40]('/etc/passwd').read() }}",
    "{{ user.__init__.__globals__ }}",
    "{{ user['__init__']['__globals__'] }}",
    "{{ user._password }}",
    "{{ user['_password'] }}",
    "{{ user.__dict__ }}",
    "{{ [user] | sort(attribute='_password') }}",
    "{{ [user] | sum(attribute='_password') }}",
    "{{ [user, user] | max(attribute='_password') }}",
    "{{ [user] | join(attribute='_password') }}",
    "{{ [user] | unique(attribute='__class__') }}",
    # formatting: CVE-2016-10745, CVE-2019-10906, CVE-2024-56326, CVE-2025-27516
    "{{ '{0.__class__}'.format(user) }}",
    "{{ '{0._password}'.format(user) }}",
    "{{ '{a.__class__}'.format_map({'a': user}) }}",
    "{{ ''.format_map }}",
    "{{ {'f': ''.format}.f(user) }}",
    "{% set f = '{0._password}'.format %}{{ f(user) }}",
    "{{ '%s' % user }}",
    "{{ '%(x)s' % {'x': user} }}",
    # functions and what hangs on them
    "{{ range.__self__ }}",
    "{{ range.__globals__ }}",
    "{{ user.delete.__func__ }}",
    "{{ user.delete.__globals__ }}",
    "{{ ''.upper.__self__ }}",
    "{{ function.__code__ }}",
    "{{ function.__globals__ }}",
    "{{ function() }}",
    "{{ generator.gi_frame }}",
    "{{ generator.gi_code }}",
    "{{ generator.send(1) }}",
    "{{ coroutine.cr_frame }}",
    "{{ kind.mro() }}",
    "{{ kind() }}",
    "{{ kind.__subclasses__() }}",
    "{{ module.os }}",
    "{{ error.__traceback__ }}",
    "{{ error.__traceback__.tb_frame }}",
    # Jinja2's own globals
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ lipsum(n=100000) }}",
    "{{ namespace(a=1) }}",
    "{{ dict(a=1) }}",
    "{{ config }}",
    "{{ request.application.__globals__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ g.pop.__globals__ }}",
    "{{ environment }}",
    "{{ context }}",
    "{{ metered }}",
    "{{ resolve('user') }}",
    "{% for x in [1] %}{{ loop._iterable }}{% endfor %}",
    "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
    "{% for x in [1] %}{{ loop._recurse }}{% endfor %}",
    "{% for x in [1] %}{{ loop() }}{% endfor %}",
    "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
    # calls that do something
    "{{ user.delete() }}",
    "{{ user() }}",
    "{{ user['delete']() }}",
    "{% set d = user.delete %}{{ d() }}",
    "{{ items.append(1) }}",
    "{{ items.clear() }}",
    "{{ items.pop() }}",
    "{{ prices.update({'x': 1}) }}",
    "{{ prices.clear() }}",
    "{{ prices.setdefault('x', 1) }}",
    "{{ kinds.add(1) }}",
    "{{ ''.encode('utf-7') }}",
    "{{ ''.join(['a']) }}",
    "{{ 'x'.center(10) }}",
    "{{ 1 .to_bytes(10, 'big') }}",
    "{{ day.replace(year=1) }}",
    "{{ day.min.max }}",
]


def generated() -> Iterator[int]:
    yield 1


async def awaited() -> None: ...


@each("source", REFUSED)
def test_what_is_not_in_the_language_is_refused_when_it_is_made(source):
    with pytest.raises(TemplateError, match="stored text, line 1: "):
        StoredTemplate(text=source)
    with pytest.raises(TemplateError):
        StoredTemplate(html=source)


@each("source", ESCAPES)
def test_no_escape_leads_out(source):
    user, coroutine = User(), awaited()
    context = {
        "user": user,
        "items": [1],
        "prices": {"tea": 3},
        "kinds": {1},
        "function": generated,
        "generator": generated(),
        "coroutine": coroutine,
        "kind": User,
        "module": threading,
        "error": ValueError(SECRET),
        "day": date(2026, 12, 24),
    }
    before = copy.deepcopy([context["items"], context["prices"], context["kinds"]])
    try:
        with pytest.raises(TemplateError) as caught:
            text_of(source, context)
    finally:
        coroutine.close()
    assert SECRET not in str(caught.value)
    assert not user.deleted
    assert [context["items"], context["prices"], context["kinds"]] == before


# --- bombs ------------------------------------------------------------------------------------------------------------

NESTED = "{% for a in range(100000) %}{% for b in range(100000) %}"
BOMBS = {
    "multiplied text": "{{ 'x' * 10000000000 }}",
    "multiplied from the left": "{{ 10000000000 * 'x' }}",
    "multiplied list": "{{ [0] * 10000000000 }}",
    "multiplied tuple of lists": "{{ (([0] * 1000,) * 1000,) * 1000 }}",
    "power": "{{ 10 * 10 * 10000000000000000000000000000000000000000 }}",
    "squares": "{% set x = 99999999999999 %}" + "{% set x = x * x %}" * 100 + "{{ x }}",
    "huge literal": "{{ " + "9" * 50_000 + " }}",
    "huge float": "{{ 1e308 * 1e308 }}",
    "formatted": "{{ '%1000000000d' % 1 }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "even formats": "{{ '%1000000000d' is even }}",
    "odd formats": "{{ '%1000000000d' is odd }}",
    "divisibleby formats": "{{ '%1000000000d' is divisibleby(5) }}",
    "doubled by ~": "{% set x = 'x' * 1000 %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
    "doubled by +": "{% set x = 'x' * 1000 %}" + "{% set x = x + x %}" * 40 + "{{ x }}",
    "doubled lists": "{% set x = [0] * 1000 %}" + "{% set x = x + x %}" * 40 + "{{ x }}",
    "nested lists shown": "{% set x = [0] %}" + "{% set x = [x, x] %}" * 60 + "{{ x }}",
    "nested lists compared": (
        "{% set x = [0] %}{% set y = [0] %}" + "{% set x = [x, x] %}{% set y = [y, y] %}" * 60 + "{{ x == y }}"
    ),
    "nested tuples hashed": "{% set x = (0,) %}" + "{% set x = (x, x) %}" * 60 + "{{ {x: 1} }}",
    "nested mappings": "{% set x = {'a': 0} %}" + "{% set x = {'a': x, 'b': x} %}" * 60 + "{{ x }}",
    "loops": NESTED + "{% endfor %}" * 2,
    "loops that show": NESTED + "{{ a }}{{ b }}" + "{% endfor %}" * 2,
    "loops of text": NESTED + "long text " * 1000 + "{% endfor %}" * 2,
    "loops with if": "{% for a in range(100000) %}{% for b in range(100000) if b > 99999999 %}{% endfor %}{% endfor %}",
    "loops that look at the length": "{% for a in range(100000) %}{% for b in range(100000) %}{{ loop.length }}{% endfor %}{% endfor %}",
    "range": "{{ range(10000000000) | list }}",
    "range backwards": "{{ range(0, -10000000000, -1) | list }}",
    "ranges": "{% for a in range(100000) %}{% set x = range(100000) | list %}{% endfor %}",
    "range searched": "{% for a in range(100000) %}{% if 'x' in range(100000) %}{% endif %}{% endfor %}",
    "lists searched": "{% set l = range(90000) | list %}{% for a in range(100000) %}{% if -1 in l %}{% endif %}{% endfor %}",
    "lists shown": "{% set l = range(90000) | list %}{% for a in range(100000) %}{{ l }}{% endfor %}",
    "lists sorted": "{% set l = range(90000) | list %}{% for a in range(100000) %}{% set x = l | sort | reverse | list %}{% endfor %}",
    "lists sliced": "{% set l = range(90000) | list %}{% for a in range(100000) %}{% set x = l[1:] %}{% endfor %}",
    "texts compared": "{% set x = 'x' * 900000 %}{% for a in range(100000) %}{% if x ~ 'a' == x ~ 'b' %}{% endif %}{% endfor %}",
    "replaced": "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
    "replaced nothing": "{{ ('x' * 100000) | replace('', 'y' * 100000) }}",
    "joined": "{{ (range(90000) | list) | join('x' * 100000) }}",
    "stripped": "{% set a = 'a' * 90000 %}{% set b = 'b' * 90000 ~ 'a' %}{% for i in range(100000) %}{% set x = a.strip(b) %}{% endfor %}",
    "trimmed": "{% set a = 'a' * 90000 %}{% set b = 'b' * 90000 ~ 'a' %}{% for i in range(100000) %}{% set x = a | trim(b) %}{% endfor %}",
    "escaped": "{% set a = '\"' * 100000 %}" + "{{ a }}" * 500,
    "urlencoded": "{% set a = 'é' * 100000 %}{% for i in range(100000) %}{% set x = a | urlencode %}{% endfor %}",
    "titled": "{% set a = 'aB ' * 100000 %}{% for i in range(100000) %}{% set x = a | title %}{% endfor %}",
    "sorted by many parts": "{{ ('a' * 2000) | sort(attribute='0.' * 20000 ~ '0') | length }}",
    "sorted by many attributes": "{{ ('a' * 2000) | sort(false, false, '0,' * 40000 ~ '0') | length }}",
    "the least by many attributes": "{{ ('a' * 2000) | min(attribute='0,' * 40000 ~ '0') }}",
    "a literal of one hash": "{{ {" + ",".join(f"{i * (2**61 - 1)}:1" for i in range(3000)) + "} | length }}",
    "a range of one hash": f"{{{{ range(0, 12000 * {2**31} * {2**30}, {2**31} * {2**30} - 1) | unique | length }}}}",
    "rounded": "{{ 1 | round(1000000000) }}{{ 1.5 | round(-1000000000) }}{{ 'x' * 100000000 }}",
    "a huge decimal": "{{ huge | int }}",
    "a huge decimal rounded": "{{ huge | round }}",
    "many variables": "".join(f"{{% set v{i} = big ~ '{i}' %}}" for i in range(1500)),
    "output": "{% for i in range(100000) %}" + "x" * 5000 + "{% endfor %}",
    "split": "{% for i in range(100000) %}{% set x = big.split('x') %}{% endfor %}",
    "strftime": "{{ day.strftime('%999999999d' * 10000) }}{{ 'x' * 100000000 }}",
    # when it is made
    "a long source": "x" * 100_001,
    "many nodes": "{{ a }}" * 10_000,
    "parentheses": "{{ " + "(" * 40_000,
    "brackets": "{{ " + "[" * 200 + "]" * 200 + " }}",
    "minus": "{{ " + "-" * 90_000 + "1 }}",
    "not": "{{ " + "not " * 20_000 + "1 }}",
    "attributes": "{{ a" + ".a" * 40_000 + " }}",
    "filters": "{{ a" + " | upper" * 10_000 + " }}",
    "sums": "{{ " + "+".join("a" * 30_000) + " }}",
    "ifs": "{% if a %}" * 4000 + "{% endif %}" * 4000,
    "fors": "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    "elifs": "{% if a %}" + "{% elif a %}" * 7000 + "{% endif %}",
    "open": "{{" * 50_000,
    "open statements": "{%" * 50_000,
    "open comments": "{#" * 50_000,
    "open raw": "{% raw %}" * 10_000,
    "open strings": "{{ '" * 20_000,
}


def explode() -> dict[str, tuple[str, float, float]]:
    """Set all off, in a process of its own: what was raised, the CPU time in seconds, the memory in MB on top."""
    import resource

    def used() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)

    context = {"huge": Decimal("1E+900000"), "big": "x" * 100_000, "day": date(2026, 12, 24), "a": 1}
    limits = TemplateLimits(steps=30_000)  # a tenth of the default, for the sake of whoever waits for this test
    StoredTemplate(html="{{ a }}").render(Message(), context)
    ends = {}
    for name, source in BOMBS.items():
        base, start, raised = used(), time.process_time(), "nothing"
        try:
            StoredTemplate(html=source, limits=limits).render(Message(text=False), context)
        except TemplateError as error:
            raised = str(error)
        ends[name] = (raised, time.process_time() - start, used() - base)
    return ends


def test_a_bomb_ends_within_bounds():
    """Seconds where it would be hours, megabytes where it would be all there are."""
    code = "import json, sys, test_sandbox; json.dump(test_sandbox.explode(), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, check=True)
    ends = json.loads(done.stdout)
    assert ends.keys() == BOMBS.keys()
    for name, (raised, cpu_s, mb) in ends.items():
        assert raised.startswith(("template: stored html", "html: is longer")), (name, raised)
        assert len(raised) < 400, name
        assert cpu_s < 1, (name, cpu_s)
        assert mb < 64, (name, mb)


def test_the_limits_are_named_and_can_be_changed():
    loop = "{% for i in range(1000) %}{{ i }}{% endfor %}"
    assert len(text_of(loop)) == 2890
    with pytest.raises(TemplateError, match="takes more than the 100 steps"):
        text_of(loop, steps=100)
    with pytest.raises(TemplateError, match="gives more than the 100 characters"):
        text_of(loop, output_chars=100)
    with pytest.raises(TemplateError, match="gives more than the 3 characters"):
        text_of("text", output_chars=3)
    with pytest.raises(TemplateError, match="has more than the 4 nodes"):
        text_of(loop, nodes=4)
    with pytest.raises(TemplateError, match="is longer than 5 characters"):
        text_of(loop, source_chars=5)
    with pytest.raises(TemplateError, match="must be a string") as caught:
        StoredTemplate(html=b"x")
    assert caught.value.field == "html"


def test_the_same_template_takes_the_same_steps_in_any_thread():
    source = "{% for i in range(n) %}{{ i ~ 'x' }}{% endfor %}"
    stored = StoredTemplate(text=source, limits=TemplateLimits(steps=5000))
    ends: dict[int, set[bool]] = {n: set() for n in (1, 200, 400, 800, 1600)}

    def work():
        for n in ends:
            for _ in range(3):
                try:
                    stored.render(Message(), {"n": n})
                except TemplateError:
                    ends[n].add(False)
                else:
                    ends[n].add(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(each) for each in ends.values()] == [1] * 5
    assert ends[1] == {True}
    assert ends[1600] == {False}


PIECES = st.sampled_from(
    "{{ }} {% %} {# #} if for in endif endfor set else x y items loop.index range ( ) [ ] { } : , . | ~ + - * / % == < not"
    " and is defined upper join replace default 'a' 1 99999999 __class__ _x format . .a ['a'] {%- -%} raw endraw include".split()
)


@given(st.lists(PIECES, max_size=25), st.booleans())
@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine
def test_any_source_ends_in_a_text_or_a_template_error(pieces, joined_by_blanks):
    source = (" " if joined_by_blanks else "").join(pieces)
    try:
        rendered = text_of(source, {"x": 1, "y": "text", "items": [1, 2]}, steps=3000)
    except TemplateError as error:
        rendered = str(error)
    assert isinstance(rendered, str)
