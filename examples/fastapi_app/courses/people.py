"""The people, and the routes that they use."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass, field, replace
from typing import Self

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field, model_validator

from mailer import (
    Address,
    AddressError,
    Context,
    DeadlineExceeded,
    DeliveryDeferred,
    DeliveryRefused,
    DeliveryUnknown,
)

from .mails import BackgroundMail, Mail, bill, welcome

__all__ = ["People", "router"]

router = APIRouter()


@dataclass
class Person:
    """Who has signed up."""

    name: str
    is_confirmed: bool = False
    is_reachable: bool = True


@dataclass
class People:
    """All of them, by address; here a dict, in an app of yours a database."""

    by_address: dict[str, Person] = field(default_factory=dict)
    by_token: dict[str, str] = field(default_factory=dict)
    bills: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def told(self, context: Context) -> None:
        """A webhook's news: nothing more is sent to an address that is dead."""
        event = context.event
        if event is not None and event.is_hard and event.recipient is not None:
            self._lose(event.recipient)

    def refused(self, context: Context) -> None:
        """The same, where the server said so at once."""
        for address in context.recipients:
            self._lose(address)

    def _lose(self, address: Address) -> None:
        if (person := self.by_address.get(address.addr_spec)) is not None:
            person.is_reachable = False


class SignUp(BaseModel):
    """What who signs up gives; both together make a mailbox, or the form is refused."""

    address: str
    name: str = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _is_a_mailbox(self) -> Self:
        try:
            self.mailbox  # noqa: B018 - made to see whether it can be
        except AddressError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def mailbox(self) -> Address:
        """To whom the mail goes."""
        return replace(Address.parse(self.address), name=self.name)


class Enrolment(BaseModel):
    """Who wants to take which course."""

    address: str
    course: str


def people_of(request: Request) -> People:
    """Those of this app."""
    people: People = request.app.state.people
    return people


@router.post("/signup", status_code=202)
async def signup(form: SignUp, request: Request, background: BackgroundMail) -> dict[str, str]:
    """The mail goes out by itself: the answer neither waits for it nor tells whether the address is known."""
    people = people_of(request)
    address = form.mailbox.addr_spec
    known = people.by_address.get(address)
    if known is None or not known.is_confirmed:  # whose mail was lost may ask for another
        token = secrets.token_urlsafe(24)
        try:
            await background.send(welcome(form.mailbox, token))
        except DeadlineExceeded as error:
            raise HTTPException(503, "mail cannot be sent just now: try again", {"Retry-After": "60"}) from error
        people.by_address.setdefault(address, Person(form.name))
        people.by_token[token] = address
    return {"mail": "on its way, if one is needed"}


@router.get("/confirm/{token}")
async def confirm(token: str, request: Request) -> dict[str, str]:
    """Each link is good once."""
    people = people_of(request)
    address = people.by_token.pop(token, None)
    if address is None:
        raise HTTPException(404, "this link is not good any more")
    people.by_address[address].is_confirmed = True
    return {"confirmed": address}


@router.post("/enrolments")
async def enrol(form: Enrolment, request: Request, mailer: Mail) -> dict[str, object]:
    """The outcome is the answer: who cannot be reached is not enrolled."""
    people = people_of(request)
    person = people.by_address.get(form.address)
    if person is None or not person.is_confirmed or not person.is_reachable:
        raise HTTPException(403, "confirm your address first")
    number = next(people.bills)
    try:
        receipt = await mailer.send(bill(form.address, form.course, number))
    except DeliveryRefused as error:
        raise HTTPException(422, f"no mail can reach you: {error.receipt.results[0].text}") from error
    except DeliveryDeferred as error:
        raise HTTPException(503, "mail cannot be sent just now: try again", {"Retry-After": "60"}) from error
    except DeliveryUnknown:
        return {"bill": number, "sent": "perhaps"}  # not again: it may have arrived
    return {"bill": number, "sent": "yes", "mail": receipt.id}
