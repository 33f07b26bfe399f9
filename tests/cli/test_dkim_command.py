"""``mailer dkim keygen``: what it writes is what it prints the record of, and nobody else reads it."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command import mailer
from dkim_verifier import verified

from mailer import Mailer, Message
from mailer.dkim import DkimKey
from mailer.testing.dns import DnsServer


def settings_of(output: str) -> dict[str, object]:
    return tomllib.loads(output.partition("mailer.toml, once it is published:\n")[2])


def test_the_settings_it_prints_sign_what_its_records_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = mailer("dkim", "keygen", "Bücher.example", "--type", "both", "--folder", "keys", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    monkeypatch.chdir(tmp_path)
    with Mailer(settings={"url": "memory:", **settings_of(done.stdout)}) as made:
        content = bytes(made.compose(Message(from_="a@bücher.example", to="b@example.org", text="x")).content)
        keys = made.plugins["dkim"].settings.signer().keys
    assert verified(content, keys) == [True, True]
    assert [key.dns_name for key in keys] == [
        "mail._domainkey.xn--bcher-kva.example",
        "mail-ed25519._domainkey.xn--bcher-kva.example",
    ]
    shown = dict(re.findall(r"^name   (.*)\nvalue  (.*)$", done.stdout, re.M))
    assert shown == {key.dns_name: key.dns_record for key in keys}
    for key in keys:
        assert key.zone_line in done.stdout
        path = tmp_path / f"keys/{key.dns_name}.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not set(path.read_text().splitlines()[1:-1]) & set(done.stdout.split())


def test_one_key_is_one_table(tmp_path: Path) -> None:
    done = mailer("dkim", "keygen", "example.com", "--selector", "s1", "--type", "ed25519", folder=tmp_path)
    [path] = tmp_path.iterdir()
    table = {"domain": "example.com", "selector": "s1", "key_file": path.name}
    assert settings_of(done.stdout) == {"plugins": {"dkim": table}}
    assert DkimKey.parse("example.com", "s1", path.read_text()).dns_record in done.stdout


def test_a_key_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    again = ("dkim", "keygen", "example.com", "--type", "ed25519")
    assert mailer(*again, folder=tmp_path).returncode == 0
    [path] = tmp_path.iterdir()
    before = path.read_bytes()
    done = mailer(*again, folder=tmp_path)
    assert done.returncode == 78
    assert "is there already" in done.stderr
    assert path.read_bytes() == before
    # Of two, none is written if one is there.
    done = mailer("dkim", "keygen", "example.com", "--type", "both", "--selector", "x", folder=tmp_path)
    (tmp_path / "x-ed25519._domainkey.example.com.pem").unlink()
    assert (
        mailer("dkim", "keygen", "example.com", "--type", "both", "--selector", "x", folder=tmp_path).returncode == 78
    )
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "said"), [(("com",), "no domain"), (("example.com", "--selector", "a;b"), "no selector")]
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = mailer("dkim", "keygen", *arguments, "--type", "ed25519", folder=tmp_path)
    assert done.returncode == 78
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- mailer dkim check ------------------------------------------------------------------------------------------------

KEY = DkimKey.generate("example.com", "s1", "ed25519")
SECOND = DkimKey.generate("example.com", "s2")


def settings_file(folder: Path, *keys: DkimKey) -> None:
    tables = ""
    for key in keys:
        (folder / f"{key.selector}.pem").write_text(key.private_pem())
        tables += f'[[plugins.dkim.keys]]\ndomain = "{key.domain}"\nselector = "{key.selector}"\n'
        tables += f'key_file = "{key.selector}.pem"\n'
    (folder / "mailer.toml").write_text(f'url = "null:"\n{tables}')


def asked(folder: Path, zone: str, *arguments: str, faults: Any = None) -> tuple[int, str, str]:
    with DnsServer(zone, faults) as server:
        host, port = server.address
        done = mailer("dkim", "check", "--resolver", f"{host}:{port}", *arguments, folder=folder)
    return done.returncode, done.stdout, done.stderr


def published(*keys: DkimKey) -> str:
    return "\n".join(key.zone_line.replace(". IN", " 60 IN").replace("( ", "").replace(" )", "") for key in keys)


def test_keys_that_are_published_are_ok(tmp_path: Path) -> None:
    settings_file(tmp_path, KEY, SECOND)
    code, out, err = asked(tmp_path, published(KEY, SECOND))
    assert (code, err) == (0, "")
    assert out == "ok  s1._domainkey.example.com\nok  s2._domainkey.example.com\n"


def test_it_needs_no_backend(tmp_path: Path) -> None:
    settings_file(tmp_path, KEY)
    file = tmp_path / "mailer.toml"
    file.write_text(file.read_text().replace('url = "null:"\n', ""))
    assert asked(tmp_path, published(KEY))[0] == 0


def test_one_that_is_not_is_told_with_what_to_publish(tmp_path: Path) -> None:
    settings_file(tmp_path, KEY, SECOND)
    code, out, err = asked(tmp_path, published(SECOND))
    assert code == 78
    assert out == "NOT OK  s1._domainkey.example.com  there is no TXT record\nok  s2._domainkey.example.com\n"
    assert f"value  {KEY.dns_record}" in err
    code, out, _ = asked(tmp_path, published(SECOND), "--json")
    assert code == 78
    assert [row["ok"] for row in json.loads(out)] == [False, True]


def test_what_cannot_be_learnt_is_no_fault_of_the_key(tmp_path: Path) -> None:
    settings_file(tmp_path, KEY)
    code, _, err = asked(tmp_path, "", faults={("s1._domainkey.example.com", "TXT"): "servfail"})
    assert code == 75
    assert "ConnectError" in err


def test_without_keys_or_with_a_wrong_resolver_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "mailer.toml").write_text('url = "null:"')
    code, _, err = asked(tmp_path, "")
    assert code == 78
    assert "the plug-in dkim is not on" in err
    settings_file(tmp_path, KEY)
    done = mailer("dkim", "check", "--resolver", "dns.example", folder=tmp_path)
    assert done.returncode == 64
    assert "--resolver must be IP addresses" in done.stderr


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ("{record}", None),
        ("{record};", None),
        ("k=ed25519;p= {p} ; n=a note", None),
        ("v=DKIM1; k=ed25519; h=sha1:sha256; s=email; t=y; p={p}", None),
        ("v=DKIM2; k=ed25519; p={p}", "not of version DKIM1"),
        ("v=DKIM1; k=ed25519; p=", "revoked"),
        ("v=DKIM1; k=ed25519", "has no key"),
        ("v=DKIM1; p={p}", "it says k=rsa, and the key is ed25519"),
        ("v=DKIM1; k=ed25519; p=AAAA", "another key"),
        ("v=DKIM1; k=ed25519; h=sha1; p={p}", "does not allow sha256"),
        ("v=DKIM1; k=ed25519; s=tlsrpt; p={p}", "not for mail"),
        ("", "has no key"),
    ],
)
def test_what_is_wrong_with_a_record(record: str, fault: str | None) -> None:
    text = record.format(record=KEY.dns_record, p=KEY.dns_record.partition("p=")[2])
    said = KEY.fault_in([text])
    assert (said is None) if fault is None else (fault in (said or ""))
    assert "2 TXT records" in (KEY.fault_in([text, text]) or "")
