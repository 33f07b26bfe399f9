"""As ``flask_mailman.utils``. Absolute imports, so that it is the same by that name."""

from mailer.contrib.flask_mailman.names import (
    DNS_NAME,
    CachedDnsName,
    FlaskUnicodeDecodeError,
    force_str,
    is_protected_type,
    punycode,
)

__all__ = ["DNS_NAME", "CachedDnsName", "FlaskUnicodeDecodeError", "force_str", "is_protected_type", "punycode"]
