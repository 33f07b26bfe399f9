"""What holds for every provider's webhook: subclass :class:`WebhookChecks` with its tables.

The samples are made after what the providers document: see FACTS.md of the project, sections D, E and each provider's.
"""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from mailer import Address, AuthError, ConfigError, Event, MailerError, ProtocolError
from mailer.testing import SecretSweep
from mailer.webhooks import parse, webhook_of

__all__ = ["MAIL_ID", "NOW", "BasicAuth", "Signed", "WebhookChecks", "at"]

NOW = datetime(2026, 1, 2, 3, 5, tzinfo=UTC)
MAIL_ID = "0123456789abcdef" * 2


def at(seconds: float) -> datetime:
    """The moment of a Unix time."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True)
class Signed:
    """A call as its provider makes it."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


class WebhookChecks:
    """The checks; a subclass gives the tables and says how its provider signs."""

    provider: ClassVar[str]
    secret: ClassVar[str]
    #: Another secret of the right form.
    other_secret: ClassVar[str]
    #: Name -> what the provider sends for one event, and what must be seen of it: one mapping of fields, or several.
    samples: ClassVar[dict[str, tuple[dict[str, Any], dict[str, Any] | list[dict[str, Any]]]]]
    #: The sample whose metadata has our mail's id; None if the provider repeats no metadata.
    mail_id_in: ClassVar[str | None]
    #: How to make a sample that the provider has not sent before.
    unheard_of: ClassVar[Callable[[dict[str, Any]], None]]
    #: Whether the signature has a time.
    has_window: ClassVar[bool] = True
    #: Whether the signature covers the body.
    covers_body: ClassVar[bool] = True
    #: Whether events come in lists.
    is_list: ClassVar[bool] = False

    # --- to be given --------------------------------------------------------------------------------------------------

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        """The call that carries this body, signed at that time."""
        raise NotImplementedError

    def body_of(self, items: list[Any]) -> bytes:
        """The body that tells these events."""
        return json.dumps(items if self.is_list else items[0]).encode()

    # --- how ----------------------------------------------------------------------------------------------------------

    def read(self, body: bytes, *, secret: str | None = None, now: datetime = NOW, **more: Any) -> list[Event]:
        call = self.sign(body, secret or self.secret, now)
        return parse(self.provider, call.headers, call.body, self.secret, **{"now": NOW, **call.more, **more})

    @property
    def first(self) -> dict[str, Any]:
        return copy.deepcopy(next(iter(self.samples.values()))[0])

    def expect_refusal(self, signed: Signed, **more: Any) -> str:
        with pytest.raises(AuthError) as caught:
            parse(self.provider, signed.headers, signed.body, self.secret, **{"now": NOW, **signed.more, **more})
        error = caught.value
        assert self.provider in str(error)
        assert error.__traceback__ is not None
        found = SecretSweep([self.secret])
        found.show(error.with_traceback(error.__traceback__.tb_next))  # but for this frame
        found.check()
        return str(error)

    # --- what is told -------------------------------------------------------------------------------------------------

    def test_what_each_sample_says(self) -> None:
        assert len(self.samples) >= 5
        for name, (item, expected) in self.samples.items():
            events = self.read(self.body_of([item]))
            rows = expected if isinstance(expected, list) else [expected]
            assert len(events) == len(rows), name
            for event, row in zip(events, rows, strict=True):
                assert {"kind", "provider_id", "recipient"} <= set(row), f"{name}: a row says these at least"
                wanted = {**row, "recipient": row["recipient"] and Address.parse(row["recipient"])}
                assert {key: getattr(event, key) for key in wanted} == wanted, name
                assert event.provider == self.provider
                assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event, name

    def test_all_its_words_are_in_the_samples(self) -> None:
        kinds = {kind for _, row in self.samples.values() for kind in _kinds(row)}
        assert set(webhook_of(self.provider).kinds.values()) <= kinds

    def test_what_is_new_is_unknown_and_nothing_fails(self) -> None:
        item = self.first
        type(self).unheard_of(item)
        [event] = self.read(self.body_of([item]))
        assert event.kind == "unknown"
        assert event.raw

    def test_several_events_keep_their_order(self) -> None:
        items = [copy.deepcopy(item) for item, _ in self.samples.values()]
        alone = [event for item in items for event in self.read(self.body_of([item]))]
        if not self.is_list:  # one alone in each call
            assert self.read(self.body_of(items)) == alone[: len(self.read(self.body_of(items[:1])))]
            return
        assert self.read(self.body_of(items)) == alone
        assert self.read(self.body_of([])) == []
        strange = self.read(self.body_of([7, None, *items]))
        assert [event.kind for event in strange[:2]] == ["unknown"] * 2
        assert strange[2:] == alone

    def test_our_mail_id_is_found_and_is_no_metadata(self) -> None:
        if self.mail_id_in is None:  # it repeats no metadata
            assert not any(e.mail_id for item, _ in self.samples.values() for e in self.read(self.body_of([item])))
            return
        name = self.mail_id_in
        event = self.read(self.body_of([self.samples[name][0]]))[0]
        assert event.mail_id == MAIL_ID
        assert "mailer_id" not in event.metadata
        for bad in ("", "a b", "x" * 81, 7, None):
            item = json.loads(json.dumps(self.samples[name][0]).replace(json.dumps(MAIL_ID), json.dumps(bad)))
            if json.dumps(item) != json.dumps(self.samples[name][0]):
                assert self.read(self.body_of([item]))[0].mail_id is None

    # --- whether it is believed ---------------------------------------------------------------------------------------

    def test_an_empty_secret_is_a_configuration_error(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        for secret in ("", "  ", [], [""], [self.secret, ""], None, b"x", 7):
            with pytest.raises(ConfigError, match="secret is empty"):
                parse(self.provider, call.headers, call.body, secret, now=NOW, **call.more)  # type: ignore[arg-type]

    def test_who_has_another_secret_is_refused(self) -> None:
        self.expect_refusal(self.sign(self.body_of([self.first]), self.other_secret, NOW))

    def test_who_shows_nothing_is_refused(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        body = self.body_of([{}]) if not call.headers else call.body  # where it is the body that is signed
        for headers in ({}, dict.fromkeys(call.headers, ""), dict.fromkeys(call.headers, "ÿ\n,")):
            self.expect_refusal(Signed(body, headers, call.more))

    def test_one_of_several_secrets_will_do(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        for secrets in ([self.other_secret, self.secret], (self.secret, self.other_secret)):
            assert parse(self.provider, call.headers, call.body, secrets, now=NOW, **call.more)
        with pytest.raises(AuthError):
            parse(self.provider, call.headers, call.body, [self.other_secret], now=NOW, **call.more)

    def test_headers_may_come_in_any_form(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        wanted = parse(self.provider, call.headers, call.body, self.secret, now=NOW, **call.more)
        for headers in (
            {name.upper(): value for name, value in call.headers.items()},
            [(name.lower().encode(), value.encode()) for name, value in call.headers.items()],
            [(name, f" {value} ") for name, value in call.headers.items()],
        ):
            assert parse(self.provider, headers, call.body, self.secret, now=NOW, **call.more) == wanted

    def test_headers_that_come_twice_are_refused(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        proving = {name: value for name, value in call.headers.items() if name != "Content-Type"}
        if proving:  # else it is the body that is signed
            twice: Any = [*call.headers.items(), *proving.items()]
            self.expect_refusal(Signed(call.body, twice, call.more))

    def test_a_changed_body_is_refused(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        if not self.covers_body:  # as its module says
            assert parse(self.provider, call.headers, call.body + b"\n", self.secret, now=NOW, **call.more)
            return
        for body in (call.body[:-1], call.body + b" ", call.body.replace(b"example", b"example", 1) + b"\n", b""):
            self.expect_refusal(Signed(body, call.headers, call.more))

    def test_an_old_call_is_refused_when_it_comes_again(self) -> None:
        body = self.body_of([self.first])
        if not self.has_window:  # it shows no time
            assert self.read(body, now=NOW + timedelta(days=9))
            return
        window = self.window_s
        for off in (window, -window, 0.0):
            assert self.read(body, now=NOW + timedelta(seconds=off))
        for off in (window + 1, -window - 1, 1e8):
            text = self.expect_refusal(self.sign(body, self.secret, NOW + timedelta(seconds=off)))
            assert "from now" in text
        assert self.read(body, now=NOW - timedelta(seconds=window + 90), tolerance_s=window + 100)

    window_s: ClassVar[float] = 300.0

    # --- hostile input ------------------------------------------------------------------------------------------------

    def test_a_body_too_large_is_not_read(self) -> None:
        with pytest.raises(ProtocolError, match="at most 100 are taken"):
            self.read(self.body_of([self.first]), max_bytes=100)

    def test_no_body_raises_anything_else(self) -> None:
        """Whatever is signed: an Event, or an error of ours."""
        bodies = [
            b"", b" ", b"\x00", b"\xff\xfe", b"null", b"7", b'"x"', b"[", b"{", b"[[]]", b"[{}]", b"{}",
            b"[" * 100_000, b'{"a":' * 100_000, b'{"a":NaN}', b'[{"timestamp":1e999}]', b"[" + b"9" * 5000 + b"]",
            b'{"a":"\\ud800"}', b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"a=b&a=c", b"%ff=%ff", b"&" * 3000,
        ]  # fmt: skip
        for body in bodies:
            try:
                events = self.read(body)
            except MailerError:
                continue
            assert all(isinstance(event, Event) for event in events)

    def test_no_value_of_any_field_raises(self) -> None:
        """Each value of each sample in turn becomes something else; then many at once."""
        strange: list[Any] = [
            None, True, 0, -1, 1.5, 10**40, 1e300, "", "x", "\x00\x1b[2J\u202e", "9" * 400, "é" * 3000, "a@b@c",
            "2026-99-99T99:99:99Z", "0001-01-01T00:00:00+23:59", [], [None, 7], {}, {"x": {"y": [1]}}, "[", "[7]",
        ]  # fmt: skip
        chance = random.Random(7)
        for name, (item, _) in self.samples.items():
            ways = list(_ways(item))
            for way in ways:
                for value in chance.sample(strange, 3):
                    self._survives(name, _changed(item, [way], [value]))
            for _ in range(10):
                some = chance.sample(ways, min(4, len(ways)))
                self._survives(name, _changed(item, some, [chance.choice(strange) for _ in some]))

    def _survives(self, name: str, item: Any) -> None:
        try:
            events = self.read(self.body_of([item]))
        except (AuthError, ProtocolError):
            return
        for event in events:
            assert event.text.isprintable(), name
            assert json.loads(json.dumps(event.to_dict(), allow_nan=False)), name


class BasicAuth(WebhookChecks):
    """For providers that do not sign: they show a secret of ours."""

    secret = "hook:a-long-secret"
    other_secret = "hook:another-secret"
    has_window = covers_body = False

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        return Signed(body, {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()})

    def test_where_a_secret_may_stand(self) -> None:
        body = self.body_of([self.first])
        token = "tökén-/+ 1"
        basic = base64.b64encode(f"any:{token}".encode()).decode()
        for headers, url in (
            ({"authorization": f"BASIC {basic}"}, ""),
            ([(b"authorization", f"Bearer {token}".encode("latin-1"))], "")
            if token.isascii()
            else ({}, "?token=t%C3%B6k%C3%A9n-/%2B%201"),
            ({}, "https://hooks.example.com/x?a=b&secret=t%C3%B6k%C3%A9n-%2F%2B+1"),
        ):
            assert parse(self.provider, headers, body, token, url=url)
        for headers, url in (
            ({}, ""),
            ({}, "https://hooks.example.com/secret"),
            ({}, "https://hooks.example.com/?a=secret"),
            ({}, "https://hooks.example.com/?secret="),
            ({}, "https://[x/?secret=secret"),
            ({"authorization": "Basic"}, ""),
            ({"authorization": "Basic secret"}, ""),
            ({"authorization": "Digest secret"}, ""),
            ({"authorization": "secret"}, ""),
            ({"x-webhook-secret": "secre"}, ""),
        ):
            with pytest.raises(AuthError):
                parse(self.provider, headers, body, "secret", url=url)
        assert parse(self.provider, {"authorization": "bearer secret"}, body, "secret")
        assert parse(self.provider, {"X-Webhook-Secret": "secret"}, body, "secret")


def _kinds(row: dict[str, Any] | list[dict[str, Any]]) -> list[str]:
    return [one["kind"] for one in (row if isinstance(row, list) else [row])]


def _ways(item: Any, above: tuple[Any, ...] = ()) -> Any:
    """The keys to each value within."""
    pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    for key, value in pairs:
        yield (*above, key)
        yield from _ways(value, (*above, key))


def _changed(item: Any, ways: list[tuple[Any, ...]], values: list[Any]) -> Any:
    made = copy.deepcopy(item)
    for way, value in zip(ways, values, strict=True):
        place = made
        try:
            for key in way[:-1]:
                place = place[key]
            place[way[-1]] = copy.deepcopy(value)
        except (LookupError, TypeError):
            continue
    return made
