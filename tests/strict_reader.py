"""A second reader of mail, strict and independent of the writer: it asserts what RFC 5322 and MIME demand.

It reads a header only in the ways that ``mailer`` may write it, so it is a check of the writer, not a mail parser.
"""  # noqa: E501, RUF100

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

__all__ = ["Part", "decoded", "mailboxes", "read"]

_WORD = re.compile(r"=\?([^?]*)\?([bBqQ])\?([^?]*)\?=")
_NAME = re.compile(rb"[!-9;-~]+")


@dataclass
class Part:
    """A mail, or a part of one.

    Attributes:
        fields: (name, body) in order; the body unfolded, not decoded.
        body: A leaf's content, transfer encoding undone; b"" for a multipart.
        parts: A multipart's parts.
    """

    fields: list[tuple[str, str]]
    body: bytes = b""
    raw_body: bytes = b""
    parts: list[Part] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [body for key, body in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) < 2, f"{name} stands {len(found)} times"
        return found[0] if found else None

    @property
    def content_type(self) -> str:
        return parameters(self.get("Content-Type") or "text/plain")[0].lower()

    @property
    def parameters(self) -> dict[str, str]:
        return parameters(self.get("Content-Type") or "text/plain")[1]

    @property
    def disposition(self) -> str | None:
        value = self.get("Content-Disposition")
        return None if value is None else parameters(value)[0]

    @property
    def filename(self) -> str | None:
        return parameters(self.get("Content-Disposition") or "attachment")[1].get("filename")

    @property
    def text(self) -> str:
        return self.body.decode("utf-8").replace("\r\n", "\n")

    def walk(self) -> Iterator[Part]:
        yield self
        for part in self.parts:
            yield from part.walk()

    def shape(self) -> object:
        """The content types as nested tuples."""
        return (self.content_type, *[p.shape() for p in self.parts]) if self.parts else self.content_type


def read(data: bytes, *, utf8: bool = False, eight_bit: bool = False) -> Part:
    """Read a whole mail.

    Args:
        utf8: Raw UTF-8 may stand in the mail's own header.
        eight_bit: Octets above 127 may stand in bodies.
    """
    assert data.endswith(b"\r\n"), "ends in CRLF"
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", data), "CRLF only"
    assert b"\0" not in data
    assert max(map(len, data.split(b"\r\n"))) <= 998, "a line over 998"
    if not eight_bit:
        assert (data.partition(b"\r\n\r\n")[2] if utf8 else data).isascii(), "an octet above 127"
    return _entity(data, utf8=utf8, inside=None)


def _entity(data: bytes, *, utf8: bool, inside: str | None) -> Part:
    if data.startswith(b"\r\n"):
        head, body = b"", data[2:]
    else:
        assert b"\r\n\r\n" in data, "no empty line behind the header"
        head, _, body = data.partition(b"\r\n\r\n")
    part = Part(_header(head, utf8=utf8), raw_body=body)
    kind, params = part.content_type, part.parameters
    encoding = (part.get("Content-Transfer-Encoding") or "7bit").lower()
    if kind.startswith("multipart/"):
        assert encoding in ("7bit", "8bit", "binary"), "composite types are never encoded (RFC 2045 section 6.4)"
        part.parts = [_entity(piece, utf8=utf8, inside=kind) for piece in _pieces(body, params["boundary"])]
        return part
    if kind == "message/rfc822":
        assert encoding in ("7bit", "8bit", "binary"), "RFC 2046 section 5.2.1"
    part.body = _leaf(body, encoding)
    return part


def _header(head: bytes, *, utf8: bool) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for line in head.split(b"\r\n") if head else []:
        text = line.decode("utf-8" if utf8 else "ascii")
        assert text.strip(" \t"), "a line of blanks only"
        assert text == text.rstrip(" \t"), f"blanks at a line's end: {text!r}"
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text), "a control character"
        folded = text[0] in " \t"
        content = text.lstrip(" \t") if folded else text.partition(":")[2].lstrip(" \t")
        if len(text) > 78:
            assert not re.search(r"[ \t]", content), f"{len(text)} characters though there is a blank: {text!r}"
        if _WORD.search(text):
            assert len(text) <= 76, f"an encoded-word on a line of {len(text)}"
        for word in _WORD.finditer(text):
            assert len(word[0]) <= 75, "RFC 2047 section 2"
        if folded:
            name, body = fields[-1]
            fields[-1] = (name, body + text)
        else:
            name, colon, body = text.partition(":")
            assert colon, f"not a field: {text!r}"
            assert _NAME.fullmatch(name.encode()), f"not a field: {text!r}"
            assert body == "" or body[0] == " "
            fields.append((name, body))
    return [(name, body.strip(" ")) for name, body in fields]


def _pieces(body: bytes, boundary: str) -> list[bytes]:
    assert 1 <= len(boundary) <= 70
    assert re.fullmatch(r"[0-9A-Za-z'()+_,\-./:=?]+", boundary)
    delimiter = b"--" + boundary.encode()
    assert body.startswith(delimiter + b"\r\n"), "no preamble is written"
    *pieces, end = (b"\r\n" + body).split(b"\r\n" + delimiter)[1:]
    assert end in (b"--\r\n", b"--"), f"not closed, or an epilogue: {end[:40]!r}"
    assert all(piece.startswith(b"\r\n") for piece in pieces), "a line that only begins like the boundary"
    return [piece[2:] for piece in pieces]


