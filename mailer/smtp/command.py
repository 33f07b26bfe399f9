"""SMTP commands and capabilities: what a client writes, and what a server reads.

The functions named for a verb return that command as bytes, CRLF included, and refuse with `MessageError` what would
break out of its line. `parse_command` and `parse_path` are the other direction, tolerant where servers have to be.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import MessageError, ProtocolError

__all__ = [
    "KEYWORD",
    "MECHANISM",
    "Command",
    "auth",
    "bdat",
    "cancel",
    "data",
    "ehlo",
    "helo",
    "helo_name",
    "lhlo",
    "mail",
    "noop",
    "parse_command",
    "parse_path",
    "quit",
    "rcpt",
    "response",
    "rset",
    "starttls",
    "xtext",
    "xtext_decoded",
]

# ---- Limits, all with CRLF ----

MAX_COMMAND_BYTES = 512
"""RFC 5321 section 4.5.3.1.4, before extensions add to it."""
MAX_AUTH_BYTES = 12288
"""RFC 4954 section 4: the longest AUTH command and SASL line."""
MAX_LOCAL_BYTES = 64
MAX_DOMAIN_BYTES = 255
MAX_PATH_BYTES = 256
"""RFC 5321 section 4.5.3.1.1-3; the path counts its angle brackets."""
MAX_ENVID_BYTES = 100

_ALLOWANCE = {
    "SIZE": 26,  # RFC 1870 section 4
    "BODY": 17,  # RFC 6152 section 2
    "SMTPUTF8": 10,  # RFC 6531 section 3.1
    "AUTH": 500,  # RFC 4954 section 3
    "RET": 8,  # RFC 3461 section 4
    "ENVID": 107,
    "NOTIFY": 28,
    "ORCPT": 500,
    "BY": 17,  # RFC 2852 section 3
    "HOLDFOR": 34,  # RFC 4865 section 4
    "HOLDUNTIL": 34,
    "MT-PRIORITY": 15,  # RFC 6710 section 3
    "REQUIRETLS": 11,  # RFC 8689 section 2
}
"""What a parameter adds to the command line limit, by its extension's specification."""

# ---- Grammar ----

_WORD = re.compile(r"[!-~]+")
MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}", re.IGNORECASE)  # RFC 4422 section 3.1
KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")  # RFC 5321 section 4.1.1.1, ehlo-keyword
_VALUE = re.compile(r"[!-<>-~]+")  # esmtp-value: visible, no "="
_VALUE_UTF8 = re.compile(r"[^\x00-\x20=\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# What an address may be on the wire: a dot-string or quoted-string, then maybe "@" and a domain or address literal.
_LOCAL = r'(?:"(?:[^"\\]|\\.)*"|[^\s"<>@\\,;:()\[\]]+)'
_ADDRESS = re.compile(rf"({_LOCAL})(?:@([^\s\"<>@\\,;:()\[\]]+|\[[^\s<>\[\]\\]+\]))?")
_PATH = re.compile(rf" *<(?:(?:@[^\s<>:@,]+,?)+:)?((?:{_LOCAL})(?:@(?:[^\s\"<>@\\,;:()\[\]]+|\[[^\s<>\[\]\\]+\]))?)?>")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,255}")  # as nearly all are
_HEX = re.compile(r"\+([0-9A-F]{2})")
_NOTIFY = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})


def _refused(what: str, why: str) -> MessageError:
    return MessageError(why, field=what)


def _word(text: str, what: str) -> str:
    if not _WORD.fullmatch(text):
        raise _refused(what, "must be visible ASCII characters without a blank")
    return text


def _line(text: str, what: str, limit: int = MAX_COMMAND_BYTES) -> bytes:
    line = text.encode("utf-8") + b"\r\n"
    if len(line) > limit:
        raise _refused(what, f"makes a command of {len(line)} bytes; {limit} are allowed")
    return line


# ---- What a client writes ----


def ehlo(name: str) -> bytes:
    """``EHLO name``; name as `helo_name` returns it."""
    return _line(f"EHLO {_word(name, 'helo name')}", "helo name")


def helo(name: str) -> bytes:
    """``HELO name``, for a server that knows no EHLO."""
    return _line(f"HELO {_word(name, 'helo name')}", "helo name")


def lhlo(name: str) -> bytes:
    """``LHLO name``, the greeting of LMTP (RFC 2033 section 4.1)."""
    return _line(f"LHLO {_word(name, 'helo name')}", "helo name")


