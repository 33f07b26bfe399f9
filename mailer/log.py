"""The log: every event that the library tells, by the standard library's ``logging``.

Each is a constant here: a logger (``mailer.<noun>``), a level, a name that does not change, and a text. A record has
the name in ``mailer_event`` and each of its fields as ``mailer_<field>``, to filter and count by::

    if SENDING.wanted():
        SENDING(mail_id=mail.id, backend=str(backend), recipients=3)

The rules:

- Nothing is computed before ``wanted()``, so that a log nobody reads costs one look-up for each place.
- Secrets are at no level. Addresses, subjects and peers' words about a mail are at DEBUG only; content never, but its
  size.
- Texts from outside are escaped: a line break or a terminal's escape sequence in one forges no line.
- What goes wrong with a mail is told by receipt or exception, so nothing about it is above WARNING: a handler that
  mails errors must not call itself. Only a hook that raises, the app's own fault, is an ERROR, with its traceback;
  and at the start a plug-in that the app can do without.
- Nothing that a handler or filter does reaches the send.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import Outcome
from .field import visible
from .redaction import RedactingFilter, redacted

if TYPE_CHECKING:
    from .receipt import Receipt

__all__ = [
    "ACTION_FAILED",
    "ACTION_NESTED",
    "ATTEMPT",
    "BACKGROUND_FAILED",
    "BACKGROUND_LEFT",
    "CIRCUIT",
    "CLOSED",
    "DIALOGUE",
    "EVENTS",
    "Event",
    "FAILED",
    "FILTER_SKIPPED",
    "HOOK_CALLED",
    "LOGIN",
    "NO_SETTING",
    "OPENED",
    "OUTCOME",
    "PLUGIN_DISABLED",
    "REQUEST",
    "RESULT",
    "RETRY",
    "REUSED",
    "SEALED",
    "SECURED",
    "SENDING",
    "SKIPPED",
    "STORE_FAILED",
    "TOKEN",
    "CREDENTIALS",
    "TOKEN_NOT_KEPT",
    "TROUBLE",
    "WEBHOOK_REFUSED",
    "counts",
    "log_outcome",
    "logger",
    "worded",
]

#: What is kept of a text: a reply or a line of the dialogue is rarely longer.
_MAX_CHARS = 1000
_FILTER = RedactingFilter()

# A library says nothing where nobody listens (logging's own how-to).
logging.getLogger("mailer").addHandler(logging.NullHandler())


def logger(noun: str) -> logging.Logger:
    """The logger ``mailer.<noun>``, with the redacting filter on it; for plug-ins too."""
    found = logging.getLogger(f"mailer.{noun}")
    found.addFilter(_FILTER)  # once: adding it again changes nothing
    return found


class Event:
    """One kind of event. Called with its fields, it is logged.

    Attributes:
        name: "mail.sealed"; never changes.
        level: As ``logging`` has it.
        text: With ``%(field)s`` for each field.
    """

    __slots__ = ("level", "logger", "name", "text")

    def __init__(self, noun: str, level: int, name: str, text: str) -> None:
        self.logger = logger(noun)
        self.level = level
        self.name = name
        self.text = f"{name}: {text}"

    def wanted(self) -> bool:
        """Whether anybody listens. Ask before computing the fields."""
        return self.logger.isEnabledFor(self.level)

    def __call__(self, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        """Log it. Never raises, whatever the handlers do."""
        shown = {name: _shown(value) for name, value in fields.items()}
        extra = {"mailer_event": self.name, **{f"mailer_{name}": value for name, value in shown.items()}}
        words = {name: "-" if value is None else value for name, value in shown.items()}
        try:
            self.logger.log(self.level, self.text, words, extra=extra, exc_info=exc_info, stacklevel=2)
        except Exception as error:  # noqa: BLE001 - anybody's handler; a mail must not be lost by it, nor sent twice
            if logging.raiseExceptions and sys.stderr is not None:
                print(f"mailer: a log handler or filter raised {type(error).__name__}", file=sys.stderr)


def worded(text: str) -> str:
    """The text as a log may have it: no secret that looks like one, one line of visible ASCII, not too long."""
    text = visible(redacted(text))
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}..."


def _shown(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float)) else worded(str(value))


# --- mailer.mail: a mail's way ----------------------------------------------------------------------------------------

SEALED = Event("mail", logging.DEBUG, "mail.sealed", "%(mail_id)s, %(size_bytes)d octets for %(recipients)d recipients")
SENDING = Event("mail", logging.DEBUG, "mail.sending", "%(mail_id)s by %(backend)s to %(recipients)d recipients")
ATTEMPT = Event(
    "mail",
    logging.DEBUG,
    "mail.attempt",
    "%(mail_id)s by %(backend)s in %(duration_s).3f s: %(accepted)d accepted, %(deferred)d deferred,"
    " %(rejected)d rejected, %(unknown)d unknown; cause: %(error)s: %(reason)s",
)
RESULT = Event(
    "mail",
    logging.DEBUG,
    "mail.result",
    "%(mail_id)s to %(recipient)s: %(outcome)s: %(code)s %(enhanced_code)s %(reason)s",
)
_OUTCOME_TEXT = (
    "%(mail_id)s by %(backend)s: %(accepted)d accepted, %(deferred)d deferred, %(rejected)d rejected,"
    " %(unknown)d unknown, %(attempts)d attempts; code: %(code)s %(enhanced_code)s; cause: %(error)s"
)
#: Every recipient accepted; TROUBLE is the same event where one did not.
OUTCOME = Event("mail", logging.INFO, "mail.outcome", _OUTCOME_TEXT)
TROUBLE = Event("mail", logging.WARNING, "mail.outcome", _OUTCOME_TEXT)
RETRY = Event(
    "mail",
    logging.INFO,
    "mail.retry",
    "%(mail_id)s, attempt %(attempt)d in %(delay_s).3f s for %(recipients)d recipients",
)
SKIPPED = Event("mail", logging.INFO, "mail.skipped", "%(mail_id)s is not sent: a filter decided so")
FAILED = Event("mail", logging.WARNING, "mail.failed", "%(mail_id)s is not sent: %(error)s, field: %(field)s")

# --- mailer.connection ------------------------------------------------------------------------------------------------

OPENED = Event("connection", logging.INFO, "connection.opened", "#%(connection)d to %(host)s:%(port)d at %(peer)s")
REUSED = Event("connection", logging.DEBUG, "connection.reused", "#%(connection)d for %(mail_id)s")
SECURED = Event("connection", logging.INFO, "connection.secured", "#%(connection)d by %(tls)s, %(cipher)s")
LOGIN = Event("connection", logging.INFO, "connection.login", "#%(connection)d as %(username)s by %(mechanism)s")
CLOSED = Event("connection", logging.DEBUG, "connection.closed", "#%(connection)d to %(peer)s")

# --- mailer.smtp and mailer.http: what is said ------------------------------------------------------------------------

DIALOGUE = Event("smtp", logging.DEBUG, "smtp.line", "#%(connection)d %(side)s: %(line)s")
REQUEST = Event("http", logging.DEBUG, "http.request", "%(method)s %(url)s: %(status)s in %(duration_s).3f s")

# --- mailer.oauth2 ----------------------------------------------------------------------------------------------------

TOKEN = Event("oauth2", logging.INFO, "token.new", "%(host)s gave an access token for %(lifetime_s).0f s")
TOKEN_NOT_KEPT = Event("oauth2", logging.WARNING, "token.unsaved", "%(path)s cannot be written: %(reason)s")

# --- mailer.aws -------------------------------------------------------------------------------------------------------

CREDENTIALS = Event("aws", logging.INFO, "credentials.new", "AWS credentials come from %(source)s")

# --- mailer.hooks -----------------------------------------------------------------------------------------------------

ACTION_FAILED = Event("hooks", logging.ERROR, "hook.failed", "action %(hook)r of %(owner)s raised %(reason)s")
FILTER_SKIPPED = Event("hooks", logging.ERROR, "filter.skipped", "%(hook)r of %(owner)s %(reason)s: left out")
ACTION_NESTED = Event(
    "hooks", logging.WARNING, "hook.nested", "action %(hook)r of %(owner)s is not called from within itself"
)
HOOK_CALLED = Event(
    "hooks",
    logging.DEBUG,
    "hook.called",
    "%(kind)s %(hook)r of %(owner)s, priority %(priority)d, for %(mail_id)s: %(duration_s).6f s, raised: %(error)s",
)

# --- mailer.webhooks --------------------------------------------------------------------------------------------------

WEBHOOK_REFUSED = Event(
    "webhooks", logging.WARNING, "webhook.refused", "a call of %(provider)s is answered %(status)d: %(reason)s"
)

# --- mailer.background ------------------------------------------------------------------------------------------------

BACKGROUND_LEFT = Event(
    "background",
    logging.WARNING,
    "background.left",
    "%(mails)d mails were not sent within %(grace_s)g s of the shutdown: %(deferred)d recipients deferred,"
    " %(unknown)d unknown",
)
BACKGROUND_FAILED = Event("background", logging.WARNING, "background.failed", "a send broke off: %(error)s")

# --- mailer.plugins ---------------------------------------------------------------------------------------------------

PLUGIN_DISABLED = Event("plugins", logging.ERROR, "plugin.disabled", "plug-in %(plugin)s is not on: %(reason)s")
STORE_FAILED = Event(
    "plugins",
    logging.WARNING,
    "store.failed",
    "plug-in %(plugin)s goes on without its store for %(rest_s)g s: %(reason)s",
)
CIRCUIT = Event("plugins", logging.WARNING, "circuit", "the circuit of %(backend)s is %(state)s")


# --- mailer.settings --------------------------------------------------------------------------------------------------

NO_SETTING = Event("settings", logging.WARNING, "setting.unknown", "there is no setting %(variable)s; %(remedy)s")

#: All of them, in the order of a mail's way.
EVENTS = (
    NO_SETTING,
    PLUGIN_DISABLED,
    STORE_FAILED,
    SEALED,
    SENDING,
    OPENED,
    SECURED,
    TOKEN,
    TOKEN_NOT_KEPT,
    CREDENTIALS,
    LOGIN,
    REUSED,
    DIALOGUE,
    REQUEST,
    ATTEMPT,
    RETRY,
    RESULT,
    OUTCOME,
    TROUBLE,
    CIRCUIT,
    SKIPPED,
    FAILED,
    HOOK_CALLED,
    FILTER_SKIPPED,
    ACTION_FAILED,
    ACTION_NESTED,
    WEBHOOK_REFUSED,
    BACKGROUND_LEFT,
    BACKGROUND_FAILED,
    CLOSED,
)

# --- of receipts ------------------------------------------------------------------------------------------------------


def counts(outcomes: Mapping[Outcome, int]) -> dict[str, Any]:
    """How many recipients had each outcome, as fields."""
    return {outcome.value: outcomes.get(outcome, 0) for outcome in Outcome}


def log_outcome(receipt: Receipt, *, is_all_well: bool) -> None:
    """Tell what became of a mail, and at DEBUG for whom.

    Args:
        receipt: After all attempts.
        is_all_well: Every recipient accepted.
    """
    event = OUTCOME if is_all_well else TROUBLE
    if event.wanted():
        bad = next((result for result in receipt.results if result.outcome is not Outcome.ACCEPTED), None)
        cause = None if is_all_well else receipt.cause
        event(
            mail_id=receipt.id,
            backend=receipt.backend,
            **counts(Counter(result.outcome for result in receipt.results)),
            attempts=len(receipt.attempts),
            code=None if bad is None else bad.code,
            enhanced_code=None if bad is None else bad.enhanced_code,
            error=None if cause is None else type(cause).__name__,
        )
    if RESULT.wanted():
        for result in receipt.results:
            RESULT(
                mail_id=receipt.id,
                recipient=result.address.addr_spec,
                outcome=result.outcome.value,
                code=result.code,
                enhanced_code=result.enhanced_code,
                reason=result.text,
            )
