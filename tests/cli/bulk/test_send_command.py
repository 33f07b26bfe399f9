"""``mailer send --csv`` as a shell sees it: what it prints, what it exits with, and what a kill leaves behind."""

from __future__ import annotations

import collections
import email
import email.policy
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mailer.cli.send import command
from mailer.mailbox import Mailbox
from mailer.smtp.reply import Reply

FROM = ("--from", "Shop <shop@example.com>")
TEXT = ("--subject", "Hello {{ name }}", "--text", "Your code is {{ code }}.\n")
GONE = {"RCPT gone*": Reply(550, ("5.1.1 no such user",)), "RCPT later*": Reply(451, ("4.7.1 later",))}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MAILER_"):
            monkeypatch.delenv(name)


def people(*locals_: str, name: str = "people.csv") -> str:
    lines = [f"{local}@example.org,Name {local},{number}" for number, local in enumerate(locals_)]
    Path(name).write_text("\n".join(["email,name,code", *lines, ""]), encoding="utf-8")
    return name


def send(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(command, [*FROM, *arguments], input=stdin)


def test_everybody_gets_their_own_mail_and_the_summary_says_so() -> None:
    with Mailbox() as mailbox:
        result = send("--csv", people("ann", "bob"), *TEXT, "--url", mailbox.url)
        mails = mailbox.wait_for(2)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:4] == ["accepted   2", "deferred   0", "rejected   0", "unknown    0"]
    got = [email.message_from_bytes(mail.content, policy=email.policy.default) for mail in mails]
    assert [(mail["To"], mail["Subject"]) for mail in got] == [
        ("ann@example.org", "Hello Name ann"),
        ("bob@example.org", "Hello Name bob"),
    ]
    assert [mail.get_content().strip() for mail in got] == ["Your code is 0.", "Your code is 1."]


def test_the_summary_says_why() -> None:
    """Without --rejects too; each kind once, however many rows there are."""
    Path("p.csv").write_text(
        "email,code\nann@example.org,1\nno address,2\nAnn@example.org,3\nnone,4\nann@EXAMPLE.org,5\n"
    )
    result = send("--csv", "p.csv", "--subject", "Hi", "--text", "{{ code }}", "--url", "memory:")
    assert result.stdout.splitlines()[-3:] == [
        "line 3, invalid: email: the address is not complete: it is local@domain or Name <local@domain>,"
        " at 10: 'no address'",
        "line 6, duplicate: the same mailbox as on line 2: ann@example.org",
        "all of them, and why: --rejects FILE",
    ]
    result = send("--csv", "p.csv", "--subject", "Hi", "--text", "{{ code }}", "--url", "memory:", "--json")
    assert json.loads(result.stdout)["examples"]["invalid"]["line"] == 3


def test_outcomes_rejects_and_exit_code_as_json() -> None:
    file = people("ann", "gone", "later", "ann", "a..b")
    with Mailbox(replies=GONE) as mailbox:
        result = send("--csv", file, *TEXT, "--url", mailbox.url, "--rejects", "r.csv", "--json")
    assert result.exit_code == 75
    data = json.loads(result.stdout)
    assert {name: data[name] for name in ("accepted", "rejected", "deferred", "duplicate", "invalid", "rows")} == {
        **dict.fromkeys(("accepted", "rejected", "deferred", "duplicate", "invalid"), 1),
        "rows": 5,
    }
    assert (data["not_reached"], data["error"], data["rejects"]) == (0, None, "r.csv")
    assert "3,rejected,550 5.1.1 no such user,gone@example.org" in Path("r.csv").read_text()


