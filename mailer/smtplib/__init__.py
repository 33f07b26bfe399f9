"""`smtplib`'s classes on our client, for code that cannot change more than an import.

``from mailer import smtplib`` or ``from mailer.smtplib import SMTP`` is the whole migration: same methods and
results, and exceptions that are smtplib's and ours both. Where it is better, and so differs: docs/howto/smtplib.md.

The dialogue's order is the standard library's own (each class is a subclass); what carries it is ours: the line
(:mod:`mailer.smtplib.line`), TLS, the login, what may stand in a command, and the mail's form on the wire.
"""

from __future__ import annotations

import smtplib as std
import socket
import sys
from collections.abc import Sequence
from email.message import Message
from smtplib import quoteaddr, quotedata
from typing import TYPE_CHECKING, Any

from ..errors import TlsError, TransportError
from ..redaction import MASK, forgets_arguments
from ..smtp.auth import Credentials
from ..smtp.data import stuffed
from ..smtp.reply import MAX_LINES, MAX_REPLY_BYTES
from .errors import (
    SMTPAuthenticationError,
    SMTPCertificateError,
    SMTPCommandError,
    SMTPConnectError,
    SMTPDataError,
    SMTPException,
    SMTPHeloError,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTlsError,
    in_our_words,
    our_words,
)
from .form import check_headers, check_line, check_path, content_of
from .line import DEFAULT_TIMEOUT, Line, Sock, caught_at, context_of
from .login import logged_in

if TYPE_CHECKING:
    import ssl

    _Reply = tuple[int, bytes]
    _Source = tuple[bytearray | bytes | str, int]

__all__ = [
    "LMTP",
    "SMTP",
    "SMTP_SSL",
    "SMTPAuthenticationError",
    "SMTPCertificateError",
    "SMTPCommandError",
    "SMTPConnectError",
    "SMTPDataError",
    "SMTPException",
    "SMTPHeloError",
    "SMTPNotSupportedError",
    "SMTPRecipientsRefused",
    "SMTPResponseException",
    "SMTPSenderRefused",
    "SMTPServerDisconnected",
    "SMTPTlsError",
    "quoteaddr",
    "quotedata",
]


def __getattr__(name: str) -> Any:
    """The rest of smtplib's names: ports, ``CRLF`` and what its users should not, but do import."""
    return getattr(std, name)


