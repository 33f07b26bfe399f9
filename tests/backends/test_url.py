"""Backend URLs: what they mean, what is refused, and that no secret is ever shown."""

from __future__ import annotations

import contextlib
import re
import traceback
from typing import Any

import pytest
from cases import each
from hypothesis import example, given, settings
from hypothesis import strategies as st
from worlds import World

from mailer import Backend, ConfigError, Mailer, Outcome, Receipt, backend_from_url, register_backend
from mailer.backends import url as url_module
from mailer.backends.group import FailoverBackend
from mailer.backends.memory import MemoryBackend
from mailer.backends.options import BackendURL
from mailer.backends.smtp import SmtpBackend
from mailer.features import Features
from mailer.runtime import Runtime

SECRET = "hunter2secret"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A registry of its own, so that no test leaves a backend behind."""
    made: dict[str, Any] = {}
    monkeypatch.setattr(url_module, "_registered", made)
    return made


def smtp(url: str) -> SmtpBackend:
    backend = backend_from_url(url)
    assert isinstance(backend, SmtpBackend)
    return backend


# --- grammar ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("smtp://h.test", {"host": "h.test"}),
        ("SMTP://H.Test:25", {"host": "h.test", "port": 25}),
        ("smtp://u:p@h.test/", {"username": "u", "password": "p", "path": "/"}),
        ("smtp://us%40er:p%3Ass@h.test:587?timeout=5", {"username": "us@er", "password": "p:ss", "port": 587}),
        ("smtp://u:p:q@h.test", {"username": "u", "password": "p:q"}),
        ("smtp://u:p@q@h.test", {"username": "u", "password": "p@q", "host": "h.test"}),
        ("smtp://u:@h.test", {"username": "u", "password": ""}),
        ("postmark://TOKEN@default", {"scheme": "postmark", "username": "TOKEN", "password": None, "host": "default"}),
        ("smtp://u:p%C3%A4%20%2B+@h.test", {"password": "pä ++"}),
        ("smtp://[2001:DB8::1]:25", {"host": "2001:db8::1", "port": 25}),
        ("smtp://[::1]", {"host": "::1", "port": None}),
        ("file:rel/p%20ath?format=mbox", {"host": "", "path": "rel/p ath", "query": (("format", "mbox"),)}),
        ("file:///var/mail/a@b", {"host": "", "path": "/var/mail/a@b"}),
        ("memory:", {"scheme": "memory", "host": "", "path": ""}),
        ("x-y+z.1://h", {"scheme": "x-y+z.1"}),
        ("  smtp://h.test  ", {"host": "h.test"}),
        ("x://h?a=1&b=two+words&c=a%26b%3D&d=", {"query": (("a", "1"), ("b", "two words"), ("c", "a&b="), ("d", ""))}),
    ],
)
def test_the_parts_of_a_url(url: str, parts: dict[str, Any]) -> None:
    parsed = BackendURL.parse(url)
    assert {name: getattr(parsed, name) for name in parts} == parts


@each(
    ("url", "says"),
    [
        ("", "scheme"),
        ("h.test", "scheme"),
        ("//h.test", "scheme"),
        ("1smtp://h", "scheme"),
        ("smtp://h.test:0", "port"),
        ("smtp://h.test:70000", "70000"),
        ("smtp://h.test:abc", "port"),
        ("smtp://h.test:-1", "port"),
        ("smtp://h.test:٢٥", "port"),
        ("smtp://h t.test", "blank"),
        ("smtp://h\r\nt.test", "blank or control"),
        ("smtp://h.test\r\n", "blank or control"),
        ("smtp://h%0d%0at.test", "line break"),
        ("smtp://h%00.test", "NUL"),
        ("smtp://h%20t.test", "host"),
        ("smtp://u:p%0aq@h", "line break"),
        ("smtp://u:\udc80@h", "control"),
        ("smtp://u:p%ff@h", "UTF-8"),
        ("smtp://[::1", "brackets"),
        ("smtp://[::1]x", "brackets"),
        ("smtp://[::g]", "IPv6"),
        ("smtp://h.test#x", "#"),
        ("smtp://h?a", "no value"),
        ("smtp://h?a=1&a=2", "twice"),
    ],
)
def test_b47_what_is_no_url_is_refused_by_its_part(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        BackendURL.parse(url)


@pytest.mark.parametrize("wrong", [None, 5, b"smtp://h", ["smtp://h"]])
def test_a_url_is_a_string(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="string"):
        backend_from_url(wrong)
    with pytest.raises(ConfigError, match="string"):
        BackendURL.parse(wrong)


# --- smtp -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://h.test", 587, "required"),
        ("smtp://h.test:587", 587, "required"),
        ("smtp://h.test:465", 465, "required"),
        ("smtp://h.test:25", 25, "opportunistic"),
        ("smtp://u:p@h.test:25", 25, "required"),
        ("smtps://h.test", 465, "required"),
        ("smtps://h.test:2465", 2465, "required"),
        ("smtp://h.test?tls=opportunistic", 587, "opportunistic"),
        ("smtp://h.test?tls=NONE", 587, "none"),
    ],
)
def test_ports_and_tls_by_default(url: str, port: int, tls: str) -> None:
    endpoint = smtp(url).endpoint
    assert (endpoint.port, endpoint.tls, endpoint.verify) == (port, tls, True)
    assert endpoint.implicit_tls is url.startswith("smtps")


def test_the_settings_of_smtp(ca_file: str) -> None:
    endpoint = smtp(
        "smtp://h.test?timeout=60&connect_timeout=1.5&command_timeout=2&final_timeout=3&verify=no&helo=me.test"
        f"&ca_file={ca_file}&auth_in_clear=yes"
    ).endpoint
    times = endpoint.timeouts
    assert (times.total_s, times.connect_s, times.command_s, times.final_s) == (60, 1.5, 2, 3)
    assert (endpoint.verify, endpoint.helo, endpoint.ca_file, endpoint.auth_in_clear) == (
        False,
        "me.test",
        ca_file,
        True,
    )
    usual = smtp("smtp://h.test").endpoint.timeouts
    assert (usual.total_s, usual.connect_s, usual.command_s, usual.final_s) == (180, 10, 30, 120)


@each(
    ("url", "says"),
    [
        *(
            (f"smtp://h?{name}={value}", name)
            for name in ("timeout", "command_timeout")
            for value in ("0", "-1", "nan", "inf", "abc", "", "1e9")
        ),
        ("smtp://h?tls=sometimes", "required, opportunistic, none"),
        ("smtps://h?tls=none", "required"),
        ("smtp://h?verify=maybe", "yes"),
        ("smtp://h?helo=localhost", "fully qualified"),
        ("smtp://h?helo=a_b.test", "fully qualified"),
        ("smtp://h?ca_file=", "empty"),
        ("smtp://h?tiemout=5", "'timeout'"),
        ("smtp://h?what=ever", "there are: "),
        ("smtp://h/path", "no path"),
        ("smtp:", "names no host"),
        ("smtp://", "names no host"),
        ("smtp://:25", "names no host"),
        ("smtp:user:s3cret-pw@h.test", "names no host: smtp://host"),
        ("smtp://u@h", "user and password"),
        ("smtp://@h", "user and password"),
        ("smtp://:p@h", "user and password"),
        ("smpt://h", "'smtp'"),
        ("gopher://h", "there is no backend 'gopher'"),
        ("memory://h", "no host"),
        ("memory:x", "no path"),
        ("null:?a=b", "none"),
    ],
)
def test_b47_what_smtp_cannot_use_is_refused_when_built(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        backend_from_url(url)
    with pytest.raises(ConfigError):
        Mailer(url)


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://user:{SECRET}@h.test",
        f"smtps://user:{SECRET}@h.test:465?timeout=5",
        f"failover(smtp://user:{SECRET}@h.test smtp://user:{SECRET}@i.test)?rest=5",
    ],
)
def test_b46_a_backend_prints_itself_with_its_secrets_masked(url: str) -> None:
    backend = backend_from_url(url)
    assert SECRET not in f"{backend} {backend!r} {vars(backend)!r}"
    assert str(backend) == url.replace(SECRET, "***")


@pytest.mark.parametrize("name", ["password", "api_key", "secret", "token", "PW", "credentials"])
def test_options_that_sound_secret_are_masked(name: str) -> None:
    assert str(BackendURL.parse(f"x://TOKEN@h?{name}={SECRET}&b=1")) == f"x://***@h?{name}=***&b=1"


@each(
    "url",
    [
        f"smtp://user:{SECRET}/x@h.test",
        f"smtp://user:x/{SECRET}@h.test",
        f"smtp://user:12/{SECRET}@h.test",
        f"smtp://user:{SECRET}?x@h.test",
        f"smtp://user:12?{SECRET}@h.test:25",
        f"smtp://user:{SECRET}#x@h.test",
        f"smtp://user:x#{SECRET}@h.test",
        f"smtp://user:{SECRET} x@h.test",
        f"smtp://user:{SECRET}%0a@h.test",
        f"smtp://user:{SECRET}%ff@h.test",
        f"smtp://user:{SECRET}@h.test:abc",
        f"smtp://user:{SECRET}@h.test/path",
        f"smtp://user:{SECRET}@h.test?tiemout=5",
        f"smtp://user:{SECRET}@h.test?timeout=abc",
        f"smtp://user:{SECRET}@h t",
        f"smtp://user:{SECRET}@",
        f"smtp://user:{SECRET}",
        f"smtp://{SECRET}%40h.test",
        f"smtp://{SECRET}@h.test",
        f"user:{SECRET}@h.test",
        f"smtp:user:{SECRET}@h.test",
        f"smpt://user:{SECRET}@h.test",
        f"memory://user:{SECRET}@h.test",
        f"failover(smtp://user:{SECRET})x@h.test)",
        f"failover(smtp://user:{SECRET}(x@h.test)",
        f"failover(smtp://user:{SECRET}@h.test x)?rest=5",
        f"failover(smtp://user:{SECRET}@h.test)?tset=5",
        f"failover(smtp://user:{SECRET}@h.test)#",
        f"smtp://h.test?password={SECRET}",
    ],
)
def test_b46_no_refusal_echoes_a_secret(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        backend_from_url(url)
    assert SECRET not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_are_parted_by_blanks_and_may_be_nested() -> None:
    group = backend_from_url(
        "failover(smtp://a.test\n failover( memory:  null:)?rest=5 \t smtp://b.test?tls=none)?on_unknown=resend&rest=60"
    )
    assert isinstance(group, FailoverBackend)
    assert str(group) == (
        "failover(smtp://a.test failover(memory: null:)?rest=5 smtp://b.test?tls=none)?on_unknown=resend&rest=60"
    )
    assert [type(member).__name__ for member in group.members] == ["SmtpBackend", "FailoverBackend", "SmtpBackend"]
    assert str(backend_from_url(str(group))) == str(group)


def test_an_encoded_blank_or_parenthesis_stays_in_its_member() -> None:
    group = backend_from_url("failover(smtp://u:a%20b%28c%29@h.test memory:)")
    assert isinstance(group, FailoverBackend)
    assert len(group.members) == 2
    assert isinstance(group.members[0], SmtpBackend)
    assert group.members[0].endpoint.password == "a b(c)"


@each(
    ("url", "says"),
    [
        ("failover()", "empty"),
        ("failover( )", "empty"),
        ("failover(memory:", "close"),
        ("failover(memory: null:))", "?options"),
        ("failover(memory:)x", "?options"),
        ("failover(memory:)?rest=0", "rest"),
        ("failover(memory:)?rest=nan", "rest"),
        ("failover(memory:)?on_unknown=never", "keep, resend"),
        ("failover(memory:)?on_unknwon=resend", "'on_unknown'"),
        ("fialover(memory:)", "'failover'"),
        ("failover(memory:?x=1)", "no option 'x'"),
        ("failover(memory: nothing)", "scheme"),
        ("failover(3*memory: 1*null:)", "no weights"),
        ("roundrobin()", "roundrobin(URL URL)"),
        ("roundrobbin(memory:)", "'roundrobin'"),
        ("roundrobin:", "is a group"),
        ("weighted()", "weighted(1*URL 1*URL)"),
        ("weighted(memory: 1*null:)", "its weight and a star"),
        ("weighted(3 * memory:)", "its weight and a star"),
        ("weighted(0*memory:)", "weight 0 must be a whole number from 1 to 1000"),
        ("weighted(-1*memory:)", "weight -1"),
        ("weighted(3.5*memory:)", "weight 3.5"),
        ("weighted(1001*memory:)", "weight 1001"),
        ("weighted(99999999999999999999999*memory:)", "a weight must be"),
        ("weighted(*memory:)", "a weight must be"),
        ("weighted(hush*memory:)", "a weight must be"),
        ("weighted(٣*memory:)", "a weight must be"),
        ("weighted(3*)", "scheme"),
        ("weighted(3*4*memory:)", "scheme"),
        ("weighted(1*memory:)?wieght=1", "there are: on_unknown, rest"),
        ("failover(" * 9 + "memory:" + ")" * 9, "deep"),
    ],
)
def test_a_group_that_cannot_be_read_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        backend_from_url(url)


def test_deep_nesting_is_refused_at_once() -> None:
    with pytest.raises(ConfigError):
        backend_from_url("failover(" * 50_000)
    with pytest.raises(ConfigError, match="deep"):
        backend_from_url("failover(" * 2000 + "memory:" + ")" * 2000)


# --- plug-ins ---------------------------------------------------------------------------------------------------------


def test_a_registered_backend_is_made_from_its_url(registry: dict[str, Any]) -> None:
    made = []

    class Mine(Backend):
        features = Features.everything()

        def __init__(self, url: BackendURL) -> None:
            self.url = str(url)

        def send(self, mail: Any) -> Receipt:
            return Receipt.for_all(mail, Outcome.ACCEPTED, backend=self.url)

    def factory(url: BackendURL, runtime: Any) -> Backend:
        made.append((url, runtime))
        url.options(colour=str)
        return Mine(url)

    register_backend("mine", factory)
    with Mailer("mine://TOKEN@default?colour=red", from_="a@x.test") as mailer:
        from mailer import Message

        receipt = mailer.send(Message(to="b@y.test", text="t"))
    assert receipt.backend == "mine://***@default?colour=red"
    assert made[0][0].username == "TOKEN"
    assert str(backend_from_url("failover(mine://h memory:)")) == "failover(mine://h memory:)"
    with pytest.raises(ConfigError, match="'colour'"):
        backend_from_url("mine://h?color=red")
    with pytest.raises(ConfigError, match="'mine'"):
        backend_from_url("mime://h")


@pytest.mark.parametrize("name", ["smtp", "memory", "Mine", "1x", "a b", "", "mi(ne", "mine:"])
def test_names_that_cannot_be_registered(registry: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError):
        register_backend(name, lambda url, runtime: Backend())
    assert registry == {}


# --- anything at all --------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["smtp", "smtps", "failover", "weighted(", "roundrobin(", "3*", "*",
     "memory", "://", ":", "@", "/", "?", "#", "(", ")", " ", "&", "=", "%", "%20",
     "%ff", "%00",
     "[", "]",
     "::1", "h.test", "user", "25", "timeout", "rest", "tls", "none", "\n", "\0", "ü", "\udc80", "*", ","]
)  # fmt: skip
URLS = st.one_of(
    st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join), st.text(max_size=40).map("smtp://".__add__)
)


@settings(deadline=None)
@given(URLS)
@example("smtp://u:\udc80@h")
@example("smtp://%25@h:1?%3d=")
@example("smtp://[::1%25\n]")
def test_nothing_but_config_error_comes_out_and_what_is_read_can_be_shown(url: str) -> None:
    try:
        parsed = BackendURL.parse(url)
    except ConfigError as error:
        str(error).encode()
    else:
        str(parsed).encode()
        assert repr(parsed)
    try:
        backend = backend_from_url(url)
    except ConfigError as error:
        str(error).encode()
    else:
        str(backend).encode()


SAFE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@settings(deadline=None)
@given(SAFE, SAFE.filter(lambda text: len(text) > 3))
def test_what_was_percent_encoded_is_read_back_and_never_shown(user: str, password: str) -> None:
    from urllib.parse import quote

    parsed = BackendURL.parse(f"smtp://{quote(user, safe='')}:{quote(password, safe='')}@h.test")
    assert (parsed.username, parsed.password, parsed.host) == (user, password, "h.test")
    name = "***" if user == password else quote(user, safe="")  # a service's token, user and password both
    assert str(parsed) == f"smtp://{name}:***@h.test"
    assert str(BackendURL.parse(str(parsed))) == str(parsed)


def test_a_factory_is_given_the_runtime_of_the_mailer(world: World, registry: dict[str, Any]) -> None:
    given_runtimes = []

    def factory(url: BackendURL, runtime: Runtime | None) -> Backend:
        given_runtimes.append(runtime)
        return MemoryBackend()

    register_backend("given-runtime", factory)
    with world.mailer("given-runtime:") as mailer:
        assert mailer.backend.runtime is given_runtimes[0]
    assert [runtime.is_async for runtime in given_runtimes if runtime is not None] == [world.name != "blocking"]


def test_a_factory_that_makes_no_backend_is_named(registry: dict[str, Any]) -> None:
    register_backend("makes-none", lambda url, runtime: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match="makes-none"):
        backend_from_url("makes-none:")


LEAVES = st.sampled_from(
    ["memory:", "null:", "smtp://a.test?tls=none", "smtps://[::1]:465", "file:out/%28x%29%20y?format=mbox"]
)
OPTIONS = st.sampled_from(["", "?on_unknown=resend", "?rest=60", "?on_unknown=resend&rest=1.5"])


def _groups(member: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    plain = st.tuples(st.sampled_from(["failover", "roundrobin"]), st.lists(member, min_size=1, max_size=3), OPTIONS)
    weighed = st.builds("{}*{}".format, st.integers(1, 1000), member)
    weighted = st.tuples(st.just("weighted"), st.lists(weighed, min_size=1, max_size=3), OPTIONS)
    return (plain | weighted).map(lambda parts: f"{parts[0]}({' '.join(parts[1])}){parts[2]}")


@given(_groups(st.recursive(LEAVES, _groups, max_leaves=6)))
def test_a_group_prints_itself_as_what_makes_it_again(text: str) -> None:
    group = backend_from_url(text)
    again = backend_from_url(str(group))
    assert str(again) == str(group)
    assert str(group).count("(") == text.count("(")


@given(st.text("3*-.:/() ?=&memory@wightdfalover", max_size=60))
def test_no_text_for_a_group_raises_anything_but_a_config_error(text: str) -> None:
    for name in ("failover", "roundrobin", "weighted"):
        with contextlib.suppress(ConfigError):
            backend_from_url(f"{name}({text})")
