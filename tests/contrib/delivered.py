"""What a provider would deliver for the requests that it was sent, by its documentation: whatever program sent them.

A second reading of thirteen APIs, which knows neither program: who gets a copy, whom he sees, and all that is in it,
with variables put in where the provider does that. What it does not know is kept as an option.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from mailer.testing import RelayRequest

__all__ = ["copies_of"]

#: One recipient's copy: what he is shown, and what is known of it. What is not there says nothing.
Copy = dict[str, Any]


def copies_of(provider: str, requests: Iterable[RelayRequest]) -> dict[str, list[Copy]]:
    """Address -> the copies that go there, in order; their parts: ``from to cc reply_to subject text html amp headers``
    ``attachments tags metadata send_at opens clicks template variables sender options``.
    """
    found: dict[str, list[Copy]] = {}
    for request in requests:
        for address, copy in _READERS[provider](request):
            said = {key: value for key, value in copy.items() if value not in (None, "", [], {}, ())}
            said.get("metadata", {}).pop("mailer_id", None)
            said.get("metadata", {}).pop("anymail_id", None)
            found.setdefault(address.lower(), []).append({k: v for k, v in said.items() if v != {}})
    return found


# --- values -----------------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    """With encoded-words decoded."""
    return str(make_header(decode_header(value))) if "=?" in value else value


def _boxes(value: Any, email: str = "email", name: str = "name") -> list[str]:
    """``name <address>`` for each, of a header's text, an object, or a list of either."""
    boxes = []
    for item in value if isinstance(value, (list, tuple)) else [value] if value else []:
        pairs = [(item.get(name) or "", item[email])] if isinstance(item, dict) else getaddresses([item])
        boxes += [f"{_text(said)} <{address}>" if said else address for said, address in pairs if address]
    return boxes


def _bare(boxes: Iterable[str]) -> list[str]:
    return [getaddresses([box])[0][1] if "<" in box else box for box in boxes]


def _headers(given: Any, name: str = "name", value: str = "value") -> dict[str, str]:
    pairs = given.items() if isinstance(given, dict) else [(item[name], item[value]) for item in given or ()]
    return {key.lower(): _text(str(said)) for key, said in pairs}


def _file(name: str | None, content: str | bytes, kind: str = "", cid: str | None = None) -> tuple[str, ...]:
    """Name, content, type and content id; a charset in the type says nothing of what is in it."""
    data = content if isinstance(content, bytes) else b64decode(content)
    return (name or "", data.decode("latin-1"), kind.partition(";")[0].lower(), (cid or "").removeprefix("cid:"))


def _second(value: Any) -> int | None:
    """A time, however it is written, as unix time."""
    if value is None or isinstance(value, int):
        return value
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        when = parsedate_to_datetime(value)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def _put(text: Any, pattern: str, values: Mapping[str, Any]) -> Any:
    """The text with what the pattern finds (its group is the name) in its place, if there is such a value."""
    if isinstance(text, dict):
        return {key: _put(value, pattern, values) for key, value in text.items()}
    if not isinstance(text, str):
        return text
    return re.sub(pattern, lambda m: str(values.get(m[1], m[0])), text)


_FILLED = ("subject", "text", "html", "amp", "headers")


def _filled(copy: Copy, pattern: str, values: Mapping[str, Any]) -> Copy:
    return {**copy, **{key: _put(copy.get(key), pattern, values) for key in _FILLED}}


_BRACES = r"\{\{\{? *([^{} ]+) *\}?\}\}"


def _all(to: list[str], cc: list[str], bcc: list[str], copy: Copy) -> Iterator[tuple[str, Copy]]:
    """The same to each of them, who see To and Cc."""
    for address in _bare([*to, *cc, *bcc]):
        yield address, {**copy, "to": to, "cc": cc}


# --- the providers ----------------------------------------------------------------------------------------------------


