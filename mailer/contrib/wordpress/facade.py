"""``wp_mail`` itself: WordPress' hooks in their order, then the mailer's own, then what became of it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ...errors import ConfigError, DeliveryError, MailerError, MessageError
from ...field import shown
from ...gate import Gate, PathLike
from ...hooks import Hooks
from ...log import FAILED
from ...mailer import AsyncMailer, Mailer
from ...runtime import drive
from .arguments import HeaderLines, decoded, files, mailboxes
from .hooks import HOOKS, PREFIX, WordPressContext, WordPressHooks, WPError
from .letter import PHPMailer

__all__ = ["AsyncWordPress", "WordPress", "wp_mail"]

_ARGUMENTS = ("to", "subject", "message", "headers", "attachments", "embeds")


class _WordPress(WordPressHooks):
    """What both faces do."""

    _takes: ClassVar[type]

    def __init__(
        self,
        mailer: Any,
        *,
        site: str | None = None,
        from_name: str = "WordPress",
        charset: str = "UTF-8",
        folders: PathLike | Iterable[PathLike] = (),
    ) -> None:
        """Make it. Opens nothing; all that it keeps is the mailer's, so there may be several for one.

        Args:
            mailer: What sends.
            site: The host of the site: mail without a sender is from ``wordpress@`` it, if the mailer has no From.
            from_name: The sender's name where none is said.
            charset: What ``wp_mail_charset`` is given. Mail is written in UTF-8.
            folders: From which files are attached by their paths: by default from none.

        Raises:
            ConfigError: A folder is not there, or the mailer is of the other face.
        """
        if mailer is not None and not isinstance(mailer, self._takes):
            kind, takes = type(mailer).__name__, self._takes.__name__
            raise ConfigError(f"{type(self).__name__} needs {takes}, not {kind}")
        self._mailer = mailer
        self._site = (site or "").removeprefix("www.")
        self._from_name = from_name
        self._charset = charset
        self._gate = Gate(folders, max_bytes=None)

    def _current(self) -> Any:
        return self._mailer

    @property
    def hooks(self) -> Hooks:
        """The mailer's registry, which has these hooks by names like ``wordpress.wp_mail``."""
        hooks: Hooks = self._current().hooks
        return hooks

    async def _wp_mail(self, *given: Any) -> bool:
        call = _Call(self._current(), dict(zip(_ARGUMENTS, given, strict=True)))
        try:
            letter = await self._written(call)
            if not isinstance(letter, PHPMailer):
                return letter
            message = letter.message()
        except MailerError as error:
            FAILED(mail_id="wp_mail", error=type(error).__name__, field=getattr(error, "field", None))
            return await call.failed(error)
        try:
            receipt = call.mailer.send(message)
            if inspect.isawaitable(receipt):
                receipt = await receipt
            if receipt.skipped is not None:
                return bool(receipt.ok)
            receipt.raise_unless_ok()
        except MailerError as error:
            return await call.failed(error)
        await call.do("wp_mail_succeeded", call.data)
        return True

    async def _written(self, call: _Call) -> PHPMailer | bool:
        """The letter, before anything is sent; or what a filter has decided."""
        call.data |= await call.apply("wp_mail", dict(call.data))
        decided = await call.apply("pre_wp_mail", None, dict(call.data))
        if decided is not None:
            return bool(decided)
        data = call.data
        for name in ("subject", "message"):
            if not isinstance(data[name], str):
                raise MessageError(f"must be a string, not {type(data[name]).__name__}", field=name)
        letter = PHPMailer(self._gate)
        letter.Subject, letter.Body = decoded(data["subject"]), data["message"]
        lines = HeaderLines.of(data["headers"])
        recipients = mailboxes(data["to"], "to")
        attachments, embeds = files(data["attachments"], "attachments"), _embeds(data["embeds"])
        data |= {
            "to": [address.format() for address in recipients],
            "headers": lines.custom,
            "attachments": [file for _, file in attachments],
        }
        default = self._default_sender(call.mailer)
        letter.From = await call.apply("wp_mail_from", lines.from_[1] or default[1])
        letter.FromName = await call.apply("wp_mail_from_name", lines.from_[0] or default[0])
        lists = (recipients, lines.cc, lines.bcc, lines.reply_to)
        for add, addresses in zip(
            (letter.addAddress, letter.addCC, letter.addBCC, letter.addReplyTo), lists, strict=True
        ):
            for address in addresses:
                add(address)
        kind = await call.apply("wp_mail_content_type", lines.content_type or "text/plain")
        is_bare = kind.startswith("multipart/") and "boundary" not in kind.lower() and lines.boundary
        letter.ContentType = f'{kind}; boundary="{lines.boundary}"' if is_bare else kind
        letter.CharSet = await call.apply("wp_mail_charset", lines.charset or self._charset)
        for pair in lines.custom:
            letter.addCustomHeader(*pair)
        for name, file in attachments:
            letter.addAttachment(file, name)
        for cid, file in embeds:
            await self._embed(letter, call, cid, file)
        await call.apply("phpmailer_init", letter)
        return letter

    async def _embed(self, letter: PHPMailer, call: _Call, cid: str, file: Any) -> None:
        name = getattr(file, "name", "") if hasattr(file, "content_type") else os.path.basename(os.fspath(file))
        given = {"path": file, "cid": cid, "name": name, "encoding": "base64", "type": "", "disposition": "inline"}
        args = {**given, **await call.apply("wp_mail_embed_args", dict(given))}
        if args.keys() != given.keys():
            raise MessageError(f"wp_mail_embed_args: {shown(set(args) - set(given))} is nothing known", field="embeds")
        letter.addEmbeddedImage(
            args["path"], args["cid"], args["name"], type=args["type"], disposition=args["disposition"]
        )

    def _default_sender(self, mailer: Any) -> tuple[str, str]:
        """Name and address of mail that says no From."""
        if mailer.from_:
            return mailer.from_[0].name or self._from_name, mailer.from_[0].addr_spec
        return self._from_name, f"wordpress@{self._site}" if self._site else ""


