"""The plug-in ``dkim``: what a server gets is what was signed, whatever it offers, in each world; and its settings."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from dkim_verifier import signatures, verified
from worlds import World

from mailer import (
    Attachment,
    ConfigError,
    Content,
    DeliveryRefused,
    HookError,
    Mail,
    Mailer,
    Message,
    MessageError,
    Settings,
    UnsupportedFeature,
)
from mailer.backends.wrapping import WrappingBackend
from mailer.dkim import DkimKey
from mailer.mailbox.server import EXTENSIONS
from mailer.plugins.dkim import Dkim
from mailer.testing import FakeRelay, SmtpServer
from mailer.testing.secret_sweep import SecretSweep

RSA = DkimKey.generate("example.com", "r2026")
ED25519 = DkimKey.generate("example.com", "e2026", "ed25519")
NEWS = DkimKey.generate("news.example.com", "n1", "ed25519")
KEYS = (RSA, ED25519, NEWS)
SEED = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="

RAW = {
    "8-bit": "From: ann@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\nGrüße  \r\n\r\n.\r\n".encode(),
    "utf-8 header": "From: Ännchen <ann@example.com>\r\nTo: b@example.org\r\nSubject: é\r\n\r\nGrüße\r\n".encode(),
    "parts": (
        b"From: a@example.com\r\nTo: b@x.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
        b"\r\n--b\r\nContent-Type: text/plain; charset=latin-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9  \r\n"
        b"--b\r\nContent-Type: image/x-odd\r\nContent-Transfer-Encoding: binary\r\n\r\n\xff\xfe\r\n--b--\r\n"
    ),
    "empty": b"From: ann@example.com\r\nTo: b@example.org\r\n\r\n",
}


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "ann@example.org", "subject": "Hi", "text": "Hello  \n\n.\n"}
    return Message(**{**fields, **more})


MESSAGES = [
    hello(),
    hello(text=""),
    hello(subject="Grüße " * 30, to=[f"Jörg {number} <j{number}@example.org>" for number in range(9)]),
    hello(
        from_="a@shop.example.com", html="<p>é\t \n</p>", attachments=[Attachment.from_bytes("a", b"\xff" * 400_000)]
    ),
    hello(from_="Ann <a@news.example.com>", attachments=[Attachment.from_message(b"From: a@b\r\n\r\nx\r\n")]),
    hello(text="a" * 2000 + "\n" + "ü" * 2000),
]


def signing(*keys: DkimKey, **more: Any) -> Dkim:
    return Dkim(keys=keys or KEYS, **more)


def taken(content: bytes) -> None:
    """It is signed by the keys of its domain, and verifies as it came."""
    news = b"@news.example.com" in content.partition(b"To:")[0]
    assert [tags["s"] for tags in signatures(content)] == (["n1"] if news else ["r2026", "e2026"])
    assert all(verified(content, KEYS)), content[:2000]


# --- through servers --------------------------------------------------------------------------------------------------

OFFERS = {
    "everything": EXTENSIONS,
    "no CHUNKING": [word for word in EXTENSIONS if word != "CHUNKING"],
    "7-bit only": [word for word in EXTENSIONS if word not in ("8BITMIME", "SMTPUTF8", "CHUNKING")],
    "nothing": [],
}


def test_what_any_server_gets_verifies(world: World) -> None:
    for offered, extensions in OFFERS.items():
        with (
            SmtpServer(extensions=extensions) as server,
            world.mailer(server.url, plugins=[signing()]) as mailer,
        ):
            for message in MESSAGES:
                assert mailer.send(message).ok, offered
            assert all(receipt.ok for receipt in mailer.send_many(MESSAGES))
            for raw in RAW.values():
                assert mailer.send_raw(raw).ok, offered
            assert len(server.mails) == 2 * len(MESSAGES) + len(RAW)
            for mail in server.mails:
                taken(mail.content)
                assert mail.content.isascii()


def test_signed_bytes_are_sent_bytes(world: World) -> None:
    """What is composed, what ``memory:`` keeps and what a server gets."""
    with SmtpServer() as server, world.mailer(server.url, plugins=[signing()]) as mailer:
        kept: list[bytes] = []
        mailer.hooks.add_action("sending", lambda context: kept.append(bytes(context.mail.content)))
        mailer.send_many(MESSAGES)
        assert [mail.content for mail in server.mails] == kept
        assert mailer.compose(hello()).is_raw
    with world.mailer("memory:", plugins=[signing()]) as mailer:
        mailer.send(hello())
        [mail] = mailer.backend.mails
        taken(bytes(mail.content))


def test_filters_run_before_it_and_their_work_is_signed(world: World) -> None:
    """A ``mail`` filter and another signer, both added later: the signature is over what they made."""

    def marked(mail: Mail, context: Any) -> Mail:
        return mail.with_(content=Content.of(bytes(mail.content).replace(b"Hello", b"Goodbye")))

    def footed(mail: Mail, context: Any) -> Mail:
        return mail.with_(content=Content.of(bytes(mail.content) + b"-- \r\nsigned by another\r\n"))

    with SmtpServer() as server, world.mailer(server.url, plugins=[signing()]) as mailer:
        mailer.hooks.add_filter("sign", footed)
        mailer.hooks.add_filter("mail", marked)
        mailer.hooks.add_filter("headers", lambda headers, context: (*headers, ("List-Id", "<l.example.com>")))
        mailer.send(hello())
        [mail] = server.mails
        taken(mail.content)
        assert b"Goodbye" in mail.content
        assert mail.content.endswith(b"signed by another\r\n")
        assert signatures(mail.content)[0]["h"].split(":").count("list-id") == 2


def test_each_mail_of_a_merge_is_signed(world: World) -> None:
    message = hello(to=["a@example.org", "b@example.org"], merge_data={"a@example.org": {"x": "1"}})
    with SmtpServer() as server, world.mailer(server.url, plugins=[signing()]) as mailer:
        assert mailer.send(message).ok
        assert [mail.recipients for mail in server.mails] == [("a@example.org",), ("b@example.org",)]
        for mail in server.mails:
            taken(mail.content)


def test_a_wide_mailbox_is_signed_as_raw_utf8(world: World) -> None:
    with SmtpServer() as server, world.mailer(server.url, plugins=[signing()]) as mailer:
        assert mailer.send(hello(to="jösé@example.org")).ok
        # Nothing but its Reply-To is wide: as encoded words it would be nobody's, so it stays.
        raw = "From: a@example.com\r\nTo: b@example.org\r\nReply-To: jösé@example.org\r\n\r\nx\r\n".encode()
        assert mailer.send_raw(raw).ok
        for mail in server.mails:
            taken(mail.content)
            assert "jösé@example.org".encode() in mail.content


def test_what_is_signed_is_not_downgraded_afterwards(world: World) -> None:
    with (
        SmtpServer(extensions=OFFERS["7-bit only"]) as server,
        world.mailer(server.url, plugins=[signing()]) as mailer,
    ):
        raw = "From: a@example.com\r\nTo: b@example.org\r\nReply-To: jösé@example.org\r\n\r\nx\r\n".encode()
        with pytest.raises(DeliveryRefused) as caught:
            mailer.send_raw(raw)
        [result] = caught.value.receipt.results
        assert result.enhanced_code == "5.6.7"
        assert server.mails == []


def test_8_bit_that_must_stay_is_signed_so_and_never_re_encoded(world: World) -> None:
    """A signed part keeps its octets: a server that takes them gets them, one that does not gets nothing."""
    raw = (
        "From: a@example.com\r\nTo: b@example.org\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/signed; boundary=b; protocol="x/y"; micalg=sha-256\r\n\r\n'
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\né  \r\n--b--\r\n"
    ).encode()
    for extensions, is_taken in ((EXTENSIONS, True), (OFFERS["7-bit only"], False)):
        with (
            SmtpServer(extensions=extensions) as server,
            world.mailer(server.url, plugins=[signing()]) as mailer,
        ):
            if is_taken:
                assert mailer.send_raw(raw).ok
                taken(server.mails[0].content)
                assert "é  \r\n".encode() in server.mails[0].content
            else:
                with pytest.raises(DeliveryRefused, match="cannot be re-encoded"):
                    mailer.send_raw(raw)
                assert server.mails == []


def test_a_signature_that_is_there_already_stays(world: World) -> None:
    once = Mailer("memory:", plugins=[signing(NEWS)]).compose(hello(from_="a@news.example.com"))
    with SmtpServer() as server, world.mailer(server.url, plugins=[signing(NEWS)]) as mailer:
        assert mailer.send_raw(bytes(once.content)).ok
        [mail] = server.mails
        assert mail.content.endswith(bytes(once.content))
        assert verified(mail.content, KEYS) == [True, True]


def test_a_file_that_changes_before_it_is_sent_defers_the_mail(world: World, tmp_path: Path) -> None:
    path = tmp_path / "report.bin"
    path.write_bytes(b"1" * 300_000)
    with SmtpServer() as server, world.mailer(server.url, plugins=[signing()]) as mailer:
        mailer.hooks.add_action("sending", lambda context: path.write_bytes(b"2" * 300_000))
        with pytest.raises(Exception, match="changed since the mail was signed"):
            mailer.send(hello(attachments=[Attachment.from_path(path)]))
        assert server.mails == []


# --- where there are no bytes -----------------------------------------------------------------------------------------


def test_a_json_api_carries_no_signature(world: World) -> None:
    """Refused, or noted where the mailer's policy says so: then the provider signs, or nobody."""
    with FakeRelay("postmark") as relay:
        with world.mailer(relay.url, plugins=[signing()]) as mailer:
            with pytest.raises(UnsupportedFeature, match="a signer changed in the bytes") as caught:
                mailer.send(hello())
            assert caught.value.field == "raw"
            assert relay.requests == []
            [receipt] = mailer.send_many([hello()])
            assert isinstance(receipt.error, UnsupportedFeature)
        with world.mailer(relay.url, plugins=[signing()], unsupported="degrade") as mailer:
            receipt = mailer.send(hello())
            assert receipt.ok
            assert any("signer" in note for note in receipt.notes)
            assert "dkim" not in json.dumps(relay.requests[-1].json).lower()


