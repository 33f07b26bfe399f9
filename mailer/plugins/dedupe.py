"""``dedupe``: the same mail to the same recipient goes once in a while, however often an app sends it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal, TypeVar

from pydantic import Field, InstanceOf, field_validator, model_validator

from ..address import Address
from ..backends.base import Backend
from ..backends.wrapping import Plan, Wrapped, WrappingBackend, part_of
from ..clock import epoch_s
from ..errors import ConfigError, Outcome, UnsupportedFeature
from ..hooks import Hooks
from ..hookspecs import Context
from ..log import STORE_FAILED
from ..mail import Content, Mail
from ..message import Message
from ..plugin import Plugin, PluginSettings
from ..receipt import Receipt, RecipientResult
from ..redaction import words_of
from ..seen import Ended, MemorySeen, Seen, SeenStore, SqliteSeen
from ..signed_token import timeless
from ..store_file import checked_path
from ..verdict import Scope

__all__ = ["Dedupe", "DedupeSettings"]

T = TypeVar("T")

#: Around all that carries or limits: what is not sent again costs no turn.
_PRIORITY = 80
#: For how long a store that failed is not asked again: it delays one mail in so many seconds.
_STORE_REST_S = 30.0
_BLOCK_BYTES = 1 << 16
#: Header fields of ready-made mail that are another's each time it is made.
_PASSING = frozenset({b"date", b"message-id", b"received", b"dkim-signature", b"return-path"})
_NO_STORE = "dedupe: its store could not be asked, so a duplicate would not have been noticed"


class DedupeSettings(PluginSettings):
    """Settings of ``dedupe``."""

    window_s: float = Field(
        86_400.0,
        gt=0,
        le=31 * 86_400,
        description="For how many seconds a mail is known again; a month at most.",
    )
    by: Literal["content", "key"] = Field(
        "content",
        description="What makes two the same: the `idempotency_key`, the `key`; without one the `content` too.",
    )
    tags: tuple[str, ...] = Field((), description="Only messages with one of these tags are looked at. Else all are.")
    lease_s: float = Field(
        600.0,
        gt=0,
        le=86_400,
        description="A send that never ended, as its process died, counts for so many seconds.",
    )
    path: str | None = Field(
        None, description="The name of an SQLite file, for all processes of a machine. Without one each knows its own."
    )
    store: InstanceOf[SeenStore] | None = Field(None, description="Or a `SeenStore` of your own.")
    wait_s: float = Field(0.5, gt=0, le=60, description="How long a locked file is waited for.")
    without_store: Literal["send", "defer"] = Field(
        "send", description="If the store fails: `send`, with a note on the receipt, or `defer`."
    )
    _path = field_validator("path")(checked_path)

    @model_validator(mode="after")
    def _one_store(self) -> DedupeSettings:
        if self.path is not None and self.store is not None:
            raise ValueError("give path or store, one of them")
        return self

    def opened_store(self) -> SeenStore:
        """Where it is kept what was sent."""
        if self.path is not None:
            return SqliteSeen(self.path, wait_s=self.wait_s)
        return MemorySeen() if self.store is None else self.store

    def identity(self, mail: Mail) -> bytes | None:
        """What is equal for mails that are the same, whoever gets them; None if this one is like no other."""
        message = mail.message
        if self.tags and (message is None or set(self.tags).isdisjoint(message.tags)):
            return None
        if message is not None and message.idempotency_key is not None:
            return b"key\0" + message.idempotency_key.encode()
        if self.by == "key":
            return None
        return b"content\0" + (_of_content(mail.content) if message is None else _of_message(message, mail.id))


def _of_message(message: Message, mail_id: str) -> bytes:
    """What it says, and who says it. Not to whom, when, nor what is about it: headers, tags, metadata.

    Links that are signed for this mail, to track or to unsubscribe, say what they say in each.
    """
    attachments = []
    for one in message.attachments:
        content = hashlib.sha256()
        for block in one.blocks(_BLOCK_BYTES):
            content.update(block)
        attachments.append([one.name, one.content_type, one.inline, content.hexdigest()])
    said = [
        [address.to_dict() for address in (*message.from_, *message.reply_to)],
        message.subject,
        [text and timeless(text, mail_id) for text in (message.text, message.html, message.amp_html)],
        [[kind, _digest(text)] for kind, text in message.alternatives],
        attachments,
        [message.provider_template, message.provider_options],
        [message.merge_data, message.merge_metadata, message.merge_headers],
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")).digest()


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")).hexdigest()


def _of_content(content: Content) -> bytes:
    """Of ready-made mail all of it, but for fields that are made anew each time."""
    head, _, body = bytes(content).partition(b"\r\n\r\n")
    kept = hashlib.sha256()
    is_kept = True
    for line in head.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            is_kept = line.partition(b":")[0].strip().lower() not in _PASSING
        if is_kept:
            kept.update(line + b"\r\n")
    kept.update(b"\r\n" + body)
    return kept.digest()


class Dedupe(Plugin[DedupeSettings]):
    """Sends the same once.

    Attributes:
        clock: Seconds since 1970, the same for all who share a store.
    """

    name = "dedupe"
    clock: Callable[[], float] = staticmethod(epoch_s)

    def register(self, hooks: Hooks) -> None:
        """Stand before the backend."""
        self._wrapped = Wrapped(lambda inner: DedupingBackend(inner, self))
        self._rests_until = 0.0
        hooks.add_filter("backend", self.wrap, _PRIORITY)

    def wrap(self, backend: Backend, context: Context) -> Backend:
        """The backend behind what is known."""
        return self._wrapped.of(backend)

    @cached_property
    def store(self) -> SeenStore:
        """What was sent."""
        return self.settings.opened_store()

    @property
    def store_rests(self) -> bool:
        """Whether it failed a short while ago."""
        now = self.clock()
        return now < self._rests_until <= now + _STORE_REST_S

    def store_failed(self, error: Exception) -> None:
        """Leave it alone for a while."""
        self._rests_until = self.clock() + _STORE_REST_S
        STORE_FAILED(plugin="dedupe", rest_s=_STORE_REST_S, reason=words_of(error))

    def close(self) -> None:
        """Let the store go of what it opened."""
        if "store" in self.__dict__:
            self.store.close()


class DedupingBackend(WrappingBackend):
    """Carries a mail to whom it is new; the others have what became of the first one."""

    def __init__(self, inner: Backend, plugin: Dedupe) -> None:
        super().__init__(inner)
        self._plugin = plugin
        self._settings = plugin.settings
        self._claimed: dict[str, dict[Address, bytes]] = {}  # of mails on their way

    async def plan(self, mails: Sequence[Mail]) -> list[Plan]:
        """One question for all of them."""
        now = self._plugin.clock()
        keys = await self._keys(mails)
        begun = [
            (key, Seen(mail_id=mail.id, at=now)) for mail, own in zip(mails, keys, strict=True) for key in own.values()
        ]
        if not begun:
            return [Plan(shares=[(self.inner, mail)]) for mail in mails]
        if self._plugin.store_rests:
            return self._without_store(mails, keys)
        try:
            found = iter(
                await self._ask(lambda store: store.claim(begun, self._settings.window_s, self._settings.lease_s))
            )
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            self._plugin.store_failed(error)
            return self._without_store(mails, keys)
        plans = []
        for mail, own in zip(mails, keys, strict=True):
            seen = {address: one for address in own if (one := next(found)) is not None and _is_of_another(mail, one)}
            if len(seen) < len(own):  # else nothing is carried, so nothing would be learnt
                self._claimed[mail.id] = {address: key for address, key in own.items() if address not in seen}
            plans.append(self._planned(mail, seen, now) if seen else Plan(shares=[(self.inner, mail)]))
        return plans

    def _planned(self, mail: Mail, seen: dict[Address, Seen], now: float) -> Plan:
        results = [_repeated(address, one, now) for address, one in seen.items()]
        new = [address for address in mail.envelope.recipients if address not in seen]
        reason = next((result.text for result in results if result.outcome is not Outcome.DEFERRED), None)
        is_all = not new and all([result.outcome is not Outcome.DEFERRED for result in results])
        return Plan(
            results=results,
            shares=[(self.inner, part_of(mail, new))] if new else (),
            notes=[f"dedupe: {reason}"] if reason is not None and not is_all else (),
            skipped=reason if is_all else None,
        )

    def _without_store(self, mails: Sequence[Mail], keys: Sequence[dict[Address, bytes]]) -> list[Plan]:
        if self._settings.without_store == "defer":
            raise ConfigError("dedupe: its store could not be asked, and without_store is 'defer': nothing is sent")
        return [
            Plan(shares=[(self.inner, mail)], notes=[_NO_STORE] if own else ())
            for mail, own in zip(mails, keys, strict=True)
        ]

    async def _keys(self, mails: Sequence[Mail]) -> list[dict[Address, bytes]]:
        """By what each mail is known to each of its recipients."""
        settings = self._settings

        def look() -> list[bytes | None]:
            return [settings.identity(mail) for mail in mails]

        reads = any([mail.message is None or mail.message.attachments for mail in mails])
        identities = await self.runtime.run(look) if reads else look()
        return [
            {} if identity is None else {address: _key(identity, address) for address in mail.envelope.recipients}
            for mail, identity in zip(mails, identities, strict=True)
        ]

    async def _ask(self, ask: Callable[[SeenStore], T]) -> T:
        store = self._plugin.store
        return ask(store) if store.is_quick else await self.runtime.run(lambda: ask(store))

    async def learn(
        self, backend: Backend, mails: Sequence[Mail], said: Sequence[Receipt | UnsupportedFeature]
    ) -> None:
        """Keep what arrived, or may have; what did not may be sent again."""
        ended = [one for pair in zip(mails, said, strict=True) for one in self._ended(*pair)]
        if ended and not self._plugin.store_rests:
            try:
                await self._ask(lambda store: store.settle(ended))
            except Exception as error:  # noqa: BLE001 - whatever a store raises
                self._plugin.store_failed(error)

    def _ended(self, mail: Mail, said: Receipt | UnsupportedFeature) -> list[Ended]:
        """What a store is to be told of a mail that was carried: it is on its way no more."""
        own = self._claimed.pop(mail.id, {})
        results = said.results if isinstance(said, Receipt) else ()
        now = self._plugin.clock()
        kept = {result.address.key: _kept(mail, result, now) for result in results}
        return [
            Ended(own[address], mail.id, kept.get(address.key))
            for address in mail.envelope.recipients
            if address in own
        ]

    def settled(self, mail: Mail) -> Receipt:
        """What was known of it when it was cut short. No event loop waits for a file here."""
        receipt = super().settled(mail)
        ended = self._ended(mail, receipt)
        store = self._plugin.store
        if ended and not self._plugin.store_rests and (store.is_quick or not self.runtime.is_async):
            try:
                store.settle(ended)
            except Exception as error:  # noqa: BLE001 - whatever a store raises
                self._plugin.store_failed(error)
        return receipt


def _is_of_another(mail: Mail, seen: Seen) -> bool:
    """Whether this makes the mail a duplicate: its own earlier try does so only if that arrived."""
    return seen.mail_id != mail.id or seen.outcome is Outcome.ACCEPTED


def _key(identity: bytes, address: Address) -> bytes:
    return hashlib.sha256(identity + b"\0" + address.ascii.lower().encode("utf-8", "surrogatepass")).digest()


def _kept(mail: Mail, result: RecipientResult, now: float) -> Seen | None:
    if result.outcome not in (Outcome.ACCEPTED, Outcome.UNKNOWN):
        return None
    return Seen(
        mail_id=mail.id,
        at=now,
        outcome=result.outcome,
        code=result.code,
        enhanced_code=result.enhanced_code,
        text=result.text,
        provider_id=result.provider_id,
    )


def _repeated(address: Address, seen: Seen, now: float) -> RecipientResult:
    """What became of the first one; while that is on its way, another try may know."""
    ago = f"{max(now - seen.at, 0):.0f} s ago"
    if seen.outcome is None:
        text = f"the same mail is on its way: {seen.mail_id}, begun {ago}"
        return RecipientResult(address, Outcome.DEFERRED, text=text, scope=Scope.MESSAGE)
    said = f": {seen.text}" if seen.text else ""
    return RecipientResult(
        address,
        seen.outcome,
        seen.code,
        seen.enhanced_code,
        f"duplicate of mail {seen.mail_id}, {seen.outcome.value} {ago}{said}",
        provider_id=seen.provider_id,
        scope=Scope.MESSAGE,
    )
