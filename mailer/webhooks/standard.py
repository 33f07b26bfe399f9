"""Standard Webhooks: the way to sign calls that Svix uses, and others: https://www.standardwebhooks.com

The secret is ``whsec_`` and a key in base64. HMAC-SHA256 over id, time and body, with "." between them; the id stays
the same when a call is made again, the time does not.
"""

from __future__ import annotations

from ..errors import ConfigError
from .call import Call
from .proof import Proof, base64_bytes, hmac_of

__all__ = ["call_id", "verify"]

# Svix names them by itself.
_ID, _TIMESTAMP, _SIGNATURE = (("svix-" + name, "webhook-" + name) for name in ("id", "timestamp", "signature"))
_PREFIX = "whsec_"


def verify(call: Call, proof: Proof) -> None:
    """Of several signatures ("v1,... v1,...") one has to fit.

    Raises:
        ConfigError: A secret is none.
        AuthError: The call is not signed by one of them, or not now.
    """
    keys = [base64_bytes(secret.removeprefix(_PREFIX)) for secret in proof.secrets]
    if not all(keys):
        raise ConfigError(f"webhooks of {proof.provider}: the secret must be that of the webhook's settings: whsec_...")
    given_id, stamp = proof.header(call, *_ID), proof.header(call, *_TIMESTAMP)
    shown = [part.partition(",") for part in proof.header(call, *_SIGNATURE).split()]
    signed = b".".join((given_id.encode("latin-1", "replace"), stamp.encode("latin-1", "replace"), call.body))
    proof.check_any(
        [hmac_of(key, signed) for key in keys if key],
        [base64_bytes(value) or b"" for version, _, value in shown if version == "v1"],
    )
    proof.check_moment(stamp)


def call_id(call: Call) -> str:
    """The call's id: the same when it is made again, signed anew."""
    return call.header(*_ID)