def starttls() -> bytes:
    """``STARTTLS`` (RFC 3207)."""
    return b"STARTTLS\r\n"


def auth(mechanism: str, initial: bytes | None = None) -> bytes:
    """``AUTH mechanism [initial response]`` (RFC 4954 section 4).

    Args:
        mechanism: The SASL name.
        initial: The response in plain bytes; b"" is sent as ``=``, None leaves it out.

    Raises:
        MessageError: The name is none, or the line exceeds 12288 bytes (then send it after the first 334).
    """
    if not MECHANISM.fullmatch(mechanism):
        raise _refused("auth mechanism", "must be 1 to 20 letters, digits, hyphens or underscores")
    if initial is None:
        return f"AUTH {mechanism.upper()}\r\n".encode("ascii")
    # "If the client is transmitting an initial response of zero length, it MUST instead transmit the response as a
    # single equals sign" (RFC 4954 section 4)
    encoded = base64.b64encode(initial).decode("ascii") or "="
    return _line(f"AUTH {mechanism.upper()} {encoded}", "auth response", MAX_AUTH_BYTES)


def response(data: bytes) -> bytes:
    """Return the answer to a 334: data in base64; nothing but CRLF if it is empty."""
    return _line(base64.b64encode(data).decode("ascii"), "auth response", MAX_AUTH_BYTES)


def cancel() -> bytes:
    """``*``: the answer to a 334 that ends the authentication."""
    return b"*\r\n"


def mail(
    path: str | None,
    *,
    size: int | None = None,
    body: str | None = None,
    smtputf8: bool = False,
    auth: str | None = None,
    ret: str | None = None,
    envid: str | None = None,
    extra: Mapping[str, str | None] | None = None,
) -> bytes:
    """``MAIL FROM:<path>`` and its parameters, each left out if None or False.

    Args:
        path: The address without angle brackets, as it goes on the wire; None is the null reverse-path ``<>``.
        size: Octets of the content with CRLF line ends, before dot-stuffing (RFC 1870 section 3).
        body: "7BIT", "8BITMIME" or "BINARYMIME".
        smtputf8: Say ``SMTPUTF8``; only then may path hold non-ASCII.
        auth: Who submitted it: an address or "" for ``<>`` (RFC 4954 section 5); written as xtext.
        ret: "FULL" or "HDRS" (RFC 3461 section 4.3).
        envid: Envelope identifier, plain; written as xtext, at most 100 octets then (section 4.4).
        extra: Further parameters, keyword to value or to None for a bare one, in order.

    Raises:
        MessageError: Anything that does not fit its grammar or its length; field names it.
    """
    parameters: dict[str, str | None] = {}
    if size is not None:
        if size < 0:
            raise _refused("size", "cannot be negative")
        if path and not (smtputf8 or extra) and body is auth is ret is envid is None:  # as nearly all are
            line = f"MAIL FROM:<{_path(path, 'sender', False)}> SIZE={size}"
            return _line(line, "sender", MAX_COMMAND_BYTES + _ALLOWANCE["SIZE"])
        parameters["SIZE"] = str(size)
    if body is not None:
        parameters["BODY"] = _one_of(body, {"7BIT", "8BITMIME", "BINARYMIME"}, "body")
    if smtputf8:
        parameters["SMTPUTF8"] = None
    if auth is not None:
        parameters["AUTH"] = xtext(auth or "<>", what="auth")
    if ret is not None:
        parameters["RET"] = _one_of(ret, {"FULL", "HDRS"}, "ret")
    if envid is not None:
        parameters["ENVID"] = encoded = xtext(envid, what="envid")
        if not 1 <= len(encoded) <= MAX_ENVID_BYTES:
            raise _refused("envid", f"must be 1 to {MAX_ENVID_BYTES} octets of xtext")
    for keyword, value in (extra or {}).items():
        if keyword.upper() in parameters:
            raise _refused(keyword, "stands twice")
        parameters[keyword.upper()] = value
    return _path_command("MAIL FROM:", "" if path is None else _path(path, "sender", smtputf8), parameters, "sender")


