"""npm's smtp-server, which is none of ours: XOAUTH2, whose first token it refuses by 334 and 535; SIZE; recipients."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from worlds import World

from mailer import AuthError, DeliveryRefused, Message, Outcome, TokenProvider

from .peers import HOME, HOST, Certificates, MissingProgramError, free_port

SERVER = """
const {SMTPServer} = require(process.argv[2] + "/smtp-server");
const fs = require("fs");
const [port, cert, key] = process.argv.slice(3);
const refusals = {gone: [550, "no such user"], later: [451, "come back"]};
const server = new SMTPServer({
  cert: fs.readFileSync(cert), key: fs.readFileSync(key), authMethods: ["XOAUTH2"], logger: false, size: 100000,
  onAuth(auth, session, callback) {
    console.log(auth.method, auth.username, auth.accessToken);
    if (auth.accessToken === "small") server.options.size = 1000;  // less than EHLO has said
    if (auth.accessToken === "small") return callback(null, {user: auth.username});
    if (auth.username === "me@x.test" && auth.accessToken === "good") return callback(null, {user: auth.username});
    callback(null, {data: {status: "401", schemes: "bearer", scope: "mail"}});
  },
  onRcptTo(address, session, callback) {
    const [code, text] = refusals[address.address.split("@")[0]] || [];
    callback(code ? Object.assign(new Error(text), {responseCode: code}) : null);
  },
  onData(stream, session, callback) {
    stream.resume();
    stream.on("end", () => callback(null, "kept for " + session.user));
  },
});
server.listen(Number(port), "127.0.0.1", () => console.log("ready"));
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


@pytest.mark.real
def test_checks_16_and_43_recipients_and_size_with_smtp_server(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    """Too large for what EHLO said: refused before MAIL. For less than it said: by its 552 to MAIL."""
    large = MESSAGE.with_(text="x" * 5_000 + "\n")
    with smtp_server(tmp_path, certificates) as (port, _):
        url = f"smtp://me%40x.test@{HOST}:{port}?auth=xoauth2&ca_file={certificates.ca_file}&transcript=yes"
        with world.mailer(url, tokens=lambda: "good") as mailer:
            receipt = mailer.send(large.with_(to=["gone@y.test", "b@y.test", "later@y.test"]))
            assert [(r.outcome, r.code, r.text) for r in receipt.results] == [
                (Outcome.REJECTED, 550, "no such user"),
                (Outcome.ACCEPTED, 250, "kept for me@x.test"),
                (Outcome.DEFERRED, 451, "come back"),
            ]
            with pytest.raises(DeliveryRefused, match="the server takes 100000") as before:
                mailer.send(MESSAGE.with_(text="x" * 100_000))
            assert not any("C: MAIL" in line for line in before.value.receipt.transcript)
        with world.mailer(url, tokens=lambda: "small") as mailer:
            with pytest.raises(DeliveryRefused) as at_mail:
                mailer.send(large)
            assert mailer.send(MESSAGE).ok
        [result] = at_mail.value.receipt.results
        assert (result.code, result.text) == (552, "Error: message exceeds fixed maximum message size 1000")
        assert not any("octets of mail" in line for line in at_mail.value.receipt.transcript)
