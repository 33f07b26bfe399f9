"""Snapshots: text that is the same for what reads the same, and files that are compared, taken and named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailer import Attachment, Mailer, Message
from mailer.testing import MailOutbox, MailSnapshot, SentMail, assert_matches_snapshot, snapshot_text

pytest_plugins = ["pytester"]

PLAIN = Message(
    from_="Größe <shop@example.com>", to="ann@example.org", bcc="dee@x.test", subject="Grüße", text="Hällo\n7"
)


def sent(message: Message, **options: object) -> SentMail:
    with MailOutbox() as outbox:
        Mailer("smtp://nowhere.invalid", **options).send(message)
    return outbox[0]


def test_the_text() -> None:
    assert snapshot_text(sent(PLAIN)) == "\n".join(
        [
            "MAIL FROM:<shop@example.com>",
            "RCPT TO:<ann@example.org>",
            "RCPT TO:<dee@x.test>",
            "",
            "From: Größe <shop@example.com>",
            "To: ann@example.org",
            "Subject: Grüße",
            "Date: (date)",
            "Message-ID: (message-id)",
            "MIME-Version: 1.0",
            'Content-Type: text/plain; charset="utf-8"',
            "",
            "Hällo",
            "7",
            "",
        ]
    )


def test_parts_and_files_and_nothing_that_is_new_each_time() -> None:
    message = PLAIN.with_(html="<p>x</p>", text=None)
    ids = ["one@x.test", "another@x.test"]
    texts = [
        snapshot_text(
            sent(
                message.with_(
                    html=f'<img src="cid:{content_id}"><p>one@x.test.</p>',
                    attachments=[
                        Attachment.from_bytes("logo.png", b"\x89PNG", inline=True, content_id=content_id),
                        Attachment.from_bytes("Übersicht.csv", b"a;b\n"),
                    ],
                )
            )
        )
        for content_id in ids
    ]
    assert texts[0] == texts[1]
    assert '=== part 1.1: text/html; charset="utf-8"\n<img src="cid:(content-id 1)"><p>one@x.test.</p>\n' in texts[0]
    assert "Content-ID: <(content-id 1)>\n4 bytes, sha256 " in texts[0]
    assert '=== part 2: text/csv; charset="utf-8"; attachment "Übersicht.csv"\n4 bytes, sha256 ' in texts[0]
    assert not re.search("boundary|base64|quoted-printable", texts[0])


def test_what_differs_shows() -> None:
    text = snapshot_text(sent(PLAIN))
    for change in ({"subject": "x"}, {"text": "Hällo\n8"}, {"bcc": ()}, {"headers": {"X": "y"}}, {"html": "<p>x</p>"}):
        assert snapshot_text(sent(PLAIN.with_(**change))) != text, change
    for same in ("Hällo\r\n7", "Hällo\n7\n"):
        assert snapshot_text(sent(PLAIN.with_(text=same))) == text
    mail = sent(PLAIN.with_(text="see https://x.test/t/abc123 and 7"))
    replaced = snapshot_text(mail, replace={re.compile(r"(?<=/t/)\w+"): "(token)", "and 7": "and 8"})
    assert "see https://x.test/t/(token) and 8\n" in replaced


def test_it_is_taken_compared_and_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    mail, other = sent(PLAIN), sent(PLAIN.with_(subject="Other"))
    path = tmp_path / "new" / "hello.txt"
    assert_matches_snapshot(mail, "hello", folder=path.parent)
    assert path.read_bytes() == snapshot_text(mail).encode()
    assert_matches_snapshot(sent(PLAIN), "hello", folder=path.parent)
    with pytest.raises(AssertionError) as raised:
        assert_matches_snapshot(other, "hello", folder=path.parent)
    assert "\n-Subject: Grüße\n+Subject: Other\n" in str(raised.value)
    assert str(path) in str(raised.value)
    assert "--mailer-update-snapshots" in str(raised.value)
    assert path.read_text() == snapshot_text(mail)
    monkeypatch.setenv("MAIL_SNAPSHOTS", "update")
    assert_matches_snapshot(other, "hello", folder=path.parent)
    assert path.read_text() == snapshot_text(other)


def test_one_that_is_not_there_fails_under_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match=r"there is no snapshot .*hello\.txt: run the test without CI"):
        assert_matches_snapshot(sent(PLAIN), "hello", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert_matches_snapshot(sent(PLAIN), "hello", folder=tmp_path, update=True)
    for name in ("../hello", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="cannot be a snapshot's name"):
            assert_matches_snapshot(sent(PLAIN), name, folder=tmp_path)


def test_a_long_difference_is_cut(tmp_path: Path) -> None:
    assert_matches_snapshot(sent(PLAIN.with_(text="x\n" * 2_000)), "long", folder=tmp_path, update=True)
    with pytest.raises(AssertionError, match="lines more") as raised:
        assert_matches_snapshot(sent(PLAIN.with_(text="y\n" * 2_000)), "long", folder=tmp_path, update=False)
    assert len(str(raised.value).splitlines()) < 250


def test_names_of_a_test_s_snapshots(tmp_path: Path) -> None:
    snapshot = MailSnapshot(tmp_path, "test_x[a b]", update=True)
    for name in (None, None, "shared"):
        snapshot(sent(PLAIN), name)
    first, second, third = [path.name for path in snapshot.written]
    assert re.fullmatch(r"test_x-a-b-[0-9a-f]{6}\.txt", first)
    assert (second, third) == (first.replace(".txt", "-2.txt"), "shared.txt")
    snapshot(sent(PLAIN), "shared")
    assert len(snapshot.written) == 3


def test_the_fixture(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(
        test_orders="""
        import os
        from mailer import Mailer, Message

        def test_order(mailer_outbox, mailer_snapshot):
            subject = os.environ["SUBJECT"]
            Mailer("null:").send(Message(from_="a@b.test", to="c@d.test", subject=subject, text="x"))
            mailer_snapshot(mailer_outbox[0])

        class TestOther:
            def test_order(self, mailer_snapshot):
                mailer_snapshot(b"From: a@b.test\\r\\nTo: c@d.test\\r\\nSubject: other\\r\\n\\r\\nx\\r\\n")
        """
    )
    options = ("-p", "mailer.testing.pytest_plugin", "-p", "no:randomly", "-p", "no:cacheprovider")
    path = pytester.path / "snapshots" / "test_orders" / "test_order.txt"
    for subject, more, passed, written in (
        ("one", (), 1, True),
        ("one", (), 1, False),
        ("two", (), 0, False),
        ("two", ("--mailer-update-snapshots",), 1, True),
    ):
        monkeypatch.setenv("SUBJECT", subject)
        result = pytester.runpytest_inprocess(*options, *more)
        result.assert_outcomes(passed=passed + 1, failed=1 - passed)
        assert (f"mail snapshot written: {path}" in result.outlines) is written
    assert "Subject: two\n" in path.read_text()
    assert "Subject: other\n" in path.with_name("TestOther.test_order.txt").read_text()
