"""Imports point one way (DESIGN.md section 3), and only the runtime and the stream know the world.

A new file needs a line in ``LAYERS``; what a file below the edges may import of the world stands in ``WORLDLY``.
"""

from __future__ import annotations

import ast
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import each

import mailer

ROOT = Path(mailer.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

# File or folder (ending in "/") -> layer. The longest entry that fits counts.
LAYERS = {
    # 0: errors
    "errors.py": 0,
    # 1: values
    "address.py": 1,
    "attachment.py": 1,
    "aws/credentials.py": 1,
    "delivery.py": 1,
    "dsn.py": 1,
    "envelope.py": 1,
    "event.py": 1,
    "field.py": 1,
    "log.py": 1,
    "mail.py": 1,
    "mailbox_reader.py": 1,
    "message.py": 1,
    "receipt.py": 1,
    "redaction.py": 1,
    "standard.py": 1,
    "twin.py": 1,
    "verdict.py": 1,
    # 2: pure logic
    "allowed.py": 2,
    "smime.py": 2,
    "dkim.py": 2,
    "dkim_key.py": 2,
    "dkim_relaxed.py": 2,
    "features.py": 2,
    "header.py": 2,
    "linear_pattern.py": 2,
    "hooks.py": 2,
    "merge.py": 2,
    "hookspecs.py": 2,
    "hook_run.py": 2,
    "hook_trace.py": 2,
    "registered.py": 2,
    "html_to_text.py": 2,
    "html_tokens.py": 2,
    "mime.py": 2,
    "part.py": 2,
    "ready_made.py": 2,
    "rendering.py": 2,
    "retry.py": 2,
    "settled.py": 2,
    "signed_token.py": 2,
    "safe_view.py": 2,
    "store_file.py": 2,
    "telemetry.py": 2,
    "tracking.py": 2,
    "sandbox/": 2,
    "search_path.py": 2,
    "tally.py": 2,
    "template_engine.py": 2,
    "templates.py": 2,
    "text_lines.py": 2,
    "text_table.py": 2,
    "transfer.py": 2,
    "unsubscribe.py": 2,
    "smtp/__init__.py": 2,
    "smtp/answers.py": 2,
    "smtp/auth.py": 2,
    "smtp/binding.py": 2,
    "smtp/route.py": 2,
    "smtp/saslprep.py": 2,
    "smtp/capabilities.py": 2,
    "smtp/command.py": 2,
    "smtp/dane.py": 2,
    "smtp/data.py": 2,
    "smtp/endpoint.py": 2,
    "smtp/exchange.py": 2,
    "smtp/extensions.py": 2,
    "smtp/fingerprint.py": 2,
    "smtp/passage.py": 2,
    "smtp/reply.py": 2,
    "smtp/session.py": 2,
    "smtp/trace.py": 2,
    "smtp/transaction.py": 2,
    "smtp/wire.py": 2,
    "relay/": 2,
    "aws/__init__.py": 1,
    "aws/": 2,
    "aws/relay.py": 3,
    "aws/source.py": 3,
    "oauth2/token.py": 1,
    "oauth2/answer.py": 2,
    "oauth2/grant.py": 2,
    "oauth2/": 3,
    "smtp/presets.py": 2,
    "outbox/__init__.py": 2,
    "outbox/job.py": 2,
    # 3: what waits
    "aside.py": 3,
    "clock.py": 3,
    "stand_ins.py": 3,
    "gate.py": 3,
    "http.py": 3,
    "kept.py": 3,
    "lock.py": 3,
    "mail_log.py": 3,
    "mail_log_sql.py": 3,
    "http_given.py": 3,
    "runtime.py": 3,
    "runtime_async.py": 3,
    "runtime_blocking.py": 3,
    "proxy.py": 3,
    "race.py": 3,
    "rate.py": 3,
    "circuit.py": 3,
    "rate_table.py": 3,
    "seen.py": 3,
    "stream.py": 3,
    "tls.py": 3,
    "dns.py": 3,
    "smtp/mta_sts.py": 3,
    "suppression.py": 3,
    "smtp/pool.py": 3,
    "outbox/store.py": 3,
    "backends/": 3,
    # 4: assembly
    "__init__.py": 4,
    "background.py": 4,
    "default.py": 4,
    "mailer.py": 4,
    "pipeline.py": 4,
    "plugin.py": 4,
    "plugin_file.py": 4,
    "plugin_places.py": 4,
    "plugin_settings.py": 4,
    "sealing.py": 4,
    "secret_url.py": 4,
    "settings.py": 4,
    "settings_files.py": 4,
    "smtp_options.py": 4,
    "sources.py": 4,
    "tracking_app.py": 4,
    "teller.py": 4,
    "unsubscribe_app.py": 4,
    "webhooks/__init__.py": 4,
    "webhooks/app.py": 4,
    "webhooks/": 2,
    "outbox/worker.py": 4,
    "plugins/": 4,
    # 5: edges
    "__main__.py": 5,
    "gateway.py": 5,
    "cli/": 5,
    "contrib/": 5,
    "mailbox/": 5,
    "smtplib/": 5,
    "testing/": 5,
}

WORLD = {"asyncio", "anyio", "trio", "threading", "_thread", "concurrent", "select", "selectors", "socket", "ssl"}
WORLDLY = {
    "aside.py": {"threading"},  # beside sends, whichever world they are in
    "background.py": {"anyio"},  # tasks that live as long as the app
    "http_given.py": {"anyio"},
    "lock.py": {"threading"},
    "race.py": {"socket"},
    "registered.py": {"threading"},  # a lock, never held over a call
    "runtime.py": {"socket"},
    "runtime_async.py": {"anyio", "asyncio", "threading"},
    "runtime_blocking.py": {"select", "socket", "threading"},
    "stream.py": {"select", "socket", "ssl"},
    "tls.py": {"ssl"},
    "dns.py": {"socket"},
}
LAZY = {"anyio", "asyncio", "httpx", "jinja2", "pydantic", "pydantic_settings", "ssl", "trio"}
"""Loaded on first use: at the top of no file below the edges, but where that file is itself loaded on first use."""
LOADED_ON_FIRST_USE = {
    "background.py",
    "plugin.py",
    "plugin_settings.py",
    "plugins/",
    "rendering.py",
    "runtime_async.py",
    "sandbox/language.py",
    "sandbox/template.py",
    "sandbox/vocabulary.py",
    "settings.py",
}


def layer_of(file: str) -> int | None:
    fitting = [entry for entry in LAYERS if file == entry or (entry.endswith("/") and file.startswith(entry))]
    return LAYERS[max(fitting, key=len)] if fitting else None


def is_loaded_on_first_use(file: str) -> bool:
    return file in LOADED_ON_FIRST_USE or any(
        folder.endswith("/") and file.startswith(folder) for folder in LOADED_ON_FIRST_USE
    )


def for_types_only(node: ast.AST) -> bool:
    """Whether this is ``if TYPE_CHECKING:``, which never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(file: str, source: str) -> Iterator[tuple[str, bool]]:
    """Yield (absolute dotted name, whether it runs when the file is loaded) of each import that ever runs.

    ``from a import b`` gives "a.b": whether b is a module is for the reader of the name to find out.
    """
    package = ["mailer", *file.split("/")[:-1]]

    def walk(node: ast.AST, at_load: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{start}.{alias.name}", at_load) for alias in node.names)
        elif for_types_only(node):
            for child in node.orelse:
                yield from walk(child, at_load)
        else:
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for child in ast.iter_child_nodes(node):
                yield from walk(child, at_load and not inside)

    yield from walk(ast.parse(source), True)


def file_of(name: str) -> str | None:
    """Return the file of this package that an import of the dotted name loads, or None if it is none of ours."""
    parts = name.split(".")
    if parts[0] != "mailer":
        return None
    while parts[1:]:
        path = "/".join(parts[1:])
        for file in (f"{path}.py", f"{path}/__init__.py"):
            if file in LAYERS or (ROOT / file).is_file():  # it may be yet to come
                return file
        parts.pop()
    return "__init__.py"


def faults(file: str, source: str) -> list[str]:
    layer = layer_of(file)
    if layer is None:
        return [f"{file} has no layer: give it one in tests/test_layers.py"]
    if layer == 5:
        return []
    found = []
    for name, at_load in imports(file, source):
        top = name.split(".")[0]
        target = file_of(name)
        above = None if target is None else layer_of(target)
        if above is not None and above > layer:
            found.append(f"{file} (layer {layer}) imports {target} (layer {above})")
        if top in WORLD - WORLDLY.get(file, set()) or (layer <= 2 and top == "httpx"):
            found.append(f"{file} (layer {layer}) imports {top}")
        elif top in LAZY and at_load and not is_loaded_on_first_use(file):
            found.append(f"{file} imports {top} when it is loaded")
    return found


@each("file", FILES)
def test_imports_point_down(file):
    assert faults(file, (ROOT / file).read_text(encoding="utf-8")) == []


def test_every_exception_is_of_use():
    """An entry in ``WORLDLY`` that nothing needs any more is to go."""
    for file, allowed in WORLDLY.items():
        used = {name.split(".")[0] for name, _ in imports(file, (ROOT / file).read_text(encoding="utf-8"))}
        assert allowed <= used, file


@pytest.mark.parametrize(
    ("file", "source", "fault"),
    [
        ("new_noun.py", "", "has no layer"),
        ("address.py", "import threading", "imports threading"),
        ("address.py", "from asyncio.locks import Lock", "imports asyncio"),
        ("mime.py", "def late():\n    import httpx", "imports httpx"),
        ("address.py", "from .runtime import drive", "imports runtime.py (layer 3)"),
        ("address.py", "from . import runtime", "imports runtime.py (layer 3)"),
        ("address.py", "def late():\n    import mailer.stream", "imports stream.py (layer 3)"),
        ("address.py", "from mailer import Message", "imports __init__.py (layer 4)"),
        ("smtp/reply.py", "from ..stream import Stream", "imports stream.py (layer 3)"),
        ("backends/base.py", "import threading", "imports threading"),
        ("backends/base.py", "import httpx", "when it is loaded"),
        ("stream.py", "import ssl", "when it is loaded"),
        ("stream.py", "import asyncio", "imports asyncio"),
        ("runtime.py", "import anyio", "imports anyio"),
    ],
)
def test_a_wrong_import_is_found(file, source, fault):
    assert any(fault in found for found in faults(file, source)), faults(file, source)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("address.py", "from .errors import AddressError\nimport re"),
        ("errors.py", "if TYPE_CHECKING:\n    from .receipt import Receipt"),
        ("backends/base.py", "def late():\n    import httpx"),
        ("stream.py", "import socket\ndef late():\n    import ssl"),
        ("cli/__init__.py", "import asyncio, threading\nfrom ..runtime import drive"),
    ],
)
def test_a_right_import_is_not_blamed(file, source):
    assert faults(file, textwrap.dedent(source)) == []


def test_no_two_files_of_the_tests_are_one_module():
    """pytest imports a test and what stands beside it by name alone: of two, the whole suite has only one."""
    files = [
        path
        for path in [*Path(__file__).parent.rglob("*.py"), *(ROOT.parent / "examples").rglob("test_*.py")]
        if path.name != "conftest.py" and not (path.parent / "__init__.py").exists()
    ]
    assert [name for name, times in Counter(path.name for path in files).items() if times > 1] == []
