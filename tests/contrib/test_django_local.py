"""The backends for development: Django's places and form, with a mailer in between. Runs on every Django."""

from __future__ import annotations

import asyncio
import email
import email.policy
import io
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from django.test import override_settings

from mailer import DeliveryUnknown, Mailer, Message, Outcome
from mailer.contrib.django import (
    ConsoleBackend,
    FileBackend,
    InvalidMailerError,
    InvalidMessageError,
    asend_mail,
    get_mailer,
)
from mailer.contrib.django.checks import check_deployment

HAS_MAILERS = django.VERSION >= (6, 1)
RULE = "\n" + "-" * 79 + "\n"


@contextmanager
def django_has(backend: str, **options: Any) -> Iterator[None]:
    """This backend, and for the file one its folder, as each Django is told."""
    path = f"mailer.contrib.django.{backend}"
    if HAS_MAILERS:
        settings: dict[str, Any] = {"MAILERS": {"default": {"BACKEND": path, "OPTIONS": options}}}
    else:
        settings = {"EMAIL_BACKEND": path, "EMAIL_FILE_PATH": options.get("file_path"), "EMAIL_HOST": "smtp.invalid"}
    with override_settings(**settings):
        yield


def connection() -> Any:
    return mail.mailers.default if HAS_MAILERS else mail.get_connection()


def parsed(text: str) -> list[Any]:
    return [email.message_from_string(one, policy=email.policy.default) for one in text.split(RULE) if one]


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


# --- what both do -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["ConsoleBackend", "FileBackend"])
def shown(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[], list[Any]]]:
    """Django has one of the two; the fixture gives what was written since it was asked last."""

    def written() -> str:
        if request.param == "ConsoleBackend":
            return capsys.readouterr().out
        texts = [path.read_text() for path in files(tmp_path)]
        for path in files(tmp_path):
            path.unlink()
        return "".join(texts)

    with django_has(request.param, **({"file_path": tmp_path} if request.param == "FileBackend" else {})):
        yield lambda: parsed(written())


def test_send_mail_is_written_and_has_a_receipt(shown: Callable[[], list[Any]]) -> None:
    message = EmailMultiAlternatives(
        "Gr\u00fc\u00dfe", "Hello\n-- \nbye", to=["ann@example.org"], bcc=["bob@example.org"]
    )
    message.attach_alternative("<p>Hello", "text/html")
    message.attach("a.bin", bytes(range(256)), "application/octet-stream")
    assert message.send() == 1
    [written] = shown()
    assert (written["Subject"], written["To"], written["Bcc"]) == ("Gr\u00fc\u00dfe", "ann@example.org", None)
    assert written.get_body(("plain",)).get_content().splitlines() == ["Hello", "-- ", "bye"]
    assert next(written.iter_attachments()).get_content() == bytes(range(256))
    results = message.mailer_receipt.results
    assert [(one.address.addr_spec, one.outcome) for one in results] == [
        ("ann@example.org", Outcome.ACCEPTED),
        ("bob@example.org", Outcome.ACCEPTED),
    ]


def test_filters_run_and_what_goes_to_a_server_is_shown(shown: Callable[[], list[Any]]) -> None:
    hooks = connection().mailer.hooks
    assert hooks is get_mailer().hooks
    sent = []
    hooks.add_filter("message", lambda message, context: message.with_(subject="changed"), owner="test")
    hooks.add_action("sent", lambda context: sent.append(bytes(context.mail.content)), owner="test")
    try:
        assert send_mail("Hi", "Hello", None, ["ann@example.org"]) == 1
        hooks.add_filter("recipients", lambda recipients, context: (), owner="test")
        assert send_mail("kept back", "Hello", None, ["ann@example.org"]) == 0
    finally:
        hooks.remove(owner="test")
    [written] = shown()
    assert written["Subject"] == "changed"
    assert written["Message-ID"] == email.message_from_bytes(sent[0], policy=email.policy.default)["Message-ID"]


def test_an_iterator_in_order_and_what_is_wrong_raises_behind_what_is_written(shown: Callable[[], list[Any]]) -> None:
    messages = (EmailMessage(f"s{number}", "b", to=["ann@example.org"]) for number in range(9))
    assert connection().send_messages(messages) == 9
    assert [one["Subject"] for one in shown()] == [f"s{number}" for number in range(9)]
    good, wrong = (
        EmailMessage("good", "b", to=["ann@example.org"]),
        EmailMessage("a\nBcc: c@d.org", "b", to=["ann@b.org"]),
    )
    silent = connection()
    silent.fail_silently = True
    with pytest.raises(InvalidMessageError):
        silent.send_messages([good, wrong])
    assert [one["Subject"] for one in shown()] == ["good"]
    nobody = [EmailMessage("nobody", "b")]
    assert (connection().send_messages(nobody), connection().send_messages([])) == (0, 0)
    assert shown() == []


def test_get_mailer_writes_there_too(shown: Callable[[], list[Any]]) -> None:
    assert get_mailer().send(Message(to="ann@example.org", from_="a@example.com", subject="Hi", text="b")).ok
    assert [one["Subject"] for one in shown()] == ["Hi"]
    warnings = [warning for warning in check_deployment() if warning.id == "mailwright.W001"]
    assert len(warnings) == 1


def test_what_the_project_says_of_mailers_holds_but_for_the_server(shown: Callable[[], list[Any]]) -> None:
    plugins = {"redirect": {"to": "dev@example.org"}}
    with override_settings(MAILER={"url": "smtp://smtp.invalid", "plugins": plugins}):
        assert send_mail("Hi", "Hello", None, ["ann@example.org"]) == 1
        assert asyncio.run(asend_mail("async", "Hello", None, ["ann@example.org"])) == 1
    assert sorted((one["To"].addresses[0].addr_spec, one["Subject"]) for one in shown()) == [
        ("dev@example.org", "Hi"),
        ("dev@example.org", "async"),
    ]


