"""``parse``: what belongs to no provider."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

import mailer.webhooks
from mailer import AuthError, ConfigError, Event, EventKind, ProtocolError, relay
from mailer.webhooks import PROVIDERS, Webhook, parse, webhook_of
from mailer.webhooks.call import Call
from mailer.webhooks.payload import Payload, codes_in, is_address_at_fault, moment
from mailer.webhooks.proof import Proof


class Pigeon(Webhook):
    """A provider of one's own."""

    name = "pigeon"
    kinds = {"landed": EventKind.DELIVERED}

    def event(self, item: Payload, call: Call) -> Event:
        return self.made(item.text("what"), item, provider_id=item.id("ring"), recipient=item.address("to"))


def test_a_provider_of_ones_own():
    body = '{"what": "landed", "ring": 7, "to": "Ann <ann@example.org>"}'
    [event] = parse(Pigeon(), {"authorization": "Bearer coo"}, body, "coo")
    assert (event.kind, event.provider, event.provider_id, str(event.recipient)) == (
        "delivered",
        "pigeon",
        "7",
        "ann@example.org",
    )
    with pytest.raises(AuthError, match="pigeon"):
        parse(Pigeon(), {}, body, "coo")


def test_a_provider_that_there_is_not_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'sendgird'; did you mean 'sendgrid'"):
        parse("sendgird", {}, b"{}", "secret")
    for wrong in ("", "zz", "../sendgrid", None, 7):
        with pytest.raises(ConfigError, match="no webhooks of"):
            parse(wrong, {}, b"{}", "secret")  # type: ignore[arg-type]


def test_each_provider_has_a_file_a_test_and_its_name():
    here = Path(__file__).parent
    for name, (module, kind) in PROVIDERS.items():
        webhook = webhook_of(name)
        assert webhook.name == name
        assert type(webhook).__name__ == kind
        assert (here / f"test_{module}_webhook.py").is_file()


def test_each_relay_has_webhooks_by_the_name_in_its_url():
    """But Gmail and Microsoft Graph, which tell nothing."""
    assert set(relay.PROVIDERS) - set(PROVIDERS) == {"gmail", "msgraph"}
    assert set(PROVIDERS) <= set(relay.PROVIDERS)


def test_what_is_given_wrongly_is_a_configuration_error():
    for headers, body, more in (
        ({}, 7, {}),
        ({}, None, {}),
        (7, b"", {}),
        ([("a",)], b"", {}),
        ([(1, 2)], b"", {}),
        ({}, b"{}", {"url": b"x"}),
        ({}, b"{}", {"now": datetime(2026, 1, 2)}),
        ({}, b"{}", {"now": 7}),
    ):
        with pytest.raises(ConfigError):
            parse("postmark", headers, body, "secret", **more)


def test_headers_as_frameworks_have_them():
    from django.http import HttpHeaders
    from werkzeug.datastructures import EnvironHeaders

    environ = {"HTTP_AUTHORIZATION": "Bearer coo", "CONTENT_TYPE": "application/json"}
    for headers in (EnvironHeaders(environ), HttpHeaders(environ), httpx.Headers({"Authorization": "Bearer coo"})):
        assert parse(Pigeon(), headers, b'{"what": "landed"}', "coo")[0].kind == "delivered"


def test_headers_that_come_twice_are_one_that_fits_nothing():
    with pytest.raises(AuthError):
        parse("postmark", [("authorization", "Bearer secret"), ("Authorization", "Bearer secret")], b"{}", "secret")


def test_nothing_of_a_call_or_a_proof_is_shown():
    call = Call.of({"authorization": "Bearer s3cret"}, b"s3cret", "https://x/?secret=s3cret")
    proof = Proof.of("x", "s3cret", datetime(2026, 1, 2, tzinfo=UTC), 300)
    assert "s3cret" not in f"{call!r} {call} {proof!r} {proof}"


def test_moments():
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for value in (
        when.timestamp(), "1767323045", "1767323045.0", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "2026-01-02T04:04:05+01:00",
        "2026-01-02T03:04:05.000000000Z",
    ):  # fmt: skip
        assert moment(value) == when, value
    for value in (
        None,
        True,
        "",
        "soon",
        [],
        1e300,
        float("nan"),
        -1e18,
        "9" * 25,
        "1.2.3",
        "²",
        "2026-13-01",
        "x" * 100,
    ):
        assert moment(value) is None, value


def test_json_that_no_other_reader_takes_is_none():
    """It would be passed on in ``raw``, and fail there."""
    shown = {"authorization": "Bearer coo"}
    for value in ("NaN", "-Infinity", "1e999", '"\\ud800"', '{"\\udfff": 1}'):
        with pytest.raises(ProtocolError, match="no JSON"):
            parse(Pigeon(), shown, f'{{"what": "landed", "x": {value}}}', "coo")
    for value in ("1e308", '"\\ud83d\\udd4a"', "9" * 40):
        assert parse(Pigeon(), shown, f'{{"what": "landed", "x": {value}}}', "coo")[0].kind == "delivered"


def test_ids_are_text_of_a_length():
    for value, wanted in (
        (7, "7"),
        (1 << 63, str(1 << 63)),
        (1 << 64, ""),
        (True, ""),
        (1.5, ""),
        ("x" * 256, ""),
        ("a\nb", ""),
        ("", ""),
    ):
        assert Payload({"id": value}).id("id") == wanted
    assert Payload({"a": None, "b": "x"}).id("a", "b") == "x"


def test_codes():
    for text, code, enhanced in (
        ("550 5.1.1 who?", 550, "5.1.1"),
        ("smtp; 550-5.1.1 who?", 550, "5.1.1"),
        ("X-Postfix; 421 4.4.2 x", 421, "4.4.2"),
        ("host 5.1.1.9 said 550", None, None),
        ("5500 x", None, None),
        ("smtp;550", 550, None),
        ("said (5.7.26).", None, "5.7.26"),
        ("", None, None),
    ):
        assert codes_in(text) == (code, enhanced), text
    for text, fault in (
        ("550 5.1.10 x", True),
        ("552 5.2.1 x", True),
        ("552 5.2.2 x", False),
        ("550 x", None),
        ("5.10.1", False),
    ):
        assert is_address_at_fault(text) is fault, text


def test_signatures_are_compared_in_constant_time_and_algorithms_are_ours():
    """In the files that check signatures no "==" is about a secret, and the algorithm is a literal."""
    folder = Path(mailer.webhooks.__file__).parent
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            if function.name not in ("verify", "check_any", "check_shared"):
                continue
            compared = [node for node in ast.walk(function) if isinstance(node, ast.Compare)]
            operators = {type(operator) for node in compared for operator in node.ops if not _is_of_words(node)}
            assert operators <= {ast.In, ast.Is, ast.IsNot}, (path.name, function.name)
        for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
            if isinstance(call.func, ast.Name) and call.func.id == "hmac_of":
                assert all(isinstance(more, ast.Constant) for more in call.args[2:]), path.name


def _is_of_words(node: ast.Compare) -> bool:
    return all(isinstance(other, ast.Constant) for other in node.comparators)
