"""The sweep: looks for secrets in everything that a backend lets be seen, whatever it does and however it fails.

Looked at, on each face: ``repr``, ``str``, ``format``, pickle and JSON of backend, mailer, receipts and health; every
error with all that it is chained from, its arguments, attributes, pickle and traceback, **the variables of each frame
included**, as error reporters show them (Sentry, pytest, ``traceback.TracebackException(capture_locals=True)``); every
log record of every library at DEBUG, message, arguments, ``extra`` fields and exception; warnings; what was printed.
Found is a secret as it is, escaped, in percent-encoding, hexadecimal or base64.

Not looked at: attributes (``backend.endpoint.password`` is where it is kept), the frames of the caller, whose URL holds
the secret, and memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import pickle
import pprint
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..backends.base import Backend, Health
from ..errors import MailerError
from ..message import Message
from ..receipt import Receipt
from ..redaction import Secrets
from .face import FACES, face_of

__all__ = ["SecretSweep", "sweep"]

#: Shorter secrets are found by chance.
MIN_CHARS = 8
#: Of a text with a secret in it, what an assertion shows.
_AROUND = 300
_FORMATTERS = (logging.Formatter(), logging.Formatter("%(asctime)s %(levelname)s %(name)s %(pathname)s %(message)s"))


class SecretSweep:
    """Collects what is shown and tells where secrets stand in it.

    ::

        sweep = SecretSweep(["s3cret-t0ken"])
        with sweep.listening():
            sweep.show(settings)
        sweep.check()

    Args:
        secrets: What must stand nowhere; of 8 characters or more, to be told from chance.

    Attributes:
        leaks: Where one was found: the place, and the text with the secret hidden.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = list(secrets)
        if not known or any(len(secret) < MIN_CHARS for secret in known):
            raise ValueError(f"a sweep needs secrets, of {MIN_CHARS} characters or more")
        self.leaks: list[str] = []
        self._secrets = Secrets(*known)
        self._seen: set[int] = set()
        self._kept: list[object] = []  # an id is only good as long as its object lives

    def check(self) -> None:
        """Raise AssertionError if a secret was found; it names the places and shows none."""
        if self.leaks:
            raise AssertionError("a secret is shown:\n" + "\n".join(self.leaks))

    def text(self, place: str, text: str) -> None:
        """Look at a text."""
        if self._secrets.found_in(text):
            hidden = self._secrets.hide(text)
            start = max(0, hidden.find("***") - _AROUND // 2)
            self.leaks.append(f"{place}: {hidden[start : start + _AROUND]}")

    def show(self, thing: object, place: str = "") -> None:
        """Look at an object of any kind; at an error with its chain, at a receipt with its causes."""
        if thing is None or id(thing) in self._seen:
            return
        self._seen.add(id(thing))
        self._kept.append(thing)
        place = place or type(thing).__name__
        for name, shown in _SHOWN.items():
            self.text(f"{name} of {place}", _text_of(shown, thing))
        for name in ("to_dict", "model_dump", "model_dump_json"):
            if callable(method := getattr(thing, name, None)):
                self.text(f"{name}() of {place}", _text_of(_json_of_call, method))
        if isinstance(thing, BaseException):
            self._show_error(thing, place)
        elif isinstance(thing, Receipt):
            for error in (thing.error, *(attempt.cause for attempt in thing.attempts)):
                self.show(error)
        elif isinstance(thing, Health):
            self.show(thing.cause)

    def _show_error(self, error: BaseException, place: str) -> None:
        self.text(f"arguments of {place}", _text_of(repr, error.args))
        self.text(f"attributes of {place}", _text_of(repr, vars(error)))
        self.text(f"traceback of {place}", "".join(traceback.format_exception(error)))
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                for name, value in frame.f_locals.items():
                    where = f"variable {name!r} in {frame.f_code.co_filename}:{line} ({frame.f_code.co_qualname})"
                    self.text(where, _text_of(repr, value))
        for further in (*error.args, *vars(error).values(), error.__cause__, error.__context__):
            if isinstance(further, (BaseException, Receipt)):
                self.show(further)
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions:
                self.show(member)

    def _record(self, record: logging.LogRecord) -> None:
        place = f"log record of {record.name!r}"
        self.text(f"message of {place}", _text_of(lambda record: record.getMessage(), record))
        self.text(f"fields of {place}", _text_of(lambda record: repr(vars(record)) + _json(vars(record)), record))
        for formatter in _FORMATTERS:
            self.text(f"formatted {place}", _text_of(formatter.format, record))
        if record.exc_info and record.exc_info[1] is not None:
            self.show(record.exc_info[1])

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Look at what is logged (at DEBUG, by every library), warned and printed meanwhile."""
        handler = _Handler(self._record)
        root, ours = logging.getLogger(), logging.getLogger("mailer")
        levels = root.level, ours.level
        out, err = io.StringIO(), io.StringIO()
        root.addHandler(handler)
        if not ours.propagate:
            ours.addHandler(handler)
        root.setLevel(logging.DEBUG)
        ours.setLevel(logging.DEBUG)
        try:
            with (
                warnings.catch_warnings(record=True) as warned,
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                warnings.simplefilter("always")
                yield
        finally:
            root.setLevel(levels[0])
            ours.setLevel(levels[1])
            root.removeHandler(handler)
            ours.removeHandler(handler)
        for warning in warned:
            self.show(warning.message, "warning")
        self.text("standard output", out.getvalue())
        self.text("standard error", err.getvalue())


class _Handler(logging.Handler):
    def __init__(self, look: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._look = look

    def emit(self, record: logging.LogRecord) -> None:
        self._look(record)


def sweep(
    make_backend: Callable[[], Backend],
    secrets: Iterable[str],
    *,
    message: Message | None = None,
    faces: Sequence[str] = FACES,
) -> None:
    """Use a backend in every way, on each face, and look at all that is shown by it.

    Make one that fails, too: with a refused login, a lost connection, an answer that repeats the secret::

        def test_no_secret_shows():
            sweep(lambda: backend_from_url(f"pigeon://{TOKEN}@loft.example.com"), [TOKEN])

    Args:
        make_backend: Makes a new one, as often as it is called.
        secrets: What it was given to keep: passwords, tokens, keys; of 8 characters or more.
        message: What to send; None is a small text.
        faces: Which of "blocking", "asyncio" and "trio".

    Raises:
        AssertionError: A secret is shown; the text says where, and hides it.
    """
    found = SecretSweep(secrets)
    message = message or Message(from_="shop@example.com", to="ann@example.org", subject="Order 7", text="Hello\n")
    for name in faces:
        with face_of(name) as face, found.listening():
            backend = make_backend()
            found.show(backend)
            with face.mailer(backend) as mailer:
                found.show(mailer.wrapped)
                works: tuple[tuple[Callable[..., Any], Any], ...] = (
                    (lambda _: mailer.check(), None),
                    (mailer.send, message),
                    (mailer.send, message),
                    (mailer.send_raw, b"From: shop@example.com\r\nTo: ann@example.org\r\n\r\nHello\r\n"),
                )
                for work, argument in works:
                    try:
                        found.show(work(argument))
                    except MailerError as error:
                        found.show(error)
            found.show(backend, "the used backend")
    found.check()


# --- what an object shows ---------------------------------------------------------------------------------------------


def _pickled(thing: object) -> str:
    try:
        data = pickle.dumps(thing)
    except Exception as error:  # noqa: BLE001 - it refuses: then it shows what it says about it
        return repr(error)
    return data.decode("utf-8", "backslashreplace")


def _json_of_call(method: Callable[[], object]) -> str:
    return _json(method())


def _json(thing: object) -> str:
    return json.dumps(thing, default=repr, ensure_ascii=False, skipkeys=True)


_SHOWN: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda thing: f"{thing} {thing!a}",
    "pprint": pprint.pformat,
    "pickle": _pickled,
    "JSON": _json,
}


def _text_of(shown: Callable[[Any], str], thing: object) -> str:
    try:
        return shown(thing)
    except Exception as error:  # noqa: BLE001 - anybody's object, and what it says when it fails is shown as well
        return repr(error)
