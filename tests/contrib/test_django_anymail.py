"""django-anymail's attributes on Django's messages, to memory: and to providers' fakes; that itself is not needed."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.conf import UserSettingsHolder, global_settings
from django.conf import settings as django_settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils import timezone as django_timezone
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe

from mailer import DeliveryRefused, Message, MessageError, Outcome, UnsupportedFeature
from mailer.contrib.django import EmailBackend, InvalidMessageError
from mailer.testing import Answer, FakeRelay

ANN, BOB = "ann@example.org", "bob@example.org"
ATTRIBUTES = (
    "envelope_sender esp_extra merge_data merge_global_data merge_headers merge_metadata metadata send_at tags"
    " template_id track_clicks track_opens"
).split()
WHEN = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


class UNSET:
    """What django-anymail's own messages hold where nothing was said."""


@contextmanager
def configured(**values: Any) -> Iterator[None]:
    """Django's settings as they come, and these; put back at the end, for whoever tests Django itself."""
    before, holder = django_settings._wrapped, UserSettingsHolder(global_settings)
    for name, value in {"DEFAULT_FROM_EMAIL": "shop@example.com", "USE_TZ": True, **values}.items():
        setattr(holder, name, value)
    django_settings._wrapped = holder
    django_timezone.get_default_timezone.cache_clear()
    try:
        yield
    finally:
        django_settings._wrapped = before
        django_timezone.get_default_timezone.cache_clear()


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with configured():
        yield


def message(*to: str, cls: Any = EmailMultiAlternatives, **attributes: Any) -> Any:
    made = cls("Subject", "Text", "shop@example.com", to or (ANN, BOB))
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def sent(one: Any) -> list[Message]:
    """What becomes of it, as messages of ours."""
    backend = EmailBackend(url="memory:")
    kept = backend.mailer.backend.mails  # type: ignore[attr-defined]
    kept.clear()
    assert backend.send_messages([one]) == 1
    return [mail.message for mail in kept]


def only(one: Any) -> Message:
    [ours] = sent(one)
    return ours


def asked(provider: str, one: Any) -> Any:
    """The one request for it, as JSON, or a form's fields."""
    with FakeRelay(provider) as relay:
        backend = EmailBackend(url=relay.url)
        try:
            assert backend.send_messages([one]) == 1
        finally:
            backend.close()
        [request] = relay.requests
    if request.headers["content-type"] == "application/json":
        return request.json
    return {"path": request.path, **{name: value for name, value, _ in request.form}}


# --- one attribute after the other ------------------------------------------------------------------------------------


def test_each_attribute_is_a_field() -> None:
    for name, value, field, expected in (
        ("tags", ["a", lazystr("b")], "tags", ("a", "b")),
        ("tags", "alone", "tags", ("alone",)),
        ("tags", (), "tags", ()),
        ("metadata", {"order": 7, "who": lazystr("Ann"), "in": {"x": [lazystr("y")]}}, "metadata",
            {"order": 7, "who": "Ann", "in": {"x": ["y"]}}),
        ("track_opens", True, "track_opens", True),
        ("track_opens", False, "track_opens", False),
        ("track_clicks", 1, "track_clicks", True),
        ("track_clicks", None, "track_clicks", None),
        ("template_id", "welcome", "provider_template", "welcome"),
        ("template_id", 4711, "provider_template", "4711"),
        ("merge_global_data", {"shop": lazystr("Acme")}, "context", {"shop": "Acme"}),
        ("esp_extra", {"a": {"b": lazystr("c")}}, "provider_options", {"a": {"b": "c"}}),
        ("envelope_sender", lazystr("Bounces <b@example.com>"), "return_path", "Bounces <b@example.com>"),
    ):  # fmt: skip
        more = {"body": ""} if name == "template_id" else {}
        value_of = getattr(only(message(**{name: value}, **more)), field)
        assert (str(value_of) if field == "return_path" else value_of) == expected, (name, value)
    for unset in (None, UNSET):
        blank = only(message(**dict.fromkeys(ATTRIBUTES, unset)))
        assert blank.with_(message_id=None, date=None) == only(message()).with_(message_id=None, date=None)


