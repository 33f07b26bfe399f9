"""The examples run as they stand, without network or settings, and print what they are there to show."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

# Example -> lines (or parts of them) that its output must have, in this order.
SHOWS = {
    "send_smtp.py": [
        "ann@example.org: accepted (250 ",
        "bob@gone.example: rejected (550 ",
        "archive@example.com: accepted (250 ",
        "everybody accepted: False",
        "for ann@example.org, archive@example.com",
    ],
    "direct_mx.py": [
        "ann@example.org: accepted, host mx1.example.org, tls none\n",
        "bob@example.org: deferred, host mx1.example.org, tls none\n    4.7.1 greylisted",
        "carol@nomail.example: rejected, host None, tls None\n    5.1.10 ",
        "dave@nowhere.example: rejected, host None, tls None\n    5.1.2 ",
        "the server has a mail for ann@example.org\n",
        "Final-Recipient: rfc822; ann@example.org\nAction: relayed\nStatus: 2.0.0\nRemote-MTA: dns; mx1.example.org\n",
    ],
    "send_relay.py": [
        "ann@example.org: accepted (m-7)",
        "bob@example.org: rejected (None)",
        "note: message_id is not carried by postmark://***@127.0.0.1:",
        "500 more were accepted",
        "the service had 2 requests",
    ],
    "provider_failover.py": [
        "one is refused: tried postmark: ann accepted, bob rejected\n",
        "the first is busy: tried postmark, sendgrid: ann accepted, bob accepted\n",
        "a wrong token, and busy: tried postmark, sendgrid, smtp: ann accepted, bob accepted\n",
        "the answer is lost: tried postmark: ann unknown, bob unknown\n",
    ],
    "webhook_app.py": [
        " is accepted as m-1\n",
        "with a wrong secret: HTTP 401\n",
        "ann@gone.example: bounced, hard: True, 550 5.1.1\nabout mail ",
        "with the secret: HTTP 200\n",
        "ann@gone.example: rejected suppressed: bounced on 2026-01-02 (postmark): smtp;550 5.1.1 ",
        "bob@example.org: accepted",
    ],
    "newsletter_csv.py": [
        "accepted   1\n",
        "4 rows were not reached: go on with --resume sent.journal\n",
        "exit code 69\n",
        "accepted   3  (1 of them before)\n",
        "rejected   1  (1 of them before)\n",
        "invalid    1\n",
        "duplicate  1\n",
        "3,rejected,550 5.1.1 no such user,bob@gone.example,Bob,monthly,2026-12-24\n",
        "the server has 3 mails\n",
        "from Python, message 1: accepted\n",
    ],
    "template.py": [
        "Your order 7\n",
        "Example Shop\n\nThank you, Ann <3!\n==================\n",
        "Green tea   7.80 €\nTea cup    12.50 €\n\nTrack your order [https://shop.example.com/o/7]\n",
        "the html is escaped\nattached: logo.png\nIhre Bestellung 7\n",
        "template: order.html, line 3: 'name' is undefined\n",
        "Ann <3, it is on its way\n",
        "template: stored text, line 1: takes more than the 300000 steps that a stored template has\n",
    ],
    "send_async.py": [
        "order 0: accepted",
        "order 3: accepted",
        "at once: 4 accepted",
        "the server has 8 mails",
    ],
    "bulk_send.py": [
        "490 accepted, 5 rejected\n",
        "to be sent again: [8, 108, 208, 308, 408], in doubt: []\n",
        "the server has 490 mails by 5 connections\n",
        "sent again: 5\n",
    ],
    "oauth2_gmail.py": [
        "<TokenProvider 127.0.0.1 client_id=1234.apps.googleusercontent.com client_secret=*** refresh_token=***>\n",
        "ann@example.org: accepted (250 ",
        "the token server was asked 2 times",
    ],
    "failover.py": [
        "tried busy: 2 deferred\ntried well: 1 accepted, 1 rejected\n",
        "ann@example.org: accepted (250 ",
        "bob@gone.example: rejected (550 no such user)\n",
        "tried busy: 2 deferred\n" * 4,
        "bob@gone.example: deferred (451 busy, come back)\n",
    ],
    "dkim.py": [
        "publish mail2026._domainkey.example.com TXT v=DKIM1; k=rsa; p=MII",
        "publish mail2026-ed25519._domainkey.example.com TXT v=DKIM1; k=ed25519; p=",
        "Order 7: rsa-sha256 example.com/mail2026, ed25519-sha256 example.com/mail2026-ed25519\n",
        "Grüße: rsa-sha256 example.com/mail2026, ed25519-sha256 example.com/mail2026-ed25519\n",
        "both say bh=",
        "a mail From a@example.net: filter 'sign' of dkim raised MessageError: from: no DKIM key signs for its domain",
    ],
    "one_click_unsubscribe.py": [
        "ann@example.org: accepted\nbob@example.org: accepted\n",
        "GET: 200, 0 suppressed\nthe event: unsubscribed ann@example.org from ('news',)\nPOST: 200, 1 suppressed\n",
        "a link that was changed: 404\n",
        "ann@example.org: rejected, suppressed: unsubscribed on ",
        "bob@example.org: accepted\n",
    ],
    "staging_redirect.py": [
        "staging:\n  Order 7 went to staging@example.com\n    X-Original-To: Ann <ann@example.org>\n",
        "    X-Original-Bcc: books@example.com\n  Order 8 went to tess@qa.example.com\n",
        "  Order 9 went to test+1@example.org, staging@example.com\n    X-Original-To: bob@example.net\nproduction:\n",
        "  Order 7 went to ann@example.org, books@example.com\n",
        "  Order 9 went to test+1@example.org, bob@example.net, books@example.com\n",
    ],
    "production_stack/production_stack.py": [
        "order: accepted\norder: accepted\nnews: accepted as <1@example.com>\n",
        "to one domain: 10 accepted, 2 deferred\nto nobody: rejected\n",
        "the log has 16 entries, 1 of them rejected\n",
        "the second server has 12 mails, 12 signed\nthe provider has 1, 1 signed\n",
        "the operators were told: mail rejected\n",
    ],
    "environments.py": [
        "test:\nthe order is accepted by memory:\nthe news are accepted by memory:\n",
        "staging:\nthe order is accepted by file:staging\nthe news are accepted by file:staging\n",
        "production:\nthe order is accepted by smtp://127.0.0.1:",
        "the news are accepted by null:\n",
        "staging has 2 files, production 1 mail\n",
    ],
}


def run(warm: list[str], name: str, folder: Path, **settings: str) -> str:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAILER_")}
    done = subprocess.run(
        [*warm, str(EXAMPLES / name)],
        cwd=folder,
        env={**kept, "PYTHONUTF8": "1", **settings},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", SHOWS)
def test_an_example_runs_and_shows_its_point(name, tmp_path, warm):
    output, position = run(warm, name, tmp_path), 0
    for part in SHOWS[name]:
        found = output.find(part, position)
        assert found >= 0, f"{part!r} is not in what follows:\n{output[position:]}"
        position = found + len(part)
    assert list(tmp_path.iterdir()) == [], "an example leaves files behind"


def test_the_environment_swaps_the_backend(tmp_path, warm):
    output = run(warm, "environments.py", tmp_path, MAILER_URL="memory:")
    assert output.count("the order is accepted by memory:") == 3


def test_every_example_is_tested():
    files = [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*/*.py")]
    apart = {"django_site/manage.py"}  # test_django_example.py
    assert {path.relative_to(EXAMPLES).as_posix() for path in files} == {*SHOWS, *apart}