def rcpt(path: str, *, notify: Iterable[str] | None = None, orcpt: str | None = None, smtputf8: bool = False) -> bytes:
    """``RCPT TO:<path>`` and its DSN parameters.

    Args:
        path: The address without angle brackets, as it goes on the wire.
        notify: "NEVER" alone, or some of "SUCCESS", "FAILURE", "DELAY" (RFC 3461 section 4.1).
        orcpt: The original recipient as a plain address; written as ``rfc822;`` and xtext, or, if it is not ASCII,
            as ``utf-8;`` and ``\\x{HEX}`` escapes (RFC 6533 section 3).
        smtputf8: MAIL said SMTPUTF8; only then may path hold non-ASCII.

    Raises:
        MessageError: Anything that does not fit its grammar or its length; field names it.
    """
    if notify is None and orcpt is None and not smtputf8:
        return f"RCPT TO:<{_path(path, 'recipient', False)}>\r\n".encode("ascii")  # as nearly all are
    parameters: dict[str, str | None] = {}
    if notify is not None:
        wanted = [_one_of(word, _NOTIFY, "notify") for word in ([notify] if isinstance(notify, str) else notify)]
        if not wanted or len(set(wanted)) < len(wanted) or ("NEVER" in wanted and len(wanted) > 1):
            raise _refused("notify", "must be NEVER alone, or each of SUCCESS, FAILURE, DELAY at most once")
        parameters["NOTIFY"] = ",".join(wanted)
    if orcpt is not None:
        parameters["ORCPT"] = f"rfc822;{xtext(orcpt, what='orcpt')}" if orcpt.isascii() else _unitext(orcpt, smtputf8)
    return _path_command("RCPT TO:", _path(path, "recipient", smtputf8), parameters, "recipient", utf8=smtputf8)


def data() -> bytes:
    """``DATA``."""
    return b"DATA\r\n"


def bdat(size: int, *, last: bool = False) -> bytes:
    """``BDAT size [LAST]``: size octets follow at once, as they are (RFC 3030 section 2)."""
    if size < 0:
        raise _refused("size", "cannot be negative")
    return f"BDAT {size}{' LAST' if last else ''}\r\n".encode("ascii")


def rset() -> bytes:
    """``RSET``."""
    return b"RSET\r\n"


def noop() -> bytes:
    """``NOOP``."""
    return b"NOOP\r\n"


def quit() -> bytes:  # noqa: A001 - the RFC's word
    """``QUIT``."""
    return b"QUIT\r\n"


def _one_of(word: str, words: Iterable[str], what: str) -> str:
    if (upper := word.upper()) not in words:
        raise _refused(what, f"must be one of {', '.join(sorted(words))}")
    return upper


def _path(address: str, what: str, utf8: bool) -> str:
    """Return address if it can stand between angle brackets and means one mailbox there."""
    if _PLAIN_ADDRESS.fullmatch(address) and len(address) <= MAX_PATH_BYTES - 2:
        return address
    if _UNSAFE.search(address):
        raise _refused(what, "holds a control character")
    if not utf8 and not address.isascii():
        raise _refused(what, "is not ASCII, and that needs SMTPUTF8")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise _refused(what, "is no address that can stand in an SMTP path")
    local, domain = match[1], match[2] or ""
    for part, name, limit in (
        (local, "local part", MAX_LOCAL_BYTES),
        (domain, "domain", MAX_DOMAIN_BYTES),
        (address, "address", MAX_PATH_BYTES - 2),
    ):
        if len(part.encode("utf-8")) > limit:
            raise _refused(what, f"has a {name} of more than {limit} octets")
    return address


def _path_command(
    verb: str, path: str, parameters: Mapping[str, str | None], what: str, *, utf8: bool = False
) -> bytes:
    if not parameters:
        return _line(f"{verb}<{path}>", what)
    # "space is not permitted on either side of the colon following FROM" (RFC 5321 section 3.3)
    words, limit = [f"{verb}<{path}>"], MAX_COMMAND_BYTES
    utf8 = utf8 or "SMTPUTF8" in parameters  # which RCPT does not repeat
    for keyword, value in parameters.items():
        if not KEYWORD.fullmatch(keyword):
            raise _refused(what, "has a parameter whose keyword is none")
        if value is not None and not (_VALUE_UTF8 if utf8 else _VALUE).fullmatch(value):
            raise _refused(keyword.lower(), "must be visible characters without a blank or an equals sign")
        words.append(keyword if value is None else f"{keyword}={value}")
        limit += _ALLOWANCE.get(keyword, 0)
    if utf8 and "SMTPUTF8" not in parameters:
        limit += _ALLOWANCE["SMTPUTF8"]
    return _line(" ".join(words), what, limit)


