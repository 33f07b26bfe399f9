"""The fuzz targets of the SMTP grammar, run for a short while by hypothesis."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st


def target(name: str) -> Callable[[bytes], None]:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check  # type: ignore[no-any-return]


def joined(*tokens: bytes) -> st.SearchStrategy[bytes]:
    return st.lists(st.one_of(st.sampled_from(tokens), st.binary(max_size=3)), max_size=15).map(b"".join)


check_reply = target("fuzz_reply")
check_command = target("fuzz_command")


@given(joined(b"250", b"-", b" ", b"\r\n", b"\n", b"550 x\r\n", b"5.1.1 ", b"220-SIZE 5\r\n", b"AUTH=PLAIN"))
def test_replies(data: bytes) -> None:
    check_reply(data)


@given(joined(b"RCPT TO:", b"MAIL FROM:", b"<", b">", b'"', b"\\", b"@", b"a", b".", b"[1]", b" ", b"X=1", b"\xc3\xb6"))
def test_commands(data: bytes) -> None:
    check_command(data)