def test_an_api_that_takes_whole_mails_carries_it(world: World) -> None:
    with FakeRelay("postal") as relay, world.mailer(f"{relay.url}&api=mime", plugins=[signing()]) as mailer:
        for message in MESSAGES:
            assert mailer.send(message).ok
        assert len(relay.requests) == len(MESSAGES)
        for request in relay.requests:
            taken(b64decode(request.json["data"]))


def test_what_a_service_replaces_is_not_signed(world: World) -> None:
    """SES writes Date and Message-ID anew: signed, they would break the signature."""
    with FakeRelay("ses") as relay:
        url = f"{relay.url}&api=mime"
        for backend in (url, f"failover({url} null:)", f"roundrobin(failover({url} null:))"):  # any member may carry it
            with world.mailer(backend, plugins=[signing()]) as mailer:
                assert mailer.send(hello()).ok
                assert WrappingBackend(mailer.backend).rewrites == {"date", "message-id"}
            content = b64decode(relay.requests[-1].json["Content"]["Raw"]["Data"])
            replaced = re.sub(rb"\r\n(Date|Message-ID): [^\r]*", rb"\r\n\1: another", content)
            assert replaced != content
            taken(replaced)


# --- which mails ------------------------------------------------------------------------------------------------------


def test_a_mail_that_no_key_signs_for_is_an_error_or_goes_unsigned(world: World) -> None:
    stranger = hello(from_="a@example.net")
    with world.mailer("memory:", plugins=[signing()]) as mailer:
        with pytest.raises(HookError, match=r"filter 'sign' of dkim .*no DKIM key signs for its domain") as caught:
            mailer.send(stranger)
        assert isinstance(caught.value.__cause__, MessageError)
        assert mailer.backend.mails == []
    with world.mailer("memory:", plugins=[signing(unmatched="skip")]) as mailer:
        mailer.send(stranger)
        mailer.send(hello())
        unsigned, signed = mailer.backend.mails
        assert signatures(bytes(unsigned.content)) == []
        assert not unsigned.is_raw
        taken(bytes(signed.content))
    with world.mailer(
        "memory:", plugins=[Dkim(keys=[DkimKey("example.com", "r2026", RSA._private, senders="*")])]
    ) as m:
        m.send(stranger)
        [mail] = m.backend.mails
        assert verified(bytes(mail.content), [RSA]) == [True]


