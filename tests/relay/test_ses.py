"""Amazon SES: what is its own. The rest stands in ``relay_checks``; its signature in ``test_sigv4``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import pytest
from relay_cases import CASES, mail_of, message_of, schema_errors
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import World, new_world

from mailer import (
    NULL_SENDER,
    Attachment,
    AuthError,
    ConfigError,
    Content,
    Envelope,
    Message,
    MessageError,
    ProtocolError,
    RetryPolicy,
    UnsupportedFeature,
    backend_from_url,
)
from mailer.aws.credentials import AwsCredentials
from mailer.backends.relay import RelayBackend
from mailer.relay.exchange import Request, Response
from mailer.relay.ses import Ses
from mailer.relay.sigv4 import sigv4_signed
from mailer.testing import Answer, FakeRelay

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCHEMA = "sesv2.SendEmail.request.schema.json"
BULK_SCHEMA = "sesv2.SendBulkEmail.request.schema.json"


def error(kind: str, text: str = "x", status: int = 400) -> Response:
    return answer(status, {"message": text}, x_amzn_errortype=kind)


def bulk(*entries: object) -> Response:
    return answer(200, {"BulkEmailEntryResults": list(entries)})


class SesChecks(ProviderChecks):
    ok = answer(200, {"MessageId": "m-1"})
    schemas = [(SCHEMA, "")]  # noqa: RUF012
    named_bases: ClassVar[dict[str, str]] = {}
    answers = {  # noqa: RUF012
        "no id": (answer(200, {}), [U, U], ProtocolError, "gives no id"),
        "an id that is the key": (answer(200, {"MessageId": TOKEN}), [U, U], ProtocolError, "id is none"),
        "refused": (error("MessageRejected", "not\r\nverified \x1b[2J"), [R, R], None, "MessageRejected not verified \\x1b[2J"),
        "wrong": (error("BadRequestException"), [R, R], None, "BadRequestException x"),
        "no template": (error("NotFoundException", "Template t does not exist", 404), [R, R], None, "Template t"),
        "no configuration set": (error("NotFoundException", "Configuration set <c> does not exist.", 404), [D, D], ConfigError, "Configuration set"),
        "the type with its address": (error("TooManyRequestsException:http://internal.amazon.com/x/", status=429), [D, D], None, "TooManyRequestsException x"),
        "throttled by a 400": (error("ThrottlingException", "Maximum sending rate exceeded."), [D, D], None, "Maximum sending rate"),
        "the day's quota": (error("ThrottlingException", "Daily message quota exceeded."), [D, D], ConfigError, "Daily message quota"),
        "limit": (error("LimitExceededException"), [D, D], None, "LimitExceeded"),
        "suspended": (error("AccountSuspendedException"), [D, D], ConfigError, "AccountSuspended"),
        "paused": (error("SendingPausedException"), [D, D], ConfigError, "SendingPaused"),
        "MAIL FROM": (error("MailFromDomainNotVerifiedException"), [D, D], ConfigError, "MailFrom"),
        "type in the body": (answer(400, {"__type": "com.amazonaws.sesv2#ThrottlingException", "Message": "slow"}), [D, D], None, "ThrottlingException slow"),
        "signature": (error("InvalidSignatureException", f"x-amz-security-token:{TOKEN}", 403), [D, D], AuthError, "***"),
        "signature by a 400": (error("IncompleteSignature"), [D, D], AuthError, "IncompleteSignature"),
        "session ended": (error("ExpiredToken", status=403), [D, D], AuthError, "ExpiredToken"),
        "key gone": (error("UnrecognizedClientException", status=403), [D, D], AuthError, "Unrecognized"),
        "not allowed": (error("AccessDeniedException", status=403), [D, D], AuthError, "AccessDenied"),
        "a type that is none": (answer(400, {"message": [1]}, x_amzn_errortype="<x>"), [R, R], None, "HTTP 400"),
        "too large": (answer(413, b""), [R, R], None, "HTTP 413"),
        "unavailable": (error("ServiceUnavailable", status=503), [D, D], None, "ServiceUnavailable"),
        "broken": (error("InternalFailure", status=500), [D, D], None, "InternalFailure"),
        "success that names a fault": (answer(200, {"__type": "ThrottlingException", "message": "x"}), [U, U], ProtocolError, "gives no id"),
    }  # fmt: skip

    def test_the_token_stands_in_its_header_alone(self) -> None:
        """Nowhere at all: what is sent is a signature made with it."""
        request = self.provider.signed(self.provider.request(PAIR), self.provider.credentials, NOW)  # type: ignore[attr-defined]
        names = [name for name, _ in request.headers]
        assert names == ["Accept", "Content-Type", "X-Amz-Date", "Authorization"]
        shown = (
            repr(request) + repr(self.provider) + repr(RelayBackend(self.provider)) + str(RelayBackend(self.provider))
        )
        assert TOKEN not in request.url + str(request.headers) + shown
        assert TOKEN.encode() not in request.content


class TestSes(SesChecks):
    provider = Ses("KEY", TOKEN, region="eu-west-1")

    def test_bases_and_regions(self) -> None:
        for url, base, region in (
            ("ses://K:T@eu-west-1", "https://email.eu-west-1.amazonaws.com", "eu-west-1"),
            ("ses://K:T@default?region=us-gov-west-1", "https://email.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("ses://K:T@eu-west-9", "https://email.eu-west-9.amazonaws.com", "eu-west-9"),
            ("ses://K:T@cn-north-1", "https://email.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("ses://K:T@eusc-de-east-1", "https://email.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
            ("ses://K:T@email-fips.us-east-2.amazonaws.com", "https://email-fips.us-east-2.amazonaws.com", "us-east-2"),
            ("ses://K:T@email.eu-west-1.api.aws", "https://email.eu-west-1.api.aws", "eu-west-1"),
            ("ses://K:T@vpce-1.email.eu-west-3.vpce.amazonaws.com", "https://vpce-1.email.eu-west-3.vpce.amazonaws.com", "eu-west-3"),
            ("ses://K:T@relay.example.com?region=eu-west-1", "https://relay.example.com", "eu-west-1"),
            ("ses://K:T@127.0.0.1:4566?scheme=http", "http://127.0.0.1:4566", "us-east-1"),
            ("ses://@eu-west-1", "https://email.eu-west-1.amazonaws.com", "eu-west-1"),
        ):  # fmt: skip
            if url.startswith("ses://@"):
                url = url.replace("@", "")
            backend = backend_from_url(url)
            assert isinstance(backend, RelayBackend)
            provider = backend.provider
            assert isinstance(provider, Ses)
            assert (provider.base, provider.region) == (base, region), url
            assert str(backend) == url.replace("K:T@", "***@")

    def test_the_regions_are_those_that_botocore_knows(self) -> None:
        import botocore.session

        resolver = botocore.session.Session()._get_internal_component("endpoint_resolver")
        for partition in resolver.get_available_partitions():
            for region in resolver.get_available_endpoints("email", partition):
                if region.startswith("us-iso"):
                    continue
                assert Ses.bases[region] == f"https://{resolver.construct_endpoint('email', region)['hostname']}"

    def test_what_is_wrong_with_a_url_is_a_config_error(self) -> None:
        for url, words in (
            ("ses://KEY@eu-west-1", "needs both keys before the '@', or none"),
            ("ses://K:T@default", "no region"),
            ("ses://K:T@nowhere", "the host must be a host's name or one of"),
            ("ses://K:T@default?region=EU", "no region of AWS"),
            ("ses://K:T@eu-west-1?region=eu-west-2", "the option region another"),
            ("ses://eu-west-1?session_token=x", "belongs to keys"),
            ("ses://K:T@eu-west-1?profile=p", "three ways of saying one thing"),
            ("ses://K%20:T@eu-west-1", "access key must be letters and digits"),
            ("ses://K:T%20@eu-west-1", "secret key must be printable"),
            ("ses://K:T@eu-west-1/path", "takes no path"),
            ("ses://K:T@eu-west-1?scheme=http", "this machine alone"),
            ("ses://K:T@eu-west-1?api=raw", "must be one of json, mime"),
            ("ses://K:T@eu-west-1?regin=x", "region"),
            ("ses://relay.example.com?region=eu-west-1", "AWS' settings hold is for AWS' hosts"),
            ("ses://email.eu-west-1.amazonaws.com.example.com", "is for AWS' hosts"),
        ):
            with pytest.raises(ConfigError, match=words) as wrong:
                backend_from_url(url)
            assert ":T" not in str(wrong.value)

    def test_options_of_the_url(self) -> None:
        backend = backend_from_url("ses://K:T%2F%2B@eu-west-1?session_token=S%2F1&configuration_set=events&api=mime")
        assert isinstance(backend, RelayBackend)
        provider = backend.provider
        assert isinstance(provider, Ses)
        assert provider.credentials == AwsCredentials("K", "T/+", "S/1")
        assert provider.features is Ses.mime
        assert self.body_of(provider.request(PAIR))["ConfigurationSetName"] == "events"
        assert "S/1" not in str(backend) + repr(backend)
        assert "S%2F1" not in str(backend)
        own = PAIR.with_(message=message_of("plain").with_(provider_options={"ConfigurationSetName": "mine"}))
        assert self.body_of(provider.request(own))["ConfigurationSetName"] == "mine"

    def test_headers_beyond_its_number_or_length_are_no_advice(self) -> None:
        fine = message_of("plain").with_(headers=[(f"X-{n}", "x") for n in range(15)])
        backend = RelayBackend(self.provider)
        assert backend.left_out(mail_of(fine)) == ()
        assert len(self.body_of(self.provider.request(mail_of(fine)))["Content"]["Simple"]["Headers"]) == 15
        for wrong in (
            fine.with_(priority="high"),
            message_of("plain").with_(headers={"X-Long": "x" * 996}),
            message_of("plain").with_(headers={"X-Long": "ü" * 400}),
        ):
            with pytest.raises(UnsupportedFeature) as refused:
                backend.left_out(mail_of(wrong))
            assert refused.value.field == "headers"
            assert self.faults(self.body_of(self.provider.request(mail_of(wrong)))) == []

    def test_who_gets_reports(self) -> None:
        mail = mail_of(message_of("plain").with_(return_path="bounces@bücher.example"))
        assert (
            self.body_of(self.provider.request(mail))["FeedbackForwardingEmailAddress"]
            == "bounces@xn--bcher-kva.example"
        )
        nobody = mail_of(message_of("plain").with_(return_path=NULL_SENDER))
        with pytest.raises(UnsupportedFeature, match="return_path: that is nobody"):
            RelayBackend(self.provider).left_out(nobody)

    def test_a_template_by_its_arn_and_too_many_variables(self) -> None:
        message = message_of("template").with_(
            provider_template="arn:aws:ses:eu-west-1:1:template/t", context={"ü": "x"}
        )
        template = self.body_of(self.provider.request(mail_of(message)))["Content"]["Template"]
        assert template == {"TemplateArn": message.provider_template, "TemplateData": '{"ü":"x"}'}
        with pytest.raises(UnsupportedFeature, match="has 262154 bytes as JSON") as refused:
            RelayBackend(self.provider).left_out(mail_of(message.with_(context={"x": "y" * (262_144 + 2)})))
        assert refused.value.field == "context"
        with pytest.raises(MessageError, match="context: holds what JSON cannot"):
            self.provider.request(mail_of(message.with_(context={"x": object()})))

    def test_options_reach_the_body_and_never_say_who_gets_it(self) -> None:
        lists = {"ListManagementOptions": {"ContactListName": "news", "TopicName": "t"}, "TenantName": "t-1"}
        body = self.body_of(self.provider.request(mail_of(message_of("plain").with_(provider_options=lists))))
        assert {key: body[key] for key in lists} == lists
        assert self.faults(body) == []
        for options in ({"Destination": {}}, {"BulkEmailEntries": []}, {"EndpointId": "x"}):
            with pytest.raises(MessageError) as refused:
                self.provider.request(mail_of(message_of("plain").with_(provider_options=options)))
            assert refused.value.field == "provider_options"

    # --- batches ---

    def mails(self, count: int, **fields: Any) -> list[Any]:
        return [
            mail_of(
                message_of("template").with_(
                    **{"to": f"n{n}@example.org", "context": {"n": n}, "metadata": {"row": str(n)}, **fields}
                )
            )
            for n in range(count)
        ]

    def test_mails_of_one_template_go_fifty_to_a_request(self) -> None:
        mails = self.mails(101, attachments=[Attachment.from_bytes("a.txt", b"x")], headers={"X-A": "1"})
        groups = list(self.provider.grouped(mails))
        assert [len(group) for group in groups] == [50, 50, 1]
        request = self.provider.batch_request(groups[0])
        assert request.url == "https://email.eu-west-1.amazonaws.com/v2/email/outbound-bulk-emails"
        body = json.loads(request.content)
        assert schema_errors(body, BULK_SCHEMA, "") == []
        assert [entry["Destination"] for entry in body["BulkEmailEntries"]] == [
            {"ToAddresses": [f"n{n}@example.org"]} for n in range(50)
        ]
        entry = body["BulkEmailEntries"][7]
        assert entry["ReplacementEmailContent"] == {"ReplacementTemplate": {"ReplacementTemplateData": '{"n":7}'}}
        own = {"Name": "mailer_id", "Value": mails[7].id}
        assert entry["ReplacementTags"] == [{"Name": "row", "Value": "7"}, own]
        assert entry["ReplacementHeaders"] == [{"Name": "X-A", "Value": "1"}]
        template = body["DefaultContent"]["Template"]
        assert (template["TemplateName"], template["TemplateData"]) == ("17", "{}")
        assert [file["FileName"] for file in template["Attachments"]] == ["a.txt"]

    def test_what_differs_in_more_than_its_variables_goes_in_another_request(self) -> None:
        same = self.mails(2)
        others = [
            *self.mails(1, from_="other@example.com"),
            *self.mails(1, reply_to="help@example.com"),
            *self.mails(1, provider_template="18"),
            *self.mails(1, return_path="bounces@example.com"),
            *self.mails(1, attachments=[Attachment.from_bytes("a.txt", b"x")]),
            *self.mails(1, provider_options={"ConfigurationSetName": "c"}),
            *self.mails(1, provider_options={"ListManagementOptions": {"ContactListName": "x"}}),
            *self.mails(1, provider_options={"x": object}),
            mail_of(message_of("plain")),
            mail_of(message_of("plain")),
        ]
        groups = list(self.provider.grouped([same[0], *others, same[1]]))
        assert sorted(map(len, groups)) == [1] * len(others) + [2]
        assert next(group for group in groups if len(group) == 2) == same

    def test_entries_decide_for_themselves(self) -> None:
        statuses = {
            "SUCCESS": (A, None), "MESSAGE_REJECTED": (R, None), "TEMPLATE_NOT_FOUND": (R, None),
            "INVALID_PARAMETER": (R, None), "FAILED": (R, None), "ACCOUNT_THROTTLED": (D, None),
            "TRANSIENT_FAILURE": (D, None), "ACCOUNT_DAILY_QUOTA_EXCEEDED": (D, ConfigError),
            "MAIL_FROM_DOMAIN_NOT_VERIFIED": (D, ConfigError), "CONFIGURATION_SET_NOT_FOUND": (D, ConfigError),
            "ACCOUNT_SUSPENDED": (D, ConfigError), "ACCOUNT_SENDING_PAUSED": (D, ConfigError),
            "CONFIGURATION_SET_SENDING_PAUSED": (D, ConfigError), "INVALID_SENDING_POOL_NAME": (D, ConfigError),
        }  # fmt: skip
        mails = self.mails(len(statuses) + 3)
        entries: list[object] = [
            {"Status": status, **({"MessageId": "m-7"} if status == "SUCCESS" else {"Error": f"so {TOKEN}"})}
            for status in statuses
        ]
        given = bulk(*entries, {"Status": "SUCCESS"}, {"Error": "x"}, "junk")
        receipts = self.provider.batch_receipts(given, mails)
        for (status, (outcome, cause)), receipt in zip(statuses.items(), receipts, strict=False):
            assert receipt.results[0].outcome is outcome, status
            assert type(receipt.error) is (cause or type(None)), status
            assert receipt.provider_ids == (("m-7",) if outcome is A else ())
            assert TOKEN not in receipt.results[0].text
            assert outcome is A or receipt.results[0].text == f"{status} so ***"
        assert [r.results[0].outcome for r in receipts[-3:]] == [U, U, U]

    def test_a_bulk_answer_that_does_not_fit_is_unknown_for_all(self) -> None:
        mails = self.mails(2)
        for given in (bulk({"Status": "SUCCESS", "MessageId": "m"}), answer(200, {}), answer(200, [1, 2])):
            receipts = self.provider.batch_receipts(given, mails)
            assert [(r.results[0].outcome, type(r.error)) for r in receipts] == [(U, ProtocolError)] * 2
        throttled = self.provider.batch_receipts(error("ThrottlingException"), mails)
        assert [r.results[0].outcome for r in throttled] == [D, D]

    def test_merge_data_travels_as_variables_in_one_request(self, world: World) -> None:
        message = message_of("template").with_(
            to=[f"n{n}@example.org" for n in range(60)],
            merge_data={f"n{n}@example.org": {"n": n} for n in range(60)},
            context={"n": -1, "shop": "x"},
        )
        with FakeRelay("ses", token="s3cret") as relay, world.mailer(relay.url) as mailer:
            receipt = mailer.send(message)
        assert receipt.ok
        assert len(receipt.provider_ids) == 60
        assert [len(request.json["BulkEmailEntries"]) for request in relay.requests] == [50, 10]
        last = relay.requests[1].json["BulkEmailEntries"][-1]
        assert last["Destination"] == {"ToAddresses": ["n59@example.org"]}
        data = last["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"]
        assert json.loads(data) == {"n": 59, "shop": "x"}

    # --- signing ---

    def test_a_retry_is_signed_anew(self) -> None:
        with FakeRelay("ses", token="s3cret") as relay, new_world("trio") as world:
            relay.next(
                Answer(status=429, body={"message": "x"}, headers={"x-amzn-ErrorType": "TooManyRequestsException"})
            )
            with world.mailer(relay.url, retry=RetryPolicy(wait_s=0)) as mailer:
                assert mailer.send(message_of("names")).ok
        first, second = relay.requests
        assert first.content == second.content
        assert first.headers["x-amz-date"] <= second.headers["x-amz-date"]

    def test_the_wrong_secret_is_the_account_s_fault(self) -> None:
        with FakeRelay("ses", token="s3cret") as relay, new_world("blocking") as world:
            url = relay.url.replace("s3cret", "an0ther")
            with world.mailer(url) as mailer, pytest.raises(Exception, match="does not match the signature") as refused:
                mailer.send(message_of("plain"))
        assert isinstance(refused.value.__cause__, AuthError)
        assert "an0ther" not in str(refused.value)
        assert len(relay.requests) == 1


class TestSesMime(SesChecks):
    provider = Ses("KEY", TOKEN, region="eu-west-1", api="mime")
    golden_name = "ses_mime"

    def test_bases_and_regions(self) -> None:
        assert self.provider.base == TestSes.provider.base

    def test_the_content_is_as_it_is_and_its_own_fields_say_who_sends(self) -> None:
        content = Content.of(b"From: Shop <shop@example.com>\r\nReply-To: x@example.com\r\n\r\nHi\r\n")
        message = message_of("names").with_(bcc="dee@example.org", reply_to="y@example.com")
        body = self.body_of(self.provider.request(mail_of(message).with_(content=content)))
        assert b64decode(body["Content"]["Raw"]["Data"]) == bytes(content)
        assert body["Destination"]["ToAddresses"][0] == "ann@example.org"
        assert body["Destination"]["BccAddresses"] == ["dee@example.org"]
        assert "FromEmailAddress" not in body
        assert "ReplyToAddresses" not in body

    def test_ready_made_mail_has_its_envelope_s_sender(self) -> None:
        mail = PAIR.with_(message=None, envelope=Envelope("bounces@example.com", ["ann@example.org"]))
        body = self.body_of(self.provider.request(mail))
        assert body["FeedbackForwardingEmailAddress"] == "bounces@example.com"
        assert body["Destination"] == {"BccAddresses": ["ann@example.org"]}
        nobody = mail.with_(envelope=Envelope(None, ["ann@example.org"]))
        with pytest.raises(UnsupportedFeature, match="return_path: that is nobody"):
            RelayBackend(self.provider).left_out(nobody)

    def test_batches_are_none(self) -> None:
        assert self.provider.batch_size == 1
        assert [len(group) for group in self.provider.grouped([PAIR] * 3)] == [1, 1, 1]

    def test_every_case_s_schema_is_that_of_one_mail(self) -> None:
        assert set(CASES) >= {"alternatives", "amp", "sender"}
        for case in ("alternatives", "amp", "sender", "headers twice"):
            assert RelayBackend(self.provider).left_out(mail_of(message_of(case))) == ()


class TestBotocore:
    """The same bodies given to AWS' own client: it knows every member, and sends them where we do."""

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls) -> Iterator[Any]:
        import botocore.session
        from botocore.awsrequest import AWSResponse

        sent: list[Any] = []

        class Raw:
            def stream(self) -> Iterator[bytes]:
                yield b'{"MessageId": "m-1"}'

        def answered(request: Any, **_: Any) -> AWSResponse:
            sent.append(request)
            return AWSResponse(request.url, 200, {}, Raw())

        session = botocore.session.Session()
        client = session.create_client(
            "sesv2", region_name="eu-west-1", aws_access_key_id="KEY", aws_secret_access_key="s3cret"
        )
        client.meta.events.register("before-send.sesv2.*", answered)
        client.sent = sent
        yield client
        client.close()

    def check(self, client: Any, call: str, request: Request) -> None:
        client.sent.clear()
        getattr(client, call)(**blobs(json.loads(request.content)))
        [theirs] = client.sent
        assert (theirs.method, theirs.url) == (request.method, request.url)
        assert json.loads(theirs.body) == json.loads(request.content)
        # What it signed, signed by us.
        said = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in theirs.headers.items()
        }
        found = re.search("SignedHeaders=([^,]+),", said["authorization"])
        assert found is not None
        names = [name for name in found[1].split(";") if name != "host"]
        assert "content-type" in names
        again = Request(theirs.url, tuple([(name, said[name]) for name in names]), theirs.body, theirs.method)
        moment = datetime.strptime(said["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        ours = sigv4_signed(again, AwsCredentials("KEY", "s3cret"), region="eu-west-1", service="ses", now=moment)
        assert dict(ours.headers)["Authorization"] == said["authorization"]

    def test_every_case(self, client: Any) -> None:
        seen = 0
        for provider in (TestSes.provider, TestSesMime.provider):
            for case in CASES:
                if case in ("merge", "options", "local part not ASCII"):
                    continue
                mail = mail_of(message_of(case), CASES[case].get("recipients"))
                try:
                    RelayBackend(provider).left_out(mail)
                    request = provider.request(mail)
                except MessageError:
                    continue
                self.check(client, "send_email", request)
                seen += 1
        assert seen > 50

    def test_a_batch_and_the_check(self, client: Any) -> None:
        mails = TestSes().mails(3, attachments=[Attachment.from_bytes("a.txt", b"x")], headers={"X-A": "1"}, tags=["t"])
        self.check(client, "send_bulk_email", TestSes.provider.batch_request(mails))
        client.sent.clear()
        client.get_account()
        asked = TestSes.provider.check_request()
        assert (client.sent[0].method, client.sent[0].url) == (asked.method, asked.url)


def blobs(body: Any) -> Any:
    """As botocore takes it: what is base64 on the wire, as bytes."""
    if isinstance(body, list):
        return [blobs(item) for item in body]
    if not isinstance(body, dict):
        return body
    raw = {"RawContent"} if "RawContent" in body else {"Data"} if set(body) == {"Data"} else set()
    return {key: b64decode(value) if key in raw else blobs(value) for key, value in body.items()}


class TestByHand:
    def test_a_client_of_the_app_s_own_sends_what_is_signed(self, world: World) -> None:
        """Headers that it adds or writes otherwise are not signed: the others reach AWS as they were."""

        def handler(request: httpx.Request) -> httpx.Response:
            assert request.headers["host"] == "email.eu-west-1.amazonaws.com"
            found = re.search("SignedHeaders=([^,]+),", request.headers["authorization"])
            assert found is not None
            names = [name for name in found[1].split(";") if name != "host"]
            again = Request(str(request.url), tuple([(n, request.headers[n]) for n in names]), request.content)
            moment = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            keys = AwsCredentials("KEY", "s3cret")
            ours = sigv4_signed(again, keys, region="eu-west-1", service="ses", now=moment)
            assert dict(ours.headers)["Authorization"] == request.headers["authorization"]
            return httpx.Response(200, json={"MessageId": "m-1"})

        kind = httpx.Client if world.name == "blocking" else httpx.AsyncClient
        client = kind(transport=httpx.MockTransport(handler))
        base = "https://email.eu-west-1.amazonaws.com:443"
        backend = RelayBackend(Ses("KEY", "s3cret", region="eu-west-1", base=base), client=client)
        with world.mailer(backend) as mailer:
            assert mailer.send(message_of("names")).provider_ids == ("m-1",)

    def test_check_asks_for_the_account(self, world: World) -> None:
        with FakeRelay("ses", token="s3cret") as relay:
            with world.mailer(relay.url) as mailer:
                assert mailer.check().facts["token"] == "good"
                denied = {"x-amzn-ErrorType": "AccessDeniedException"}
                relay.next(Answer(status=403, body={"Message": "may not ses:GetAccount"}, headers=denied))
                assert mailer.check().ok
            with world.mailer(relay.url.replace("s3cret", "an0ther")) as mailer:
                health = mailer.check()
        assert not health.ok
        assert isinstance(health.cause, AuthError)

    def test_keys_or_a_source_of_them_and_not_both(self) -> None:
        keys = AwsCredentials("K", "T")
        assert Ses(region="eu-west-1", credentials=keys).credentials is keys
        for fields in ({"credentials": keys}, {"profile": "x"}):
            with pytest.raises(ConfigError, match="ways of saying one thing"):
                Ses("K", "T", region="eu-west-1", **fields)
        with pytest.raises(ConfigError, match="two ways"):
            Ses(region="eu-west-1", credentials=keys, profile="x")
        with pytest.raises(ConfigError, match="secret key"):
            Ses("K", region="eu-west-1")

    def test_credentials_of_a_callable_and_of_a_session_that_has_ended(self, world: World) -> None:
        given = iter([AwsCredentials("KEY", "old", "T1"), AwsCredentials("KEY", "s3cret", "T2")])
        with FakeRelay("ses", token="s3cret") as relay:
            relay.next(Answer(status=403, body={"message": "ended T1"}, headers={"x-amzn-ErrorType": "ExpiredToken"}))
            provider = Ses(region="eu-west-1", credentials=lambda: next(given), base=relay.base)
            with world.mailer(RelayBackend(provider)) as mailer:
                assert mailer.send(Message(from_="a@example.com", to="b@example.org", subject="x", text="x")).ok
        assert [request.headers["x-amz-security-token"] for request in relay.requests] == ["T1", "T2"]
        assert relay.requests[0].content == relay.requests[1].content

    def test_what_was_lent_is_masked_in_answers(self) -> None:
        provider = Ses(region="eu-west-1", credentials=lambda: None)
        lent = AwsCredentials("ASIAEXAMPLE", "wJalr/secret", "FwoGZXIvYXdz//token==")
        provider.hide(lent)
        text = f"canonical x-amz-security-token:{lent.session_token} of {lent.access_key}"
        receipt = provider.receipt(error("InvalidSignatureException", text, 403), PAIR)
        assert receipt.results[0].text == "InvalidSignatureException canonical x-amz-security-token:*** of ***"
