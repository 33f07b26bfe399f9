"""Backends with one fault each. Not collected by itself: ``test_contract_suite.py`` runs it, and each class must fail.

The docstring of each class begins with the test of the contract that must notice.
"""

from __future__ import annotations

import threading

from mailer import AuthError, Backend, Features, Health, Outcome, Receipt
from mailer.testing.contract import BackendContract


class Sound(Backend):
    """A backend without fault, to be broken by subclasses."""

    url = "sound:"

    def __init__(self) -> None:
        self.arrived: list[bytes] = []

    def send(self, mail):
        self.arrived.append(bytes(mail.content))
        return Receipt.for_all(mail, Outcome.ACCEPTED, code=250, text="ok", backend=self.url)


class Failing(Sound):
    def send(self, mail):
        raise RuntimeError("down")


class Case(BackendContract):
    faces = ("blocking",)
    Kind = Sound
    Down = Failing

    def make_backend(self):
        self.backend = self.Kind()
        return self.backend

    def make_failing_backend(self):
        return self.Down()

    def received(self):
        return self.backend.arrived


class TestSound(Case):
    pass


class TestShowsItsToken(Case):
    """test_it_names_itself_and_shows_no_secret"""

    secrets = ("t0ken",)

    class Kind(Sound):
        url = "sound://t0ken@default"


class TestKeepsItsTokenInAVariable(Case):
    """test_no_secret_shows_in_errors_logs_and_frames"""

    secrets = ("t0ken-of-the-loft",)

    class Down(Sound):
        def send(self, mail):
            header = "Bearer t0ken-of-the-loft"
            raise AuthError(f"no {len(header)}")


class TestHasNoFeatures(Case):
    """test_its_features_are_features"""

    class Kind(Sound):
        features = frozenset({"attachments"})


class TestTakesNoSecondMailForADomain(Case):
    """test_merge_fields_make_a_mail_for_each_recipient"""

    class Kind(Sound):
        def send(self, mail):
            receipt = super().send(mail)
            return receipt if len(self.arrived) == 1 else Receipt.for_all(mail, Outcome.DEFERRED)


class TestCheckRaises(Case):
    """test_check_gives_a_health"""

    class Kind(Sound):
        def check(self):
            raise OSError("no route")


class TestCheckSends(Case):
    """test_check_gives_a_health"""

    class Kind(Sound):
        def check(self):
            self.arrived.append(b"test mail")
            return Health(ok=True, backend=self.url)


class TestForgetsTheLastRecipient(Case):
    """test_send_settles_each_recipient_in_order"""

    class Kind(Sound):
        def send(self, mail):
            receipt = super().send(mail)
            return receipt.with_(results=receipt.results[:-1])


class TestTurnsTheResultsRound(Case):
    """test_send_settles_each_recipient_in_order"""

    class Kind(Sound):
        def send(self, mail):
            receipt = super().send(mail)
            return receipt.with_(results=receipt.results[::-1])


class TestMixesUpTheCodes(Case):
    """test_send_settles_each_recipient_in_order"""

    class Kind(Sound):
        def send(self, mail):
            super().send(mail)
            return Receipt.for_all(mail, Outcome.ACCEPTED, code=250, enhanced_code="5.1.1")


class TestSettledSaysNothing(Case):
    """test_a_cut_short_send_settles_each_recipient"""

    class Kind(Sound):
        def settled(self, mail):
            return Receipt(id=mail.id)


class TestReturnsNone(Case):
    """test_a_mailer_gets_a_receipt"""

    class Kind(Sound):
        def send(self, mail):
            super().send(mail)


class TestTakesFiftyRecipients(Case):
    """test_a_hundred_recipients"""

    class Kind(Sound):
        def send(self, mail):
            receipt = super().send(mail)
            return receipt.with_(results=receipt.results[:50])


class TestEatsDots(Case):
    """test_it_arrives_as_it_was_composed"""

    class Kind(Sound):
        def send(self, mail):
            self.arrived.append(bytes(mail.content).replace(b"\r\n.", b"\r\n"))
            return Receipt.for_all(mail, Outcome.ACCEPTED)


class TestGarblesLargeMails(Case):
    """test_it_arrives_as_it_was_composed"""

    class Kind(Sound):
        def send(self, mail):
            content = bytes(mail.content)
            self.arrived.append(content if len(content) < 100_000 else content.replace(b"\r\n", b"\n"))
            return Receipt.for_all(mail, Outcome.ACCEPTED)


