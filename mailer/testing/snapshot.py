"""Snapshots: a mail as stable text in a file beside the test, so that a change of it is seen and read."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from .sent import SentMail, decoded_text, file_of

__all__ = ["MailSnapshot", "assert_matches_snapshot", "snapshot_text"]

Replacements = Mapping[str | re.Pattern[str], str]

#: What is another with every mail: a field of the header -> what stands for its value.
_VOLATILE = {"date": "(date)", "message-id": "(message-id)", "dkim-signature": "(signature)"}
_OF_THE_WIRE = frozenset({"content-transfer-encoding"})  # how it travels, which is not how it reads
_UPDATE = "MAIL_SNAPSHOTS"
_MOST_LINES = 200


def snapshot_text(mail: Any, *, replace: Replacements | None = None) -> str:
    """A mail as text that is the same for every mail that reads the same.

    Envelope and header in their order, decoded; then each part in its order: text decoded, a file by its name, type,
    size and SHA-256. Date, Message-ID, DKIM signatures, boundaries and content ids, which are new with every mail, have
    words in their place, and how parts are encoded is left out.

    Args:
        mail: Whatever :meth:`mailer.testing.SentMail.of` takes.
        replace: What else is not the same twice, as a token in a link: text or pattern to what stands for it.
    """
    sent = SentMail.of(mail)
    text = "\n".join(_lines(sent)) + "\n"
    for number, content_id in enumerate(_content_ids(sent.parsed), 1):
        its_places = rf"(?<=\bcid:){re.escape(content_id)}(?![\w.@-])|(?<=<){re.escape(content_id)}(?=>)"
        text = re.sub(its_places, f"(content-id {number})", text)
    for old, new in (replace or {}).items():
        text = old.sub(new, text) if isinstance(old, re.Pattern) else text.replace(old, new)
    return text


def assert_matches_snapshot(
    mail: Any,
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    replace: Replacements | None = None,
    update: bool | None = None,
) -> None:
    """Hold that a mail is what it was when its snapshot was taken.

    A snapshot that is not there is taken now, but where the variable ``CI`` is set: there it is a failure, for nobody
    would look at it. Under pytest the fixture ``mailer_snapshot`` does the same by the test's own name.

    Args:
        mail: Whatever :meth:`mailer.testing.SentMail.of` takes: a mail of an outbox, ``mailer.compose(message)``.
        name: Of letters, digits, "-", "_" and ".".
        folder: Where snapshots are; None: ``snapshots/<name of the calling file>/`` beside that file.
        replace: As for :func:`snapshot_text`.
        update: Take it anew; None: if the variable ``MAIL_SNAPSHOTS`` is "update".

    Raises:
        AssertionError: It differs, and in which lines; or there is none, under CI.
        ValueError: The name cannot be a file's.
    """
    __tracebackhide__ = True
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise ValueError(f"{name!r} cannot be a snapshot's name: letters, digits, '-', '_' and '.'")
    if folder is None:
        folder = folder_of(Path(sys._getframe(1).f_globals["__file__"]))
    compare(snapshot_text(mail, replace=replace), Path(folder) / f"{name}.txt", update=update)


def folder_of(test_file: Path) -> Path:
    """Where the snapshots of a test's file are."""
    return test_file.parent / "snapshots" / test_file.stem


