"""One mail transaction as a server sees it: MAIL, RCPT and what may stand in them. No I/O (RFC 5321 section 3.3)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from ..errors import ProtocolError
from ..smtp.command import parse_path
from ..smtp.reply import Reply

__all__ = ["Refused", "Transaction", "path_of", "too_big"]

# Parameter -> the extensions of which one must be offered for it.
_MAIL_PARAMETERS = {
    "SIZE": "SIZE",
    "BODY": "8BITMIME BINARYMIME",
    "SMTPUTF8": "SMTPUTF8",
    "AUTH": "AUTH",
    "RET": "DSN",
    "ENVID": "DSN",
    "BY": "DELIVERBY",
    "HOLDFOR": "FUTURERELEASE",
    "HOLDUNTIL": "FUTURERELEASE",
    "MT-PRIORITY": "MT-PRIORITY",
    "REQUIRETLS": "REQUIRETLS",
}
_RCPT_PARAMETERS = {"NOTIFY": "DSN", "ORCPT": "DSN"}
_BDAT = re.compile(r"([0-9]{1,18})( +LAST)?", re.IGNORECASE)


class Refused(Exception):
    """A command is not carried out; `reply` says why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(code, (text,))


@dataclass(slots=True)
class Transaction:
    """One MAIL and what followed it."""

    sender: str | None
    parameters: Mapping[str, str | None]
    recipients: list[str] = field(default_factory=list)
    recipient_parameters: list[Mapping[str, str | None]] = field(default_factory=list)
    chunks: bytearray | None = None  # of BDAT, once one came
    is_broken: bool = False  # a BDAT was refused: only RSET helps

    @classmethod
    def begun(cls, argument: str, offered: Collection[str], max_size: int) -> Transaction:
        """Return what a MAIL command begins.

        Args:
            argument: What followed MAIL.
            offered: The keywords of EHLO's answer, in upper case.
            max_size: Octets in a mail; 0 is no limit.

        Raises:
            Refused: It cannot be read, or wants what is not offered.
        """
        sender, parameters = _parsed(argument, "FROM:", offered, _MAIL_PARAMETERS)
        if sender is not None and not sender.isascii() and "SMTPUTF8" not in parameters:
            raise Refused(553, "5.6.7 not ASCII without SMTPUTF8")
        if "SIZE" in parameters:
            if not re.fullmatch(r"[0-9]{1,20}", parameters["SIZE"] or ""):
                raise Refused(501, "5.5.4 SIZE is no number")
            if 0 < max_size < int(parameters["SIZE"] or ""):
                raise too_big(max_size)
        bodies = {"7BIT", "8BITMIME"} | ({"BINARYMIME"} & set(offered))
        if "BODY" in parameters and (parameters["BODY"] or "").upper() not in bodies:
            raise Refused(501, "5.5.4 unknown BODY")
        return cls(sender, parameters)

    def add(self, argument: str, offered: Collection[str], most: int) -> None:
        """Take a recipient in: the argument of RCPT; `Refused` as `begun`, and beyond most recipients."""
        if self.chunks is not None:
            raise Refused(503, "5.5.1 MAIL first")
        recipient, parameters = _parsed(argument, "TO:", offered, _RCPT_PARAMETERS)
        if recipient is None:
            raise Refused(501, "5.1.3 nobody's address")
        if not recipient.isascii() and "SMTPUTF8" not in self.parameters:
            raise Refused(553, "5.6.7 not ASCII without SMTPUTF8")
        if len(self.recipients) >= most:
            raise Refused(452, "4.5.3 too many recipients")
        self.recipients.append(recipient)
        self.recipient_parameters.append(parameters)

    def check_data(self) -> None:
        """`Refused` if DATA cannot follow."""
        if self.chunks is not None or self.is_broken:
            raise Refused(503, "5.5.1 not now")
        if not self.recipients:
            raise Refused(554, "5.5.1 no valid recipients")
        if (self.parameters.get("BODY") or "").upper() == "BINARYMIME":
            raise Refused(503, "5.5.1 BINARYMIME goes by BDAT")

    def add_chunk(self, argument: str, chunk: bytes, max_size: int) -> bool:
        """Take a BDAT in, with the octets that followed it; return whether it was the last (RFC 3030).

        Raises:
            Refused: It breaks the transaction. A chunk shorter than announced was skipped for its size.
        """
        size, is_last = chunk_of(argument)
        was_broken, self.is_broken = self.is_broken, True
        if size is None:
            raise Refused(501, "5.5.4 BDAT size [LAST]")
        if was_broken:
            raise Refused(503, "5.5.1 no transaction")
        if not self.recipients:
            raise Refused(554, "5.5.1 no valid recipients")
        if len(chunk) != size:
            raise too_big(max_size)
        self.is_broken = False
        if self.chunks is None:
            self.chunks = bytearray()
        self.chunks += chunk
        return is_last

    def copy(self) -> Transaction:
        """As it is now."""
        return replace(
            self,
            recipients=self.recipients[:],
            recipient_parameters=self.recipient_parameters[:],
            chunks=None if self.chunks is None else self.chunks[:],
        )


def chunk_of(argument: str) -> tuple[int | None, bool]:
    """The size in a BDAT's argument, None if there is none to be read; and whether it says LAST."""
    match = _BDAT.fullmatch(argument)
    return (int(match[1]), bool(match[2])) if match else (None, False)


def too_big(max_size: int) -> Refused:
    """What a mail of more than max_size octets gets."""
    return Refused(552, f"5.3.4 too big: {max_size} octets are allowed")


def path_of(verb: str, argument: str) -> str:
    """The plain address in the argument of MAIL or RCPT, "" for the null one; the argument if there is none."""
    try:
        return parse_path(argument, "FROM:" if verb == "MAIL" else "TO:")[0] or ""
    except ProtocolError:
        return argument


def _parsed(
    argument: str, prefix: str, offered: Collection[str], known: Mapping[str, str]
) -> tuple[str | None, dict[str, str | None]]:
    try:
        path, parameters = parse_path(argument, prefix)
    except ProtocolError as exc:
        raise Refused(501, f"5.5.4 {exc}") from exc
    for keyword in parameters:
        if not any(extension in offered for extension in known.get(keyword, keyword).split()):
            raise Refused(555, f"5.5.4 parameter {keyword} is not offered")
    return path, parameters
