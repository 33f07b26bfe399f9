"""Processes that begin with the library loaded: forks of one that has loaded it, at a tenth of the price.

A test of what a program prints needs a process of its own, and not the quarter of a second that each spends on the same
imports. What is imported when, and how the command begins and ends, is tested with real ones (``tests/cli``).

As a program, this file is the process that the others are forks of: it is called with the path of its socket.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

__all__ = ["caller_of_warm"]

# Loaded once. No function of theirs is called: what a process reads once (settings, certificates) each fork reads.
LOADED = """
    mailer.backends.file mailer.backends.rest mailer.backends.smtp mailer.cli.bulk.command mailer.cli.check
    mailer.cli.config mailer.cli.demo mailer.cli.new_template mailer.cli.send mailer.http mailer.settings
    mailer.templates anyio._backends._asyncio httpx
"""

# Sends where it runs, its environment, what it was called with and its streams; ends as the fork ends.
CALLER = """\
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [b"0"], [0, 1, 2])
    server.sendall(json.dumps([os.getcwd(), dict(os.environ), sys.argv[2:]]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(10)))
"""


@contextlib.contextmanager
def caller_of_warm(folder: Path) -> Iterator[list[str]]:
    """Start the process, in a folder that may keep its socket; end it.

    Yields:
        The beginning of a command, to be followed by ``mailer`` or the path of a Python file, and arguments.
    """
    address = folder / "warm.socket"
    caller = folder / "caller.py"
    caller.write_text(CALLER)
    with subprocess.Popen(
        [sys.executable, __file__, str(address)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUTF8": "1"},
    ) as server:
        assert server.stdout is not None
        assert server.stdout.read(1) == b"+"
        try:
            yield [sys.executable, "-IS", str(caller), str(address)]
        finally:
            server.terminate()


def served(address: str) -> list[str]:
    """Fork for each caller; return, in the fork, what is to be run, where and with the streams that the caller has."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        os.write(1, b"+")
        while True:
            caller, _ = server.accept()
            if not os.fork():  # a fork for each, so that several may run at once
                break
            caller.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    with caller:
        _, streams, _, _ = socket.recv_fds(caller, 1, 3)
        with caller.makefile("rb") as sent:
            folder, environment, command = json.load(sent)
        if program := os.fork():
            for stream in streams:
                os.close(stream)
            caller.sendall(b"%d" % (os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) % 256))
            os._exit(0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    return command  # type: ignore[no-any-return]


if __name__ == "__main__":
    for name in LOADED.split():
        __import__(name)
    gc.collect()
    gc.freeze()  # a fork's collections would write to each page, which copies it
    sys.argv = served(sys.argv[1])
    if sys.argv[0] == "mailer":
        from mailer.cli import main

        main()
    else:
        warnings.simplefilter("error")
        runpy.run_path(sys.argv[0], run_name="__main__")
