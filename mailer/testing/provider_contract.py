"""The contract of providers, as tests: what a mail becomes, what an answer means, and what must never happen.

``TestPigeon = ProviderContract.of(Pigeon("t0ken-of-pigeon"), ok=answer(202, {"id": "m-1"}))`` in a test file, and
pytest runs it. A subclass says more, or other, where a provider needs it. Nothing is sent anywhere. Needs pytest, trio.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import anyio
import httpx
import pytest

from ..backends import relay as relay_backend
from ..backends.relay import RelayBackend
from ..backends.url import backend_from_url
from ..errors import (
    DeliveryError,
    MessageError,
    Outcome,
    ProtocolError,
    TransportError,
    UnsupportedFeature,
)
from ..mail import Mail
from ..mailer import AsyncMailer
from ..message import Message
from ..receipt import Receipt
from ..relay.exchange import Request, Response
from ..relay.provider import Provider
from .face import FACES, PlainMailer, face_of
from .named import subclass_of
from .provider_answers import JUNK, STATUSES, answer
from .provider_cases import CASES, ORDINARY, WHEN, mail_of, message_of
from .request_shape import HOSTILE_IN, harmless, is_seen, shape, ways_to
from .secret_sweep import MIN_CHARS, sweep

__all__ = ["PAIR", "ProviderContract", "answer"]

#: A mail to ann and to bob, whom answers are about.
PAIR = mail_of(message_of("plain").with_(to=["ann@example.org", "bob@example.org"]))
_A, _R, _D, _U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN


class ProviderContract:
    """The same cases in the same order for each provider.

    Attributes:
        provider: With a token of eight characters or more that stands nowhere by chance.
        ok: An answer that accepts a mail.
        answers: Name -> answer, outcomes of ann and bob, cause, what the text has.
        credentials: The header that holds the token; None where it stands elsewhere.
        named_bases: URL, with ``T`` for the token -> base.
        golden: The file of what each case becomes; None: none is kept. :meth:`write_golden` makes it.
        statuses: HTTP status -> outcomes and cause, where they are not what the one table says.
    """

    provider: ClassVar[Provider]
    ok: ClassVar[Response]
    answers: ClassVar[Mapping[str, tuple[Response, list[Outcome], type[Exception] | None, str]]] = {}
    credentials: ClassVar[tuple[str, str] | None] = None
    named_bases: ClassVar[Mapping[str, str]] = {}
    golden: ClassVar[str | Path | None] = None
    statuses: ClassVar[Mapping[int, tuple[list[Outcome], type[Exception] | None]]] = {}

    @classmethod
    def of(cls, provider: Provider, **attributes: Any) -> type[ProviderContract]:
        """The tests of this provider, in one line: ``TestPigeon = ProviderContract.of(Pigeon(...), ok=...)``."""
        return subclass_of(cls, type(provider).__name__, provider=provider, **attributes)

    # --- what may differ ----------------------------------------------------------------------------------------------

    @classmethod
    def body_of(cls, request: Request) -> Any:
        """The body as the golden file has it."""
        return json.loads(request.content)

    @classmethod
    def sealed(cls, message: Message, recipients: list[str] | None = None) -> Mail:
        """The mail of a case."""
        return mail_of(message, recipients)

    def ok_for(self, mail: Mail) -> Response:
        """An answer that accepts this mail, to ann and to bob, where :attr:`ok` is not one for any."""
        return self.ok

    def faults(self, body: Any) -> list[str]:
        """What the provider's own schema finds wrong with a body, if there is one."""
        return []

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be shown nowhere."""
        return tuple(secret for secret in self.provider.secrets if secret)

    # --- requests -----------------------------------------------------------------------------------------------------

    @classmethod
    def told(cls, case: str) -> dict[str, Any]:
        """What a backend makes of the case before it sends: path, body and notes, or the error."""
        backend = RelayBackend(cls.provider)
        try:
            mail = cls.sealed(message_of(case), CASES[case].get("recipients"))
            notes = backend.left_out(mail)
            request = backend.provider.request(mail)
        except MessageError as error:
            return {"error": type(error).__name__, "field": error.field}
        path = request.url.removeprefix(backend.provider.base)
        return {"path": path, "body": cls.body_of(request), "notes": list(notes)}

    @classmethod
    def write_golden(cls) -> None:
        """Write the golden file anew, a case on a line: read the difference before it is kept."""
        if cls.golden is None:
            raise ValueError(f"{cls.__name__}.golden names no file")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(relay_backend, "utc_now", lambda: WHEN)
            lines = [f" {json.dumps(case)}: {json.dumps(cls.told(case), ensure_ascii=False)}" for case in ORDINARY]
        Path(cls.golden).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    @pytest.fixture(autouse=True)
    def _today(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(relay_backend, "utc_now", lambda: WHEN)

    def test_every_case_is_golden_and_holds_to_the_schema(self) -> None:
        gold = None if self.golden is None else json.loads(Path(self.golden).read_text(encoding="utf-8"))
        assert gold is None or list(gold) == ORDINARY, "other cases than there are: write the file anew"
        for case in ORDINARY:
            got = self.told(case)
            assert gold is None or got == gold[case], case
            if "body" in got and case != "options":  # what an app adds of its own
                assert self.faults(got["body"]) == [], case

    def test_a_plain_mail_says_what_the_message_says(self) -> None:
        got = self.told("plain")
        assert "body" in got, f"a plain mail cannot be sent: {got}"
        assert "ann@example.org" in repr(got["body"]), "the recipient is not in the request"

    def test_degraded_a_message_goes_without_what_is_noted(self) -> None:
        """Everything at once, with the policy that leaves out: the schema holds still, and each loss is named."""
        backend = RelayBackend(self.provider)
        backend.unsupported = "degrade"
        fields: dict[str, Any] = {}
        for case in (
            "inline",
            "attachments",
            "reply_to list",
            "sender",
            "headers twice",
            "amp",
            "alternatives",
            "tags",
        ):
            files = (*fields.get("attachments", ()), *CASES[case].get("attachments", ()))
            fields |= {**CASES[case], "attachments": files}
        fields |= {**CASES["metadata"], **CASES["schedule"], **CASES["message_id"], "html": "<p>x</p>", "text": "x"}
        mail = mail_of(message_of("plain").with_(**fields)).with_(is_altered=True)
        notes = backend.left_out(mail)
        assert self.faults(self.body_of(backend.provider.request(mail))) == []
        asked = ("inline", "sender", "alternatives", "amp_html", "send_at", "raw", "message_id", "tags", "metadata")
        lacking = {field for field in asked if not getattr(backend.features, field)}
        assert {note.split()[0] for note in notes} >= lacking

    def test_what_is_ready_made_or_altered_does_not_travel(self) -> None:
        backend = RelayBackend(self.provider)
        for raw in (PAIR.with_(message=None), PAIR.with_(is_altered=True)):
            if self.provider.features.raw:  # it does, as it is
                assert backend.left_out(raw) == ()
                assert self.faults(self.body_of(self.provider.request(raw))) == []
                continue
            with pytest.raises(UnsupportedFeature) as refused:
                backend.left_out(raw)
            assert refused.value.field == "raw"

    def test_the_horizon_of_a_schedule_is_refused_before_the_request(self) -> None:
        """Exactly at it is taken, a second beyond is not."""
        most_s = self.provider.limits.schedule_s
        if most_s is None:
            assert not self.provider.features.send_at or self.told("schedule")["body"]
            return
        backend = RelayBackend(self.provider)
        backend.left_out(mail_of(message_of("plain").with_(send_at=WHEN + timedelta(seconds=most_s))))
        with pytest.raises(UnsupportedFeature, match=f"more|further .* {most_s // 3600} hours") as refused:
            backend.left_out(mail_of(message_of("plain").with_(send_at=WHEN + timedelta(seconds=most_s + 1))))
        assert refused.value.field == "send_at"

    # --- what must not get in, or out ---------------------------------------------------------------------------------

    def test_no_value_breaks_out_of_url_or_header(self) -> None:
        """Whatever a user's value is, the request goes where it went, and its headers are lines."""
        for field, value in HOSTILE_IN.items():
            shapes = []
            for one in (harmless(value), value):
                message = message_of("plain").with_(**{field: one})
                if field == "provider_template":
                    message = message.with_(subject="", text=None)
                if (request := self._requested(message)) is None:
                    break  # it takes no such field, or not this value
                shapes.append(shape(request))
                for name, text in request.headers:
                    assert (name + text).isprintable(), f"{field} breaks the header {name}"
            assert len(shapes) < 2 or shapes[0] == shapes[1], f"{field} changes the URL"

    def _requested(self, message: Message) -> Request | None:
        mail = self.sealed(message)
        try:
            RelayBackend(self.provider).left_out(mail)
            return self.provider.request(mail)
        except MessageError:
            return None

    def test_who_is_in_bcc_is_shown_to_nobody(self) -> None:
        """Not in a list that others see, nor beside another in one text; and he does get it."""
        for case in ("bcc", "bcc alone", "some are left"):
            message = message_of(case)
            if "body" not in (got := self.told(case)):
                continue
            wanted = CASES[case].get("recipients")
            hidden = [one.addr_spec for one in message.bcc if wanted is None or one.addr_spec in wanted]
            for address in hidden:
                # Who is alone may stand in To: nobody else sees it.
                said = self.is_hidden(got["body"], address, is_alone=case == "bcc alone")
                assert said, f"{case}: {address} is shown, or left out"

    def is_hidden(self, body: Any, address: str, *, is_alone: bool) -> bool:
        """Whether a body sends to the address, and shows it to nobody else, if there is somebody."""
        ways = list(ways_to(body, address))
        return bool(ways) and (is_alone or not any(is_seen(way, body, address) for way in ways))

    def test_the_token_stands_in_its_header_alone(self) -> None:
        request = self.provider.request(PAIR)
        assert self.credentials is None or self.credentials in request.headers
        for token in self.secrets:
            assert token not in request.url
            assert self.credentials is None or token.encode() not in request.content
            assert token not in repr(request) + repr(self.provider) + repr(RelayBackend(self.provider))

    def test_no_secret_shows_whatever_is_answered(self) -> None:
        """Where the answer repeats it, in an error's words or in the place of an id."""
        secrets = [secret for secret in self.secrets if len(secret) >= MIN_CHARS]
        if not secrets or self.provider.signs_with:
            return
        for status in (400, self.ok.status):
            body = dict.fromkeys(("id", "message", "error", "Message", "MessageID", "errors"), secrets[0])
            given = httpx.Response(status, json=body)
            with httpx.Client(transport=httpx.MockTransport(lambda _, given=given: given)) as client:
                made = partial(RelayBackend, self.provider, client=client, rate="off")
                sweep(made, secrets, faces=["blocking"])

    def test_bases_and_regions(self) -> None:
        for url, base in self.named_bases.items():
            backend = backend_from_url(url)
            assert isinstance(backend, RelayBackend)
            assert backend.provider.base == base
            assert str(backend) == url.replace("//T@", "//***@")

    # --- answers ------------------------------------------------------------------------------------------------------

    @property
    def _in_doubt(self) -> Outcome:
        """What is not known of a mail; where a key is honoured it may be sent again without harm."""
        return _D if self.provider.features.idempotency_key else _U

    def test_answers_become_receipts(self) -> None:
        for name, (given, outcomes, cause, text) in self.answers.items():
            self.check(name, given, outcomes, cause, text)
        self.check("ok", self.ok, [_A, _A], None, "")

    def test_statuses_mean_what_the_one_table_says(self) -> None:
        """F74, F75, F76, F77: the ambiguous ones are UNKNOWN without a key that is honoured, else DEFERRED."""
        for status, (body, (outcomes, cause, text)) in STATUSES.items():
            outcomes, cause = self.statuses.get(status, (outcomes, cause))
            wanted = [self._in_doubt if one is _U else one for one in outcomes]
            given = answer(status, body, retry_after="7")
            self.check(f"HTTP {status}", given, wanted, cause, text, asked_s=7)

    def test_a_success_in_no_known_form_is_none(self) -> None:
        """F79: junk in the place of an answer says nothing of the mail."""
        token = self.secrets[0] if self.secrets else "TOKEN"
        for name, body in JUNK.items():
            given = answer(200, body.replace(b"TOKEN", token.encode()))
            self.check(f"junk: {name}", given, [self._in_doubt] * 2, ProtocolError, "answered HTTP 200")

    def test_an_answer_whose_rest_did_not_come_is_unknown_if_it_was_a_success(self) -> None:
        """F78: the answer began and broke off."""
        lost = TransportError("the connection broke")
        given = Response(self.ok.status, self.ok.headers, self.ok.content, cut=lost)
        receipt = self.provider.receipt(given, PAIR)
        assert receipt.results[0].outcome is self._in_doubt
        assert receipt.error is lost

    def check(
        self, name: str, given: Response, outcomes: list[Outcome], cause: Any, text: str, asked_s: float | None = None
    ) -> Receipt:
        """The receipt says this, and no secret."""
        receipt = self.provider.receipt(given, PAIR)
        assert [result.outcome for result in receipt.results] == outcomes, name
        assert [result.address for result in receipt.results] == list(PAIR.envelope.recipients)
        assert type(receipt.error) is (cause or type(None)), name
        for result in receipt.results:
            assert text in result.text, name
            assert result.text.isprintable(), name
            assert len(result.text) <= 400, name
            if asked_s is not None and result.outcome is not _D:
                assert result.retry_after_s is None, name
            if asked_s is not None and result.outcome is _D:
                assert result.retry_after_s == asked_s, name
        shown = (repr(receipt) + repr(receipt.error) + json.dumps(receipt.to_dict())).lower()
        assert not any(secret.lower() in shown for secret in self.secrets), f"{name}: a secret is shown"
        return receipt

    def test_a_batch_has_each_mail_once_and_a_receipt_for_each(self) -> None:
        """Whatever is answered: in their order, and none is accepted by what accepts nothing."""
        mails = [PAIR.with_(id=f"{number:032x}") for number in range(3)]
        groups = [list(group) for group in self.provider.grouped(mails)]
        assert sorted(mail.id for group in groups for mail in group) == [mail.id for mail in mails]
        assert all(1 <= len(group) <= self.provider.batch_size for group in groups)
        for group in groups:
            if len(group) == 1:
                continue
            request = self.provider.batch_request(group)
            assert shape(request)[:3] == shape(self.provider.request(PAIR))[:3]
            for given in (answer(500), answer(422), answer(200, JUNK["html"]), answer(200, b"[]"), answer(200, b"{}")):
                receipts = self.provider.batch_receipts(given, group)
                assert [receipt.id for receipt in receipts] == [mail.id for mail in group], given
                for receipt in receipts:
                    assert [result.address for result in receipt.results] == list(PAIR.envelope.recipients), given
                    assert not receipt.accepted, f"HTTP {given.status} {given.content[:20]!r} accepts nothing"

    # --- on its way ---------------------------------------------------------------------------------------------------

    def test_it_sends_on_every_face(self) -> None:
        """One request; and what was cut short in the middle of it is in doubt, and told, for each recipient."""
        if self.provider.signs_with:
            return  # whose credentials come from elsewhere
        mailers: list[PlainMailer] = []
        asked = 0

        def answered(request: httpx.Request) -> httpx.Response:
            nonlocal asked
            asked += 1
            ok = self.ok_for(mailers[-1].mails[-1])
            return httpx.Response(ok.status, headers=dict(ok.headers), content=ok.content)

        for name in FACES:
            with face_of(name) as face:
                kind = httpx.AsyncClient if face.is_async else httpx.Client
                client: Any = face.call(kind, transport=httpx.MockTransport(answered))
                try:
                    with face.mailer(RelayBackend(self.provider, client=client, rate="off")) as mailer:
                        mailers.append(mailer)
                        try:
                            receipt = mailer.send(message_of("plain").with_(to=PAIR.envelope.recipients))
                        except DeliveryError as error:
                            pytest.fail(f"{name}: {error}")
                        assert receipt.ok, receipt
                finally:
                    face.run(client.aclose if face.is_async else client.close)
                if face.is_async:
                    self._check_cut_short(face)
        assert asked == len(FACES)

    def _check_cut_short(self, face: Any) -> None:
        told: list[Receipt] = []

        async def cancelled() -> None:
            begun = anyio.Event()

            async def never(request: httpx.Request) -> httpx.Response:
                begun.set()
                await anyio.sleep_forever()
                raise AssertionError

            async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as client:
                mailer = AsyncMailer(RelayBackend(self.provider, client=client, rate="off"), retry=None)
                for name in ("sent", "deferred", "rejected", "unknown"):
                    mailer.hooks.add_action(name, lambda context: told.append(context.receipt))
                async with mailer, anyio.create_task_group() as group:
                    group.start_soon(mailer.send, message_of("names"))
                    with anyio.fail_after(10):
                        await begun.wait()
                    group.cancel_scope.cancel()

        face.run(cancelled)
        [receipt] = told
        recipients = mail_of(message_of("names")).envelope.recipients
        assert [result.address for result in receipt.results] == list(recipients)
        assert {result.outcome for result in receipt.results} == {self._in_doubt}
