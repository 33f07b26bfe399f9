"""XOAUTH2 with a server that is none of ours: npm's smtp-server, which refuses the first token by 334 and 535."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from worlds import World

from mailer import AuthError, Message, TokenProvider

from .peers import HOME, HOST, Certificates, MissingProgramError, free_port

SERVER = """
const {SMTPServer} = require(process.argv[2] + "/smtp-server");
const fs = require("fs");
const [port, cert, key] = process.argv.slice(3);
new SMTPServer({
  cert: fs.readFileSync(cert), key: fs.readFileSync(key), authMethods: ["XOAUTH2"], logger: false,
  onAuth(auth, session, callback) {
    console.log(auth.method, auth.username, auth.accessToken);
    if (auth.username === "me@x.test" && auth.accessToken === "good") return callback(null, {user: auth.username});
    callback(null, {data: {status: "401", schemes: "bearer", scope: "mail"}});
  },
  onData(stream, session, callback) {
    stream.resume();
    stream.on("end", () => callback(null, "kept for " + session.user));
  },
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
"""
MESSAGE = Message(from_="a@x.test", to="b@y.test", subject="s", text="t\n")


@contextmanager
def smtp_server(folder: Path, certificates: Certificates) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    modules = HOME / "node/node_modules"
    if not (modules / "smtp-server").is_dir():
        raise MissingProgramError("npm's smtp-server is not installed: run .ci/install-real-peers as root")
    script, port = folder / "server.js", free_port()
    script.write_text(SERVER)
    command = ["node", script, modules, str(port), certificates.cert_file, certificates.key_file]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield port, process
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.real
def test_check_38_a_refused_token_is_renewed_once_with_smtp_server(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    given = iter(["stale", "good"])
    with smtp_server(tmp_path, certificates) as (port, process):
        url = f"smtp://me%40x.test@{HOST}:{port}?auth=xoauth2&ca_file={certificates.ca_file}"
        with world.mailer(url, tokens=TokenProvider(lambda: next(given))) as mailer:
            receipt = mailer.send(MESSAGE)
            assert receipt.ok
            assert receipt.results[0].text == "kept for me@x.test"
        assert process.stdout is not None
        assert [process.stdout.readline().strip() for _ in range(2)] == [
            "XOAUTH2 me@x.test stale",
            "XOAUTH2 me@x.test good",
        ]
        with world.mailer(url, tokens=lambda: "wrong") as mailer:
            health = mailer.check()
        assert isinstance(health.cause, AuthError)
        assert "535" in str(health.cause)
        assert "401" in str(health.cause)
