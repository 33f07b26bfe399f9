"""Mail on disk: ``file:`` as ``.eml`` files, a Maildir, or an mbox.

What is promised of each form: a mail is there whole, fsynced and readable by its owner alone, or it is not there at
all. A file is written aside and then linked to its name, which never replaces another; an mbox is cut back to where it
ended. No name holds anything that a message or an address says, nor this machine's name.

eml
    ``NAME.eml`` is the content byte for byte (CRLF), ``NAME.json`` beside it the envelope and what else the content
    does not show; the ``.json`` is there whenever the ``.eml`` is. Names sort by time (UTC).
Maildir
    ``new/NAME``, made in ``tmp/``. Line ends are LF, as programs that read Maildirs expect. There is no envelope.
mbox
    mboxrd: ``From SENDER DATE``, each line of the content that matches ``>*From `` with one more ``>``, a blank line.
    Line ends are LF. While it writes it holds both kernel locks, flock and fcntl. It waits for a dot-lock
    (``PATH.lock``) of another program but makes none: a crash would leave it behind.

Under an async mailer the disk is written in a worker thread. Cancelling leaves the thread behind to finish or to clean
up after itself, so the outcome of a send that was cancelled is UNKNOWN.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..clock import epoch_s
from ..errors import ConfigError, MailerError, MessageError, Outcome, TransportError
from ..features import Features
from ..mail import Mail
from ..receipt import Receipt
from .base import Backend, Health
from .options import BackendURL, choice

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = ["FileBackend", "file_from_url"]

FORMATS = ("eml", "maildir", "mbox")
_FORMS = "write file:///absolute/path?format=eml or file:relative/path (formats: eml, maildir, mbox)"

# A temporary file or lock must be ours, and must not be waited for: no link followed, no FIFO opened for long.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700

# The path in the settings is at fault, and not the disk: ConfigError instead of TransportError.
_PATH_IS_WRONG = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS)
)
_NO_LINKS_HERE = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK))  # FAT, some FUSE
_NO_FSYNC_HERE = frozenset((errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP))  # of a directory: some network disks
_NAMES = 10  # a second try is for a broken source of randomness already

# What a message asks beyond what its content shows; recorded in the .json.
_NOT_IN_CONTENT = (
    *("send_at", "tags", "metadata", "track_opens", "track_clicks", "delivery"),
    *("provider_template", "provider_options", "idempotency_key"),
)

_counter = itertools.count()


class FileBackend(Backend):
    """Writes mails to disk. Threads, tasks and processes may write to one place at once.

    Args:
        path: The directory of the ``.eml`` files, the Maildir, or the mbox file itself. It is made if it is missing
            (0700, an mbox 0600), its parent is not. A relative one counts from the working directory of now.
        format: "eml", "maildir" or "mbox".
        clock: Seconds since 1970, for names and dates.
        token: A random name part, of letters and digits, for each mail.
        lock_wait_s: Seconds to wait for another program's lock on an mbox.

    Raises:
        ConfigError: The path is empty or no path, or the format is none of these.
    """

    features = Features.everything()

    def __init__(
        self,
        path: str | os.PathLike[str],
        format: str = "eml",  # noqa: A002 - the word of the URL
        *,
        url: str = "",
        clock: Callable[[], float] = epoch_s,
        token: Callable[[], str] = lambda: secrets.token_hex(8),
        lock_wait_s: float = 30.0,
    ) -> None:
        text = os.fspath(path)
        if not text or "\0" in text:
            raise ConfigError(f"file: {text!r} is not a path; {_FORMS}")
        if format not in FORMATS:
            raise ConfigError(f"file: format {format!r} is not one of {', '.join(FORMATS)}")
        self.path = os.path.abspath(text)
        self.format = format
        self.url = url or f"file://{quote(os.fsencode(self.path))}?format={format}"
        self._clock = clock
        self._token = token
        self._lock_wait_s = lock_wait_s
        self._write = {"eml": self._write_eml, "maildir": self._write_maildir, "mbox": self._append}[format]

    async def send(self, mail: Mail) -> Receipt:
        """Write the mail; every recipient is ACCEPTED once it is on disk.

        Raises:
            ConfigError: The path is missing, not writable, or something else than the format needs.
            TransportError: The disk failed (full, over quota, I/O error), or the mbox stayed locked.
            MessageError: The content could not be read to its end.
        """
        deadline, pause_s = self.runtime.now() + self._lock_wait_s, 0.005
        while (place := await self.runtime.run(lambda: self._written(mail))) is None:
            if self.runtime.now() >= deadline:
                raise TransportError(
                    f"{self.path!r} stayed locked by another program for {self._lock_wait_s:g} s"
                    f" (if none runs, remove {self.path + '.lock'!r})"
                )
            await self.runtime.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)
        return Receipt.for_all(mail, Outcome.ACCEPTED, text=f"written to {place!r}", backend=self.url)

    async def check(self) -> Health:
        """Write and remove a nameless file where mails would go; make nothing that is missing."""
        facts = {"path": self.path, "format": self.format}
        try:
            await self.runtime.run(self._probe)
        except MailerError as error:
            return Health(ok=False, backend=self.url, facts=facts, cause=error)
        return Health(ok=True, backend=self.url, facts=facts)

    def _written(self, mail: Mail) -> str | None:
        """Write it; return where, or None if another program holds the lock."""
        with _ours(self.path):
            for _ in range(_NAMES):
                with contextlib.suppress(FileExistsError):
                    return self._write(mail)
        raise TransportError(f"{self.path!r}: every name is taken")

    def _probe(self) -> None:
        folders = [self.path]
        with _ours(self.path):
            if self.format == "maildir":
                folders = [os.path.join(self.path, name) for name in ("tmp", "new")]
            elif self.format == "mbox":
                if os.path.lexists(self.path):
                    os.close(_opened_mbox(self.path, 0))
                    return
                folders = [os.path.dirname(self.path)]
            for folder in folders:
                above = (folder, self.path, os.path.dirname(self.path))
                folder = next(filter(os.path.lexists, above), above[-1])
                with _drafted(os.path.join(folder, f".{self._token()}.tmp"), [b"\n"]):
                    pass

    # --- the three forms ----------------------------------------------------------------------------------------------

    def _write_eml(self, mail: Mail) -> str:
        _make_folder(self.path)
        now = datetime.fromtimestamp(self._clock(), UTC)
        # The id is a stranger's word where a mail was read back from JSON.
        who = re.sub(r"[^A-Za-z0-9_-]", "_", str(mail.id))[:64]
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{who}-{next(_counter)}-{self._token()}"
        final, draft = os.path.join(self.path, name), os.path.join(self.path, f".{name}")
        envelope = json.dumps(_beside(mail, now), ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace")
        with (
            _drafted(f"{draft}.eml.tmp", _read(mail)) as eml,
            _drafted(f"{draft}.json.tmp", [envelope, b"\n"]) as beside,
            _published(beside, f"{final}.json"),
            _published(eml, f"{final}.eml"),
        ):
            _sync_folder(self.path)
        return f"{final}.eml"

    def _write_maildir(self, mail: Mail) -> str:
        for folder in (self.path, *(os.path.join(self.path, name) for name in ("tmp", "new", "cur"))):
            _make_folder(folder)
        micros = int(self._clock() * 1_000_000)
        # A unique name by time, process, counter and chance; the last stands in the place of the host's name.
        name = f"{micros // 1_000_000}.M{micros % 1_000_000:06}P{os.getpid()}Q{next(_counter)}.{self._token()}"
        new = os.path.join(self.path, "new")
        with (
            _drafted(os.path.join(self.path, "tmp", name), _with_lf(_read(mail))) as draft,
            _published(draft, os.path.join(new, name)),
        ):
            _sync_folder(new)
        return os.path.join(new, name)

    def _append(self, mail: Mail) -> str | None:
        # Looked at before the file is opened: other code in this process may hold an fcntl lock (mailbox.mbox.lock()
        # makes both), and closing the file here would drop it.
        if os.path.lexists(f"{self.path}.lock"):
            return None
        mbox = _opened_mbox(self.path, os.O_CREAT)
        try:
            if not _locked(mbox, self.path):
                return None
            end = os.fstat(mbox).st_size
            try:
                _write_all(mbox, _mbox_entry(mail, self._clock(), os.pread(mbox, 2, max(0, end - 2))))
                os.fsync(mbox)
                if end == 0:
                    _sync_folder(os.path.dirname(self.path))
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(mbox, end)
                    os.fsync(mbox)
                raise
        finally:
            os.close(mbox)
        return self.path


def file_from_url(url: BackendURL, runtime: Runtime | None = None) -> FileBackend:
    """``file:///absolute/path`` or ``file:relative/path``, with ``?format=eml|maildir|mbox``; eml if not said.

    Raises:
        ConfigError: It names a host or user, no path, an unknown option or format.
    """
    if url.host or url.port or url.username is not None or not url.path:
        raise ConfigError(f"file: {url} {'names a host' if url.host else 'has no path'}: {_FORMS}")
    options = url.options(format=choice(*FORMATS))
    backend = FileBackend(url.path, url=str(url), **options)
    if runtime is not None:
        backend.attach(runtime)
    return backend


# --- what is written --------------------------------------------------------------------------------------------------


def _read(mail: Mail) -> Iterator[bytes]:
    """The content; that its source fails is no failure of the disk that is written."""
    try:
        yield from mail.content
    except OSError as error:
        raise MessageError(f"the content could not be read: {error.strerror or error}") from error


def _beside(mail: Mail, now: datetime) -> dict[str, Any]:
    """What the content does not show, as JSON holds it."""
    sender, notes, asked = mail.envelope.sender, [], {}
    if mail.message is not None:
        try:
            asked = mail.message.with_(attachments=(), context={}).to_dict()
        except MessageError as error:
            notes.append(f"the message's options are not recorded: {error}")
    return {
        "id": str(mail.id),
        "time": now.isoformat(),
        "sender": sender.addr_spec if sender else None,
        "recipients": [recipient.addr_spec for recipient in mail.envelope.recipients],
        "envelope": mail.envelope.to_dict(),
        "message": {name: asked[name] for name in _NOT_IN_CONTENT if name in asked},
        "notes": notes,
    }


def _with_lf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """CRLF as LF, wherever the chunks are cut; a bare CR or LF stays."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        held = b"\r" if data.endswith(b"\r") else b""
        yield data[: len(data) - len(held)].replace(b"\r\n", b"\n")
    yield held


