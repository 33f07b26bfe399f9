"""No user's password gets into any text, whatever it is made of and however the server says it back."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from exchange import message, sent
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from worlds import World

from mailer.backends.smtp import SmtpBackend
from mailer.smtp.endpoint import Endpoint, Timeouts
from mailer.testing import ScriptedServer, SecretSweep

ECHOES: dict[str, Callable[[str], bytes]] = {
    "raw": lambda text: text.encode(),
    "quoted": lambda text: repr(text).encode("ascii", "backslashreplace"),
    "json": lambda text: json.dumps(text).encode(),
    "html": lambda text: html.escape(text).encode(),
    "percent": lambda text: quote(text, safe="").encode(),
    "form": lambda text: quote_plus(text).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, inside": lambda text: base64.b64encode(b"pw=" + text.encode() + b";"),
    "nothing": lambda text: b"",
}
ENDINGS = {
    "535": b"535 5.7.8 %s\r\n",
    "two lines": b"535-5.7.8 no:\r\n535 %s\r\n",
    "454": b"454 4.7.0 %s\r\n",
    "421": b"421 4.7.0 %s\r\n",
    "garbage": b"%s\r\n",
    "part": b"535 %s",
    "challenge": b"334 %s\r\n",
    "taken, and more": b"235 %s\r\n250 %s\r\n",
}
HELLO = "S: 220 hi\nC: EHLO *\nS: 250-h\nS: 250 AUTH {}\n"
LOGINS = {
    "PLAIN": "C: AUTH PLAIN *\n",
    "LOGIN": "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: *\nS: 334 UGFzc3dvcmQ6\nC: *\n",
}
#: The mark tells it from what stands in any text by chance.
SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=4, max_size=30).map("Zq7!".__add__)


@pytest.mark.parametrize("mechanism", LOGINS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(user=SECRETS, password=SECRETS, echo=st.sampled_from(sorted(ECHOES)), ending=st.sampled_from(sorted(ENDINGS)))
@example(user="Zq7!0000", password="Zq7!000\n", echo="raw", ending="421")
def test_b44_b45_no_password_is_shown(
    world: World, mechanism: str, user: str, password: str, echo: str, ending: str
) -> None:
    said = ECHOES[echo](password).replace(b"\n", b"")
    script = HELLO.format(mechanism) + LOGINS[mechanism] + f"S: bytes {ENDINGS[ending].replace(b'%s', said)!r}\n"
    found = SecretSweep([password])
    with ScriptedServer(script) as peer, found.listening():
        endpoint = Endpoint(
            host="127.0.0.1",
            port=peer.port,
            tls="none",
            auth_in_clear=True,
            username=user,
            password=password,
            timeouts=Timeouts(command_s=5),
        )
        with world.mailer(SmtpBackend(endpoint, transcript=True)) as mailer:
            receipt, error = sent(mailer, message())
            health = mailer.check()
            assert len(receipt.transcript) >= 4
            for thing in (mailer.wrapped, mailer.backend, endpoint, receipt, error, health):
                found.show(thing)
        assert peer.wait_idle()
    assert not receipt.accepted
    found.check()