def compare(text: str, path: Path, *, update: bool | None) -> bool:
    """Compare with a file; whether it was written. AssertionError as :func:`assert_matches_snapshot`."""
    __tracebackhide__ = True
    is_there = path.exists()
    old = path.read_text(encoding="utf-8") if is_there else ""
    if is_there and old == text:
        return False
    wanted = os.environ.get(_UPDATE) == "update" if update is None else update
    if not wanted and not is_there and os.environ.get("CI", "").lower() not in ("", "0", "false"):
        raise AssertionError(f"there is no snapshot {path}: run the test without CI set, read it, and commit it")
    if not wanted and is_there:
        lines = list(difflib.unified_diff(old.splitlines(), text.splitlines(), "snapshot", "as sent", lineterm="", n=2))
        if len(lines) > _MOST_LINES:
            lines = [*lines[:_MOST_LINES], f"... and {len(lines) - _MOST_LINES} lines more"]
        remedy = "if that is right: pytest --mailer-update-snapshots, or MAIL_SNAPSHOTS=update"
        raise AssertionError("\n".join([f"the mail is not as in {path}", *lines, remedy]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return True


class MailSnapshot:
    """What the fixture ``mailer_snapshot`` is: compares mails with the snapshots of one test.

    Attributes:
        written: The files that it wrote.
    """

    def __init__(self, folder: Path, test_name: str, *, update: bool | None) -> None:
        self._folder = folder
        self._test = _file_name(test_name)
        self._update = update
        self._unnamed = 0
        self.written: list[Path] = []

    def __call__(self, mail: Any, name: str | None = None, *, replace: Replacements | None = None) -> None:
        """Hold that a mail is what it was: see :func:`assert_matches_snapshot`.

        Args:
            mail: As there.
            name: Of a snapshot that several tests share; None: the test's own, with a number from the second on.
            replace: As there.
        """
        __tracebackhide__ = True
        if name is None:
            self._unnamed += 1
            name = self._test if self._unnamed == 1 else f"{self._test}-{self._unnamed}"
        path = self._folder / f"{_file_name(name)}.txt"
        if compare(snapshot_text(mail, replace=replace), path, update=self._update):
            self.written.append(path)


def _file_name(name: str) -> str:
    """A test's name as a file's: another one for every other name."""
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    if safe == name:
        return name
    return f"{safe[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


# --- the text ---------------------------------------------------------------------------------------------------------


def _lines(sent: SentMail) -> Iterator[str]:
    envelope = sent.envelope
    yield f"MAIL FROM:<{envelope.sender.addr_spec if envelope.sender else ''}>"
    for recipient in envelope.recipients:
        yield f"RCPT TO:<{recipient.addr_spec}>"
    yield ""
    for name, value in sent.parsed.items():
        lower = name.lower()
        if lower not in _OF_THE_WIRE:
            shown = _type_of(sent.parsed) if lower == "content-type" else str(value)
            yield f"{name}: {_VOLATILE.get(lower, shown)}"
    yield ""
    yield from _parts(sent.parsed, "")


def _parts(part: EmailMessage, number: str) -> Iterator[str]:
    is_multipart = part.get_content_maintype() == "multipart"
    if number:
        named = [part.get_content_disposition(), part.get_filename() and f'"{part.get_filename()}"']
        yield "; ".join([f"=== part {number}: {_type_of(part)}", *filter(None, [" ".join(filter(None, named))])])
        for name, value in part.items():
            if name.lower().startswith("content-") and name.lower() not in _SHOWN_OTHERWISE:
                yield f"{name}: {value}"
    if is_multipart:
        for index, child in enumerate(part.iter_parts(), 1):
            yield from _parts(child, f"{number}.{index}" if number else str(index))  # type: ignore[arg-type]  # the policy makes them so
    elif part.get_content_maintype() == "text" and part.get_content_disposition() != "attachment":
        yield from decoded_text(part).removesuffix("\n").split("\n")
    else:
        file = file_of(part)
        yield f"{len(file.content)} bytes, sha256 {hashlib.sha256(file.content).hexdigest()}"


_SHOWN_OTHERWISE = _OF_THE_WIRE | {"content-type", "content-disposition"}


def _type_of(part: EmailMessage) -> str:
    """The media type with its parameters, but for the boundary, and for a file's name, which is shown for itself."""
    header = part["Content-Type"]
    parameters = getattr(header, "params", {})
    kept = [f'{name}="{value}"' for name, value in parameters.items() if name not in ("boundary", "name")]
    return "; ".join([part.get_content_type(), *kept])


def _content_ids(parsed: EmailMessage) -> Iterable[str]:
    """The content ids of all parts, without angle brackets, in their order."""
    found = [str(part["Content-ID"]).strip().strip("<>") for part in parsed.walk() if "Content-ID" in part]
    return dict.fromkeys(filter(None, found))
