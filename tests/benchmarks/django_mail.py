"""Django's calls over our backend and over its own, side by side: ``python tests/benchmarks/django_mail.py [--quick]``.

The same Django, the same ``smtp-sink``, the contestants taking turns; each figure is the best of ``--rounds``. A
message is text and html of 2 kB. What is measured is the ``mailer`` that this file lies beside; and what importing the
shim adds to an interpreter that has Django's mail.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smtp import HTML, SENDER, SUBJECT, TEXT, cpu_s, sink

ROOT = Path(__file__).parents[2]
OURS, THEIRS = "mailer.contrib.django.EmailBackend", "django.core.mail.backends.smtp.EmailBackend"
#: Call -> how often as fast as Django's own backend it is to be.
GOALS = {"send_mail, each by itself": 10.0, "send_messages of all": 8.0}
IMPORT_MS = 50.0


def configure(port: int) -> Callable[[str], None]:
    """Django with nothing but mail. What is returned makes a backend its default."""
    import django
    from django.conf import settings

    if django.VERSION < (6, 1):
        settings.configure(EMAIL_HOST="127.0.0.1", EMAIL_PORT=port)
        django.setup()
        return lambda backend: setattr(settings, "EMAIL_BACKEND", backend)
    settings.configure(MAILERS={})
    django.setup()
    options = {"host": "127.0.0.1", "port": port}
    return lambda backend: setattr(settings, "MAILERS", {"default": {"BACKEND": backend, "OPTIONS": options}})


def connection() -> Any:
    import django
    from django.core import mail

    return mail.mailers.default if django.VERSION >= (6, 1) else mail.get_connection()


def send_mail(count: int) -> None:
    from django.core import mail

    for number in range(count):
        to = [f"user{number}@example.org"]
        assert mail.send_mail(SUBJECT, f"Order {number}\n{TEXT}", SENDER, to, html_message=f"<h1>{number}</h1>\n{HTML}")


def send_messages(count: int) -> None:
    from django.core import mail

    messages = []
    for number in range(count):
        message = mail.EmailMultiAlternatives(SUBJECT, f"Order {number}\n{TEXT}", SENDER, [f"user{number}@example.org"])
        message.attach_alternative(f"<h1>{number}</h1>\n{HTML}", "text/html")
        messages.append(message)
    assert connection().send_messages(messages) == count


CALLS = dict(zip(GOALS, (send_mail, send_messages), strict=True))


def compare(count: int, rounds: int) -> bool:
    """Print a row for each call; whether all goals were reached."""
    with sink() as port:
        use = configure(port)
        reached = True
        for title, call in CALLS.items():
            best, cpu = dict.fromkeys((OURS, THEIRS), 9e9), dict.fromkeys((OURS, THEIRS), 9e9)
            for backend in best:
                use(backend)
                call(2)  # what is loaded on first use is not counted
            for _ in range(rounds):
                for backend in best:
                    use(backend)
                    started, used = time.perf_counter(), cpu_s()
                    call(count)
                    best[backend] = min(best[backend], (time.perf_counter() - started) / count)
                    cpu[backend] = min(cpu[backend], (cpu_s() - used) / count)
            ratio, goal = best[THEIRS] / best[OURS], GOALS[title]
            print(f"{title} ({count} messages): {ratio:.1f}x, wanted {goal:g}x")
            for name, backend in (("ours", OURS), ("Django's", THEIRS)):
                print(f"  {name:10s}{best[backend] * 1e6:8.0f} us a message   CPU {cpu[backend] * 1e6:7.0f} us")
            reached = reached and ratio >= goal
        return reached


def import_ms(runs: int) -> float:
    """What the shim adds to bare Django mail; the median of turns."""
    bare = "import django.core.mail, django.core.mail.backends.smtp"
    took: dict[str, list[float]] = {bare: [], f"{bare}, mailer.contrib.django": []}
    compiled = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}  # as an installed package is
    for run in range(runs + 1):
        for program, figures in took.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=compiled)
            if run:  # the first compiles
                figures.append(time.perf_counter() - started)
    without, with_shim = map(statistics.median, took.values())
    return (with_shim - without) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages, one round: rough figures")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    import django

    print(f"Python {sys.version.split()[0]}, Django {django.__version__}")
    reached = compare(100 if arguments.quick else 1000, 1 if arguments.quick else arguments.rounds)
    added = import_ms(5 if arguments.quick else 21)
    print(f"import of the shim over Django's mail: {added:.0f} ms, wanted < {IMPORT_MS:g} ms")
    sys.exit(0 if reached and added < IMPORT_MS else 1)


if __name__ == "__main__":
    main()
