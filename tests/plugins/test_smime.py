"""The plug-in ``smime``: what openssl verifies and opens, and what it must not send."""

from __future__ import annotations

import email
import email.policy
import subprocess
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from smime_certificates import NOW, certificate, key_of, pem
from worlds import World

from mailer import Address, Attachment, ConfigError, HookError, Mailer, Message, UnsupportedFeature
from mailer.dkim import DkimKey
from mailer.plugins.dkim import Dkim
from mailer.plugins.smime import Smime
from mailer.smime import SmimeCertificates, SmimeSigner
from mailer.testing import FakeRelay, SmtpServer


def signing(kind: str = "2048-a", *addresses: str, **settings: Any) -> Smime:
    own = certificate(kind, *(addresses or ("shop@example.com",)))
    return Smime(certificate=own, key=pem(key_of(kind)), **settings)


def both(*kinds: tuple[str, str], **settings: Any) -> Smime:
    return signing(recipients="".join(certificate(kind, address) for kind, address in kinds), **settings)


def hello(**more: object) -> Message:
    fields = {"from_": "Shop <shop@example.com>", "to": "ann@example.org", "subject": "Hi", "text": "Hellö\n-- \nx"}
    return Message(**{**fields, **more})


def openssl(folder: Path, content: bytes, *arguments: str, **files: str) -> bytes:
    """What ``openssl cms`` makes of it; files are passed by name."""
    (folder / "in.eml").write_bytes(content)
    command = ["openssl", "cms", *arguments, "-in", str(folder / "in.eml")]
    for option, text in files.items():
        (folder / option).write_text(text)
        command += [f"-{option}", str(folder / option)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def verified(folder: Path, content: bytes) -> Any:
    """The part that openssl takes for signed by somebody whom the authority knows, read."""
    authority = certificate("ec-authority", "authority")
    return email.message_from_bytes(
        openssl(folder, content, "-verify", "-crlfeol", CAfile=authority), policy=email.policy.default
    )


def test_openssl_verifies_what_a_server_got(world: World, tmp_path: Path) -> None:
    message = hello(html="<p>Hellö").attach(Attachment.from_bytes("ä.bin", bytes(range(256)) * 9))
    with SmtpServer() as server, world.mailer(server.url, plugins=[signing()]) as mailer:
        assert mailer.send(message).ok
        content = server.mails[0].content
    outer = email.message_from_bytes(content, policy=email.policy.default)
    assert outer.get_content_type() == "multipart/signed"
    assert (outer["Subject"], outer["From"], outer["MIME-Version"]) == ("Hi", "Shop <shop@example.com>", "1.0")
    part = verified(tmp_path, content)
    assert part.get_body(("plain",)).get_content().splitlines() == ["Hellö", "-- ", "x"]
    assert [one.get_content() for one in part.iter_attachments()] == [bytes(range(256)) * 9]
    assert set(part.keys()) == {"Content-Type"}
    (tmp_path / "in.eml").write_bytes(content.replace(b"Content-Type: text/html", b"Content-Type: text/xhtm"))
    changed = subprocess.run(
        ["openssl", "cms", "-verify", "-in", tmp_path / "in.eml", "-noverify"], capture_output=True, check=False
    )
    assert changed.returncode != 0
    assert b"digest failure" in changed.stderr or b"verification failure" in changed.stderr


def test_each_recipient_opens_it_and_finds_it_signed(tmp_path: Path) -> None:
    plugin = both(("2048-b", "ann@example.org"), ("2048-a", "BOB@example.org"))
    with Mailer("memory:", plugins=[plugin]) as mailer:
        mailer.send(hello(cc="Bob <bob@Example.org>"))
        content = bytes(mailer.backend.mails[0].content)
    assert b"Hell" not in content
    assert b"\r\nSubject: Hi\r\n" in content
    for kind in ("2048-a", "2048-b"):
        opened = openssl(tmp_path, content, "-decrypt", inkey=pem(key_of(kind)))
        assert verified(tmp_path, opened).get_content().splitlines() == ["Hellö", "-- ", "x"]
    with pytest.raises(AssertionError, match="rror"):
        openssl(tmp_path, content, "-decrypt", inkey=pem(key_of("2048-c")))


@pytest.mark.parametrize("kind", ["ec", "2048-b"])
def test_kinds_of_keys_chains_and_passwords(kind: str, tmp_path: Path) -> None:
    own, authority = certificate(kind, "shop@example.com"), certificate("ec-authority", "authority")
    plugin = Smime(certificate=authority + own, key=pem(key_of(kind), b"pw"), key_password="pw")
    with Mailer("memory:", plugins=[plugin]) as mailer:
        content = bytes(mailer.compose(hello()).content)
        assert verified(tmp_path, content).get_content_type() == "text/plain"
    names = openssl(tmp_path, content, "-verify", "-noverify", "-signer", str(tmp_path / "who"))
    assert names
    assert (tmp_path / "who").read_text().split() == own.split()


def test_dkim_signs_what_it_made(tmp_path: Path) -> None:
    dkim = Dkim(keys=[DkimKey.generate("example.com", "s", "ed25519")])
    with Mailer("memory:", plugins=[dkim, signing()]) as mailer:
        content = bytes(mailer.compose(hello()).content)
        assert content.startswith(b"DKIM-Signature:")
        assert verified(tmp_path, content).get_content().startswith("Hellö")
    plugins = [signing()]
    with Mailer("memory:", plugins=plugins) as mailer, pytest.raises(HookError, match="signed by DKIM already"):
        mailer.send_raw(content.replace(b"multipart/signed", b"multipart/mixed"))


def test_ready_made_mail(tmp_path: Path) -> None:
    head = b"From: shop@example.com\r\nTo: ann@example.org\r\nSubject: a\r\n folded\r\n"
    for rest, text in (
        (b"\r\nplain\r\n", "plain"),
        (b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nh\xc3\xb6\r\n", "hö"),
        (b"content-TYPE: text/plain;\r\n charset=utf-8\r\nMIME-version: 1.0\r\n\r\n.\r\n\r\n", ".\r\n\r\n"),
    ):
        with Mailer("memory:", plugins=[signing()]) as mailer:
            mailer.send_raw(head + rest)
            content = bytes(mailer.backend.mails[0].content)
            mailer.send_raw(content)  # signed already: as it is
            assert bytes(mailer.backend.mails[1].content) == content
        assert b"Subject: a\r\n folded\r\n" in content
        assert content.lower().count(b"mime-version") == 1
        assert verified(tmp_path, content).get_content().splitlines() == text.splitlines()
        with Mailer("memory:", plugins=[both(("2048-b", "ann@example.org"))]) as mailer:
            mailer.send_raw(content)
            sealed = bytes(mailer.backend.mails[0].content)
            mailer.send_raw(sealed)
            assert bytes(mailer.backend.mails[1].content) == sealed
        opened = openssl(tmp_path, sealed, "-decrypt", inkey=pem(key_of("2048-b")))
        assert verified(tmp_path, opened).get_content().splitlines() == text.splitlines()


def test_who_may_not_be_sent_to_in_clear_or_seen() -> None:
    ann, late = ("2048-b", "ann@example.org"), certificate("2048-c", "late@example.org", days=(-9, -1))
    early = certificate("2048-c", "early@example.org", days=(1, 9))
    plugin = signing(recipients=certificate(*ann) + certificate("2048-c", "bob@example.org") + late + early)
    with Mailer("memory:", plugins=[plugin]) as mailer:
        for to in ("nobody@example.org", "late@example.org", "early@example.org"):
            with pytest.raises(HookError, match=f"{to} has no valid S/MIME certificate"):
                mailer.send(hello(cc=to))
        with pytest.raises(HookError, match="in Bcc by themselves"):
            mailer.send(hello(bcc="bob@example.org"))
        raw = b"From: shop@example.com\r\nTo: ann@example.org\r\nBcc: bob@example.org\r\n\r\nx\r\n"
        with pytest.raises(HookError, match="in Bcc by themselves"):
            mailer.send_raw(raw)
        assert mailer.backend.mails == []
        assert mailer.send(hello(to=None, bcc="bob@example.org")).ok  # alone, there is nobody to see it
    with Mailer("memory:", plugins=[both(ann, missing="clear")]) as mailer:
        mailer.send(hello(cc="nobody@example.org"))
        mailer.send(hello())
        kinds = [b"multipart/signed" in bytes(mail.content) for mail in mailer.backend.mails]
        assert kinds == [True, False]


def test_of_several_certificates_the_one_that_holds_longest() -> None:
    several = [certificate("2048-b", "ann@example.org", days=days) for days in ((-3, 5), (-3, 9), (-3, 7), (-3, -1))]
    found = SmimeCertificates.parse("".join(several)).of(Address.parse("ANN@example.org"), NOW)
    assert found is not None
    assert found.public_bytes(serialization.Encoding.PEM).decode() == several[1]


def test_whose_certificate_it_is() -> None:
    for skip, plugin in ((False, signing()), (True, signing(unmatched="skip"))):
        with Mailer("memory:", plugins=[plugin]) as mailer:
            if skip:
                assert b"multipart/signed" not in bytes(mailer.compose(hello(from_="a@example.com")).content)
            else:
                with pytest.raises(HookError, match="not an address of the S/MIME certificate, which is for shop@"):
                    mailer.compose(hello(from_="a@example.com"))
    ended = signing()
    ended.clock = lambda: NOW + timedelta(days=31)  # type: ignore[method-assign]
    with Mailer("memory:", plugins=[ended]) as mailer, pytest.raises(HookError, match="renew it"):
        mailer.compose(hello())


def test_a_relay_carries_it_and_one_that_composes_anew_is_told(world: World, tmp_path: Path) -> None:
    with FakeRelay("ses") as relay, world.mailer(f"{relay.url}&api=mime", plugins=[signing()]) as mailer:
        assert mailer.send(hello()).ok
        content = b64decode(relay.requests[0].json["Content"]["Raw"]["Data"])
        assert verified(tmp_path, content).get_content().splitlines() == ["Hellö", "-- ", "x"]
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[signing()]) as mailer:
        with pytest.raises(UnsupportedFeature, match="raw"):
            mailer.send(hello())
        assert relay.requests == []


def test_a_wrong_setting_is_told_at_the_start_and_shows_no_key() -> None:
    own, key = certificate("2048-a", "shop@example.com"), pem(key_of("2048-a"))
    secret = key.splitlines()[3]
    for table, said in (
        ({}, "give certificate and key, to sign"),
        ({"certificate": own}, "both of them"),
        ({"certificate": own, "key": key[:200]}, "is no private key in PEM"),
        ({"certificate": own, "key": pem(key_of("2048-a"), b"pw")}, "has a password and key_password gives none"),
        ({"certificate": own, "key": pem(key_of("2048-a"), b"pw"), "key_password": "no"}, "is not its password"),
        ({"certificate": own, "key": key, "key_password": "no"}, "or the other way round"),
        ({"certificate": own, "key": pem(key_of("ec"))}, "none of them belongs to the key"),
        ({"certificate": own, "key": pem(key_of("ed25519"))}, "must be RSA or EC"),
        ({"certificate": own, "key": pem(key_of("1024"))}, "has 1024 bits"),
        ({"certificate": key, "key": key}, "must be certificates in PEM"),
        ({"recipients": "x"}, "recipients: must be certificates in PEM"),
        ({"recipients": certificate("2048-b")}, "names no e-mail address"),
        ({"recipients": certificate("ec", "a@example.org")}, "is not of an RSA key"),
    ):
        with pytest.raises(ConfigError, match=r"plugins\.smime") as caught:
            Smime(table)
        assert said in str(caught.value), table
        assert secret not in repr(caught.getrepr(showlocals=False))
        assert caught.value.__cause__ is None
    plugin = signing()
    assert secret not in repr(plugin.settings) + repr(plugin.settings.signer)
    assert SmimeSigner.parse(own, key).addresses == {"shop@example.com"}
