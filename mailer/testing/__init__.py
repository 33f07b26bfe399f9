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

__all__ = ["Answer", "Authority", "DnsServer", "FakeRelay", "RelayRequest", "Rule", "ScriptedServer", "SecretSweep"]
__all__ += ["SmtpCommand", "SmtpServer", "sweep"]
__all__ += [
    "FakeClock",
    "MailOutbox",
    "SentAttachment",
    "SentMail",
    "assert_nothing_sent",
    "assert_sent",
    "links",
    "one_time_codes",
]

_MODULES = {
    "Answer": "relay",
    "Authority": "certificates",
    "DnsServer": "dns",
    "FakeRelay": "relay",
    "RelayRequest": "relay",
    "Rule": "rules",
    "ScriptedServer": "scripted",
    "SecretSweep": "secret_sweep",
    "SmtpCommand": "rules",
    "SmtpServer": "smtp_server",
    "FakeClock": "clock",
    "MailOutbox": "outbox",
    "SentAttachment": "sent",
    "SentMail": "sent",
    "assert_nothing_sent": "asserting",
    "assert_sent": "asserting",
    "links": "sent",
    "one_time_codes": "sent",
    "sweep": "secret_sweep",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value
