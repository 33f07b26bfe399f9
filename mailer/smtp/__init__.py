"""SMTP, RFC 5321 and its extensions: replies, commands, mail data, AUTH and the client session."""

from __future__ import annotations

__all__: list[str] = []
