"""Backends whose mails stay on this machine, in the places and the form that Django's own of the same names have."""

from __future__ import annotations

import datetime
import os
import secrets
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from django import VERSION

from ...backends.base import Backend
from ...backends.memory import show
from ...backends.url import register_backend
from ...errors import ConfigError, Outcome
from ...features import Features
from ...lock import RLock
from ...receipt import Receipt
from ...smtp_options import SMTP_OPTIONS
from .backend import EmailBackend
from .mailers import InvalidMailerError
from .project import CAN_HAVE_MAILERS, OPTIONS, email_file_path, has_mailers

if TYPE_CHECKING:
    from ...backends.options import BackendURL
    from ...mail import Mail
    from ...runtime import Runtime

__all__ = ["ConsoleBackend", "FileBackend", "LocalBackend"]

#: Schemes of the mailers behind these backends.
CONSOLE, FILE = "console+django", "file+django"
_RULE = b"-" * 79 + b"\n"
#: Between a mail, which ends in a line break, and the rule: until 6.0 Django writes a text without the one at its end.
_GAP = b"\n" if VERSION >= (6, 0) else b""

# Which backend of Django's is sending, in this thread: the mailer is another's too, who may write elsewhere.
_sending: ContextVar[ConsoleBackend | None] = ContextVar("sending", default=None)


