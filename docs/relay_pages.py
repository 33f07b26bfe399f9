"""The pages of the relay services, made of what the code says: a page for each, and a page of all beside each other.

Sphinx makes them anew at each build (``conf.py``); they are not kept. ``python docs/relay_pages.py`` writes them alone.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

from mailer import Features
from mailer.features import Limits, is_advice
from mailer.relay import PROVIDERS
from mailer.relay.meaning import Meaning
from mailer.relay.provider import Provider

__all__ = ["FEATURES", "LIMITS", "Relay", "pages", "relays", "write"]

#: What each of ``mailer.Features`` is, in the words of a reader.
FEATURES = {
    "attachments": "Attachments",
    "inline": "Images within the html",
    "reply_to": "Reply-To",
    "headers": "Headers of your own",
    "alternatives": "Further alternatives, such as a calendar's invitation",
    "amp_html": "AMP",
    "sender": "Sender",
    "return_path": "Envelope sender of your own",
    "raw": "Ready-made mail (refused by any policy), and bytes that a filter changed",
    "send_at": "Scheduled sending",
    "merge": "Merge fields, merged there",
    "provider_template": "Templates that are stored there",
    "require_tls": "REQUIRETLS",
    "tags": "Tags",
    "metadata": "Metadata",
    "tracking": "Tracking of opens and clicks, by mail",
    "priority": "Priority",
    "message_id": "Message-ID of your own",
    "date": "Date of your own",
    "idempotency_key": "Idempotency key",
    "notify": "Delivery status notifications",
    "deliver_by": "DELIVERBY",
    "mt_priority": "MT-PRIORITY",
    "provider_options": "Options of its own",
}

#: What each of ``mailer.features.Limits`` is, and how it is shown.
LIMITS = {
    "recipients": "recipients in one mail",
    "to": "addresses in To",
    "cc": "addresses in Cc",
    "bcc": "addresses in Bcc",
    "reply_to": "addresses in Reply-To",
    "tags": "tags in one mail",
    "size_bytes": "bytes in one mail",
    "schedule_s": "hours ahead in `send_at`",
}

_STATES = {
    "carried": "carried",
    "refused": "refused",
    "noted": "noted",
    "merged": "merged here",
}
_LEGEND = (
    "Refused: before anything is sent; the policy `degrade` leaves it out. Noted: left out, with a line in"
    " `receipt.notes`. Merged here: a mail for each recipient."
)
_CELLS = {"carried": "yes", "refused": "no", "noted": "noted", "merged": "here"}


@dataclass(frozen=True, slots=True)
class Relay:
    """One service, as its page shows it.

    Attributes:
        provider: Its class.
        schemes: Those of its URLs, the first as its name.
        title: What it is called.
        link: To its own page of the API.
        prose: What its module says of it, as Markdown.
    """

    provider: type[Provider]
    schemes: tuple[str, ...]
    title: str
    link: str
    prose: str

    @classmethod
    def of(cls, provider: type[Provider], schemes: tuple[str, ...]) -> Relay:
        """Read its module's docstring: "Title: link", a blank line, and prose."""
        first, _, rest = inspect.cleandoc(inspect.getmodule(provider).__doc__ or "").partition("\n\n")
        title, _, link = first.partition(": ")
        return cls(provider, schemes, title, link.strip(), _markdown(rest))

    @property
    def name(self) -> str:
        """As its page is called."""
        return self.schemes[0].replace("+", "-")

    def state(self, feature: str, features: Features | None = None) -> str:
        """What becomes of it by the default policy: "carried", "refused", "noted" or "merged"."""
        if getattr(features or self.provider.features, feature):
            return "carried"
        return "merged" if feature == "merge" else "noted" if is_advice(feature) else "refused"

    def limit(self, field: str) -> str:
        """How much it takes, or ""."""
        value = getattr(self.provider.limits, field)
        return "" if value is None else f"{value // 3600 if field == 'schedule_s' else value:,}"

    @property
    def rate(self) -> str:
        """How often it is asked, "2/s"; "" where it publishes no rate."""
        return self.provider.rate

    def meaning_of_option(self, option: str) -> str:
        """What the class, or one that it is made of, says of its attribute or its argument; "" if nothing does."""
        texts = [text for kind in self.provider.__mro__ for text in (kind.__doc__, vars(kind).get("__init__").__doc__)]
        found = [re.search(rf"^( +){option}: (.+(?:\n\1    .+)*)", text or "", re.M) for text in texts]
        return next((_markdown(" ".join(match[2].split())) for match in found if match), "")


def relays() -> list[Relay]:
    """All that there are, in the order of their titles."""
    schemes: dict[type[Provider], list[str]] = {}
    for scheme, (module, kind) in PROVIDERS.items():
        provider = getattr(importlib.import_module(f"mailer.relay.{module}"), kind)
        schemes.setdefault(provider, []).append(scheme)
    found = [Relay.of(provider, tuple(names)) for provider, names in schemes.items()]
    return sorted(found, key=lambda relay: relay.title.lower())


def pages() -> dict[str, str]:
    """File name -> the page in Markdown."""
    found = relays()
    return {"index.md": _matrix(found)} | {f"{relay.name}.md": _page(relay) for relay in found}