def _leaf(body: bytes, encoding: str) -> bytes:
    lines = body.split(b"\r\n")
    if encoding in ("7bit", "8bit"):
        assert encoding == "8bit" or body.isascii()
        return body
    assert max(map(len, lines)) <= 76, f"{encoding} line over 76"
    if encoding == "base64":
        assert all(len(line) == 76 for line in lines[:-2]), "base64 lines are full"
        return base64.b64decode(b"".join(lines), validate=True)
    assert encoding == "quoted-printable"
    for line in lines:
        assert not line.endswith((b" ", b"\t")), "a blank at the end of a line"
        assert re.fullmatch(rb"(?:[\t -<>-~]|=[0-9A-F]{2})*=?", line), line
    return quopri.decodestring(body)


def decoded(body: str) -> str:
    """Free text with its encoded-words decoded (RFC 2047 section 6.1); each must be whole characters."""
    out: list[str] = []
    after_word = False
    for blanks, token in re.findall(r"([ \t]*)([^ \t]+)", body):
        word = _WORD.fullmatch(token)
        if not (word and after_word):
            out.append(blanks)
        out.append(_word(word) if word else token)
        after_word = word is not None
    return "".join(out).strip(" \t")


def _word(found: re.Match[str]) -> str:
    charset, encoding, text = found.groups()
    assert charset.lower() == "utf-8"
    if encoding.lower() == "b":
        return base64.b64decode(text, validate=True).decode("utf-8")
    assert re.fullmatch(r"[A-Za-z0-9!*+\-/=_]*", text), "RFC 2047 section 5 (3)"
    return binascii.a2b_qp(text.encode(), header=True).decode("utf-8")


def parameters(body: str) -> tuple[str, dict[str, str]]:
    """A body with parameters, RFC 2231 continuations joined and decoded."""
    found = re.match(r"[^;]*", body)
    assert found
    raw: dict[str, str] = {}
    at = found.end()
    while at < len(body):
        part = re.compile(r';[ \t]*([^\s=;"]+)=([^\s;"]+|"(?:[^"\\]|\\.)*")[ \t]*').match(body, at)
        assert part, f"not a parameter: {body[at:]!r}"
        assert part[1] not in raw, "a parameter twice"
        assert not _WORD.search(part[2]), "an encoded-word in a parameter (RFC 2047 section 5)"
        raw[part[1]] = re.sub(r"\\(.)", r"\1", part[2][1:-1]) if part[2].startswith('"') else part[2]
        at = part.end()
    values: dict[str, str] = {}
    pieces: dict[str, list[str]] = {}
    for key, value in raw.items():
        name, star, index = key.partition("*")
        if star and index not in ("", "*"):
            assert index == f"{len(pieces.setdefault(name, []))}*", "continuations in order, each encoded"
            pieces[name].append(value)
        elif star:
            pieces[name] = [value]
        else:
            values[name] = value
    for name, several in pieces.items():
        joined = "".join(several)
        assert joined.startswith("utf-8''")
        assert re.fullmatch(r"(?:[A-Za-z0-9!#$&+\-.^_`{|}~]|%[0-9A-F]{2})*", joined[7:]), joined
        for piece in several:
            assert not re.search(r"%(?![0-9A-F]{2})", piece), "an escape in two pieces"
        values[name] = unquote_to_bytes(joined[7:]).decode("utf-8")
    return found[0].strip(), values


_TOKEN = re.compile(
    r'(?P<blank>[ \t]+)|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<angle><(?:"(?:[^"\\]|\\.)*"|[^<>"\s])+>)|(?P<special>[,:;])'
    r"|(?P<atom>[^\s,:;<>\"()\[\]]+(?:(?<=@)\[[^\]]*\])?)"
)


def mailboxes(body: str) -> list[tuple[str, str]]:
    """(name, addr-spec) of each mailbox, names decoded; a group gives (its name, "")."""
    found: list[tuple[str, str]] = []
    words: list[tuple[str, str]] = []
    spec = ""
    at = 0

    def done(address: str) -> None:
        found.append((_phrase(words), address))

    pending = False
    while at < len(body):
        token = _TOKEN.match(body, at)
        assert token, f"not an address list: {body[at:]!r}"
        at = token.end()
        kind, text = str(token.lastgroup), token[0]
        if kind in ("quoted", "atom"):
            if found_quoted := re.match(r'@(?:\[[^\]]*\]|[^\s,:;<>"()\[\]]+)', body[at:]) if kind == "quoted" else None:
                text += found_quoted[0]
                at += found_quoted.end()
            words.append((kind, text))
            pending = True
        elif kind == "angle":
            spec, pending = text[1:-1], True
        elif text == ":":
            assert words
            assert not spec
            name = _phrase(words)
            assert re.match(r"[ \t]*;", body[at:]), "only groups without members are written"
            at += body[at:].index(";") + 1
            found.append((name, ""))
            words, pending = [], False
        elif text == ",":
            if pending:
                if not spec:
                    [(_, spec)] = words
                    words = []
                done(spec)
            words, spec, pending = [], "", False
    if pending:
        if not spec:
            [(_, spec)] = words
            words = []
        done(spec)
    for _, address in found:
        assert "=?" not in address or address.startswith('"'), "an encoded-word in an addr-spec"
    return found


def _phrase(words: list[tuple[str, str]]) -> str:
    out: list[str] = []
    after_word = False
    for kind, text in words:
        word = _WORD.fullmatch(text) if kind == "atom" else None
        if kind == "quoted":
            assert not _WORD.search(text), "an encoded-word in a quoted-string"
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        if out and not (word and after_word):
            out.append(" ")
        out.append(_word(word) if word else text)
        after_word = word is not None
    return "".join(out)
