"""The log: which event comes when, with which fields; what it never holds; and that it never touches a send."""

from __future__ import annotations

import base64
import logging
import re
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, message, sent
from worlds import World

from mailer import Mailer, Message, MessageError, Receipt
from mailer.log import EVENTS, REQUEST, SEALED, Event, logger
from mailer.testing import ScriptedServer

LOGGERS = (
    "mailer.mail",
    "mailer.connection",
    "mailer.smtp",
    "mailer.http",
    "mailer.hooks",
    "mailer.settings",
    "mailer.background",
    "mailer.plugins",
    "mailer.webhooks",
    "mailer.oauth2",
    "mailer.aws",
)
SECRET_SUBJECT, SECRET_TEXT = "subject-5f21", "content-8e07"


class Records(logging.Handler):
    """What is logged below "mailer"; its level can be changed."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record)

    def named(self, event: str) -> list[logging.LogRecord]:
        return [record for record in self.all if record.mailer_event == event]

    @property
    def names(self) -> list[str]:
        return [record.mailer_event for record in self.all]

    @property
    def text(self) -> str:
        """All that any formatter could make of them."""
        return "\n".join(f"{record.getMessage()} {vars(record)!r}" for record in self.all)

    @property
    def dialogue(self) -> list[str]:
        return [f"{record.mailer_side}: {record.mailer_line}" for record in self.named("smtp.line")]


@pytest.fixture
def records() -> Iterator[Records]:
    handler, root = Records(), logging.getLogger("mailer")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name.removeprefix("mailer_"): value for name, value in vars(record).items() if name.startswith("mailer_")}


# --- which events -----------------------------------------------------------------------------------------------------


def test_the_events_of_two_mails_over_one_connection(world: World, records: Records) -> None:
    script = HI + EHLO + (MAIL + RCPT + DATA + OK) * 2 + QUIT
    with exchange(world, script) as (_, mailer):
        first, second = mailer.send(message()), mailer.send(message())
    each = ["mail.sealed", "mail.sending"], ["mail.attempt", "mail.outcome", "mail.result"]
    assert [name for name in records.names if name != "smtp.line"] == [
        *[*each[0], "connection.opened", *each[1]],
        *[*each[0], "connection.reused", *each[1]],
        "connection.closed",
    ]
    assert [record.mailer_mail_id for record in records.named("mail.outcome")] == [first.id, second.id]
    assert len({record.mailer_connection for record in records.all if hasattr(record, "mailer_connection")}) == 1
    [outcome, _] = records.named("mail.outcome")
    assert (outcome.name, outcome.levelname) == ("mailer.mail", "INFO")
    assert fields(outcome) == {
        "event": "mail.outcome",
        "mail_id": first.id,
        "backend": str(mailer.backend),
        "accepted": 1,
        "deferred": 0,
        "rejected": 0,
        "unknown": 0,
        "attempts": 1,
        "code": None,
        "enhanced_code": None,
        "error": None,
    }
    [result, _] = records.named("mail.result")
    assert (result.levelname, result.mailer_recipient, result.mailer_outcome) == ("DEBUG", "b@y.test", "accepted")
    [attempt, _] = records.named("mail.attempt")
    assert attempt.mailer_duration_s >= 0


def test_the_dialogue_line_by_line_without_the_content(world: World, records: Records) -> None:
    script = (
        HI
        + "C: EHLO [127.0.0.1]\nS: 250-hello\nS: 250 SIZE 9999\n"
        + "C: MAIL FROM:<a@x.test> SIZE=*\nS: 250 ok\n"
        + RCPT
        + DATA
        + "S: 250-2.0.0 one\nS: 250 2.0.0 queued as ABC123\n"
        + QUIT
    )
    with exchange(world, script) as (_, mailer):
        mailer.send(message(subject=SECRET_SUBJECT, text=SECRET_TEXT))
        [mail] = records.named("mail.sealed")
    size = mail.mailer_size_bytes
    assert records.dialogue == [
        "S: 220 hi",
        "C: EHLO [127.0.0.1]",
        "S: 250-hello",
        "S: 250 SIZE 9999",
        f"C: MAIL FROM:<a@x.test> SIZE={size}",
        "S: 250 ok",
        "C: RCPT TO:<b@y.test>",
        "S: 250 ok",
        "C: DATA",
        "S: 354 go",
        f"C: <{size} octets of mail>",
        "S: 250-2.0.0 one",
        "S: 250 2.0.0 queued as ABC123",
        "C: QUIT",
    ]
    assert SECRET_SUBJECT not in records.text
    assert SECRET_TEXT not in records.text


def test_tls_and_login_are_told_without_credentials(
    world: World, records: Records, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    plain = base64.b64encode(b"\0user\0hush-hush").decode()
    script = (
        HI
        + "C: EHLO *\nS: 250-h\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: tls\n"
        + "C: EHLO *\nS: 250-h\nS: 250 AUTH PLAIN\n"
        + f"C: AUTH PLAIN {plain}\nS: 235 welcome hush-hush\nC: QUIT\n"
    )
    options: dict[str, Any] = {"tls": "required", "ca_file": ca_file, "host": "localhost"}
    with exchange(world, script, login="user:hush-hush", server={"tls": server_tls}, **options) as (_, mailer):
        assert mailer.check().ok
    [secured] = records.named("connection.secured")
    assert secured.mailer_tls.startswith("TLSv1.")
    [login] = records.named("connection.login")
    assert (login.levelname, login.mailer_username, login.mailer_mechanism) == ("INFO", "user", "PLAIN")
    assert records.dialogue[-3:] == ["C: AUTH PLAIN ***", "S: 235 welcome ***", "C: QUIT"]
    assert "hush" not in records.text
    assert plain not in records.text


def test_a_mail_that_not_everybody_got_is_a_warning(world: World, records: Records) -> None:
    script = HI + EHLO + MAIL + RCPT + "C: RCPT *\nS: 450 4.2.0 <c@y.test> greylisted\n" + DATA + OK + QUIT
    with exchange(world, script) as (_, mailer):
        receipt = mailer.send(message("b@y.test", "c@y.test"))
    [outcome] = records.named("mail.outcome")
    assert outcome.levelname == "WARNING"
    shown = fields(outcome)
    assert (shown["accepted"], shown["deferred"], shown["code"], shown["enhanced_code"]) == (1, 1, 450, "4.2.0")
    assert shown["error"] is None
    assert [record.mailer_recipient for record in records.named("mail.result")] == ["b@y.test", "c@y.test"]
    assert len(receipt.results) == 2


def test_nobody_is_named_above_debug(world: World, records: Records) -> None:
    records.setLevel(logging.INFO)
    script = HI + EHLO + MAIL + "C: RCPT *\nS: 550 5.1.1 <b@y.test>: no such user\nC: RSET\nS: 250 ok\nC: QUIT\n"
    with exchange(world, script) as (_, mailer):
        _, error = sent(mailer, subject=SECRET_SUBJECT)
        with pytest.raises(MessageError):
            mailer.send(Message(from_="a@x.test", subject=SECRET_SUBJECT, text="b@y.test"))
        mailer.hooks.add_filter("short_circuit", lambda value, context: Receipt("1", skipped="b@y.test is suppressed"))
        assert mailer.send(message()).skipped
    assert error is not None
    assert records.names == ["connection.opened", "mail.outcome", "mail.failed", "mail.skipped"]
    [failed] = records.named("mail.failed")
    assert (failed.levelname, failed.mailer_error) == ("WARNING", "MessageError")
    for secret in ("b@y.test", "no such user", SECRET_SUBJECT):
        assert secret not in records.text


def test_a_lost_connection_is_told_with_its_cause(world: World, records: Records) -> None:
    with exchange(world, HI + EHLO + MAIL + "S: close\n") as (_, mailer):
        sent(mailer)
    [outcome] = records.named("mail.outcome")
    assert (outcome.levelname, outcome.mailer_error, outcome.mailer_deferred) == ("WARNING", "TransportError", 1)
    [attempt] = records.named("mail.attempt")
    assert "closed the connection" in attempt.mailer_reason
    assert records.names.count("connection.closed") == 1


def test_a_cancelled_send_is_told(async_world: World, records: Records) -> None:
    import anyio

    async def cut_short(mailer: Any) -> None:
        with anyio.move_on_after(0.05):
            await mailer.send(message())

    with ScriptedServer(HI + EHLO + MAIL + "C: RCPT *\nS: hold\n") as peer:
        with async_world.mailer(f"smtp://127.0.0.1:{peer.port}?tls=none") as mailer:
            async_world.run(cut_short, mailer.wrapped)
        assert peer.wait_idle()
    [outcome] = records.named("mail.outcome")
    assert (outcome.levelname, outcome.mailer_deferred) == ("WARNING", 1)


def test_an_action_that_raises_is_an_error_with_its_traceback(world: World, records: Records) -> None:
    with world.mailer("null:") as mailer:
        mailer.hooks.add_action("sent", lambda context: 1 / 0)
        mailer.send(message())
    [failed] = records.named("hook.failed")
    assert (failed.name, failed.levelname, failed.mailer_hook) == ("mailer.hooks", "ERROR", "sent")
    assert "1 / 0" in logging.Formatter().format(failed)


def test_a_group_tells_each_members_attempt(world: World, records: Records) -> None:
    with (
        ScriptedServer("S: 421 no\n") as peer,
        world.mailer(f"failover(smtp://127.0.0.1:{peer.port}?tls=none null:)") as mailer,
    ):
        mailer.send(message())
    assert [record.mailer_backend.partition(":")[0] for record in records.named("mail.attempt")] == ["smtp", "null"]
    [outcome] = records.named("mail.outcome")
    assert (outcome.levelname, outcome.mailer_attempts, outcome.mailer_backend) == ("INFO", 2, "null:")


# --- what it never holds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [r"\n2026 ERROR forged", r"\r", r"\x1b[2J", r"\x00", "‮".encode(), r"%s%d%(x)s{}"])
def test_a_peers_words_forge_no_line(world: World, records: Records, attack: str | bytes) -> None:
    said = attack if isinstance(attack, str) else repr(attack)[2:-1]
    ended = said.replace(r"\n", r"\r\n550-")
    script = HI + EHLO + MAIL + rf"C: RCPT *{chr(10)}S: bytes b'550-x{ended}\r\n550 5.1.1 end\r\n'" + "\nC: <eof>\n"
    with exchange(world, script.replace("C: <eof>", "C: RSET\nS: 250 ok\nC: QUIT")) as (_, mailer):
        sent(mailer)
    for record in records.all:
        assert record.getMessage().isascii()
        assert record.getMessage().isprintable()
        assert all(value.isprintable() for value in fields(record).values() if isinstance(value, str))


@pytest.mark.parametrize(
    "evil", ["%s", "%(x)d", "{0}", "%", "\n", "\x1b[31m", "\u202e", "\ud800", "password=hush", "a" * 5000]
)
def test_a_fields_value_is_inert(evil: str, records: Records) -> None:
    SEALED(mail_id=evil, size_bytes=1, recipients=1)
    [record] = records.all
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 1200
    assert record.msg == SEALED.text
    assert "hush" not in records.text


# --- the record and the handlers --------------------------------------------------------------------------------------


def test_every_event_is_what_it_says() -> None:
    assert len({(event.name, event.level) for event in EVENTS}) == len(EVENTS)
    for event in EVENTS:
        assert event.logger.name in LOGGERS
        assert event.text.startswith(f"{event.name}: ")
        assert event.level < logging.ERROR or event.name in ("hook.failed", "filter.skipped", "plugin.disabled")


def test_every_event_is_documented_with_its_fields() -> None:
    page = (Path(__file__).parent.parent / "docs/howto/logging.md").read_text()
    section = page.partition("## Events and fields")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    documented = {(row[0].strip("| `"), row[1].strip("`"), row[2]): row[3] for row in rows}
    assert len(rows) == len(documented) == len(EVENTS)
    for event in EVENTS:
        shown = documented[event.name, event.logger.name, logging.getLevelName(event.level)]
        assert set(re.findall(r"%\((\w+)\)", event.text)) <= set(re.findall(r"`(\w+)`", shown)), event.name


def test_a_record_tells_where_it_was_logged_and_clashes_with_no_attribute(records: Records) -> None:
    REQUEST(method="POST", url="https://u:hush@api.test/x?token=hush", status=200, duration_s=0.25)
    [record] = records.all
    assert record.filename == "test_log.py"
    assert record.getMessage() == "http.request: POST https://u:***@api.test/x?token=***: 200 in 0.250 s"
    assert "hush" not in records.text


def test_without_settings_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Not even by ``logging``'s handler of last resort."""
    import subprocess

    code = "from mailer.log import TROUBLE, ACTION_FAILED; ACTION_FAILED(hook='h', owner='o', reason='r')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_a_handler_or_filter_that_raises_changes_no_send(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(record: logging.LogRecord) -> bool:
        raise RuntimeError(f"hush {record}")

    records.addFilter(fails)
    with Mailer("null:") as mailer:
        assert mailer.send(message()).ok
    said = capsys.readouterr().err
    assert "a log handler or filter raised RuntimeError" in said
    assert "hush" not in said


