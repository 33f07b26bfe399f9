"""OAuth 2: access tokens for whatever logs in with them, SMTP or an HTTP API.

``token`` says what a token and a source of tokens are; ``grant`` how a token server is asked and what it answers, pure;
``cache`` keeps tokens in a file; ``provider`` puts them together.
"""

from __future__ import annotations

from .provider import TokenProvider
from .token import AccessToken, TokenSource

__all__ = ["AccessToken", "TokenProvider", "TokenSource"]
