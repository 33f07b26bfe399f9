"""Assertions about what was sent. What does not hold is told with the nearest mail, and each field that differs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, Unpack, overload

from .criteria import Criteria, Expected, Mismatch
from .sent import SentMail

__all__ = ["assert_nothing_sent", "assert_sent"]

_MOST_LISTED = 20


@overload
def assert_sent(mails: Any, /, *, count: None = None, **expected: Unpack[Expected]) -> SentMail: ...


@overload
def assert_sent(mails: Any, /, *, count: int, **expected: Unpack[Expected]) -> list[SentMail]: ...


def assert_sent(mails: Any, /, *, count: int | None = None, **expected: Unpack[Expected]) -> SentMail | list[SentMail]:
    """Hold that a mail like this was sent.

    ::

        mail = assert_sent(outbox, to="ann@example.org", subject=re.compile("^Order"), text=["Thanks", "7 pears"])

    Args:
        mails: An outbox, a list of mails, or what has some: ``Mailer("memory:")``, its backend, a test server.
        count: Exactly so many; None: at least one.
        expected: What it is like: see :class:`mailer.testing.criteria.Expected`.

    Returns:
        With a count the mails that fit, in their order; without, the last that does.

    Raises:
        AssertionError: Not so many do.
        TypeError, ValueError: An expectation is wrong in itself.
    """
    __tracebackhide__ = True
    criteria = Criteria(expected)
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        raise TypeError(f"count={count!r}: must be a whole number, 0 or more, or None for at least one")
    sent = _sent(mails)
    fitting = [mail for mail in sent if not criteria.mismatches(mail)]
    if count is None:
        return fitting[-1] if fitting else _fail(criteria, sent, _lines_of(mails))
    if len(fitting) != count:
        _fail(criteria, sent, _lines_of(mails), count=count, fitting=fitting)
    return fitting


def assert_nothing_sent(mails: Any, /, **expected: Unpack[Expected]) -> None:
    """Hold that no mail was sent, or none like this. As :func:`assert_sent`.

    Raises:
        AssertionError: One was.
    """
    __tracebackhide__ = True
    criteria = Criteria(expected)
    found = [mail for mail in _sent(mails) if not criteria.mismatches(mail)]
    if found:
        like = f" with {criteria}" if expected else ""
        what = f"{len(found)} mails were" if len(found) > 1 else "a mail was"
        raise AssertionError("\n".join([f"nothing{like} was to be sent, and {what}:", *_listed(found)]))


def _sent(mails: Any) -> list[SentMail]:
    given = mails
    for name in ("backend", "mails"):
        if not isinstance(given, Iterable) and hasattr(given, name):
            given = getattr(given, name)
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        raise TypeError(f"{type(mails).__name__} has no mails: give an outbox, a list of mails or a memory backend")
    return [SentMail.of(mail) for mail in list(given)]


def _lines_of(mails: Any) -> list[str]:
    """What an outbox has to say beside: what it answered otherwise, and what may keep mails from being sent."""
    return list(getattr(mails, "remarks", ()))


def _fail(
    criteria: Criteria,
    sent: list[SentMail],
    remarks: list[str],
    *,
    count: int | None = None,
    fitting: Iterable[SentMail] = (),
) -> NoReturn:
    __tracebackhide__ = True
    fitting = list(fitting)
    like = f" with {criteria}" if criteria.expected else ""
    if count is None:
        lines = [f"no mail{like} was sent"]
    else:
        are = f"{len(fitting)} {'was' if len(fitting) == 1 else 'were'}"
        lines = [f"{count} {'mail' if count == 1 else 'mails'}{like} expected to be sent, and {are}"]
    others = [(criteria.mismatches(mail), mail) for mail in sent if not any(mail is one for one in fitting)]
    if fitting:
        lines += ["these fit:", *_listed(fitting)]
    if others and (count is None or len(fitting) < count):
        wrong, near = max(others, key=lambda pair: _nearness(pair[0]))
        number = [mail is near for mail in sent].index(True) + 1
        lines.append(f"the nearest is mail {number} of {len(sent)}:")
        lines += _compared(criteria, wrong)
        if len(sent) > 1:
            lines += ["all that was sent:", *_listed(sent)]
    elif not sent:
        lines.append("no mail was sent at all")
    raise AssertionError("\n".join([*lines, *remarks]))


def _nearness(wrong: list[Mismatch]) -> float:
    return sum(one.likeness - 1 for one in wrong)


def _compared(criteria: Criteria, wrong: list[Mismatch]) -> list[str]:
    width = max(map(len, criteria.expected))
    by_name = {one.field: one for one in wrong}
    lines = []
    for name in criteria.expected:
        if name not in by_name:
            lines.append(f"    {name:<{width}}  as expected")
            continue
        first, *rest = by_name[name].lines()
        lines.append(f"  ! {name:<{width}}  {first}")
        lines += [f"    {'':<{width}}  {line}" for line in rest]
    return lines


def _listed(mails: list[SentMail]) -> list[str]:
    lines = []
    for number, mail in enumerate(mails[:_MOST_LISTED], 1):
        lines.append(f"  {number}. {mail!r}")
    if len(mails) > _MOST_LISTED:
        lines.append(f"  ... and {len(mails) - _MOST_LISTED} more")
    return lines