def test_a_plug_ins_logger_is_redacted(records: Records) -> None:
    logger("pigeon").warning("password=%s", "hush", extra={"mailer_event": "pigeon.flown"})
    assert records.all[0].getMessage() == "password=***"
    assert len(logger("pigeon").filters) == 1


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_nothing_is_made_for_a_log_that_nobody_reads(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    logged: list[str] = []
    monkeypatch.setattr(Event, "__call__", lambda self, **fields: logged.append(self.name))
    script = HI + EHLO + (MAIL + RCPT + DATA + OK) * 2 + QUIT
    with exchange(world, script) as (_, mailer):
        assert logging.getLogger("mailer").getEffectiveLevel() == logging.WARNING
        mailer.send(message())
        mailer.send(message())
    assert logged == []


def test_a_mail_by_smtp_asks_the_log_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look-up each; about 0.1 us. A mail over a kept connection costs about 150 us of CPU in all."""
    asked: list[str] = []
    wanted = Event.wanted
    monkeypatch.setattr(Event, "wanted", lambda self: asked.append(self.name) or wanted(self))
    script = HI + EHLO + (MAIL + RCPT + DATA + OK) * 2 + QUIT
    with exchange(World("blocking", None), script) as (_, mailer):
        mailer.send(message())
        asked.clear()
        mailer.send(message())
        assert len(asked) <= 16, asked
