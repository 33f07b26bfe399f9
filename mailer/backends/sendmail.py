"""``sendmail://``: hands mail to the machine's own sendmail program, whichever MTA brings it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..address import Address
from ..errors import ConfigError, DeadlineExceeded, MailerError, Outcome, TransportError
from ..features import Features
from ..field import visible
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from .base import Backend, Health
from .options import BackendURL, seconds

if TYPE_CHECKING:
    import subprocess

    from ..runtime import Runtime

__all__ = ["SendmailBackend", "sendmail_from_url"]

_DEFAULT_PATH = "/usr/sbin/sendmail"
#: Recipients for one run of the program: an argument list has an end.
_MAX_RECIPIENTS = 500
_MAX_OUTPUT_BYTES = 4096
_BLOCK_BYTES = 64 * 1024

# sysexits.h: what the program says of the mail. Any other code is trouble of this machine's, and the mail is kept.
_REFUSED = {65: "EX_DATAERR", 67: "EX_NOUSER", 68: "EX_NOHOST", 69: "EX_UNAVAILABLE"}
_LOCAL = {
    64: "EX_USAGE",
    66: "EX_NOINPUT",
    70: "EX_SOFTWARE",
    71: "EX_OSERR",
    72: "EX_OSFILE",
    73: "EX_CANTCREAT",
    74: "EX_IOERR",
    75: "EX_TEMPFAIL",
    76: "EX_PROTOCOL",
    77: "EX_NOPERM",
    78: "EX_CONFIG",
}


class SendmailBackend(Backend):
    """Runs ``sendmail -i -f SENDER -- RECIPIENT ...`` with the mail on its standard input.

    The program is run directly, without a shell, and with ``--`` before the recipients. What it accepts it has queued:
    its exit code, by sysexits.h, is one outcome for all recipients of that run.

    Attributes:
        path: The program, absolute.
        timeout_s: How long one run may take; then it is killed.
    """

    features = Features()

    def __init__(self, path: str = _DEFAULT_PATH, *, timeout_s: float = 180.0) -> None:
        if not os.path.isabs(path) or "\0" in path:
            raise ConfigError(
                f"sendmail: {path!r} is not the absolute path of a program: sendmail:///usr/sbin/sendmail"
            )
        self.path = path
        self.timeout_s = timeout_s
        self.url = f"sendmail://{path}"
        self._cut_short: dict[str, Receipt] = {}

    async def send(self, mail: Mail) -> Receipt:
        """Run the program once, or more often for more than 500 recipients."""
        results: list[RecipientResult] = []
        recipients = mail.envelope.recipients
        causes: list[MailerError] = []
        for start in range(0, len(recipients), _MAX_RECIPIENTS):
            part = recipients[start : start + _MAX_RECIPIENTS]
            run = _Run(self, mail, part)
            try:
                outcome, text = await run.done()
            except Exception as error:  # noqa: BLE001 - the mail's content may be read by anybody's code
                cause = error if isinstance(error, MailerError) else _unreadable(error)
                causes.append(cause)
                outcome, text = Outcome.UNKNOWN if run.is_handed_over else Outcome.DEFERRED, str(cause)
            except BaseException:
                outcome = Outcome.UNKNOWN if run.is_handed_over else Outcome.DEFERRED
                results += [RecipientResult(a, outcome, text="cut short") for a in part]
                results += [RecipientResult(a, Outcome.DEFERRED, text="cut short") for a in recipients[len(results) :]]
                self._cut_short[mail.id] = Receipt(mail.id, self.url, tuple(results))
                raise
            finally:
                run.end()
            results += [RecipientResult(address, outcome, text=text) for address in part]
        return Receipt(mail.id, self.url, tuple(results), error=causes[-1] if causes else None)

    def settled(self, mail: Mail) -> Receipt:
        """What was known when the send was cut short."""
        return self._cut_short.pop(mail.id, None) or super().settled(mail)

    def check(self) -> Health:
        """Whether the program is there and may be run."""
        if os.access(self.path, os.X_OK) and os.path.isfile(self.path):
            return Health(ok=True, backend=self.url, facts={"program": self.path})
        cause = ConfigError(f"{self.url}: there is no program that may be run; install an MTA or give its path")
        return Health(ok=False, backend=self.url, cause=cause)


class _Run:
    """One run of the program.

    Attributes:
        is_handed_over: It has been given the whole mail, so it may send it whatever happens now.
    """

    def __init__(self, backend: SendmailBackend, mail: Mail, recipients: Iterable[Address]) -> None:
        sender = mail.envelope.sender
        self._path = backend.path
        self._runtime = backend.runtime
        self._deadline = backend.runtime.now() + backend.timeout_s
        self._content = mail.content
        body = ["-B8BITMIME"] if mail.content.has_8bit else []
        sent_by = sender.ascii if sender is not None else "<>"
        self._argv = [self._path, "-i", *body, "-f", sent_by, "--", *[a.ascii for a in recipients]]
        self._process: subprocess.Popen[bytes] | None = None
        self.is_handed_over = False

    async def done(self) -> tuple[Outcome, str]:
        """Run it to its end: what it says of the recipients, and in which words."""
        import subprocess

        try:
            process = self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - a list, and "--"; a fork is short
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in our terminal does not end it in the middle of a mail
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"{self._path} cannot be run: {why}") from error
        assert process.stdin is not None  # noqa: S101 - for type checkers
        assert process.stdout is not None  # noqa: S101
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(pipe.fileno(), False)
        await self._fed(process.stdin)
        said = await self._heard(process.stdout)
        code = await self._runtime.run(lambda: self._waited(process))
        if code == 0 and not self.is_handed_over:
            raise TransportError(f"{self._path} ended well without reading the mail: is it a sendmail?")
        return _judged(code, said)

    async def _fed(self, pipe: Any) -> None:
        try:
            for chunk in _lines(self._content):
                view = memoryview(chunk)
                while view:
                    try:
                        view = view[os.write(pipe.fileno(), view[:_BLOCK_BYTES]) :]
                    except BlockingIOError:
                        await self._runtime.wait_writable(pipe, self._deadline)
            self.is_handed_over = True
            pipe.close()
        except BrokenPipeError:
            pipe.close()  # it has ended before the mail did: its exit code says why
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{self._path} did not read the mail in time") from error

    async def _heard(self, pipe: Any) -> str:
        said = b""
        try:
            while True:
                try:
                    block = os.read(pipe.fileno(), _BLOCK_BYTES)
                except BlockingIOError:
                    await self._runtime.wait_readable(pipe, self._deadline)
                    continue
                if not block:
                    break
                said = (said + block)[:_MAX_OUTPUT_BYTES]
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{self._path} did not end in time") from error
        return visible(" ".join(said.decode("utf-8", "replace").split()))

    def _waited(self, process: subprocess.Popen[bytes]) -> int:
        import subprocess

        try:
            return process.wait(max(0.0, self._deadline - self._runtime.now()))
        except subprocess.TimeoutExpired as error:
            raise DeadlineExceeded(f"{self._path} did not end in time") from error

    def end(self) -> None:
        """Leave nothing behind: a program that still runs is killed. Never raises."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.kill()  # before its input ends: it must not take half a mail for a whole one
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def _unreadable(error: Exception) -> MailerError:
    ours = MailerError(f"the mail's content could not be read: {type(error).__name__}: {error}")
    ours.__cause__ = error
    return ours