def test_a_template_gets_the_rows_columns_and_the_journal_is_bound_to_its_files() -> None:
    Path("mails").mkdir()
    Path("mails/news.subject.txt").write_text("News for {{ name }}")
    Path("mails/news.html").write_text("<p>Code {{ code }}{% if code == '1' %}{{ nothing }}{% endif %}</p>")
    Path("mails/other.txt").write_text("x")
    options = ("--csv", people("ann", "bob", "cy"), "--template", "news", "--templates", "mails", "--resume", "j")
    with Mailbox() as mailbox:
        first = send(*options, "--url", mailbox.url, "--rejects", "r.csv")
        got = [email.message_from_bytes(mail.content, policy=email.policy.default) for mail in mailbox.wait_for(2)]
    assert first.exit_code == 65, first.output
    assert [mail["Subject"] for mail in got] == ["News for Name ann", "News for Name cy"]
    assert [mail.get_body(("plain",)).get_content().strip() for mail in got] == ["Code 0", "Code 2"]
    assert "nothing" in Path("r.csv").read_text()
    Path("mails/other.txt").write_text("y")
    assert json.loads(send(*options, "--url", "null:", "--json").stdout)["before"] == {"accepted": 2}
    Path("mails/news.html").write_text("<p>Code {{ code }}</p>")
    changed = send(*options, "--url", "null:")
    assert "the mail is another" in str(changed.exception)
    mended = json.loads(send(*options, "--url", "null:", "--force", "--json").stdout)
    assert (mended["accepted"], mended["before"]) == (3, {"accepted": 2})


def test_a_template_that_is_not_there_is_found_before_anything_is_done() -> None:
    Path("mails").mkdir()
    Path("mails/news.txt").write_text("x")
    file = people("ann")
    result = send("--csv", file, "--template", "nwes", "--templates", "mails", "--url", "null:", "--resume", "j")
    assert "news" in str(result.exception)
    assert not Path("j").exists()
    assert "MAILER_TEMPLATES" in send("--csv", file, "--template", "news", "--url", "null:").output


def test_b48_no_credential_is_in_the_journal_or_the_rejects() -> None:
    with Mailbox(replies=GONE) as mailbox:
        url = mailbox.url.replace("://", "://user:s3cret@")
        files = ("--rejects", "r.csv", "--resume", "j")
        send("--csv", people("ann", "gone"), *TEXT, "--url", f"failover({url} {mailbox.url})", *files)
        assert mailbox.wait_for(1)
    written = Path("j").read_bytes() + Path("r.csv").read_bytes()
    assert b"gone@example.org" in written
    assert b"s3cret" not in written
    assert b"user:" not in written


def test_rejects_can_be_mended_and_sent() -> None:
    with Mailbox(replies=GONE) as mailbox:
        send("--csv", people("ann", "gone"), *TEXT, "--url", mailbox.url, "--rejects", "r.csv")
        Path("mended.csv").write_text(Path("r.csv").read_text().replace("gone@", "bob@"))
        result = send("--csv", "mended.csv", *TEXT, "--url", mailbox.url, "--rejects", "r2.csv")
    assert result.exit_code == 0, result.output
    assert [mail.recipients[0] for mail in mailbox.mails] == ["ann@example.org", "bob@example.org"]


def test_a_dry_run_shows_the_first_mail_and_opens_no_connection() -> None:
    result = send("--csv", people("ann", "bob"), *TEXT, "--url", "smtp://127.0.0.1:1", "--dry-run", "--resume", "j")
    assert result.exit_code == 0, result.output
    assert "To: ann@example.org\nSubject: Hello Name ann\n\nYour code is 0.\n" in result.stdout
    assert "composed   2\n" in result.stdout
    assert not Path("j").exists()


def test_control_characters_of_a_cell_do_not_reach_the_terminal() -> None:
    Path("p.csv").write_text("email,name,code\nann@example.org,Ann,\x1b]0;owned\x07\nx\x1b[2J,y,z\n")
    dry = send("--csv", "p.csv", *TEXT, "--url", "null:", "--dry-run", "--rejects", "r.csv")
    assert "\x1b" not in dry.output + Path("r.csv").read_text().replace("x\x1b[2J", "")
    assert r"\x1b]0;owned" in dry.stdout


