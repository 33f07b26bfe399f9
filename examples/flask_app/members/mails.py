"""The two mailers: one for what somebody has asked for just now, one for what goes to all."""

from __future__ import annotations

from mailer.contrib.flask import FlaskMailer

__all__ = ["mail", "news_mail"]

mail = FlaskMailer()
news_mail = FlaskMailer(name="news")