_FROM_LINE = re.compile(rb"\n(>*+)From ")
_MAY_BECOME_FROM = re.compile(rb">*+(F(?:r(?:om?)?)?)?")


def _quoted(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One more ``>`` before each line that matches ``>*From ``, wherever the chunks are cut (mboxrd).

    It does not matter before which ``>`` of a line the new one goes, so at most the four bytes "From" wait for the
    next chunk.
    """
    before, held = b"\n", b""  # a newline if all that was yielded of the last line is ">*", another byte if not
    for chunk in chunks:
        data = before + held + chunk
        start = data.rfind(b"\n") + 1
        begun = _MAY_BECOME_FROM.fullmatch(data, start) if start else None
        before, held = (b"\n", begun[1] or b"") if begun else (b"-", b"")
        yield _FROM_LINE.sub(rb"\n>\1From ", data[: len(data) - len(held)])[1:]
    yield held


def _mbox_entry(mail: Mail, now: float, tail: bytes) -> Iterator[bytes]:
    """The mail as an mbox that ends in ``tail`` (its last two bytes) takes it: separator, content, blank line."""
    # A separator stands after a blank line, whatever another program or a crash left at the end.
    if tail not in (b"", b"\n\n"):
        yield b"\n" if tail.endswith(b"\n") else b"\n\n"
    # mbox(5) of qmail: "MAILER-DAEMON" for the null sender, hyphens for blanks in a sender, asctime() in UTC.
    sender = re.sub(r"\s", "-", mail.envelope.sender.addr_spec) if mail.envelope.sender else "MAILER-DAEMON"
    yield f"From {sender} {time.asctime(time.gmtime(now))}\n".encode()
    last = b""
    for chunk in _quoted(_with_lf(_read(mail))):
        yield chunk
        last = chunk[-1:] or last
    yield b"\n" if last == b"\n" else b"\n\n"


# --- the disk ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _ours(path: str) -> Iterator[None]:
    """Translate what the system says."""
    try:
        yield
    except OSError as error:
        text = f"{path!r} cannot be written: {error.strerror or error}"
        if error.filename not in (None, path):
            text += f" ({error.filename!r})"
        if error.errno in _PATH_IS_WRONG:
            raise ConfigError(f"{text}; give a place that can be written, in a directory that exists") from error
        raise TransportError(text) from error


def _make_folder(path: str) -> None:
    if os.path.isdir(path):
        return
    try:
        os.mkdir(path, _PRIVATE_FOLDER)
    except FileExistsError:
        if not os.path.isdir(path):  # else another thread has made it
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
    else:
        _sync_folder(os.path.dirname(path))


def _write_all(file: int, chunks: Iterable[bytes]) -> None:
    # Closed in any case: an error that is kept, on a receipt, would keep the attachment that is being read open.
    with contextlib.closing(_each(chunks)) as source:
        for chunk in source:
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(file, rest) :]


def _each(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    yield from chunks


@contextlib.contextmanager
def _drafted(path: str, chunks: Iterable[bytes]) -> Iterator[str]:
    """A new file, written and fsynced, under a name that is gone afterwards. FileExistsError: the name is taken."""
    file = os.open(path, _NEW_FILE, _PRIVATE_FILE)
    try:
        try:
            _write_all(file, chunks)
            os.fsync(file)
        finally:
            os.close(file)
        yield path
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def _published(draft: str, path: str) -> Iterator[None]:
    """Give the draft its name, and take it back if the body fails. FileExistsError: the name is taken."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS_HERE:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
        os.rename(draft, path)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _sync_folder(path: str) -> None:
    """Put the names in a directory on disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FSYNC_HERE:
            raise
    finally:
        os.close(folder)


def _opened_mbox(path: str, flags: int) -> int:
    mbox = os.open(path, os.O_RDWR | os.O_APPEND | _SAFELY | flags, _PRIVATE_FILE)
    if not stat.S_ISREG(os.fstat(mbox).st_mode):
        os.close(mbox)
        raise ConfigError(f"{path!r} is not a regular file, so it cannot be an mbox")
    return mbox


def _locked(mbox: int, path: str) -> bool:
    """Lock the open mbox against threads and processes until it is closed. False if somebody else has it.

    flock keeps out those who use flock. An fcntl lock keeps out those who use fcntl, on Linux as one of the open file
    (F_OFD_SETLK, fcntl_locking(2)): an ordinary one does not part threads and is lost as soon as any of them closes
    the file. Elsewhere (BSD, macOS) flock and fcntl locks see each other.
    """
    import fcntl

    try:
        fcntl.flock(mbox, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if sys.platform == "linux":
            import struct

            # struct flock: l_type, l_whence, l_start, l_len (0: to the end, wherever that is), l_pid (must be 0).
            whole_file = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(mbox, fcntl.F_OFD_SETLK, whole_file)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    # It may have been moved away or replaced before the lock was ours.
    try:
        return os.path.samestat(os.fstat(mbox), os.lstat(path))
    except FileNotFoundError:
        return False