class TestTakesAnAddressForAnOption(Case):
    """test_no_address_is_taken_for_anything_else"""

    class Kind(Sound):
        def send(self, mail):
            receipt = super().send(mail)
            options = [result for result in receipt.results if result.address.local.startswith("-")]
            return receipt.with_(results=tuple(result for result in receipt.results if result not in options))


class TestWritesBcc(Case):
    """test_bcc_is_in_nothing_that_arrives"""

    class Kind(Sound):
        def send(self, mail):
            bcc = ", ".join(address.addr_spec for address in mail.message.bcc)
            self.arrived.append(f"Bcc: {bcc}\r\n".encode() + bytes(mail.content))
            return Receipt.for_all(mail, Outcome.ACCEPTED)


class TestNeedsASender(Case):
    """test_the_null_sender"""

    class Kind(Sound):
        def send(self, mail):
            assert mail.envelope.sender.addr_spec
            return super().send(mail)


class TestNeedsAMessage(Case):
    """test_ready_made_mail"""

    class Kind(Sound):
        def send(self, mail):
            assert mail.message.subject is not None
            return super().send(mail)


class TestSendsWhatItCannotCarry(Case):
    """test_what_it_cannot_carry_is_refused_before_anything_is_sent"""

    cannot_carry = ("attachments",)


class TestSendsBeforeItRefuses(Case):
    """test_what_it_cannot_carry_is_refused_before_anything_is_sent"""

    cannot_carry = ("attachments",)

    class Kind(Sound):
        def send(self, mail):
            from mailer import UnsupportedFeature

            receipt = super().send(mail)
            if mail.message.attachments:
                raise UnsupportedFeature("too heavy", field="attachments")
            return receipt


class TestLeavesOutInSilence(Case):
    """test_advice_that_it_cannot_carry_is_noted_or_refused"""

    cannot_carry = ("tags",)

    class Kind(Sound):
        features = Features(tags=True)


class TestLosesTheTenth(Case):
    """test_ten_in_a_row"""

    class Kind(Sound):
        def send(self, mail):
            receipt = super().send(mail)
            if len(self.arrived) % 10 == 0:
                self.arrived.pop()
            return receipt


class TestBelongsToAThread(Case):
    """test_eight_at_once"""

    class Kind(Sound):
        def __init__(self) -> None:
            super().__init__()
            self.thread = threading.get_ident()

        def send(self, mail):
            if threading.get_ident() != self.thread:
                raise RuntimeError("made in another thread")
            return super().send(mail)


class TestClosesForGood(Case):
    """test_it_may_be_closed_twice_and_used_again"""

    class Kind(Sound):
        closed = False

        def close(self):
            self.closed = True

        def send(self, mail):
            if self.closed:
                raise RuntimeError("closed")
            return super().send(mail)


class TestIsClosedOnce(Case):
    """test_it_may_be_closed_twice_and_used_again"""

    class Kind(Sound):
        closed = False

        def close(self):
            if self.closed:
                raise RuntimeError("closed already")
            self.closed = True


class TestChokesForGood(Case):
    """test_content_that_cannot_be_read_is_an_outcome_and_does_no_lasting_harm"""

    class Kind(Sound):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def send(self, mail):
            if not self.lock.acquire(blocking=False):
                return Receipt.for_all(mail, Outcome.DEFERRED, text="busy")
            receipt = super().send(mail)
            self.lock.release()
            return receipt


class TestDeliversHalfAMail(Case):
    """test_content_that_cannot_be_read_is_an_outcome_and_does_no_lasting_harm"""

    class Kind(Sound):
        def send(self, mail):
            self.arrived.append(b"")
            for chunk in mail.content:
                self.arrived[-1] += chunk
            return Receipt.for_all(mail, Outcome.ACCEPTED)


class TestAcceptsWhenItIsDown(Case):
    """test_a_failure_is_an_outcome"""

    Down = Sound


class TestTellsItsTokenWhenItIsDown(Case):
    """test_a_failure_is_an_outcome"""

    secrets = ("t0ken",)

    class Down(Sound):
        def send(self, mail):
            return Receipt.for_all(mail, Outcome.DEFERRED, text="t0ken was refused")
