"""``?api=mime`` of Mailgun, SparkPost and Mandrill: the envelope says to whom, the content says the rest."""

from __future__ import annotations

from typing import Any

import pytest
import test_mailgun
import test_mandrill
import test_sparkpost
from relay_cases import mail_of, message_of
from relay_checks import PAIR, TOKEN, ProviderChecks
from worlds import World

from mailer import Content, Envelope, Mail, Message, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.relay.exchange import Request
from mailer.relay.mailgun import Mailgun
from mailer.relay.mandrill import Mandrill
from mailer.relay.sparkpost import SparkPost
from mailer.testing import FakeRelay, RelayRequest


class TestMailgunAsItIs(ProviderChecks):
    provider = Mailgun(TOKEN, api="mime")
    golden_name = "mailgun-mime"
    ok = test_mailgun.TestMailgun.ok
    answers = test_mailgun.TestMailgun.answers
    statuses = test_mailgun.TestMailgun.statuses
    schemas = [("mailgun.openapi.json", test_mailgun.FORM.replace("messages-multi", "messages-mime-multi"))]  # noqa: RUF012
    credentials = test_mailgun.TestMailgun.credentials
    named_bases = {"mailgun://T@eu?api=mime": "https://api.eu.mailgun.net"}  # noqa: RUF012

    @classmethod
    def body_of(cls, request: Request) -> Any:
        assert request.url.endswith("/v3/example.com/messages.mime") or "xn--" in request.url
        return test_mailgun.TestMailgun.body_of(request)

    def schema_body(self, body: Any) -> Any:
        fields: dict[str, Any] = {}
        for name, *values in body:
            is_list = name in ("to", "o:tag")
            fields[name] = [*fields.get(name, []), values[-1]] if is_list else values[-1]
        return {name: value for name, value in fields.items() if not name.startswith("v:")}

    def test_whose_domain_sends(self) -> None:
        ready = PAIR.with_(message=None, envelope=Envelope("bounce@mg.example.net", ["a@example.org"]))
        assert self.provider.request(ready).url.endswith("/v3/mg.example.net/messages.mime")
        nobody = ready.with_(envelope=Envelope(None, ["a@example.org"]))
        with pytest.raises(UnsupportedFeature, match=r"give the URL \?domain="):
            self.provider.request(nobody)
        named = Mailgun(TOKEN, api="mime", domain="mg.example.com")
        assert named.request(nobody).url.endswith("/v3/mg.example.com/messages.mime")


class TestSparkPostAsItIs(ProviderChecks):
    provider = SparkPost(TOKEN, api="mime")
    golden_name = "sparkpost-mime"
    ok = test_sparkpost.TestSparkPost.ok
    answers = test_sparkpost.TestSparkPost.answers
    schemas = test_sparkpost.TestSparkPost.schemas
    credentials = test_sparkpost.TestSparkPost.credentials
    named_bases = {"sparkpost://T@eu?api=mime": "https://api.eu.sparkpost.com/api/v1"}  # noqa: RUF012

    def test_what_it_would_evaluate_is_refused(self) -> None:
        """In headers and bodies, encoded or not: it cannot be told not to."""
        backend = RelayBackend(self.provider)
        for said in ({"subject": "{{ x }}"}, {"text": "{{ x }}"}, {"html": "<p>{{x}}</p>"}, {"headers": {"X-A": "{{"}}):
            with pytest.raises(UnsupportedFeature, match="api=json carries that"):
                backend.left_out(mail_of(message_of("plain").with_(**said)))
        with pytest.raises(UnsupportedFeature, match="api=json carries that"):
            backend.left_out(PAIR.with_(message=None, content=Content.of(b"Subject: {{ x }}\r\n\r\n")))


class TestMandrillAsItIs(ProviderChecks):
    provider = Mandrill(TOKEN, api="mime")
    golden_name = "mandrill-mime"
    ok = test_mandrill.TestMandrill.ok
    answers = test_mandrill.TestMandrill.answers
    statuses = test_mandrill.TestMandrill.statuses
    schemas = []  # noqa: RUF012 - the vendor's file has none for it
    named_bases = {"mandrill://T@default?api=mime": "https://mandrillapp.com/api/1.0"}  # noqa: RUF012
    body_of = test_mandrill.TestMandrill.body_of  # type: ignore[assignment]

    def is_hidden(self, body: Any, address: str, *, is_alone: bool) -> bool:
        """``to`` is the envelope here; who is shown stands in the content, which is nobody's address in these cases."""
        return address in body["to"] and address not in body["raw_message"]

    def test_the_token_stands_in_its_header_alone(self) -> None:
        """Here it stands in the body, and is shown nowhere."""
        request = self.provider.request(PAIR)
        assert request.content.count(TOKEN.encode()) == 1
        assert TOKEN not in request.url + str(request.headers) + repr(request) + repr(self.provider)


@pytest.mark.parametrize("provider", [SparkPost(TOKEN, api="mime"), Mandrill(TOKEN, api="mime")])
def test_content_that_no_text_can_hold_is_refused(provider: Any) -> None:
    mail = PAIR.with_(message=None, content=Content.of(b"Subject: x\r\n\r\n\xff\r\n"))
    with pytest.raises(UnsupportedFeature, match="neither ASCII nor UTF-8"):
        provider.request(mail)


def in_form(form: Any) -> tuple[list[str], bytes]:
    [content] = [value for name, value, _ in form if name == "message"]
    return [value for name, value, _ in form if name == "to"], content


def taken(read: Any, request: RelayRequest) -> tuple[list[str], bytes]:
    """To whom, and what."""
    to, content = read(request.form if read is in_form else request.json)
    return to, content if isinstance(content, bytes) else content.encode()


def test_what_is_composed_or_ready_made_arrives_as_it_is_and_hides_whom_it_hides(world: World) -> None:
    """A signature too: the bytes are those that SMTP would carry."""
    ready = b"From: a@example.com\r\nTo: b@example.org\r\nDKIM-Signature: v=1; b=x\r\n\r\nx\r\n"
    message = Message(
        from_="a@example.com", to="ann@example.org", bcc="dee@example.org", subject="ü", text="x",
        alternatives=[("text/calendar", "BEGIN:VCALENDAR")], headers=[("X-A", "1"), ("X-A", "2")],
    )  # fmt: skip
    seen: list[Mail] = []
    for scheme, read in (
        ("mailgun", in_form),
        ("sparkpost", lambda b: ([to["address"]["email"] for to in b["recipients"]], b["content"]["email_rfc822"])),
        ("mandrill", lambda b: (b["to"], b["raw_message"])),
    ):
        with FakeRelay(scheme) as relay, world.mailer(f"{relay.url}&api=mime") as mailer:
            mailer.hooks.add_filter("sign", lambda mail, context: seen.append(mail) or mail)
            assert mailer.send(message).ok, scheme
            assert mailer.send_raw(ready, envelope=Envelope("a@example.com", ["c@example.org"])).ok
            assert [receipt.ok for receipt in mailer.send_many([message, message])] == [True, True]
        to, content = taken(read, relay.requests[0])
        assert (to, content) == (["ann@example.org", "dee@example.org"], bytes(seen[-4].content))
        assert b"dee@" not in content
        assert content.count(b"X-A: ") == 2
        to, content = taken(read, relay.requests[1])
        assert to == ["c@example.org"]
        assert ready.partition(b"\r\n\r\n")[0] in content or all(line in content for line in ready.split(b"\r\n"))
        assert len(relay.requests) == 4
