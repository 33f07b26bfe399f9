"""Peers and cases for tests, of this library and of what is built on it."""

from __future__ import annotations

from .scripted import ScriptedServer

__all__ = ["ScriptedServer"]