def write(folder: Path) -> None:
    """Write what is not there as it stands already; what else is in the folder goes."""
    folder.mkdir(exist_ok=True)
    wanted = pages()
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# --- pages ------------------------------------------------------------------------------------------------------------


def _page(relay: Relay) -> str:
    provider = relay.provider
    parts = [
        f"# {relay.title}",
        f"Its own page: {_own(relay.link)}. What holds for all relays stands in [](../howto/relays.md).",
        relay.prose,
        "## URL",
        _table(("host in the URL", "where the requests go"), _hosts(provider)),
        "Schemes: " + ", ".join(f"`{scheme}`" for scheme in relay.schemes) + ".",
    ]
    if provider.options:
        options = [(f"`{option}`", relay.meaning_of_option(option)) for option in provider.options]
        parts.append(_table(("option", "meaning"), options))
    parts += ["## What it carries", _LEGEND, _carried(relay), *_rules(provider)]
    limits = [(text, relay.limit(field)) for field, text in LIMITS.items() if relay.limit(field)]
    limits.append(("mails in one request", f"{provider.batch_size:,}"))
    if relay.rate:
        limits.append(("requests", relay.rate))
    if provider.rate:
        limits.append(("requests to its own hosts", provider.rate))
    parts += ["## Limits", _table(("of", "at most"), limits)]
    meanings = {f"HTTP {status}": meaning for status, meaning in provider.statuses.items()}
    meanings |= {f"`{code}`": meaning for code, meaning in provider.errors.items()}
    end = ", but for:" if meanings else "."
    parts += ["## What its answers mean", f"By [the one table](../howto/relays.md#what-answers-mean){end}"]
    if meanings:
        parts.append(_table(("answer", "outcome", "cause"), [(said, *_words(m)) for said, m in meanings.items()]))
    return "\n\n".join(filter(None, parts)) + "\n"


def _own(link: str) -> str:
    return f"<{link}>" if "://" in link else f"[]({link})"


def _carried(relay: Relay) -> str:
    mime = getattr(relay.provider, "mime", None)
    head = ("of a message", "", *(["by `?api=mime`"] if mime is not None else []))
    rows = []
    for feature, words in FEATURES.items():
        row = [f"{words} (`{feature}`)", _STATES[relay.state(feature)]]
        rows.append((*row, _STATES[relay.state(feature, mime)]) if mime is not None else tuple(row))
    return _table(head, rows)


def _rules(provider: type[Provider]) -> list[str]:
    """What else it refuses or leaves out, of what is a rule of ``Provider``."""
    said = {
        "A header that stands twice is refused: it is carried once.": provider.has_unique_headers,
        "A recipient whose local part is not ASCII is REJECTED (5.6.7), the others are sent to.": not provider.smtputf8,
        "Several recipients who are all hidden are refused: somebody must be in To or Cc.": provider.needs_to,
        "Beside a stored template no text and html.": provider.features.provider_template,
        "Beside a stored template no subject.": provider.features.provider_template and provider.template_has_subject,
    }
    lines = [f"- {text}" for text, holds in said.items() if holds]
    return ["\n".join(lines)] if lines else []


def _hosts(provider: type[Provider]) -> list[tuple[str, str]]:
    hosts = [(f"`{region}`", f"`{base}`") for region, base in provider.bases.items()]
    return [*hosts, ("`mail.example.com`", "there, with the credentials: a host of your own")]


def _words(meaning: Meaning) -> tuple[str, str]:
    cause = f"`{meaning.cause.__name__}`" if meaning.cause is not None else ""
    return meaning.outcome.value.upper(), cause


def _matrix(found: list[Relay]) -> str:
    features = [field.name for field in dataclasses.fields(Features)]
    groups = {
        "Who gets what, and when": [f for f in features if not is_advice(f)],
        "What a mail is complete without": [f for f in features if is_advice(f)],
    }
    parts = [
        "# All relays",
        "What each carries of a message, made of the code at each build. yes: carried. no: refused before anything is"
        " sent. noted: left out, and noted in `receipt.notes`. here: merged here, a mail for each recipient. Policies"
        " that say otherwise: [](../backends.md#what-a-backend-cannot-carry).",
        "```{toctree}\n:hidden:\n:glob:\n\n*\n```",
    ]
    for title, names in groups.items():
        rows = [(_linked(relay), *[_CELLS[relay.state(name)] for name in names]) for relay in found]
        parts += [f"## {title}", _table(("", *[f"`{name}`" for name in names]), rows)]
    fields = [field.name for field in dataclasses.fields(Limits)]
    rows = [
        (_linked(relay), *[relay.limit(name) for name in fields], f"{relay.provider.batch_size:,}", relay.rate)
        for relay in found
    ]
    head = ("", *[LIMITS[name] for name in fields], "mails in one request", "requests")
    parts += ["## How much", _table(head, rows)]
    return "\n\n".join(parts) + "\n"


def _linked(relay: Relay) -> str:
    return f"[{relay.schemes[0]}]({relay.name}.md)"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _markdown(text: str) -> str:
    """A docstring's reStructuredText as Markdown: roles and literals become code."""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


if __name__ == "__main__":
    write(Path(__file__).parent / "relays")
