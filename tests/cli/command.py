"""The command as a shell calls it, in this process: a process of its own costs a third of a second for each call.

Tests of what belongs to the process itself (signals, closed streams, what is imported) start a real one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from unittest import mock

from mailer.cli import main

__all__ = ["mailer"]


def mailer(
    *arguments: str, stdin: bytes = b"", folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it with these MAILER_ variables and no others; in this folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAILER_")}
    log = logging.getLogger("mailer")
    level, handlers = log.level, list(log.handlers)
    with contextlib.ExitStack() as stack:
        # Files, not strings in memory: the command may ask for a stream's descriptor.
        given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin)
        given.seek(0)
        streams = {
            name: stack.enter_context(open(os.dup(file.fileno()), mode, encoding="utf-8", newline=""))
            for name, file, mode in (("stdin", given, "r"), ("stdout", out, "w"), ("stderr", err, "w"))
        }
        stack.enter_context(mock.patch.dict(os.environ, {**clean, **environment}, clear=True))
        stack.enter_context(mock.patch.multiple(sys, argv=["mailer", *arguments], **streams))
        stack.enter_context(contextlib.chdir(folder or Path.cwd()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")
        try:
            main()
            code: object = 0
        except SystemExit as done:
            code = done.code or 0
        finally:
            log.handlers[:] = handlers
            log.setLevel(level)
        for name in ("stdout", "stderr"):
            streams[name].flush()
        said = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
    assert isinstance(code, int)
    return subprocess.CompletedProcess(["mailer", *arguments], code, *said)