def _postmark(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    body = request.json
    items = body if isinstance(body, list) else body.get("Messages", [body])
    for item in items:
        said = dict(item)
        links = said.pop("TrackLinks", None)
        copy = {
            "from": _boxes(said.pop("From", None)),
            "reply_to": _boxes(said.pop("ReplyTo", None)),
            "subject": said.pop("Subject", None),
            "text": said.pop("TextBody", None),
            "html": said.pop("HtmlBody", None),
            "headers": _headers(said.pop("Headers", None), "Name", "Value"),
            "attachments": [
                _file(a["Name"], a["Content"], a["ContentType"], a.get("ContentID"))
                for a in said.pop("Attachments", ())
            ],
            "tags": list(filter(None, [said.pop("Tag", None)])),
            "metadata": said.pop("Metadata", None),
            "opens": said.pop("TrackOpens", None),
            "clicks": links and links != "None",
            "template": str(said.pop("TemplateId", "") or said.pop("TemplateAlias", "")),
            "variables": said.pop("TemplateModel", None),
        }
        to, cc, bcc = (_boxes(said.pop(key, None)) for key in ("To", "Cc", "Bcc"))
        yield from _all(to, cc, bcc, {**copy, "options": said})


def _sendgrid(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    said = request.json
    content = {part["type"]: part["value"] for part in said.pop("content", ())}
    tracking = said.pop("tracking_settings", {})
    headers, args, subject = said.pop("headers", {}), said.pop("custom_args", {}), said.pop("subject", None)
    common = {
        "from": _boxes(said.pop("from", None)),
        "reply_to": _boxes(said.pop("reply_to_list", None)),
        "text": content.pop("text/plain", None),
        "html": content.pop("text/html", None),
        "amp": content.pop("text/x-amp-html", None),
        "attachments": [
            _file(a["filename"], a["content"], a["type"], a.get("content_id")) for a in said.pop("attachments", ())
        ],
        "tags": said.pop("categories", None),
        "send_at": _second(said.pop("send_at", None)),
        "opens": tracking.get("open_tracking", {}).get("enable"),
        "clicks": tracking.get("click_tracking", {}).get("enable"),
        "template": said.pop("template_id", None),
    }
    for own in said.pop("personalizations"):
        copy = {
            **common,
            "subject": own.pop("subject", subject),
            "headers": _headers({**headers, **own.pop("headers", {})}),
            "metadata": {**args, **own.pop("custom_args", {})},
            "variables": own.pop("dynamic_template_data", None),
            "options": {**said, **content},
        }
        for place, value in own.pop("substitutions", {}).items():
            copy = _filled(copy, f"({re.escape(place)})", {place: value})
        yield from _all(*[_boxes(own.pop(key, None)) for key in ("to", "cc", "bcc")], copy)
        assert not own, own


def _mailgun(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    fields: dict[str, list[Any]] = {}
    files = []
    for name, value, filename in request.form:
        if filename is None:
            fields.setdefault(name, []).append(value)
        else:
            files.append(_file("" if name == "inline" else filename, value, "", filename if name == "inline" else ""))
    variables = json.loads(fields.pop("recipient-variables", ["null"])[0])
    its = json.loads(fields.pop("t:variables", ["{}"])[0])
    fields.pop("o:suppress-headers", None)
    one = {name: values[0] for name, values in fields.items()}
    flags = {"yes": True, "no": False, None: None}
    copy = {
        "from": _boxes(one.pop("from", None)),
        "subject": one.pop("subject", None),
        "text": one.pop("text", None),
        "html": one.pop("html", None),
        "amp": one.pop("amp-html", None),
        "reply_to": _boxes(one.pop("h:Reply-To", None)),
        "headers": _headers({key[2:]: one.pop(key) for key in list(one) if key.startswith("h:")}),
        "metadata": {key[2:]: one.pop(key) for key in list(one) if key.startswith("v:")},
        "attachments": files,
        "tags": fields.get("o:tag", []),
        "send_at": _second(one.pop("o:deliverytime", None)),
        "opens": flags[one.pop("o:tracking-opens", None)],
        "clicks": flags[one.pop("o:tracking-clicks", None)],
        "template": one.pop("template", None),
        "sender": request.path.split("/")[2],
    }
    to, cc, bcc = (_boxes(fields.get(key)) for key in ("to", "cc", "bcc"))
    rest = {key: value for key, value in one.items() if key not in ("to", "cc", "bcc", "o:tag")}
    copy |= {"options": rest, "variables": its}
    if variables is None:
        yield from _all(to, cc, bcc, copy)
        return
    for box in to:
        values = variables.get(_bare([box])[0], {})
        own = _filled(copy, r"%recipient\.([^%]+)%", values)
        own["metadata"] = _put(copy["metadata"], r"%recipient\.([^%]+)%", values)
        yield from _all([box], cc, bcc, own)


def _mandrill(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    body = request.json
    said = body.pop("message")
    headers = _headers(said.pop("headers", None))
    merged = {item["rcpt"]: _pairs(item["vars"]) for item in said.pop("merge_vars", ())}
    common = _pairs(said.pop("global_merge_vars", ()))
    metadata, own = said.pop("metadata", {}), said.pop("recipient_metadata", ())
    pattern = _BRACES if said.pop("merge_language", "") == "handlebars" else r"\*\|([^|]+)\|\*"
    is_template = "template_name" in body
    recipients = said.pop("to")
    boxes = {kind: _boxes([to for to in recipients if to["type"] == kind]) for kind in ("to", "cc", "bcc")}
    is_shown = said.pop("preserve_recipients", True)
    copy = {
        "from": _boxes({"email": said.pop("from_email", None), "name": said.pop("from_name", "")}),
        "reply_to": _boxes(headers.pop("reply-to", None)),
        "subject": said.pop("subject", None),
        "text": said.pop("text", None),
        "html": said.pop("html", None),
        "headers": headers,
        "attachments": [_file(a["name"], a["content"], a["type"]) for a in said.pop("attachments", ())]
        + [_file("", a["content"], a["type"], a["name"]) for a in said.pop("images", ())],
        "tags": said.pop("tags", None),
        "opens": said.pop("track_opens", None),
        "clicks": said.pop("track_clicks", None),
        "sender": said.pop("return_path_domain", None),
        "send_at": _second(body.pop("send_at", None)),
        "template": body.pop("template_name", None),
    }
    for key in ("key", "async"):
        body.pop(key, None)
    copy["options"] = {**{key: value for key, value in body.items() if value != []}, **said}
    for to in recipients:
        values = {**common, **merged.get(to["email"], {})}
        upper = {key.upper(): value for key, value in values.items()}
        mine = copy if is_template else _filled(copy, pattern, {**upper, **values})
        mine = {**mine, "variables": values if is_template else {}}
        mine["metadata"] = {**metadata, **next((item["values"] for item in own if item["rcpt"] == to["email"]), {})}
        shown = {"to": boxes["to"], "cc": boxes["cc"]} if is_shown else {"to": _boxes(to)}
        yield to["email"], {**mine, **shown}


def _pairs(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {item["name"]: item["content"] for item in items}


def _sparkpost(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    body = request.json
    content, options = body.pop("content"), body.pop("options", {})
    headers = _headers(content.pop("headers", None))
    fills = options.pop("perform_substitutions", True)
    copy = {
        "from": _boxes(content.pop("from", None)),
        "reply_to": _boxes(content.pop("reply_to", None)),
        "cc": _boxes(headers.pop("cc", None)),
        "subject": content.pop("subject", None),
        "text": content.pop("text", None),
        "html": content.pop("html", None),
        "amp": content.pop("amp_html", None),
        "headers": headers,
        "attachments": [_file(a["name"], a["data"], a["type"]) for a in content.pop("attachments", ())]
        + [_file("", a["data"], a["type"], a["name"]) for a in content.pop("inline_images", ())],
        "tags": list(filter(None, [body.pop("campaign_id", None)])),
        "send_at": _second(options.pop("start_time", None)),
        "opens": options.pop("open_tracking", None),
        "clicks": options.pop("click_tracking", None),
        "template": content.pop("template_id", None),
        "sender": body.pop("return_path", None),
    }
    common, metadata = body.pop("substitution_data", {}), body.pop("metadata", {})
    recipients = body.pop("recipients")
    copy["options"] = {**body, **options, **content}
    for to in recipients:
        address = to["address"]
        values = {**common, **to.get("substitution_data", {})}
        own = _filled(copy, _BRACES, values) if fills and not copy["template"] else copy
        own = {**own, "variables": values if copy["template"] else {}}
        own["metadata"] = {**metadata, **to.get("metadata", {})}
        own["tags"] = [*copy["tags"], *to.get("tags", ())]
        yield address["email"], {**own, "to": _boxes(address.get("header_to")) or _boxes(address)}


def _mailjet(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    body = request.json
    common = body.pop("Globals", {})
    for item in body.pop("Messages"):
        said = {**common, **item}
        if "Headers" in item:
            said["Headers"] = item["Headers"]
        flags = {"enabled": True, "disabled": False, None: None}
        template = said.pop("TemplateID", None)
        variables = {**common.get("Variables", {}), **item.get("Variables", {})}
        said.pop("Variables", None)
        fills = said.pop("TemplateLanguage", False)
        copy = {
            "from": _boxes(said.pop("From", None), "Email", "Name"),
            "reply_to": _boxes(said.pop("ReplyTo", None), "Email", "Name"),
            "subject": said.pop("Subject", None),
            "text": said.pop("TextPart", None),
            "html": said.pop("HTMLPart", None),
            "headers": _headers(said.pop("Headers", None)),
            "attachments": [
                _file(a["Filename"], a["Base64Content"], a["ContentType"], a.get("ContentID"))
                for a in [*said.pop("Attachments", ()), *said.pop("InlinedAttachments", ())]
            ],
            "tags": list(filter(None, [said.pop("CustomCampaign", None)])),
            "metadata": json.loads(said.pop("EventPayload", "{}")),
            "opens": flags[said.pop("TrackOpens", None)],
            "clicks": flags[said.pop("TrackClicks", None)],
            "template": template and str(template),
            "variables": variables if template else {},
            "sender": _boxes(said.pop("Sender", None), "Email", "Name"),
        }
        if fills or variables:  # [[var:name]] is always on, or so its users say
            copy = copy if template else _filled(copy, r"\[\[var:([^\]]+)\]\]", variables)
        to, cc, bcc = (_boxes(said.pop(key, None), "Email", "Name") for key in ("To", "Cc", "Bcc"))
        yield from _all(to, cc, bcc, {**copy, "options": {**body, **said}})


def _brevo(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    body = request.json
    for version in body.pop("messageVersions", [{}]):
        said = {**body, **version}
        if "params" in version:
            said["params"] = {**body.get("params", {}), **version["params"]}
        headers = _headers({**body.get("headers", {}), **version.get("headers", {})})
        said.pop("headers", None)
        template, params = said.pop("templateId", None), said.pop("params", {})
        html = said.pop("htmlContent", None)
        shown = re.fullmatch(r'<div style="white-space: pre-wrap">(.*)</div>', html or "", re.DOTALL)
        copy = {
            "from": _boxes(said.pop("sender", None)),
            "reply_to": _boxes(said.pop("replyTo", None)),
            "subject": said.pop("subject", None),
            "text": said.pop("textContent", None),
            "html": None if shown else html,  # a text alone, in a form that it takes
            "metadata": json.loads(headers.pop("x-mailin-custom", "{}")),
            "headers": headers,
            "attachments": [_file(a["name"], a["content"]) for a in said.pop("attachment", ())],
            "tags": said.pop("tags", None),
            "send_at": _second(said.pop("scheduledAt", None)),
            "template": template and str(template),
            "variables": params if template else {},
        }
        if shown:
            copy["text"] = copy["text"] or shown[1]
        if not template:
            copy = _filled(copy, r"\{\{ *params\.([^{} ]+) *\}\}", params)
        to, cc, bcc = (_boxes(said.pop(key, None)) for key in ("to", "cc", "bcc"))
        yield from _all(to, cc, bcc, {**copy, "options": said})


def _resend(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    body = request.json
    for said in body if isinstance(body, list) else [body]:
        headers = _headers(said.pop("headers", None))
        pairs = {tag["name"]: tag["value"] for tag in said.pop("tags", ())}
        copy = {
            "from": _boxes(said.pop("from", None)),
            "reply_to": _boxes(said.pop("reply_to", None)),
            "subject": said.pop("subject", None),
            "text": said.pop("text", None),
            "html": said.pop("html", None),
            # django-anymail has them in headers, which the recipient sees.
            "metadata": {**json.loads(headers.pop("x-metadata", "{}")), **pairs},
            "tags": json.loads(headers.pop("x-tags", "[]")),
            "headers": headers,
            "attachments": [
                _file(a["filename"], a["content"], a.get("content_type", ""), a.get("content_id"))
                for a in said.pop("attachments", ())
            ],
            "send_at": _second(said.pop("scheduled_at", None)),
        }
        to, cc, bcc = (_boxes(said.pop(key, None)) for key in ("to", "cc", "bcc"))
        yield from _all(to, cc, bcc, {**copy, "options": said})


def _mailersend(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    body = request.json
    for said in body if isinstance(body, list) else [body]:
        settings = said.pop("settings", {})
        template = said.pop("template_id", None)
        own = {item["email"]: item["data"] for item in said.pop("personalization", ())}
        copy = {
            "from": _boxes(said.pop("from", None)),
            "reply_to": _boxes(said.pop("reply_to", None)),
            "subject": said.pop("subject", None),
            "text": said.pop("text", None),
            "html": said.pop("html", None),
            "headers": _headers(said.pop("headers", None)),
            "attachments": [_file(a["filename"], a["content"], "", a.get("id")) for a in said.pop("attachments", ())],
            "tags": said.pop("tags", None),
            "send_at": _second(said.pop("send_at", None)),
            "opens": settings.pop("track_opens", None),
            "clicks": settings.pop("track_clicks", None),
            "template": template,
        }
        to, cc, bcc = (_boxes(said.pop(key, None)) for key in ("to", "cc", "bcc"))
        copy["options"] = {**said, **settings}
        for address, shown in _all(to, cc, bcc, copy):
            values = own.get(address, {})
            yield (
                address,
                {**(shown if template else _filled(shown, _BRACES, values)), "variables": values if template else {}},
            )


def _mailtrap(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    body = request.json
    base = body.get("base", {})
    for own in body.get("requests", [body]):
        said = {**base, **own}
        headers = _headers(said.pop("headers", None))
        copy = {
            "from": _boxes(said.pop("from", None)),
            "reply_to": _boxes(said.pop("reply_to", None) or headers.pop("reply-to", None)),
            "subject": said.pop("subject", None),
            "text": said.pop("text", None),
            "html": said.pop("html", None),
            "headers": headers,
            "attachments": [
                _file(a["filename"], a["content"], a["type"], a.get("content_id")) for a in said.pop("attachments", ())
            ],
            "tags": list(filter(None, [said.pop("category", None)])),
            "metadata": said.pop("custom_variables", None),
            "template": said.pop("template_uuid", None),
            "variables": said.pop("template_variables", None),
        }
        to, cc, bcc = (_boxes(said.pop(key, None)) for key in ("to", "cc", "bcc"))
        yield from _all(to, cc, bcc, {**copy, "options": said})


def _scaleway(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    said = request.json
    headers = _headers(said.pop("additional_headers", None), "key")
    copy = {
        "from": _boxes(said.pop("from", None)),
        "reply_to": _boxes(headers.pop("reply-to", None)),
        "subject": said.pop("subject", None),
        "text": said.pop("text", None),
        "html": said.pop("html", None),
        "headers": headers,
        "attachments": [_file(a["name"], a["content"], a["type"]) for a in said.pop("attachments", ())],
    }
    to, cc, bcc = (_boxes(said.pop(key, None)) for key in ("to", "cc", "bcc"))
    yield from _all(to, cc, bcc, {**copy, "options": said})


def _unisender(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    said = request.json["message"]
    given = said.pop("headers", {})
    to, cc = _boxes(given.pop("to", None)), _boxes(given.pop("cc", None))
    headers = _headers(given)
    body, options = said.pop("body", {}), said.pop("options", {})
    common, metadata = said.pop("global_substitutions", {}), said.pop("global_metadata", {})
    recipients, template = said.pop("recipients"), said.pop("template_id", None)
    flags = {1: True, 0: False, None: None}
    reply = {"email": said.pop("reply_to", None), "name": said.pop("reply_to_name", "")}
    copy = {
        "from": _boxes({"email": said.pop("from_email", None), "name": said.pop("from_name", "")}),
        "reply_to": _boxes(reply) if reply["email"] else [],
        "subject": said.pop("subject", None),
        "text": body.pop("plaintext", None),
        "html": body.pop("html", None),
        "amp": body.pop("amp", None),
        "headers": headers,
        "attachments": [_file(a["name"], a["content"], a["type"]) for a in said.pop("attachments", ())]
        + [_file("", a["content"], a["type"], a["name"]) for a in said.pop("inline_attachments", ())],
        "tags": said.pop("tags", None),
        "send_at": _second(options.pop("send_at", None)),
        "opens": flags[said.pop("track_read", None)],
        "clicks": flags[said.pop("track_links", None)],
        "template": template,
    }
    copy["options"] = {**said, **options, **body}
    for recipient in recipients:
        own = dict(recipient.get("substitutions", {}))
        name = own.pop("to_name", "")
        values = {**common, **own}
        mine = copy if template else _filled(copy, _BRACES, values)
        mine = {**mine, "variables": values if template else {}, "cc": cc}
        mine["metadata"] = {**metadata, **recipient.get("metadata", {})}
        yield recipient["email"], {**mine, "to": to or _boxes({"email": recipient["email"], "name": name})}


def _postal(request: RelayRequest) -> Iterator[tuple[str, Copy]]:
    said = request.json
    copy = {
        "from": _boxes(said.pop("from", None)),
        "reply_to": _boxes(said.pop("reply_to", None)),
        "subject": said.pop("subject", None),
        "text": said.pop("plain_body", None),
        "html": said.pop("html_body", None),
        "headers": _headers(said.pop("headers", None)),
        "attachments": [_file(a["name"], a["data"], a["content_type"]) for a in said.pop("attachments", ())],
        "tags": list(filter(None, [said.pop("tag", None)])),
        "sender": _boxes(said.pop("sender", None)),
    }
    to, cc, bcc = (_boxes(said.pop(key, None)) for key in ("to", "cc", "bcc"))
    yield from _all(to, cc, bcc, {**copy, "options": said})


_READERS: dict[str, Callable[[RelayRequest], Iterator[tuple[str, Copy]]]] = {
    "postmark": _postmark,
    "sendgrid": _sendgrid,
    "mailgun": _mailgun,
    "mandrill": _mandrill,
    "sparkpost": _sparkpost,
    "mailjet": _mailjet,
    "brevo": _brevo,
    "resend": _resend,
    "mailersend": _mailersend,
    "mailtrap": _mailtrap,
    "scaleway": _scaleway,
    "unisendergo": _unisender,
    "postal": _postal,
}
