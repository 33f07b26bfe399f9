"""The relay backend over a loopback service, on each runtime: outcomes of every fault, batches, secrets, URLs."""

from __future__ import annotations

import itertools
import json
import logging
import time
import traceback
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from worlds import World

from mailer import (
    Attachment,
    AuthError,
    ConfigError,
    DeliveryError,
    DeliveryRefused,
    Message,
    Outcome,
    Receipt,
    RetryPolicy,
    UnsupportedFeature,
    backend_from_url,
    register_backend,
)
from mailer.backends.relay import RelayBackend, relay_factory
from mailer.errors import ConnectError, DeadlineExceeded, MessageError, ProtocolError, TransportError
from mailer.features import Features
from mailer.relay.exchange import Request
from mailer.relay.netcore import Netcore
from mailer.relay.postmark import Postmark
from mailer.relay.provider import Provider
from mailer.testing import Answer, FakeRelay, RelayRequest, sweep

SECRET = "s3cret-T0ken"
A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN
PROVIDERS = ("postmark", "netcore")


def message(**fields: Any) -> Message:
    return Message(
        **{"from_": "shop@example.com", "to": ["ann@example.org"], "subject": "Hi", "html": "<p>x</p>", **fields}
    )


@pytest.fixture(params=PROVIDERS)
def relay(request: pytest.FixtureRequest) -> Iterator[FakeRelay]:
    """Each provider's fake in turn."""
    with FakeRelay(request.param, token=SECRET) as made:
        yield made


@pytest.fixture
def postmark() -> Iterator[FakeRelay]:
    with FakeRelay("postmark", token=SECRET) as made:
        yield made


def outcome(mailer: Any) -> tuple[Receipt, BaseException | None]:
    """The receipt of a send that fails, and the cause."""
    with pytest.raises(DeliveryError) as caught:
        mailer.send(message())
    assert SECRET.lower() not in "".join(traceback.format_exception(caught.value)).lower()
    return caught.value.receipt, caught.value.__cause__


# --- sending ----------------------------------------------------------------------------------------------------------


def test_each_provider_sends(world: World, relay: FakeRelay) -> None:
    with world.mailer(relay.url) as mailer:
        receipts = [mailer.send(message(subject=f"{n}")) for n in range(3)]
    assert [receipt.ok for receipt in receipts] == [True] * 3
    assert [receipt.provider_ids for receipt in receipts] != [()] * 3
    assert {request.connection for request in relay.requests} == {0}
    for key in ("Subject", "subject"):
        subjects = [request.json[key] for request in relay.requests if key in request.json]
        assert subjects in ([], ["0", "1", "2"])


def test_a_client_of_the_apps_own_sends(world: World) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "https://api.postmarkapp.com/email"
        assert request.headers["X-Postmark-Server-Token"] == SECRET
        return httpx.Response(200, json={"ErrorCode": 0, "Message": "OK", "MessageID": "m-1"})

    kind = httpx.Client if world.name == "blocking" else httpx.AsyncClient
    backend = RelayBackend(Postmark(SECRET), client=kind(transport=httpx.MockTransport(handler)))
    with world.mailer(backend) as mailer:
        assert mailer.send(message()).provider_ids == ("m-1",)


def test_cc_and_bcc_and_a_recipients_filter_reach_only_the_envelope(world: World, postmark: FakeRelay) -> None:
    with world.mailer(postmark.url) as mailer:
        mailer.hooks.add_filter("recipients", lambda recipients, context: [r for r in recipients if r.local != "eve"])
        mailer.send(message(to=["ann@example.org", "eve@example.org"], bcc=["dee@example.org", "eve@example.net"]))
    body = postmark.requests[0].json
    assert (body["To"], body["Bcc"]) == ("ann@example.org", "dee@example.org")
    assert b"eve" not in postmark.requests[0].content


def test_in_a_group_only_who_is_left_is_sent_to_again(world: World, postmark: FakeRelay) -> None:
    with (
        FakeRelay("netcore", token=SECRET) as netcore,
        world.mailer(f"failover({postmark.url} {netcore.url})") as mailer,
    ):
        postmark.next(Answer(status=422, body={"ErrorCode": 406, "Message": "inactive: bob@example.org"}))
        receipt = mailer.send(message(to=["ann@example.org", "bob@example.org"], cc="cyd@example.org"))
        assert [result.outcome for result in receipt.results] == [A, R, A]
        assert b"bob" not in netcore.requests[0].content


