"""LMTP against Dovecot (check 50): an outcome for each recipient after the data, by unix socket and by TCP with TLS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from worlds import World

import mailer

from .conftest import _folder
from .peers import DOMAIN, HOST, Certificates, _program, _running, _subfolder, free_port

pytestmark = pytest.mark.real

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = lmtp
auth_username_format = %n
ssl_cert = <{cert}
ssl_key = <{key}
mail_location = maildir:{folder}/mail/%u
mail_plugins = quota
plugin {{
  quota = maildir:quota
}}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
  default_fields = uid=nobody gid=nogroup home={folder}/mail/%u
}}
first_valid_uid = 1
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Store:
    """A running Dovecot: ada, bob and full have mailboxes, the last one room for nothing."""

    folder: Path
    urls: dict[str, str]

    def kept(self, user: str, having: str) -> list[bytes]:
        """The mails in a mailbox that hold this; they are there when the reply is."""
        files = (self.folder / "mail" / user / "new").glob("*")
        return [content for path in files if having.encode() in (content := path.read_bytes())]


@pytest.fixture(scope="module")
def store(certificates: Certificates) -> Iterator[Store]:
    program, port = _program("dovecot"), free_port()
    with _folder("dovecot") as folder:
        _subfolder(folder, "mail", owner="nobody")
        users = {"ada": "", "bob": "", "full": "userdb_quota_rule=*:storage=1B"}
        (folder / "users").write_text("".join(f"{name}:::::::{extra}\n" for name, extra in users.items()))
        (folder / "dovecot.conf").write_text(
            _CONFIG.format(folder=folder, host=HOST, port=port, cert=certificates.cert_file, key=certificates.key_file)
        )
        urls = {
            "unix": f"lmtp://{folder}/lmtp",
            "tcp": f"lmtp://{HOST}:{port}?tls=required&ca_file={certificates.ca_file}",
        }
        with _running([program, "-F", "-c", folder / "dovecot.conf"], folder=folder, port=port):
            yield Store(folder, urls)


def _message(*to: str, **changed: Any) -> mailer.Message:
    fields = {"from_": "shop@example.com", "subject": "s", "text": "one\n.\n..two\n"}
    return mailer.Message(to=[f"{user}@{DOMAIN}" for user in to], **{**fields, **changed})


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_check_50_an_outcome_for_each_recipient(store: Store, world: World, way: str) -> None:
    token = uuid.uuid4().hex
    with world.mailer(store.urls[way]) as client:
        health = client.check()
        receipt = client.send(_message("ada", "nobody", "full", "bob", headers={"X-Token": token}))
    assert health.facts["tls"].startswith("TLSv1.") is (way == "tcp")
    assert [(r.outcome.value, r.code, r.enhanced_code) for r in receipt.results] == [
        ("accepted", 250, "2.0.0"),
        ("rejected", 550, "5.1.1"),
        ("rejected", 552, "5.2.2"),
        ("accepted", 250, "2.0.0"),
    ]
    assert f"<bob@{DOMAIN}>" in receipt.results[3].text
    assert [len(store.kept(user, token)) for user in ("ada", "full", "bob")] == [1, 0, 1]
    assert b"\none\n.\n..two\n" in store.kept("bob", token)[0].replace(b"\r\n", b"\n")


def test_many_mails_share_a_connection_and_arrive_once_each(store: Store, world: World) -> None:
    token = uuid.uuid4().hex
    with world.mailer(store.urls["unix"]) as client:
        messages = [_message("ada", "full", headers={"X-Token": f"{token}-{n}."}) for n in range(50)]
        receipts = client.send_many(messages)
    assert [[r.outcome.value for r in receipt.results] for receipt in receipts] == [["accepted", "rejected"]] * 50
    assert [len(store.kept("ada", f"{token}-{n}.")) for n in range(50)] == [1] * 50


def test_a_large_mail(store: Store, world: World) -> None:
    token = uuid.uuid4().hex
    large = mailer.Attachment.from_bytes("large.bin", bytes(range(256)) * 8000)
    with world.mailer(store.urls["unix"]) as client:
        assert client.send(_message("ada", "bob", headers={"X-Token": token}, attachments=[large])).ok
    assert [len(store.kept(user, token)) for user in ("ada", "bob")] == [1, 1]
