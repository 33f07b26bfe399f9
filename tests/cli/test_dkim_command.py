"""``mailer dkim keygen``: what it writes is what it prints the record of, and nobody else reads it."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

import pytest
from command import mailer
from dkim_verifier import verified

from mailer import Mailer, Message
from mailer.dkim import DkimKey


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
