"""What the commands print: receipts, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from ..errors import DeliveryError, MailerError
from ..receipt import Receipt

__all__ = ["echo_json", "echo_receipt", "echo_rows", "echo_trace", "plain", "report"]


def plain(text: str) -> str:
    """One line that a terminal shows and does not obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def echo_json(data: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def echo_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print a table: each column as wide as its widest cell, but for the last."""
    widths = [max(map(len, column)) for column in zip(*[row[:-1] for row in rows], strict=True)]
    for row in rows:
        cells = [f"{plain(cell):<{width}}" for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, plain(row[-1])]).rstrip())


def echo_receipt(receipt: Receipt) -> None:
    """Print a line for each recipient, then the notes and what went wrong."""
    width = max((len(result.address.addr_spec) for result in receipt.results), default=0)
    for result in receipt.results:
        said = " ".join(str(part) for part in (result.code, result.enhanced_code, result.text) if part)
        click.echo(f"{result.outcome.value:<9} {plain(result.address.addr_spec):<{width}}  {plain(said)}".rstrip())
    if receipt.skipped is not None:
        click.echo(f"skipped   {plain(receipt.skipped)}")
    for note in receipt.notes:
        click.echo(f"note      {plain(note)}")
    click.echo(f"by        {receipt.backend}" if receipt.backend else "not sent")


def echo_trace(receipt: Receipt) -> None:
    """Print, for each attempt, what was said and where the time went."""
    for attempt in receipt.attempts:
        for line in attempt.transcript:
            click.echo(plain(line))
        if attempt.timings:
            parts = ", ".join(f"{phase} {seconds:.3f}" for phase, seconds in attempt.timings.items())
            click.echo(f"{attempt.duration_s:.3f} s by {attempt.backend}: {parts}")


def report(receipt: Receipt | None, error: MailerError | None, *, as_json: bool, verbose: bool = False) -> None:
    """Print what came of a send, then raise what is not well, so that the command exits with its code.

    Raises:
        MailerError: The error, or what :meth:`Receipt.raise_unless_ok` says of the receipt.
    """
    if isinstance(error, DeliveryError):
        receipt = error.receipt
    if as_json:
        problem = None if error is None else {"type": type(error).__name__, "text": str(error)}
        echo_json({"error": problem} if receipt is None else {**receipt.to_dict(), "error": problem})
    elif receipt is not None:
        if verbose:
            echo_trace(receipt)
        echo_receipt(receipt)
    if error is not None:
        raise error
    if receipt is not None:
        receipt.raise_unless_ok()
