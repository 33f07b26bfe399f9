"""``alerts``: tells somebody when mail fails: a webhook, an address by another mailer, a function. Not too often."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from ..aside import Aside
from ..backends.base import Backend
from ..backends.url import backend_from_url
from ..clock import monotonic_s
from ..errors import MailerError, ProtocolError
from ..hooks import Hooks
from ..hookspecs import Context
from ..log import worded
from ..mailer import Mailer
from ..message import Message
from ..plugin import Plugin, PluginSettings
from ..registered import is_async
from ..runtime import BlockingRuntime, Lock, drive
from ..settled import ACTION_OF

__all__ = ["Alert", "Alerts", "AlertsSettings"]

What = Literal["failed", "deferred", "rejected", "unknown"]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ROOM = 20  # alerts behind one that does not come to an end


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What is told. No recipient, no subject, nothing of a mail, and nobody's words but ours.

    Attributes:
        what: The worst that happened to the mail it is about: "failed", "unknown", "rejected" or "deferred".
        mail_id: That mail's.
        backend: Its URL, secrets masked; "" before one was chosen.
        outcomes: Outcome to how many recipients had it.
        codes: The reply codes of those who did not get it, each once: "550 5.1.1".
        cause: The class of the error: "ConnectError", or "".
        more: How many further mails failed since the last alert.
    """

    what: What
    mail_id: str
    backend: str = ""
    outcomes: Mapping[str, int]
    codes: tuple[str, ...] = ()
    cause: str = ""
    more: int = 0

    @property
    def text(self) -> str:
        """In words, one line."""
        told = [f"{count} {outcome}" for outcome, count in self.outcomes.items()]
        parts = [
            f"{self.mail_id} by {self.backend or 'no backend'}",
            ", ".join(told),
            ", ".join(self.codes),
            self.cause,
        ]
        said = "; ".join([part for part in parts if part])
        more = f" ({self.more} more since the last alert)" if self.more else ""
        return f"mail {self.what}: {said}{more}"

    def to_dict(self) -> dict[str, Any]:
        """As a webhook is given it; "text" is what chat services show."""
        return {
            "text": self.text,
            "what": self.what,
            "mail_id": self.mail_id,
            "backend": self.backend,
            "outcomes": dict(self.outcomes),
            "codes": list(self.codes),
            "cause": self.cause,
            "more": self.more,
        }


class AlertsSettings(PluginSettings):
    """Settings of ``alerts``."""

    webhook: SecretStr | None = Field(
        None, description="A URL that is sent JSON by POST, with a `text` as chat services take it: https."
    )
    url: SecretStr | None = Field(
        None, description="Another backend, by which an alert is mailed; with `to` and `sender`."
    )
    to: tuple[str, ...] = Field((), description="Who gets that mail: addresses.")
    sender: str | None = Field(None, description="The From of that mail.")
    call: Callable[[Alert], Any] | None = Field(None, description="A function of your own, of an `Alert`; plain.")
    on: tuple[What, ...] = Field(
        ("failed", "unknown", "rejected", "deferred"),
        description="What is told: `failed` is an error before anything was sent; all of them, unless set.",
    )
    every_s: float = Field(300.0, ge=0, description="Seconds from one alert to the next; what is between is counted.")
    wait_s: float = Field(5.0, ge=0, le=600, description="For how many seconds a send, or closing, waits for it.")
    timeout_s: float = Field(10.0, gt=0, le=600, description="For how many seconds a webhook may keep us.")
    _backend: Backend | None = PrivateAttr(None)
    _message: Message | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> AlertsSettings:
        if self.webhook is None and self.url is None and self.call is None:
            raise ValueError("webhook: say who is told, by webhook, url or call")
        if self.webhook is not None and not _is_safe(self.webhook.get_secret_value()):
            raise ValueError("webhook: must be an https URL, in ASCII")
        if self.call is not None and is_async(self.call):
            raise ValueError("call: must be a plain function: it is called in a thread")
        if self.url is None:
            if self.to or self.sender:
                raise ValueError("url: to and sender are of a mail, which needs a backend's url")
            return self
        if not self.to or self.sender is None:
            raise ValueError("to: a mail needs both to and sender")
        try:
            self._message = Message(from_=self.sender, to=self.to)
            self._backend = backend_from_url(self.url.get_secret_value())
        except MailerError as error:
            raise ValueError(f"{'to, sender' if self._message is None else 'url'}: {error}") from None
        return self

    @property
    def backend(self) -> Backend | None:
        """What mails."""
        return self._backend

    def message(self, alert: Alert) -> Message:
        """The mail of an alert."""
        assert self._message is not None  # noqa: S101 - for type checkers
        body = "\n".join([f"{name}: {value}" for name, value in alert.to_dict().items()])
        # RFC 3834 section 5: nobody's out-of-office notice is to come back.
        headers = [("Auto-Submitted", "auto-generated")]
        return self._message.with_(subject=f"mail {alert.what}", text=f"{body}\n", headers=headers)


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_own = parts.scheme == "http" and parts.hostname in _LOOPBACK
        return (
            url.isascii()
            and url.isprintable()
            and " " not in url
            and bool((parts.scheme == "https" and parts.hostname) or is_own)
        )
    except ValueError:
        return False


