"""The contract of backends, as tests: what a :class:`~mailer.Mailer` relies on, checked on all three faces.

Subclass :class:`BackendContract` in a test file, say how the backend is made, and pytest runs the rest::

    from mailer.testing.contract import BackendContract


    class TestPigeonBackend(BackendContract):
        def make_backend(self):
            self.loft = Loft()
            return PigeonBackend(self.loft)

        def received(self):
            return [letter.content for letter in self.loft.letters]

Fixtures work as in any test class. Each test has an instance of its own, so what belongs to one test may be kept on
``self``. Needs pytest, and trio for the face of that name (see :attr:`BackendContract.faces`). For failures that show
both sides, say ``pytest.register_assert_rewrite("mailer.testing.contract")`` before the import.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from ..attachment import Attachment
from ..backends.base import Backend, Health, called
from ..delivery import DeliveryOptions
from ..envelope import NULL_SENDER, Envelope
from ..errors import DeliveryError, Outcome, UnsupportedFeature
from ..features import Features
from ..hookspecs import Context
from ..mail import Content, Mail
from ..message import Message
from ..receipt import Receipt
from .face import FACES, Face, face_of
from .named import subclass_of
from .secret_sweep import MIN_CHARS, sweep

__all__ = ["FORMS", "BackendContract"]

_AT_ONCE = 8
_MANY_RECIPIENTS = 100
_ODD = ("-oQx", "o'neil&co", "a/b|c", "%s{x}", "$HOME", "`x`")
_PICTURE = bytes(range(256)) * 3
_SHOWN = 40  # octets before and after the first one that differs

#: What a message may look like: name -> the fields that make it so. Each must arrive octet by octet as it was composed.
FORMS: dict[str, dict[str, Any]] = {
    "text": {"text": "Hello\n"},
    "html": {"html": "<p>Hello</p>"},
    "text and html": {"text": "Hello\n", "html": "<p>Hello</p>"},
    "empty": {"subject": "", "text": ""},
    "one line without end": {"text": "Hello"},
    "blank lines": {"text": "\n\n\nHello\n\n\n"},
    "dots": {"text": ".\n..\n.x\n\n.\n...\n."},
    "From lines": {"text": "From here\n>From there\n>>From beyond\nFrom"},
    "long lines": {"text": "x" * 3000 + "\n" + "word " * 600},
    "not ASCII": {"subject": "Grüße – 注文 ✓", "text": "Grüße, 12,40 €\n", "to": ["Zoë Ångström <zoe@example.org>"]},
    "attachment": {"text": "a\n", "attachments": [Attachment.from_bytes("Rechnung №7.bin", _PICTURE)]},
    "inline image": {
        "html": '<img src="cid:logo">',
        "attachments": [
            Attachment.from_bytes("logo.png", _PICTURE, content_type="image/png", content_id="logo", inline=True)
        ],
    },
    "large": {"text": "a\n", "attachments": [Attachment.from_bytes("large.bin", _PICTURE * 400)]},
}

# Feature -> the fields of a message that needs it.
_NEEDS: dict[str, dict[str, Any]] = {
    "attachments": {"attachments": [Attachment.from_bytes("a.bin", b"a")]},
    "inline": {
        "html": '<img src="cid:a">',
        "attachments": [Attachment.from_bytes("a.png", b"a", content_id="a", inline=True)],
    },
    "reply_to": {"reply_to": "desk@example.com"},
    "headers": {"headers": {"X-Order": "7"}},
    "alternatives": {"alternatives": [("text/calendar", "BEGIN:VCALENDAR\nEND:VCALENDAR\n")]},
    "amp_html": {"html": "<p>a</p>", "amp_html": "<!doctype html><html amp4email></html>"},
    "sender": {"sender": "desk@example.com"},
    "return_path": {"return_path": "bounces@example.com"},
    "send_at": {"send_at": datetime(2100, 1, 1, tzinfo=UTC)},
    "provider_template": {"provider_template": "welcome"},
    "require_tls": {"delivery": DeliveryOptions(require_tls=True)},
    "tags": {"tags": ["order"]},
    "metadata": {"metadata": {"order": "7"}},
    "tracking": {"track_opens": True},
    "priority": {"priority": 1},
    "message_id": {"message_id": "<7@example.com>"},
    "date": {"date": datetime(2026, 1, 1, tzinfo=UTC)},
    "idempotency_key": {"idempotency_key": "order-7"},
    "notify": {"delivery": DeliveryOptions(notify="SUCCESS")},
    "deliver_by": {"delivery": DeliveryOptions(deliver_by_s=int(timedelta(hours=1).total_seconds()))},
    "mt_priority": {"delivery": DeliveryOptions(mt_priority=3)},
    "provider_options": {"provider_options": {"pool": "b"}},
}
_ADVISORY = frozenset(list(_NEEDS)[list(_NEEDS).index("tags") :])


class BackendContract:
    """The tests. Subclass it as ``Test...`` and write :meth:`make_backend`; the rest may stay as it is.

    Attributes:
        faces: Which of "blocking", "asyncio" and "trio" to run on. An ``async def send`` that needs one event loop
            leaves out the others.
        secrets: Texts that must be shown nowhere: the password or token that :meth:`make_backend` gives the backend.
        cannot_carry: Fields of :class:`~mailer.Features` that this backend refuses or notes itself, though its
            ``features`` say that it carries them: what a group's members cannot.
        sender: The From of all test messages.
        recipient: The recipients' addresses; ``{}`` stands for a name.
    """

    faces: Sequence[str] = FACES
    secrets: Collection[str] = ()
    cannot_carry: Collection[str] = ()
    sender: str = "Shop <shop@example.com>"
    recipient: str = "{}@example.org"

    @classmethod
    def of(cls, make_backend: Callable[[], Backend], **attributes: Any) -> type[BackendContract]:
        """The tests of this backend, in one line: ``TestLoft = BackendContract.of(lambda: LoftBackend("loft.db"))``."""
        return subclass_of(cls, "Backend", make_backend=lambda self: make_backend(), **attributes)

    # --- what a backend's author writes -------------------------------------------------------------------------------

    def make_backend(self) -> Backend:
        """A new backend that works and has sent nothing. Called once in a test."""
        raise NotImplementedError(f"{type(self).__name__} needs make_backend")

    def received(self) -> list[bytes] | None:
        """What arrived by that backend, in any order, a whole mail each with CRLF lines; None where none can see it."""
        return None

    def make_failing_backend(self) -> Backend | None:
        """A new backend that can deliver nothing now (server down, token wrong); None if there is no such."""
        return None

    # --- running ------------------------------------------------------------------------------------------------------

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test on each face."""
        if "face" in metafunc.fixturenames:
            metafunc.parametrize("face", self.faces, indirect=True)

    @pytest.fixture
    def face(self, request: pytest.FixtureRequest) -> Iterator[Face]:
        """The face that the test runs on."""
        with face_of(request.param) as made:
            yield made

    def message(self, **fields: Any) -> Message:
        """A message to two recipients, with other values for the fields named."""
        to = [self.recipient.format(name) for name in ("ann", "bob")]
        return Message(**{"from_": self.sender, "to": to, "subject": "Order 7", "text": "Hello\n", **fields})

    def _check_arrived(self, *mails: Mail) -> None:
        arrived = self.received()
        if arrived is None:
            return
        assert len(arrived) == len(mails), f"{len(mails)} mails were sent and {len(arrived)} arrived"
        others, missing = list(arrived), []
        for mail in mails:
            content = bytes(mail.content)
            if content in others:
                others.remove(content)
            else:
                missing.append((content, mail))
        if missing:
            composed, mail = min(missing, key=lambda pair: pair[0])
            subject = mail.message.subject if mail.message else None
            pytest.fail(f"what arrived of {subject!r} is not what was composed: {_difference(min(others), composed)}")

    # --- what it says of itself ---------------------------------------------------------------------------------------

    def test_it_names_itself_and_shows_no_secret(self, face: Face) -> None:
        backend = self.make_backend()
        with face.mailer(backend) as mailer:
            receipt = mailer.send(self.message())
            health = mailer.check()
            shown = [str(backend), repr(backend), backend.url, repr(mailer.wrapped), receipt.backend, repr(receipt)]
            shown += [json.dumps(receipt.to_dict()), repr(health), json.dumps(health.to_dict())]
        assert str(backend).isprintable()
        assert str(backend).strip()
        assert receipt.backend, "the receipt does not say which backend it is from"
        for text in shown:
            for secret in self.secrets:
                assert secret not in text, f"a secret is shown: {text.replace(secret, '***')}"

    def test_no_secret_shows_in_errors_logs_and_frames(self) -> None:
        """As :func:`mailer.testing.sweep` looks, at the failing backend too; for secrets of 8 characters or more."""
        secrets = [secret for secret in self.secrets if len(secret) >= MIN_CHARS]
        if not secrets:
            return
        sweep(self.make_backend, secrets, faces=self.faces)
        if self.make_failing_backend() is not None:
            sweep(lambda: cast(Backend, self.make_failing_backend()), secrets, faces=self.faces)

    def test_its_features_are_features(self, face: Face) -> None:
        assert isinstance(self.make_backend().features, Features)
        assert set(self.cannot_carry) <= {*_NEEDS, "raw"}, "cannot_carry names no feature"

    def test_check_gives_a_health(self, face: Face) -> None:
        backend = self.make_backend()
        with face.mailer(backend) as mailer:
            health = mailer.check()
        assert isinstance(health, Health)
        assert health.ok, health.cause
        assert health.backend == str(backend)
        assert all(isinstance(item, str) for pair in health.facts.items() for item in pair)
        assert not self.received(), "check has sent something"

    # --- receipts -----------------------------------------------------------------------------------------------------

    def test_send_settles_each_recipient_in_order(self, face: Face) -> None:
        backend = self.make_backend()
        with face.mailer(backend) as mailer:
            mail = mailer.compose(self.message(cc=self.recipient.format("cyd"), bcc=self.recipient.format("dee")))
            receipt = face.run(called, backend.runtime, backend.send, mail)
        assert isinstance(receipt, Receipt), f"send returned {type(receipt).__name__}, not a Receipt"
        assert receipt.id == mail.id
        _check_results(receipt, mail)

    def test_a_cut_short_send_settles_each_recipient(self, face: Face) -> None:
        backend = self.make_backend()
        with face.mailer(backend) as mailer:
            mail = mailer.compose(self.message())
            receipt = face.call(backend.settled, mail)
        assert isinstance(receipt, Receipt)
        _check_results(receipt, mail)

    def test_a_mailer_gets_a_receipt(self, face: Face) -> None:
        with face.mailer(self.make_backend()) as mailer:
            receipt = mailer.send(self.message())
        [mail] = mailer.mails
        _check_results(receipt, mail)
        assert receipt.ok, receipt
        assert receipt.attempts, "the receipt does not say what was tried"
        assert Receipt.from_dict(json.loads(json.dumps(receipt.to_dict()))) == receipt

    def test_a_hundred_recipients(self, face: Face) -> None:
        to = [self.recipient.format(f"name{number}") for number in range(_MANY_RECIPIENTS)]
        with face.mailer(self.make_backend()) as mailer:
            most = mailer.backend.limits.recipients
            if most is not None and most < len(to):
                with pytest.raises(UnsupportedFeature):
                    mailer.send(self.message(to=to[: most + 1]))
                assert not self.received(), "what was refused has been sent"
                del to[most:]
            receipt = mailer.send(self.message(to=to))
        assert [result.address.addr_spec for result in receipt.results] == to
        assert receipt.ok, f"{len(receipt.accepted)} of {len(to)} recipients accepted"
        assert set(self.received() or []) <= {bytes(mailer.mails[0].content)}

    # --- what arrives -------------------------------------------------------------------------------------------------

    def test_it_arrives_as_it_was_composed(self, face: Face) -> None:
        """In each of the :data:`FORMS`, whose names are the subjects."""
        sent = []
        with face.mailer(self.make_backend()) as mailer:
            for form, fields in FORMS.items():
                message = self.message(**{"subject": form, **fields})
                if self._lacks_for(mailer.backend, form):
                    with pytest.raises(UnsupportedFeature):
                        mailer.send(message)
                else:
                    receipt = mailer.send(message)
                    assert receipt.ok, f"{form}: {receipt}"
                    sent.append(mailer.mails[-1])
        self._check_arrived(*sent)

    def test_no_address_is_taken_for_anything_else(self, face: Face) -> None:
        """An option, a path, a command, a format: legal local parts, which go as they are (RFC 5322 section 3.2.3)."""
        to = [self.recipient.format(name) for name in _ODD]
        with face.mailer(self.make_backend()) as mailer:
            most = mailer.backend.limits.recipients or len(to)
            receipt = mailer.send(self.message(to=to[:most], subject="--help $(x) `x` %s {0} ; | &"))
        assert [result.address.addr_spec for result in receipt.results] == to[:most]
        assert receipt.ok, receipt
        self._check_arrived(*mailer.mails)

    def test_bcc_is_in_nothing_that_arrives(self, face: Face) -> None:
        hidden = self.recipient.format("hidden-7f3a")
        with face.mailer(self.make_backend()) as mailer:
            receipt = mailer.send(self.message(bcc=hidden))
        assert receipt.results[-1].address.addr_spec == hidden
        for content in self.received() or []:
            assert b"hidden-7f3a" not in content
            assert not re.search(rb"(?im)^bcc:", content)

    def test_the_null_sender(self, face: Face) -> None:
        with face.mailer(self.make_backend()) as mailer:
            if not self._carries(mailer.backend, "return_path"):
                pytest.skip("the backend does not carry return_path")
            assert mailer.send(self.message(return_path=NULL_SENDER)).ok
        self._check_arrived(*mailer.mails)

    def test_ready_made_mail(self, face: Face) -> None:
        content = (
            f"From: {self.sender}\nTo: {self.recipient.format('ann')}\nBcc: {self.recipient.format('hidden')}\n"
            "Subject: ready-made\n\n.\nHello\n"
        ).encode()
        with face.mailer(self.make_backend()) as mailer:
            if not self._carries(mailer.backend, "raw"):
                with pytest.raises(UnsupportedFeature) as refused:
                    mailer.send_raw(content)
                assert refused.value.field == "raw"
                assert not self.received(), "what was refused has been sent"
                return
            receipt = mailer.send_raw(content)
            assert receipt.ok, receipt
            assert [result.address.local for result in receipt.results] == ["ann", "hidden"]
            other = mailer.send_raw(content, Envelope(self.sender, [self.recipient.format("eve")]))
            assert [result.address.local for result in other.results] == ["eve"]
        self._check_arrived(*mailer.mails)

    # --- what it cannot carry -----------------------------------------------------------------------------------------

    def _carries(self, backend: Backend, feature: str) -> bool:
        return bool(getattr(backend.features, feature)) and feature not in self.cannot_carry

    def _lacks_for(self, backend: Backend, form: str) -> bool:
        needed = {"inline" if file.inline else "attachments" for file in FORMS[form].get("attachments", ())}
        return not all(self._carries(backend, feature) for feature in needed)

    def test_what_it_cannot_carry_is_refused_before_anything_is_sent(self, face: Face) -> None:
        with face.mailer(self.make_backend()) as mailer:
            for feature in sorted(_NEEDS.keys() - _ADVISORY):
                if not self._carries(mailer.backend, feature):
                    with pytest.raises(UnsupportedFeature) as refused:
                        mailer.send(self.message(**_NEEDS[feature]))
                    assert refused.value.field == feature
        assert not self.received(), "what was refused has been sent"

    def test_advice_that_it_cannot_carry_is_noted_or_refused(self, face: Face) -> None:
        lacking = sorted(_ADVISORY)
        with face.mailer(self.make_backend()) as mailer:
            lacking = [feature for feature in lacking if not self._carries(mailer.backend, feature)]
            for feature in lacking:
                receipt = mailer.send(self.message(**_NEEDS[feature]))
                assert any(feature in note for note in receipt.notes), f"{feature} was left out without a note"
            mailer.backend.attach(mailer.backend.runtime, "error")
            for feature in lacking:
                with pytest.raises(UnsupportedFeature):
                    mailer.send(self.message(**_NEEDS[feature]))
        self._check_arrived(*mailer.mails[: len(lacking)])

    def test_merge_fields_make_a_mail_for_each_recipient(self, face: Face) -> None:
        """By the mailer, so the backend is told of single mails; one that merges by itself has tests of its own."""
        names = ["Ann", "Bob", "Zoë"]
        to = [self.recipient.format(name) for name in ("ann", "bob", "zoe")]
        message = self.message(
            to=to[:2],
            bcc=to[2],
            text="Dear {{ name }}\n",
            html=None,
            merge_data={address: {"name": name} for address, name in zip(to, names, strict=True)},
        )
        with face.mailer(self.make_backend()) as mailer:
            if mailer.backend.features.merge:
                return
            receipt = mailer.send(message)
            mails = mailer.mails
        assert receipt.ok
        assert [result.address.addr_spec for result in receipt.results] == to
        for mail, name, address in zip(mails, names, to, strict=True):
            assert [recipient.addr_spec for recipient in mail.envelope.recipients] == [address]
            assert mail.message is not None
            assert mail.message.text == f"Dear {name}\n"
            assert not any(
                other in bytes(mail.content) for other in (a.encode() for a in to) if other != address.encode()
            )
        self._check_arrived(*mails)

    # --- again, at once, after the end --------------------------------------------------------------------------------

    def test_ten_in_a_row(self, face: Face) -> None:
        with face.mailer(self.make_backend()) as mailer:
            receipts = [mailer.send(self.message(subject=f"Order {number}")) for number in range(10)]
        assert all(receipt.ok for receipt in receipts)
        assert len({receipt.id for receipt in receipts}) == len(receipts)
        self._check_arrived(*mailer.mails)

    def test_eight_at_once(self, face: Face) -> None:
        """Eight threads on one Mailer, or eight tasks on one AsyncMailer."""
        names = [f"name{number}" for number in range(_AT_ONCE)]
        messages = [self.message(to=self.recipient.format(name), subject=name) for name in names]
        with face.mailer(self.make_backend()) as mailer:
            receipts = mailer.at_once([functools.partial(mailer.wrapped.send, message) for message in messages])
        assert [receipt.results[0].address.local for receipt in receipts] == names
        assert all(receipt.ok for receipt in receipts)
        self._check_arrived(*mailer.mails)

    def test_it_may_be_closed_twice_and_used_again(self, face: Face) -> None:
        with face.mailer(self.make_backend()) as mailer:
            mailer.close()
            assert mailer.send(self.message()).ok
            mailer.close()
            mailer.close()
            assert mailer.send(self.message()).ok
        self._check_arrived(*mailer.mails)

    # --- failures -----------------------------------------------------------------------------------------------------

    def test_content_that_cannot_be_read_is_an_outcome_and_does_no_lasting_harm(self, face: Face) -> None:
        with face.mailer(self.make_backend()) as mailer:
            if not self._carries(mailer.backend, "raw"):
                pytest.skip("the backend carries what the message composes, no other content")
            mailer.hooks.add_filter("mail", _unreadable_at_first)
            try:
                receipt = mailer.send(self.message())
            except DeliveryError as error:
                receipt = error.receipt
            [broken] = mailer.mails
            _check_results(receipt, broken)
            mailer.hooks.remove("mail", _unreadable_at_first)
            assert mailer.send(self.message()).ok, "a failure has broken the backend for the next mail"
        with contextlib.suppress(OSError):
            bytes(broken.content)  # if the backend has not read it, this is the first time; from now on it can be read
        arrived = self.received()
        if arrived is not None:
            came_too = [content for content in arrived if content != bytes(mailer.mails[-1].content)]
            if receipt.accepted:
                assert came_too == [bytes(broken.content)], "accepted, and not arrived"
            elif receipt.unknown:
                assert came_too in ([], [bytes(broken.content)]), "something arrived that was not sent"
            else:
                assert came_too == [], "not accepted, and yet arrived"

    def test_a_failure_is_an_outcome(self, face: Face) -> None:
        backend = self.make_failing_backend()
        if backend is None:
            pytest.skip("make_failing_backend gives none")
        with face.mailer(backend) as mailer:
            with pytest.raises(DeliveryError) as failed:  # any other exception is a foreign one
                mailer.send(self.message())
            health = mailer.check()
        _check_results(failed.value.receipt, mailer.mails[0])
        assert isinstance(health, Health)
        shown = [str(failed.value), repr(failed.value.receipt), repr(failed.value.__cause__), repr(health)]
        for secret in self.secrets:
            assert not any(secret in text for text in shown), "a failure shows a secret"