def test_deactivated_it_signs_nothing(world: World) -> None:
    with world.mailer("memory:", plugins=[signing()]) as mailer:
        mailer.plugins.deactivate("dkim")
        mailer.send(hello())
        mailer.plugins.activate("dkim")
        mailer.send(hello())
        before, after = mailer.backend.mails
        assert len(signatures(bytes(before.content))) == 0
        taken(bytes(after.content))


def test_the_time_is_that_of_its_clock() -> None:
    class At(Dkim):
        clock = staticmethod(lambda: 1_796_068_734.9)

    content = bytes(Mailer("memory:", plugins=[At(keys=KEYS, expires_s=60)]).compose(hello()).content)
    tags = signatures(content)[0]
    assert (tags["t"], tags["x"]) == ("1796068734", "1796068794")


# --- settings ---------------------------------------------------------------------------------------------------------


def test_one_key_from_settings(tmp_path: Path) -> None:
    path = tmp_path / "dkim.pem"
    path.write_text(RSA.private_pem())
    named = {"domain": "example.com", "selector": "r2026"}
    for table in ({**named, "key": RSA.private_pem()}, {**named, "key_file": str(path)}):
        made = Mailer(settings={"url": "memory:", "plugins": {"dkim": table}})
        assert verified(bytes(made.compose(hello()).content), [RSA]) == [True]


