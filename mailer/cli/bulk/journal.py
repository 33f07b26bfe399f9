"""The journal of a run: what became of each row, on disk before the row is sent and after.

One line for each change, appended by one ``write``, so that a kill at any moment loses none of them and leaves at most
one torn line, at the end::

    mailer-journal 1 CAMPAIGN csv=SHA256 mail=SHA256
    begun 9f86d081884c7d65 17
    accepted 9f86d081884c7d65 17

That is the state, the row's key, and the line of the CSV. The last line of a key counts: a row that is ``begun`` and
nothing more was being sent when the run was killed, and may or may not have arrived. Lines are handed to the system,
not forced to the disk: they outlive the process, however it ends; the last seconds may not outlive a power cut.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ...errors import ConfigError

__all__ = ["Journal", "State", "speaking_of"]


class State(enum.Enum):
    """What became of a row. The four outcomes, and what comes before or instead of them."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    BEGUN = "begun"
    """It is being sent; in the journal of a run that is over: nobody knows."""
    INVALID = "invalid"
    """No mail could be made of it."""
    DUPLICATE = "duplicate"
    """An earlier row has this mailbox."""
    SKIPPED = "skipped"
    """A filter kept it back."""
    COMPOSED = "composed"
    """A dry run made a mail of it."""


_MAGIC = b"mailer-journal 1 "
_HEADER = re.compile(rb"mailer-journal 1 ([0-9a-f]{32}) csv=([0-9a-f]{64}) mail=([0-9a-f]{64})\n")
_RECORD = re.compile(rb"([a-z]+) ([0-9a-f]{16}) ([0-9]{1,18})\n")
_HEADER_BYTES = len(_MAGIC) + 32 + 5 + 64 + 6 + 64 + 1
_LONGEST_LINE = 64


class Journal:
    """Notes what becomes of rows. Made by :meth:`open`, or :meth:`nowhere` for a run that cannot be resumed.

    Attributes:
        campaign: 32 hex digits, the same in every run on this journal, and no other's.
    """

    def __init__(self, path: Path | None, file: IO[bytes] | None, campaign: str, *, is_writable: bool) -> None:
        self.campaign = campaign
        self._path = path
        self._file = file
        self._is_writable = is_writable
        self._secret = bytes.fromhex(campaign)

    @classmethod
    def nowhere(cls) -> Journal:
        """A journal that keeps nothing."""
        return cls(None, None, os.urandom(16).hex(), is_writable=False)

    @classmethod
    def open(cls, path: Path, *, csv: str, mail: str, force: bool = False, dry: bool = False) -> Journal:
        """Go on with the journal of this name, or begin it.

        Args:
            path: The file.
            csv: What tells the CSV from another; 64 hex digits.
            mail: What tells the mail from another; likewise.
            force: Go on although one of these is another than when the journal was begun.
            dry: Only read, and write nothing: not even the file, if there is none.

        Raises:
            ConfigError: It is no journal, belongs to another CSV or mail, is in use, or cannot be opened.
        """
        with speaking_of(path):
            if dry and (not path.exists() or not path.stat().st_size):
                return cls.nowhere()
            file = path.open("rb" if dry else "a+b", buffering=0)
        try:
            with speaking_of(path):
                if not dry:
                    _lock(file, path)
                campaign = None if dry else _begun(file, csv, mail)
                if campaign is None:
                    campaign = _checked(file, path, csv, mail, force=force)
                if not dry:
                    _cut_torn_line(file)
        except BaseException:
            file.close()
            raise
        return cls(path, file, campaign, is_writable=not dry)

    def key(self, identity: Iterable[str]) -> int:
        """The key of what is so identified, as a signed 64-bit number.

        Keyed by the campaign, so that a journal does not give addresses away to who can guess them.
        """
        digest = hashlib.blake2b("\0".join(identity).encode("utf-8", "surrogatepass"), digest_size=8, key=self._secret)
        return int.from_bytes(digest.digest(), "big", signed=True)

    def records(self) -> Iterator[tuple[State, int, int]]:
        """Yield (state, key, line) of every change so far, oldest first.

        Raises:
            ConfigError: A line is none of ours, or the file cannot be read.
        """
        if self._file is None or self._path is None:
            return
        states = {state.value.encode(): state for state in State}
        with speaking_of(self._path), self._path.open("rb") as file:
            file.readline(_HEADER_BYTES)
            number = 1
            while text := file.readline(_LONGEST_LINE):
                number += 1
                found = _RECORD.fullmatch(text)
                if found is None and not text.endswith(b"\n") and not file.read(1):
                    return  # torn; a run that is still going on may be seen so too
                if found is None or found[1] not in states:
                    raise ConfigError(f"{self._path}: line {number} is none of a journal's: was it edited?")
                yield (
                    states[found[1]],
                    int.from_bytes(bytes.fromhex(found[2].decode()), "big", signed=True),
                    int(found[3]),
                )

    def write(self, state: State, key: int, line: int) -> None:
        """Append one change; it is out of this process's hands when this returns.

        Raises:
            ConfigError: It could not be written, e.g. the disk is full.
        """
        if not self._is_writable or self._file is None or self._path is None:
            return
        record = b"%s %016x %d\n" % (state.value.encode(), key & 0xFFFF_FFFF_FFFF_FFFF, line)
        with speaking_of(self._path):
            _append(self._file, record)

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def speaking_of(path: Path) -> Iterator[None]:
    """Turn what the system says is wrong with a file into a ConfigError that names it."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep a second run out until this process ends, however it does."""
    if sys.platform == "win32":
        return  # there, whoever starts two runs on one journal is on their own; the manual says so
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"{path}: another run is using this journal") from None


def _begun(file: IO[bytes], csv: str, mail: str) -> str | None:
    """Begin a journal where there is none yet, and return its campaign; None if there is something."""
    file.seek(0)
    head = file.read(_HEADER_BYTES)
    is_torn = len(head) < _HEADER_BYTES and head[: len(_MAGIC)] == _MAGIC[: len(head)] and b"\n" not in head
    if not is_torn:
        return None
    file.truncate(0)
    campaign = os.urandom(16).hex()
    _append(file, b"%s%s csv=%s mail=%s\n" % (_MAGIC, campaign.encode(), csv.encode(), mail.encode()))
    return campaign


def _append(file: IO[bytes], line: bytes) -> None:
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _cut_torn_line(file: IO[bytes]) -> None:
    """Drop what a kill left of the last line, so that the next one stands alone."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _HEADER_BYTES))
    torn = len(file.read().rpartition(b"\n")[2])
    if torn:
        file.truncate(size - torn)


def _checked(file: IO[bytes], path: Path, csv: str, mail: str, *, force: bool) -> str:
    file.seek(0)
    found = _HEADER.fullmatch(file.read(_HEADER_BYTES))
    if found is None:
        raise ConfigError(f"{path}: is no journal of a bulk run, and was left as it is")
    for what, was, now in (("CSV", found[2].decode(), csv), ("mail", found[3].decode(), mail)):
        if was != now and not force:
            raise ConfigError(
                f"{path}: the {what} is another than when this journal was begun: name another journal, or --force if"
                " it is the same sending (nobody in the journal is sent to twice)"
            )
    return found[1].decode()
