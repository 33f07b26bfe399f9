"""The pages of the relays, which are made of the code at each build, say of each what the code does."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import relay_pages

from mailer import Attachment, DeliveryOptions, Features, Message, UnsupportedFeature
from mailer.features import Limits, left_out
from mailer.relay import PROVIDERS

WHEN = datetime(2030, 1, 2, tzinfo=UTC)
PNG = Attachment.from_bytes("x.png", b"x", inline=True)
#: Feature -> fields of a message that need it, and nothing else; "raw" is no message's.
SAMPLES: dict[str, dict[str, Any]] = {
    "attachments": {"attachments": [Attachment.from_bytes("x.txt", b"x")]},
    "inline": {"html": "x", "attachments": [PNG]},
    "reply_to": {"reply_to": "r@example.com"},
    "headers": {"headers": {"X-A": "1"}},
    "alternatives": {"alternatives": [("text/calendar", "x")]},
    "amp_html": {"html": "x", "amp_html": "x"},
    "sender": {"sender": "s@example.com"},
    "return_path": {"return_path": "b@example.com"},
    "send_at": {"send_at": WHEN},
    "provider_template": {"provider_template": "x"},
    "require_tls": {"delivery": DeliveryOptions(require_tls=True)},
    "tags": {"tags": "x"},
    "metadata": {"metadata": {"a": "b"}},
    "tracking": {"track_opens": True},
    "priority": {"priority": "high"},
    "message_id": {"message_id": "<x@example.com>"},
    "date": {"date": WHEN},
    "idempotency_key": {"idempotency_key": "x"},
    "notify": {"delivery": DeliveryOptions(notify="NEVER")},
    "deliver_by": {"delivery": DeliveryOptions(deliver_by_s=60)},
    "mt_priority": {"delivery": DeliveryOptions(mt_priority=1)},
    "provider_options": {"provider_options": {"a": 1}},
}


def becomes(feature: str, features: Features) -> str:
    """What the default policy does, asked of the code that sends."""
    try:
        notes = left_out(Message(**SAMPLES[feature]), features, "x", "default")
    except UnsupportedFeature as error:
        return "refused" if error.field == feature else f"refused for its {error.field}"
    return "noted" if notes else "carried"


def rows_of(text: str) -> dict[str, list[str]]:
    """First cell -> the others."""
    cells = [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    return {row[0].strip("| "): [cell.strip("| ") for cell in row[1:]] for row in cells}


def test_there_is_a_page_for_each_and_all_stand_beside_each_other():
    pages = relay_pages.pages()
    assert {scheme for relay in relay_pages.relays() for scheme in relay.schemes} == set(PROVIDERS)
    assert set(pages) == {"index.md", *(f"{relay.name}.md" for relay in relay_pages.relays())}
    for relay in relay_pages.relays():
        assert pages["index.md"].count(f"({relay.name}.md)") == 3
        assert (
            relay.link.startswith("https://")
            or (Path(relay_pages.__file__).parent / "relays" / relay.link).resolve().is_file()
        )
        assert relay.prose.startswith("`") or "://" in relay.prose, relay.title
        assert ":class:" not in pages[f"{relay.name}.md"]
        assert "``" not in pages[f"{relay.name}.md"]


def test_what_becomes_of_each_feature_is_what_the_code_does():
    assert set(SAMPLES) | {"merge", "raw"} == {field.name for field in dataclasses.fields(Features)}
    pages = relay_pages.pages()
    for relay in relay_pages.relays():
        rows = rows_of(pages[f"{relay.name}.md"])
        for feature, words in relay_pages.FEATURES.items():
            said = rows[f"{words} (`{feature}`)"][0]
            if feature in SAMPLES:
                assert said == becomes(feature, relay.provider.features), (relay.title, feature)


def test_a_few_facts_by_name():
    pages = relay_pages.pages()
    postmark, brevo, resend = (rows_of(pages[f"{name}.md"]) for name in ("postmark", "brevo", "resend"))
    assert postmark["mails in one request"] == ["500"]
    assert brevo["Images within the html (`inline`)"] == ["refused"]
    assert brevo["Tracking of opens and clicks, by mail (`tracking`)"] == ["noted"]
    assert resend["requests"] == ["2/s"]
    assert resend["Idempotency key (`idempotency_key`)"] == ["carried"]
    assert postmark["`412`"] == ["DEFERRED", "`ConfigError`"]
    assert rows_of(pages["sendgrid.md"])["`eu`"] == ["`https://api.eu.sendgrid.com`"]
    assert rows_of(pages["sparkpost.md"])["HTTP 420"] == ["DEFERRED", ""]
    assert rows_of(pages["sparkpost.md"])["hours ahead in `send_at`"] == ["72"]


def test_every_option_host_and_limit_is_told():
    assert list(relay_pages.LIMITS) == [field.name for field in dataclasses.fields(Limits)]
    pages = relay_pages.pages()
    for relay in relay_pages.relays():
        rows = rows_of(pages[f"{relay.name}.md"])
        for option in relay.provider.options:
            assert rows[f"`{option}`"][0], (relay.title, option)
        for region, base in relay.provider.bases.items():
            assert rows[f"`{region}`"] == [f"`{base}`"]
        for field, words in relay_pages.LIMITS.items():
            assert (words in rows) is (getattr(relay.provider.limits, field) is not None), (relay.title, field)


def test_only_what_differs_is_written(tmp_path):
    folder = tmp_path / "relays"
    relay_pages.write(folder)
    (folder / "gone.md").write_text("x")
    (folder / "index.md").write_text("x")
    kept = folder / "brevo.md"
    before = kept.stat().st_mtime_ns
    relay_pages.write(folder)
    assert {path.name for path in folder.iterdir()} == set(relay_pages.pages())
    assert (folder / "index.md").read_text(encoding="utf-8") == relay_pages.pages()["index.md"]
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize(("text", "shown"), [("See :class:`~a.B`, ``x``.", "See `B`, `x`."), (":mod:`a.b`", "`b`")])
def test_a_docstring_as_markdown(text, shown):
    assert relay_pages._markdown(text) == shown
