"""The test outbox: what it catches, whose answer it gives, and that nothing else of a send is other than ever."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from cases import each
from worlds import World

import mailer as mailer_package
from mailer import (
    Address,
    Attachment,
    AuthError,
    Backend,
    ConfigError,
    ConnectError,
    DeadlineExceeded,
    DeliveryDeferred,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnknown,
    Features,
    Mail,
    Mailer,
    Message,
    Outcome,
    ProtocolError,
    Receipt,
    RetryPolicy,
    Scope,
    TlsError,
    UnsupportedFeature,
)
from mailer.backends.caught import catchers
from mailer.backends.memory import MemoryBackend
from mailer.testing import MailOutbox, SmtpServer

HELLO = Message(from_="shop@example.com", to="ann@example.org", subject="Hi", text="Hello")
PAIR = HELLO.with_(to=["ann@example.org", "bob@gone.example"])
#: Nothing listens there, and nothing is asked: a name that does not exist, a port that is closed.
NOWHERE = "smtp://user:secret@nowhere.invalid"


class Broken(Backend):
    """A backend that must not be reached."""

    features = Features.everything()
    url = "broken:"

    def send(self, mail: Mail) -> Receipt:
        raise AssertionError("the mail has left")


def subjects(outbox: MailOutbox) -> list[str]:
    return [mail.subject for mail in outbox]


# --- what is caught ---------------------------------------------------------------------------------------------------


def test_every_backend_and_every_way_to_send_in_every_world(world: World, mailer_outbox: MailOutbox) -> None:
    urls = [NOWHERE, "mx://", "postmark://TOKEN@nowhere.invalid", f"failover({NOWHERE} postmark://T@nowhere.invalid)"]
    for url in (*urls, "file:///nowhere/at/all", "sendmail:///nowhere", "console:", "null:", Broken()):
        mailer_outbox.clear()
        with world.mailer(url) as one:
            assert one.send(HELLO).ok
            assert [receipt.ok for receipt in one.send_many([HELLO.with_(subject=f"{n}") for n in range(3)])] == [
                True
            ] * 3
            if one.backend.features.raw:
                assert one.send_raw(b"From: a@b.test\r\nTo: c@d.test\r\nSubject: raw\r\n\r\nx\r\n").ok
                assert subjects(mailer_outbox) == ["Hi", "0", "1", "2", "raw"]
            else:
                assert subjects(mailer_outbox) == ["Hi", "0", "1", "2"]
            assert one.check().ok


def test_mailers_of_before_threads_and_the_module_itself() -> None:
    sent = threading.Event()
    older = Mailer(NOWHERE, retry=None)

    def later() -> None:
        sent.wait(10)
        older.send(HELLO.with_(subject="thread"))

    thread = threading.Thread(target=later)
    thread.start()
    mailer_package.configure({"url": NOWHERE, "from": "shop@example.com"})
    try:
        with MailOutbox() as outbox:
            older.send(HELLO.with_(subject="older"))
            mailer_package.send(HELLO.with_(subject="module"))
            sent.set()
            assert len(outbox.wait_for(3)) == 3
    finally:
        thread.join()
        mailer_package.close()
    assert subjects(outbox) == ["older", "module", "thread"]


def test_many_at_once(mailer_outbox: MailOutbox) -> None:
    with Mailer(NOWHERE) as one:
        receipts = list(one.send_many([HELLO.with_(subject=str(n)) for n in range(100)], concurrency=8))
    assert all(receipt.ok for receipt in receipts)
    assert sorted(map(int, subjects(mailer_outbox))) == list(range(100))


def test_a_backend_that_keeps_mails_here_has_them_too(mailer_outbox: MailOutbox) -> None:
    backend = MemoryBackend()
    mailer_outbox.fail_with(Outcome.REJECTED, to="bob@*")
    Mailer(backend).send(PAIR)
    assert mailer_outbox[0].recipients == backend.mails[0].envelope.recipients == HELLO.to


def test_when_it_has_stopped_mails_go_where_they_went() -> None:
    with SmtpServer() as server, Mailer(server.url) as one:
        with MailOutbox() as outbox:
            one.send(HELLO)
            outbox.start()  # again, to no effect
            with outbox:  # as of a fixture's: the inner one ends nothing
                pass
            assert catchers.latest is outbox
        one.send(HELLO.with_(subject="out"))
        assert [mail.message["Subject"] for mail in server.mails] == ["out"]
    assert subjects(outbox) == ["Hi"]
    assert catchers.latest is None


def test_of_two_each_has_the_mail_and_the_latest_answers(mailer_outbox: MailOutbox) -> None:
    mailer_outbox.fail_with(Outcome.REJECTED)
    with MailOutbox() as inner, Mailer(NOWHERE) as one:
        assert one.send(HELLO).ok
    assert subjects(inner) == subjects(mailer_outbox) == ["Hi"]
    with pytest.raises(DeliveryRefused):
        one.send(HELLO)
    assert len(mailer_outbox) == 1


def test_it_is_emptied_and_waits_in_vain(mailer_outbox: MailOutbox) -> None:
    Mailer(NOWHERE).send(HELLO)
    mailer_outbox.clear()
    assert mailer_outbox == mailer_outbox.attempts == []
    with pytest.raises(AssertionError, match=r"0 of 1 mails were sent within 0\.01 s"):
        mailer_outbox.wait_for(timeout_s=0.01)


# --- the rest of a send is as ever ------------------------------------------------------------------------------------


def test_templates_filters_plugins_signers_and_actions_run(mailer_outbox: MailOutbox, tmp_path: Path) -> None:
    (tmp_path / "welcome.txt").write_text("Hello {{ name }}")
    (tmp_path / "welcome.subject.txt").write_text("Welcome {{ name }}")
    told = []
    with Mailer(NOWHERE, templates=tmp_path, plugins={"subject_prefix": {"prefix": "[test] "}}) as one:
        one.hooks.add_action("sent", lambda context: told.append(context.receipt))
        one.hooks.add_filter(
            "sign", lambda mail, context: mail.with_(content=b"X-Signed: yes\r\n" + bytes(mail.content))
        )
        receipt = one.send(Message(from_="a@b.test", to="ann@example.org", template="welcome", context={"name": "Ann"}))
    mail = mailer_outbox.assert_sent(template="welcome", subject="[test] Welcome Ann", headers={"X-Signed": "yes"})
    assert (mail.text, mail.id, mail.message and mail.message.template) == ("Hello Ann", receipt.id, None)
    assert told == [receipt]
    assert receipt.attempts[0].backend == receipt.backend == "smtp://user:***@nowhere.invalid"


def test_what_the_backend_cannot_carry_is_refused_as_ever(mailer_outbox: MailOutbox) -> None:
    with Mailer("postmark://TOKEN@default") as one:
        with pytest.raises(UnsupportedFeature):
            one.send_raw(b"From: a@b.test\r\nTo: c@d.test\r\n\r\nx\r\n")
        receipt = one.send(HELLO.with_(priority=1, message_id="<1@x.test>"))
    assert any("message_id" in note for note in receipt.notes)
    assert len(mailer_outbox.attempts) == 1


def test_a_file_that_is_gone_by_then(mailer_outbox: MailOutbox, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_bytes(b"a;b\r\n")
    message = HELLO.with_(attachments=[Attachment.from_path(path)])
    with Mailer(NOWHERE, retry=None) as one:
        one.send(message)
        path.unlink()
        with pytest.raises(DeliveryError):
            one.send(message)
    [mail] = mailer_outbox
    assert mail.attachment("report.csv").content == b"a;b\r\n"


# --- fail_with --------------------------------------------------------------------------------------------------------


@each(
    ("what", "error", "cause"),
    [
        (Outcome.DEFERRED, DeliveryDeferred, None),
        (Outcome.REJECTED, DeliveryRefused, None),
        (Outcome.UNKNOWN, DeliveryUnknown, None),
        (ConnectError, DeliveryDeferred, ConnectError),
        (TlsError("expired"), DeliveryDeferred, TlsError),
        (DeadlineExceeded, DeliveryDeferred, DeadlineExceeded),
        (AuthError, DeliveryDeferred, AuthError),
        (ConfigError, DeliveryDeferred, ConfigError),
        (ProtocolError, DeliveryUnknown, ProtocolError),
    ],
)
def test_any_outcome_and_what_causes_it(what, error, cause) -> None:
    with MailOutbox() as outbox, Mailer(NOWHERE, retry=None) as one:
        outbox.fail_with(what)
        with pytest.raises(error) as raised:
            one.send(HELLO)
        assert type(raised.value.__cause__) is (cause or type(None))
        assert raised.value.receipt.attempts[0].cause is raised.value.__cause__
        assert outbox == []
        assert outbox.attempts[0].receipt is not None


def test_a_real_backend_gives_the_same_for_the_same_error() -> None:
    """The oracle of the table above: a backend that raises."""

    class Raising(Backend):
        features = Features.everything()

        def send(self, mail: Mail) -> Receipt:
            raise self.error

    for error in (ConnectError("x"), TlsError("x"), DeadlineExceeded("x"), AuthError("x"), ProtocolError("x")):
        backend = Raising()
        backend.error = error
        real = next(Mailer(backend, retry=None).send_many([HELLO]))
        with MailOutbox() as outbox:
            outbox.fail_with(error)
            caught = next(Mailer(backend, retry=None).send_many([HELLO]))
        assert caught.results == real.results
        assert [result.scope for result in caught.results] == [result.scope for result in real.results]


def test_by_recipient_with_all_that_a_reply_says(mailer_outbox: MailOutbox) -> None:
    fault = mailer_outbox.fail_with(
        Outcome.DEFERRED, to="*@gone.example", code=452, enhanced_code="4.2.2", text="full", retry_after_s=60
    )
    receipt = Mailer(NOWHERE, retry=None).send(PAIR)
    [result] = receipt.deferred
    assert (result.address.addr_spec, result.code, result.enhanced_code) == ("bob@gone.example", 452, "4.2.2")
    assert (result.text, result.retry_after_s) == ("full", 60)
    assert (fault.times_met, fault.is_over) == (1, False)
    [mail] = mailer_outbox
    assert mail.recipients == HELLO.to
    assert mailer_outbox.attempts[0].recipients == PAIR.to


def test_the_first_that_fits_and_as_often_as_was_said(mailer_outbox: MailOutbox) -> None:
    mailer_outbox.fail_with(Outcome.DEFERRED, to=lambda address: address.local == "ann", times=1)
    mailer_outbox.fail_with(Outcome.REJECTED, times=2)
    said = [
        [result.outcome.name for result in receipt.results]
        for receipt in Mailer(NOWHERE, retry=None).send_many([PAIR] * 3)
    ]
    assert said == [["DEFERRED", "REJECTED"], ["REJECTED", "REJECTED"], ["ACCEPTED", "ACCEPTED"]]


def test_failover_goes_on_to_the_next(mailer_outbox: MailOutbox) -> None:
    mailer_outbox.fail_with(ConnectError("down"), backend="smtp://*@first.example*")
    with Mailer("failover(smtp://u:p@first.example postmark://T@default)", retry=None) as one:
        receipt = one.send(HELLO)
    assert receipt.ok
    assert [attempt.backend for attempt in receipt.attempts] == ["smtp://u:***@first.example", "postmark://***@default"]
    assert mailer_outbox.assert_sent(backend="postmark://*").receipt is not None
    assert len(mailer_outbox.attempts) == 2


def test_the_retry_policy_tries_again(world: World, mailer_outbox: MailOutbox) -> None:
    mailer_outbox.fail_with(Outcome.DEFERRED, times=2)
    with world.mailer(NOWHERE, retry=RetryPolicy(tries=3, wait_s=0.001, max_wait_s=0.001)) as one:
        receipt = one.send(HELLO)
    assert [list(attempt.outcomes) for attempt in receipt.attempts] == [[Outcome.DEFERRED]] * 2 + [[Outcome.ACCEPTED]]
    assert len(mailer_outbox) == 1


def test_a_deferred_mailbox_is_not_tried_again_in_the_call(mailer_outbox: MailOutbox) -> None:
    mailer_outbox.fail_with(Outcome.DEFERRED, scope=Scope.RECIPIENT)
    with pytest.raises(DeliveryDeferred):
        Mailer(NOWHERE).send(HELLO)
    assert len(mailer_outbox.attempts) == 1


def test_what_a_backend_says_that_it_cannot_carry(mailer_outbox: MailOutbox) -> None:
    mailer_outbox.fail_with(UnsupportedFeature("no pictures", field="attachments"), times=1)
    with pytest.raises(UnsupportedFeature, match="no pictures"):
        Mailer(NOWHERE).send(HELLO)
    assert Mailer(NOWHERE).send(HELLO).ok


@each(
    ("what", "options", "error"),
    [
        ("deferred", {}, TypeError),
        (DeliveryDeferred, {}, TypeError),
        (OSError("x"), {}, TypeError),
        (Outcome.DEFERRED, {"code": 250}, ValueError),
        (Outcome.UNKNOWN, {"code": 450}, ValueError),
        (Outcome.REJECTED, {"retry_after_s": 3}, ValueError),
        (Outcome.DEFERRED, {"times": 0}, ValueError),
        (Outcome.DEFERRED, {"to": "ann"}, ValueError),
        (Outcome.DEFERRED, {"to": 7}, TypeError),
        (Outcome.DEFERRED, {"times": 1.5}, TypeError),
        (Outcome.DEFERRED, {"retry_after_s": "3"}, TypeError),
        (Outcome.DEFERRED, {"retry_after_s": -1}, ValueError),
        (Outcome.DEFERRED, {"text": 5}, TypeError),
        (Outcome.DEFERRED, {"scope": "recipient"}, TypeError),
        (Outcome.DEFERRED, {"backend": 5}, TypeError),
        (Outcome.DEFERRED, {"enhanced_code": "nonsense"}, ValueError),
    ],
)
def test_what_makes_no_answer_is_refused(what, options, error) -> None:
    with pytest.raises(error):
        MailOutbox().fail_with(what, **options)


def test_addresses_and_patterns_say_for_whom(mailer_outbox: MailOutbox) -> None:
    import re

    for to in (Address.parse("bob@gone.example"), "Bob@GONE.example".lower(), re.compile(r"@gone\."), "bob@*"):
        mailer_outbox.faults.clear()
        mailer_outbox.fail_with(Outcome.REJECTED, to=to)
        assert [one.address.local for one in Mailer(NOWHERE).send(PAIR).rejected] == ["bob"], to
