"""DKIM, side by side with dkimpy in one run: ``python tests/benchmarks/dkim.py``.

Both sign the same bytes with the same key, relaxed/relaxed, the same fields of the header; dkimpy verifies both. Each
case alternates the two and keeps the best of several rounds, in CPU time. Beside them, what of ours is the signature
alone (OpenSSL's work, by way of ``cryptography``), and the peak of memory over a mail of 25 MB that is read from disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# This file is named for its noun, and what it compares with has the same name.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

import dkim  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402

from mailer import Attachment, Content, Message  # noqa: E402
from mailer.dkim import DkimKey, DkimSigner  # noqa: E402
from mailer.mime import compose  # noqa: E402

TEXT = "This is a line of plain text, as an order confirmation has many of them.\n"
FIELDS = "from to subject date message-id mime-version content-type".split()


def mail(size_bytes: int, **more: Any) -> Content:
    text = (TEXT * (size_bytes // len(TEXT) + 1))[: max(size_bytes - 400, 0)] + "\n"
    message = Message(from_="Shop <shop@example.com>", to="ann@example.org", subject="Your order", text=text, **more)
    return compose(message, message_id="<1@example.com>", date=datetime.now(UTC), boundary="b" * 32)


def best(functions: list[Callable[[], object]], rounds: int, numbers: list[int]) -> list[float]:
    """Seconds of CPU per call of each function: the best of the rounds, which take turns."""
    figures = [float("inf")] * len(functions)
    for _ in range(rounds):
        for index, (function, number) in enumerate(zip(functions, numbers, strict=True)):
            start = time.process_time()
            for _ in range(number):
                function()
            figures[index] = min(figures[index], (time.process_time() - start) / number)
    return figures


def their_key(key: DkimKey) -> bytes:
    """As dkimpy reads it."""
    private = key._private
    if key.algorithm == "ed25519-sha256":
        return b64encode(private.private_bytes_raw())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def compared(name: str, key: DkimKey, content: Content, rounds: int, numbers: list[int]) -> None:
    whole, private = bytes(content), their_key(key)
    signer = DkimSigner([key])
    covered = [field.encode() for field in FIELDS]

    def theirs() -> bytes:
        return bytes(
            dkim.sign(
                whole,
                key.selector.encode(),
                key.domain.encode(),
                private,
                canonicalize=(b"relaxed", b"relaxed"),
                signature_algorithm=key.algorithm.encode(),
                include_headers=covered,
            )
        )

    def ours() -> Content:
        made = signer.signed(content, now=1_796_068_734)
        assert made is not None
        return made

    def answer(name: bytes, timeout: int = 5) -> bytes:
        return key.dns_record.encode()

    for made in (bytes(ours()), theirs() + whole):
        if not dkim.verify(made, dnsfunc=answer):
            raise SystemExit(f"{name}: dkimpy does not verify it")
    mine, alone, other = best([ours, lambda: key.sign(b"x" * 600), theirs], rounds, [*numbers[:1], *numbers])
    print(f"{name:<28}{mine * 1e3:>9.3f}{alone * 1e3:>13.3f}{other * 1e3:>9.2f}{other / mine:>9.1f}x")


def peak_of_a_file(size_mb: int) -> float:
    """MB over the base while a mail with such a file is signed and read to its end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob.bin"
        with path.open("wb") as file:
            for _ in range(size_mb):
                file.write(os.urandom(1 << 20))
        signer = DkimSigner([DkimKey.generate("example.com", "e", "ed25519")])
        content = mail(1000, attachments=[Attachment.from_path(path)])
        tracemalloc.start()
        made = signer.signed(content, now=1)
        assert made is not None
        total = sum(map(len, made))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total > size_mb << 20
        return peak / 1e6


def main() -> None:
    quick = sys.argv[1:] == ["--quick"]  # that it runs; its figures say nothing
    rounds, scale, large_mb = (1, 1, 1) if quick else (7, 20, 10)
    print(f"Python {sys.version.split()[0]}, dkimpy; ms of CPU per mail")
    print(f"{'case':<28}{'ours':>9}{'(signature)':>13}{'dkimpy':>9}{'ratio':>10}")
    rsa = DkimKey.generate("example.com", "r")
    ed25519 = DkimKey.generate("example.com", "e", "ed25519")
    small = mail(5000)
    compared("RSA-2048, 5 kB", rsa, small, rounds, [10 * scale, scale])
    compared("Ed25519, 5 kB", ed25519, small, rounds, [10 * scale, 10 * scale])
    large = mail(1000, attachments=[Attachment.from_bytes("a.bin", os.urandom(large_mb << 20))])
    compared(f"RSA-2048, {large_mb} MB attached", rsa, large, min(rounds, 3), [1, 1])
    print(f"peak for a file of {5 if quick else 25} MB: {peak_of_a_file(5 if quick else 25):.2f} MB")


if __name__ == "__main__":
    main()
