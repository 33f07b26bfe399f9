"""The form: a request's body as ``multipart/form-data`` (RFC 7578), for an API that takes no JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

__all__ = ["Field", "absent_boundary", "form_data"]

# RFC 7578 section 4.2 and the HTML standard: in a name these three are percent-encoded, all else is UTF-8 as it is.
_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form.

    Attributes:
        name: In the form; several may have the same.
        value: Text goes in UTF-8.
        filename: Of a file; None for a plain value.
        content_type: Of a file.
    """

    name: str
    value: str | bytes
    filename: str | None = None
    content_type: str = ""

    @property
    def content(self) -> bytes:
        """The value as bytes."""
        return self.value if isinstance(self.value, bytes) else self.value.encode()


def form_data(fields: Iterable[Field]) -> tuple[str, bytes]:
    """The Content-Type and the body. The same fields make the same body: a try again is known as one."""
    parts = [(_head(field), field.content) for field in fields]
    boundary = absent_boundary(parts)
    line = f"--{boundary}\r\n".encode()
    pieces: list[bytes] = []
    for head, content in parts:
        pieces += (line, head, b"\r\n", content, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(pieces)


def _head(field: Field) -> bytes:
    head = f'Content-Disposition: form-data; name="{field.name.translate(_QUOTED)}"'
    if field.filename is not None:
        head += f'; filename="{field.filename.translate(_QUOTED)}"'
    if field.content_type:
        head += f"\r\nContent-Type: {field.content_type}"
    return f"{head}\r\n".encode()


def absent_boundary(parts: Iterable[tuple[bytes, bytes]]) -> str:
    """A boundary that stands in none of the parts (header and content), whoever wrote them; the same for the same."""
    parts = list(parts)
    digest = sha256()
    for head, content in parts:
        digest.update(b"%d %d " % (len(head), len(content)))
        digest.update(head)
        digest.update(content)
    while True:
        boundary = digest.hexdigest()[:32]
        if not any(boundary.encode() in content for _, content in parts):
            return boundary
        digest.update(b"again")