def test_send_tries_again_for_who_was_not_at_fault(world: World, postmark: FakeRelay) -> None:
    postmark.next(
        Answer(status=422, body={"ErrorCode": 406, "Message": "inactive: bob@example.org"}), Answer(status=503)
    )
    with world.mailer(postmark.url, retry=RetryPolicy(wait_s=0)) as mailer:
        receipt = mailer.send(message(to=["ann@example.org", "bob@example.org"]))
    assert [result.outcome for result in receipt.results] == [A, R]
    assert [request.json["To"] for request in postmark.requests] == [
        "ann@example.org, bob@example.org",
        "ann@example.org",
        "ann@example.org",
    ]


@pytest.mark.parametrize("answer", [Answer(status=429, headers={"Retry-After": "60"}), Answer(status=401)])
def test_what_cannot_help_within_seconds_is_not_tried_again(world: World, relay: FakeRelay, answer: Answer) -> None:
    relay.next(answer)
    with world.mailer(relay.url, retry=RetryPolicy(wait_s=0)) as mailer:
        receipt, _ = outcome(mailer)
    assert receipt.results[0].outcome is D
    assert len(relay.requests) == 1


def test_merge_is_a_mail_for_each_and_provider_templates_get_their_variables(world: World, postmark: FakeRelay) -> None:
    merged = message(
        to=["ann@example.org", "bob@example.org"], html=None, subject="", provider_template="welcome",
        context={"shop": "x"}, merge_data={"ann@example.org": {"name": "Ann"}, "bob@example.org": {"name": "Bob"}},
    )  # fmt: skip
    with world.mailer(postmark.url) as mailer:
        assert mailer.send(merged).ok
    [request] = postmark.requests
    assert request.path == "/email/batchWithTemplates"
    models = [(item["To"], item["TemplateModel"]) for item in request.json["Messages"]]
    assert models == [
        ("ann@example.org", {"shop": "x", "name": "Ann"}),
        ("bob@example.org", {"shop": "x", "name": "Bob"}),
    ]


def test_an_address_that_the_provider_cannot_reach_is_refused_alone(world: World, relay: FakeRelay) -> None:
    with world.mailer(relay.url) as mailer:
        receipt = mailer.send(message(to=["björn@example.org", "ann@example.org"]))
        assert [(r.outcome, r.enhanced_code) for r in receipt.results] == [(R, "5.6.7"), (A, None)]
        assert "björn" not in relay.requests[0].content.decode()
        with pytest.raises(DeliveryRefused):
            mailer.send(message(to="björn@example.org"))
    assert len(relay.requests) == 1


def test_what_cannot_be_carried_is_refused_or_noted_before_anything_is_sent(world: World, postmark: FakeRelay) -> None:
    with world.mailer(postmark.url) as mailer:
        with pytest.raises(UnsupportedFeature, match="51 are more than the 50"):
            mailer.send(message(to=[f"n{number}@example.org" for number in range(51)]))
        with pytest.raises(UnsupportedFeature, match="ready-made"):
            mailer.send_raw(b"From: a@b.test\r\nTo: c@d.test\r\n\r\nx")
        signer = mailer.hooks.add_filter("sign", lambda mail, _: mail.with_(content=b"X: y\r\n" + bytes(mail.content)))
        with pytest.raises(UnsupportedFeature, match="signer"):
            mailer.send(message())
        assert postmark.requests == []
        mailer.hooks.remove("sign", signer)
        assert mailer.send(message(tags=["a", "b"])).notes == ("tags beyond the first 1 are not carried by postmark",)


def test_an_attachment_that_is_gone_rejects_the_mail_alone(world: World, postmark: FakeRelay, tmp_path: Any) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")
    gone = message(attachments=[Attachment.from_path(path)])
    with world.mailer(postmark.url) as mailer:
        mails = [mailer.compose(each) for each in (message(), gone, message())]
        path.unlink()
        backend = mailer.backend
        receipts = world.run(backend.send_many, mails)
        assert [receipt.results[0].outcome for receipt in receipts] == [A, R, A]
        assert isinstance(receipts[1].error, MessageError)
        with pytest.raises(DeliveryRefused, match="No such file"):
            mailer.send(gone)
    assert [len(request.json) for request in postmark.requests] == [2]


# --- faults, F74 to F80 -----------------------------------------------------------------------------------------------

