"""Every dialogue in ``tests/dialogues``: commands, outcomes, errors and connections, however the replies are cut."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from exchange import DIALOGUES, Dialogue, Send, exchange, message, sent, shown
from worlds import SyncMailer, World

CHUNKS = (None, "line", "byte")


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_dialogue(world: World, path: Path, server_tls: ssl.SSLContext, ca_file: str) -> None:
    dialogue = Dialogue.read(path)
    options = dict(dialogue.options)
    if options.get("tls", "none") != "none":
        options["ca_file"] = ca_file
    for chunk in CHUNKS:
        with exchange(
            world, dialogue.script, login=dialogue.login, server={"chunk": chunk, "tls": server_tls}, **options
        ) as (peer, mailer):
            for send in dialogue.sends:
                check_sent(mailer, send, f"sent by {chunk or 'segment'}")
        assert peer.connections == dialogue.connections, chunk
        assert all("secret" not in f"{line}" for connection in peer.log for line in connection)


def check_sent(mailer: SyncMailer, send: Send, how: str) -> None:
    """Send one message of the dialogue, and find what the file says became of it."""
    receipt, error = sent(mailer, message(*send.to))
    got = shown(receipt)
    assert len(got) == len(send.results), how
    for (*facts, text), (*wanted, words) in zip(got, send.results, strict=True):
        assert facts == wanted, how
        assert words[1:] in text if words.startswith("~") else text == words, how
    assert (type(error).__name__ if error else "") == send.error, how
    (attempt,) = receipt.attempts
    cause = error.__cause__ if error else attempt.cause
    assert cause is attempt.cause, how
    assert (type(cause).__name__ if cause else "") == send.cause, how
    assert send.text in str(cause), how
    assert send.note in "\n".join(receipt.notes), how
