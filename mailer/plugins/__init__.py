"""The plug-ins that come with the library: one file each, loaded when its name is asked for."""

from __future__ import annotations

__all__ = ["BUILT_IN"]

#: Name, which is the module's too -> the class in it.
BUILT_IN: dict[str, str] = {
    "dkim": "Dkim",
    "suppression": "Suppression",
    "redirect": "Redirect",
    "list_unsubscribe": "ListUnsubscribe",
    "rate_limit": "RateLimit",
    "dedupe": "Dedupe",
    "quiet_hours": "QuietHours",
    "archive": "Archive",
    "log": "Log",
    "alerts": "Alerts",
    "metrics": "Metrics",
    "otel": "Otel",
    "tracking": "Tracking",
    "router": "Router",
    "inline_images": "InlineImages",
    "css_inline": "CssInline",
    "markdown": "Markdown",
    "text_part": "TextPart",
    "footer": "Footer",
    "subject_prefix": "SubjectPrefix",
    "allow_list": "AllowList",
    "circuit": "CircuitBreaker",
    "smime": "Smime",
    "mjml": "Mjml",
}
