"""Django's backend, which hands its messages to a :class:`~mailer.Mailer`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import django
from django.core.mail.backends.base import BaseEmailBackend

from ...address import Address
from ...envelope import Envelope
from ...errors import AddressError, ConfigError, DeliveryError, MailerError, MessageError, UnsupportedFeature
from ...merge import has_merge
from ...message import Message
from ...runtime import drive
from ...sources import nearest
from .anymail import beside_content
from .anymail_signals import may_go
from .batch import send
from .connection import Connection
from .mailers import InvalidMailerError, mailer_of
from .message import InvalidMessageError, address_of, addresses_of, fields_of
from .project import EMAIL_SETTINGS, OPTIONS, project_says
from .status import note, provider_of

if TYPE_CHECKING:
    import ssl

    from ...mailer import Mailer
    from ...receipt import Receipt
    from ...relay.provider import Provider

__all__ = ["EmailBackend", "invalid", "noted", "ready_made"]

# A group of messages is at most that many, and that part of those before it: see EmailBackend.send_messages.
_MOST_AT_ONCE, _PART_AT_ONCE = 128, 8
#: What Django's own calls while it sends, and this does not: whoever overrides one is to know.
_NOT_CALLED = ("_send", "connection_class", "prep_address", "ssl_context", "write_message")
_IS_STRICT = django.VERSION < (6, 1)  # from then on Django itself says what it does not know


class EmailBackend(BaseEmailBackend):
    """What ``EMAIL_BACKEND`` and ``MAILERS`` name. Threads may share it.

    Attributes:
        fail_silently: Leave out messages that nobody accepted, rather than raise. Wrong messages and settings raise
            all the same, as under Django's own backends.
        mailer: The mailer behind it, for its ``hooks`` and ``backend``.
        host, port, username, password, use_tls, use_ssl, timeout, ssl_keyfile, ssl_certfile: As in Django's own, where
            these say the server; None where a URL does.
        connection: None, or what stands for the connection while it is held open; it has ``sendmail``.
    """

    host: str | None
    port: int | None
    username: str | None
    password: str | None
    use_tls: bool | None
    use_ssl: bool | None
    timeout: float | None
    ssl_keyfile: str | None
    ssl_certfile: str | None
    connection: Connection | None = None
    _partial_connection: Connection | None = None
    #: What its ``options_of`` takes beside OPTIONS.
    own_options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        use_tls: bool | None = None,
        fail_silently: bool = False,
        use_ssl: bool | None = None,
        timeout: float | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        **options: Any,
    ) -> None:
        """Made by Django. Opens no connection.

        Args:
            host, port, username, password, use_tls, use_ssl, timeout, ssl_keyfile, ssl_certfile: As Django's own SMTP
                backend takes them; what each means: :mod:`mailer.smtp_options`.
            fail_silently: See above.
            options: ``url`` or any other setting of a mailer (``plugins``, ``retry``, ``from_`` ...); ``alias``;
                ``local_hostname``, ``auth_in_clear``.

        Raises:
            InvalidMailerError: Something is wrong with them, or with the settings; from Django 6.1 on an unknown option
                is ``InvalidMailer``.
        """
        given: dict[str, Any] = {
            "host": host or None,
            "port": port or None,
            "username": username,
            "password": password,
            "use_tls": use_tls,
            "use_ssl": use_ssl,
            "timeout": timeout,
            "ssl_keyfile": ssl_keyfile,
            "ssl_certfile": ssl_certfile,
        }
        for name in [name for name in options if name in OPTIONS or name in self.own_options]:
            given[name] = options.pop(name)
        given = {name: value for name, value in given.items() if value is not None}
        alias = options.get("alias")
        if _IS_STRICT:
            options.pop("alias", None)
            if options:
                name = next(iter(options))
                raise InvalidMailerError(f"there is no option {name!r}; {nearest(name, OPTIONS)}")
            self.alias = alias
        super().__init__(**options)
        self.fail_silently = fail_silently
        is_alias = alias is not None and not _IS_STRICT
        given = self.options_of(given)
        project = project_says(is_alias=is_alias)
        self._take(given, project, in_mailers=is_alias)
        self.mailer: Mailer = mailer_of(alias or "default", given, is_alias=is_alias, project=project)

    @classmethod
    def options_of(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What makes its mailer, of what it is given: some of ``OPTIONS``. For a subclass that sends elsewhere."""
        return given

    def _take(self, given: dict[str, Any], project: tuple[Any, Any, dict[str, Any]], *, in_mailers: bool) -> None:
        """Keep what Django's own backend keeps, and say what it says."""
        shown: dict[str, Any] = dict.fromkeys(EMAIL_SETTINGS)
        table, short, email = project
        if in_mailers:
            ports = 465 if given.get("use_ssl") else 587 if given.get("use_tls") else 25
            shown |= {"use_tls": False, "use_ssl": False, "port": ports if "host" in given else None}
        elif email and not (table or short or "url" in given):
            shown |= email
            if not _IS_STRICT:
                _warn_of_making_it()
        shown |= {name: value for name, value in given.items() if name in EMAIL_SETTINGS}
        self.__dict__.update(shown)
        if self.use_tls and self.use_ssl:
            what = "keep use_tls where the server offers STARTTLS, use_ssl where it speaks TLS from the first byte"
            if in_mailers:
                text = (
                    f"The 'use_ssl' and 'use_tls' OPTIONS are incompatible. Set at most one of them to True. ({what})"
                )
                raise InvalidMailerError(text, alias=self.alias)
            text = "EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive, so only set one of those settings to True."
            raise InvalidMailerError(f"{text} ({what})")

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in _NOT_CALLED:
            if name in cls.__dict__:
                raise InvalidMailerError(
                    f"{cls.__qualname__}.{name} would not be called: override send_messages, or say it in the"
                    " settings of the mailer (a url has ca_file and more; plug-ins see each mail)"
                )

    # --- the connection -----------------------------------------------------------------------------------------------

    def open(self) -> bool | None:
        """Have a connection ready, and hold it until :meth:`close`.

        Returns:
            Whether one was needed; None if it could not be had, with ``fail_silently``. Only SMTP has connections to
            wait for.

        Raises:
            MailerError: It cannot be had: also what the system or smtplib would raise (:mod:`mailer.smtplib.delivery`).
        """
        if self.connection:
            return False
        if self._partial_connection is not None:
            self._partial_connection.close()
        self._partial_connection = connection = Connection(self)
        try:
            drive(self.mailer.backend.connect())
        except ConfigError:
            raise
        except MailerError as error:
            if self.fail_silently:
                return None
            raise _as_smtplib(error) from error
        self.connection, self._partial_connection = connection, None
        return True

    def close(self) -> None:
        """Let go of the connection; the next message opens a new one."""
        for connection in (self._partial_connection, self.connection):
            if connection is not None:
                connection.close()
        self._partial_connection = self.connection = None
        self.mailer.close()

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What Django's own would use, for code that looks at it; what is used verifies the server as this does."""
        import ssl

        if not (self.ssl_certfile or self.ssl_keyfile):
            return ssl.create_default_context()
        context = ssl.SSLContext(protocol=ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(self.ssl_certfile or "", self.ssl_keyfile)
        return context

    def prep_address(self, address: Any, force_ascii: bool = True) -> str:
        """The address without its name, as it stands in the envelope.

        Raises:
            InvalidMessageError: It is none, or (with ``force_ascii``) its local part is not ASCII.
        """
        try:
            read = address_of(address, "")
            if force_ascii:
                _check_ascii(read)
        except MessageError as error:
            raise invalid(error) from error
        return read.ascii if force_ascii else read.addr_spec

    # --- sending ------------------------------------------------------------------------------------------------------

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Send Django's messages over one connection.

        As with Django, nothing behind a failed one is sent. But from the 17th on they go in groups, each whole on its
        way before its first answer is awaited: at most an eighth of those before it, and 128. Receipts stand on them.

        Args:
            email_messages: Read lazily, once. Those without recipients are passed over.

        Returns:
            How many were accepted for at least one recipient.

        Raises:
            DeliveryError: Nobody accepted a message, unless ``fail_silently``; the first such. Also what smtplib would
                raise (:mod:`mailer.smtplib.delivery`).
            InvalidMessageError: A message cannot be built; those before it are sent, as before whatever an app's own
                iterator or message raises.
            MailerError: As :meth:`mailer.Mailer.send`.
        """
        if not email_messages:
            return 0
        is_opened = None
        if "open" in self.__dict__ or type(self).open is not EmailBackend.open:  # it may fetch the login first
            is_opened = self.open()
            if not self.connection or is_opened is None:
                return 0
        provider = provider_of(self.mailer.backend)
        source, read, count = iter(email_messages), 0, 0
        try:
            while True:
                size = min(max(1, read // _PART_AT_ONCE), _MOST_AT_ONCE)
                group, failure = _taken(source, size)
                read += len(group)
                count += self._sent(group, provider)
                if failure is not None:
                    raise failure
                if not group:
                    break
        finally:
            if is_opened:
                self.connection = None
        return count

    def _sent(self, messages: list[Any], provider: Provider | None) -> int:
        """Send a group, and count what was accepted."""
        count, waiting = 0, list[tuple[Any, Message]]()
        for message in messages:
            try:
                if not may_go(message, provider) or not message.recipients():
                    continue
                step = self._step(message, provider)
            except Exception as error:
                count += self._send_many(waiting, provider)
                if isinstance(error, MessageError):
                    raise invalid(error) from error
                raise
            if isinstance(step, Message):
                waiting.append((message, step))
            else:
                count += self._send_many(waiting, provider)
                waiting = []
                count += self._settle(message, step, provider)
        return count + self._send_many(waiting, provider)

    def _step(self, message: Any, provider: Provider | None) -> Message | Callable[[], Receipt]:
        """The message as ours; or what sends it, where that is not one mail of ours. Raises MessageError."""
        fields = fields_of(message, provider)
        if fields is not None:
            ours = Message(**fields)
            if self.host is not None:  # by Django's words for a server, it is as Django has it
                for address in (*ours.from_, *ours.to, *ours.cc, *ours.bcc):
                    _check_ascii(address)
            return partial(send, self.mailer, ours) if has_merge(ours) else ours
        content, envelope, notes = ready_made(message, provider)
        return lambda: noted(self.mailer.send_raw(content, envelope), notes)

    def _send_many(self, waiting: list[tuple[Any, Message]], provider: Provider | None) -> int:
        if not waiting:
            return 0
        if len(waiting) == 1:
            [(message, ours)] = waiting
            return self._settle(message, partial(self.mailer.send, ours), provider)
        receipts = self.mailer.send_many([ours for _, ours in waiting])
        count, failure = 0, None
        for (message, _), receipt in zip(waiting, receipts, strict=True):  # all of them, whatever the first says
            try:
                count += self._settle(message, receipt.raise_if_none_accepted, provider)
            except MailerError as error:
                note(message, receipt, provider)
                failure = failure or error
        if failure is not None:
            raise failure
        return count

    def _settle(self, message: Any, sent: Callable[[], Receipt], provider: Provider | None) -> bool:
        """Send, or look at what was; put the receipt on the message."""
        try:
            receipt = sent()
        except DeliveryError as error:
            note(message, error.receipt, provider)
            if self.fail_silently:
                return False
            raise _as_smtplib(error) from error.__cause__
        except MessageError as error:
            raise invalid(error) from error
        note(message, receipt, provider)
        return bool(receipt.accepted)


def _taken(source: Iterator[Any], size: int) -> tuple[list[Any], Exception | None]:
    """At most so many of an app's iterator, and what it raised behind them."""
    group: list[Any] = []
    try:
        group.extend(islice(source, size))  # keeps what it has got
    except Exception as error:  # noqa: BLE001 - the app's own, and raised once those are sent
        return group, error
    return group, None


def ready_made(message: Any, provider: Provider | None) -> tuple[bytes, Envelope, tuple[str, ...]]:
    """What ``message()`` gives, who it goes to, and what of the message is left out. Raises MessageError."""
    sender, notes = beside_content(message, provider)
    envelope = Envelope(address_of(sender, "envelope_sender"), addresses_of(message.recipients(), "recipients"))
    return message.message().as_bytes(), envelope, tuple(notes)


def noted(receipt: Receipt, notes: tuple[str, ...]) -> Receipt:
    """The receipt with these notes too."""
    return receipt.with_(notes=(*receipt.notes, *notes)) if notes else receipt


def invalid(error: MessageError) -> MessageError:
    """As apps that were written for Django catch it."""
    if isinstance(error, (ValueError, UnsupportedFeature)):
        return error
    made = InvalidMessageError(str(error))
    made.field = error.field
    return made


def _as_smtplib(error: MailerError) -> MailerError:
    from ...smtplib.delivery import as_smtplib  # smtplib is loaded where something went wrong

    return as_smtplib(error)


def _check_ascii(address: Address) -> None:
    if not address.local.isascii():
        text = f"Invalid address {address.addr_spec!r}: local-part contains non-ASCII characters"
        raise AddressError(f"{text}, which goes with a url alone: smtp://...")


def _warn_of_making_it() -> None:
    """As Django's own does since 6.1, if it was not Django that made it."""
    from django.utils.deprecation import RemovedInDjango2028Warning, warn_about_external_use

    text = "Directly creating EmailBackend instances is deprecated. Use mail.mailers instead."
    warn_about_external_use(text, RemovedInDjango2028Warning, skip_frames=2)
