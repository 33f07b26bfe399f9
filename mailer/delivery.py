"""What a message asks of the transport, beside being carried: notices, priorities, time limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import MessageError
from .field import line, reads_json, several, shown

__all__ = ["DeliveryOptions"]

_NOTIFY = ("NEVER", "SUCCESS", "FAILURE", "DELAY")
_RET = ("FULL", "HDRS")
_MODES = ("R", "N")
_ENVID = re.compile(r"[\x21-\x7e]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True, init=False)
class DeliveryOptions:
    """Per-message options of SMTP extensions. A backend without one says so in ``receipt.notes``, or refuses.

    Attributes:
        notify: Of "NEVER" (alone) or "SUCCESS", "FAILURE", "DELAY"; () leaves it to the server (RFC 3461 section 4.1).
        ret: "FULL" or "HDRS", how much of the mail a notice returns, or None (RFC 3461 section 4.3).
        envid: The envelope id that notices repeat, or None: 1-100 printable ASCII characters, of which "+" and "="
            count three times, being written so (RFC 3461 section 4.4).
        require_tls: Every hop must use verified TLS, or the mail fails (RFC 8689).
        deliver_by_s: Deliver within so many seconds (1-999999999), or None (RFC 2852).
        deliver_by_mode: What happens when that time is over: "R" returns the mail, "N" sends a notice and goes on.
        mt_priority: -9 (lowest) to 9, or None (RFC 6710).
    """

    notify: tuple[str, ...]
    ret: str | None
    envid: str | None
    require_tls: bool
    deliver_by_s: int | None
    deliver_by_mode: str
    mt_priority: int | None

    def __init__(
        self,
        *,
        notify: str | Iterable[str] = (),
        ret: str | None = None,
        envid: str | None = None,
        require_tls: bool = False,
        deliver_by_s: int | None = None,
        deliver_by_mode: str = "R",
        mt_priority: int | None = None,
    ) -> None:
        asked = (notify,) if isinstance(notify, str) else several(notify, "delivery.notify")
        words = tuple(line(word, "delivery.notify").upper() for word in asked)
        if any(word not in _NOTIFY for word in words) or ("NEVER" in words and len(words) > 1):
            raise MessageError(f"{shown(words)}: give 'NEVER' alone or some of {_NOTIFY[1:]}", field="delivery.notify")
        if ret is not None and line(ret, "delivery.ret").upper() not in _RET:
            raise MessageError(f"{shown(ret)} is not one of {_RET}", field="delivery.ret")
        if envid is not None and not _ENVID.fullmatch(line(envid, "delivery.envid")):
            raise MessageError(f"{shown(envid)} is not 1-100 printable ASCII characters", field="delivery.envid")
        if envid is not None and len(envid) + 2 * sum(map(envid.count, "+=")) > 100:
            raise MessageError(f"{shown(envid)} is more than 100 octets as xtext", field="delivery.envid")
        if line(deliver_by_mode, "delivery.deliver_by_mode").upper() not in _MODES:
            raise MessageError(f"{shown(deliver_by_mode)} is not one of {_MODES}", field="delivery.deliver_by_mode")
        if not isinstance(require_tls, bool):
            raise MessageError(f"must be True or False, not {shown(require_tls)}", field="delivery.require_tls")
        _check_whole(deliver_by_s, 1, 999_999_999, "delivery.deliver_by_s")
        _check_whole(mt_priority, -9, 9, "delivery.mt_priority")
        put = object.__setattr__
        put(self, "notify", tuple(dict.fromkeys(words)))
        put(self, "ret", ret.upper() if ret else None)
        put(self, "envid", envid)
        put(self, "require_tls", require_tls)
        put(self, "deliver_by_s", deliver_by_s)
        put(self, "deliver_by_mode", deliver_by_mode.upper())
        put(self, "mt_priority", mt_priority)

    @classmethod
    def from_esmtp(cls, mail_options: Iterable[str] = (), rcpt_options: Iterable[str] = ()) -> DeliveryOptions:
        """Read parameters of MAIL and RCPT, as smtplib's ``sendmail`` takes them: ``["RET=HDRS"], ["NOTIFY=NEVER"]``.

        What the session sees to by itself may stand there and changes nothing: BODY, SIZE, SMTPUTF8, ORCPT.

        Raises:
            MessageError: A parameter is another one, comes twice, or its value is wrong.
        """
        asked: dict[str, Any] = {}
        for field, options, meaning in (
            ("mail_options", mail_options, _OF_MAIL),
            ("rcpt_options", rcpt_options, _OF_RCPT),
        ):
            for option in (options,) if isinstance(options, str) else several(options, field):
                name, equals, value = line(option, field).strip().partition("=")
                if name.upper() not in meaning:
                    known = ", ".join(meaning)
                    raise MessageError(f"{shown(option)} is not carried: there are {known}", field=field)
                read = meaning[name.upper()]
                if read is None:
                    continue
                if bool(equals) == (name.upper() == "REQUIRETLS"):
                    raise MessageError(f"{shown(option)} is not NAME=value as its RFC has it", field=field)
                try:
                    found = read(value)
                except ValueError:
                    raise MessageError(f"{shown(option)}: its value cannot be read", field=field) from None
                if not asked.keys().isdisjoint(found):
                    raise MessageError(f"{shown(option)} stands there twice", field=field)
                asked |= found
        return cls(**asked)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {name: list(v) if isinstance(v := getattr(self, name), tuple) else v for name in self.__slots__}

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> DeliveryOptions:
        """Read back what :meth:`to_dict` gave; unknown keys are ignored, wrong values raise :class:`MessageError`."""
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})


def _by(value: str) -> dict[str, Any]:
    """RFC 2852 section 4: seconds; mode, and maybe T for a trace."""
    seconds, _, mode = value.partition(";")
    return {"deliver_by_s": int(seconds), "deliver_by_mode": mode.upper().removesuffix("T") or "R"}


def _xtext(value: str) -> str:
    """RFC 3461 section 4: each "+" and two digits is an octet."""
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), value)


# ESMTP parameter -> what it says of the fields; None: nothing that the session does not see to.
_OF_MAIL: dict[str, Callable[[str], dict[str, Any]] | None] = {
    "RET": lambda value: {"ret": value},
    "ENVID": lambda value: {"envid": _xtext(value)},
    "REQUIRETLS": lambda value: {"require_tls": True},
    "BY": _by,
    "MT-PRIORITY": lambda value: {"mt_priority": int(value)},
    **dict.fromkeys(("BODY", "SIZE", "SMTPUTF8")),
}
_OF_RCPT: dict[str, Callable[[str], dict[str, Any]] | None] = {
    "NOTIFY": lambda value: {"notify": value.split(",")},
    "ORCPT": None,
}


def _check_whole(value: object, lowest: int, highest: int, field: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise MessageError(f"{shown(value)} is not a whole number from {lowest} to {highest}", field=field)
