"""The docs are true: every code block runs as it stands, and what must be documented is.

The python blocks of a page run in order in one namespace, in an empty folder. Nothing is replaced in them: names under
example.com lead to mailboxes started here (port 587 with STARTTLS, 465 with TLS; user:secret logs in), and their
certificate is trusted. Console blocks run in a shell; what they show is compared, with ``...`` for what varies. A block
with ``<!-- not run: reason -->`` above it is compiled only.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
import types
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import relay_pages
import trustme
from cases import each

import mailer
from mailer.cli import _EXIT_CODES
from mailer.mailbox import Mailbox
from mailer.smtp.endpoint import Timeouts
from mailer.tls import _shared_context

ROOT = Path(__file__).parent.parent
#: But for those that Sphinx makes of the code (``docs/relay_pages.py``), which a build may have left.
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").rglob("*.md")) - set((ROOT / "docs/relays").glob("*.md")))]
NOT_RUN = 3
"""Blocks that cannot run here. One more needs a reason in the review, not only in the page."""

#: Pages with settings.configure() of Django's, which cannot be undone in this process.
APART = {"django.md", "from-anymail.md", "from-django-smtp.md"}
#: Page -> the packages, beyond those that the library itself needs, without which it is not run.
NEEDS = {
    "starlette.md": ("fastapi", "httpx2", "litestar"),
    "from-fastapi-mail.md": ("fastapi", "httpx2"),
    "tasks.md": ("celery", "dramatiq"),
}

_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>python|console)\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page.

    Attributes:
        line: Where its code begins in the page, from 1.
        reason: Why it is not run, or None.
    """

    page: Path
    line: int
    language: str
    code: str
    reason: str | None

    @classmethod
    def all_of(cls, page: Path) -> list[Block]:
        text = page.read_text(encoding="utf-8")
        return [
            cls(page, text.count("\n", 0, found.start("code")) + 1, found["language"], found["code"], found["reason"])
            for found in _FENCE.finditer(text)
        ]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def compiled(self):
        """The code, with the page's own line numbers in tracebacks."""
        return compile("\n" * (self.line - 1) + self.code, str(self.page), "exec")


BLOCKS = [block for page in PAGES for block in Block.all_of(page)]
WITH_PYTHON = sorted({block.page for block in BLOCKS if block.language == "python"})


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def example_com(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[int, Mailbox]]:
    """Servers for all names under example.com, by port; other ports of theirs refuse."""
    folder = tmp_path_factory.mktemp("ca")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("smtp.example.com").configure_cert(tls)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    _shared_context.cache_clear()  # it is read once in a process
    look_up = socket.getaddrinfo
    with (
        Mailbox(tls=tls, users={"user": "secret"}) as submission,
        Mailbox(tls=tls, users={"user": "secret"}, implicit_tls=True) as implicit,
        socket.socket() as closed,
    ):
        closed.bind(("127.0.0.1", 0))  # and does not listen
        boxes = {587: submission, 465: implicit}

        def redirected(host, port, *args, **keywords):
            if isinstance(host, str) and host.endswith(".example.com"):
                host, port = "127.0.0.1", boxes[port].port if port in boxes else closed.getsockname()[1]
            return look_up(host, port, *args, **keywords)

        monkeypatch.setattr(socket, "getaddrinfo", redirected)
        yield boxes
    _shared_context.cache_clear()


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the pages that need them say; and what they register is forgotten."""
    monkeypatch.setattr("mailer.backends.url._registered", {})
    monkeypatch.setenv("MAILER_URL", "console:")
    monkeypatch.setenv("MAILER_FROM", "Shop <shop@example.com>")


@pytest.fixture
def modules() -> Iterator[None]:
    """What a page calls by another's name is not there before, and forgotten after."""

    def theirs() -> dict[str, types.ModuleType]:
        return {
            name: sys.modules[name] for name in sys.modules if name.partition(".")[0] in ("flask_mail", "flask_mailman")
        }

    before = theirs()
    for name in before:
        del sys.modules[name]
    yield
    for name in theirs():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
@pytest.mark.usefixtures("example_com", "empty_folder", "settings", "modules")
def test_python_blocks_of_a_page_run_in_order(page, monkeypatch):
    for package in NEEDS.get(page.name, ()):
        pytest.importorskip(package)
    if page.name in APART:
        return run_apart(page)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # frameworks look annotations up there
    for block in Block.all_of(page):
        if block.language == "python" and block.reason is None:
            exec(block.compiled(), vars(module))
    return None


def run_apart(page: Path) -> None:
    code = "\n".join(block.code for block in Block.all_of(page) if block.language == "python" and block.reason is None)
    strict = ["-W", "error", "-W", "ignore:The EMAIL_"]  # settings are deprecated from Django 6.1 on
    subprocess.run([sys.executable, *strict, "-c", code], check=True, timeout=60)


