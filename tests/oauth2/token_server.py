"""A token server on loopback, by the standard library's own HTTP server: none of ours is in it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

Form = Mapping[str, str]
Answer = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]


class TokenServer:
    """Gives tokens "at-1", "at-2" ... for an hour, unless told what to answer.

    Attributes:
        forms: What was posted, in order.
        answers: What to answer next: (status, JSON or bytes[, headers]), or a function of the form.
        gate: Each answer waits for it; set from the start.
        asked: Set when a request has come.
    """

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/token"
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[Answer | Callable[[Form], Answer]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self._lock = threading.Lock()

    def answer(self, form: Form) -> Answer:
        with self._lock:
            said = self.answers.pop(0) if self.answers else None
            count = len(self.forms)
        if callable(said):
            return said(form)
        return said or (200, {"access_token": f"at-{count}", "token_type": "Bearer", "expires_in": 3600})


@contextmanager
def token_server(tls: ssl.SSLContext | None = None) -> Iterator[TokenServer]:
    """Start one, and stop it at the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.headers.append(dict(self.headers))
            made.forms.append({name: value[0] for name, value in parse_qs(body.decode(), True, True).items()})
            made.asked.set()
            made.gate.wait(30)
            status, content, *more = made.answer(made.forms[-1])
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    made = TokenServer(server, "http" if tls is None else "https")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
