"""Peers and cases for tests, of this library and of what is built on it. Each is loaded when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .certificates import Authority
    from .dns import DnsServer
    from .relay import Answer, FakeRelay, RelayRequest
    from .rules import Rule, SmtpCommand
    from .scripted import ScriptedServer
    from .secret_sweep import SecretSweep, sweep
    from .smtp_server import SmtpServer

__all__ = ["Answer", "Authority", "DnsServer", "FakeRelay", "RelayRequest", "Rule", "ScriptedServer", "SecretSweep"]
__all__ += ["SmtpCommand", "SmtpServer", "sweep"]

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
    "sweep": "secret_sweep",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value
