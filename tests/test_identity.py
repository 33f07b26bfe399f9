"""Message-IDs: unique over processes and forks, and silent about this machine (PROTOCOL.md check 58, B22)."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys

import pytest

from mailer import Address, Mailer, Message
from mailer.sealing import _message_id

SENDER = (Address.parse("shop@example.com"),)


MAKING = """
from mailer import Address
from mailer.sealing import _message_id
sender = (Address.parse("shop@example.com"),)
print(*[_message_id(sender) for _ in range(12_000)], sep="\\n")
"""

FORKING = """
import os
from mailer import Address
from mailer.sealing import _message_id
sender = (Address.parse("shop@example.com"),)
before = [_message_id(sender) for _ in range(1000)]
child = os.fork()
after = [_message_id(sender) for _ in range(1000)]
if child:  # one after the other, or their lines would mix
    os.waitpid(child, 0)
    print(*before, sep="\\n")
print(*after, sep="\\n", flush=True)
if not child:
    os._exit(0)
"""


def test_b22_message_ids_of_eight_processes_and_of_forks_are_unique() -> None:
    scripts = [MAKING] * 8 + [FORKING]
    makers = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for script in scripts]
    made = [_message_id(SENDER) for _ in range(1_000)]
    for maker in makers:
        made += maker.communicate(timeout=60)[0].split()
    assert len(made) == 100_000
    assert len(set(made)) == 100_000


def test_b22_a_message_id_names_no_host_user_or_process() -> None:
    with Mailer("memory:") as mailer:
        mail = mailer.compose(Message(from_=SENDER, to="ann@example.org", text="t"))
    [found] = [line for line in bytes(mail.content).split(b"\r\n") if line.startswith(b"Message-ID:")]
    left, _, right = found.decode().removeprefix("Message-ID: <").removesuffix(">").partition("@")
    assert right == "example.com"
    assert len(left) == 32
    assert set(left) <= set("0123456789abcdef")
    for word in (socket.gethostname(), getpass.getuser()):
        assert word not in left
    assert str(os.getpid()) != left


@pytest.mark.parametrize("sender", ["a@[192.0.2.1]", "a@b\u00fccher.example"])
def test_a_message_id_fits_any_sender(sender: str) -> None:
    with Mailer("memory:") as mailer:
        content = bytes(mailer.compose(Message(from_=sender, to="ann@example.org", text="t")).content)
    assert content.isascii()
    assert content.count(b"Message-ID: <") == 1