def test_keys_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAILER_URL", "memory:")
    (tmp_path / "dkim.pem").write_text(RSA.private_pem())
    monkeypatch.setenv("MAILER_PLUGINS__DKIM__DOMAIN", "example.com")
    monkeypatch.setenv("MAILER_PLUGINS__DKIM__SELECTOR", "r2026")
    monkeypatch.setenv("MAILER_PLUGINS__DKIM__KEY_FILE", "dkim.pem")
    monkeypatch.setenv("MAILER_PLUGINS__DKIM__HEADERS", "X-One, X-Two")
    more = [{"domain": "example.com", "selector": "e2026", "key": SEED, "senders": "example.com, example.net"}]
    monkeypatch.setenv("MAILER_PLUGINS__DKIM__KEYS", json.dumps(more))
    content = bytes(Mailer().compose(hello(headers={"X-Two": "2"})).content)
    first, second = signatures(content)
    assert (first["a"], second["a"]) == ("rsa-sha256", "ed25519-sha256")
    assert first["h"].split(":").count("x-two") == 2
    assert verified(content, [RSA, DkimKey.parse("example.com", "e2026", SEED)]) == [True, True]


def test_a_wrong_setting_is_told_at_the_start_without_its_value(tmp_path: Path) -> None:
    pem = ED25519.private_pem()
    named = {"domain": "example.com", "selector": "r2026"}
    for table, said in [
        ({}, "key or key_file"),
        (named, "r2026: give key or key_file, one of them"),
        ({**named, "key": pem, "key_file": "x"}, "one of them"),
        ({**named, "key_file": str(tmp_path / "missing")}, "cannot be read: No such file"),
        ({**named, "key": pem[:-50]}, "neither PEM of a private key nor base64"),
        ({"selector": "s", "key": pem}, "'' is no domain to sign for"),
        ({"domain": "example.com", "key": pem}, "'' is no selector"),
        ({**named, "key": pem, "senders": "com"}, "'com' is no domain"),
        ({**named, "key": pem, "headers": "Received"}, "'Received' is no header field to sign"),
        ({**named, "key": pem, "unsigned": "Date, From"}, "'from' is no header field that could be left unsigned"),
        ({**named, "key": pem, "expires_s": 0}, "expires_s=0"),
        ({**named, "key": pem, "unmatched": "ignore"}, "unmatched"),
        ({**named, "key": pem, "domian": "x"}, "did you mean 'domain'"),
        ({**named, "key": pem, "keys": [{**named, "key": pem}]}, "given twice"),
        ({"keys": [{**named, "key": pem}, {"kye": 1}]}, r"keys\.1: kye: there is no such setting; did you mean 'key'"),
        ({"keys": [{**named, "key": 7}]}, r"keys\.0: key: must be a valid string"),
        ({"keys": [7]}, r"keys\.0: must be a table of settings, or a DkimKey"),
    ]:
        for make in (lambda t=table: Dkim(t), lambda t=table: Mailer("memory:", plugins={"dkim": t})):
            with pytest.raises(ConfigError, match=said) as caught:
                make()
            assert "plugins.dkim" in str(caught.value)
            for piece in pem.splitlines()[1:-1]:
                assert piece not in str(caught.value)


def test_a_private_key_is_shown_nowhere() -> None:
    secrets = [line for line in RSA.private_pem().splitlines()[1:-1] if len(line) > 20]
    table = {"domain": "example.com", "selector": "r2026", "key": RSA.private_pem()}
    sweep = SecretSweep([*secrets, SEED])
    with sweep.listening():
        settings = Settings({"url": "memory:", "plugins": {"dkim": table}})
        made = Mailer(settings=settings)
        plugin = Dkim(keys=[{"domain": "example.com", "selector": "e", "key": SEED}])
        shown: list[Any] = [settings, made, plugin, plugin.settings, plugin.settings.keys, settings.model_dump_json()]
        shown += [made.plugins["dkim"], made.plugins["dkim"].settings, plugin.settings.model_dump_json()]
        shown += [plugin.settings.signer(), made.plugins["dkim"].settings.signer().keys]
        for one in shown:
            sweep.show(one)
    sweep.check()
