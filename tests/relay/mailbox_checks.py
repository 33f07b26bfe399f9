"""What providers are held to that are given whole mails, which say by themselves to whom they go."""

from __future__ import annotations

import email
import email.policy
from email.utils import getaddresses
from typing import ClassVar

import pytest
from relay_cases import CASES, WHEN, message_of
from relay_cases import mail_of as bare_mail_of
from relay_checks import ORDINARY, PAIR, TOKEN, ProviderChecks, answer

from mailer import Content, Mail, Message, MessageError, UnsupportedFeature
from mailer.backends.parcel import Parcel
from mailer.backends.relay import RelayBackend
from mailer.mime import compose
from mailer.relay.exchange import Request
from mailer.relay.mailbox import Mailbox

__all__ = ["MailboxChecks", "WholeMailChecks", "composed"]


def composed(message: Message, recipients: list[str] | None = None) -> Mail:
    """The message, sealed with its true content."""
    content = compose(message, message_id="<7@example.com>", date=WHEN, boundary="b")
    return bare_mail_of(message, recipients).with_(content=content)


class MailboxChecks(ProviderChecks):
    """Opened by access tokens."""

    provider: ClassVar[Mailbox]

    def test_the_token_stands_in_its_header_alone(self) -> None:
        """It is there only where the request is signed."""
        request = self.provider.request(PAIR)
        signed = self.provider.signed(request, TOKEN, WHEN)
        assert self.credentials in signed.headers
        assert signed.headers[:-1] == request.headers
        assert (signed.url, signed.content, signed.method) == (request.url, request.content, request.method)
        assert TOKEN not in signed.url + repr(signed) + repr(request.headers)
        assert TOKEN.encode() not in signed.content
        assert self.provider.is_stale(answer(401))
        assert not any(self.provider.is_stale(answer(status)) for status in (200, 202, 400, 403, 429, 500))


class WholeMailChecks(MailboxChecks):
    """And given whole mails."""

    def content_of(self, request: Request) -> bytes:
        """The mail in the request."""
        raise NotImplementedError

    @classmethod
    def sealed(cls, message: Message, recipients: list[str] | None = None) -> Mail:
        """With the true content."""
        return composed(message, recipients)

    def test_the_envelope_and_nobody_else_stands_in_the_content(self) -> None:
        """Read by the standard library; what is below the header goes as it is."""
        seen = 0
        for case in ORDINARY:
            try:
                mail = composed(message_of(case), CASES[case].get("recipients"))
                RelayBackend(self.provider).left_out(mail)
                mail = Parcel.of(mail, self.provider).part or mail
                content = self.content_of(self.provider.request(mail))
            except MessageError:
                continue
            seen += 1
            read = email.message_from_bytes(content, policy=email.policy.compat32)
            named = [v for name in ("to", "cc", "bcc") for v in read.get_all(name, [])]
            got = {address.rpartition("@")[0::2] for _, address in getaddresses(named) if address}
            assert got == {address.key for address in mail.envelope.recipients}, case
            assert all(len(read.get_all(name, [])) <= 1 for name in ("to", "cc", "bcc")), case
            assert content.partition(b"\r\n\r\n")[2] == bytes(mail.content).partition(b"\r\n\r\n")[2], case
            shown = {address.key for address in (*mail.message.to, *mail.message.cc)} if mail.message else set()
            hidden = [a for _, a in getaddresses(read.get_all("bcc", []))]
            assert not [a for a in hidden if tuple(a.rpartition("@")[0::2]) in shown], case
        assert seen > 25

    def test_whom_a_group_has_served_already_is_not_written_to_again(self) -> None:
        message = message_of("names").with_(bcc="dee@example.org")
        content = self.content_of(self.provider.request(composed(message, ["ann@example.org", "new@example.org"])))
        head = content.partition(b"\r\n\r\n")[0].decode("ascii")
        assert head.startswith("Bcc: new@example.org\r\nTo: =?utf-8?b?5rOo5paH?= <ann@example.org>\r\n")
        assert "Cc:" not in head
        assert "bob@" not in head
        assert "dee@" not in head

    def test_content_that_must_stay_as_it_is_goes_as_it_is_or_not_at_all(self) -> None:
        backend = RelayBackend(self.provider)
        message = message_of("plain").with_(to=["ann@example.org", "Bob <bob@example.org>"])
        for change in ({"message": None}, {"is_altered": True}):
            whole = composed(message).with_(**change)
            assert self.content_of(self.provider.request(whole)) == bytes(whole.content)
            more = composed(message, ["ann@example.org", "bob@example.org", "dee@example.org"]).with_(**change)
            assert backend.left_out(more) == ()
            assert self.content_of(self.provider.request(more)) == b"Bcc: dee@example.org\r\n" + bytes(more.content)
            fewer = composed(message, ["ann@example.org"]).with_(**change)
            with pytest.raises(UnsupportedFeature, match="To and Cc of the content name") as refused:
                backend.left_out(fewer)
            assert refused.value.field == "recipients"

    def test_who_cannot_be_reached_takes_nobody_with_him(self) -> None:
        mail = composed(message_of("local part not ASCII").with_(cc="Cé <ce@example.org>"))
        parcel = Parcel.of(mail, self.provider)
        assert RelayBackend(self.provider).left_out(mail) == ()
        assert parcel.part is not None
        content = self.content_of(self.provider.request(parcel.part))
        assert content.isascii()
        read = email.message_from_bytes(content)
        named = [a for _, a in getaddresses([v for name in ("to", "cc", "bcc") for v in read.get_all(name, [])]) if a]
        assert named == ["ann@example.org", "ce@example.org"]
        assert [result.enhanced_code for result in parcel.unreachable] == ["5.6.7"]

    def test_folded_and_odd_headers_are_read_as_they_are(self) -> None:
        for head, named in (
            (b"to: ann@example.org,\r\n\tBob\r\n <bob@EXAMPLE.org>\r\n", True),
            (b"TO : team: ann@example.org, bob@example.org;\r\nCc: undisclosed-recipients:;\r\n", True),
            (b"Subject: x\r\n To: eve@example.org\r\nCC: ann@example.org\r\nTo: bob@example.org\r\n", True),
            (b"X-To: eve@example.org\r\nTo: ann@example.org\r\n", False),
            (b"From: eve@example.org\r\n", None),
        ):
            content = head + b"\r\nTo: eve@example.org\r\n"
            mail = PAIR.with_(message=None, content=Content.of(content))
            hidden = {True: b"", False: b"Bcc: bob@example.org\r\n", None: b"Bcc: ann@example.org, bob@example.org\r\n"}
            assert self.content_of(self.provider.request(mail)) == hidden[named] + content, head
        for head in (b"To: <eve@example.org\r\n", b"To: \xff@example.org\r\n", b"Cc: eve@example.org\r\n"):
            with pytest.raises(UnsupportedFeature) as refused:
                self.provider.request(PAIR.with_(message=None, content=Content.of(head + b"\r\nx\r\n")))
            assert refused.value.field == "recipients"
