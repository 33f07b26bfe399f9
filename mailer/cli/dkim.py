"""``mailer dkim``: keys to sign with, and the DNS records to publish."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from ..backends.options import dns_servers
from ..dkim_key import RSA_BITS, DkimKey
from ..dns import DnsClient
from ..errors import ConfigError
from ..runtime import BlockingRuntime, drive
from .backend import mailer_of, mailer_option
from .show import echo_json, plain

__all__ = ["command"]

_DNS_S = 20.0


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


@command.command("check")
@mailer_option
@click.option("--resolver", metavar="SERVERS", help="DNS servers to ask, by IP address. [default: those of the system]")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def check(name: str | None, resolver: str | None, as_json: bool) -> None:
    """Ask DNS whether the keys of the plug-in dkim are published: whether what they sign will verify.

    The keys are those of the settings. Exits with 78 if one is not published, or not as it is.
    """
    with mailer_of(None, name, needs_url=False) as mailer:
        if "dkim" not in mailer.plugins:
            raise ConfigError("the plug-in dkim is not on: there are no keys (MAILER_PLUGINS, or a table plugins.dkim)")
        keys = mailer.plugins["dkim"].settings.signer().keys
        faults = drive(_faults(keys, _servers(resolver)))
    if as_json:
        rows = zip(keys, faults, strict=True)
        echo_json([{"name": key.dns_name, "ok": fault is None, "fault": fault} for key, fault in rows])
    else:
        for key, fault in zip(keys, faults, strict=True):
            click.echo(
                f"{'ok' if fault is None else 'NOT OK'}  {key.dns_name}" + (f"  {plain(fault)}" if fault else "")
            )
    wrong = [key for key, fault in zip(keys, faults, strict=True) if fault is not None]
    if wrong:
        raise ConfigError(f"publish this TXT record:\n\nname   {wrong[0].dns_name}\nvalue  {wrong[0].dns_record}")


async def _faults(keys: Iterable[DkimKey], servers: Sequence[tuple[str, int]] | None) -> list[str | None]:
    """What is wrong with each one's record."""
    runtime, dns = BlockingRuntime(), DnsClient(servers)
    faults = []
    for key in keys:
        answer = await dns.look_up(runtime, key.dns_name, "TXT", runtime.now() + _DNS_S)
        faults.append(key.fault_in(answer.records))
    return faults


def _servers(text: str | None) -> list[tuple[str, int]] | None:
    try:
        return None if text is None else dns_servers(text)
    except ValueError as error:
        raise click.UsageError(f"--resolver {error}") from error


def _write(path: Path, text: str) -> None:
    """A new file, for its owner's eyes alone."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)


def _toml(text: str) -> str:
    return '"' + plain(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
