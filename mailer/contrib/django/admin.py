"""Admin pages for the log of the plug-in ``log``: search, look at a mail, download it, send it again.

They read through the plug-in, whichever store it writes to, page by page as that does: what a page costs is the same in
a million entries, and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from ...address import Address
from ...envelope import Envelope
from ...errors import ConfigError, MailerError
from ...mail_log import OUTCOMES, Logged, MailLog
from ...mailer import Mailer
from ...safe_view import SafeView
from .mailers import get_mailer
from .models import LoggedMail
from .project import mailer_names

__all__ = ["LoggedMailAdmin"]

_ON_A_PAGE = 50
#: One mail to so many is shown with so many entries.
_OF_A_MAIL = 1000
_DAY = timedelta(days=1)
_READ, _RESEND = "mailwright.read_loggedmail", "mailwright.resend_loggedmail"


class _Search(forms.Form):
    """What is looked for; each field one of the log's criteria."""

    recipient = forms.CharField(required=False, max_length=320)
    sender = forms.CharField(required=False, max_length=320)
    subject = forms.CharField(required=False, max_length=200, label="Subject contains")
    outcome = forms.ChoiceField(required=False, choices=[("", "any"), *[(one, one) for one in OUTCOMES]])
    since = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    mail_id = forms.CharField(required=False, max_length=80, label="Mail id")
    mailer = forms.ChoiceField(required=False)

    def __init__(self, given: Any, names: tuple[str, ...]) -> None:
        super().__init__(given)
        self.fields["mailer"].choices = [(name, name) for name in names]
        if len(names) < 2:
            del self.fields["mailer"]

    def criteria(self) -> dict[str, Any]:
        """For :meth:`mailer.mail_log.MailLog.search`."""
        given = {name: value for name, value in self.cleaned_data.items() if value and name != "mailer"}
        if "since" in given:
            given["since"] = _midnight(given["since"])
        if "until" in given:  # that day too
            given["until"] = _midnight(min(given["until"], date.max - _DAY) + _DAY)
        return given


def _midnight(day: Any) -> datetime:
    made = datetime.combine(day, time())
    return timezone.make_aware(made) if timezone.is_naive(made) else made


