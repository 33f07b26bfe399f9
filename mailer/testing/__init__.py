"""Peers and cases for tests, of this library and of what is built on it. Each is loaded when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asserting import assert_nothing_sent, assert_sent
    from .certificates import Authority
    from .clock import FakeClock
    from .dns import DnsServer
    from .outbox import MailOutbox
    from .relay import Answer, FakeRelay, RelayRequest
    from .rules import Rule, SmtpCommand
    from .scripted import ScriptedServer
    from .secret_sweep import SecretSweep, sweep
    from .sent import SentAttachment, SentMail, links, one_time_codes
    from .smtp_server import SmtpServer
    from .snapshot import MailSnapshot, assert_matches_snapshot, snapshot_text
    from .testcase import MailerTestMixin

__all__ = ["Answer", "Authority", "DnsServer", "FakeClock", "FakeRelay", "MailOutbox", "MailSnapshot", "RelayRequest"]
__all__ += ["Rule", "ScriptedServer", "SecretSweep", "SentAttachment", "SentMail", "SmtpCommand", "SmtpServer"]
__all__ += ["assert_matches_snapshot", "assert_nothing_sent", "assert_sent", "links", "one_time_codes", "snapshot_text"]
__all__ += ["MailerTestMixin", "sweep"]

_MODULES = {
    "Answer": "relay",
    "Authority": "certificates",
    "DnsServer": "dns",
    "FakeClock": "clock",
    "FakeRelay": "relay",
    "MailOutbox": "outbox",
    "MailerTestMixin": "testcase",
    "MailSnapshot": "snapshot",
    "RelayRequest": "relay",
    "Rule": "rules",
    "ScriptedServer": "scripted",
    "SecretSweep": "secret_sweep",
    "SentAttachment": "sent",
    "SentMail": "sent",
    "SmtpCommand": "rules",
    "SmtpServer": "smtp_server",
    "assert_matches_snapshot": "snapshot",
    "assert_nothing_sent": "asserting",
    "assert_sent": "asserting",
    "links": "sent",
    "one_time_codes": "sent",
    "snapshot_text": "snapshot",
    "sweep": "secret_sweep",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value
