"""The contract of plug-ins, as tests: what a mailer and the other plug-ins rely on, checked on all faces.

``TestLabels = PluginContract.of(Labels, settings={"text": "staging"})`` in a test file, and pytest runs it. A subclass
says more, where a plug-in needs it. Needs pytest, and trio for the face of that name.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import anyio
import pytest
from pydantic import SecretStr

from ..address import Address
from ..backends.base import Backend
from ..backends.memory import MemoryBackend
from ..envelope import NULL_SENDER
from ..errors import ConfigError, DeliveryError, HookError, MailerError, MessageError, Outcome
from ..hookspecs import ACTIONS
from ..mail import Mail
from ..mailer import Mailer
from ..message import Message
from ..plugin import Plugin
from ..receipt import Receipt
from .contract import FORMS
from .face import FACES, Face, PlainMailer, face_of
from .named import subclass_of
from .secret_sweep import MIN_CHARS, SecretSweep

__all__ = ["PluginContract"]

_AT_ONCE = 8
_EVIL = "\r\nBcc: eve@example.net\r\nX-Injected: 1"
#: Messages whose values somebody may have typed, with a header of his own: in every field that takes line breaks.
_ATTACKS: dict[str, dict[str, Any]] = {
    "text": {"text": f"Hello{_EVIL}\r\n\r\n.{_EVIL}\r\n"},
    "html": {"html": f"<p title='{_EVIL}'>Hello</p><title>x{_EVIL}</title>", "text": "Hello"},
    "context": {"text": "Hello", "context": {"name": _EVIL, "subject": _EVIL}},
    "names": {"to": [Address("x, eve@example.net <y>", "ann", "example.org")], "text": "Hello"},
    "subject": {
        "subject": "x\tBcc: eve@example.net %0d%0aX-Injected: 1 =?utf-8?Q?x=0D=0AX-Injected:_1?=",
        "text": "Hello",
    },
    "tags": {"tags": ["%0d%0aX-Injected: 1", "{x.__class__}", "%s%n"], "metadata": {"{0}": "%(x)s"}, "text": "Hello"},
}


class _Answering(MemoryBackend):
    """Keeps mail, and answers by the local part: "deferred", "rejected" and "unknown" are what they say."""

    async def send(self, mail: Mail) -> Receipt:
        receipt = await super().send(mail)
        known = {outcome.value: outcome for outcome in Outcome}
        results = [replace(one, outcome=known.get(one.address.local, one.outcome)) for one in receipt.results]
        return receipt.with_(results=tuple(results))


class _StuckOnce(_Answering):
    """Never answers the first mail. Knows when it has it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: anyio.Event | None = None

    async def send(self, mail: Mail) -> Receipt:
        if self.begun is not None and not self.begun.is_set():
            self.begun.set()
            await anyio.sleep_forever()
        return await super().send(mail)


