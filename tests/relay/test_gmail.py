"""Gmail: what is its own. The rest stands in ``relay_checks`` and ``mailbox_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import email
import email.policy
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mailbox_checks import WholeMailChecks, composed
from relay_cases import message_of, unreadable
from relay_checks import PAIR, TOKEN, A, D, R, U, answer
from worlds import World

from mailer import (
    Address,
    Attachment,
    AuthError,
    ConfigError,
    Content,
    Mailer,
    Message,
    ProtocolError,
    TokenProvider,
    UnsupportedFeature,
)
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.errors import DeliveryError
from mailer.relay.exchange import Request, Response
from mailer.relay.gmail import Gmail
from mailer.testing import Answer, FakeRelay, sweep

SENT = {"id": "m-1", "threadId": "m-1", "labelIds": ["SENT"]}


def error(code: int, reason: Any = None, text: Any = "x", **more: Any) -> dict[str, Any]:
    errors = [] if reason is None else [{"domain": "usageLimits", "reason": reason, "message": "y"}]
    return {"error": {"code": code, "message": text, "errors": errors, **more}}


def raw_of(content: bytes) -> str:
    return urlsafe_b64decode(json.loads(content)["raw"]).decode()


class TestGmail(WholeMailChecks):
    provider = Gmail()
    ok = answer(200, SENT)
    schemas = [("gmail.discovery.json", "#/schemas/Message")]  # noqa: RUF012
    credentials = ("Authorization", f"Bearer {TOKEN}")
    named_bases = {  # noqa: RUF012
        "gmail://default": "https://gmail.googleapis.com",
        "gmail://mail.example.com:8443": "https://mail.example.com:8443",
    }
    answers = {  # noqa: RUF012
        "no labels": (answer(200, {"id": "m-1"}), [A, A], None, ""),
        "no id": (answer(200, {"threadId": "m-1"}), [U, U], ProtocolError, "gives no id"),
        "an id that is none": (answer(200, {"id": [1]}), [U, U], ProtocolError, "gives no id"),
        "refused inside a 200": (answer(200, error(400, "invalidArgument", "no")), [R, R], None, "invalidArgument no"),
        "refused": (answer(400, error(400, "invalidArgument", "Invalid To\r\nheader", status="INVALID_ARGUMENT")), [R, R], None, "invalidArgument Invalid To header"),
        "no mailbox": (answer(400, error(400, "failedPrecondition", "Mail service not enabled")), [D, D], ConfigError, "failedPrecondition"),
        "bad token": (answer(401, error(401, "authError", "Invalid Credentials")), [D, D], AuthError, "authError Invalid"),
        "another scope": (answer(403, error(403, "insufficientPermissions")), [D, D], AuthError, "insufficientPerm"),
        "another scope, as it is said today": (answer(403, error(403, text="scopes", status="PERMISSION_DENIED", details=[{"@type": "x", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}])), [D, D], AuthError, "ACCESS_TOKEN_SCOPE_INSUFFICIENT scopes (tokens for it have the scope https://www.googleapis.com/auth/gmail.send)"),
        "forbidden by the domain": (answer(403, error(403, "domainPolicy")), [D, D], AuthError, "domainPolicy"),
        "too many": (answer(403, error(403, "rateLimitExceeded")), [D, D], None, "rateLimitExceeded"),
        "too many of the user": (answer(403, error(403, "userRateLimitExceeded")), [D, D], None, "userRateLimit"),
        "too many by details": (answer(403, error(403, details=[7, {"reason": "x"}, {"reason": "RATE_LIMIT_EXCEEDED"}])), [D, D], None, "RATE_LIMIT_EXCEEDED"),
        "too many a day": (answer(403, error(403, "dailyLimitExceeded")), [D, D], ConfigError, "dailyLimitExceeded"),
        "too many by its status": (answer(429, error(429, "other")), [D, D], None, "other"),
        "broken": (answer(500, error(500, "backendError")), [D, D], None, "backendError"),
        "its status alone": (answer(404, error(404, text="gone", status="NOT_FOUND")), [R, R], None, "NOT_FOUND gone"),
        "as the token server says it": (answer(400, {"error": "invalid_grant"}), [R, R], None, "invalid_grant"),
        "an error that is a number": (answer(400, {"error": 7}), [R, R], None, "HTTP 400"),
        "in another form": (answer(400, {"error": {"errors": {"reason": 1}, "details": [{"reason": 7}], "message": [], "status": 7}}), [R, R], None, "HTTP 400"),
    }  # fmt: skip

    @classmethod
    def body_of(cls, request: Request) -> Any:
        return {**json.loads(request.content), "raw": raw_of(request.content)}

    def schema_body(self, body: Any) -> Any:
        return {**body, "raw": urlsafe_b64encode(body["raw"].encode()).decode()}

    def content_of(self, request: Request) -> bytes:
        return urlsafe_b64decode(json.loads(request.content)["raw"])

    def test_the_user_stands_in_the_path(self) -> None:
        assert self.provider.request(PAIR).url == "https://gmail.googleapis.com/gmail/v1/users/me/messages/send"
        backend = backend_from_url("gmail://a%2Fb+c%40b%C3%BCcher.example@default")
        assert isinstance(backend, RelayBackend)
        assert backend.provider.request(PAIR).url.endswith("/users/a%2Fb%2Bc%40xn--bcher-kva.example/messages/send")
        assert "bcher" not in str(backend)
        assert Gmail("me").request(PAIR) == self.provider.request(PAIR)

    def test_whom_a_url_cannot_name(self) -> None:
        for url, says in (
            ("gmail://me%40example.com:secret@default", r"access tokens, and no password.*smtp\+gmail://$"),
            ("gmail://ya29.secret@default", "mailbox's address.*tokens="),
            ("gmail://default/x", "path"),
            ("gmail://default?api=mime", "api"),
        ):
            with pytest.raises(ConfigError, match=says) as refused:
                backend_from_url(url)
            assert "secret" not in str(refused.value)

    def test_a_large_mail_is_uploaded_as_it_is(self) -> None:
        """Read by the standard library, boundary and all."""
        filled = b"Subject: x\r\n\r\n" + b"--x\r\n" + b"x" * 3_000_000 + b"\r\n"
        mail = composed(message_of("plain").with_(provider_options={"threadId": "t-7"}), ["dee@example.org"])
        mail = mail.with_(content=Content.of(filled))
        request = self.provider.request(mail)
        assert request.url == "https://gmail.googleapis.com/upload/gmail/v1/users/me/messages/send?uploadType=multipart"
        kind = dict(request.headers)["Content-Type"]
        read = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.content)
        about, content = read.get_payload()
        assert (about.get_content_type(), json.loads(about.get_payload())) == ("application/json", {"threadId": "t-7"})
        assert content.get_content_type() == "message/rfc822"
        assert b"\r\n\r\nBcc: dee@example.org\r\n" + filled + b"\r\n--" in request.content
        assert self.provider.request(mail).content == request.content

    def test_a_mail_has_36_700_160_bytes_at_most(self) -> None:
        backend = RelayBackend(self.provider)
        large = composed(message_of("plain").attach(Attachment("x.bin", unreadable, 26_000_000)))
        assert backend.left_out(large) == ()
        larger = composed(message_of("plain").attach(Attachment("x.bin", unreadable, 27_000_000)))
        with pytest.raises(UnsupportedFeature, match="gmail takes 36700160"):
            backend.left_out(larger)

    def test_options_go_beside_the_mail_and_not_in_its_place(self) -> None:
        mail = composed(message_of("plain").with_(provider_options={"threadId": "t-7"}))
        body = json.loads(self.provider.request(mail).content)
        assert body["threadId"] == "t-7"
        for key in ("raw", "Raw", "payload"):
            with pytest.raises(Exception, match="provider_options"):
                self.provider.request(composed(message_of("plain").with_(provider_options={key: "x"})))

    def test_what_it_may_replace_is_noted_where_it_is_known(self) -> None:
        named = RelayBackend(Gmail("Shop@example.com"))
        assert named.left_out(composed(message_of("plain"))) == ()
        [note] = named.left_out(composed(message_of("plain").with_(from_="else@example.com")))
        assert note.startswith("from_ is not the URL's user")
        [note] = RelayBackend(self.provider).left_out(composed(message_of("message_id")))
        assert note == "message_id may be replaced by gmail"

    def test_the_time_that_the_words_name_is_waited_for(self) -> None:
        now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        for words, headers, seconds in (
            ("User-rate limit exceeded.  Retry after 2026-01-02T03:05:05.500Z", {}, 60.5),
            ("User-rate limit exceeded.  Retry after 2026-01-02T03:05:05Z", {"retry-after": "3"}, 3),
            ("Retry after 2020-01-02T03:05:05Z", {}, 0),
            ("Retry after 2036-01-02T03:05:05Z", {}, 86400),
            ("Retry after 2026-13-02T03:05:05Z", {}, None),
            ("Retry after 2026-01-02T03:05:05", {}, None),
            ("Retry later", {}, None),
        ):
            content = json.dumps(error(429, "rateLimitExceeded", words)).encode()
            receipt = self.provider.receipt(Response(429, headers, content, now), PAIR)
            assert [(r.outcome, r.retry_after_s) for r in receipt.results] == [(D, seconds)] * 2, words


MESSAGE = Message(from_="me@example.com", to="ann@example.org", bcc="dee@example.org", subject="Grüße", text="Hi")


def test_over_loopback_with_a_token_that_ends(world: World) -> None:
    """Ready-made mail too; what the answer repeats of the token is hidden."""
    tokens = iter(["ya29.Old-one", "ya29.New-one"])
    fresh = lambda: {"access_token": next(tokens), "expires_in": 3600}  # noqa: E731
    with FakeRelay("gmail", token="ya29.New-one") as relay, world.mailer(relay.url, tokens=fresh) as mailer:
        assert mailer.send(MESSAGE).ok
        assert mailer.send_raw(b"From: me@example.com\nTo: ann@example.org\nBcc: dee@example.org\n\nHi\n").ok
        relay.next(Answer(status=400, body=error(400, "x", "no: ya29.New-one, eWEyOS5OZXctb25l")))
        with pytest.raises(DeliveryError) as refused:
            mailer.send(MESSAGE)
    paths = {request.path for request in relay.requests}
    assert paths == {"/gmail/v1/users/me%40example.com/messages/send"}
    sent = [request.headers["authorization"] for request in relay.requests]
    assert sent == ["Bearer ya29.Old-one", *["Bearer ya29.New-one"] * 3]
    contents = [raw_of(request.content) for request in relay.requests]
    assert contents[0] == contents[1]
    for content in contents[1:3]:
        assert content.startswith("Bcc: dee@example.org\r\n")
        assert content.lower().count("dee@example.org") == 1
    assert refused.value.receipt.results[0].text == "x no: ***, ***"


def test_a_short_token_of_a_test_hides_nothing() -> None:
    with FakeRelay("gmail", token="id") as relay, Mailer(relay.url, tokens=lambda: "id") as mailer:
        assert mailer.send(MESSAGE).provider_ids == ("g-1",)
        assert mailer.check().ok


def test_a_token_that_stays_refused_is_the_accounts(world: World) -> None:
    with FakeRelay("gmail") as relay, world.mailer(relay.url, tokens=lambda: "another") as mailer:
        with pytest.raises(DeliveryError) as refused:
            mailer.send(MESSAGE)
        assert isinstance(refused.value.__cause__, AuthError)
        assert "Invalid Credentials" in str(refused.value.__cause__)
        assert len(relay.requests) == 1  # the same token is not sent twice


def test_without_tokens_it_is_a_config_error_that_names_them() -> None:
    with pytest.raises(ConfigError, match=r"tokens=TokenProvider"):
        Mailer("gmail://default")


def test_no_access_token_shows_whatever_happens() -> None:
    token = "ya29.S3cret-access"
    said = f"Bearer {token} {token.upper()}"
    with FakeRelay("gmail", token=token) as relay:

        def make() -> RelayBackend:
            backend = backend_from_url(relay.url)
            assert isinstance(backend, RelayBackend)
            backend.use_tokens(TokenProvider(lambda: {"access_token": token, "expires_in": 3600}))
            return backend

        for said_back in (
            Answer(status=401, body=error(401, token, said)),
            Answer(status=500, body=said),
            Answer(body=SENT | {"id": token}),
            Answer(status=302, headers={"Location": f"http://x/{token}", "Retry-After": token}),
            Answer(lose=True),
        ):
            relay.next(*[said_back] * 4)
            sweep(make, [token], faces=("blocking",))
        assert len(relay.requests) >= 20


class TestAddressed:
    @settings(deadline=None)
    @given(data=st.data())
    def test_any_names_and_any_that_are_left(self, data: st.DataObject) -> None:
        """Read by the standard library: the envelope's, each once, and under the names that they had."""
        text = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=40)
        named = [Address(data.draw(text), f"n{n}", "bücher.example" if n % 3 == 0 else "example.org") for n in range(6)]
        people = [address.addr_spec for address in named]
        cut = data.draw(st.integers(0, 6))
        fields = {"to": named[:cut], "cc": named[cut:]}
        left = data.draw(st.lists(st.sampled_from([*people, "new@example.org"]), min_size=1, unique=True))
        mail = composed(message_of("plain").with_(**fields), left)
        content = urlsafe_b64decode(json.loads(Gmail().request(mail).content)["raw"])
        read = email.message_from_bytes(content, policy=email.policy.SMTP)
        found = {kind: [a for v in read.get_all(kind, []) for a in v.addresses] for kind in ("to", "cc", "bcc")}
        wanted = {address.ascii for address in mail.envelope.recipients}
        assert sorted(a.addr_spec for those in found.values() for a in those) == sorted(wanted)
        assert [a.addr_spec for a in found["bcc"]] == [a for a in wanted if a == "new@example.org"]
        for address in (*mail.message.to, *mail.message.cc) if mail.message else ():
            if address.ascii in wanted:
                [shown] = [a for those in found.values() for a in those if a.addr_spec == address.ascii]
                # Python 3.11 reads two encoded-words that stand together with a blank between them.
                assert shown.display_name.replace(" ", "") == address.name.replace(" ", "")
