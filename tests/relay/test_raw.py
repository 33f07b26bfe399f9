"""Content as it is: what ``?api=mime`` means for any provider that takes it."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from typing import Any

import httpx
import pytest
from relay_cases import mail_of, message_of
from relay_checks import PAIR
from worlds import World

from mailer import ConfigError, Content, Envelope, Features, Message, Outcome, Receipt, UnsupportedFeature
from mailer.backends.relay import RelayBackend, relay_factory
from mailer.backends.url import BackendURL
from mailer.features import Limits
from mailer.relay.exchange import Request
from mailer.relay.option import api
from mailer.relay.postmark import Postmark
from mailer.relay.provider import Provider
from mailer.relay.raw import MIME, base64_content


class Acme(Provider):
    name = "acme"
    bases = {"default": "https://api.acme.example"}  # noqa: RUF012
    features = Features(raw=False, sender=False, alternatives=False)
    mime = replace(MIME, tags=True)
    limits = Limits(recipients=3, reply_to=1, tags=1, size_bytes=1000)
    options = {"api": api}  # noqa: RUF012
    batch_size = 10
    has_unique_headers = True

    def request(self, mail: Any) -> Request:
        letter = self.letter(mail)
        to = [address.ascii for address in (*letter.to, *letter.cc, *letter.bcc)]
        body: dict[str, Any] = {"to": to, "tags": letter.message.tags}
        if letter.content is not None:
            body["raw"] = base64_content(letter)
        else:
            body["subject"] = letter.message.subject
        return Request.json(self.base, body, {})

    def accepted(self, data: Any, mail: Any, response: Any) -> Receipt:
        return Receipt.for_all(mail, Outcome.ACCEPTED)


def backend(url: str = "acme://TOKEN@default?api=mime") -> RelayBackend:
    made = relay_factory(Acme)(BackendURL.parse(url), None)
    assert isinstance(made, RelayBackend)
    return made


def body_of(made: RelayBackend, mail: Any) -> Any:
    return json.loads(made.provider.request(mail).content)


class TestApi:
    def test_it_is_chosen_by_the_url_or_by_hand(self) -> None:
        for made in (backend(), RelayBackend(Acme("TOKEN", api="mime"))):
            assert made.features is Acme.mime
            assert made.batch_size == 1
        for made in (backend("acme://TOKEN@default"), backend("acme://TOKEN@default?api=json")):
            assert made.features is Acme.features
            assert made.batch_size == 10

    def test_what_is_not_offered_is_a_config_error(self) -> None:
        with pytest.raises(ConfigError, match=r"api=.*must be one of json, mime"):
            backend("acme://TOKEN@default?api=xml")
        with pytest.raises(ConfigError, match=r"acme: api='xml': must be json or mime"):
            Acme("TOKEN", api="xml")

        class Plain(Acme):
            mime = None  # type: ignore[assignment]

        with pytest.raises(ConfigError, match=r"acme: api='mime': must be json$"):
            Plain("TOKEN", api="mime")
        with pytest.raises(ConfigError, match="api"):
            relay_factory(Postmark)(BackendURL.parse("postmark://TOKEN@default?api=mime"), None)


class TestContent:
    def test_the_bytes_go_as_they_are_and_the_envelope_says_to_whom(self) -> None:
        made = backend()
        content = Content.of(b"From: a@example.com\r\nTo: x@example.net\r\n\r\nHi\r\n")
        for mail in (
            PAIR.with_(content=content),
            PAIR.with_(content=content, is_altered=True),
            PAIR.with_(content=content, message=None),
        ):
            assert made.left_out(mail) == ()
            body = body_of(made, mail)
            assert b64decode(body["raw"]) == bytes(content)
            assert body["to"] == ["ann@example.org", "bob@example.org"]

    def test_what_json_lacks_is_carried_and_what_the_api_has_beside_it_is_counted(self) -> None:
        made, by_json = backend(), backend("acme://TOKEN@default")
        for case in ("alternatives", "sender", "headers twice", "reply_to list"):
            assert made.left_out(mail_of(message_of(case))) == (), case
            with pytest.raises(UnsupportedFeature):
                by_json.left_out(mail_of(message_of(case)))
        [note] = made.left_out(mail_of(message_of("tags")))
        assert note.startswith("tags beyond the first 1")

    def test_who_gives_json_is_told_of_it(self) -> None:
        for raw in (PAIR.with_(message=None), PAIR.with_(is_altered=True)):
            with pytest.raises(UnsupportedFeature, match=r"its option api=mime carries it$"):
                backend("acme://TOKEN@default").left_out(raw)
            with pytest.raises(UnsupportedFeature, match=r"composes anew$|changed in the bytes$"):
                RelayBackend(Postmark("TOKEN")).left_out(raw)

    def test_its_own_length_and_the_envelope_are_what_is_limited(self) -> None:
        made = backend()
        made.left_out(PAIR.with_(content=Content.of(b"x" * 998 + b"\r\n"), message=None))
        with pytest.raises(UnsupportedFeature, match="has 1001 bytes"):
            made.left_out(PAIR.with_(content=Content.of(b"x" * 999 + b"\r\n"), message=None))
        four = Message(from_="a@example.com", to=[f"n{n}@example.org" for n in range(4)])
        with pytest.raises(UnsupportedFeature, match="4 are more than the 3"):
            made.left_out(mail_of(four).with_(message=None))

    def test_headers_in_utf8_are_for_who_takes_them(self) -> None:
        """Others get them in ASCII, as an SMTP server without SMTPUTF8 does; but for a mail that is signed."""
        text = "From: a@example.com\r\nTo: Ännchen <ann@example.org>, björn@example.org\r\n\r\nx\r\n"
        mail = PAIR.with_(content=Content.of(text.encode()), message=None)
        assert backend().left_out(mail) == ()
        head = b64decode(body_of(backend(), mail)["raw"]).partition(b"\r\n\r\n")[0].decode("ascii")
        assert "<ann@example.org>" in head
        assert "rn@" not in head
        abroad = mail.with_(envelope=Envelope("björn@example.com", ["ann@example.org"]))
        with pytest.raises(UnsupportedFeature, match="headers: are not ASCII"):
            backend().left_out(abroad)
        signed = Content.of(b"DKIM-Signature: v=1\r\n" + text.encode())
        with pytest.raises(UnsupportedFeature, match="headers: are not ASCII"):
            backend().left_out(mail.with_(content=signed))

        class Modern(Acme):
            smtputf8 = True

        assert RelayBackend(Modern("TOKEN", api="mime")).left_out(mail) == ()

    def test_a_mailer_sends_ready_made_mail_by_it_and_bcc_stands_in_no_content(self, world: World) -> None:
        sent: list[Any] = []

        def handler(request: httpx.Request) -> httpx.Response:
            sent.append(json.loads(request.content))
            return httpx.Response(200, json={})

        kind = httpx.Client if world.name == "blocking" else httpx.AsyncClient
        client = kind(transport=httpx.MockTransport(handler))
        given = b"From: a@example.com\nTo: ann@example.org\nBcc: dee@example.org\nSubject: x\n\nHi\n"
        with world.mailer(RelayBackend(Acme("TOKEN", api="mime"), client=client)) as mailer:
            assert mailer.send(message_of("bcc").with_(bcc="dee@example.org")).ok
            assert mailer.send_raw(given).ok
        composed, ready_made = (b64decode(body["raw"]).lower() for body in sent)
        assert [body["to"][-1] for body in sent] == ["dee@example.org"] * 2
        assert b"dee@" not in composed + ready_made
        assert b"bcc:" not in composed + ready_made
        assert ready_made.endswith(b"\r\n\r\nhi\r\n")