class PluginContract:
    """The tests. ``PluginContract.of(Labels, settings=...)``, or a subclass.

    Attributes:
        plugin: The class.
        settings: With which it works, as code or a table of ``mailer.toml`` has them.
        secrets: Which of their values, or parts of those, must be shown nowhere; of 8 characters or more.
        others: Plug-ins that it requires, made as :meth:`make_others` says.
        faces: Which of "blocking", "asyncio" and "trio": a plug-in with ``async def`` callbacks leaves out the first.
        refuses: Names of :data:`~mailer.testing.contract.FORMS` that it refuses by a MessageError on purpose.
    """

    plugin: ClassVar[type[Plugin[Any]]]
    settings: ClassVar[Mapping[str, Any]] = {}
    secrets: ClassVar[Collection[str]] = ()
    faces: ClassVar[Sequence[str]] = FACES
    refuses: ClassVar[Collection[str]] = ()

    @classmethod
    def of(cls, plugin: type[Plugin[Any]], **attributes: Any) -> type[PluginContract]:
        """The tests of this plug-in, in one line."""
        return subclass_of(cls, plugin.__name__, plugin=plugin, **attributes)

    # --- what may differ ----------------------------------------------------------------------------------------------

    def make_plugin(self, **settings: Any) -> Plugin[Any]:
        """A new one, with some settings in the place of those given."""
        return self.plugin({**self.settings, **settings})

    def make_others(self) -> list[Plugin[Any]]:
        """What it requires, new."""
        return []

    def message(self, **fields: Any) -> Message:
        """A message to two recipients, with other values for the fields named."""
        to = ["Ann <ann@example.org>", "bob@example.org"]
        return Message(
            **{"from_": "Shop <shop@example.com>", "to": to, "subject": "Order 7", "text": "Hello", **fields}
        )

    # --- running ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _mailer(self, face: Face, backend: Backend | None = None, **settings: Any) -> Iterator[PlainMailer]:
        plugins = [*self.make_others(), self.make_plugin(**settings)]
        with face.mailer(backend or _Answering(), plugins=plugins) as mailer:
            yield mailer

    def _each_face(self) -> Iterator[Face]:
        for name in self.faces:
            with face_of(name) as face:
                yield face

    @staticmethod
    def _said(mailer: PlainMailer, message: Message) -> Receipt | MailerError:
        """How a send ended; a hook's fault fails the test."""
        try:
            return mailer.send(message)
        except DeliveryError as error:
            return error.receipt
        except HookError as error:
            if isinstance(error, MessageError) or isinstance(error.__cause__, MessageError):
                return error
            pytest.fail(f"a filter failed: {error}")
        except MailerError as error:
            return error

    # --- who it is ----------------------------------------------------------------------------------------------------

    def test_it_says_who_it_is(self) -> None:
        plugin = self.make_plugin()
        assert plugin.name == self.plugin.name
        assert repr(plugin).isprintable()
        assert (self.plugin.__doc__ or "").strip(), "it has no docstring, which `mailer plugins` shows"
        assert not plugin.requires or self.make_others(), "make_others gives nothing, and it requires others"

    def test_unknown_and_wrong_settings_are_refused_and_named(self) -> None:
        """None is dropped in silence, and no value is shown."""
        with pytest.raises(ConfigError) as refused:
            self.make_plugin(no_such_setting_7f3a="va1ue-of-7f3a")
        assert "no_such_setting_7f3a" in str(refused.value)
        assert "va1ue-of-7f3a" not in str(refused.value)
        for name in self.settings:
            with pytest.raises(ConfigError) as refused:
                self.make_plugin(**{name: object()})
            assert name in str(refused.value), f"the error does not name {name}"

    # --- coming and going ---------------------------------------------------------------------------------------------

    def test_it_comes_whole_and_goes_whole(self) -> None:
        """All that it registers is its own; taken away and put back it is the same; two mailers share nothing."""
        for face in self._each_face():
            with self._mailer(face) as mailer, self._mailer(face) as other:
                hooks, plugins, name = mailer.wrapped.hooks, mailer.wrapped.plugins, self.plugin.name
                own = [one for one in hooks.registered() if one.owner == name]
                assert own, "it registers nothing"
                self._said(mailer, self.message())
                strays = [one.hook for one in hooks.registered() if one.owner != name and one.owner not in _names(self)]
                assert strays == ["sending"], f"registered past the registry that it was given: {strays}"
                plugins.deactivate(name)
                left = [one.hook for one in hooks.registered() if one.owner == name]
                assert left == [], f"left behind: {left}"
                assert [one.owner for one in other.wrapped.hooks.registered()].count(name) == len(own)
                self._said(mailer, self.message())
                plugins.activate(name)
                again = [one for one in hooks.registered() if one.owner == name]
                assert [(one.hook, one.priority) for one in again] == [(one.hook, one.priority) for one in own]
                self._said(mailer, self.message())

    def test_a_closed_mailer_may_be_used_and_closed_again(self) -> None:
        for face in self._each_face():
            with self._mailer(face) as mailer:
                for _ in range(2):
                    self._said(mailer, self.message())
                    mailer.close()

    # --- filters ------------------------------------------------------------------------------------------------------

    def test_filters_give_back_what_they_must(self) -> None:
        """For messages of every form, ready-made mail and the null sender: no hook fails; the app's message stays."""
        for face in self._each_face():
            with self._mailer(face) as mailer:
                for form, fields in {**FORMS, "null sender": {"return_path": NULL_SENDER}}.items():
                    message = self.message(**fields)
                    twin = message.with_()
                    said = self._said(mailer, message)
                    refused = isinstance(said, MailerError)
                    assert refused == (form in self.refuses), f"{form}: {said}"
                    assert message == twin, f"{form}: the app's own message was changed"
                with contextlib.suppress(DeliveryError):
                    mailer.send_raw(b"From: shop@example.com\r\nTo: ann@example.org\r\nSubject: x\r\n\r\nHello\r\n")
                assert sum(mailer.hooks.errors.values()) == 0, dict(mailer.hooks.errors)

    def test_composed_alone_it_is_what_is_sent(self) -> None:
        """``compose`` runs filters and no action, and sends nothing."""
        for face in self._each_face():
            with self._mailer(face) as mailer:
                told: list[str] = []
                for name in ACTIONS:
                    mailer.hooks.add_action(name, functools.partial(_note, told, name))
                mail = mailer.compose(self.message())
                assert isinstance(mail, Mail)
                assert told == []
                assert not mailer.backend.mails  # type: ignore[attr-defined]

    def test_eight_at_once(self) -> None:
        for face in self._each_face():
            with self._mailer(face) as mailer:
                messages = [self.message(subject=f"Order {number}") for number in range(_AT_ONCE)]
                receipts = mailer.at_once([functools.partial(mailer.wrapped.send, message) for message in messages])
                assert len({receipt.id for receipt in receipts}) == _AT_ONCE
                assert sum(mailer.hooks.errors.values()) == 0, dict(mailer.hooks.errors)

    # --- actions ------------------------------------------------------------------------------------------------------

    def test_actions_change_no_result_and_do_not_raise(self) -> None:
        """With its actions and without them every mail comes to the same, whatever becomes of it."""
        to = {outcome.value: [f"{outcome.value}@example.org"] for outcome in Outcome}
        to["mixed"] = ["ann@example.org", *(address for addresses in to.values() for address in addresses)]
        for face in self._each_face():
            ended: list[list[Any]] = []
            for with_actions in (True, False):
                with self._mailer(face) as mailer:
                    if not with_actions:
                        for one in mailer.hooks.registered():
                            if one.kind == "action" and one.owner == self.plugin.name:
                                mailer.hooks.remove(one.hook, one.callback, owner=one.owner)
                    ended.append([_end(self._said(mailer, self.message(to=each))) for each in to.values()])
                    with contextlib.suppress(MailerError):
                        mailer.send(self.message(from_=None))  # fails before any receipt
                    assert sum(mailer.hooks.errors.values()) == 0, f"an action raised: {dict(mailer.hooks.errors)}"
            assert ended[0] == ended[1], "an action changed a result"

    def test_a_mail_cut_short_does_no_lasting_harm(self) -> None:
        """Cancelled while the backend has it: the hooks hear of it once, and the next mail goes as ever."""
        for face in self._each_face():
            if not face.is_async:
                continue  # what cuts a blocking send short ends the program
            backend = _StuckOnce()
            with self._mailer(face, backend) as mailer:
                told: list[str] = []
                for name in ("sent", "deferred", "rejected", "unknown"):
                    mailer.hooks.add_action(name, functools.partial(_note, told, name))
                face.run(_cancelled, mailer, backend, self.message())
                assert len(told) <= 1, f"told {told} of one mail that was cut short"
                before = len(backend.mails)
                said = self._said(mailer, self.message())
                assert isinstance(said, Receipt), said
                assert said.skipped is not None or len(backend.mails) > before, "the next mail was not sent"
                assert sum(mailer.hooks.errors.values()) == 0, dict(mailer.hooks.errors)

    # --- what must not get in, or out ---------------------------------------------------------------------------------

    def test_no_value_of_a_message_becomes_a_header_or_a_recipient(self) -> None:
        for face in self._each_face():
            with self._mailer(face) as mailer:
                for name, fields in _ATTACKS.items():
                    self._said(mailer, self.message(**fields))
                    _check_nothing_got_in(mailer, f"a message's {name}")
            return  # what a value becomes is the same on all

    def test_no_setting_becomes_a_header_or_a_recipient(self) -> None:
        """Each text among them with a line break: refused, or harmless."""
        for name, value in self.settings.items():
            for evil in _spoiled(value):
                try:
                    plugin = self.make_plugin(**{name: evil})
                    mailer = Mailer(_Answering(), plugins=[*self.make_others(), plugin], retry=None)
                except MailerError:
                    continue
                with face_of("blocking") as face, mailer:
                    if "blocking" in self.faces:
                        self._said(plain := PlainMailer(face, mailer), self.message())
                        _check_nothing_got_in(plain, f"the setting {name}")

    def test_no_secret_shows(self) -> None:
        """In texts, pickles and JSON of plug-in, settings, mailer and receipts, in errors with their frames, logs."""
        hidden = [value.get_secret_value() for value in self.settings.values() if isinstance(value, SecretStr)]
        secrets = [*self.secrets, *(one for one in hidden if len(one) >= MIN_CHARS)]
        if not secrets:
            return
        found = SecretSweep(secrets)
        for face in self._each_face():
            with found.listening(), self._mailer(face) as mailer:
                plugin = mailer.wrapped.plugins[self.plugin.name]
                for thing in (
                    plugin,
                    plugin.settings,
                    mailer.wrapped,
                    mailer.wrapped.plugins,
                    mailer.hooks.registered(),
                ):
                    found.show(thing)
                for to in ("ann@example.org", "rejected@example.org", "unknown@example.org"):
                    found.show(self._said(mailer, self.message(to=to)))
                found.show(self._said(mailer, self.message(from_=None)))
                with contextlib.suppress(MailerError):
                    found.show(mailer.check())
        found.check()


