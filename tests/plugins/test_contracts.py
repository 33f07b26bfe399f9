"""Every built-in plug-in by the contract that ships for authors."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from smime_certificates import certificate, key_of, pem

from mailer import ConfigError
from mailer.plugins import BUILT_IN
from mailer.plugins.log import Log
from mailer.testing.conformance import PluginContract

SEED = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
SECRET = "4f0d6a1c3b9e8d7f2a5c6b1e0d9f8a7b"
#: Name -> settings with which it works, and what else the contract is told; of others, which need none, nothing.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dkim": ({"domain": "example.com", "selector": "s1", "key": SEED}, {"secrets": [SEED]}),
    "suppression": ({"events": ["bounced"]}, {}),
    "redirect": ({"to": ["stage@example.com"], "allow": ["@example.net"], "allow_pattern": ".*@example\\.com"}, {}),
    "list_unsubscribe": (
        {"url": "https://example.com/u", "secret": SECRET, "mailto": "u@example.com", "several": "skip"},
        {"secrets": [SECRET]},
    ),
    "tracking": (
        {"url": "https://example.com/t", "secret": SECRET, "opens": True, "clicks": True},
        {"secrets": [SECRET]},
    ),
    "quiet_hours": ({"zone": "Europe/Berlin", "tags": ["news"]}, {}),  # what the contract sends has to go by night, too
    "dedupe": ({"by": "key"}, {}),  # the contract sends the same again and again
    "rate_limit": ({"rate": "100000/s", "per_domain": "100000/s", "count": "mails"}, {}),
    "archive": ({"url": "null:", "to": "archive@example.com"}, {}),
    "alerts": ({"url": "null:", "to": ["ops@example.com"], "sender": "alerts@example.com", "every_s": 0}, {}),
    "router": ({"rules": [{"tag": ["news"], "backend": ["null:"]}]}, {}),
    "inline_images": ({"hosts": ["cdn.example.com"], "failed": "error"}, {}),
    "css_inline": ({"keep_style_tags": True}, {}),
    "footer": ({"text": "The shop", "html": "<p>The shop</p>", "separator": "-- "}, {}),
    "subject_prefix": ({"prefix": "[shop]"}, {}),
    "smime": (
        {"certificate": certificate("ec", "shop@example.com"), "key": pem(key_of("ec")), "unmatched": "skip"},
        {"secrets": [pem(key_of("ec"))]},
    ),
    "allow_list": ({"allow": ["@example.org", "@example.com"]}, {}),
}


def _contract(name: str) -> type[PluginContract] | None:
    """Its tests; None where it needs settings and has no case."""
    settings, more = CASES.get(name, ({}, {}))
    plugin = getattr(importlib.import_module(f"mailer.plugins.{name}"), BUILT_IN[name])
    try:
        plugin(settings)
    except ConfigError as error:
        if "pip install" in str(error):
            return pytest.mark.skip(reason=f"{name} is not run: {error}")(PluginContract.of(plugin))  # type: ignore[no-any-return]
        if name not in CASES:
            return None
        raise
    return PluginContract.of(plugin, settings=settings, **more)


for _name in BUILT_IN.keys() - {"log"}:
    globals()[f"Test{BUILT_IN[_name]}"] = _contract(_name)


class TestLog(PluginContract):
    plugin = Log

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.settings = {"path": str(tmp_path / "log.db")}  # type: ignore[misc]  # each test has a file of its own


def test_each_built_in_is_held_to_it() -> None:
    here = globals()
    missing = [name for name, kind in BUILT_IN.items() if not isinstance(here[f"Test{kind}"], type)]
    assert missing == [], "say in CASES with which settings it works"
    assert set(CASES) <= set(BUILT_IN)
