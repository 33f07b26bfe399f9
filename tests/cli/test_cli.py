"""The command, as a shell sees it: what it prints and what it exits with."""

from __future__ import annotations

import email
import email.policy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import mailer

from mailer.mailbox import Mailbox
from mailer.smtp.reply import Reply


def test_send_prints_a_line_for_each_recipient() -> None:
    run = mailer(
        "send", "--from", "a@b.test", "--to", "c@d.test", "--cc", "e@f.test", "--text", "t", MAILER_URL="null:"
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["accepted  c@d.test  dropped", "accepted  e@f.test  dropped", "by        null:"]


def test_send_as_json_is_one_document_with_the_receipt() -> None:
    run = mailer("send", "--to", "c@d.test", "--text", "t", "--json", MAILER_URL="memory:", MAILER_FROM="a@b.test")
    assert run.returncode == 0, run.stderr
    receipt = json.loads(run.stdout)
    assert [result["outcome"] for result in receipt["results"]] == ["accepted"]
    assert receipt["error"] is None


def test_send_verbose_prints_what_was_said_and_where_the_time_went() -> None:
    with Mailbox() as mailbox:
        run = mailer("send", "-v", "--from", "a@b.test", "--to", "c@d.test", "--text", "t", MAILER_URL=mailbox.url)
        mailbox.wait_for(1)
    assert run.returncode == 0, run.stderr
    assert " C: RCPT TO:<c@d.test>" in run.stdout
    assert " octets of mail>" in run.stdout
    assert "connect 0." in run.stdout
    assert run.stdout.splitlines()[-2].startswith("accepted  c@d.test")


def test_check_verbose_prints_what_was_said() -> None:
    with Mailbox() as mailbox:
        run = mailer("check", "-v", mailbox.url)
    assert run.returncode == 0, run.stderr
    assert " C: EHLO " in run.stdout
    with Mailbox(replies={"EHLO": Reply(421, ("4.3.2 not now",))}) as mailbox:
        run = mailer("check", "-v", mailbox.url)
    assert run.returncode == 75
    assert " S: 421 4.3.2 not now" in run.stdout
    assert " *: TransportError: " in run.stdout


def test_the_text_comes_from_standard_input_without_text_html_and_attachments() -> None:
    with Mailbox() as mailbox:
        run = mailer("send", "--from", "a@b.test", "--to", "c@d.test", stdin="Grüße\n".encode(), MAILER_URL=mailbox.url)
        [received] = mailbox.wait_for(1)
    assert run.returncode == 0, run.stderr
    assert email.message_from_bytes(received.content, policy=email.policy.default).get_content().strip() == "Grüße"


def test_every_option_reaches_the_mail(tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4 x")
    with Mailbox() as mailbox:
        run = mailer(
            *("send", "--url", mailbox.url, "--from", "Shop <a@b.test>", "--to", "Ann <c@d.test>", "--bcc", "z@d.test"),
            *("--reply-to", "r@b.test", "--subject", "Grüße", "--text", "t", "--html", "<p>h</p>"),
            *("--attach", str(tmp_path / "report.pdf"), "--header", "X-Order: 7"),
        )
        [received] = mailbox.wait_for(1)
    assert run.returncode == 0, run.stderr
    got = email.message_from_bytes(received.content, policy=email.policy.default)
    assert (got["From"], got["To"], got["Reply-To"]) == ("Shop <a@b.test>", "Ann <c@d.test>", "r@b.test")
    assert (got["Subject"], got["X-Order"]) == ("Grüße", "7")
    assert received.recipients == ("c@d.test", "z@d.test")
    assert b"z@d.test" not in received.content
    assert [p.get_filename() for p in got.iter_attachments()] == ["report.pdf"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["send", "--to", "c@d.test", "--text", "t"], 78, "MAILER_URL"),
        (["send", "--url", "smpt://h", "--to", "c@d.test", "--text", "t"], 78, "smtp"),
        (["send", "--url", "null:", "--to", "c@d.test", "--text", "t"], 65, "MAILER_FROM"),
        (["send", "--url", "null:", "--from", "a@b.test", "--text", "t"], 65, "recipient"),
        (["send", "--url", "null:", "--from", "a@b.test", "--to", "c d@e.test", "--text", "t"], 65, "to:"),
        (["send", "--url", "null:", "--from", "a@b.test", "--to", "c@d.test", "--attach", "/no/such"], 65, "/no/such"),
        (["send", "--url", "null:", "--tou", "c@d.test"], 64, "--tou"),
        (["send", "--url", "null:", "--to", "c@d.test", "--text", "t", "--header", "X"], 64, "--header"),
        (["send", "--url", "null:", "--to", "c@d.test", "--text", "-", "--html", "-"], 64, "standard input"),
        (["sned"], 64, "sned"),
        (["check", "smtp://127.0.0.1:1"], 75, "127.0.0.1:1"),
        (["check", "smtp://user:S3cr3t@127.0.0.1:1?tls=none"], 78, "auth_in_clear"),
    ],
)
def test_what_is_wrong_decides_the_exit_code_and_is_named(arguments: list[str], code: int, said: str) -> None:
    run = mailer(*arguments)
    assert run.returncode == code, run.stderr
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert "S3cr3t" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("replies", "code", "outcomes"),
    [
        ({"RCPT *": Reply(550, ("5.1.1 no such user",))}, 69, ["rejected", "rejected"]),
        ({"RCPT gone@*": Reply(550, ("5.1.1 no such user",))}, 69, ["accepted", "rejected"]),
        ({"RCPT gone@*": Reply(451, ("4.7.1 later",))}, 75, ["accepted", "deferred"]),
        ({".": Reply(421, ("4.3.2 closing",))}, 75, ["deferred", "deferred"]),
    ],
)
def test_the_worst_outcome_decides_the_exit_code(replies: dict[str, Reply], code: int, outcomes: list[str]) -> None:
    arguments = ("--from", "a@b.test", "--to", "ok@d.test", "--to", "gone@d.test", "--text", "t", "--json")
    with Mailbox(replies=replies) as mailbox:
        run = mailer("send", "--url", mailbox.url, *arguments, MAILER_RETRY="none")
    assert run.returncode == code, run.stderr
    assert [result["outcome"] for result in json.loads(run.stdout)["results"]] == outcomes


