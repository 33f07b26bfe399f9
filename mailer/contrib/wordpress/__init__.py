"""``wp_mail`` for Python: WordPress' arguments, its hooks and their order, and a mailer of this library behind them.

::

    wordpress = WordPress(mailer, folders="/srv/app/uploads")
    wordpress.add_filter("wp_mail_from_name", lambda name: "The shop")
    wordpress.wp_mail("Ann <ann@example.org>, bob@example.org", "Your order", "It is on its way.", "Cc: c@d.test")

What differs from WordPress: docs/howto/wordpress.md.
"""

from __future__ import annotations

from .facade import AsyncWordPress, WordPress, wp_mail
from .hooks import WPError
from .letter import PHPMailer

__all__ = ["AsyncWordPress", "PHPMailer", "WPError", "WordPress", "wp_mail"]
