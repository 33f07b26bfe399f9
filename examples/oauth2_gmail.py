"""Send through Gmail with OAuth 2: a refresh token brings access tokens, and one that Gmail refuses is renewed once.

Runs as it stands: token server and Gmail are stand-ins on this machine. For the real ones leave both out::

    tokens = TokenProvider.refresh_token("google", client_id=..., client_secret=..., refresh_token=..., cache=...)
    mailer = Mailer("smtp+gmail://me%40gmail.com@default", tokens=tokens)
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from mailer import Mailer, Message, TokenProvider
from mailer.testing import ScriptedServer

# The first token has been revoked before its time: 334 holds the reason, and after 535 the client may try another.
GMAIL = """
S: 220 smtp.gmail.com at your service
C: EHLO *
S: 250-smtp.gmail.com
S: 250 AUTH LOGIN PLAIN XOAUTH2 OAUTHBEARER
C: AUTH XOAUTH2 *
S: 334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIn0=
C:
S: 535-5.7.8 Username and Password not accepted.
S: 535 5.7.8 https://support.google.com/mail/?p=BadCredentials
C: AUTH XOAUTH2 *
S: 235 2.7.0 Accepted
C: MAIL FROM:<me@gmail.com>
S: 250 2.1.0 OK
C: RCPT TO:<ann@example.org>
S: 250 2.1.5 OK
C: DATA
S: 354 Go ahead
C: <data>
S: 250 2.0.0 OK queued as 1a2b
C: QUIT
"""


class TokenServer(BaseHTTPRequestHandler):
    """Answers as oauth2.googleapis.com/token does."""

    count = 0

    def do_POST(self) -> None:
        """Take the refresh token, give an access token."""
        self.rfile.read(int(self.headers["Content-Length"]))
        TokenServer.count += 1
        answer = json.dumps({"access_token": f"ya29.{self.count}", "expires_in": 3599, "token_type": "Bearer"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def main() -> None:
    """Send one message, and say what it took."""
    google = HTTPServer(("127.0.0.1", 0), TokenServer)
    threading.Thread(target=google.serve_forever, daemon=True).start()
    tokens = TokenProvider.refresh_token(
        f"http://127.0.0.1:{google.server_port}/token",
        client_id="1234.apps.googleusercontent.com",
        client_secret="GOCSPX-secret",
        refresh_token="1//refresh",
    )
    print(tokens)
    message = Message(from_="me@gmail.com", to="ann@example.org", subject="Hi", text="Hello\n")
    with ScriptedServer(GMAIL) as gmail:
        url = f"smtp://me%40gmail.com@127.0.0.1:{gmail.port}?auth=xoauth2&tls=none&auth_in_clear=yes"
        with Mailer(url, tokens=tokens) as mailer:
            receipt = mailer.send(message)
    for result in receipt.results:
        print(f"{result.address.addr_spec}: {result.outcome.value} ({result.code} {result.text})")
    print(f"the token server was asked {TokenServer.count} times: the first token had been revoked")
    google.shutdown()
    google.server_close()


if __name__ == "__main__":
    main()