class _Call:
    """One call of ``wp_mail``: its data as the hooks are told of them, and its context."""

    def __init__(self, mailer: Any, data: dict[str, Any]) -> None:
        self.mailer = mailer
        self.data = data

    def _context(self, arguments: tuple[Any, ...]) -> WordPressContext:
        backend = self.mailer.backend
        return WordPressContext(
            mailer=self.mailer, mail_id="", runtime=backend.runtime, backend=backend, arguments=arguments
        )

    async def apply(self, name: str, value: Any, *arguments: Any) -> Any:
        """Run one of WordPress' filters."""
        hooks: Hooks = self.mailer.hooks
        return await hooks.apply(PREFIX + name, value, self._context(arguments), HOOKS[name].check)

    async def do(self, name: str, argument: Any) -> None:
        """Run one of WordPress' actions."""
        await self.mailer.hooks.do(PREFIX + name, self._context((argument,)))

    async def failed(self, error: MailerError) -> bool:
        """Tell why it was not sent, or not to everybody; False."""
        receipt = error.receipt if isinstance(error, DeliveryError) else None
        await self.do("wp_mail_failed", WPError(message=str(error), data=self.data, error=error, receipt=receipt))
        return False


def _embeds(given: Any) -> list[tuple[str, Any]]:
    """(content id, file): the key it was given by, which may be a number, else its place in the list."""
    if isinstance(given, Mapping):
        given = {str(cid): file for cid, file in given.items()}
    return [(name or str(place), file) for place, (name, file) in enumerate(files(given, "embeds"))]


class WordPress(_WordPress):
    """``wp_mail`` of a blocking mailer."""

    _takes = Mailer

    def __init__(self, mailer: Mailer | None = None, **options: Any) -> None:
        """Make it.

        Args:
            mailer: What sends; None is :func:`mailer.get`, asked for at each call.
            options: ``site``, ``from_name``, ``charset``, ``folders``: see :class:`AsyncWordPress`.
        """
        super().__init__(mailer, **options)

    def _current(self) -> Any:
        if self._mailer is None:
            from ...default import get

            return get()
        return self._mailer

    def wp_mail(
        self, to: Any, subject: str, message: str, headers: Any = "", attachments: Any = (), embeds: Any = ()
    ) -> bool:
        """Send a mail as WordPress' function of this name does.

        Args:
            to: Addresses with commas between, or a list of one each.
            subject: One line.
            message: The body: text, or html if ``Content-Type`` says so; any line ends.
            headers: "Name: value" on lines of a string, or a list of one each.
            attachments: Paths in an allowed folder, on lines of a string or in a list; or name to path.
            embeds: The same for what html shows by ``cid:``; the id is the key, else the place in the list, from 0.

        Returns:
            Whether every recipient was accepted, or what ``pre_wp_mail`` decided. Why it is False is told to
            ``wp_mail_failed``; no failed send raises.

        Raises:
            ConfigError: There is no mailer to send with.
        """
        return drive(self._wp_mail(to, subject, message, headers, attachments, embeds))


class AsyncWordPress(_WordPress):
    """``wp_mail`` of an :class:`~mailer.AsyncMailer`, awaited."""

    _takes = AsyncMailer

    def __init__(self, mailer: AsyncMailer, **options: Any) -> None:
        """Make it. The options are those of the base: ``site``, ``from_name``, ``charset``, ``folders``."""
        super().__init__(mailer, **options)

    async def wp_mail(
        self, to: Any, subject: str, message: str, headers: Any = "", attachments: Any = (), embeds: Any = ()
    ) -> bool:
        """As :meth:`WordPress.wp_mail`."""
        return await self._wp_mail(to, subject, message, headers, attachments, embeds)


def wp_mail(to: Any, subject: str, message: str, headers: Any = "", attachments: Any = (), embeds: Any = ()) -> bool:
    """:meth:`WordPress.wp_mail` by the default mailer, which attaches no file by its path."""
    return WordPress().wp_mail(to, subject, message, headers, attachments, embeds)
