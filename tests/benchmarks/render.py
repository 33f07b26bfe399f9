"""Templates: ``python tests/benchmarks/render.py``. What a mail costs, and how much of it is Jinja2's own.

Prints ratios; the microseconds are of this machine and this moment. The mail is the starter of ``mailer new-template``,
with ten rows in its table. Each round takes the cases in turn and the best counts, so that noise hits all alike.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mailer import AsyncMailer, Mailer, Message, StoredTemplate, Templates
from mailer.cli.new_template import starter_files
from mailer.html_to_text import html_to_text

ROWS = [[f"Item {number}", number, f"{number}.50 €"] for number in range(1, 11)]
TABLE = '[["Green tea", 2, "7.80 €"], ["Tea cup", 1, "12.50 €"]]'
MESSAGE = Message(
    from_="Shop <shop@example.com>",
    to="ann@example.org",
    template="welcome",
    context={"name": "Ann & Bob", "url": "https://shop.example.com/c/1", "rows": ROWS},
)
STORED = StoredTemplate(
    subject="Welcome, {{ name }}",
    html="<h1>{{ name }}</h1><table>"
    "{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</table>",
)


def best(cases: dict[str, Callable[[], object]], rounds: int = 9, number: int = 100) -> dict[str, float]:
    """Seconds of a processor for one call of each: the best of the rounds, which take turns."""
    figures = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, function in cases.items():
            start = time.process_time()
            for _ in range(number):
                function()
            figures[name] = min(figures[name], (time.process_time() - start) / number)
    return figures


async def awaited(folder: str, number: int) -> float:
    """Seconds of a processor for one ``AsyncMailer.render``, in a thread as it is."""
    async with AsyncMailer("null:", templates=folder) as mailer:
        await mailer.render(MESSAGE)
        start = time.process_time()
        for _ in range(number):
            await mailer.render(MESSAGE)
        return (time.process_time() - start) / number


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, source in starter_files("welcome").items():
            (Path(folder) / name).write_text(source.replace(TABLE, "rows"), encoding="utf-8")
        jinja = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
        jinja.globals["locale"] = None
        bare = [jinja.get_template(f"welcome.{part}") for part in ("subject.txt", "html")]
        first = time.process_time()
        mailer = Mailer("null:", templates=Templates(folder))
        rendered = mailer.render(MESSAGE)
        first = time.process_time() - first
        html = rendered.html or ""
        figures = best(
            {
                "Jinja2 alone: subject and html": lambda: [template.render(MESSAGE.context) for template in bare],
                "Templates.render, text=False": partial(Templates(folder, text=False).render, MESSAGE),
                "the same, reload=False": partial(Templates(folder, text=False, reload=False).render, MESSAGE),
                "html_to_text": lambda: html_to_text(html),
                "Templates.render, text derived": partial(Templates(folder).render, MESSAGE),
                "mailer.compose of it": lambda: mailer.compose(MESSAGE),
                "mailer.compose, rendered already": lambda: mailer.compose(rendered),
                "StoredTemplate.render": partial(STORED.render, MESSAGE.with_(text=False)),
            }
        )
        loops = {backend: anyio.run(awaited, folder, 500, backend=backend) for backend in ("asyncio", "trio")}
    alone = figures["Jinja2 alone: subject and html"]
    print(f"Python {sys.version.split()[0]}; html {len(html)} characters; the first rendering {first * 1e3:.1f} ms")
    print(f"{'case':<36}{'us':>9}{'a second':>10}{'of Jinja2':>11}")
    for name, seconds in figures.items():
        print(f"{name:<36}{seconds * 1e6:>9.0f}{1 / seconds:>10.0f}{seconds / alone:>10.2f}x")
    for backend, seconds in loops.items():
        print(
            f"{'AsyncMailer.render, ' + backend:<36}{seconds * 1e6:>9.0f}{1 / seconds:>10.0f}{seconds / alone:>10.2f}x"
        )
    share = alone / figures["mailer.compose of it"]
    print(f"Jinja2's share of template and compose: {share:.0%}")


if __name__ == "__main__":
    main()