@pytest.mark.usefixtures("example_com", "empty_folder")
def test_smtp_in_a_page_is_really_sent(example_com):
    for block in Block.all_of(ROOT / "docs" / "index.md"):
        exec(block.compiled(), {})
    [mail] = example_com[587].mails
    assert (mail.user, mail.is_tls) == ("user", True)
    assert mail.recipients == ("ann@example.org", "bob@example.org")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python" and b.reason], ids=str)
def test_python_blocks_that_are_not_run_compile(block):
    block.compiled()


@pytest.fixture(scope="module")
def command(warm: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command in it."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "mailer").write_text(f'#!/bin/sh\nexec {shlex.join(warm)} mailer "$@"\n')
    (folder / "mailer").chmod(0o755)
    return folder


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "console" and not b.reason], ids=str)
def test_console_blocks_show_what_the_commands_print(block, empty_folder, command):
    lines = block.code.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    wanted = "".join(f"{line}\n" for line in lines if not line.startswith("$ "))
    path = os.pathsep.join([str(command), os.environ["PATH"]])
    environment = {"PATH": path, "PYTHONUTF8": "1", "HOME": str(empty_folder), "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["sh", "-c", "\n".join(commands)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=environment,
        timeout=60,
    )
    assert doctest.OutputChecker().check_output(wanted, done.stdout, doctest.ELLIPSIS), done.stdout


def test_few_blocks_are_not_run():
    not_run = [str(block) for block in BLOCKS if block.reason]
    assert len(not_run) == NOT_RUN, not_run


def test_every_page_of_a_migration_is_in_the_index_of_them():
    index = (ROOT / "docs/howto/migrate.md").read_text(encoding="utf-8")
    pages = sorted((ROOT / "docs/howto").glob("from-*.md"))
    assert pages
    assert [page.name for page in pages if f"]({page.name})" not in index] == []


def test_every_block_is_found():
    """The pattern above misses no fence: not one that is indented, or of another spelling."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^\s*(?:`{3,}|~{3,})\s*(?:python|py|pycon|console|bash|shell)\b", text, re.M)
        assert len(fences) == len(Block.all_of(page)), page


# --- what must be documented ------------------------------------------------------------------------------------------


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@each("name", mailer.__all__)
def test_every_public_name_is_in_the_reference(name):
    assert re.search(rf"^\.\. auto\w+:: {name}$", page("reference/api.md"), re.M)


@each("module", ["background", "contrib.django", "contrib.flask", "contrib.starlette", "testing"])
def test_every_name_of_a_shim_is_in_the_reference(module):
    text = page("reference/api.md")
    sections = re.split(r"^\.\. currentmodule:: mailer\.?(.*)\n", text, flags=re.M)
    pairs = zip(sections[1::2], sections[2::2], strict=True)
    own = "\n".join(section for name, section in pairs if f"{name}.".startswith(f"{module}."))
    source = (ROOT / "mailer" / module.replace(".", "/")).with_suffix(".py")
    source = source if source.exists() else source.with_suffix("") / "__init__.py"
    listed = re.findall(r"^__all__ \+?= \[(.*?)\]", source.read_text(encoding="utf-8"), re.M | re.S)
    names = re.findall(r'"(\w+)"', "".join(listed))
    assert names
    assert [name for name in names if not re.search(rf"^\.\. auto\w+:: {name}$", own, re.M)] == []


def test_every_scheme_and_option_is_documented():
    from mailer.backends import smtp, url

    text = page("backends.md")
    for scheme in (*url._BUILT_IN, *url._GROUPS):
        assert re.search(rf"`{re.escape(scheme)}[:(]", text), scheme
    options = []
    for file in ("smtp", "mx"):
        source = (ROOT / f"mailer/backends/{file}.py").read_text(encoding="utf-8")
        options += re.findall(
            r"^        (\w+)=(?:flag|text|seconds|choice|whole|ip_addresses|dns_servers)", source, re.M
        )
    assert len(options) >= 20
    for option in (*options, *smtp.TIMEOUT_OPTIONS, "on_unknown", "rest", "format="):
        assert f"`{option}`" in text, option


def test_every_extension_is_documented_and_no_other():
    from mailer.smtp.extensions import _ASKED

    source = "".join(
        (ROOT / f"mailer/smtp/{name}.py").read_text(encoding="utf-8") for name in ("capabilities", "exchange")
    )
    used = {"AUTH", "SIZE", "REQUIRETLS", *(keyword for _, keyword, _ in _ASKED)}
    used |= {a or b for a, b in re.findall(r'"([A-Z0-9-]+)" in self\.keywords|keywords\.get\("([A-Z0-9-]+)"', source)}
    table = page("howto/smtp.md").partition("## What servers can do")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z0-9-]+)` \|", table, re.M)) == used


def test_every_option_of_a_relay_is_documented():
    """Those of all of them; each one's own stand on its page, which is made of the code."""
    for option in ("timeout", "connect_timeout", "ca_file", "proxy", "scheme"):
        assert f"| `{option}` |" in page("howto/relays.md"), option


