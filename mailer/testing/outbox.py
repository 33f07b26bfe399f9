"""The outbox of a test: every mail that is sent in this process meanwhile, by whatever mailer; nothing leaves it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from socket import socket
from typing import Unpack, overload

from ..address import Address
from ..backends.base import Backend, called
from ..backends.caught import catchers
from ..backends.wrapping import part_of
from ..errors import MailerError, Outcome, UnsupportedFeature
from ..mail import Mail
from ..mailbox.server import glob
from ..receipt import Receipt, RecipientResult
from ..verdict import VERDICTS, Scope, event_of
from .asserting import assert_nothing_sent, assert_sent
from .criteria import Expected
from .expectation import OneMailbox
from .faults import OutboxFault
from .sent import SentMail
from .stand_in import StandIn

__all__ = ["MailOutbox"]

_MOST_REMARKS = 5
_TAKEN = "caught by the test's outbox"


class MailOutbox(StandIn, list[SentMail]):
    """The mails that were sent while it was at work, oldest first; a context manager. Fixture: ``mailer_outbox``.

    ::

        with MailOutbox() as outbox:
            sign_up("ann@example.org")
        mail = outbox.assert_sent(to="ann@example.org", subject="Welcome")
        client.get(mail.link("/confirm/"))

    It stands in the place of every backend of the process: of mailers made before it or meanwhile, blocking and async,
    in any thread. Rendering, filters, signers, plug-ins, retries and groups are at work as ever, and what a backend
    cannot carry is refused as ever; but no connection is opened. A mail that was accepted for nobody is not among them,
    but in ``attempts``. Of several outboxes each gets the mails, and the latest answers.

    Attributes:
        attempts: Everything that a backend was asked to carry, with its ``receipt``: refused mails and tries that were
            followed by another too.
        faults: What `fail_with` made.
    """

    _places = catchers

    def __init__(self) -> None:
        super().__init__()
        self.attempts: list[SentMail] = []
        self.faults: list[OutboxFault] = []
        self._changed = threading.Condition()

    # ---- What it is to answer ----

    def fail_with(
        self,
        what: Outcome | MailerError | type[MailerError],
        *,
        to: OneMailbox = "*",
        times: int | None = None,
        code: int | None = None,
        enhanced_code: str | None = None,
        text: str = "",
        retry_after_s: float | None = None,
        scope: Scope | None = None,
        backend: str = "*",
    ) -> OutboxFault:
        """Answer otherwise from now on; of several that fit a recipient, the first.

        Retries, groups and plug-ins take it for the backend's own answer.

        Args:
            what: The outcome; or what goes wrong (``ConnectError``, ``TlsError("expired")`` ...), which has the outcome
                that it has with every backend.
            to: Whose: an address, ``*`` in it for any text, a pattern, or a function of the Address.
            times: For so many mails, each try counting as one; None: for all.
            code: The reply's, 400 to 599; None: what is usual.
            enhanced_code: "5.1.1".
            text: The reply's.
            retry_after_s: In how many seconds to come again (DEFERRED).
            scope: What it is about. ``Scope.RECIPIENT`` makes a DEFERRED one that is not tried again within seconds.
            backend: The URL of the backend that it is for, secrets masked; ``*`` stands for any text.

        Raises:
            TypeError, ValueError: These do not go together.
        """
        fault = OutboxFault.of(
            what,
            to=to,
            times=times,
            code=code,
            enhanced_code=enhanced_code,
            text=text,
            retry_after_s=retry_after_s,
            scope=scope,
            backend=backend,
        )
        self.faults.append(fault)
        return fault

    # ---- What was sent ----

    @overload
    def assert_sent(self, *, count: None = None, **expected: Unpack[Expected]) -> SentMail: ...

    @overload
    def assert_sent(self, *, count: int, **expected: Unpack[Expected]) -> list[SentMail]: ...

    def assert_sent(self, *, count: int | None = None, **expected: Unpack[Expected]) -> SentMail | list[SentMail]:
        """Hold that a mail like this was sent, and return it: see :func:`mailer.testing.assert_sent`."""
        __tracebackhide__ = True
        return assert_sent(self, **expected) if count is None else assert_sent(self, count=count, **expected)

    def assert_nothing_sent(self, **expected: Unpack[Expected]) -> None:
        """Hold that no mail, or none like this, was sent: see :func:`mailer.testing.assert_nothing_sent`."""
        __tracebackhide__ = True
        assert_nothing_sent(self, **expected)

    def wait_for(self, count: int = 1, *, timeout_s: float = 5.0) -> list[SentMail]:
        """Wait until so many mails were sent, by other threads, and return them all. Blocks.

        In an event loop, with all that would send there, it is ``await anyio.to_thread.run_sync(outbox.wait_for)``.

        Raises:
            AssertionError: There were fewer by then.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self) >= count, timeout_s):
                raise AssertionError(
                    f"{len(self)} of {count} mails were sent within {timeout_s:g} s (in an event loop, which this"
                    f" blocks: await anyio.to_thread.run_sync(outbox.wait_for, {count}))"
                )
            return list(self)

    def clear(self) -> None:
        """Forget mails and attempts; faults stay (``outbox.faults.clear()``)."""
        super().clear()
        self.attempts.clear()

    @property
    def remarks(self) -> list[str]:
        """What a failed assertion says beside."""
        refused = [tried for tried in self.attempts if tried.receipt is not None and not tried.receipt.accepted]
        lines = ["tried, and accepted for nobody:"] if refused else []
        for tried in refused[-_MOST_REMARKS:]:
            [first, *_] = tried.receipt.results if tried.receipt else ()
            lines.append(f"  {tried!r}, {first.outcome.name}: {first.text}")
        if "django.db" in sys.modules:
            from .django import waiting_for_commit

            lines += waiting_for_commit()
        return lines

    # ---- In a backend's place ----

    async def carry(self, backend: Backend, mails: Sequence[Mail]) -> list[Receipt | UnsupportedFeature]:
        """See :class:`mailer.backends.caught.Catcher`."""
        said = [self._answer(backend, mail) for mail in mails]
        if backend.keeps_in_process:
            for mail, receipt in zip(mails, said, strict=True):
                if isinstance(receipt, Receipt) and receipt.accepted:
                    part = part_of(mail, [result.address for result in receipt.accepted])
                    await called(backend.runtime, backend.send, part)
        return said

    def dial(self, url: str, *, is_lmtp: bool) -> socket:
        """See :class:`mailer.backends.caught.Catcher`."""
        from .peer import dialled

        def judge(recipient: Address) -> RecipientResult:
            with self._changed:
                fault = self._faults_of((recipient,), url).get(recipient.key)
            return fault.result(recipient) if fault else RecipientResult(recipient, Outcome.ACCEPTED, text=_TAKEN)

        def keep(mail: Mail, results: tuple[RecipientResult, ...]) -> None:
            _keep_in_all(mail, Receipt(mail.id, url, results))

        return dialled(judge, keep, is_lmtp=is_lmtp)

    def _answer(self, backend: Backend, mail: Mail) -> Receipt | UnsupportedFeature:
        name = str(backend)
        try:
            bytes(mail.content)
        except MailerError as error:  # as an attachment that is not on disk any more
            outcome, scope = VERDICTS[event_of(error, "cut short")]
            return Receipt.for_all(mail, outcome, text=str(error), scope=scope, backend=name).with_(error=error)
        with self._changed:
            faults = self._faults_of(mail.envelope.recipients, name)
        for fault in faults.values():
            if isinstance(fault.cause, UnsupportedFeature):
                return fault.cause
        results = tuple(
            faults[address.key].result(address)
            if address.key in faults
            else RecipientResult(address, Outcome.ACCEPTED, text=_TAKEN)
            for address in mail.envelope.recipients
        )
        causes = [fault.cause for fault in faults.values() if fault.cause is not None]
        receipt = Receipt(mail.id, name, results, error=causes[0] if causes else None)
        _keep_in_all(mail, receipt)
        return receipt

    def _faults_of(self, recipients: Sequence[Address], backend: str) -> dict[tuple[str, str], OutboxFault]:
        """The fault of each recipient who has one, counted."""
        found: dict[tuple[str, str], OutboxFault] = {}
        for fault in self.faults:
            if fault.is_over or not glob(fault.backend).fullmatch(backend):
                continue
            its = [one.key for one in recipients if one.key not in found and fault.is_for(one)]
            found.update(dict.fromkeys(its, fault))
            fault.times_met += bool(its)
        return found

    def _keep(self, mail: Mail, receipt: Receipt) -> None:
        with self._changed:
            self.attempts.append(SentMail(mail, receipt, receipt.backend))
            if receipt.accepted:
                part = part_of(mail, [result.address for result in receipt.accepted])
                self.append(SentMail(part, receipt, receipt.backend))
            self._changed.notify_all()


def _keep_in_all(mail: Mail, receipt: Receipt) -> None:
    for catcher in catchers.all:
        if isinstance(catcher, MailOutbox):
            catcher._keep(mail, receipt)
