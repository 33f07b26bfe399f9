"""The cache: tokens in a file, so that an app's processes ask for one together and a changed refresh token is kept.

What it must withstand: another user of the machine who can write to the folder, a crash in the middle of a write, two
processes at once. So the file is read only if it is this user's, a regular file with one name and for nobody else to
read; it is never written in place, but under a new name that is then given its own; and a lock file beside it, held
while one process asks the token server, makes the others wait for what it gets. A file that is not understood counts as
none.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, DeadlineExceeded
from .answer import Tokens
from .token import AccessToken

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = ["TokenFile"]

_MAX_BYTES = 1 << 20
_MAX_ENTRIES = 100
#: flock has no deadline of its own, so it is tried so often. Who waits does so for a request to a token server.
_POLL_S = 0.02


class TokenFile:
    """A file with the tokens of one or more grants.

    Args:
        path: Its name; the lock's is the same with ``.lock`` behind it. The folder must exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import fcntl  # noqa: F401 - locking needs it
        except ImportError as error:
            raise ConfigError("oauth2: a cache file needs a POSIX system; leave cache out here") from error
        self.path = os.path.abspath(os.fspath(path))
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            raise ConfigError(f"oauth2: cache: there is no folder {folder}")

    def read(self, key: str) -> Tokens | None:
        """What is kept for a grant; None if there is nothing, or nothing that can be understood.

        Raises:
            ConfigError: The file cannot be trusted, or not be read; the text says what to do.
        """
        return _tokens(self._entries().get(key))

    def write(self, key: str, tokens: Tokens, now: float) -> None:
        """Keep a grant's tokens, and drop what is of no more use. To be called under the lock.

        Raises:
            OSError: It cannot be written.
        """
        entries = {name: entry for name, entry in self._entries().items() if _is_of_use(entry, now) and name != key}
        kept = dict(list(entries.items())[-(_MAX_ENTRIES - 1) :])
        kept[key] = {
            "access_token": tokens.access.value,
            "expires_at": tokens.access.expires_at,
            "refresh_token": tokens.refresh_token,
        }
        content = json.dumps({"version": 1, "tokens": kept}).encode()
        # A name that nobody can know before, and O_EXCL: what stands there already is not opened.
        fresh = f"{self.path}.{secrets.token_hex(8)}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # a refresh token that was changed may be good for nothing any more
            os.replace(fresh, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(fresh)
            raise

    async def lock(self, runtime: Runtime, deadline: float) -> int:
        """Wait until no other process (or provider) has the lock, and take it.

        Returns:
            What to give to :meth:`unlock`.

        Raises:
            DeadlineExceeded: It was held until the deadline.
            ConfigError: The lock file cannot be trusted or opened.
        """
        import fcntl

        descriptor = self._opened(f"{self.path}.lock", os.O_RDWR | os.O_CREAT)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                        raise ConfigError(f"oauth2: {self.path}.lock cannot be locked: {error.strerror}") from error
                else:
                    return descriptor
                if runtime.now() + _POLL_S >= deadline:
                    raise DeadlineExceeded(f"{self.path}: another process was asking for a token all the time")
                await runtime.sleep(_POLL_S)
        except BaseException:
            os.close(descriptor)
            raise

    @staticmethod
    def unlock(descriptor: int) -> None:
        """Let the next one have it."""
        import fcntl

        try:
            # Not by closing alone: a child that was forked meanwhile has the same lock, by its copy of the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _entries(self) -> Mapping[str, Any]:
        try:
            descriptor = self._opened(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return {}
        try:
            with os.fdopen(descriptor, "rb") as file:
                content = file.read(_MAX_BYTES + 1)
            said = json.loads(content) if len(content) <= _MAX_BYTES else None
        except (OSError, ValueError, RecursionError):
            return {}
        entries = said.get("tokens") if isinstance(said, dict) and said.get("version") == 1 else None
        return entries if isinstance(entries, dict) else {}

    def _opened(self, path: str, how: int) -> int:
        """Open a file that only we can have written, and nobody else can read; FileNotFoundError if there is none."""
        try:
            descriptor = os.open(path, how | _NO_FOLLOW | os.O_NONBLOCK, 0o600)  # a FIFO would block
        except FileNotFoundError:
            if not how & os.O_CREAT:
                raise
            raise ConfigError(f"oauth2: cache: there is no folder {os.path.dirname(path)}") from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK):  # as Linux and FreeBSD say it
                raise ConfigError(f"oauth2: {path} is a symbolic link, which is not followed: name the file") from error
            raise ConfigError(f"oauth2: {path} cannot be opened: {error.strerror}") from error
        problem = _problem(os.fstat(descriptor))
        if problem:
            os.close(descriptor)
            raise ConfigError(f"oauth2: {path} is not to be trusted with tokens: {problem}")
        return descriptor


_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def _problem(found: os.stat_result) -> str:
    """Why a file that was opened may be someone else's, with what to do; "" if it is ours alone."""
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_uid != os.geteuid():
        return "it belongs to another user: remove it"
    if found.st_mode & 0o077:
        return "others may read or write it: remove it, or chmod 600"
    if found.st_nlink > 1:
        return "it has another name, too (a hard link): remove it"
    return ""


def _tokens(entry: object) -> Tokens | None:
    if not isinstance(entry, dict):
        return None
    value, expires_at, refresh = (entry.get(name) for name in ("access_token", "expires_at", "refresh_token"))
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return None
    try:
        expires_at = float(expires_at) if isinstance(expires_at, (int, float)) else None
    except OverflowError:
        expires_at = None
    return Tokens(AccessToken(value, expires_at), refresh if isinstance(refresh, str) and refresh else None)


def _is_of_use(entry: object, now: float) -> bool:
    tokens = _tokens(entry)
    return tokens is not None and (tokens.refresh_token is not None or tokens.access.is_good(now))
