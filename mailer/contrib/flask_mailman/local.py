"""Flask-Mailman's backends for tests and development: nothing leaves the machine."""

from __future__ import annotations

import datetime
import logging
import os
import secrets
import sys
from collections.abc import Iterable
from typing import Any

from ...errors import ConfigError
from ...lock import RLock
from ..mailer_at import mailer_at
from .carriers import BaseEmailBackend, carry
from .safe_mime import InvalidMessageError

__all__ = ["ConsoleBackend", "DummyBackend", "FileBackend", "ImproperlyConfigured", "LocmemBackend"]

_log = logging.getLogger(__name__)

_RULE = "-" * 79


class ImproperlyConfigured(ConfigError):
    """The folder for mails cannot be had."""


class LocmemBackend(BaseEmailBackend):
    """Keeps messages in ``mail.outbox``; hooks and plug-ins run, and what could not be sent is logged."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not hasattr(self.mailman, "outbox"):
            self.mailman.outbox = []

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Keep messages, and count them.

        Raises:
            BadHeaderError: A header holds a line break.
        """
        mailer = mailer_at(self.mailman, "null:", getattr(self.mailman, "settings", None))
        count = 0
        for message in email_messages:
            message.message()
            if message.recipients():
                try:
                    carry(message, mailer, self.mailman)
                except InvalidMessageError as error:
                    _log.warning("a message in mail.outbox could not be sent otherwise: %s", error)
            self.mailman.outbox.append(message)
            count += 1
        return count


class DummyBackend(BaseEmailBackend):
    """Forgets messages."""

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Count messages."""
        return len(list(email_messages))


class ConsoleBackend(BaseEmailBackend):
    """Writes messages to a stream.

    Args:
        stream: For text; None is standard output.
    """

    def __init__(self, *args: Any, stream: Any = None, **kwargs: Any) -> None:
        self.stream = stream or sys.stdout
        self._lock = RLock()  # over the stream
        super().__init__(*args, **kwargs)

    def write_message(self, message: Any) -> None:
        """Write one message, and a line behind it."""
        written = message.message()
        charset = written.get_charset()
        text = written.as_bytes().decode(charset.get_output_charset() if charset else "utf-8", "replace")
        self.stream.write(f"{text}\n{_RULE}\n")

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Write messages, each flushed, and count them."""
        if not email_messages:
            return 0
        count = 0
        with self._lock:
            try:
                is_opened = self.open()
                for message in email_messages:
                    self.write_message(message)
                    self.stream.flush()
                    count += 1
                if is_opened:
                    self.close()
            except Exception:
                if not self.fail_silently:
                    raise
        return count


class FileBackend(ConsoleBackend):
    """Writes messages to a file of its own for each time that it is opened.

    Args:
        file_path: The folder, made if it is not there; None is ``MAIL_FILE_PATH``.

    Raises:
        ImproperlyConfigured: There is no folder, it is none, or nobody may write to it.
    """

    def __init__(self, *args: Any, file_path: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stream = None
        self._fname: str | None = None
        folder = self.mailman.file_path if file_path is None else file_path
        if folder is None:
            raise ImproperlyConfigured("MAIL_FILE_PATH is missing: the folder for mails")
        self.file_path = os.path.abspath(folder)
        try:
            os.makedirs(self.file_path, exist_ok=True)
        except FileExistsError:
            raise ImproperlyConfigured(f"MAIL_FILE_PATH exists, and is no folder: {self.file_path}") from None
        except OSError as error:
            raise ImproperlyConfigured(f"MAIL_FILE_PATH cannot be made: {self.file_path} ({error})") from error
        if not os.access(self.file_path, os.W_OK):
            raise ImproperlyConfigured(f"MAIL_FILE_PATH cannot be written to: {self.file_path}")

    def write_message(self, message: Any) -> None:
        """Write one message, and a line behind it."""
        self.stream.write(message.message().as_bytes() + f"\n{_RULE}\n".encode())

    def _get_filename(self) -> str:
        if self._fname is None:
            now = datetime.datetime.now(datetime.UTC).astimezone()
            self._fname = os.path.join(self.file_path, f"{now:%Y%m%d-%H%M%S}-{secrets.randbelow(10**15)}.log")
        return self._fname

    def open(self) -> bool:
        """Open the file.

        Returns:
            Whether it was closed.
        """
        if self.stream is not None:
            return False
        self.stream = open(self._get_filename(), "ab")  # noqa: SIM115 - closed by close()
        return True

    def close(self) -> None:
        """Close the file."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()
