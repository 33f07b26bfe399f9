"""The webhook: what a provider calls us with, as pure functions from a call to events.

A provider's is written by subclassing :class:`Webhook` with a table of its words for what happens, ``event``, and, if
it signs its calls, ``verify``. It opens no connection and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from ..address import Address
from ..errors import ProtocolError
from ..event import MAIL_ID_KEY, Event, EventKind, RejectReason, mail_id_in
from .call import Call
from .payload import Payload, codes_in
from .proof import Proof

__all__ = ["Webhook"]

#: The kinds that have a reason -> the one that holds if the provider gives none; what arrived, or still may, has none.
_REASONS = {
    EventKind.BOUNCED: RejectReason.BOUNCED,
    EventKind.REJECTED: RejectReason.OTHER,
    EventKind.FAILED: RejectReason.OTHER,
    EventKind.COMPLAINED: RejectReason.SPAM,
    EventKind.UNSUBSCRIBED: RejectReason.UNSUBSCRIBED,
}


class Webhook:
    """One provider's webhook.

    Attributes:
        name: The provider's name, as in its URL: lower case.
        kinds: The provider's word for what happened -> ours; what is not in it is UNKNOWN.
        reasons: The provider's word for why it did not arrive -> ours.
        needs_url: Whether the signature is over the URL that the provider was given.
        content_types: What its calls are of, a part of the Content-Type.
        stop_status: The HTTP status by which it learns that it need not tell again what could not be read.
    """

    name: ClassVar[str]
    kinds: ClassVar[Mapping[str, EventKind]] = {}
    reasons: ClassVar[Mapping[str, RejectReason]] = {}
    needs_url: ClassVar[bool] = False
    content_types: ClassVar[tuple[str, ...]] = ("json",)
    stop_status: ClassVar[int] = 400

    # --- is it from them ----------------------------------------------------------------------------------------------

    def verify(self, call: Call, proof: Proof) -> None:
        """Raise AuthError unless the call is from the provider. Runs before anything is read.

        A provider that does not sign has to show a secret of ours, see :meth:`Proof.check_shared`.
        """
        proof.check_shared(call)

    def certificate_url(self, call: Call) -> str | None:
        """Where the certificate is that the call is signed by; None where none is needed."""
        return None

    def call_id(self, call: Call) -> str:
        """Of a verified call: what no other has, but the same call again; "" where there is nothing of the kind."""
        return ""

    def confirmation_url(self, call: Call) -> str | None:
        """Of a verified call that asks to confirm that we want to be told: where a GET does so; else None."""
        return None

    def reply(self, call: Call) -> Any:
        """What the provider wants a verified call to be answered with, as JSON; None if a status is enough."""
        return None

    def permission(self, call: Call) -> Mapping[str, str]:
        """The headers that answer an OPTIONS by which the provider asks whether it may tell us; none if it does not."""
        return {}

    # --- what it says -------------------------------------------------------------------------------------------------

    def events(self, call: Call) -> list[Event]:
        """What a verified call tells.

        Raises:
            ProtocolError: Its body is not of the form that the provider documents.
        """
        events: list[Event] = []
        for item in self.items(call):
            if isinstance(item, dict):
                events += self.read(Payload(item), call)
            else:
                events.append(Event(kind=EventKind.UNKNOWN, provider=self.name, raw={"value": item}))
        return events

    def items(self, call: Call) -> Iterable[Any]:
        """The objects that tell an event each: those of a JSON list, or one alone."""
        data = call.json()
        if not isinstance(data, (dict, list)):
            raise ProtocolError(f"the webhook's body of {self.name} is neither a JSON object nor a list")
        return data if isinstance(data, list) else [data]

    def read(self, item: Payload, call: Call) -> Iterator[Event]:
        """The events that an object tells: one mostly, none for what is about no mail, one for each recipient."""
        yield self.event(item, call)

    def event(self, item: Payload, call: Call) -> Event:
        """The event that an object tells, made by :meth:`made`."""
        raise NotImplementedError(f"{type(self).__name__} has no event")

    # --- what most need -----------------------------------------------------------------------------------------------

    def made(
        self,
        kind: EventKind | str,
        item: Payload,
        *,
        provider_id: str = "",
        event_id: str = "",
        recipient: Address | None = None,
        time: datetime | None = None,
        reject_reason: RejectReason | None = None,
        is_hard: bool | None = None,
        is_machine: bool = False,
        text: str = "",
        code: int | float | None = None,
        enhanced_code: str = "",
        url: str = "",
        user_agent: str = "",
        tags: tuple[str, ...] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Event:
        """The event, with what follows from the rest: our mail's id from the metadata, codes from the text.

        Args:
            kind: Ours, or the provider's word, looked up in :attr:`kinds`.
            item: What becomes ``raw``.
            reject_reason: None is what follows from the kind; of a kind that has none it is left out.
            code: What is none is left out.
            enhanced_code: What is none is left out, and looked for in the text.
        """
        if not isinstance(kind, EventKind):
            kind = self.kinds.get(kind, EventKind.UNKNOWN)
        metadata = dict(metadata or {})
        if mail_id := mail_id_in(metadata):
            del metadata[MAIL_ID_KEY]
        said_code, said_enhanced = codes_in(text)
        _, given_enhanced = codes_in(enhanced_code)
        given_code = code if isinstance(code, int) and 200 <= code <= 599 else None
        return Event(
            kind=kind,
            provider=self.name,
            provider_id=provider_id,
            mail_id=mail_id,
            event_id=event_id,
            recipient=recipient,
            time=time,
            reject_reason=(reject_reason or _REASONS[kind]) if kind in _REASONS else None,
            is_hard=is_hard,
            is_machine=is_machine,
            text=text,
            code=given_code or said_code,
            enhanced_code=given_enhanced or said_enhanced,
            url=url,
            user_agent=user_agent,
            tags=tags,
            metadata=metadata,
            raw=item.data,
        )