def _difference(arrived: bytes, composed: bytes) -> str:
    """Say where two contents part.

    pytest compares line by line where the variable ``CI`` is set, and takes minutes for a large one.
    """
    shorter = min(len(arrived), len(composed))
    at = next((index for index in range(shorter) if arrived[index] != composed[index]), shorter)
    around = slice(max(at - _SHOWN, 0), at + _SHOWN)
    return f"from octet {at} on, {arrived[around]!r} arrived where {composed[around]!r} was composed"


def _check_results(receipt: Receipt, mail: Mail) -> None:
    """Exactly one result for each recipient in the envelope's order, each one sound."""
    assert [result.address for result in receipt.results] == list(mail.envelope.recipients)
    for result in receipt.results:
        assert isinstance(result.outcome, Outcome)
        assert result.code is None or 200 <= result.code <= 599, f"code {result.code} is outside 200-599"
        assert result.text.isprintable(), f"the text is not one printable line: {result.text!r}"
        assert result.retry_after_s is None or result.retry_after_s >= 0
        if result.enhanced_code is not None:
            assert re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", result.enhanced_code), result.enhanced_code
            assert result.code is None or result.enhanced_code[0] == str(result.code)[0]


class _UnreadableAtFirst:
    """A piece of content whose source fails the first time that it is read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._has_failed = False

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        yield self._data[:40]
        if not self._has_failed:
            self._has_failed = True
            raise OSError(errno.EIO, "the disk is broken")
        yield self._data[40:]


def _unreadable_at_first(mail: Mail, context: Context) -> Mail:
    return mail.with_(content=Content([_UnreadableAtFirst(bytes(mail.content))]))
