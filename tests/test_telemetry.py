"""What is measured of a mail; and that a backend's URL leaves nothing of its own but scheme, host and port."""

from __future__ import annotations

from mailer.telemetry import DETAILS, METRICS, Endpoint


def test_an_endpoint_is_scheme_host_and_port_and_no_more() -> None:
    for url, wanted in {
        "smtp://user:***@smtp.example.com:587?tls=required": "smtp://smtp.example.com:587",
        "smtps://ann%40example.org:***@[::1]:465": "smtps://[::1]:465",
        "postmark://***@default": "postmark",
        "sendgrid://***@eu.example.com": "sendgrid://eu.example.com",
        "file:/var/mail/ann@example.org?format=eml": "file",
        "file:rel": "file",
        "memory:": "memory",
        "sendmail:///usr/sbin/sendmail": "sendmail",
        "lmtp:///run/lmtp.sock": "lmtp",
        "failover(smtp://a:b@c.example postmark://t@default)": "failover",
        "weighted(3*smtp://a.example 1*null:)?rest=60": "weighted",
        "smtp://h.example:99999": "smtp",
        "smtp://[bad": "smtp",
        "": "other",
        "<Mine at secret>": "other",
        "smtp+gmail://a%40b.example:***@default": "smtp+gmail",
    }.items():
        assert str(Endpoint.of(url)) == wanted, url


def test_no_name_of_what_is_told_by_default_is_of_a_recipient_or_a_subject() -> None:
    labels = [label for metric in METRICS for label in metric.labels]
    assert not set(labels) & set(DETAILS.values())
    assert not [label for label in labels if "address" in label or "subject" in label or "mail.id" in label]