def test_a_message_error_as_json_is_a_document_too() -> None:
    run = mailer("send", "--url", "null:", "--from", "a@b.test", "--to", "no address", "--text", "t", "--json")
    assert run.returncode == 65
    assert json.loads(run.stdout)["error"]["type"] == "AddressError"


def test_check_shows_what_the_server_offers() -> None:
    with Mailbox(max_size=1234, users={"u": "p"}) as mailbox:
        url = mailbox.url.replace("smtp://", "smtp://u:p@") + "&auth_in_clear=yes"
        run = mailer("check", url)
        as_json = mailer("check", url, "--json")
        assert mailbox.mails == []
    assert run.returncode == 0, run.stderr
    facts = dict(line.split(None, 1) for line in run.stdout.splitlines()[1:])
    assert (facts["size"], facts["login"], facts["tls"]) == ("1234", "u", "none")
    assert json.loads(as_json.stdout)["facts"]["size"] == "1234"


def test_demo_shows_receipt_dialogue_and_tree_and_writes_the_mail(tmp_path: Path) -> None:
    run = mailer("demo", "--out", str(tmp_path / "demo.eml"))
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert sum(line.startswith("accepted ") for line in lines) == 3
    assert any(line.startswith(("C: DATA", "C: BDAT")) for line in lines)
    assert any(line.startswith("S: 250 ") for line in lines)
    assert [line.split()[1] for line in lines if line.lstrip().startswith("- ")] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/csv",
    ]
    got = email.message_from_bytes((tmp_path / "demo.eml").read_bytes(), policy=email.policy.default)
    assert got["Subject"] == "Grüße – order 7 is on its way ✓"
    assert f"written to {tmp_path / 'demo.eml'}" in run.stdout


def test_what_cannot_be_written_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    run = mailer("demo", "--out", str(tmp_path / "missing" / "demo.eml"))
    assert run.returncode == 74
    assert run.stderr.splitlines() == [f"mailer: {tmp_path / 'missing' / 'demo.eml'}: No such file or directory"]


def test_without_a_standard_input_the_text_must_be_given() -> None:
    command = [sys.executable, "-m", "mailer", "send", "--url", "null:", "--from", "a@b.test", "--to", "c@d.test"]
    run = subprocess.run(["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True, timeout=60)
    assert run.returncode == 64
    assert "--text" in run.stderr
    assert "Traceback" not in run.stderr


def test_demo_by_another_backend(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run = mailer("demo", "--to", f"file:{tmp_path}/out")
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / "out").glob("*.eml"))) == 1
    assert run.stdout.count("accepted") == 3


def test_v_shows_the_log_on_standard_error_and_vv_the_dialogue_too() -> None:
    mail = ("--from", "a@b.test", "--to", "c@d.test", "--text", "secret-text")
    with Mailbox(users={"user": "hush-hush"}) as mailbox:
        url = mailbox.url.replace("://", "://user:hush-hush@") + "&auth_in_clear=yes"
        quiet, some, all_of_it = (mailer(*v, "send", *mail, "--url", url) for v in ((), ("-v",), ("-vv",)))
    assert quiet.stderr == ""
    assert quiet.stdout == some.stdout == all_of_it.stdout
    assert [line.split()[:2] for line in some.stderr.splitlines()] == [
        ["INFO", "connection.opened:"],
        ["INFO", "connection.login:"],
        ["INFO", "mail.outcome:"],
    ]
    lines = all_of_it.stderr.splitlines()
    assert any(line.endswith("C: AUTH PLAIN ***") for line in lines)
    assert any(line.endswith("C: RCPT TO:<c@d.test>") for line in lines)
    assert "hush" not in all_of_it.stderr
    assert "secret-text" not in all_of_it.stderr
    refused = mailer("-v", "send", *mail, "--url", "smtp://127.0.0.1:9?tls=none")
    assert refused.returncode == 75
    assert "WARNING mail.outcome:" in refused.stderr


def test_help_names_every_command_and_loads_no_framework() -> None:
    assert all(f"  {name}" in mailer("--help").stdout for name in ("send", "check", "demo"))
    code = """
import sys
sys.argv = ["mailer", "--help"]
try:
    import mailer.cli
    mailer.cli.main()
except SystemExit:
    pass
heavy = {"httpx", "jinja2", "pydantic", "asyncio", "anyio", "ssl", "email"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
