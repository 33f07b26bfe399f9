"""Topics as Amazon's SNS has them, by which SES tells its events: envelopes, signed by a certificate at a URL.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError, ProtocolError
from .call import Call
from .payload import Payload
from .proof import Proof, base64_bytes, needing_crypto

__all__ = ["AMAZON", "Topics"]

_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
#: What is signed, in this order; of a notification the subject only if there is one.
_SIGNED = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
#: Its time is that of the first try, and it tries for an hour.
TOLERANCE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Topics:
    """Whose topics they are.

    Attributes:
        arn: How the names of its topics begin, for texts.
        certificate_host: What nobody but it has; whoever could name another would sign for it.
        subscribe_host: Where its subscriptions are confirmed.
    """

    arn: str
    certificate_host: re.Pattern[str]
    subscribe_host: re.Pattern[str]

    def certificate_url(self, call: Call) -> str | None:
        """Where the certificate of the call's signature is; None if it names none, or none of theirs.

        Nothing is verified yet: the host alone makes it safe to fetch.
        """
        try:
            return _url_at(self.certificate_host, Payload(call.json()).text("SigningCertURL"), suffix=".pem")
        except ProtocolError:
            return None

    def subscribe_url(self, envelope: Payload) -> str | None:
        """Where a GET confirms the subscription of a verified confirmation; None if it is none, or leads elsewhere."""
        if envelope.text("Type") != "SubscriptionConfirmation":
            return None
        return _url_at(self.subscribe_host, envelope.text("SubscribeURL"))

    def verify(self, call: Call, proof: Proof) -> None:
        """The topic, since anybody may have one that is signed for; the time; and RSA over these and other fields.

        Raises:
            AuthError: It is not from the topic.
            ConfigError: The certificate is not given.
        """
        for secret in proof.secrets:
            if not secret.startswith("arn:"):
                raise ConfigError(
                    f"webhooks of {proof.provider}: the secret must be the ARN of the topic: {self.arn}..."
                )
        try:
            envelope = Payload(call.json())
        except ProtocolError as error:
            raise proof.refused("it has no signature, as its body is no JSON") from error
        fields = _SIGNED.get(envelope.text("Type"), ())
        if not fields or not envelope.text("Signature"):
            raise proof.refused("it has no signature: turn raw message delivery off in the subscription")
        topics = [secret.encode("utf-8", "surrogatepass") for secret in proof.secrets]
        proof.check_any(topics, [envelope.text("TopicArn").encode("utf-8", "surrogatepass")], "it is of another topic")
        proof.check_moment(envelope.text("Timestamp"), TOLERANCE_S)
        url = self.certificate_url(call)
        if url is None:
            raise proof.refused("its certificate is not at a host of theirs")
        certificate = proof.certificates.get(url)
        if certificate is None:  # last of all: what is refused so far makes nobody fetch one
            raise ConfigError(
                f"webhooks of {proof.provider} are signed by a certificate: fetch the one that certificate_url names,"
                " and give certificates={url: pem}"
            )
        values = {key: envelope.data.get(key) for key in fields}
        if values.get("Subject", "") is None:
            del values["Subject"]
        if not all(isinstance(value, str) for value in values.values()):
            raise proof.wrong()
        signed = "".join(f"{key}\n{value}\n" for key, value in values.items()).encode("utf-8", "surrogatepass")
        _check_rsa(certificate, envelope, signed, proof)


_AMAZON = re.compile(r"sns\.[a-zA-Z0-9-]{3,}\.amazonaws\.com(?:\.cn)?", re.ASCII)
AMAZON = Topics("arn:aws:sns:", _AMAZON, _AMAZON)


def _check_rsa(pem: bytes, envelope: Payload, signed: bytes, proof: Proof) -> None:
    with needing_crypto(proof.provider):
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
    algorithms: dict[str, Any] = {"1": hashes.SHA1, "2": hashes.SHA256}
    algorithm = algorithms.get(envelope.id("SignatureVersion"))
    if algorithm is None:
        raise proof.refused("its signature is of an unknown version")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except ValueError as error:
        raise proof.refused("what lies at its certificate's URL is none") from error
    if not certificate.not_valid_before_utc <= proof.now <= certificate.not_valid_after_utc:
        raise proof.refused("its certificate is not valid now")
    if not isinstance(key, rsa.RSAPublicKey):
        raise proof.refused("its certificate is not of an RSA key")
    try:
        key.verify(base64_bytes(envelope.text("Signature")) or b"", signed, padding.PKCS1v15(), algorithm())
    except InvalidSignature as error:
        raise proof.wrong() from error


def _url_at(host: re.Pattern[str], url: str, suffix: str = "") -> str | None:
    """The URL, if it is one of https at such a host and nothing else: no user, no port, no fragment."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    is_plain = parts.scheme == "https" and not parts.fragment and host.fullmatch(parts.netloc) is not None
    return url if is_plain and (not suffix or (parts.path.endswith(suffix) and not parts.query)) else None