def test_standard_input_may_be_the_csv() -> None:
    result = send("--csv", "-", *TEXT, "--url", "null:", "--json", stdin=b"email;name;code\na@b.test;A;1\n")
    assert (result.exit_code, json.loads(result.stdout)["accepted"]) == (0, 1)


def test_another_run_goes_on_where_the_first_ended() -> None:
    file = people("ann", "bob", "cy")
    options = ("--csv", file, *TEXT, "--resume", "j", "--rate", "100000/s")
    with Mailbox() as mailbox:
        first = send(*options, "--url", mailbox.url, "--limit", "2")
        second = send(*options, "--url", mailbox.url)
        assert [mail.recipients[0].partition("@")[0] for mail in mailbox.mails] == ["ann", "bob", "cy"]
    assert "1 rows were not reached: go on with --resume j" in first.stdout
    assert second.stdout.startswith("accepted   3  (2 of them before)\n")
    assert (first.exit_code, second.exit_code) == (0, 0)
    changed = send("--csv", people("ann", "bob", "dora"), *TEXT, "--resume", "j", "--url", "null:")
    assert (changed.exit_code, type(changed.exception).__name__) == (1, "ConfigError")
    other = send("--csv", file, "--text", "Another", "--resume", "j", "--url", "null:")
    assert type(other.exception).__name__ == "ConfigError"
    forced = send("--csv", file, *TEXT, "--resume", "j", "--url", "null:", "--force", "--json")
    assert json.loads(forced.stdout)["before"] == {"accepted": 2}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "50/s", "--text", "t", "--to", "a@b.test"], "--rate goes with --csv"),
        (["--dry-run", "--text", "t", "--to", "a@b.test"], "--dry-run goes with --csv"),
        (["--csv", "p.csv", "--text", "t", "--to", "a@b.test"], "leave out --to"),
        (["--csv", "p.csv", "--text", "t", "--rate", "fast"], "50/s"),
        (["--csv", "p.csv", "--text", "t", "--force"], "--force goes with --resume"),
        (["--csv", "p.csv", "--text", "t", "--resend-doubts"], "--resend-doubts goes with --resume"),
        (["--csv", "-", "--text", "t", "--resume", "j"], "standard input"),
        (["--csv", "-"], "standard input"),
        (["--csv", "p.csv", "--text", "t", "--rejects", "./p.csv"], "different files"),
        (["--csv", "p.csv", "--text", "t", "--delimiter", "ab"], "one character"),
        (["--csv", "none.csv", "--text", "t"], "none.csv"),
        (["--csv", "p.csv", "--text", "t", "--to-column", "x"], "'email'"),
        (["--csv", "p.csv", "--text", "t", "--resume", "j", "--dry-run", "--rejects", "r"], "--dry-run"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_done(arguments: list[str], said: str) -> None:
    people("ann", name="p.csv")
    result = send("--url", "null:", *arguments)
    assert result.exit_code == 2, result.output  # 64 by way of the command
    assert said in result.output.replace("\n", " ")
    assert [path.name for path in Path().iterdir()] == ["p.csv"]


def test_an_account_that_is_refused_ends_the_run_with_its_code() -> None:
    with Mailbox(users={"user": "right"}) as mailbox:
        url = mailbox.url.replace("smtp://", "smtp://user:S3cr3t@") + "&auth_in_clear=yes"
        result = send("--csv", people(*(f"ann{n}" for n in range(250))), *TEXT, "--url", url, "--json")
    data = json.loads(result.stdout)
    assert (result.exit_code, data["error"]["type"]) == (78, "AuthError")
    # One round of send_many is read ahead, and told as one; nothing behind it is begun.
    assert (data["rows"] + data["not_reached"], data["rows"] <= 100) == (250, True)
    assert "S3cr3t" not in result.output


# --- signals: a real process ------------------------------------------------------------------------------------------

COUNT = 120


class Sending:
    """``mailer send --csv`` in a process of its own, to a mailbox that does things to it at chosen moments."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.at: dict[tuple[str, int], Callable[[int], Reply | None]] = {}
        self._seen: collections.Counter[str] = collections.Counter()
        self.mailbox = Mailbox(replies=self._reply)

    def _reply(self, verb: str, argument: str) -> Reply | None:
        self._seen[verb] += 1
        action = self.at.pop((verb, self._seen[verb]), None)
        return None if action is None or self.process is None else action(self.process.pid)

    def run(self, *options: str) -> tuple[int, dict[str, Any] | None, str]:
        """(exit code, the summary, standard error)"""
        arguments = (*FROM, *TEXT, "--csv", "people.csv", "--url", self.mailbox.url, "--json", *options)
        with subprocess.Popen(
            [sys.executable, "-m", "mailer", "send", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as self.process:
            stdout, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, json.loads(stdout) if stdout else None, stderr

    def arrived(self) -> collections.Counter[str]:
        return collections.Counter(mail.recipients[0].partition("@")[0] for mail in self.mailbox.mails)


def killing(with_signal: signal.Signals, reply: Reply | None = None) -> Callable[[int], Reply | None]:
    def act(pid: int) -> Reply | None:
        os.kill(pid, with_signal)
        return reply

    return act


def test_killed_and_taken_up_again_nobody_gets_it_twice_and_each_doubt_is_named() -> None:
    sending = Sending()
    people(*(f"user{number}" for number in range(COUNT)))
    # Killed between the end of a mail and its reply: it arrived. Killed when its recipient is refused: it did not.
    refused = killing(signal.SIGKILL, Reply(450, ("4.2.1 not now",)))
    sending.at = {(".", 40): killing(signal.SIGKILL), ("RCPT", 80): refused}
    with sending.mailbox:
        codes = [sending.run("--resume", "j", "--rejects", "r.csv")[0] for _ in range(2)]
        code, summary, stderr = sending.run("--resume", "j", "--rejects", "r.csv")
        arrived = sending.arrived()
    assert codes == [-signal.SIGKILL, -signal.SIGKILL]
    assert (code, summary["unknown"], summary["accepted"], summary["rows"]) == (76, 2, COUNT - 2, COUNT)
    doubts = {doubt["address"].partition("@")[0] for doubt in summary["doubts"]}
    assert doubts == {"user39", "user79"}
    assert all(f"{doubt}@example.org" in stderr for doubt in doubts)
    assert arrived == collections.Counter(f"user{number}" for number in range(COUNT) if number != 79)
    assert sum(",unknown," in line for line in Path("r.csv").read_text().splitlines()) == 2
    with sending.mailbox as mailbox:
        code, summary, _ = sending.run("--resume", "j", "--resend-doubts", "--url", mailbox.url)
    assert (code, summary["accepted"], summary["unknown"]) == (0, COUNT, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_mail_on_its_way_finish(number: signal.Signals) -> None:
    sending = Sending()
    people(*(f"user{number}" for number in range(COUNT)))
    sending.at = {("RCPT", 10): killing(number)}
    with sending.mailbox:
        code, summary, stderr = sending.run("--resume", "j")
        arrived = sending.arrived()
    assert code == 128 + number
    assert (summary["accepted"], summary["unknown"], summary["stopped"]) == (10, 0, True)
    assert summary["not_reached"] == COUNT - 10
    assert len(arrived) == 10
    assert "stopping" in stderr


def test_a_second_signal_cuts_it_off_and_names_the_doubt() -> None:
    sending = Sending()
    people(*(f"user{number}" for number in range(COUNT)))
    released = threading.Event()

    def twice(pid: int) -> Reply | None:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)  # another number, so that the two cannot be taken for one
        released.wait(30)
        return None

    sending.at = {(".", 10): twice}
    with sending.mailbox, ThreadPoolExecutor(1) as pool:
        running = pool.submit(sending.run, "--resume", "j")
        try:
            code, summary, _ = running.result(60)
        finally:
            released.set()
    assert code in (130, 143)
    assert (summary["accepted"], summary["unknown"], summary["stopped"]) == (9, 1, True)