def test_default_timeouts_are_the_documented_ones():
    options = {"timeout": "total_s", "connect_timeout": "connect_s", "command_timeout": "command_s"}
    for option, field in {**options, "final_timeout": "final_s"}.items():
        assert f"| `{option}` | seconds | {getattr(Timeouts(), field):g} |" in page("backends.md"), option


def test_the_tables_of_hooks_are_those_of_the_code():
    """Each with its value, what its context has, in order."""
    from mailer.hookspecs import ACTIONS, FILTERS, KNOWN

    assert list(KNOWN) == [*FILTERS, *ACTIONS]
    rows = [
        f"| `{name}` | {what} | {', '.join(f'`{field}`' for field in KNOWN[name]) or '-'} |"
        for name, what in {**FILTERS, **ACTIONS}.items()
    ]
    tables = page("reference/hooks.md").partition("## The registry")[0]
    assert re.findall(r"^\| `.*", tables, re.M) == rows


def test_every_hook_is_documented():
    from mailer.hookspecs import ACTIONS, FILTERS

    for name in (*FILTERS, *ACTIONS):
        assert f"`{name}`" in page("explain/design.md"), name
        assert name in "".join(ElementTree.fromstring(page("explain/pipeline.svg")).itertext()), name


def test_every_command_is_documented():
    from mailer.cli import _COMMANDS

    for name in _COMMANDS:
        assert f"\n## {name}\n" in page("howto/command-line.md"), name


def test_the_tables_of_commands_are_those_of_the_code():
    """Every option of every command, with its own words."""
    import click

    from mailer.cli import cli

    def commands(command, name):
        yield command, name
        if isinstance(command, click.Group):
            for below in command.list_commands(click.Context(command)):
                yield from commands(command.get_command(click.Context(command), below), f"{name} {below}")

    lines = []
    for command, name in commands(cli, "mailer"):
        context = click.Context(command, info_name=name, **command.context_settings)
        lines.append(f"## {' '.join([context.info_name, *command.collect_usage_pieces(context)])}")
        for parameter in command.get_params(context):
            if isinstance(parameter, click.Option) and not {"--help", "--version"} & set(parameter.opts):
                lines.append(f"| `{parameter.get_help_record(context)[0]}` | {parameter.help} |")
    assert re.findall(r"^(?:## mailer|\| `).*", page("reference/commands.md"), re.M) == lines


def test_the_table_of_settings_is_that_of_the_code():
    from mailer.settings import MailerSettings, OAuth2Settings, RetrySettings, Settings

    rows = []
    models = (
        (Settings, ""),
        (RetrySettings, "retry."),
        (OAuth2Settings, "oauth2."),
        (MailerSettings, "mailers.NAME."),
    )
    for model, above in models:
        for field, info in model.model_fields.items():
            if info.exclude or field == "mailers":
                continue
            name = above + field.rstrip("_")
            is_plain = info.default and isinstance(info.default, (str, int, float)) and model is not MailerSettings
            default = f"`{info.default}`" if is_plain else "-"
            what = info.description if model is not MailerSettings else "As above; else the default mailer's."
            rows.append(f"| `{name}` | `MAILER_{name.upper().replace('.', '__')}` | {default} | {what} |")
    assert re.findall(r"^\| `.*", page("reference/settings.md"), re.M) == rows


def test_every_exit_code_is_documented():
    documented = set(map(int, re.findall(r"^\| (\d+) \|", page("explain/outcomes.md"), re.M)))
    assert documented == {0, 64, *(code for _, code in _EXIT_CODES)}


def test_the_ready_made_table_is_that_of_the_module():
    from mailer import ready_made

    rows = re.findall(r"^\| (.+) \| (.+) \|$", page("explain/ready-made.md"), re.M)[1:]
    said = " ".join((ready_made.__doc__ or "").replace("``", "").split())
    assert len(rows) == 15
    for _, what_happens in rows:
        assert what_happens in said


def test_every_page_can_be_reached():
    index = page("index.md")
    for path in PAGES[1:]:
        name = path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert name == "index" or f"\n{name}\n" in index, name


def test_links_between_pages_lead_somewhere():
    for path in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            folder, _, name = target.rpartition("/")
            is_made = folder == "../relays" and name in relay_pages.pages()
            assert is_made or (path.parent / target).is_file(), f"{name_of(path)}: {target}"