@admin.register(LoggedMail)
class LoggedMailAdmin(admin.ModelAdmin):
    """The pages. Nothing in the log can be changed here."""

    change_list_template = "admin/mailwright/loggedmail/change_list.html"
    change_form_template = "admin/mailwright/loggedmail/change_form.html"

    # --- who may ------------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: the plug-in takes away what is too old."""
        return False

    def _may(self, request: HttpRequest, permission: str) -> bool:
        return bool(self.has_view_permission(request) and request.user.has_perm(permission))

    # --- pages --------------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        """Their URLs: the two by which the admin knows a model, and those of one mail."""

        def page(route: str, view: Callable[..., Any], name: str, only: Callable[..., Any] = require_GET) -> Any:
            return path(route, self.admin_site.admin_view(only(view)), name=f"mailwright_loggedmail_{name}")

        return [
            page("", self.changelist_view, "changelist"),
            page("<str:object_id>/change/", self.change_view, "change"),
            page("<str:object_id>/html/", self.html_view, "html"),
            page("<str:object_id>/eml/", self.eml_view, "eml"),
            page("<str:object_id>/resend/", self.resend_view, "resend", require_POST),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Search."""
        self._check(request)
        names = mailer_names() or ("default",)
        form = _Search(request.GET, names)
        entries: list[Logged] = []
        problem, more = "", ""
        if form.is_valid():
            try:
                log = _log_of(form.cleaned_data.get("mailer") or names[0])
                before = _place(request.GET.get("before", ""))
                entries = log.search(limit=_ON_A_PAGE + 1, before=before, **form.criteria())
            except ConfigError as error:
                problem = str(error)
        if len(entries) > _ON_A_PAGE:
            entries.pop()
            kept = {name: value for name, value in request.GET.items() if name != "before" and value}
            more = urlencode({**kept, "before": _place_of(entries[-1])})
        return self._page(
            request,
            self.change_list_template,
            title=f"Select {self.opts.verbose_name} to view",
            form=form,
            entries=entries,
            problem=problem,
            more=more,
            is_first="before" not in request.GET,
            mailer=form.data.get("mailer", ""),
            **(extra_context or {}),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One mail."""
        self._check(request)
        _, log, entries = _found(request, object_id)
        may_read = self._may(request, _READ)
        body = log.body(object_id) if may_read or self._may(request, _RESEND) else None
        return self._page(
            request,
            self.change_form_template,
            title=entries[0].subject or object_id,
            entries=entries,
            entry=entries[0],
            object_id=object_id,
            query=_query(request),
            view=SafeView.of(body) if body is not None and may_read else None,
            may_read=may_read,
            may_resend=body is not None and self._may(request, _RESEND),
            is_remote=_is_remote(request),
            **(extra_context or {}),
        )

    def html_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Its html, for the frame in :meth:`change_view`."""
        view = SafeView.of(self._body(request, object_id))
        return HttpResponse(view.html, headers=SafeView.headers(remote_images=_is_remote(request)))

    def eml_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The mail as it was sent."""
        name = "".join(letter for letter in object_id if letter.isascii() and letter.isalnum())
        fields = {
            "Content-Type": "message/rfc822",
            "Content-Disposition": f'attachment; filename="{name or "mail"}.eml"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return HttpResponse(self._body(request, object_id), headers=fields)

    def resend_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send it again as it is, to those of its recipients that were chosen."""
        self._check(request, _RESEND)
        mailer, log, entries = _found(request, object_id)
        body = log.body(object_id)
        known = {entry.recipient for entry in entries if entry.recipient}
        chosen = request.POST.getlist("recipient")
        if body is None:
            raise Http404("the log has no body of this mail")
        if not known.issuperset(chosen):
            raise BadRequest("that mail was not to them")
        if chosen:
            self._send(request, mailer, body, entries[0], chosen)
        else:
            messages.error(request, "Nothing was sent: choose at least one recipient.")
        place = reverse(f"{self.admin_site.name}:mailwright_loggedmail_change", args=[object_id])
        return HttpResponseRedirect(place + _query(request))

    # --- what they are made of ----------------------------------------------------------------------------------------

    def _check(self, request: HttpRequest, *permissions: str) -> None:
        if not self.has_view_permission(request) or not request.user.has_perms(permissions):
            raise PermissionDenied

    def _body(self, request: HttpRequest, object_id: str) -> bytes:
        self._check(request, _READ)
        _, log, _ = _found(request, object_id)
        body = log.body(object_id)
        if body is None:
            raise Http404("the log has no body of this mail")
        return body

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        common = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, {**common, **context})

    def _send(self, request: HttpRequest, mailer: Mailer, body: bytes, entry: Logged, chosen: list[str]) -> None:
        sender = Address.parse(entry.sender) if entry.sender else None
        try:
            receipt = mailer.send_raw(body, Envelope(sender, [Address.parse(one) for one in chosen]))
        except MailerError as error:
            said, level = f"Not sent: {error}", messages.ERROR
        else:
            outcomes = ", ".join(f"{one.address}: {one.outcome.value}" for one in receipt.results)
            said = f"Sent again: {outcomes}" if receipt.skipped is None else f"Not sent: {receipt.skipped}"
            level = messages.SUCCESS if receipt.ok and receipt.skipped is None else messages.WARNING
        messages.add_message(request, level, said)
        self.log_change(request, LoggedMail(mail_id=entry.mail_id), said[:1000])


def _log_of(name: str) -> MailLog:
    """The log of a mailer.

    Raises:
        ConfigError: There is no such mailer, or none that logs; the text says what to do.
    """
    mailer = get_mailer(name)
    if "log" not in mailer.plugins:
        raise ConfigError(
            f"mailer {name!r} keeps no log: turn the plug-in on, MAILER = {{'plugins': {{'log': {{'path': ...}}}}}}"
        )
    plugin: Any = mailer.plugins["log"]
    log: MailLog = plugin.log
    return log


def _found(request: HttpRequest, mail_id: str) -> tuple[Mailer, MailLog, list[Logged]]:
    """Mailer, log and entries of a mail. Raises Http404."""
    names = mailer_names() or ("default",)
    name = request.GET.get("mailer") or names[0]
    if name not in names:
        raise Http404(f"there is no mailer {name!r}")
    try:
        log = _log_of(name)
        entries = log.search(mail_id=mail_id, limit=_OF_A_MAIL)
    except ConfigError as error:
        raise Http404(str(error)) from error
    if not entries:
        raise Http404("the log has no such mail")
    return get_mailer(name), log, entries


def _query(request: HttpRequest) -> str:
    name = request.GET.get("mailer")
    return f"?{urlencode({'mailer': name})}" if name else ""


def _is_remote(request: HttpRequest) -> bool:
    return bool(request.GET.get("remote") == "1")


def _place_of(entry: Logged) -> str:
    """Where the next page begins: behind this entry."""
    return f"{entry.to_row()['time']}.{entry.id}"


def _place(text: str) -> Logged | None:
    """Read it back; None for what is none."""
    when, _, key = text.partition(".")
    if not (when.isascii() and when.isdigit() and key.isascii() and key.isdigit()) or len(when) > 18 or len(key) > 18:
        return None
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(when))
    except OverflowError:
        return None
    return Logged(time=moment, mail_id="", outcome=OUTCOMES[0], id=int(key))
