"""OpenSMTPD 6.8, which offers STARTTLS and, with OpenSSL 3, breaks off each handshake: what its Debian package does."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds import World

import mailer

from .conftest import _folder
from .peers import DOMAIN, HOME, HOST, Certificates, MissingProgramError, Peer, _program, _running, free_port
from .test_interoperation import _small
from .test_mx import ZONE, became

pytestmark = pytest.mark.real

_CONFIG = """\
pki {domain} cert "/etc/cert.pem"
pki {domain} key "/etc/key.pem"
listen on {host} port {port} tls pki {domain} hostname {domain}
action "on" relay host smtp://{host}:{next_port}
match from any for any action "on"
"""


@pytest.fixture(scope="module")
def opensmtpd(certificates: Certificates, smtp_sink: Peer) -> Iterator[Peer]:
    """It hands everything on to the smtp-sink. Its root is a folder of its own, since its paths are compiled in."""
    unpacked = HOME / "opensmtpd"
    if not unpacked.is_dir():
        raise MissingProgramError("OpenSMTPD is not unpacked: run .ci/install-real-peers as root")
    with _folder("opensmtpd") as folder:
        root, port = Path(shutil.copytree(unpacked, folder / "root", symlinks=True)), free_port()
        for name, file in (("cert", certificates.cert_file), ("key", certificates.key_file)):
            target = root / "etc" / f"{name}.pem"
            shutil.copy(file, target)
            target.chmod(0o600)  # it refuses keys that others may read
        config = _CONFIG.format(domain=DOMAIN, host=HOST, port=port, next_port=smtp_sink.port)
        (root / "etc/smtpd.conf").write_text(config)
        with _running([_program("chroot"), root, "/usr/sbin/smtpd", "-d"], folder=folder, port=port):
            yield Peer(name="opensmtpd", url=f"smtp://{HOST}:{port}", port=port, received=smtp_sink.received)


@pytest.mark.parametrize("policy", ["required", "required&verify=no", "opportunistic"])
def test_f19_a_broken_handshake_is_a_tls_error_and_nothing_goes_in_clear(
    opensmtpd: Peer, certificates: Certificates, world: World, policy: str
) -> None:
    """To a server of our choice a failed handshake is never a reason to go without, once it offered TLS."""
    token = uuid.uuid4().hex
    url = f"{opensmtpd.url}?tls={policy}&ca_file={certificates.ca_file}&transcript=yes"
    with world.mailer(url) as client, pytest.raises(mailer.DeliveryDeferred) as caught:
        client.send(_small(token, to=["bob@example.net", "zoe@example.org"]))
    assert isinstance(caught.value.__cause__, mailer.TlsError)
    assert "the TLS handshake failed" in str(caught.value.__cause__)
    assert HOST in str(caught.value.__cause__)
    receipt = caught.value.receipt
    assert [result.outcome for result in receipt.results] == [mailer.Outcome.DEFERRED] * 2
    said = [line for line in receipt.transcript if " C: " in line]
    assert said[-1].endswith("C: STARTTLS")
    assert opensmtpd.received(0, having=token.encode()) == []


def test_without_tls_it_takes_the_mail(opensmtpd: Peer, world: World) -> None:
    token = uuid.uuid4().hex
    with world.mailer(f"{opensmtpd.url}?tls=none") as client:
        receipt = client.send(_small(token))
    [result] = receipt.results
    assert (result.code, result.enhanced_code) == (250, "2.0.0")
    assert result.provider_id == result.text.split()[0]
    assert len(opensmtpd.received(1, having=token.encode())) == 1


def test_f19_between_strangers_mx_goes_on_without_tls(opensmtpd: Peer, world: World) -> None:
    """RFC 7435 section 3: on a second connection, in clear, and the result says so."""
    token = uuid.uuid4().hex
    assert became(world, opensmtpd, ZONE, token)[:3] == (250, "mx1.example.org", "none")
    assert len(opensmtpd.received(1, having=token.encode())) == 1