def test_a_hook_that_sends_by_another_backend_writes_there(shown: Callable[[], list[Any]], tmp_path: Path) -> None:
    other = tmp_path.with_name(f"{tmp_path.name}-other")
    hooks, theirs = get_mailer().hooks, Mailer(f"file+django:{other}", from_="a@example.com")
    copy = Message(to="log@example.org", subject="copy", text="b")
    hooks.add_action("sent", lambda context: theirs.send(copy), owner="test")
    try:
        send_mail("Hi", "Hello", None, ["ann@example.org"])
    finally:
        hooks.remove(owner="test")
    assert [one["Subject"] for one in shown()] == ["Hi"]
    [file] = files(other)
    assert [one["Subject"] for one in parsed(file.read_text())] == ["copy"]


@pytest.mark.filterwarnings("ignore:.* is deprecated")  # EMAIL_BACKEND is, from 6.1 on
def test_asend_mail_goes_by_the_settings_that_there_are_until_mailers(tmp_path: Path) -> None:
    with override_settings(EMAIL_BACKEND="mailer.contrib.django.FileBackend", EMAIL_FILE_PATH=str(tmp_path)):
        assert asyncio.run(asend_mail("Hi", "Hello", None, ["ann@example.org"])) == 1
    assert len(files(tmp_path)) == 1


# --- the console ------------------------------------------------------------------------------------------------------


def test_the_console_escapes_what_a_terminal_obeys() -> None:
    stream = io.StringIO()
    with django_has("ConsoleBackend"):
        backend = ConsoleBackend(stream=stream)
        assert backend.send_messages([EmailMessage("Hi", "a\x1b[2Jb", to=["ann@example.org"])]) == 1
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().endswith(RULE)


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_stream_that_cannot_be_written_is_unknown(is_silent: bool) -> None:
    stream = io.StringIO()
    stream.close()
    message = EmailMessage("Hi", "b", to=["ann@example.org"])
    with django_has("ConsoleBackend"):
        backend = ConsoleBackend(is_silent, stream=stream)
        if is_silent:
            assert backend.send_messages([message]) == 0
        else:
            with pytest.raises(DeliveryUnknown):
                backend.send_messages([message])
    assert [one.outcome for one in message.mailer_receipt.results] == [Outcome.UNKNOWN]


def test_threads_that_share_a_console_do_not_mix_their_mails() -> None:
    stream = io.StringIO()
    with django_has("ConsoleBackend"):
        backend = ConsoleBackend(stream=stream)

        def send(name: str) -> None:
            backend.send_messages([EmailMessage(f"{name}{number}", name * 500, to=["a@b.org"]) for number in range(5)])

        threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    subjects = [one["Subject"] for one in parsed(stream.getvalue())]
    assert sorted(subjects) == [f"{name}{number}" for name in "abcd" for number in range(5)]
    runs = ["".join(subject[0] for subject in subjects[start : start + 5]) for start in range(0, 20, 5)]
    assert all(len(set(run)) == 1 for run in runs)


def test_a_subclass_hears_that_its_write_message_is_not_called() -> None:
    for base in (ConsoleBackend, FileBackend):
        with pytest.raises(InvalidMailerError, match="write_message would not be called"):
            type("Own", (base,), {"write_message": lambda self, message: None})


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_for_each_backend_that_its_owner_alone_reads(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    message = EmailMessage("Hi", "b", to=["ann@example.org"])
    with django_has("FileBackend", file_path=folder):
        first = connection()
        with first:
            assert (first.send_messages([message]), first.send_messages([message])) == (1, 1)
            assert first.stream is not None
        assert first.stream is None
        assert first.open()
        assert not first.open()
        first.close()
        connection().send_messages([message])
        assert first.send_messages([message]) == 1
    assert sorted(len(parsed(file.read_text())) for file in files(folder)) == [1, 3]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files(folder)} == {0o600}


def test_a_folder_that_cannot_be_had_is_told_when_the_backend_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with django_has("FileBackend", file_path=wrong), pytest.raises(ImproperlyConfigured, match=str(wrong)):
            connection()
    with django_has("FileBackend"):
        for make in (connection, get_mailer):
            with pytest.raises(InvalidMailerError, match=r"file_path|EMAIL_FILE_PATH"):
                make()


def test_a_folder_that_is_gone_is_told_unless_silent(tmp_path: Path) -> None:
    folder, message = tmp_path / "out", EmailMessage("Hi", "b", to=["ann@example.org"])
    with django_has("FileBackend", file_path=folder):
        backend = connection()
        folder.rmdir()
        with pytest.raises(FileNotFoundError):
            backend.send_messages([message])
        backend.fail_silently = True
        assert backend.send_messages([message]) == 0


def test_paths_with_signs_of_urls(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c#d%41\u00fc"
    with django_has("FileBackend", file_path=str(folder)):
        send_mail("Hi", "b", None, ["ann@example.org"])
        get_mailer().send(Message(to="ann@example.org", from_="a@example.com", subject="Hi", text="b"))
    assert len(files(folder)) == 2


@pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")
def test_unknown_options_of_mailers_are_refused(tmp_path: Path) -> None:
    with django_has("FileBackend", file_path=tmp_path, file_pth=tmp_path), pytest.raises(ImproperlyConfigured) as told:
        connection()
    assert "'file_pth'" in str(told.value)
