"""What a provider makes of a request: the copies that leave it, by its documented rules of merging and no code of ours.

Values are evaluated again and again until nothing changes, as the worst of them would.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from email.header import decode_header, make_header
from typing import Any

from mailer import Message
from mailer.relay.exchange import Request
from mailer.testing import RelayRequest

__all__ = ["EXPANDERS", "Copy"]

#: To whom, subject, text, html, the header X-Row, metadata.
Copy = tuple[str, str, str | None, str | None, str | None, dict[str, Any]]
_HANDLEBARS = re.compile(r"\{\{\{\s*(\w+)\s*\}\}\}|\{\{(.*?)\}\}", re.DOTALL)
_JINJA = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)


def _until_still(text: str, once: Callable[[str], str]) -> str:
    for _ in range(5):
        text = once(text)
    return text


def _curly(text: str | None, values: dict[str, Any], *, is_on: bool) -> str | None:
    if text is None or not is_on:
        return text

    def once(text: str) -> str:
        return _HANDLEBARS.sub(lambda found: str(values.get(found[1], "")) if found[1] else "EVALUATED", text)

    return _until_still(text, once)


def _postmark(request: Request) -> Iterator[Copy]:
    body = json.loads(request.content)
    for item in body if isinstance(body, list) else [body]:
        headers = {h["Name"]: h["Value"] for h in item.get("Headers", [])}
        assert not {"Cc", "Bcc"} & set(item)
        yield (
            *(item["To"], item["Subject"], item.get("TextBody"), item.get("HtmlBody")),
            *(headers.get("X-Row"), item.get("Metadata", {})),
        )


def _resend(request: Request) -> Iterator[Copy]:
    body = json.loads(request.content)
    for item in body if isinstance(body, list) else [body]:
        [to] = item["to"]
        metadata = {tag["name"]: tag["value"] for tag in item.get("tags", []) if tag["name"] != "tag"}
        yield to, item["subject"], item.get("text"), item.get("html"), item.get("headers", {}).get("X-Row"), metadata


def _mailjet(request: Request) -> Iterator[Copy]:
    for item in json.loads(request.content)["Messages"]:
        [to] = item["To"]
        metadata = json.loads(item.get("EventPayload", "{}"))
        headers = item.get("Headers", {})
        yield to["Email"], item["Subject"], item.get("TextPart"), item.get("HTMLPart"), headers.get("X-Row"), metadata


def _sendgrid(request: Request) -> Iterator[Copy]:
    body = json.loads(request.content)
    for one in body["personalizations"]:
        tags = one.get("substitutions", {})
        assert sum(len(value.encode()) for value in tags.values()) <= 10_000

        def filled(text: str, tags: dict[str, str] = tags) -> str:
            if not tags:
                return text
            known = re.compile("|".join(map(re.escape, tags)))
            return _until_still(text, lambda text: known.sub(lambda found: tags[found[0]], text))

        texts = {content["type"]: filled(content["value"]) for content in body["content"]}
        [to] = one["to"]
        headers = {**body.get("headers", {}), **one.get("headers", {})}
        yield (
            *(to["email"], filled(one.get("subject", body.get("subject", "")))),
            *(texts.get("text/plain"), texts.get("text/html"), headers.get("X-Row"), one.get("custom_args", {})),
        )


def _mailgun(request: Request) -> Iterator[Copy]:
    headers = {name.lower(): value for name, value in request.headers}
    form = RelayRequest("POST", "/", headers, request.content).form
    fields = {name: str(value) for name, value, _ in form if name != "to"}
    to = [str(value) for name, value, _ in form if name == "to"]
    assert len(to) == 1 or "recipient-variables" in fields, "they see each other"
    variables = json.loads(fields.get("recipient-variables", "null"))
    for person in to:

        def once(text: str, person: str = person) -> str:
            return re.sub(
                r"%recipient([^%]*)%", lambda f: str(variables[person].get(f[1][1:], "EVALUATED")), text, flags=re.I
            )

        said = {name: value if variables is None else _until_still(value, once) for name, value in fields.items()}
        metadata = {name[2:]: value for name, value in said.items() if name.startswith("v:")}
        yield person, said["subject"], said.get("text"), said.get("html"), said.get("h:X-Row"), metadata


def _sparkpost(request: Request) -> Iterator[Copy]:
    body = json.loads(request.content)
    content, is_on = body["content"], body.get("options", {}).get("perform_substitutions", True)
    for recipient in body["recipients"]:
        assert "header_to" not in recipient["address"]
        values = {**body.get("substitution_data", {}), **recipient.get("substitution_data", {})}
        # In headers it evaluates whatever it is told.
        subject = _curly(content["subject"], values, is_on=True)
        row = _curly(content.get("headers", {}).get("X-Row"), values, is_on=True)
        text, markup = (_curly(content.get(key), values, is_on=is_on) for key in ("text", "html"))
        metadata = {**body.get("metadata", {}), **recipient.get("metadata", {})}
        yield recipient["address"]["email"], str(subject), text, markup, row, metadata


def _mandrill(request: Request) -> Iterator[Copy]:
    message = json.loads(request.content)["message"]
    assert len(message["to"]) == 1 or message["preserve_recipients"] is False
    merge = {v["rcpt"]: {x["name"]: x["content"] for x in v["vars"]} for v in message.get("merge_vars", [])}
    known = {m["rcpt"]: m["values"] for m in message.get("recipient_metadata", [])}
    assert not merge or message["merge_language"] == "handlebars"
    for to in message["to"]:
        values = merge.get(to["email"], {})
        subject, text, markup = (
            _curly(message.get(key), values, is_on=bool(merge)) for key in ("subject", "text", "html")
        )
        metadata = {**message.get("metadata", {}), **known.get(to["email"], {})}
        yield to["email"], str(subject), text, markup, message.get("headers", {}).get("X-Row"), metadata


def _brevo(request: Request) -> Iterator[Copy]:
    body = json.loads(request.content)
    for version in body.get("messageVersions", [{}]):
        said = {**body, **version}
        [to] = said["to"]
        subject, text, markup = (
            _JINJA.sub("EVALUATED", said[key]) if key in said else None
            for key in ("subject", "textContent", "htmlContent")
        )
        for escape in ("&#123;", "&#37;"):
            markup = str(markup).replace("{" + escape, "{" + html.unescape(escape))
        headers = said.get("headers", {})
        yield (
            *(to["email"], subject or "", text, markup),
            *(headers.get("X-Row"), json.loads(headers.get("X-Mailin-custom", "{}"))),
        )


_DOUBLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def _escaping(text: str | None, values: dict[str, Any], *, is_html: bool) -> str | None:
    """The worst of both: what is filled in is escaped in html, and evaluated again."""
    if text is None:
        return None
    shown = {name: html.escape(value) if is_html else value for name, value in values.items()}
    return _until_still(text, lambda text: _DOUBLE.sub(lambda found: shown.get(found[1], "EVALUATED"), text))


def _smtp2go(request: Request) -> Iterator[Copy]:
    body = json.loads(request.content)
    for item in body.get("emails", [body]):
        [to] = item["to"]
        headers = {h["header"]: h["value"] for h in item.get("custom_headers", [])}
        yield to, item["subject"], item.get("text_body"), item.get("html_body"), headers.get("X-Row"), {}


def _zeptomail(request: Request) -> Iterator[Copy]:
    body = json.loads(request.content)
    is_batch = request.url.endswith("/batch")
    assert is_batch or len(body["to"]) == 1, "they see each other"
    for to in body["to"]:
        values = to.get("merge_info", {})
        texts = [body["subject"], body.get("textbody"), body.get("htmlbody")]
        if is_batch:
            texts = [_escaping(text, values, is_html=text is texts[2]) for text in texts]
        row = body.get("mime_headers", {}).get("X-Row")
        yield to["email_address"]["address"], texts[0], *texts[1:], row, json.loads(body.get("client_reference", "{}"))


def _unisender_go(request: Request) -> Iterator[Copy]:
    message = json.loads(request.content)["message"]
    assert "to" not in message.get("headers", {})
    for to in message["recipients"]:
        values = to.get("substitutions", {})
        body = message["body"]
        subject, text = (_escaping(t, values, is_html=False) for t in (message["subject"], body.get("plaintext")))
        row = message.get("headers", {}).get("X-Row")
        metadata = {**message.get("global_metadata", {}), **to.get("metadata", {})}
        shown = str(make_header(decode_header(row))) if row is not None else None
        yield to["email"], str(subject), text, _escaping(body.get("html"), values, is_html=True), shown, metadata


def _http_json(request: Request) -> Iterator[Copy]:
    for mail in json.loads(request.content)["mails"]:
        message = Message.from_dict(mail["message"])
        [to] = mail["envelope"]["recipients"]
        row = dict(message.headers).get("X-Row")
        yield to, message.subject, message.text, message.html, row, dict(message.metadata)


EXPANDERS: dict[str, Callable[[Request], Iterator[Copy]]] = {
    "postmark": _postmark,
    "sendgrid": _sendgrid,
    "mailgun": _mailgun,
    "brevo": _brevo,
    "resend": _resend,
    "mailjet": _mailjet,
    "sparkpost": _sparkpost,
    "mandrill": _mandrill,
    "smtp2go": _smtp2go,
    "zeptomail": _zeptomail,
    "unisendergo": _unisender_go,
    "http+json": _http_json,
}
