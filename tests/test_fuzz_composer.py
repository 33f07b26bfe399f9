"""The fuzz targets of the composer, run for a short while by hypothesis."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from made_messages import one_line


def target(name: str) -> Callable[[Any], None]:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "fuzz" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check  # type: ignore[no-any-return]


check_header = target("fuzz_header")
check_ready_made = target("fuzz_ready_made")

_PIECES = [
    b"From: a@b.test\r\n",
    b"To: c@d.test\r\n",
    b"Bcc: e@f.test\n",
    b"Date: x\r\n",
    b"Subject: \xc3\xbc\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: multipart/signed; boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Transfer-Encoding: 8bit\r\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"DKIM-Signature: x\r\n",
    b"\xc3\xa9",
    b"\xff",
    b"\0",
    b"x" * 999,
    b" folded\r\n",
    b"From x\n",
    b":",
    b"Resent-To: a@b\r\n",
    b"References: \xff\r\n",
    b'To: \xc3\xbc@b.test, "\r\n',
    b"\t",
]


@given(st.text(max_size=60) | one_line())
@settings(deadline=None)
def test_headers(text: str) -> None:
    check_header(text)


@given(
    st.lists(st.sampled_from(_PIECES) | st.binary(max_size=4), max_size=14).map(b"".join)
    | st.lists(st.sampled_from(_PIECES), max_size=14).map(lambda pieces: b"From: a@b.test\r\n" + b"".join(pieces))
)
@settings(deadline=None)
def test_ready_made(data: bytes) -> None:
    check_ready_made(data)
