"""Every dialogue in ``tests/dialogues``: commands, outcomes, errors and connections, however the replies are cut."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from exchange import DIALOGUES, Dialogue, exchange, message, sent, shown
from worlds import World


@pytest.mark.parametrize("chunk", [None, "line", "byte"])
@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_dialogue(world: World, path: Path, chunk: str | None, server_tls: ssl.SSLContext, ca_file: str) -> None:
    dialogue = Dialogue.read(path)
    options = dict(dialogue.options)
    if options.get("tls", "none") != "none":
        options["ca_file"] = ca_file
    server = {"chunk": chunk, "tls": server_tls}
    with exchange(world, dialogue.script, login=dialogue.login, server=server, **options) as (peer, mailer):
        for send in dialogue.sends:
            receipt, error = sent(mailer, message(*send.to))
            got = shown(receipt)
            assert len(got) == len(send.results)
            for (*facts, text), (*wanted, words) in zip(got, send.results, strict=True):
                assert facts == wanted
                assert words[1:] in text if words.startswith("~") else text == words
            assert (type(error).__name__ if error else "") == send.error
            (attempt,) = receipt.attempts
            cause = error.__cause__ if error else attempt.cause
            assert cause is attempt.cause
            assert (type(cause).__name__ if cause else "") == send.cause
            assert send.text in str(cause)
            assert send.note in "\n".join(receipt.notes)
    assert peer.connections == dialogue.connections
    assert all("secret" not in f"{line}" for connection in peer.log for line in connection)