class LocalBackend(EmailBackend):
    """An ``EmailBackend`` that sends to none of the servers that are named: its URL is its own."""

    def __init__(self, fail_silently: bool = False, **options: Any) -> None:
        if not CAN_HAVE_MAILERS:  # until then Django's own take anything
            taken = {*OPTIONS, *self.own_options, "alias"}
            options = {name: value for name, value in options.items() if name in taken}
        super().__init__(fail_silently=fail_silently, **options)

    @classmethod
    def options_of(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Without the server; all else is as it is."""
        kept = {name: value for name, value in given.items() if name not in SMTP_OPTIONS}
        own = {name: kept.pop(name, None) for name in cls.own_options}
        return kept | {"url": cls.url_of(**own)}

    @classmethod
    def url_of(cls, **own: Any) -> str:
        """Where it sends to, by its own options."""
        raise NotImplementedError


class ConsoleBackend(LocalBackend):
    """Django's ``console``, through a mailer: shown is what a server would get, signed and with what plug-ins changed.

    Control characters are escaped: a mail may hold anything, and a terminal obeys escape sequences.

    Attributes:
        stream: What it writes to, a text stream; where none is given, what ``sys.stdout`` is now.
    """

    stream: Any

    def __init__(self, fail_silently: bool = False, stream: Any = None, **options: Any) -> None:
        """As :class:`EmailBackend`; wherever that would send to, this does not."""
        self._lock = RLock()
        self.stream = sys.stdout if stream is None else stream
        super().__init__(fail_silently, **options)

    @classmethod
    def url_of(cls, **own: Any) -> str:
        return f"{CONSOLE}:"

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Write what becomes of the messages, each followed by a line of 79 dashes.

        Returns, raises: As :class:`EmailBackend`. What cannot be written is UNKNOWN: some of it may be there.
        """
        if not email_messages:
            return 0
        with self._lock:
            is_opened = self.open()
            if is_opened is None:
                return 0
            token = _sending.set(self)
            try:
                return super().send_messages(email_messages)
            finally:
                _sending.reset(token)
                if is_opened:
                    self.close()

    def close(self) -> None:
        """Let go of nothing: the stream is another's."""
        self.connection = None

    def write(self, content: bytes) -> None:
        """Write one mail, for the mailer behind it."""
        show(content.decode("utf-8", "backslashreplace"), self.stream)


class FileBackend(ConsoleBackend):
    """Django's ``filebased``, through a mailer: a file for each backend that sends, readable by its owner alone.

    Attributes:
        file_path: The folder, absolute.
        stream: The open file, in bytes; None while it is closed.
    """

    own_options: ClassVar[tuple[str, ...]] = ("file_path",)

    def __init__(
        self, fail_silently: bool = False, file_path: str | os.PathLike[str] | None = None, **options: Any
    ) -> None:
        """As :class:`EmailBackend`.

        Args:
            fail_silently: As there; also if the file cannot be opened.
            file_path: The folder, made if it is not there. None is ``EMAIL_FILE_PATH``, but under ``MAILERS``.

        Raises:
            InvalidMailerError: There is no such option, or nobody can write there.
        """
        alias = options.get("alias") if CAN_HAVE_MAILERS else None
        self.file_path = _folder(file_path, alias)
        self._name: str | None = None
        super().__init__(fail_silently, file_path=self.file_path, **options)
        self.stream = None

    @classmethod
    def url_of(cls, *, file_path: str | os.PathLike[str] | None = None, **own: Any) -> str:
        if file_path is None:
            file_path = _said(None, is_alias=has_mailers())
        return f"{FILE}:{quote(os.path.abspath(file_path))}"

    def open(self) -> bool | None:
        """Open the file: the same one as before, if it was open before.

        Returns:
            Whether it was closed; None if it could not be opened, with ``fail_silently``.

        Raises:
            OSError: It could not.
        """
        if self.stream is not None:
            return False
        self._name = self._name or _new_name(self.file_path)
        try:
            self.stream = _appending(self._name)
        except OSError:
            if self.fail_silently:
                return None
            raise
        super().open()
        return True

    def close(self) -> None:
        """Close the file."""
        super().close()
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()

    def write(self, content: bytes) -> None:
        """Write one mail, for the mailer behind it."""
        self.stream.write(content)
        self.stream.flush()


# --- the mailer behind them -------------------------------------------------------------------------------------------


class _Carrier(Backend):
    """Writes by the backend of Django's that is sending; else to standard output, or to a new file in the folder."""

    features = Features.everything()

    def __init__(self, url: BackendURL) -> None:
        self.url, self._folder = str(url), url.path

    def send(self, mail: Mail) -> Receipt:
        content = bytes(mail.content).replace(b"\r\n", b"\n").removesuffix(b"\n") + b"\n" + _GAP + _RULE
        owner = _sending.get()
        if owner is not None and owner.mailer.backend is self:
            owner.write(content)
        elif self._folder:
            with _appending(_new_name(_folder(self._folder, None))) as file:
                file.write(content)
        else:
            show(content.decode("utf-8", "backslashreplace"), sys.stdout)
        return Receipt.for_all(mail, Outcome.ACCEPTED, text="written", backend=self.url)


def _carrier(url: BackendURL, runtime: Runtime | None = None) -> Backend:
    url.refuse("username", "host", "port", *(() if url.scheme == FILE else ("path",)))
    url.options()
    if url.scheme == FILE and not url.path:
        raise ConfigError(f"{FILE}: it has no path: {FILE}:/absolute/folder")
    backend = _Carrier(url)
    if runtime is not None:
        backend.attach(runtime)
    return backend


for _scheme in (CONSOLE, FILE):
    register_backend(_scheme, _carrier)


# --- files ------------------------------------------------------------------------------------------------------------

# What is wrong with the folder: as Django says it of an option of MAILERS, and of the setting.
_MISSING = ("OPTIONS must define 'file_path'.", "The EMAIL_FILE_PATH setting must be set to use the file EmailBackend.")
_NO_FOLDER = ("'file_path' is not a directory: {}", "Path for saving email messages exists, but is not a directory: {}")
_NOT_MADE = ("Could not create 'file_path': {}", "Could not create directory for saving email messages: {}")
_NOT_OURS = ("'file_path' is not writable: {}", "Could not write to directory: {}")


def _said(alias: str | None, *, is_alias: bool) -> Any:
    """The folder where no option says it: the setting's, but under ``MAILERS``. Raises InvalidMailerError."""
    folder = None if is_alias else email_file_path()
    if folder is None:
        raise InvalidMailerError(_MISSING[not is_alias], alias=alias)
    return folder


def _folder(given: str | os.PathLike[str] | None, alias: str | None) -> str:
    """The folder for mails, absolute; made if it is not there. Raises InvalidMailerError."""
    folder = os.path.abspath(_said(alias, is_alias=alias is not None) if given is None else given)

    def wrong(texts: tuple[str, str], why: object = "") -> InvalidMailerError:
        text = texts[alias is None].format(folder)
        return InvalidMailerError(f"{text} ({why})" if why else text, alias=alias)

    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:
        raise wrong(_NO_FOLDER) from None
    except OSError as error:
        raise wrong(_NOT_MADE, error) from error
    if not os.access(folder, os.W_OK):
        raise wrong(_NOT_OURS)
    return folder


def _new_name(folder: str) -> str:
    now = datetime.datetime.now(datetime.UTC).astimezone()
    return os.path.join(folder, f"{now:%Y%m%d-%H%M%S}-{secrets.randbelow(10**15)}.log")


def _appending(name: str) -> IO[bytes]:
    return open(name, "ab", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o600))