def _judged(code: int, said: str) -> tuple[Outcome, str]:
    if code == 0:
        return Outcome.ACCEPTED, said or "queued"
    if code < 0:
        # Killed by a signal: nobody knows how far it had come.
        return Outcome.UNKNOWN, f"ended by signal {-code}" + (f": {said}" if said else "")
    name = _REFUSED.get(code) or _LOCAL.get(code) or f"exit code {code}"
    return Outcome.REJECTED if code in _REFUSED else Outcome.DEFERRED, f"{name}: {said}" if said else name


def _lines(content: Iterable[bytes]) -> Iterator[bytes]:
    """The mail with the line ends of this system, LF: a CRLF may stand across two chunks."""
    held = b""
    for chunk in content:
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""
        if block := chunk[: len(chunk) - len(held)].replace(b"\r\n", b"\n"):
            yield block
    if held:
        yield held


def sendmail_from_url(url: BackendURL, runtime: Runtime | None = None) -> SendmailBackend:
    """``sendmail:`` or ``sendmail:///usr/sbin/sendmail``. Options: ``timeout``, in seconds."""
    url.refuse("username", "host", "port")
    options = url.options(timeout=seconds)
    backend = SendmailBackend(url.path or _DEFAULT_PATH, timeout_s=options.get("timeout", 180.0))
    if options:
        backend.url += f"?timeout={options['timeout']:g}"
    if runtime is not None:
        backend.attach(runtime)
    return backend