def _names(contract: PluginContract) -> set[str]:
    return {plugin.name for plugin in contract.make_others()}


def _note(told: list[str], name: str, context: Any) -> None:
    told.append(name)


async def _cancelled(mailer: PlainMailer, backend: _StuckOnce, message: Message) -> None:
    """Send, and give up as soon as the backend has the mail; or it ends before."""
    begun = backend.begun = anyio.Event()

    async def send() -> None:
        try:
            await mailer.wrapped.send(message)
        except MailerError:
            pass  # it is refused: there is nothing to be cut short
        finally:
            begun.set()

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        with anyio.fail_after(10):
            await begun.wait()
        group.cancel_scope.cancel()


def _end(said: Receipt | MailerError) -> Any:
    """How it ended, without what is new each time."""
    if isinstance(said, MailerError):
        return type(said)
    return said.skipped, [(one.address, one.outcome, one.code, one.text) for one in said.results]


def _spoiled(value: Any) -> list[Any]:
    """The setting with a header in it, wherever there is text."""
    if isinstance(value, str):
        return [value + _EVIL, _EVIL + value]
    if isinstance(value, (list, tuple)):
        return [
            [*value[:index], one, *value[index + 1 :]] for index in range(len(value)) for one in _spoiled(value[index])
        ]
    if isinstance(value, Mapping):
        return [{**value, key: one} for key in value for one in _spoiled(value[key])]
    return []


def _check_nothing_got_in(mailer: PlainMailer, where: str) -> None:
    for mail in mailer.backend.mails:  # type: ignore[attr-defined]
        head = bytes(mail.content).replace(b"\r\n ", b" ").partition(b"\r\n\r\n")[0]
        names = [line.partition(b":")[0].strip().lower() for line in head.splitlines()]
        assert b"x-injected" not in names, f"{where} became a header field"
        assert b"bcc" not in names, f"{where} became a Bcc"
        assert all(address.local != "eve" for address in mail.envelope.recipients), f"{where} became a recipient"