class SMTP(std.SMTP):
    """A connection to an SMTP server, as :class:`smtplib.SMTP`.

    Args:
        host: The server, maybe with ":port"; "" connects later.
        port: 0 is 25, or what stands in host.
        local_hostname: What EHLO says; None: this machine's name.
        timeout: The limit of each step in seconds; None waits for ever. Not given: `socket.getdefaulttimeout`, else as
            long as RFC 5321 section 4.5.3.2 asks for (5 minutes for most).
        source_address: (IP address, port) of this machine to connect from.

    Attributes:
        auth_in_clear: Log in without TLS to another machine too, so that all on the way can read the password.
    """

    auth_in_clear = False
    _host, _step = "", "the connection"
    _line: Line | None = None
    _is_secret = False

    __init__ = in_our_words(std.SMTP.__init__)
    __exit__ = in_our_words(std.SMTP.__exit__)

    # --- the connection -----------------------------------------------------------------------------------------------

    @property
    def sock(self) -> Any:
        """The socket, or None; one that is set is taken over."""
        return None if self._line is None else Sock(self._line)

    @sock.setter
    def sock(self, sock: socket.socket | None) -> None:
        self._line = None if sock is None else Line(sock, is_patient=self.timeout is None)

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """Return a connected socket; its time-out becomes the limit of each step. For subclasses to replace."""
        self._check_timeout()
        if self.debuglevel > 0:
            self._print_debug("connect: to", (host, port), self.source_address)  # type: ignore[attr-defined]
        caught = caught_at(f"smtp://{host}:{port}", timeout, is_lmtp=self.ehlo_msg == "lhlo")
        return caught or socket.create_connection((host, port), timeout, self.source_address)

    def _get_unix_socket(self, path: str) -> socket.socket:
        self._check_timeout()
        if caught := caught_at(f"lmtp://{path}", self.timeout, is_lmtp=True):
            return caught
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self.timeout is not DEFAULT_TIMEOUT:
                sock.settimeout(self.timeout)
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return sock

    def _check_timeout(self) -> None:
        if self.timeout is not None and not self.timeout:
            raise ValueError("Non-blocking socket (timeout=0) is not supported")

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> _Reply:
        """Connect, and return the greeting. Raises OSError as the system says it."""
        if source_address:
            self.source_address = source_address
        if not port and host.count(":") == 1:
            host, _, digits = host.partition(":")
            try:
                port = int(digits)
            except ValueError:
                raise OSError("nonnumeric port") from None
        port = port or self.default_port
        sys.audit("smtplib.connect", self, host, port)
        self._begin(host, self._get_socket(host, port, self.timeout))
        return self._greeting()

    def _begin(self, host: str, sock: socket.socket) -> None:
        self.close()
        self._forget()
        self._host, self.sock = host, sock

    def _greeting(self) -> _Reply:
        self._step = "the connection"
        code, text = self.getreply()
        if self.debuglevel > 0:
            self._print_debug("connect:", repr(text))  # type: ignore[attr-defined]
        return code, text

    def _forget(self) -> None:
        """RFC 3207 section 4.2, and a new connection: nothing is known of the server."""
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False
        self.command_encoding = "ascii"

    def close(self) -> None:
        """Close the connection."""
        line, self._line = self._line, None
        if line is not None:
            line.stream.close()

    def starttls(  # type: ignore[override]
        self, keyfile: str | None = None, certfile: str | None = None, context: ssl.SSLContext | None = None
    ) -> _Reply:
        """Go on under TLS; the server's certificate is verified unless the context says otherwise.

        Raises:
            SMTPTlsError: The handshake failed, or clear text came behind the server's 220.
            SMTPNotSupportedError, SMTPResponseException: The server does not offer it, or refused.
        """
        context = context_of(keyfile, certfile, context)
        self.ehlo_or_helo_if_needed()
        if not self.has_extn("starttls"):
            raise SMTPNotSupportedError("STARTTLS extension not supported by server.")
        code, text = self.docmd("STARTTLS")
        if code != 220:
            raise SMTPResponseException(code, text)
        if self._line is not None and self._line.has_spoken:
            # RFC 3207 section 6: whatever came in clear behind the 220 was put there by someone in the middle.
            self.close()
            raise SMTPTlsError(f"{self._host} sent clear text after its 220 to STARTTLS: injected by an attacker?")
        self._handshake(context)
        self._forget()
        return code, text

    def _handshake(self, context: ssl.SSLContext) -> None:
        if self._line is None:
            raise SMTPServerDisconnected("please run connect() first")
        try:
            self._line.start_tls(context, self._host)
        except TransportError as error:
            self.close()
            if not isinstance(error, TlsError):
                raise SMTPServerDisconnected(str(error)) from error
            is_about_it = hasattr(error.__cause__, "verify_code")
            raise (SMTPCertificateError if is_about_it else SMTPTlsError)(str(error)) from error

    # --- lines --------------------------------------------------------------------------------------------------------

    def send(self, s: Any) -> None:
        """Send it as it is; text in the encoding of commands."""
        self._debug("send:", s)
        line = self._line
        if line is None:
            raise SMTPServerDisconnected("please run connect() first")
        data = s.encode(self.command_encoding) if isinstance(s, str) else bytes(memoryview(s))
        sys.audit("smtplib.send", self, data)
        try:
            line.send(data, "the mail")
        except TransportError as error:
            self.close()
            raise SMTPServerDisconnected(f"Server not connected: {error}") from error

    def _debug(self, what: str, said: object) -> None:
        if self.debuglevel > 0:
            self._print_debug(what, MASK if self._is_secret else repr(said))  # type: ignore[attr-defined]

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Send a command line.

        Raises:
            SMTPCommandError: It holds a line end or NUL. Nothing is sent.
            SMTPNotSupportedError: It is a login, and there is no TLS.
        """
        line = f"{cmd} {args}" if args else cmd
        verb = line.partition(" ")[0].upper()
        check_line(line, is_secret=self._is_secret or verb == "AUTH")
        if verb == "AUTH":
            if self._line is not None and not (self._line.is_private(self._host) or self.auth_in_clear):
                raise SMTPNotSupportedError(
                    f"{self._host}: there is no TLS, so the password is not sent: call starttls() first, use SMTP_SSL,"
                    " or set auth_in_clear = True"
                )
            self._is_secret = True
        self._step = "AUTH" if self._is_secret else verb
        self.send(f"{line}\r\n")

    def getreply(self) -> _Reply:
        """The next reply: its code, -1 if there is none, and its text, of several lines parted by LF.

        Raises:
            SMTPServerDisconnected: The connection ended, or the reply was not whole in time.
            SMTPResponseException: It is longer than can be (500).
        """
        if self._line is None:
            raise SMTPServerDisconnected("please run connect() first")
        deadline, lines, size = self._line.until(self._step), list[bytes](), 0
        while True:
            try:
                line = self._line.read_line(deadline)
            except TransportError as error:
                self.close()
                raise SMTPServerDisconnected(f"Connection unexpectedly closed: {error}") from error
            if line == b"":
                self.close()
                raise SMTPServerDisconnected("Connection unexpectedly closed")
            size += len(line or b"")
            if line is None or len(lines) >= MAX_LINES or size > MAX_REPLY_BYTES:
                self.close()
                raise SMTPResponseException(500, "Line too long." if line is None else "Reply too long.")
            self._debug("reply:", line)
            lines.append(line[4:].strip(b" \t\r\n"))
            code = int(line[:3]) if line[:3].isdigit() else -1
            if code == -1 or line[3:4] != b"-":
                break
        text = b"\n".join(lines)
        self._is_secret = self._is_secret and code == 334
        return code, text

    # --- commands -----------------------------------------------------------------------------------------------------

    ehlo = in_our_words(std.SMTP.ehlo)
    ehlo_or_helo_if_needed = in_our_words(std.SMTP.ehlo_or_helo_if_needed)
    auth = in_our_words(std.SMTP.auth)

    def mail(self, sender: str, options: Sequence[str] = ()) -> _Reply:
        """MAIL. Raises SMTPCommandError if the sender would break out of its brackets."""
        check_path(sender)
        with our_words():
            return super().mail(sender, options)

    def rcpt(self, recip: str, options: Sequence[str] = ()) -> _Reply:
        """RCPT. Raises SMTPCommandError if the recipient would break out of its brackets."""
        check_path(recip)
        return super().rcpt(recip, options)

    def data(self, msg: Any) -> _Reply:
        """DATA and the mail, every line end as CRLF: a bare CR or LF is a second mail to some servers.

        Raises:
            SMTPDataError: The server does not want it.
            SMTPServerDisconnected: Its text says so if the mail may have arrived all the same.
        """
        content = stuffed(content_of(msg))
        code, text = self.docmd("DATA")
        if code != 354:
            raise SMTPDataError(code, text)
        self.send(content)
        self._step = "the final dot"
        try:
            return self._outcome()
        except SMTPServerDisconnected as error:
            raise SMTPServerDisconnected(f"{error}; the whole mail had been sent: it may have arrived") from error

    def _outcome(self) -> _Reply:
        return self.getreply()

    def sendmail(
        self,
        from_addr: str,
        to_addrs: str | Sequence[str],
        msg: Any,
        mail_options: Sequence[str] = (),
        rcpt_options: Sequence[str] = (),
    ) -> dict[str, _Reply]:
        """Send a mail; return the recipients that were refused, with code and text. As in smtplib."""
        recipients = [to_addrs] if isinstance(to_addrs, str) else list(dict.fromkeys(to_addrs))
        for address in (from_addr, *recipients):
            check_path(address)  # all of them before MAIL, so that nothing is left begun
        with our_words():
            return super().sendmail(from_addr, recipients, content_of(msg), mail_options, rcpt_options)

    def send_message(
        self,
        msg: Message[Any, Any],
        from_addr: str | None = None,
        to_addrs: str | Sequence[str] | None = None,
        mail_options: Sequence[str] = (),
        rcpt_options: Sequence[str] = (),
    ) -> dict[str, _Reply]:
        """Send a message of `email`. As in smtplib; SMTPCommandError if a header of it holds another."""
        check_headers(msg)
        with our_words():
            return super().send_message(msg, from_addr, to_addrs, mail_options, rcpt_options)

    @forgets_arguments
    def login(self, user: str, password: str, *, initial_response_ok: bool = True) -> _Reply:
        """Log in by the strongest mechanism that the server offers; if it is refused, by the next of another kind.

        Args:
            user: The user name.
            password: The password. It is not kept.
            initial_response_ok: Begin with the AUTH command itself where the mechanism can.

        Raises:
            SMTPNotSupportedError: The server has no AUTH, or there is no TLS.
            SMTPAuthenticationError: The last mechanism's refusal.
            SMTPException: The server has no mechanism that we have.
        """
        self.ehlo_or_helo_if_needed()
        if not self.has_extn("auth"):
            raise SMTPNotSupportedError("SMTP AUTH extension not supported by server.")
        binding = None if self._line is None else self._line.stream.binding
        credentials = Credentials(username=user, password=password, host=self._host, binding=binding)
        return logged_in(self, credentials, initial_response_ok=initial_response_ok)


class SMTP_SSL(SMTP):  # noqa: N801 - smtplib's name
    """The same with TLS from the first byte, port 465; its certificate is verified unless context says otherwise."""

    default_port = std.SMTP_SSL_PORT

    def __init__(
        self,
        host: str = "",
        port: int = 0,
        local_hostname: str | None = None,
        keyfile: str | None = None,
        certfile: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        source_address: _Source | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.context = context_of(keyfile, certfile, context)
        super().__init__(host, port, local_hostname, timeout, source_address)

    def _begin(self, host: str, sock: socket.socket) -> None:
        super()._begin(host, sock)
        if self._line is not None and not self._line.stream.is_secure:
            self._handshake(self.context)


from .lmtp import LMTP  # noqa: E402 - it is made of SMTP
