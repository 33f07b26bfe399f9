"""What importing costs over bare Python: ``python tests/benchmarks/import_time.py``. Median of alternating runs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

CASES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import smtplib, email.message": [sys.executable, "-c", "import smtplib, email.message"],
    "import mailer": [sys.executable, "-c", "import mailer"],
    "import mailer.Mailer, Message": [sys.executable, "-c", "from mailer import Mailer, Message"],
    "mailer --help": [sys.executable, "-m", "mailer", "--help"],
}


def main() -> None:
    runs: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(21):
        for name, command in CASES.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            runs[name].append(time.perf_counter() - start)
    bare = statistics.median(runs["python -c pass"])
    print(f"Python {sys.version.split()[0]}")
    print(f"{'command':<32}{'ms':>8}{'over bare':>11}")
    for name, figures in runs.items():
        took = statistics.median(figures)
        print(f"{name:<32}{took * 1e3:>8.1f}{(took - bare) * 1e3:>11.1f}")


if __name__ == "__main__":
    main()