def test_a_wrong_value_is_an_error_that_names_its_attribute() -> None:
    circle: dict[str, Any] = {}
    circle["x"] = circle
    wrong: dict[str, list[Any]] = {
        "tags": [7, {"a": 1}, b"x", [None], [["x"]], ["line\nbreak"]],
        "metadata": ["x", 7, ["x"], {1: "x"}, circle, {"a": "line\nbreak"}],
        "merge_global_data": ["x", ["x"], {None: 1}, circle],
        "esp_extra": ["x", 7, {1: 2}, circle],
        "merge_data": ["x", {ANN: "x"}, {ANN: {1: 2}}, {ANN: circle}],
        "merge_metadata": [["x"], {ANN: 7}, {ANN: {"a": "line\nbreak"}}],
        "merge_headers": ["x", {ANN: {"X-A": "line\nbreak"}}, {ANN: {"X A": "x"}}],
        "send_at": ["tomorrow", "20310506x", float("nan"), float("inf"), 1e300, [], True, timedelta(1), circle],
        "template_id": ["", {}, ["t"], True, b"t"],
        "envelope_sender": ["", "x", 7, ["b@example.com"], "line\n@example.com"],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(MessageError) as caught:
                sent(message(subject="", body="", **{name: value}))
            named = {"tags", "metadata", "merge_headers", "X-A", "headers", name}
            assert any(one in f"{caught.value.field} {caught.value}" for one in named), (name, value, caught.value)
    assert only(message(tags=iter(["a"]))).tags == ("a",)
    assert only(message(tags=[7])).tags == ("7",)


def test_an_attribute_may_stand_in_the_class() -> None:
    class Receipt(EmailMessage):
        tags = ["receipt"]  # noqa: RUF012 - as apps write it
        track_opens = False

    ours = only(message(cls=Receipt))
    assert (ours.tags, ours.track_opens) == (("receipt",), False)


def test_send_at_takes_what_anymail_takes() -> None:
    with configured(TIME_ZONE="America/New_York"):
        zone = zoneinfo.ZoneInfo("America/New_York")
        for value, expected in (
            (WHEN, WHEN),
            (datetime(2031, 5, 6, 7, 8), datetime(2031, 5, 6, 7, 8, tzinfo=zone)),
            (date(2031, 5, 6), datetime(2031, 5, 6, tzinfo=zone)),
            (WHEN.timestamp(), WHEN),
            (int(WHEN.timestamp()), WHEN),
            ("2031-05-06T07:08:09Z", WHEN),
            ("2031-05-06 07:08:09", WHEN),
            ("Tue, 06 May 2031 07:08:09 +0000", WHEN),
            ("2031-05-06T09:08:09+02:00", WHEN),
        ):
            assert only(message(send_at=value)).send_at == expected, value
        with django_timezone.override(timezone(timedelta(hours=2))):
            assert only(message(send_at=datetime(2031, 5, 6, 9, 8, 9))).send_at == WHEN


def test_a_stored_template_has_no_texts_beside_it() -> None:
    ours = only(message(ANN, template_id="t", subject=None, body="", merge_global_data={"a": 1}))
    assert (ours.subject, ours.text, ours.html, ours.context) == ("", None, None, {"a": 1})
    assert asked("sendgrid", message(ANN, template_id="d-1", subject="", body="", merge_global_data={"a": 1})) | {
        "personalizations": []
    } == {"from": {"email": "shop@example.com"}, "template_id": "d-1", "personalizations": []}


def test_none_is_nothing_and_a_text_is_no_list() -> None:
    assert only(message(ANN, reply_to=None, subject=None)).with_(text=None).reply_to == ()
    for text in ("desk@example.com", lazystr("desk@example.com")):
        with pytest.raises(InvalidMessageError, match="reply_to: must be a list"):
            sent(message(ANN, reply_to=text))


def test_a_stored_templates_own_from_is_let_be() -> None:
    for provider, path in (
        ("mandrill", ("message",)),
        ("mailjet", ("Messages", 0)),
        ("brevo", ()),
        ("mailersend", ()),
        ("unisendergo", ("message",)),
        ("sparkpost", ("content",)),
    ):
        one = message(ANN, template_id="17", body="", subject=None, from_email=None)
        found: Any = asked(provider, one)
        for step in path:
            found = found[step]
        assert not {"from", "From", "sender", "from_email", "from_name"} & found.keys(), provider
        assert one.from_email is None
    assert (
        asked("postmark", message(ANN, template_id="17", subject="", body="", from_email=None))["From"]
        == "shop@example.com"
    )
    with pytest.raises(InvalidMessageError, match="from_email"):
        sent(message(ANN, from_email=None))


# --- defaults ---------------------------------------------------------------------------------------------------------


def test_defaults_are_combined_as_each_attribute_is() -> None:
    defaults = {
        "tags": ["all"],
        "metadata": {"app": "shop", "env": "live"},
        "track_opens": True,
        "esp_extra": {"deep": {"a": 1, "b": 1}},
        "merge_metadata": {ANN: {"x": 1, "y": 1}},
        "cc": ["archive@example.com"],
        "extra_headers": {"X-App": "shop"},
        "subject": "never seen",
    }
    own = {
        "tags": ["own"],
        "metadata": {"env": "test"},
        "track_opens": False,
        "esp_extra": {"deep": {"b": 2}},
        "extra_headers": {"X-Own": "1"},
    }
    for settings in ({"ANYMAIL": {"SEND_DEFAULTS": defaults}}, {"ANYMAIL_SEND_DEFAULTS": defaults}):
        with configured(**settings):
            one = message(ANN, **own, merge_metadata=None)
            ours = only(one)
            assert one.cc == []  # the app's message is left as it was
            blank = only(message(ANN, **dict.fromkeys(("tags", "metadata", "track_opens", "esp_extra"), None),
                merge_metadata=None))  # fmt: skip
        assert ours.tags == ("all", "own")
        assert ours.metadata == {"app": "shop", "env": "test"}
        assert ours.track_opens is False
        assert ours.provider_options == {"deep": {"a": 1, "b": 2}}
        assert [str(address) for address in ours.cc] == ["archive@example.com"]
        assert dict(ours.headers) == {"X-App": "shop", "X-Own": "1"}
        assert ours.subject == "Subject"
        assert (blank.tags, blank.metadata, blank.track_opens, blank.provider_options) == ((), {}, None, {})


def test_a_providers_own_defaults_take_the_place_of_the_common_ones() -> None:
    with configured(
        ANYMAIL={"SEND_DEFAULTS": {"tags": ["all"], "metadata": {"a": "1"}}, "POSTMARK_SEND_DEFAULTS": {"tags": ["pm"]}}
    ):
        assert (body := asked("postmark", message()))["Tag"] == "pm"
        assert body["Metadata"]["a"] == "1"
        assert only(message()).tags == ("all",)
    with configured(ANYMAIL_UNISENDER_GO_SEND_DEFAULTS={"tags": ["go"]}):
        assert asked("unisendergo", message())["message"]["tags"] == ["go"]


# --- merge ------------------------------------------------------------------------------------------------------------


def test_each_of_the_three_makes_a_mail_for_each_of_to() -> None:
    for name in ("merge_data", "merge_metadata", "merge_headers"):
        for value in ({}, {"nobody@example.org": {"a": "1"}}, {ANN: {}}):
            ours = sent(message(**{name: value}))
            assert [[str(to) for to in each.to] for each in ours] == [[ANN], [BOB]], (name, value)
            assert {each.text for each in ours} == {"Text"}
    assert len(sent(message(merge_global_data={"a": 1}))) == 1
    assert len(sent(message(merge_data=None))) == 1
    assert len(sent(message(ANN, merge_data={}))) == 1


def test_each_has_data_metadata_and_headers_of_their_own() -> None:
    one = message(
        "Ann <ann@Example.ORG>",
        BOB,
        template_id="t",
        body="",
        merge_data={ANN: {"name": lazystr("Ann"), "code": 7}},
        merge_global_data={"name": "you", "shop": "Acme"},
        metadata={"a": "1", "b": "1"},
        merge_metadata={BOB: {"b": "2"}},
        merge_headers={ANN: {"List-Unsubscribe": lazystr("<https://x.test/1>")}},
    )
    one.extra_headers = {"list-unsubscribe": "<https://x.test/0>"}
    first, second = sent(one)
    assert (first.context, second.context) == (
        {"name": "Ann", "code": 7, "shop": "Acme"},
        {"name": "you", "shop": "Acme"},
    )
    assert (first.metadata, second.metadata) == ({"a": "1", "b": "1"}, {"a": "1", "b": "2"})
    assert dict(first.headers) == {"List-Unsubscribe": "<https://x.test/1>"}
    assert dict(second.headers) == {"list-unsubscribe": "<https://x.test/0>"}


def test_cc_and_bcc_get_a_copy_of_each() -> None:
    one = message(cc=["Cyd <cyd@example.org>"], bcc=["dee@example.org"], merge_data={ANN: {"n": "A"}, BOB: {"n": "B"}})
    one.body = "Hi {{ n }}"
    ours = sent(one)
    assert [(str(m.to[0]), str(m.cc[0]), str(m.bcc[0]), m.text) for m in ours] == [
        (ANN, "Cyd <cyd@example.org>", "dee@example.org", "Hi A"),
        (BOB, "Cyd <cyd@example.org>", "dee@example.org", "Hi B"),
    ]
    assert [r.address.addr_spec for r in one.mailer_receipt.results] == [ANN, "cyd@example.org", "dee@example.org",
        BOB, "cyd@example.org", "dee@example.org"]  # fmt: skip


def test_a_mail_that_cannot_be_made_takes_no_other_with_it() -> None:
    for more in ({}, {"cc": ["cyd@example.org"]}):
        one = message(merge_data={}, merge_headers={ANN: {"X-A": "1"}, BOB: {"X-A": "line\nbreak"}}, **more)
        with pytest.raises(InvalidMessageError, match="X-A"):
            sent(one)
        one = message(merge_data={ANN: {"n": "A"}, BOB: {"n": "line\nbreak"}}, **more)
        one.subject = "For {{ n }}"
        assert [m.subject for m in sent(one)] == ["For A"]
        assert [(r.address.addr_spec, r.outcome) for r in one.mailer_receipt.rejected] == [(BOB, Outcome.REJECTED)]
        assert one.anymail_status.recipients[BOB].status == "rejected"
        one.subject = "For\n{{ n }}"
        one.merge_data = {ANN: {"n": "a\nb"}}
        with pytest.raises(MessageError):
            sent(one)


SYNTAXES = {
    "%recipient.{}%": True,
    "*|{}|*": True,
    "[[var:{}]]": True,
    '[[var:{}:"you"]]': True,
    "{{{{var:{}}}}}": True,
    "{{${}}}": True,
    "{{{{{{{}}}}}}}": True,
    "{{{{ {} }}}}": False,
    "{{{{{}}}}}": False,
    "{{{{ params.{} }}}}": False,
}


def test_texts_are_filled_in_whatever_provider_they_were_written_for() -> None:
    for written, is_markup in SYNTAXES.items():
        place = written.format("first")
        one = message(merge_data={ANN: {"first": "<A&B>"}, BOB: {"first": mark_safe("<b>B</b>")}})
        one.subject = one.body = f"Hi {place}, {place}"
        one.attach_alternative(f"<p>{place}</p>", "text/html")
        one.extra_headers = {"X-Who": f"is {place}", "X-Same": "same"}
        first, second = sent(one)
        assert (first.subject, first.text) == ("Hi <A&B>, <A&B>",) * 2, written
        assert first.html == ("<p><A&B></p>" if is_markup else "<p>&lt;A&amp;B&gt;</p>"), written
        assert second.html == "<p><b>B</b></p>"
        assert dict(first.headers) == {"X-Who": "is <A&B>", "X-Same": "same"}
        # The same for everybody, in one mail.
        one.merge_data, one.merge_global_data = None, {"first": "<all>"}
        whole = only(one)
        assert whole.text == "Hi <all>, <all>"
        assert whole.html == ("<p><all></p>" if is_markup else "<p>&lt;all&gt;</p>"), written
        assert dict(whole.headers)["X-Who"] == "is <all>"


def test_what_only_others_have_is_empty_or_the_default() -> None:
    one = message(merge_data={ANN: {"n": 7, "m": None}}, merge_global_data={"shop": "Acme"})
    one.body = '{{ n }}|%recipient.n%|{{var:n:"none"}}|{{ m }}|{{ shop }}|[[var:unknown:"dear"]]|%recipient.unknown%'
    assert [each.text for each in sent(one)] == [
        "7|7|7||Acme|dear|%recipient.unknown%",
        "||none||Acme|dear|%recipient.unknown%",
    ]
    one.body = "*|N|* *|UNSUB|*"  # Mandrill's names have no case
    assert [each.text for each in sent(one)] == ["7 *|UNSUB|*", " *|UNSUB|*"]
    one.body = "{{ nobody }}"  # is forgotten, rather than meant
    with pytest.raises(MessageError, match="nobody"):
        sent(one)


def test_what_is_filled_in_is_not_read_again() -> None:
    one = message(merge_data={ANN: {"n": "{{ secret }} %recipient.secret%", "secret": "S"}, BOB: {}})
    one.body = "{{ n }}"
    assert sent(one)[0].text == "{{ secret }} %recipient.secret%"
    one.merge_data, one.merge_global_data = None, {"n": "{{ secret }} *|secret|*", "secret": "S"}
    assert only(one).text == "{{ secret }} *|secret|*"


def test_sendgrids_placeholders_are_written_as_its_setting_says() -> None:
    def texts(data: Mapping[str, Any], **more: Any) -> str:
        one = message(ANN, merge_data={ANN: data}, body="Hi -name-, :name :nameless name", **more)
        [part] = asked("sendgrid", one)["content"]
        return part["value"]

    assert texts({"-name-": "Ann", ":name": "A", ":nameless": "B"}) == "Hi Ann, A B name"
    with configured(ANYMAIL={"SENDGRID_MERGE_FIELD_FORMAT": ":{}"}):
        assert texts({"name": "A", "nameless": "B"}) == "Hi -name-, A B name"
        assert texts({"name": "Ann"}, esp_extra={"merge_field_format": "-{}-"}) == "Hi Ann, :name :nameless name"


# --- what providers have fields for -----------------------------------------------------------------------------------


def test_envelope_sender_is_what_the_provider_has_for_it() -> None:
    for provider, path, expected in (
        ("mailgun", ("path",), "/v3/bounce.example.com/messages"),
        ("mandrill", ("message", "return_path_domain"), "bounce.example.com"),
        ("sparkpost", ("return_path",), "b@bounce.example.com"),
        ("mailjet", ("Messages", 0, "Sender"), {"Email": "b@bounce.example.com", "Name": "B"}),
        ("postal", ("sender",), "B <b@bounce.example.com>"),
        ("ses", ("FeedbackForwardingEmailAddress",), "b@bounce.example.com"),
    ):
        for more in (
            {"envelope_sender": "B <b@bounce.example.com>"},
            {"from_email": "B <b@bounce.example.com>", "extra_headers": {"From": "shop@example.com"}},
        ):
            found: Any = asked(provider, message(ANN, **more))
            for step in path:
                found = found[step]
            assert found == expected, (provider, more)
    for provider in ("postmark", "sendgrid", "resend"):
        with pytest.raises(UnsupportedFeature, match="return_path"):
            asked(provider, message(ANN, envelope_sender="b@bounce.example.com"))
    assert str(only(message(ANN, envelope_sender="b@bounce.example.com")).return_path) == "b@bounce.example.com"
    with pytest.raises(InvalidMessageError, match="envelope_sender"):
        sent(message(ANN, envelope_sender="a@example.com, b@example.com"))


def test_esp_extra_is_laid_over_the_request() -> None:
    for provider, extra, path, expected in (
        ("postmark", {"MessageStream": "news"}, ("MessageStream",), "news"),
        ("sendgrid", {"asm": {"group_id": 1}, "use_dynamic_template": True}, ("asm",), {"group_id": 1}),
        ("mailgun", {"sender_domain": "mg.test", "o:dkim": "yes"}, ("path",), "/v3/mg.test/messages"),
        ("mailgun", {"sender_domain": "mg.test", "o:dkim": "yes"}, ("o:dkim",), "yes"),
        ("mandrill", {"ip_pool": "p", "message": {"subaccount": "s"}}, ("message", "subaccount"), "s"),
        ("mandrill", {"message": {"recipient_metadata": {ANN: {"a": "1"}}}}, ("message", "recipient_metadata"),
            [{"rcpt": ANN, "values": {"a": "1"}}]),
        ("mailjet", {"Globals": {"TemplateErrorDeliver": True}, "URLTags": "a=b"}, ("Messages", 0, "URLTags"), "a=b"),
        ("mailjet", {"Globals": {"TemplateErrorDeliver": True}}, ("Messages", 0, "TemplateErrorDeliver"), True),
        ("mailersend", {"settings": {"track_content": True}, "batch_send_mode": "use-bulk-email"}, ("settings",),
            {"track_content": True}),
        ("unisendergo", {"bypass_global": 1}, ("message", "bypass_global"), 1),
        ("sparkpost", {"options": {"transactional": True}}, ("options", "transactional"), True),
        ("ses", {"ConfigurationSetName": "c"}, ("ConfigurationSetName",), "c"),
    ):  # fmt: skip
        found: Any = asked(provider, message(ANN, esp_extra=extra))
        for step in path:
            found = found[step]
        assert found == expected, (provider, extra)
    one = message(ANN, template_id="t", body="", esp_extra={"template_content": {"main": "<p>"}})
    assert asked("mandrill", one)["template_content"] == [{"name": "main", "content": "<p>"}]


def test_another_accounts_token_is_refused_rather_than_sent_in_the_body() -> None:
    for provider, key in (("postmark", "server_token"), ("mailersend", "api_token")):
        with pytest.raises(UnsupportedFeature, match=f"{key} is another account") as caught:
            asked(provider, message(ANN, esp_extra={key: "S3cret"}))
        assert "S3cret" not in str(caught.value)
    with pytest.raises(UnsupportedFeature, match="sandbox=yes"):
        asked("mailjet", message(ANN, esp_extra={"SandboxMode": True}))
    for domain in ("x/y", 7, "a..b"):
        with pytest.raises(DeliveryRefused, match="domain"):
            asked("mailgun", message(ANN, esp_extra={"sender_domain": domain}))


def test_a_message_that_builds_itself_says_what_it_cannot_bring() -> None:
    spoofed = {"extra_headers": {"To": "All <all@example.org>"}}
    one = message(ANN, **spoofed, tags=["a"], track_opens=True, envelope_sender="b@bounce.example.com")
    backend = EmailBackend(url="memory:")
    backend.mailer.backend.mails.clear()  # type: ignore[attr-defined]
    assert backend.send_messages([one]) == 1
    assert [note.split()[0] for note in one.mailer_receipt.notes] == ["tags", "track_opens"]
    [mail] = backend.mailer.backend.mails  # type: ignore[attr-defined]
    assert mail.envelope.sender.addr_spec == "b@bounce.example.com"
    for name, value in (("send_at", WHEN), ("merge_data", {}), ("template_id", "t"), ("esp_extra", {"a": 1})):
        with pytest.raises(UnsupportedFeature, match=name):
            sent(message(ANN, **spoofed, **{name: value}))


# --- what is said of it afterwards ------------------------------------------------------------------------------------


def test_anymail_status_says_what_became_of_each() -> None:
    with FakeRelay("mandrill") as relay:
        relay.refuse(BOB)
        backend = EmailBackend(url=relay.url)
        one = message()
        assert backend.send_messages([one]) == 1
        status = one.anymail_status
        assert status.status == {"sent", "rejected"}
        assert (status.recipients[ANN].status, status.recipients[BOB].status) == ("sent", "rejected")
        assert status.recipients[BOB].message_id is None
        assert status.message_id == {status.recipients[ANN].message_id, None}
        assert status.esp_response is one.mailer_receipt
        assert repr(status) == "<AnymailStatus rejected, sent: 2 recipients>"
        relay.refuse(ANN)
        with pytest.raises(DeliveryRefused):
            backend.send_messages([one])
        assert one.anymail_status.status == {"rejected"}
        assert one.anymail_status.message_id is None
        backend.close()
    for provider, answer, word in (
        ("postmark", None, "sent"),
        ("sendgrid", None, "queued"),
        ("mailgun", Answer(status=500), "failed"),
        ("mailgun", Answer(lose="close"), "unknown"),
    ):
        with FakeRelay(provider) as relay:
            if answer is not None:
                relay.next(*[answer] * 4)
            backend = EmailBackend(url=relay.url, fail_silently=True, retry={"tries": 1})
            one = message(ANN)
            backend.send_messages([one])
            assert one.anymail_status.status == {word}, provider
            assert (one.anymail_status.message_id is not None) == (word in ("sent", "queued"))
            backend.close()
    one = message(ANN)
    sent(one)
    assert one.anymail_status.status == {"queued"}


def test_a_group_of_one_kind_is_that_provider() -> None:
    with FakeRelay("sparkpost") as relay, FakeRelay("postmark") as other:
        for group, is_known in (
            (f"failover({relay.url} {relay.url})", True),
            (f"failover({relay.url} {other.url})", False),
        ):
            backend = EmailBackend(url=group)
            one = message(ANN, envelope_sender="b@bounce.example.com")
            if is_known:
                backend.send_messages([one])
                assert relay.requests[-1].json["return_path"] == "b@bounce.example.com"
            else:
                with pytest.raises(UnsupportedFeature):
                    backend.send_messages([one])
            backend.close()


def test_metadata_that_is_no_json_is_its_text() -> None:
    with FakeRelay("postmark") as relay:
        one = message(ANN, metadata={"total": Decimal("1.50"), "day": date(2031, 5, 6), "items": 2, "gift": True})
        EmailBackend(url=relay.url).send_messages([one])
        sent = relay.requests[0].json["Metadata"]
    sent.pop("mailer_id")
    assert sent == {"total": "1.50", "day": "2031-05-06", "items": "2", "gift": "true"}
