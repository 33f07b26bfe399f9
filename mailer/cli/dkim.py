"""``mailer dkim``: keys to sign with, and the DNS records to publish."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..dkim_key import RSA_BITS, DkimKey
from ..errors import ConfigError
from .show import plain

__all__ = ["command"]


@click.group("dkim")
def command() -> None:
    """Keys for the plug-in dkim, which signs what is sent (RFC 6376)."""


@command.command("keygen")
@click.argument("domain")
@click.option(
    "--selector",
    metavar="NAME",
    default="mail",
    help="Its name among the domain's keys: a new key has a new one. [default: mail]",
)
@click.option(
    "--type",
    "kind",
    type=click.Choice(["rsa", "ed25519", "both"]),
    metavar="TYPE",
    default="rsa",
    help="rsa, which everybody verifies; ed25519, to go beside it; or both. [default: rsa]",
)
@click.option(
    "--bits",
    type=click.Choice(["2048", "3072", "4096"]),
    metavar="BITS",
    default=str(RSA_BITS),
    help="Of RSA: 2048, 3072 or 4096. [default: 2048]",
)
@click.option(
    "--folder",
    default=".",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where to write the private key. [default: here]",
)
def keygen(domain: str, selector: str, kind: str, bits: str, folder: Path) -> None:
    """Make a key for a domain: write its private half to a file, print the DNS record of its public half.

    With "both", the Ed25519 key has the selector with "-ed25519" behind it. No file is overwritten.
    """
    keys = []
    if kind != "ed25519":
        keys.append(DkimKey.generate(domain, selector, bits=int(bits)))
    if kind != "rsa":
        keys.append(DkimKey.generate(domain, f"{selector}-ed25519" if keys else selector, "ed25519"))
    paths = [folder / f"{key.dns_name}.pem" for key in keys]
    for path in paths:
        if path.exists():
            raise ConfigError(f"{path} is there already: remove it, or choose another --selector")
    folder.mkdir(parents=True, exist_ok=True)
    for key, path in zip(keys, paths, strict=True):
        _write(path, key.private_pem())
        click.echo(f"wrote  {plain(str(path))}  keep it secret: who has it signs as {key.domain}")
    for key in keys:
        click.echo(f"\nTXT record to publish, for {key.algorithm}:\n\nname   {key.dns_name}\nvalue  {key.dns_record}")
        click.echo(f"\nThe same in a zone file:\n\n{key.zone_line}")
    click.echo("\nSettings, in mailer.toml, once it is published:\n")
    for key, path in zip(keys, paths, strict=True):
        click.echo("[plugins.dkim]" if len(keys) == 1 else "[[plugins.dkim.keys]]")
        click.echo(f'domain = "{key.domain}"\nselector = "{key.selector}"')
        click.echo(f"key_file = {_toml(str(path))}")


def _write(path: Path, text: str) -> None:
    """A new file, for its owner's eyes alone."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)


def _toml(text: str) -> str:
    return '"' + plain(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
