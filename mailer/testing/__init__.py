"""Peers and cases for tests, of this library and of what is built on it."""

from __future__ import annotations

from .relay import Answer, FakeRelay, RelayRequest
from .scripted import ScriptedServer
from .sweep import SecretSweep, sweep

__all__ = ["Answer", "FakeRelay", "RelayRequest", "ScriptedServer", "SecretSweep", "sweep"]
