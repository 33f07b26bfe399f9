"""The sendmail program: how it is called, what its exit codes mean, and that nothing of it stays behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from worlds import World

from mailer import Attachment, DeliveryDeferred, DeliveryError, DeliveryRefused, DeliveryUnknown, Message
from mailer.backends.sendmail import SendmailBackend, _lines
from mailer.envelope import NULL_SENDER
from mailer.errors import ConfigError, DeadlineExceeded, Outcome, TransportError


def program(folder: Path, script: str) -> str:
    """A sendmail that is this shell script; `$OUT` is the folder."""
    path = folder / "sendmail"
    path.write_text(f"#!/bin/sh\nOUT={folder}\n{script}\n")
    path.chmod(0o700)
    return str(path)


KEEP = 'n=$(ls "$OUT" | grep -c args); printf "%s\\n" "$@" >"$OUT/args$n"; cat >"$OUT/mail$n"'


def hello(**more: Any) -> Message:
    return Message(
        **{"from_": "shop@example.com", "to": ["ann@b.test", "bob@b.test"], "subject": "Hi", "text": "Hello\n", **more}
    )


def test_the_program_gets_sender_recipients_and_the_mail(world: World, tmp_path: Path) -> None:
    with world.mailer(f"sendmail://{program(tmp_path, KEEP)}") as mailer:
        mail = mailer.compose(hello(message_id="<a@b>"))
        receipt = mailer.send(hello(text=".\n..\nFrom me\n", bcc="carol@b.test"))
    assert [r.outcome for r in receipt.results] == [Outcome.ACCEPTED] * 3
    arguments = (tmp_path / "args0").read_text().splitlines()
    assert arguments == ["-i", "-f", "shop@example.com", "--", "ann@b.test", "bob@b.test", "carol@b.test"]
    content = (tmp_path / "mail0").read_bytes()
    assert content.endswith(b"\n\n.\n..\nFrom me\n")
    assert b"\r" not in content
    assert b"carol" not in content
    assert bytes(mail.content).count(b"\r\n") > 5


def test_options_cannot_be_smuggled_and_the_null_sender_is_said(world: World, tmp_path: Path) -> None:
    with world.mailer(f"sendmail://{program(tmp_path, KEEP)}") as mailer:
        mailer.send(hello(to="-oQ/tmp@b.test", return_path=NULL_SENDER))
        mailer.send(hello(to='"$(touch x);`id`"@b.test', return_path="-C/etc@b.test"))
    assert (tmp_path / "args0").read_text().splitlines() == ["-i", "-f", "<>", "--", "-oQ/tmp@b.test"]
    assert (tmp_path / "args1").read_text().splitlines()[2:] == ["-C/etc@b.test", "--", '"$(touch x);`id`"@b.test']
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("code", "outcome", "error"),
    [(c, Outcome.REJECTED, DeliveryRefused) for c in (65, 67, 68, 69)]
    + [(c, Outcome.DEFERRED, DeliveryDeferred) for c in (1, 2, 64, 70, 71, 73, 74, 75, 77, 78, 126, 127, 255)],
)
def test_exit_codes_are_sysexits(tmp_path: Path, code: int, outcome: Outcome, error: type[DeliveryError]) -> None:
    from mailer import Mailer

    script = f'cat >/dev/null; echo "no \033[31m such user" >&2; exit {code}'
    with Mailer(f"sendmail://{program(tmp_path, script)}", retry=None) as mailer, pytest.raises(error) as caught:
        mailer.send(hello())
    assert [r.outcome for r in caught.value.receipt.results] == [outcome] * 2
    assert caught.value.receipt.results[0].text.endswith(r"no \x1b[31m such user")


def test_killed_from_outside_is_unknown(world: World, tmp_path: Path) -> None:
    path = program(tmp_path, "cat >/dev/null; kill -9 $$")
    with world.mailer(f"sendmail://{path}") as mailer, pytest.raises(DeliveryUnknown) as caught:
        mailer.send(hello())
    assert caught.value.receipt.results[0].text == "ended by signal 9"


BIG = Attachment.from_bytes("a.bin", os.urandom(1 << 20))


def test_one_that_does_not_read_is_told_from_one_that_does(world: World, tmp_path: Path) -> None:
    with world.mailer(f"sendmail://{program(tmp_path, 'exit 67')}") as mailer, pytest.raises(DeliveryRefused):
        mailer.send(hello(attachments=[BIG]))
    path = program(tmp_path, "exit 0")
    with world.mailer(f"sendmail://{path}") as mailer, pytest.raises(DeliveryDeferred) as caught:
        mailer.send(hello(attachments=[BIG]))
    assert isinstance(caught.value.__cause__, TransportError)


def test_a_large_mail_and_a_talkative_program(world: World, tmp_path: Path) -> None:
    """It talks before it reads: neither waits for the other for ever."""
    script = 'head -c 20000 /dev/zero | tr "\\0" x; ' + KEEP
    with world.mailer(f"sendmail://{program(tmp_path, script)}") as mailer:
        mail = hello(attachments=[BIG])
        receipt = mailer.send(mail)
    assert receipt.ok
    assert len(receipt.results[0].text) <= 4096
    assert (tmp_path / "mail0").stat().st_size > 1 << 20


@pytest.mark.parametrize(
    ("script", "attachments", "error"),
    [("exec sleep 60", [BIG], DeliveryDeferred), ("cat >/dev/null; exec sleep 60", [], DeliveryUnknown)],
    ids=["does not read", "does not end"],
)
def test_one_that_hangs_is_killed_in_time(
    world: World, tmp_path: Path, script: str, attachments: list[Any], error: Any
) -> None:
    path = program(tmp_path, f'echo $$ >"$OUT/pid"; {script}')
    with world.mailer(SendmailBackend(path, timeout_s=0.5)) as mailer, pytest.raises(error) as caught:
        mailer.send(hello(attachments=attachments))
    assert isinstance(caught.value.__cause__, (DeadlineExceeded, TransportError))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_cancelled_it_is_killed_and_the_outcome_told(tmp_path: Path) -> None:
    from mailer import AsyncMailer

    path = program(tmp_path, 'echo $$ >"$OUT/pid"; cat >/dev/null; echo ready; exec sleep 60')
    told = []

    async def main() -> None:
        async with AsyncMailer(f"sendmail://{path}") as mailer:
            mailer.hooks.add_action("unknown", lambda context: told.append(context.receipt))
            with anyio.move_on_after(1):
                await mailer.send(hello())

    anyio.run(main)
    assert [len(receipt.results) for receipt in told] == [2]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_more_recipients_than_an_argument_list_holds_are_several_runs(world: World, tmp_path: Path) -> None:
    with world.mailer(f"sendmail://{program(tmp_path, KEEP)}") as mailer:
        receipt = mailer.send(hello(to=[f"u{n}@b.test" for n in range(1001)]))
    assert len(receipt.accepted) == 1001
    counts = [len((tmp_path / f"args{n}").read_text().split("--\n")[1].splitlines()) for n in range(3)]
    assert counts == [500, 500, 1]


@pytest.mark.parametrize("content", [[b"a\r", b"\nb\r\n"], [b"a\r\nb", b"\r\n"], [b"a", b"\r", b"\n", b"b\r\n"]])
def test_line_ends_across_chunks(content: list[bytes]) -> None:
    assert b"".join(_lines(content)) == b"a\nb\n"


@pytest.mark.parametrize(
    "url", ["sendmail://host/usr/sbin/sendmail", "sendmail:sendmail", "sendmail:///a?timeout=0", "sendmail:///a?x=1"]
)
def test_wrong_urls_are_errors(url: str) -> None:
    from mailer import Mailer

    with pytest.raises(ConfigError, match="sendmail"):
        Mailer(url)


def test_check_looks_for_the_program(world: World, tmp_path: Path) -> None:
    with world.mailer(f"sendmail://{program(tmp_path, KEEP)}") as mailer:
        assert mailer.check().ok
    with world.mailer(f"sendmail://{tmp_path}") as mailer:
        assert isinstance(mailer.check().cause, ConfigError)
    with world.mailer("sendmail:") as mailer:
        assert str(mailer.backend) == "sendmail:///usr/sbin/sendmail"
