"""``mailer new-template``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from ..errors import TemplateError
from ..search_path import check_name
from .show import plain

__all__ = ["command", "starter_files"]

_NAME = "NAME"  # stands in the names of the starter's own files for the template's
_SHARED = ("base.html", "pieces.html")
_OWN = (f"{_NAME}.subject.txt", f"{_NAME}.html")
_TEXT = (f"{_NAME}.txt",)


def starter_files(name: str, *, with_text: bool = False) -> dict[str, str]:
    """The starter's sources, by their names below the folder: first those that all mails share, then the mail's own.

    Args:
        name: The template's; "/" between folders.
        with_text: Whether it has a text part of its own, rather than one that is derived.
    """
    starter = files(__package__) / "starter"
    names = (*_SHARED, *_OWN, *(_TEXT if with_text else ()))
    return {file.replace(_NAME, name): (starter / file).read_text(encoding="utf-8") for file in names}


@click.command("new-template")
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    default="templates",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where to write it.",
)
@click.option("--text", "with_text", is_flag=True, help="Write NAME.txt too, rather than have the text part derived.")
@click.option("--force", is_flag=True, help="Overwrite the files of this name.")
def command(name: str, folder: Path, with_text: bool, force: bool) -> None:
    """Write a template to start from: NAME.subject.txt and NAME.html.

    With the first one come base.html, the layout of all mails, and pieces.html, what they are put together from. They
    look right in common mail programs, in dark mode too. Once there, these two are never touched again.
    """
    try:
        check_name(name)
    except TemplateError as error:
        raise click.UsageError(str(error)) from error
    if name.endswith((".html", ".txt")) or f"{name}.html" in _SHARED:
        raise click.UsageError(f"{name!r} cannot be a template's name: give one without ending, but not base or pieces")
    sources = starter_files(name, with_text=with_text)
    taken = [folder / file for file in sources if file not in _SHARED and (folder / file).exists()]
    if taken and not force:
        raise click.ClickException(f"{taken[0]} is there already; --force overwrites it")
    for file, source in sources.items():
        path = folder / file
        if file in _SHARED and path.exists():
            click.echo(f"kept   {plain(str(path))}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        click.echo(f"wrote  {plain(str(path))}")
