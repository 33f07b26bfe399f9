"""Scaleway: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from typing import Any

import pytest
from relay_cases import mail_of, message_of, unreadable
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import Attachment, AuthError, ConfigError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.scaleway import Scaleway
from mailer.testing import Answer, FakeRelay
from mailer.verdict import Scope

PROJECT = "11111111-2222-3333-4444-555555555555"
POST = "/paths/~1transactional-email~1v1alpha1~1regions~1%7Bregion%7D~1emails/post"


def email(who: str, given: Any = "m-1", status: Any = "new", **more: Any) -> dict[str, Any]:
    return {"id": given, "message_id": "<x@y>", "mail_rcpt": f"{who}@example.org", "rcpt_type": "to", "status": status, **more}  # fmt: skip


def emails(*those: Any) -> Any:
    return answer(200, {"emails": list(those)})


def error(kind: Any, text: Any = "x", **more: Any) -> dict[str, Any]:
    return {"type": kind, "message": text, **more}


ANN, BOB = email("ann"), email("bob")


class TestScaleway(ProviderChecks):
    provider = Scaleway(TOKEN, project=PROJECT)
    ok = emails(ANN, BOB)
    schemas = [("scaleway_tem.openapi.json", f"#{POST}/requestBody/content/application~1json/schema")]  # noqa: RUF012
    credentials = ("X-Auth-Token", TOKEN)
    named_bases = {  # noqa: RUF012
        f"scaleway://T@default?project={PROJECT}": "https://api.scaleway.com/transactional-email/v1alpha1",
        f"scaleway://T@mail.example.com?project={PROJECT}&region=nl-ams": "https://mail.example.com/transactional-email/v1alpha1",
    }
    answers = {  # noqa: RUF012
        "in another order and case": (emails(email("BOB", status="sending"), email("ann", status="sent")), [A, A], None, ""),
        "one is refused": (emails(ANN, email("bob", status="failed", status_details="no\r\nsuch user", flags=["hard_bounce", 7])), [A, R], None, ""),
        "one is canceled": (emails(ANN, email("bob", status="canceled")), [A, R], None, ""),
        "one is in doubt": (emails(ANN, email("bob", status="unknown")), [A, U], None, ""),
        "one has a new status": (emails(ANN, email("bob", status="paused")), [A, U], None, ""),
        "one is not named": (emails(ANN), [A, U], None, ""),
        "nobody is named": (emails(email("eve")), [U, U], ProtocolError, "none of the recipients"),
        "no statuses": (emails(email("ann", status=None), email("bob", status=[1])), [U, U], ProtocolError, "none of the recipients"),
        "items that are none": (emails(1, "x", None), [U, U], ProtocolError, "none of the recipients"),
        "no list": (answer(200, {"emails": {"id": "m-1"}}), [U, U], ProtocolError, "no list of emails"),
        "no id": (emails(ANN, email("bob", None)), [U, U], ProtocolError, "gives no id"),
        "an id that is the key": (emails(ANN, email("bob", TOKEN)), [U, U], ProtocolError, "id is none"),
        "refused": (
            answer(400, error("invalid_arguments", "invalid argument(s)", details=[{"argument_name": "subject", "reason": "constraint", "help_message": "at least\r\n10"}, 7, {"reason": 1}])),
            [R, R], None, "invalid_arguments invalid argument(s); subject constraint at least 10",
        ),
        "an error in another form": (answer(400, {"type": [1], "message": {}, "details": "x"}), [R, R], None, "HTTP 400"),
        "bad key": (answer(401, error("denied_authentication", f"key {TOKEN.upper()}")), [D, D], AuthError, "key ***"),
        "not permitted": (answer(403, error("permissions_denied")), [D, D], AuthError, "permissions_denied"),
        "quota": (answer(403, error("quotas_exceeded")), [D, D], ConfigError, "quotas_exceeded"),
        "no such project": (answer(404, error("not_found")), [D, D], ConfigError, "not_found"),
        "domain not verified": (answer(412, error("precondition_failed")), [D, D], ConfigError, "precondition_failed"),
        "too many": (answer(429, error("too_many_requests")), [D, D], None, "too_many_requests"),
        "passing": (answer(409, error("transient_state")), [D, D], None, "transient_state"),
        "the type decides": (answer(400, error("too_many_requests")), [D, D], None, "too_many_requests"),
    }  # fmt: skip

    def test_what_is_said_of_a_refused_recipient(self) -> None:
        bob = email("bob", "m-2", "failed", status_details="no such user", flags=["hard_bounce"])
        [ann, refused] = self.provider.receipt(emails(ANN, bob), PAIR).results
        assert (ann.provider_id, ann.code, ann.scope) == ("m-1", 200, Scope.MESSAGE)
        assert (refused.provider_id, refused.code, refused.scope) == ("m-2", None, Scope.RECIPIENT)
        assert refused.text == "failed: no such user: hard_bounce"

    def test_headers_stand_twice_and_are_ascii(self) -> None:
        headers = [("X-A", "ü"), ("X-A", "2"), ("List-Unsubscribe", "<https://example.com/u>")]
        message = message_of("plain").with_(
            headers=headers, reply_to=[("Bücher, Hilfe", "help@bücher.example"), "b@c.test"]
        )
        body = self.body_of(self.provider.request(mail_of(message)))
        assert self.faults(body) == []
        said = [(item["key"], item["value"]) for item in body["additional_headers"]]
        assert said[:3] == [("X-A", "=?utf-8?b?w7w=?="), ("X-A", "2"), headers[2]]
        assert said[3][0] == "Reply-To"
        assert said[3][1].isascii()
        assert said[3][1].endswith("<help@xn--bcher-kva.example>, b@c.test")

    def test_attachments_have_a_limit_of_their_own(self) -> None:
        backend = RelayBackend(self.provider)
        message = message_of("plain").attach(Attachment("a.bin", unreadable, 1_000_000))
        assert backend.left_out(mail_of(message.attach(Attachment("b.bin", unreadable, 1_000_000)))) == ()
        with pytest.raises(UnsupportedFeature, match="have 2000001 bytes, scaleway takes 2000000") as refused:
            backend.left_out(mail_of(message.attach(Attachment("b.bin", unreadable, 1_000_001))))
        assert refused.value.field == "attachments"

    def test_the_region_stands_in_the_path(self) -> None:
        request = Scaleway(TOKEN, project=PROJECT, region="nl-ams").request(PAIR)
        assert request.url == "https://api.scaleway.com/transactional-email/v1alpha1/regions/nl-ams/emails"

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ("", "names the project"),
            ("?project=shop", "names the project"),
            (f"?project={PROJECT}%0A", "line break"),
            (f"?project={PROJECT}%7F", "project=.*: must not"),
            (f"?project={PROJECT}&region=fr-par%2F..", "names the region"),
            (f"?project={PROJECT}&region=", "region"),
        ],
    )
    def test_a_project_is_needed(self, options: str, says: str) -> None:
        with pytest.raises(ConfigError, match=says):
            backend_from_url(f"scaleway://T@default{options}")

    def test_over_loopback(self) -> None:
        with (
            FakeRelay("scaleway", token=TOKEN) as relay,
            new_world("trio") as world,
            world.mailer(relay.url.replace(TOKEN, "Tok3n-%25%2F+x")) as mailer,
        ):
            assert mailer.send(message_of("bcc")).ok
            relay.next(Answer(body={"emails": [email("ann"), email("cyd", status="failed")]}))
            receipt = mailer.send(message_of("bcc"))
        assert relay.requests[0].path == "/transactional-email/v1alpha1/regions/fr-par/emails"
        assert [result.outcome for result in receipt.results] == [A, R, U, U]
