"""Mailgun: what is its own, and the form that it takes. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from base64 import b64encode
from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay_cases import PNG, mail_of, message_of
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import Attachment, AuthError, ConfigError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.exchange import Request
from mailer.relay.form import Field, form_data
from mailer.relay.mailgun import Mailgun
from mailer.testing import FakeRelay, RelayRequest

LOGIN = b64encode(f"api:{TOKEN}".encode()).decode()
FORM = "#/components/schemas/POST-v3-domain_name-messages-multipart-form-data-RequestBody"
LISTS = ("to", "cc", "bcc", "o:tag", "attachment", "inline")


def form_of(request: Request) -> list[tuple[str, str | bytes, str | None]]:
    headers = {name.lower(): value for name, value in request.headers}
    return RelayRequest("POST", "/", headers, request.content).form


class TestMailgun(ProviderChecks):
    provider = Mailgun(TOKEN)
    ok = answer(200, {"id": "<m-1@mg.example.com>", "message": "Queued. Thank you."})
    schemas = [("mailgun.openapi.json", FORM)]  # noqa: RUF012
    credentials = ("Authorization", f"Basic {LOGIN}")
    named_bases = {  # noqa: RUF012
        "mailgun://T@default?domain=mg.example.com": "https://api.mailgun.net",
        "mailgun://T@eu": "https://api.eu.mailgun.net",
        "mailgun://T@relay.example.com": "https://relay.example.com",
    }
    statuses = {404: ([D, D], ConfigError)}  # noqa: RUF012
    answers = {  # noqa: RUF012
        "no id": (answer(200, {"message": "Queued. Thank you."}), [U, U], ProtocolError, "gives no id"),
        "an id that is none": (answer(200, {"id": 1.5}), [U, U], ProtocolError, "gives no id"),
        "an id that is the key": (answer(200, {"id": TOKEN}), [U, U], ProtocolError, "id is none"),
        "a banner": (answer(200, b"Mailgun Magnificent API"), [D, D], ConfigError, "check the host"),
        "another text": (answer(200, b"It works!"), [U, U], ProtocolError, "no JSON object"),
        "refused": (answer(400, {"message": "'to' is\r\nno \x1b[2Jaddress"}), [R, R], None, "'to' is no \\x1b[2Jaddress"),
        "an error in another form": (answer(400, {"message": [1]}), [R, R], None, "HTTP 400"),
        "bad key": (answer(401, b"Forbidden"), [D, D], AuthError, "Forbidden"),
        "the key said back": (answer(401, f"no {TOKEN} {LOGIN}".encode()), [D, D], AuthError, "no *** ***"),
        "wrong region": (answer(404, {"message": "Domain not found: x"}), [D, D], ConfigError, "Domain not found"),
    }  # fmt: skip

    @classmethod
    def body_of(cls, request: Request) -> Any:
        return [
            [name, value] if isinstance(value, str) else [name, filename, b64encode(value).decode()]
            for name, value, filename in form_of(request)
        ]

    def schema_body(self, body: Any) -> Any:
        fields: dict[str, Any] = {"subject": ""}  # a template may hold it
        for name, *values in body:
            fields[name] = [*fields.get(name, []), values[-1]] if name in LISTS else values[-1]
        return fields

    def test_how_long_a_throttle_holds(self) -> None:
        for given_answer, seconds in (
            (answer(429, {"message": "too many, try again after 30 seconds"}), 30),
            (answer(429, b"Try again in 5s"), 5),
            (answer(429, {"message": "try again after 30 seconds"}, retry_after="3"), 3),
            (answer(429, {"message": "try again after a while"}), None),
            (answer(503, {"message": "try again after 30 seconds"}), None),
        ):
            receipt = self.provider.receipt(given_answer, PAIR)
            assert [(r.outcome, r.retry_after_s) for r in receipt.results] == [(D, seconds)] * 2

    def test_the_sending_domain_is_the_options_or_froms(self) -> None:
        url = Mailgun(TOKEN, domain="mg.example.com").request(PAIR).url
        assert url == "https://api.mailgun.net/v3/mg.example.com/messages"
        idn = self.provider.request(mail_of(message_of("idn"))).url
        assert idn == "https://api.mailgun.net/v3/xn--bcher-kva.example/messages"
        for wrong in ("..", "a/b", "a%2Fb", "b%C3%BCcher.example", "a..b", "-", ""):
            with pytest.raises(ConfigError, match="domain"):
                backend_from_url(f"mailgun://T@default?domain={wrong}")

    def test_nobody_who_is_hidden_sees_another(self) -> None:
        fields = form_of(self.provider.request(mail_of(message_of("bcc only"))))
        assert [value for name, value, _ in fields if name == "to"] == ["dee@example.org", "eve@example.org"]
        [variables] = [value for name, value, _ in fields if name == "recipient-variables"]
        assert json.loads(variables) == {"dee@example.org": {}, "eve@example.org": {}}

    def test_an_inline_file_is_named_by_its_content_id(self) -> None:
        fields = form_of(self.provider.request(mail_of(message_of("inline"))))
        assert ("inline", bytes(PNG), PNG.content_id) in fields

    def test_metadata_is_hidden_from_the_recipient(self) -> None:
        fields = form_of(self.provider.request(mail_of(message_of("metadata"))))
        assert ("o:suppress-headers", "X-Mailgun-Variables", None) in fields
        assert ("v:path", '["a", "ü"]', None) in fields

    def test_options_are_fields_in_the_place_of_ours(self) -> None:
        options = {"o:tag": ["a", "b"], "o:tracking-opens": True, "o:dkim": "no", "t:variables": {"x": 1}}
        message = message_of("tags").with_(track_opens=False, provider_options=options)
        fields = [field[:2] for field in form_of(self.provider.request(mail_of(message)))]
        assert fields[-5:] == [
            ("o:tag", "a"),
            ("o:tag", "b"),
            ("o:tracking-opens", "yes"),
            ("o:dkim", "no"),
            ("t:variables", '{"x": 1}'),
        ]
        assert sum(name in ("o:tag", "o:tracking-opens") for name, _ in fields) == 3

    def test_how_much_it_takes(self) -> None:
        backend = RelayBackend(self.provider)
        used = len("o:suppress-headersX-Mailgun-Variables") + len("v:k")
        backend.left_out(mail_of(message_of("plain").with_(metadata={"k": "x" * (16_384 - used)})))
        with pytest.raises(UnsupportedFeature, match="16385 bytes") as refused:
            backend.left_out(mail_of(message_of("plain").with_(metadata={"k": "x" * (16_385 - used)})))
        assert refused.value.field == "metadata"
        with pytest.raises(UnsupportedFeature, match="25000000"):
            backend.left_out(
                mail_of(message_of("plain").with_(attachments=[Attachment("x", lambda: None, 19_000_000)]))
            )

    def test_over_loopback(self) -> None:
        with FakeRelay("mailgun", token=TOKEN) as relay, new_world("asyncio") as world:
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x") + "&domain=mg.example.com&sandbox=yes"
            with world.mailer(url) as mailer:
                receipt = mailer.send(message_of("attachments"))
        assert receipt.provider_ids == ("<1@mg.example.com>",)
        assert {r.outcome for r in receipt.results} == {A}
        [request] = relay.requests
        assert request.path == "/v3/mg.example.com/messages"
        assert [filename for name, _, filename in request.form if name == "attachment"] == [
            "r.pdf",
            "Übersicht.csv",
            "message.eml",
        ]
        assert ("o:testmode", "yes", None) in request.form


NAMES = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=40), NAMES), max_size=5))
def test_another_parser_reads_the_form_as_it_was(fields: list[tuple[str, bytes, str]]) -> None:
    """Whatever names hold, no field becomes two, and no content ends early."""
    content_type, body = form_data([Field(name, value, filename) for name, value, filename in fields])
    parsed = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    parts = parsed.get_payload() if fields else []
    assert [part.keys() for part in parts] == [["Content-Disposition"]] * len(fields)
    read = RelayRequest("POST", "/", {"content-type": content_type}, body).form
    assert [value for _, value, _ in read] == [value for _, value, _ in fields]


def test_a_boundary_stands_in_no_content() -> None:
    first = form_data([Field("a", b"x")])[0].partition("boundary=")[2]
    _, body = form_data([Field("a", b"x"), Field("b", f"--{first}--\r\n".encode())])
    assert body.count(first.encode()) == 1
    assert form_data([Field("a", b"x")]) == form_data([Field("a", b"x")])
