"""MailerSend: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from relay_cases import mail_of, message_of, schema_errors
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import Attachment, AuthError, ConfigError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.mailersend import MailerSend
from mailer.testing import Answer, FakeRelay


def warned(kind: Any, *who: str, reasons: Any = ("blocklisted",), text: Any = "suppressed") -> dict[str, Any]:
    recipients = [{"email": f"{name}@example.org", "name": "", "reason": list(reasons)} for name in who]
    return {
        "message": "There are some warnings for your request.",
        "warnings": [{"type": kind, "warning": text, "recipients": recipients}],
    }


def taken(body: Any = b"", **headers: str) -> Any:
    return answer(202, body, **{"x_message_id": "m-1", **headers})


class TestMailerSend(ProviderChecks):
    provider = MailerSend(TOKEN)
    ok = taken()
    schemas = [("mailersend.email.requests.schema.json", "#/$defs/email")]  # noqa: RUF012
    credentials = ("Authorization", f"Bearer {TOKEN}")
    named_bases = {  # noqa: RUF012
        "mailersend://T@default": "https://api.mailersend.com/v1",
        "mailersend://T@mail.example.com:8443": "https://mail.example.com:8443/v1",
    }
    answers = {  # noqa: RUF012
        "held": (taken(x_send_paused="true"), [A, A], None, "sending is paused"),
        "one is suppressed": (taken(warned("SOME_SUPPRESSED", "BOB")), [A, R], None, ""),
        "one is suppressed for no reason": (taken(warned("SOME_SUPPRESSED", "bob", reasons=[7])), [A, R], None, "suppressed"),
        "some are suppressed, and not said who": (taken(warned("SOME_SUPPRESSED")), [U, U], ProtocolError, "not who"),
        "all are suppressed": (answer(202, warned("ALL_SUPPRESSED", "ann", "bob")), [R, R], None, "suppressed"),
        "all are suppressed, beside an id": (taken(warned("ALL_SUPPRESSED", text=None)), [R, R], None, "all recipients are suppressed"),
        "another warning": (taken(warned("OTHER", text="careful")), [A, A], None, "careful"),
        "warnings in another form": (taken({"warnings": [7, {"type": [], "recipients": 7}]}), [A, A], None, ""),
        "no id": (answer(202), [U, U], ProtocolError, "gives no id"),
        "an id that is the token": (taken(x_message_id=TOKEN), [U, U], ProtocolError, "id is none"),
        "a page beside the id": (taken(b"<html>"), [U, U], ProtocolError, "no list of warnings"),
        "errors inside a 202": (taken({"message": "no", "errors": {"to": ["x"]}}), [R, R], None, "no (to)"),
        "not valid": (
            answer(422, {"message": "The from.email domain must be verified. #MS42207", "errors": {"from.email": ["x"]}}),
            [R, R], None, "MS42207 The from.email domain must be verified. #MS42207 (from.email)",
        ),
        "bad token": (answer(401, {"message": f"token {TOKEN.upper()}"}), [D, D], AuthError, "token ***"),
        "too many a minute": (answer(429, {"message": "Too Many Attempts. #MS42903"}), [D, D], None, "MS42903"),
        "too many a day": (answer(429, {"message": "Daily quota. #MS42901"}), [D, D], None, "MS42901"),
        "maintenance": (answer(421), [D, D], None, "HTTP 421"),
        "in another form": (answer(422, {"message": ["x"], "errors": 7}), [R, R], None, "HTTP 422"),
    }  # fmt: skip

    def test_what_has_a_field_of_its_own_is_no_header(self) -> None:
        headers = [
            ("List-Unsubscribe", "<https://example.com/u>"), ("In-Reply-To", "<1@x>"), ("References", "<0@x> <1@x>"),
            ("Precedence", "bulk"), ("X-A", "1"), ("X-A", "2"),
        ]  # fmt: skip
        mail = mail_of(message_of("plain").with_(headers=headers))
        assert RelayBackend(self.provider).left_out(mail) == ()
        body = self.body_of(self.provider.request(mail))
        assert self.faults(body) == []
        assert (body["list_unsubscribe"], body["in_reply_to"]) == ("<https://example.com/u>", "<1@x>")
        assert (body["references"], body["precedence_bulk"]) == (["<0@x>", "<1@x>"], True)
        assert body["headers"] == [{"name": "X-A", "value": "1"}, {"name": "X-A", "value": "2"}]
        odd = mail_of(message_of("plain").with_(headers={"X_Odd": "1", "Precedence": "list"}))
        with pytest.raises(UnsupportedFeature, match="X_Odd are not carried"):
            RelayBackend(self.provider).left_out(odd)
        assert self.body_of(self.provider.request(odd))["headers"] == [{"name": "Precedence", "value": "list"}]

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"to": [f"n{n}@example.org" for n in range(51)]}, "51 in to are more than the 50"),
            ({"cc": [f"n{n}@example.org" for n in range(11)]}, "11 in cc are more than the 10"),
            ({"bcc": [f"n{n}@example.org" for n in range(11)]}, "11 in bcc are more than the 10"),
            ({"to": [], "bcc": ["a@example.org", "b@example.org"]}, "somebody must be in To"),
        ],
    )
    def test_how_many_it_takes(self, fields: Any, says: str) -> None:
        with pytest.raises(UnsupportedFeature, match=says):
            RelayBackend(self.provider).left_out(mail_of(message_of("plain").with_(**fields)))

    def test_a_type_that_the_name_does_not_say_is_noted(self) -> None:
        backend = RelayBackend(self.provider)
        odd = mail_of(message_of("plain").attach(Attachment.from_bytes("a.txt", b"x", content_type="application/pdf")))
        fine = mail_of(message_of("plain").attach(Attachment.from_bytes("a.txt", b"x")))
        assert [note.split()[0] for note in backend.left_out(odd)] == ["attachments"]
        assert backend.left_out(fine) == ()

    def test_when_it_is_sent_is_a_whole_second_and_never_before(self) -> None:
        when = datetime(2030, 1, 2, 3, 4, 5, 1, tzinfo=UTC)
        body = self.body_of(self.provider.request(mail_of(message_of("plain").with_(send_at=when))))
        assert body["send_at"] == int(when.timestamp()) + 1

    def test_a_stored_template_has_its_variables_for_each(self) -> None:
        message = message_of("template by name").with_(cc="bob@example.org")
        body = self.body_of(self.provider.request(mail_of(message)))
        assert body["personalization"] == [
            {"email": f"{who}@example.org", "data": {"name": "Ann"}} for who in ("ann", "bob")
        ]

    def test_over_loopback(self) -> None:
        with FakeRelay("mailersend", token=TOKEN) as relay, new_world("trio") as world:
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x")
            with world.mailer(url) as mailer:
                first = mailer.send(message_of("bcc"))
                relay.next(Answer(status=202, headers={"X-Message-Id": "i-2"}, body=warned("SOME_SUPPRESSED", "dee")))
                second = mailer.send(message_of("bcc"))
        assert (first.ok, len(first.provider_ids), relay.requests[0].path) == (True, 1, "/v1/email")
        assert [result.outcome for result in second.results] == [A, A, R, A]
        assert PAIR.id not in relay.requests[0].content.decode()

    def test_bulk_is_taken_to_be_processed(self) -> None:
        provider = MailerSend(TOKEN, bulk=2)
        mails = [mail_of(message_of("plain").with_(to=f"n{n}@example.org", subject=str(n))) for n in range(5)]
        groups = list(provider.grouped(mails))
        assert [len(group) for group in groups] == [2, 2, 1]
        request = provider.batch_request(groups[0])
        assert request.url == "https://api.mailersend.com/v1/bulk-email"
        assert schema_errors(self.body_of(request), self.schemas[0][0], "#/$defs/bulkEmail", is_closed=True) == []
        for given, outcomes, text in (
            (answer(202, {"message": "x", "bulk_email_id": "b-1"}), [A, A], "GET /bulk-email/b-1 tells"),
            (answer(202), [U, U], "no JSON object"),
            (answer(202, {"bulk_email_id": TOKEN}), [U, U], "id is none"),
            (answer(422, {"message": "The 0.from.email must be verified. #MS42207"}), [R, R], "MS42207"),
            (answer(429), [D, D], "HTTP 429"),
        ):
            receipts = provider.batch_receipts(given, groups[0])
            assert [r.outcome for receipt in receipts for r in receipt.results] == outcomes
            assert text in receipts[1].results[0].text
        assert (MailerSend(TOKEN).batch_size, MailerSend(TOKEN).rate, provider.rate) == (1, "120/m", "10/m")
        for wrong in ("0", "501", "x", "-1", "1.0", ""):
            with pytest.raises(ConfigError, match="bulk"):
                backend_from_url(f"mailersend://T@default?bulk={wrong}")
        with pytest.raises(ConfigError, match="from 1 to 500"):
            MailerSend(TOKEN, bulk=True)
        with (
            FakeRelay("mailersend") as relay,
            new_world("blocking") as world,
            world.mailer(f"{relay.url}&bulk=500") as mailer,
        ):
            receipts = mailer.send_many([one.message for one in mails])
        assert all(receipt.ok for receipt in receipts)
        assert [request.path for request in relay.requests] == ["/v1/bulk-email"]

    def test_what_looks_like_a_variable_is_written_as_html_may_write_it(self) -> None:
        """In a text it cannot be, and the receipt says so."""
        mail = mail_of(message_of("plain").with_(html="<p>{{ x }} {% y %}</p>"))
        assert self.body_of(self.provider.request(mail))["html"] == "<p>{&#123; x }} {&#37; y %}</p>"
        assert RelayBackend(self.provider).left_out(mail) == ()
        for said in ({"text": "{{ x }}"}, {"subject": "{% x %}"}):
            [note] = RelayBackend(self.provider).left_out(mail_of(message_of("plain").with_(**said)))
            assert note == "text or a subject with '{{' may be evaluated by mailersend"
