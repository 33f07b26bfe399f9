"""Tables of cases that need no fixture of their own: one test for all, which names each that failed.

What pytest and its workers do for a test costs more than such a case. Where each needs a world, a folder or a server of
its own, ``pytest.mark.parametrize`` is right.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

__all__ = ["each"]


def each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As ``pytest.mark.parametrize(names, cases)``, in one test: all cases run, and all failures are shown.

    Raises:
        BaseExceptionGroup: Some cases failed; each exception has a note with its case.
    """
    parameters = (names,) if isinstance(names, str) else names
    rows = [(case,) if isinstance(names, str) else case for case in cases]
    assert rows, "no case, no test"

    def looped(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def all_cases(**fixtures: Any) -> None:
            failed: list[BaseException] = []
            for row in rows:
                try:
                    test(**dict(zip(parameters, row, strict=True)), **fixtures)
                except (Exception, pytest.fail.Exception, BaseExceptionGroup) as error:
                    error.add_note(f"the case: {row!r}")
                    failed.append(error)
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(rows)} cases", failed)

        signature = inspect.signature(test)
        kept = [parameter for name, parameter in signature.parameters.items() if name not in parameters]
        all_cases.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined] - asked by pytest
        del all_cases.__wrapped__  # type: ignore[attr-defined]
        return all_cases

    return looped
