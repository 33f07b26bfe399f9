"""``inline_images``: images that html shows from allowed places travel with the mail."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable
from html import escape, unescape
from typing import Literal
from urllib.parse import unquote

from pydantic import Field, PrivateAttr, model_validator

from ..attachment import Attachment, free_content_id, names_of
from ..errors import ConfigError, MessageError, TransportError
from ..gate import Gate
from ..hooks import Hooks
from ..hookspecs import Context
from ..message import Message
from ..plugin import Plugin, PluginSettings

__all__ = ["InlineImages", "InlineImagesSettings"]

#: Behind what writes html (`mjml`, `markdown`, `footer`), before what reads it (`css_inline`, `text_part`).
_PRIORITY = 60
_MOST_KEPT = 50

# A value with "<" in it is no URL; to stop there keeps this linear whatever is broken.
_IMAGE = re.compile(r"""<img(?=[\s/])(?:[^<>"']|"[^<"]*"|'[^<']*')*>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([^\s/>="'<]+)(?:\s*=\s*("[^<"]*"|'[^<']*'|[^\s>"'<]+))?""")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
#: Images that mail programs show. An SVG may hold scripts, and few show one.
_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"})


class InlineImagesSettings(PluginSettings):
    """Settings of ``inline_images``."""

    folders: tuple[str, ...] = Field((), description="Folders whose images an `<img src>` without a scheme may name.")
    hosts: tuple[str, ...] = Field(
        (), description="Hosts whose https images are fetched: names, `*.example.com` for all below, `*` for any."
    )
    failed: Literal["error", "keep"] = Field(
        "error", description="An image that cannot be fetched: an `error`, or `keep` the link to where it lies."
    )
    max_bytes: int = Field(1 << 20, gt=0, description="The most that one image may have.")
    max_total_bytes: int = Field(5 << 20, gt=0, description="The most that all images of a mail may have.")
    timeout_s: float = Field(10.0, gt=0, description="The most that fetching one image may take, in seconds.")
    cache_s: float = Field(300.0, ge=0, description="How long a fetched image is kept for the next mails, in seconds.")
    ca_file: str | None = Field(None, description="A PEM file with the only authorities to trust for https.")
    _gate: Gate = PrivateAttr()

    @model_validator(mode="after")
    def _open(self) -> InlineImagesSettings:
        if not self.folders and not self.hosts:
            raise ValueError("folders or hosts: name at least one place that images may come from")
        try:
            self._gate = Gate(
                self.folders, self.hosts, max_bytes=self.max_bytes, timeout_s=self.timeout_s, ca_file=self.ca_file
            )
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def gate(self) -> Gate:
        """What lets images through, and nothing else."""
        return self._gate


class InlineImages(Plugin[InlineImagesSettings]):
    """Attaches what ``<img src>`` names in an allowed place, each image once, and shows it by ``cid:``.

    An image of any other host stays the link that it is. One without a scheme is a file of ``folders``: if it is not
    there, that is an error, as nobody's mail program could show it.
    """

    name = "inline_images"

    def register(self, hooks: Hooks) -> None:
        """Behind what makes the html."""
        self._kept: OrderedDict[str, tuple[float, Attachment]] = OrderedDict()
        hooks.add_filter("message", self.inlined, _PRIORITY)

    def inlined(self, message: Message, context: Context) -> Message | Awaitable[Message]:
        """The message with its images in it."""
        if not message.html or "<img" not in message.html.lower():
            return message
        return self._inlined(message, message.html, context)

    async def _inlined(self, message: Message, html: str, context: Context) -> Message:
        taken = names_of(message.attachments)
        images: dict[str, Attachment | None] = {}
        total = 0
        parts: list[str] = []
        done = 0
        for start, end, source in _sources(html):
            if source not in images:
                image = await self._image(source, context)
                if image is not None:
                    total += image.size_bytes
                    if total > self.settings.max_total_bytes:
                        raise MessageError(
                            f"the images have more than {self.settings.max_total_bytes} bytes", field="html"
                        )
                    cid = free_content_id(image.name, taken)
                    image = image.with_(name=cid, content_id=cid, inline=True)
                images[source] = image
            found = images[source]
            if found is not None:
                parts += (html[done:start], f'"cid:{escape(found.content_id or "")}"')
                done = end
        added = [image for image in images.values() if image is not None]
        if not added:
            return message
        parts.append(html[done:])
        return message.with_(html="".join(parts), attachments=(*message.attachments, *added))

    async def _image(self, source: str, context: Context) -> Attachment | None:
        """The image; None for what stays a link."""
        gate = self.settings.gate
        if not _SCHEME.match(source):
            if not self.settings.folders:
                return None
            image = Attachment.from_path(gate.path(unquote(source.partition("?")[0]), "html"))
            if image.content_type not in _TYPES:
                raise MessageError(f"{source!r} is {image.content_type}, no image that mail shows", field="html")
            return image
        if not gate.allows(source):
            return None
        now = context.runtime.now()
        kept = self._kept.get(source)
        if kept is not None and now - kept[0] <= self.settings.cache_s:
            return kept[1]
        try:
            image = await gate.attachment(source, context.runtime, field="html")
            if image.content_type not in _TYPES:
                raise TransportError(f"{image.content_type} came, no image that mail shows")
        except (TransportError, MessageError) as error:
            if self.settings.failed == "error":
                raise MessageError(f"an image cannot be had: {error}", field="html") from error
            return None
        self._kept[source] = (now, image)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return image


def _sources(html: str) -> list[tuple[int, int, str]]:
    """Where the value of each ``src`` of an ``<img>`` begins and ends, its quotes too, and what it says.

    Comments are not told apart: what stands in those for one mail program is to be shown by it.
    """
    found: list[tuple[int, int, str]] = []
    for image in _IMAGE.finditer(html):
        for attribute in _ATTRIBUTE.finditer(html, image.start() + len("<img"), image.end() - 1):
            if attribute[1].lower() == "src":
                value = attribute[2] or ""
                plain = unescape(value[1:-1] if value[:1] in ("'", '"') else value).strip()
                if plain:
                    found.append((*attribute.span(2), plain))
                break  # the first of a name holds
    return found
