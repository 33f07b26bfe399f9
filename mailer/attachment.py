"""Attachments: a name, a type and content that can be read again on every try."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import MessageError
from .field import line, reads_json, shown, token_id

if TYPE_CHECKING:
    from email.message import Message as StandardMessage

__all__ = ["Attachment", "Opener", "free_content_id", "media_type", "names_of"]

#: Opens the content anew, at its start. Called once for each composition or send; the file is closed afterwards.
Opener = Callable[[], BinaryIO]

# A table of our own: the standard library's mimetypes reads files of the machine, so its answer varies.
_TYPES = {
    ending: media
    for media, endings in {
        "application/pdf": "pdf",
        "application/json": "json",
        "application/xml": "xml",
        "application/zip": "zip",
        "application/gzip": "gz tgz",
        "application/x-tar": "tar",
        "application/rtf": "rtf",
        "application/msword": "doc",
        "application/vnd.ms-excel": "xls",
        "application/vnd.ms-powerpoint": "ppt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
        "application/vnd.oasis.opendocument.text": "odt",
        "application/vnd.oasis.opendocument.spreadsheet": "ods",
        "application/epub+zip": "epub",
        "application/pgp-keys": "asc",
        "audio/mpeg": "mp3",
        "audio/ogg": "ogg oga",
        "audio/wav": "wav",
        "image/png": "png",
        "image/jpeg": "jpg jpeg",
        "image/gif": "gif",
        "image/webp": "webp",
        "image/avif": "avif",
        "image/svg+xml": "svg",
        "image/bmp": "bmp",
        "image/tiff": "tif tiff",
        "message/rfc822": "eml",
        "text/plain": "txt log text",
        "text/html": "html htm",
        "text/css": "css",
        "text/csv": "csv",
        "text/calendar": "ics",
        "text/markdown": "md",
        "text/vcard": "vcf",
        "video/mp4": "mp4",
        "video/quicktime": "mov",
        "video/webm": "webm",
    }.items()
    for ending in endings.split()
}
_DEFAULT_TYPE = "application/octet-stream"

# RFC 2045 section 5.1: token; a parameter's value is a token or a quoted-string.
_TOKEN = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+"  # noqa: S105 - a grammar's token
_NAME = rf"{_TOKEN[:-1]}{{1,127}}"  # RFC 6838 section 4.2: so each fits a line
_MEDIA_TYPE = re.compile(rf"({_NAME})/({_NAME})[ \t]*((?:;.*)?)", re.ASCII)
_PARAMETER = re.compile(rf';[ \t]*({_NAME})[ \t]*=[ \t]*({_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*', re.ASCII)


_NOT_IN_CID = re.compile(r"[^A-Za-z0-9._-]")


def media_type(value: object, field: str = "content_type") -> tuple[str, dict[str, str]]:
    """Read a media type with its parameters (RFC 2045 section 5.1).

    Returns:
        ("text/calendar", {"method": "REQUEST"}): type and parameter names in lower case, values unquoted.

    Raises:
        MessageError: Not ``type/subtype`` with well-formed parameters, each given once.
    """
    text = line(value, field).strip()
    found = _MEDIA_TYPE.fullmatch(text)
    if not found or not text.isascii():
        raise MessageError(f"{shown(value)} is not a media type like 'text/csv; charset=utf-8'", field=field)
    parameters: dict[str, str] = {}
    rest, position = found[3].rstrip("; \t"), 0
    while position < len(rest):
        part = _PARAMETER.match(rest, position)
        if not part or part[1].lower() in parameters:
            raise MessageError(f"{shown(value)}: its parameters are not name=value, each once", field=field)
        quoted = part[2].startswith('"')
        parameters[part[1].lower()] = re.sub(r"\\(.)", r"\1", part[2][1:-1]) if quoted else part[2]
        position = part.end()
    return f"{found[1]}/{found[2]}".lower(), parameters


def _base_name(name: object) -> str:
    """The last component, whatever the separator; what a message names never holds a directory."""
    text = line(name, "attachments.name").replace("\\", "/").rstrip("/").rpartition("/")[2].strip()
    return "attachment" if text in ("", ".", "..") else text


def names_of(attachments: Iterable[Attachment]) -> set[str]:
    """What is taken already, as file name or content id, in lower case: at some providers they are one."""
    return {name.lower() for a in attachments for name in (a.name, a.content_id) if name}


def free_content_id(name: str, taken: set[str]) -> str:
    """A content id made of a file name, and good as one, that is not taken; it is added to ``taken``."""
    candidate, number = _NOT_IN_CID.sub("_", name), 1
    stem, dot, ending = candidate.rpartition(".")
    while candidate.lower() in taken:
        number += 1
        candidate = f"{stem}-{number}{dot}{ending}"
    taken.add(candidate.lower())
    return candidate


@dataclass(frozen=True, slots=True, repr=False)
class Attachment:
    """One attached or inline file.

    Attributes:
        name: The file name, without any directory.
        content: The bytes, or an :data:`Opener` for content that is read when it is needed.
        size_bytes: How long the content is; for bytes always their length.
        content_type: The media type with its parameters ("text/csv; charset=utf-8").
        content_id: What ``cid:`` links name, without angle brackets, or None.
        inline: Shown within the html rather than listed as a file.
    """

    name: str
    content: bytes | Opener
    size_bytes: int
    content_type: str = _DEFAULT_TYPE
    content_id: str | None = None
    inline: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _base_name(self.name))
        kind, parameters = media_type(self.content_type, "attachments.content_type")
        if kind.startswith("multipart/"):
            raise MessageError(f"{kind} cannot be attached: attach a message/rfc822", field="attachments.content_type")
        if not parameters:
            object.__setattr__(self, "content_type", kind)
        if self.content_id is not None:
            object.__setattr__(self, "content_id", token_id(self.content_id, "attachments.content_id"))
        if isinstance(self.content, bytes):
            object.__setattr__(self, "size_bytes", len(self.content))
        elif not callable(self.content):
            raise MessageError(
                f"content of {shown(self.name)} must be bytes, not {type(self.content).__name__}", field="attachments"
            )

    @classmethod
    def from_bytes(
        cls,
        name: str,
        content: bytes | bytearray | memoryview,
        *,
        content_type: str | None = None,
        content_id: str | None = None,
        inline: bool = False,
    ) -> Attachment:
        """An attachment from bytes in memory.

        Args:
            name: The file name; a directory part is dropped.
            content: The bytes; a string is refused (encode it, so that the charset is yours).
            content_type: None guesses by the name's ending; unknown ones are application/octet-stream.
        """
        if not isinstance(content, (bytes, bytearray, memoryview)):
            raise MessageError(f"content must be bytes, not {type(content).__name__}", field="attachments")
        data = bytes(content)
        return cls(name, data, len(data), content_type or _guessed(name), content_id, inline)

    @classmethod
    def from_path(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        content_type: str | None = None,
        content_id: str | None = None,
        inline: bool = False,
    ) -> Attachment:
        """An attachment that is read from disk when it is sent, in chunks.

        Raises:
            MessageError: The file is missing, a directory or unreadable. Seen now, not when sending.
        """
        if not isinstance(path, (str, os.PathLike)):
            raise MessageError(f"a path is a str or os.PathLike, not {type(path).__name__}", field="attachments")
        try:
            absolute = os.path.abspath(path)
            opener = _File(absolute)
            with opener() as file:
                size = file.seek(0, os.SEEK_END)
        except _UNREADABLE as error:
            raise _unreadable(path, error) from error
        label = name or os.path.basename(absolute)
        return cls(label, opener, size, content_type or _guessed(label), content_id, inline)

    @classmethod
    def from_stream(
        cls,
        name: str,
        stream: Opener | BinaryIO | Iterable[bytes],
        *,
        content_type: str | None = None,
        content_id: str | None = None,
        inline: bool = False,
    ) -> Attachment:
        """An attachment from a binary stream.

        Args:
            stream: Best a callable that opens it anew: it is read once for its size and once for each try, never held
                whole in memory. A file is read from where it stands, into memory, and left open; so are chunks from a
                generator or list, since what cannot be read again cannot be sent again.

        Raises:
            MessageError: It cannot be read, or gives text.
        """
        content: bytes | Opener
        size = 0
        try:
            if callable(stream):
                content = stream
                with stream() as file:
                    while block := _checked_block(file.read(1 << 16), name):
                        size += len(block)
            elif isinstance(stream, Iterable) and not hasattr(stream, "read"):
                content = b"".join([_checked_block(block, name) for block in stream])
            else:
                content = _checked_block(stream.read(), name)
        except MessageError:
            raise
        except Exception as error:
            raise _unreadable(name, error) from error
        return cls(name, content, size, content_type or _guessed(name), content_id, inline)

    @classmethod
    def from_message(cls, message: StandardMessage | bytes, *, name: str = "message.eml") -> Attachment:
        """Another message, whole, as message/rfc822 (never base64: RFC 2046 section 5.2.1)."""
        if not isinstance(message, (bytes, bytearray, memoryview)):
            from .standard import bytes_of

            message = bytes_of(message)
        return cls.from_bytes(name, message, content_type="message/rfc822")

    @classmethod
    def of(cls, value: object) -> Attachment:
        """An attachment as it is, or a ``pathlib.Path`` read from disk. A string is never taken for a path."""
        if isinstance(value, Attachment):
            return value
        if isinstance(value, os.PathLike):
            return cls.from_path(value)
        raise MessageError(
            f"{shown(value)} is not an Attachment: use Attachment.from_path, from_bytes or from_stream",
            field="attachments",
        )

    def with_(self, **changes: Any) -> Attachment:
        """A copy with other values for the fields named."""
        return replace(self, **changes)

    def open(self) -> BinaryIO:
        """The content from its start; close it after use."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content()

    def blocks(self, block_bytes: int) -> Iterator[bytes]:
        """The content in blocks of exactly ``block_bytes`` (the last may be shorter).

        Raises:
            MessageError: It can no longer be read, or is not ``size_bytes`` long any more.
        """
        left = self.size_bytes
        try:
            with self.open() as file:
                while left:
                    parts, wanted = [], min(block_bytes, left)
                    while wanted:
                        part = file.read(wanted)
                        if not part:
                            raise MessageError(self._changed(), field="attachments")
                        parts.append(part)
                        wanted -= len(part)
                    block = parts[0] if len(parts) == 1 else b"".join(parts)
                    left -= len(block)
                    yield block
                if file.read(1):
                    raise MessageError(self._changed(), field="attachments")
        except MessageError:
            raise
        except Exception as error:
            raise _unreadable(self.name, error) from error

    def _changed(self) -> str:
        return f"{shown(self.name)} changed since it was attached: it was {self.size_bytes} bytes long"

    def __bytes__(self) -> bytes:
        return b"".join(self.blocks(1 << 20))

    def __repr__(self) -> str:
        more = f", content_id={self.content_id!r}" if self.content_id else ""
        more += ", inline=True" if self.inline else ""
        return f"<Attachment {self.name!r} {self.content_type} {self.size_bytes} bytes{more}>"

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, the content in base64 (content on disk is read: the reader may have no such file)."""
        return {
            "name": self.name,
            "content_type": self.content_type,
            "content_id": self.content_id,
            "inline": self.inline,
            "content": base64.b64encode(bytes(self)).decode("ascii"),
        }

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> Attachment:
        """Read back what :meth:`to_dict` gave; unknown keys are ignored, wrong values raise :class:`MessageError`."""
        try:
            content = base64.b64decode(data["content"], validate=True)
        except ValueError as error:
            raise MessageError(f"content of {shown(data.get('name'))} is not base64", field="attachments") from error
        return cls.from_bytes(
            data["name"],
            content,
            content_type=data.get("content_type"),
            content_id=data.get("content_id"),
            inline=data.get("inline", False),
        )


@dataclass(frozen=True, slots=True)
class _File:
    """The opener of a file on disk; a value, so that two attachments of one file are equal."""

    path: str

    def __call__(self) -> BinaryIO:
        return open(self.path, "rb")


# A path with NUL is a ValueError.
_UNREADABLE = (OSError, ValueError)


def _unreadable(name: object, error: Exception) -> MessageError:
    # From an opener of the app's own anything may come; what the system and a closed file say needs no class.
    why = getattr(error, "strerror", None) or (error if isinstance(error, _UNREADABLE) else repr(error))
    return MessageError(f"cannot read {shown(name, 300)}: {why}", field="attachments")


def _guessed(name: object) -> str:
    return _TYPES.get(_base_name(name).rpartition(".")[2].lower(), _DEFAULT_TYPE)


def _checked_block(block: object, name: object) -> bytes:
    if not isinstance(block, bytes):
        raise MessageError(f"the stream of {shown(name)} must be opened in binary mode", field="attachments")
    return block