class Alerts(Plugin[AlertsSettings]):
    """Tells of mails that failed, once in ``every_s`` at most.

    What becomes of an alert changes nothing and alerts nobody.

    Attributes:
        monotonic: Seconds on a clock that never goes back.
    """

    name = "alerts"
    monotonic: Callable[[], float] = staticmethod(monotonic_s)

    def register(self, hooks: Hooks) -> None:
        """Hear of what is to be told."""
        self._aside = Aside(self.name, wait_s=self.settings.wait_s, room=_ROOM)
        self._lock = Lock()
        self._last: float | None = None
        self._more = 0
        for what in dict.fromkeys(self.settings.on):
            hooks.add_action(what, partial(self.hear, what))

    def hear(self, what: What, context: Context) -> Awaitable[None] | None:
        """Tell of a mail, or count it."""
        receipt = context.receipt
        if receipt is not None and what != self._worst(context):
            return None
        with self._lock:
            now = self.monotonic()
            if self._last is not None and now - self._last < self.settings.every_s:
                self._more += 1
                return None
            self._last, more, self._more = now, self._more, 0
        outcomes: dict[str, int] = {}
        codes: dict[str, None] = {}
        for result in receipt.results if receipt else ():
            outcomes[result.outcome.value] = outcomes.get(result.outcome.value, 0) + 1
            if code := " ".join([str(one) for one in (result.code, result.enhanced_code) if one]):
                codes[code] = None
        cause = context.error or (receipt.cause if receipt else None)
        alert = Alert(
            what=what,
            mail_id=context.mail_id,
            backend=worded(str(context.backend or "")),
            outcomes=outcomes,
            codes=tuple(codes),
            cause=type(cause).__name__ if cause else "",
            more=more,
        )
        return self._aside.do(context.runtime, partial(self._tell, alert))

    def _worst(self, context: Context) -> str | None:
        """Of what is told, the first that this mail has: one mail is one alert."""
        assert context.receipt is not None  # noqa: S101 - for type checkers
        names = {ACTION_OF[result.outcome] for result in context.receipt.results}
        return next(
            (name for name in ("unknown", "rejected", "deferred") if name in names and name in self.settings.on), None
        )

    # --- aside --------------------------------------------------------------------------------------------------------

    def _tell(self, alert: Alert) -> None:
        """By every way there is; the first failure is raised behind them all."""
        ways = [
            (self.settings.webhook, self._post),
            (self.settings.backend, self._mail),
            (self.settings.call, lambda alert: self.settings.call(alert) if self.settings.call else None),
        ]
        failed: Exception | None = None
        for given, tell in ways:
            if given is None:
                continue
            try:
                tell(alert)
            except Exception as error:  # noqa: BLE001 - anybody's code
                failed = failed or error
        if failed is not None:
            raise failed

    def _post(self, alert: Alert) -> None:
        assert self.settings.webhook is not None  # noqa: S101 - for type checkers
        drive(_posted(self.settings.webhook.get_secret_value(), alert, self.settings.timeout_s))

    def _mail(self, alert: Alert) -> None:
        # A mailer of its own, without plug-ins: an alert that fails is no mail that failed.
        with Mailer(self.settings.backend, plugins="none", retry=None) as mailer:
            mailer.send(self.settings.message(alert))

    def close(self) -> None:
        """Wait for what is being told."""
        self._aside.close()


async def _posted(url: str, alert: Alert, timeout_s: float) -> None:
    runtime = BlockingRuntime()
    http = runtime.http()
    try:
        answer = await http.send(
            "POST",
            url,
            content=json.dumps(alert.to_dict()).encode(),
            headers=[("Content-Type", "application/json")],
            deadline=runtime.now() + timeout_s,
        )
    finally:
        await http.aclose()
    if not 200 <= answer.status < 300:
        raise ProtocolError(f"alerts: the webhook answered {answer.status}")
