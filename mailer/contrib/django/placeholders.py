"""Placeholders in a message's own texts, in the syntax of the provider that they were written for.

=================================  =====================================
``%recipient.name%``               Mailgun
``*|NAME|*``                       Mandrill
``[[var:name]] {{var:name}}``      Mailjet, with ``:default`` or without
``{$name}``                        MailerSend
``{{{name}}}``                     SparkPost, Mandrill
the name, or as a format says      SendGrid
``{{ name }} {{ params.name }}``   all others
=================================  =====================================

They are filled in here, so that a message goes by any provider, and by SMTP. What names nothing of the data is left as
it stands. A value that only others have is empty. In html the values of the last are escaped, unless they are safe
strings, and those of all others are markup: so it is at the providers.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.utils.safestring import mark_safe

__all__ = ["fill_all", "fill_each"]

_PLACEHOLDERS = (
    r"%recipient\.(?P<mailgun>[^%\s]{1,200})%"
    r"|\*\|(?P<mandrill>[^|*\s]{1,200})\|\*"
    r"|\[\[var:(?P<mailjet>[^\]:\"]{1,200})(?::\"?(?P<else_1>[^\]\"]{0,200})\"?)?\]\]"
    r"|\{\{var:(?P<var>[^}:\"]{1,200})(?::\"?(?P<else_2>[^}\"]{0,200})\"?)?\}\}"
    r"|\{\$(?P<mailersend>[^{}\s]{1,200})\}"
    r"|\{\{\{[ \t]{0,9}(?P<raw>[^{}\s]{1,200})[ \t]{0,9}\}\}\}"
    r"|\{\{[ \t]{0,9}(?:params\.)?(?P<escaped>[^{}\s]{1,200})[ \t]{0,9}\}\}"
)
_TEXTS = ("subject", "text", "html", "amp_html")

#: What takes a placeholder's place: of a name, whether its value is markup in html, and what it is without one.
_Put = Callable[[str, bool, str], str]


class _Syntax:
    """Finds the placeholders that stand for some of these names."""

    def __init__(self, names: Mapping[str, Any], format_: str) -> None:
        """Read the names.

        Args:
            names: All that anybody has.
            format_: How SendGrid's placeholders are written, "-{}-"; "" for another provider.
        """
        self._names = {name.casefold(): name for name in names} | {name: name for name in names}
        # Longest first: one may begin as another does. What is a word like any other would stand everywhere.
        written = {format_.format(name): name for name in names} if format_ else {}
        self._written = {text: name for text, name in written.items() if not text.isalnum()}
        ours = "|".join(map(re.escape, sorted(self._written, key=len, reverse=True)))
        self._pattern = re.compile(f"(?P<sendgrid>{ours})|{_PLACEHOLDERS}" if ours else _PLACEHOLDERS)

    def filled(self, text: str, put: _Put) -> str:
        def replaced(found: re.Match[str]) -> str:
            kind, said = found.lastgroup, found.groupdict()
            default = said["else_1"] or said["else_2"]
            kind = {"else_1": "mailjet", "else_2": "var"}.get(kind or "", kind) or ""
            if kind == "sendgrid":
                name: str | None = self._written[found[0]]
            else:
                given = said[kind].strip()
                name = self._names.get(given) or (self._names.get(given.casefold()) if kind == "mandrill" else None)
            if name is None:
                return found[0] if default is None else default
            return put(name, kind != "escaped", default or "")

        return self._pattern.sub(replaced, text)

    def texts(self, fields: Mapping[str, Any], put: Callable[[str], _Put]) -> dict[str, Any]:
        """The fields that are texts, filled; ``put`` is given the field."""
        made: dict[str, Any] = {name: self.filled(fields[name], put(name)) for name in _TEXTS if fields.get(name)}
        ways = fields.get("alternatives", ())
        return made | {"alternatives": [(kind, self.filled(text, put("alternatives"))) for kind, text in ways]}


def fill_all(fields: Mapping[str, Any], data: Mapping[str, Any], format_: str) -> dict[str, Any]:
    """The texts and headers with the same values for everybody."""

    def put(field: str) -> _Put:
        def value(name: str, is_markup: bool, default: str) -> str:
            return _shown(data[name], default, is_escaped=field.endswith("html") and not is_markup)

        return value

    syntax = _Syntax(data, format_)
    headers = [(name, syntax.filled(value, put("headers"))) for name, value in fields.get("headers", ())]
    return {**syntax.texts(fields, put), "headers": headers, "context": data}


def fill_each(fields: Mapping[str, Any], format_: str) -> dict[str, Any]:
    """The texts with placeholders of ours, and the data under the names in those.

    Args:
        fields: Of a message for several, with ``merge_data``, ``merge_headers`` and, for everybody, ``context``.
    """
    own, common = fields["merge_data"], fields["context"]
    names = {**dict.fromkeys(name for its in own.values() for name in its), **common}
    if not names:
        return {}
    syntax = _Syntax(names, format_)
    used: dict[tuple[str, bool, str], str] = {}

    def put(field: str) -> _Put:
        def reference(name: str, is_markup: bool, default: str) -> str:
            key = name, is_markup and field.endswith("html"), default
            return f"{{{{ {used.setdefault(key, f'value_{len(used)}')} }}}}"

        return reference

    made = syntax.texts(fields, put)
    made["merge_data"], made["merge_headers"] = {}, {}
    for key in [address.addr_spec for address in fields["to"]]:
        values = {**names, **common, **own.get(key, {})}
        made["merge_data"][key] = {
            ours: mark_safe(_shown(values[name], default)) if is_markup else _shown(values[name], default)  # noqa: S308
            for (name, is_markup, default), ours in used.items()
        }
        headers = {**dict(fields.get("headers", ())), **fields["merge_headers"].get(key, {})}
        filled = {name: syntax.filled(value, _in_header(values)) for name, value in headers.items()}
        known = dict(fields.get("headers", ()))
        if its := {name: value for name, value in filled.items() if known.get(name) != value}:
            made["merge_headers"][key] = its
    return made


def _in_header(values: Mapping[str, Any]) -> _Put:
    return lambda name, _, default: _shown(values[name], default)


def _shown(value: Any, default: str, *, is_escaped: bool = False) -> str:
    """The value as text, a safe string as one; what is none is the default."""
    if value is None or value == "":
        return default
    text: str = value if isinstance(value, str) else str(value)
    return html.escape(text) if is_escaped and not hasattr(text, "__html__") else text
