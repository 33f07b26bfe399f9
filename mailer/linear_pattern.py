"""A regular expression that takes linear time on any text: for patterns from settings, over text from anybody.

Python's own engine tries one way after the other, and ``(a+)+b`` or ``.*.*.*x`` make those very many (CWE-1333). This
one follows all ways at once, a character at a time (Thompson 1968), and so has no back references and no look-around.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["LinearPattern"]

#: Of the compiled pattern; each character of a text costs at most so many steps.
_MAX_STEPS = 2000
_ATOM = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^\W\d_]|\\\W|[^\\\[\]()|*+?{}^$]", re.DOTALL)
_COUNT = re.compile(r"\{(\d{0,4})(?:(,)(\d{0,4}))?\}")
#: The pattern, between what would say that the whole text is meant; a ``$`` or ``Z`` behind an odd backslash is itself.
_WHOLE = re.compile(r"(?:\(\?i\))?(?:\^|\\A)?((?:[^\\]|\\.)*?)(?:\$|\\Z)?", re.DOTALL)
_CLASSES = frozenset("dDsSwW")

# A step: what one character must match and then the next step; or steps to go on at, without a character.
_Step = tuple[re.Pattern[str] | None, tuple[int, ...]]


class LinearPattern:
    r"""A pattern that a whole text matches or not, upper and lower case alike.

    Literals, ``.``, ``[...]``, ``\d \w \s`` and their opposites, ``( )``, ``(?: )``, ``|``, ``* + ?`` and ``{n,m}``. As
    the whole text is matched, in any case, ``(?i)``, ``^`` or ``\A`` in front and ``$`` or ``\Z`` at the end may
    stand and mean nothing.

    Raises:
        ValueError: It is no pattern, has something else in it, or is too large.
    """

    __slots__ = ("_steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is no regular expression: {error}") from None
        self._steps = _Compiler(text).steps()

    def matches(self, text: str) -> bool:
        """Whether all of the text matches; in time linear in its length."""
        steps, end = self._steps, len(self._steps)
        at = _closed([0], steps)
        for character in text:
            passed = [then for i in at if i < end for then in self._passed(steps[i], character)]
            if not passed:
                return False
            at = _closed(passed, steps)
        return end in at

    @staticmethod
    def _passed(step: _Step, character: str) -> tuple[int, ...]:
        pattern, then = step
        return then if pattern is not None and pattern.match(character) else ()

    def __repr__(self) -> str:
        return f"LinearPattern({self.text!r})"


def _closed(start: Iterable[int], steps: list[_Step]) -> set[int]:
    """These steps, and all that they lead to without a character."""
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            if at < len(steps) and steps[at][0] is None:
                waiting += steps[at][1]
    return found


class _Compiler:
    """Writes a pattern as steps; each piece begins at its first and ends behind its last."""

    def __init__(self, text: str) -> None:
        found = _WHOLE.fullmatch(text)
        self._text = text if found is None else found[1]
        self._position = 0

    def steps(self) -> list[_Step]:
        made = self._choice(0)
        if self._position < len(self._text):
            raise self._fault()
        return made

    def _fault(self) -> ValueError:
        return ValueError(
            f"has {self._text[self._position :][:10]!r}, which is not known here, for it may take any time: "
            r"there are . [...] \d \w \s ( ) (?: ) | * + ? {n,m}"
        )

    def _at(self, text: str) -> bool:
        if self._text.startswith(text, self._position):
            self._position += len(text)
            return True
        return False

    def _choice(self, depth: int) -> list[_Step]:
        if depth > 50:
            raise ValueError("has groups nested more than 50 deep")
        made = self._sequence(depth)
        while self._at("|"):
            other = self._sequence(depth)
            size = len(made)
            made = [(None, (1, size + 2)), *_moved(made, 1), (None, (size + 2 + len(other),)), *_moved(other, size + 2)]
            _check(made)
        return made

    def _sequence(self, depth: int) -> list[_Step]:
        made: list[_Step] = []
        while self._position < len(self._text) and self._text[self._position] not in "|)":
            made += _moved(self._repeated(self._piece(depth)), len(made))
            _check(made)
        return made

    def _piece(self, depth: int) -> list[_Step]:
        if self._text.startswith("(?", self._position) and not self._text.startswith("(?:", self._position):
            raise self._fault()
        if self._at("(?:") or self._at("("):
            made = self._choice(depth + 1)
            if not self._at(")"):
                raise self._fault()
            return made
        found = _ATOM.match(self._text, self._position)
        if not found or (found[0][0] == "\\" and found[0][1].isalpha() and found[0][1] not in _CLASSES):
            raise self._fault()
        self._position = found.end()
        return [(re.compile(found[0], re.IGNORECASE | re.DOTALL), (1,))]

    def _repeated(self, piece: list[_Step]) -> list[_Step]:
        least, most = 1, 1
        if self._at("*"):
            least, most = 0, -1
        elif self._at("+"):
            least, most = 1, -1
        elif self._at("?"):
            least, most = 0, 1
        elif found := _COUNT.match(self._text, self._position):
            self._position = found.end()
            least = int(found[1] or 0)
            most = (int(found[3]) if found[3] else -1) if found[2] else least
        else:
            return piece
        if self._at("?"):  # a lazy one takes the same texts
            pass
        elif self._text[self._position : self._position + 1] in ("*", "+", "{"):
            raise self._fault()
        size = len(piece)
        if (least + max(most, 1)) * (size + 1) > 2 * _MAX_STEPS:
            raise ValueError("is too large")
        made: list[_Step] = []
        for _ in range(least):
            made += _moved(piece, len(made))
        if most < 0:
            start = len(made)
            made += [(None, (start + 1, start + size + 2)), *_moved(piece, start + 1), (None, (start,))]
        for _ in range(most - least):
            start = len(made)
            made += [(None, (start + 1, start + size + 1)), *_moved(piece, start + 1)]
        return made


def _moved(steps: list[_Step], by: int) -> list[_Step]:
    """The same, to stand so much further behind."""
    return [(pattern, tuple([then + by for then in then_])) for pattern, then_ in steps]


def _check(steps: list[_Step]) -> None:
    if len(steps) > _MAX_STEPS:
        raise ValueError("is too large")