def xtext(text: str, *, what: str = "xtext") -> str:
    """Return text as xtext: ``+``, ``=`` and blanks as ``+HH`` (RFC 3461 section 4).

    Args:
        text: ASCII without control characters; else `MessageError`.
        what: The field that the error names.
    """
    if _UNSAFE.search(text) or not text.isascii():
        raise _refused(what, "must be ASCII without control characters")
    return "".join(f"+{ord(char):02X}" if char in "+= " else char for char in text)


def _unitext(address: str, utf8: bool) -> str:
    """Return a non-ASCII original recipient in the form of RFC 6533 section 3: 7-bit unless utf8."""
    if _UNSAFE.search(address):
        raise _refused("orcpt", "holds a control character")
    return "utf-8;" + "".join(
        f"\\x{{{ord(char):02X}}}" if char in "+=\\ " or not (utf8 or char.isascii()) else char for char in address
    )


def xtext_decoded(text: str) -> str:
    """Return what xtext stands for; ProtocolError if a ``+`` has no two upper-case hexadecimal digits."""
    if "+" in _HEX.sub("", text):
        raise ProtocolError("malformed xtext")
    return _HEX.sub(lambda match: chr(int(match[1], 16)), text)


def helo_name(hostname: str, ip: str = "127.0.0.1") -> str:
    """Return what to say in EHLO: hostname if it is a fully qualified domain name, else an address literal.

    Args:
        hostname: The host's name, or an address literal with its brackets.
        ip: The local address of the connection, IPv4 or IPv6, a zone (``%eth0``) allowed.

    Returns:
        "mail.example.org", "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 sections 4.1.1.1 and 4.1.3).

    Raises:
        MessageError: An address literal is needed, and ip is no address.
    """
    name = hostname.removesuffix(".")
    labels = name.split(".")
    if (
        len(name) <= MAX_DOMAIN_BYTES
        and len(labels) >= 2
        and all(map(_LABEL.fullmatch, labels))
        and not labels[-1].isdecimal()
    ):
        return name
    for text in (hostname.removeprefix("[").removesuffix("]").removeprefix("IPv6:"), ip):
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            continue
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is None:
                return f"[IPv6:{address}]"
            address = address.ipv4_mapped
        return f"[{address}]"
    raise _refused("helo name", "is no fully qualified domain name, and there is no IP address to say instead")


# ---- What a server offers ----


# ---- What a server reads ----


@dataclass(frozen=True, slots=True)
class Command:
    """One command line.

    Attributes:
        verb: In upper case.
        argument: What follows the verb and its blanks, trailing blanks dropped; "" if nothing does.
    """

    verb: str
    argument: str = ""


def parse_command(line: bytes) -> Command:
    """Return the command in line, with or without its line end.

    Raises:
        ProtocolError: It does not begin with a word of letters, holds a control character, or is not UTF-8.
    """
    try:
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8").rstrip(" \t")
    except UnicodeDecodeError as exc:
        raise ProtocolError("command is not UTF-8") from exc
    verb, _, argument = text.partition(" ")
    if not (verb.isascii() and verb.isalpha()) or _UNSAFE.search(argument.replace("\t", " ")):
        raise ProtocolError("not an SMTP command")
    return Command(verb.upper(), argument.strip(" \t"))


def parse_path(argument: str, prefix: str) -> tuple[str | None, dict[str, str | None]]:
    """Return the address and the parameters of a MAIL or RCPT argument.

    A blank after the colon is tolerated; a source route (``<@a,@b:user@c>``) is dropped, as RFC 5321 appendix C allows.

    Args:
        argument: "FROM:<a@b> SIZE=3".
        prefix: "FROM:" or "TO:", any case.

    Returns:
        The address as it stood between the brackets, None for ``<>``; keywords in upper case to values, None if bare.

    Raises:
        ProtocolError: It does not read like that, or a parameter stands twice.
    """
    start = len(prefix)
    if argument[:start].upper() != prefix.upper():
        raise ProtocolError(f"expected {prefix}<address>")
    match = _PATH.match(argument, start)
    if match is None or argument[match.end() : match.end() + 1].strip():
        raise ProtocolError(f"expected {prefix}<address>")
    parameters: dict[str, str | None] = {}
    for word in argument[match.end() :].split():
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        if not KEYWORD.fullmatch(keyword) or (equals and not _VALUE_UTF8.fullmatch(value)):
            raise ProtocolError("malformed parameter")
        if keyword in parameters:
            raise ProtocolError(f"parameter {keyword} stands twice")
        parameters[keyword] = value if equals else None
    return match[1], parameters
