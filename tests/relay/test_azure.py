"""Azure Communication Services: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from relay_cases import mail_of, message_of
from relay_checks import PAIR, A, D, ProviderChecks, R, U, answer
from worlds import World, new_world

from mailer import AuthError, ConfigError, DeliveryError, Outcome, ProtocolError, RetryPolicy, backend_from_url
from mailer.backends.relay import RelayBackend
from mailer.relay.azure import Azure
from mailer.relay.exchange import Request, Response
from mailer.testing import Answer, FakeRelay

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # of the facts
BASE = "https://demo.communication.azure.com"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def error(code: str, text: object = "x", status: int = 400) -> Response:
    return answer(
        status, {"error": {"code": code, "message": text, "target": None, "details": []}}, x_ms_error_code=code
    )


class TestAzure(ProviderChecks):
    provider = Azure(KEY, base=BASE)
    ok = answer(202, {"id": "m-1", "status": "Running"})
    schemas = [("azure_email.swagger.json", "#/definitions/EmailMessage")]  # noqa: RUF012
    statuses = {404: ([D, D], ConfigError)}  # noqa: RUF012
    answers = {  # noqa: RUF012
        "not started": (answer(202, {"id": "m-1", "status": "NotStarted", "error": None}), [A, A], None, "queued: NotStarted"),
        "done at once": (answer(202, {"id": "m-1", "status": "Succeeded"}), [A, A], None, "queued: Succeeded"),
        "failed at once": (answer(202, {"id": "m-1", "status": "Failed", "error": {"code": "EmailDropped", "message": "all\r\nsuppressed"}}), [R, R], None, "EmailDropped all suppressed"),
        "canceled": (answer(202, {"id": "m-1", "status": "Canceled", "error": None}), [R, R], None, "Canceled"),
        "a state of another kind": (answer(202, {"id": "m-1", "status": ["Running"]}), [U, U], ProtocolError, "no status"),
        "a state that is none": (answer(202, {"id": "m-1", "status": "Sent"}), [U, U], ProtocolError, "does not say that the mail is under way"),
        "a state that is no text": (answer(202, {"id": "m-1", "status": ["Running"]}), [U, U], ProtocolError, "no status"),
        "begun with a byte order mark": (answer(202, b'\xef\xbb\xbf{"id": "m-1", "status": "Running"}'), [A, A], None, "queued: Running"),
        "under way with an error": (answer(202, {"id": "m-1", "status": "Running", "error": {"code": "x"}}), [U, U], ProtocolError, "under way"),
        "no id": (answer(202, {"status": "Running"}), [U, U], ProtocolError, "gives no id"),
        "an id that is the key": (answer(202, {"id": KEY, "status": "Running"}), [U, U], ProtocolError, "id is none"),
        "refused": (error("InvalidAttachment", f"with\r\n{KEY}\x1b"), [R, R], None, "InvalidAttachment with ***\\x1b"),
        "the code in its header alone": (answer(400, b"", x_ms_error_code="BadRequest"), [R, R], None, "BadRequest"),
        "an error in another form": (answer(400, {"error": "x"}), [R, R], None, "HTTP 400"),
        "bad key": (error("Denied", status=401), [D, D], AuthError, "Denied x"),
        "may not": (error("Forbidden", status=403), [D, D], AuthError, "Forbidden"),
        "domain not linked": (error("DomainNotLinked", status=404), [D, D], ConfigError, "DomainNotLinked"),
        "there is one already": (error("Conflict", status=409), [U, U], None, "Conflict"),
        "throttled": (error("TooManyRequests", status=429), [D, D], None, "TooManyRequests"),
        "broken": (error("InternalServerError", status=500), [D, D], None, "InternalServerError"),
    }  # fmt: skip

    def test_the_token_stands_in_its_header_alone(self) -> None:
        """Nowhere at all: what is sent is a signature made with it."""
        request = self.provider.signed(self.provider.request(PAIR), None, NOW)
        assert [name for name, _ in request.headers] == [
            "Accept", "Content-Type", "Operation-Id", "x-ms-client-request-id",
            "x-ms-date", "x-ms-content-sha256", "Authorization",
        ]  # fmt: skip
        backend = RelayBackend(self.provider)
        shown = repr(request) + repr(self.provider) + repr(backend) + str(backend)
        assert KEY not in request.url + str(request.headers) + shown
        assert KEY.encode() not in request.content

    def test_bases_and_regions(self) -> None:
        for url, base in (
            (f"azure://{KEY[:-1]}%3D@demo", BASE),
            (f"azure://{KEY}@demo.unitedstates.communication.azure.com", "https://demo.unitedstates.communication.azure.com"),
            (f"azure://{KEY}@relay.example.com:8443", "https://relay.example.com:8443"),
            (f"azure://{KEY}@127.0.0.1:7000?scheme=http", "http://127.0.0.1:7000"),
            ("azure://demo", BASE),
        ):  # fmt: skip
            backend = backend_from_url(url)
            assert isinstance(backend, RelayBackend)
            assert backend.provider.base == base
            assert str(backend) == (url if url == "azure://demo" else f"azure://***@{url.partition('@')[2]}")
            assert backend.wants_tokens == (url == "azure://demo")

    def test_what_is_wrong_with_a_url_is_a_config_error(self) -> None:
        for url, words in (
            (f"azure://{KEY}@default", "the host must be your own server's"),
            (f"azure://{KEY}@demo/path", "takes no path"),
            (f"azure://{KEY}@demo?scheme=http", "this machine alone"),
            ("azure://n0t-base64@demo", "must be base64"),
            ("azure://MDE@demo", "must be base64"),
            (f"azure://{KEY}:x@demo", "the access key alone"),
            (f"azure://{KEY}@demo?sandbox=yes", "sandbox"),
        ):
            with pytest.raises(ConfigError, match=words) as wrong:
                backend_from_url(url)
            assert KEY not in str(wrong.value)
            assert "n0t-base64" not in str(wrong.value)

    # --- signing ---

    def test_the_vector_of_the_facts(self) -> None:
        content = (
            b'{"senderAddress":"a@example.com","content":{"subject":"Hi","plainText":"Hello"},'
            b'"recipients":{"to":[{"address":"b@example.org"}]}}'
        )
        url = f"{BASE}/emails:send?api-version=2025-09-01"
        for now in (NOW, NOW.astimezone(timezone(timedelta(hours=-9)))):
            assert dict(self.provider.signed(Request(url, (), content), None, now).headers) == {
                "x-ms-date": "Fri, 02 Jan 2026 03:04:05 GMT",
                "x-ms-content-sha256": "Xs4+MNfTiEDfiCTy5u/8zpIeeWGewDygl/3n46ppp+M=",
                "Authorization": "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256"
                "&Signature=JltL9iL3QM8IBkll7D+MvPbdGnNjPhIB64OYEQBnE9Q=",
            }

    def test_signing_again_leaves_one_date_and_one_signature(self) -> None:
        request = self.provider.request(PAIR)
        once = self.provider.signed(request, None, NOW)
        later = NOW + timedelta(minutes=7)
        assert self.provider.signed(once, None, later).headers == self.provider.signed(request, None, later).headers

    def test_the_port_that_is_the_scheme_s_own_is_not_signed(self) -> None:
        with_port = Azure(KEY, base=f"{BASE}:443").signed(Request(f"{BASE}:443/emails:send?api-version=1"), None, NOW)
        without = self.provider.signed(Request(f"{BASE}/emails:send?api-version=1"), None, NOW)
        assert (with_port.url, with_port.headers) == (without.url, without.headers)

    def test_every_try_has_the_same_operation(self) -> None:
        """The mail's id as a UUID, or one of the idempotency key."""
        mail = PAIR.with_(id="0123456789abcdef0123456789abcdef")
        first, second = (dict(self.provider.request(mail).headers) for _ in range(2))
        assert first == second
        assert first["Operation-Id"] == first["x-ms-client-request-id"] == "01234567-89ab-cdef-0123-456789abcdef"
        keyed = mail_of(message_of("idempotency_key"))
        ids = {dict(self.provider.request(keyed.with_(id=id_)).headers)["Operation-Id"] for id_ in ("1" * 32, "2" * 32)}
        assert len(ids) == 1
        odd = dict(self.provider.request(mail.with_(id="an id")).headers)["Operation-Id"]
        assert len(odd) == 36

    def test_a_retry_is_signed_anew_and_is_the_same_operation(self) -> None:
        with FakeRelay("azure", token="s3cret") as relay, new_world("asyncio") as world:
            relay.next(Answer(status=429, headers={"Retry-After": "0"}))
            with world.mailer(relay.url, retry=RetryPolicy(wait_s=0)) as mailer:
                receipt = mailer.send(message_of("names"))
        first, second = relay.requests
        assert receipt.provider_ids == (second.headers["operation-id"],)
        assert first.headers["operation-id"] == second.headers["operation-id"]
        assert first.content == second.content

    def test_what_is_in_doubt_stays_in_doubt(self) -> None:
        """That an operation's id makes it go out once is nowhere promised."""
        with FakeRelay("azure") as relay, new_world("blocking") as world:
            relay.next(Answer(lose=True))
            with world.mailer(relay.url, retry=RetryPolicy(wait_s=0)) as mailer, pytest.raises(DeliveryError) as lost:
                mailer.send(message_of("plain"))
        assert [r.outcome for r in lost.value.receipt.results] == [Outcome.UNKNOWN]
        assert len(relay.requests) == 1

    def test_the_wrong_key_is_the_account_s_fault(self) -> None:
        with FakeRelay("azure", token="s3cret") as relay, new_world("trio") as world:
            url = relay.url.replace("czNjcmV0", "YW5vdGhlcg%3D%3D")
            with world.mailer(url) as mailer, pytest.raises(DeliveryError, match="Denied") as refused:
                mailer.send(message_of("plain"))
        assert isinstance(refused.value.__cause__, AuthError)
        assert "YW5vdGhlcg" not in str(refused.value)

    def test_by_access_tokens(self, world: World) -> None:
        tokens = iter(["old-t0ken", "new-t0ken"])
        with FakeRelay("azure") as relay:
            relay.next(Answer(status=401, body={"error": {"code": "Denied", "message": "old-t0ken"}}))
            relay.next(Answer(status=202, body={"id": "m-1", "status": "Running"}))
            url = f"azure://{relay.authority}?scheme=http"
            with world.mailer(url, tokens=lambda: next(tokens)) as mailer:
                assert mailer.send(message_of("plain")).provider_ids == ("m-1",)
        assert [request.headers["authorization"] for request in relay.requests] == [
            "Bearer old-t0ken",
            "Bearer new-t0ken",
        ]
        assert "x-ms-date" not in relay.requests[0].headers

    # --- answers ---

    def test_the_id_may_stand_in_operation_location_alone(self) -> None:
        for location, ids in (
            (f"{BASE}/emails/operations/8540c0de-899f?api-version=2025-09-01", ("8540c0de-899f",)),
            (f"{BASE}/emails/operations/8540c0de-899f", ("8540c0de-899f",)),
            (f"{BASE}/emails/operations/../x", ()),
        ):
            given = answer(202, {"status": "Running"}, operation_location=location)
            assert self.provider.receipt(given, PAIR).provider_ids == ids

    def test_when_to_ask_for_an_operation_is_not_when_to_send_again(self) -> None:
        given = answer(202, {"id": "m-1", "status": "Running"}, retry_after="30")
        assert [r.retry_after_s for r in self.provider.receipt(given, PAIR).results] == [None, None]

    # --- requests ---

    def test_tracking_is_one_switch(self) -> None:
        backend = RelayBackend(self.provider)
        for opens, clicks, is_off, notes in (
            (None, None, None, []), (True, None, False, []), (True, True, False, []), (False, None, True, []),
            (None, False, True, []), (False, False, True, []), (True, False, True, ["tracking"]), (False, True, True, ["tracking"]),
        ):  # fmt: skip
            mail = mail_of(message_of("plain").with_(track_opens=opens, track_clicks=clicks, from_="a@example.com"))
            body: Any = self.body_of(self.provider.request(mail))
            assert body.get("userEngagementTrackingDisabled") == is_off
            assert [note.split()[0] for note in backend.left_out(mail)] == notes

    def test_the_sender_s_name_is_noted(self) -> None:
        [note] = RelayBackend(self.provider).left_out(mail_of(message_of("plain")))
        assert note.startswith("names of From are not carried by azure")