#: Name -> the answer, the outcome, and what stands behind it.
FAULTS: dict[str, tuple[Answer, Outcome, type[BaseException] | None]] = {
    "F74 throttled": (Answer(status=429, headers={"Retry-After": "7"}), D, None),
    "F75 500": (Answer(status=500, body=b"<html>" + SECRET.encode()), D, None),
    "F75 502": (Answer(status=502), U, None),
    "F75 503": (Answer(status=503, headers={"Retry-After": "7"}), D, None),
    "F75 504": (Answer(status=504), U, None),
    "F76 401": (Answer(status=401, body=f"bad token {SECRET}"), D, AuthError),
    "F76 403": (Answer(status=403, body={"ErrorCode": 0, "Message": SECRET, "error": SECRET}), D, AuthError),
    "F77 400": (Answer(status=400, body=f"no\r\n{SECRET}"), R, None),
    "F77 422": (Answer(status=422, body={"ErrorCode": 300, "Message": f"no {SECRET}", "error": SECRET}), R, None),
    "F78 lost": (Answer(lose=True), U, TransportError),
    "F78 reset": (Answer(lose="reset"), U, TransportError),
    "F78 no HTTP": (Answer(raw=SECRET.encode() + b"\r\n\r\n"), U, ProtocolError),
    "F79 html": (Answer(body="<html>ok</html>"), U, ProtocolError),
    "F79 empty": (Answer(), U, ProtocolError),
    "F79 truncated": (Answer(body='{"ErrorCode":0,"MessageID":"1"', length=40), U, TransportError),
    "F79 list": (Answer(body=[]), U, ProtocolError),
    "F79 charset": (Answer(body='{"ErrorCode":0,"MessageID":"ü"}'.encode("latin-1")), U, ProtocolError),
    "F79 nul": (Answer(body=b"\0"), U, ProtocolError),
    "F79 huge": (Answer(body=b'{"ErrorCode":0,"MessageID":"' + b"1" * (5 << 20) + b'"}'), U, ProtocolError),
    "redirect": (Answer(status=302, headers={"Location": f"http://127.0.0.1:1/{SECRET}"}), D, ConfigError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_becomes_an_outcome_and_shows_no_secret(
    world: World, relay: FakeRelay, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, wanted, cause = FAULTS[fault]
    caplog.set_level(logging.DEBUG)
    with world.mailer(f"{relay.url}&rate=off", retry=None) as mailer:
        relay.next(answer)
        receipt, error = outcome(mailer)
        assert [result.outcome for result in receipt.results] == [wanted]
        assert isinstance(error, cause or type(None))
        assert receipt.results[0].retry_after_s == (7 if "Retry-After" in answer.headers else None)
        assert receipt.results[0].text.isprintable()
        assert receipt.provider_ids == ()
        assert mailer.send(message()).ok, "a failure has broken the backend for the next mail"
        shown = [repr(receipt), json.dumps(receipt.to_dict()), repr(error), repr(mailer.backend), str(mailer.backend)]
        shown += [repr(mailer.wrapped), caplog.text]
    assert SECRET.lower() not in "".join(shown).lower()
    assert len(relay.requests) == 2, "it was sent again"


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_secret_shows_in_anything(name: str) -> None:
    """As error reporters look: variables of every frame, every log record at DEBUG, pickles."""
    answers = [answer for answer, _, _ in FAULTS.values() if not answer.raw and len(str(answer.body)) < 1000]
    with FakeRelay(name, token=SECRET) as relay:
        turn = itertools.cycle([*answers, Answer(raw=b"x" + SECRET.encode() + b"\r\n\r\n")])
        relay.accept = lambda request: next(turn)  # type: ignore[method-assign]
        for _ in range(len(answers)):
            sweep(
                lambda: backend_from_url(f"{relay.url}&timeout=5&rate=off"),
                [SECRET],
                message=message(),
                faces=("blocking",),
            )
        sweep(lambda: backend_from_url(relay.url), [SECRET], message=message())
    sweep(lambda: backend_from_url(relay.url), [SECRET], message=message())  # where nobody listens


def test_no_secret_shows_with_a_client_of_the_apps_own(postmark: FakeRelay) -> None:
    turn = itertools.cycle([Answer(status=401, body=SECRET), Answer(lose=True), Answer(body=SECRET, length=100)])
    postmark.accept = lambda request: next(turn)  # type: ignore[method-assign]
    for _ in range(3):
        with httpx.Client(trust_env=False) as client:
            backend = RelayBackend(Postmark(SECRET, base=postmark.base), client=client)
            sweep(lambda backend=backend: backend, [SECRET], message=message(), faces=("blocking",))


@pytest.mark.parametrize("drip", [Answer(body=b" " * 9000, drip_s=0.01), Answer(body=b" " * 9000, drip_body_s=0.01)])
def test_a_dripping_answer_ends_at_the_timeout(world: World, postmark: FakeRelay, drip: Answer) -> None:
    with world.mailer(f"{postmark.url}&timeout=0.6") as mailer:
        assert mailer.send(message()).ok  # all is loaded and connected, so that the next request leaves in time
        postmark.next(drip)
        start = time.monotonic()
        receipt, error = outcome(mailer)
        assert time.monotonic() - start < 0.6 * 3
    assert (receipt.results[0].outcome, type(error)) == (U, DeadlineExceeded)


def test_what_never_left_is_deferred(world: World, relay: FakeRelay) -> None:
    relay.stop()
    with world.mailer(relay.url, retry=None) as mailer:
        receipt, error = outcome(mailer)
        assert not mailer.check().ok
    assert (receipt.results[0].outcome, type(error)) == (D, ConnectError)


def test_a_bad_token_defers_and_check_says_so(world: World, postmark: FakeRelay) -> None:
    with world.mailer(postmark.url.replace(SECRET, "wrong-token")) as mailer:
        receipt, error = outcome(mailer)
        health = mailer.check()
    assert receipt.results[0].outcome is D
    assert isinstance(error, AuthError)
    assert (health.ok, type(health.cause)) == (False, AuthError)
    assert "wrong-token" not in str(error) + repr(health)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 500, 503])
def test_check_is_not_well_where_a_send_would_fail(world: World, postmark: FakeRelay, status: int) -> None:
    postmark.next(Answer(status=status))
    with world.mailer(postmark.url) as mailer:
        health = mailer.check()
        assert not health.ok
        assert str(status) in str(health.cause)
        assert mailer.check().facts == {"base": postmark.base, "token": "good"}
    assert {(request.method, request.path) for request in postmark.requests} == {("GET", "/server")}


def test_check_without_a_way_to_ask_says_that_the_token_is_not_checked(world: World) -> None:
    with FakeRelay("netcore", token=SECRET) as relay, world.mailer(relay.url) as mailer:
        health = mailer.check()
        assert health.ok
        assert health.facts["token"] == "not checked"
        assert SECRET not in repr(relay.requests)
    assert Postmark("POSTMARK_API_TEST").check_request() is None


@pytest.mark.parametrize("has_sent", [False, True])
def test_cut_short_by_cancellation(async_world: World, relay: FakeRelay, has_sent: bool) -> None:
    import anyio

    told: list[tuple[str, int]] = []
    relay.next(Answer(hold=True))
    with async_world.mailer(relay.url) as mailer:
        for name in ("deferred", "unknown"):
            mailer.hooks.add_action(name, lambda context, name=name: told.append((name, len(context.recipients))))

        async def cut_short() -> None:
            with anyio.CancelScope() as scope:
                if has_sent:
                    send = mailer.wrapped.backend._http.send

                    async def sending(*args: Any, on_sent: Any, **keywords: Any) -> Any:
                        def and_cancel() -> None:
                            on_sent()
                            scope.cancel()

                        return await send(*args, on_sent=and_cancel, **keywords)

                    mailer.wrapped.backend._http.send = sending
                else:
                    scope.cancel()
                await mailer.wrapped.send(message())

        async_world.run(cut_short)
        assert told == [("unknown" if has_sent else "deferred", 1)]
        assert mailer.wrapped.backend._cut_short == {}


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_thousand_and_one_mails_are_three_requests(world: World, postmark: FakeRelay) -> None:
    messages = [message(to=f"n{number}@example.org", subject=str(number)) for number in range(1001)]
    with world.mailer(postmark.url) as mailer:
        receipts = mailer.send_many(messages)
    assert [receipt.message_index for receipt in receipts] == list(range(1001))
    assert all(receipt.ok for receipt in receipts)
    assert len({receipt.provider_ids for receipt in receipts}) == 1001
    assert [receipt.results[0].address.local for receipt in receipts] == [f"n{number}" for number in range(1001)]
    assert [request.path for request in postmark.requests] == ["/email/batch", "/email/batch", "/email"]
    sent = [item["Subject"] for request in postmark.requests[:2] for item in request.json]
    assert sent == [str(number) for number in range(1000)]


def refusing(request: RelayRequest) -> Answer:
    return Answer(
        body=[
            {"ErrorCode": 0, "Message": "OK", "MessageID": item["To"]}
            if "bob" not in item["To"]
            else {"ErrorCode": 406, "Message": f"inactive {item['To']}"}
            for item in request.json
        ]
    )


def test_in_a_batch_each_mail_has_its_own_outcome(world: World, postmark: FakeRelay) -> None:
    postmark.next(refusing)
    people = ["ann@example.org", "bob@example.org", "björn@example.org", "cyd@example.org"]
    with world.mailer(postmark.url) as mailer:
        receipts = mailer.send_many(
            [message(to=person) for person in people] + [message(send_at=None, sender="x@y.test")]
        )
    assert [[r.outcome for r in receipt.results] for receipt in receipts] == [[A], [R], [R], [A], []]
    assert isinstance(receipts[4].error, UnsupportedFeature)
    [request] = postmark.requests
    assert len(request.json) == 3


def test_a_batch_whose_answer_is_lost_is_unknown_for_each(world: World, postmark: FakeRelay) -> None:
    postmark.next(Answer(lose=True))
    with world.mailer(postmark.url, retry=None) as mailer:
        receipts = mailer.send_many([message(), message()])
        assert [receipt.results[0].outcome for receipt in receipts] == [U, U]
        postmark.stop()
        receipts = mailer.send_many([message(), message()])
    assert [receipt.results[0].outcome for receipt in receipts] == [D, D]


def test_a_batch_cut_short_knows_what_was_done(async_world: World, postmark: FakeRelay) -> None:
    import anyio

    with async_world.mailer(postmark.url) as mailer:
        backend = mailer.wrapped.backend
        plain = [mailer.compose(message()) for _ in range(2)]
        templated = [mailer.compose(message(html=None, subject="", provider_template="x")) for _ in range(2)]
        postmark.next(postmark.accept, Answer(hold=True))

        async def cut_short() -> None:
            with anyio.move_on_after(0.5):
                await backend.send_many([templated[0], *plain, templated[1]])

        async_world.run(cut_short)
        settled = [backend.settled(mail).results[0].outcome for mail in (*plain, *templated)]
    assert settled == [A, A, U, U]


# --- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("postmark://T@default", "https://api.postmarkapp.com"),
        ("postmark://T@relay.example.com", "https://relay.example.com"),
        ("postmark://T@relay.example.com:8443", "https://relay.example.com:8443"),
        ("postmark://T@[::1]:1?scheme=http", "http://[::1]:1"),
        ("postmark://T@localhost?scheme=http", "http://localhost"),
        ("netcore://T@default", "https://emailapi.netcorecloud.net/v5.1"),
        ("pepipost://T@api.pepipost.com", "https://api.pepipost.com/v5.1"),
        ("pepipost://T@127.0.0.1:9?scheme=http", "http://127.0.0.1:9/v5.1"),
    ],
)
def test_the_host_of_the_url_replaces_the_providers(url: str, base: str) -> None:
    backend = backend_from_url(url)
    assert isinstance(backend, RelayBackend)
    assert backend.provider.base == base
    assert str(backend) == url.replace("//T@", "//***@")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postmark://default", "needs the token"),
        ("postmark://T:U@default", "the token alone"),
        ("postmark://@default", "must be printable"),
        ("ses://:@eu-west-1", "nothing stands before the '@'"),
        ("azure://@shop", "nothing stands before the '@'"),
        ("gmail://@default", "nothing stands before the '@'"),
        ("https+json://@relay.example.com/x", "nothing stands before the '@'"),
        ("postmark://a%20b@default", "must be printable"),
        ("postmark://T@default/path", "takes no path"),
        ("postmark://T@default?scheme=http", "for this machine alone"),
        ("postmark://T@relay.example.com?scheme=http", "for this machine alone"),
        ("postmark://T@127.0.0.1.evil.test?scheme=http", "for this machine alone"),
        ("postmark://T@default:8443", "must be a host's name or one of: default"),
        ("postmark://T@defualt", "must be a host's name or one of: default"),
        ("postmark://T@bücher.example", "in its ASCII form"),
        ("postmark://T@default?steam=x", "did you mean 'stream'"),
        ("postmark://T@default?stream=", "must not be empty"),
        ("postmark://T@default?timeout=0", "more than 0"),
        ("netcore://T@default?stream=x", "there is no option 'stream'"),
        ("postmrk://T@default", "did you mean 'postmark'"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        backend_from_url(url.replace("//T", f"//{SECRET}"))
    assert SECRET not in str(caught.value)


def test_options_reach_the_request(world: World, postmark: FakeRelay) -> None:
    with world.mailer(f"{postmark.url}&stream=broadcast&timeout=5&connect_timeout=1") as mailer:
        mailer.send(message())
    assert postmark.requests[0].json["MessageStream"] == "broadcast"


def test_made_by_hand_it_prints_no_token() -> None:
    backend = RelayBackend(Netcore(SECRET))
    assert str(backend) == "netcore://***@emailapi.netcorecloud.net/v5.1"
    assert SECRET not in repr(backend) + repr(backend.provider)


# --- a provider of one's own ------------------------------------------------------------------------------------------


class Acme(Provider):
    """As a plug-in would write it; its reader has a fault."""

    name = "acme"
    bases = {"default": "https://api.acme.test", "eu": "https://eu.acme.test"}  # noqa: RUF012
    features = Features(idempotency_key=True, raw=False)

    def request(self, mail: Any) -> Request:
        letter = self.letter(mail)
        return Request.json(self.base, {"to": [a.ascii for a in letter.to]}, {"Authorization": f"Bearer {self.token}"})

    def accepted(self, data: Any, mail: Any, response: Any) -> Receipt:
        return Receipt.for_all(mail, A, provider_id=data["id"])


def test_a_provider_of_ones_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailer.backends.url._registered", {})
    register_backend("acme", relay_factory(Acme))
    assert backend_from_url("acme://T@eu").provider.base == "https://eu.acme.test"  # type: ignore[attr-defined]
    with (
        FakeRelay() as server,
        world.mailer(f"acme://{SECRET}@127.0.0.1:{server.port}?scheme=http", retry=None) as mailer,
    ):
        server.next(Answer(body={"id": "7"}), Answer(body=SECRET), Answer(lose=True), Answer(status=502))
        assert mailer.send(message()).provider_ids == ("7",)
        receipt, error = outcome(mailer)  # its fault is no reason to send again, and is told without the answer
        assert (receipt.results[0].outcome, type(error)) == (D, ProtocolError)
        for _ in range(2):  # the key was given: it may be sent again
            assert outcome(mailer)[0].results[0].outcome is D


# --- content ----------------------------------------------------------------------------------------------------------


def test_no_mail_is_composed_for_an_api_that_composes_anew(world: World, postmark: FakeRelay) -> None:
    made: list[bool] = []
    with world.mailer(postmark.url) as mailer:
        mailer.hooks.add_action("sent", lambda context: made.append(context.mail.content.is_made))
        mailer.send(message())
        assert len(mailer.send_many([message(), message()])) == 2
        assert made == [False] * 3
        mailer.hooks.add_filter("mail", lambda mail, context: mail if b"<p>x</p>" in bytes(mail.content) else None)
        mailer.send(message())
        assert made == [False] * 3 + [True]
        with pytest.raises(MessageError, match="no attachment has"):
            mailer.send(message(html='<img src="cid:none">'))
    assert len(postmark.requests) == 3


def test_no_mail_is_kept_once_it_is_sent_refused_or_lost(world: World, postmark: FakeRelay) -> None:
    with world.mailer(postmark.url, retry=None) as mailer:
        kept = mailer.backend.provider.letters._made
        mailer.send(message())
        assert all(receipt.ok for receipt in mailer.send_many([message()] * 3))
        with pytest.raises(UnsupportedFeature):
            mailer.send(message(to=[f"n{number}@example.org" for number in range(51)]))
        postmark.next(Answer(lose=True))
        mailer.send_many([message(), message()])
        assert kept == {}
    assert [len(request.json) for request in postmark.requests if request.path == "/email/batch"] == [3, 2]


def test_so_many_requests_at_a_time_on_connections_that_are_kept(world: World) -> None:
    with FakeRelay("netcore", token=SECRET) as relay, world.mailer(relay.url) as mailer:
        receipts = mailer.send_many([message() for _ in range(60)], concurrency=4)
    assert all(receipt.ok for receipt in receipts)
    assert len(relay.requests) == 60
    assert len({request.connection for request in relay.requests}) <= 4
