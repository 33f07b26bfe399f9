"""Signature Version 4 held against botocore's signer, and against the vectors of the facts."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailer import ConfigError
from mailer.aws.credentials import AwsCredentials
from mailer.relay.exchange import Request
from mailer.relay.sigv4 import canonical_request, sigv4_signed

KEYS = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
URL = "https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails"
BODY = (
    b'{"FromEmailAddress":"a@example.com","Destination":{"ToAddresses":["b@example.org"]},'
    b'"Content":{"Simple":{"Subject":{"Data":"Hi"},"Body":{"Text":{"Data":"Hello"}}}}}'
)


def signed(request: Request, keys: AwsCredentials = KEYS, now: datetime = NOW) -> dict[str, str]:
    made = sigv4_signed(request, keys, region="eu-west-1", service="ses", now=now)
    assert made.content == request.content
    return {name.lower(): value for name, value in made.headers}


def by_botocore(request: Request, keys: AwsCredentials, now: datetime) -> str:
    """What the other signer puts into Authorization."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    theirs = AWSRequest(method=request.method, url=request.url, data=request.content)
    for name, value in request.headers:
        theirs.headers.add_header(name, value)
    auth: Any = SigV4Auth(Credentials(keys.access_key, keys.secret_key, keys.session_token or None), "ses", "eu-west-1")
    theirs.context["timestamp"] = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(theirs)
    to_sign = auth.string_to_sign(theirs, auth.canonical_request(theirs))
    auth._inject_signature_to_request(theirs, auth.signature(to_sign, theirs))
    return str(theirs.headers["Authorization"])


class TestVectors:
    """FACTS section 4."""

    request = Request(URL, (("Content-Type", "application/json"),), BODY)

    def test_the_canonical_request(self) -> None:
        dated = Request(URL, (*self.request.headers, ("X-Amz-Date", "20260102T030405Z")), BODY)
        canonical, names = canonical_request(dated, "email.eu-west-1.amazonaws.com")
        assert names == "content-type;host;x-amz-date"
        assert canonical.splitlines() == [
            "POST",
            "/v2/email/outbound-emails",
            "",
            "content-type:application/json",
            "host:email.eu-west-1.amazonaws.com",
            "x-amz-date:20260102T030405Z",
            "",
            "content-type;host;x-amz-date",
            "2320be78480b0460c7280739224f0aba3dce806cc047b1d879c632112ab6cd36",
        ]
        assert hashlib.sha256(canonical.encode()).hexdigest() == (
            "8fe559580313ae0fc3c2d1b423d8950d8f117e97db6387ab58a7a0c29bf62deb"
        )

    def test_the_signature(self) -> None:
        assert signed(self.request) == {
            "content-type": "application/json",
            "x-amz-date": "20260102T030405Z",
            "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/ses/aws4_request,"
            " SignedHeaders=content-type;host;x-amz-date,"
            " Signature=da072fd242452edb77e56333cf0bb115cf80bca14dc2a87dd5387dcf35d052ee",
        }

    def test_the_signature_with_a_session(self) -> None:
        keys = AwsCredentials(KEYS.access_key, KEYS.secret_key, "FAKETOKEN//example==")
        headers = signed(self.request, keys)
        assert headers["x-amz-security-token"] == "FAKETOKEN//example=="
        assert headers["authorization"].endswith(
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"
            " Signature=ef627f7e5142dbb1277aabfcbec2fffe717b994fba4ea3e7f6337117fc0dcd29"
        )


PATH = st.lists(
    st.sampled_from(["", ".", "..", "a", "b%20c", "%E1%88%B4", "x~y", "a+b", "$b;c", "@x", "%2F", "d:e", "*", "(f)"])
).map(lambda parts: "/" + "/".join(parts))
NAME = st.sampled_from(["", "a", "A", "b%20c", "%C3%BC", "x-1", "a.b", "~", "a%2Bb"])
QUERY = st.lists(st.tuples(NAME, st.sampled_from(["=", "=1", "=2", "=%3D", "=a=b", "", "=%2F~"])), max_size=4).map(
    lambda pairs: "&".join(name + value for name, value in pairs)
)
HOST = st.sampled_from(
    ["h.example", "H.Example", "h.example:443", "h.example:8443", "127.0.0.1:8080", "[::1]:8080", "[::1]"]
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["X-A", "x-b", "X-Amz-Meta", "Accept", "User-Agent", "Expect", "Content-Type"]),
        st.sampled_from(["1", " 1  2\t3 ", "größer  注文", "a,b", "", '"a   b"', "x" * 70]),
    ),
    max_size=4,
)


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-9))])


@settings(max_examples=50, deadline=None)
@given(
    path=PATH,
    query=QUERY,
    host=HOST,
    headers=HEADERS,
    scheme=st.sampled_from(["https", "http"]),
    method=st.sampled_from(["POST", "GET", "PUT"]),
    content=st.one_of(st.binary(max_size=60), st.text(max_size=20).map(str.encode)),
    token=st.sampled_from(["", "FwoGZXIvYXdzEJr//////////wEaD+/=="]),
    now=st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1), timezones=ZONES),
)
@example("/", "", "h.example", [("X-A", "1"), ("x-a", "2"), ("X-A", " 3  4 ")], "https", "POST", b"", "", NOW)
@example("//a//./b/../", "b=2&a=1&a=0&b", "[::1]:443", [], "https", "GET", b"", "", NOW)
def test_it_signs_as_botocore_does(
    path: str,
    query: str,
    host: str,
    headers: list[tuple[str, str]],
    scheme: str,
    method: str,
    content: bytes,
    token: str,
    now: datetime,
) -> None:
    keys = AwsCredentials(KEYS.access_key, KEYS.secret_key, token)
    url = f"{scheme}://{host}{path}" + (f"?{query}" if query else "")
    request = Request(url, tuple(headers), content, method)
    assert signed(request, keys, now)["authorization"] == by_botocore(request, keys, now)


def test_signing_again_leaves_one_date_one_token_and_one_signature() -> None:
    """As a retry does, with a fresh date and another session."""
    first = sigv4_signed(
        Request(URL, (("content-type", "application/json"), ("X-Keep", "1")), BODY),
        AwsCredentials("AKID1", "secret-1", "token-1"),
        region="eu-west-1",
        service="ses",
        now=NOW,
    )
    later = NOW + timedelta(minutes=7)
    again = sigv4_signed(first, KEYS, region="eu-west-1", service="ses", now=later)
    fresh = sigv4_signed(
        Request(URL, (("content-type", "application/json"), ("X-Keep", "1")), BODY),
        KEYS,
        region="eu-west-1",
        service="ses",
        now=later,
    )
    assert again.headers == fresh.headers
    assert dict(again.headers)["X-Amz-Date"] == "20260102T031105Z"
    assert "token-1" not in str(again.headers)


def test_a_port_that_is_the_scheme_s_own_is_left_out_of_the_url() -> None:
    """What stands in Host is what is signed, whichever client sends it."""
    for url, sent in (
        ("https://h.example:443/a?b=1", "https://h.example/a?b=1"),
        ("http://127.0.0.1:80/a", "http://127.0.0.1/a"),
        ("https://h.example:80/a", "https://h.example:80/a"),
        ("https://[::1]:443/a", "https://[::1]/a"),
    ):
        assert sigv4_signed(Request(url), KEYS, region="eu-west-1", service="ses", now=NOW).url == sent


@pytest.mark.parametrize("word", ["", "EU", "eu west", "eu/west", "eu\nwest", "x" * 64])
def test_what_is_no_region_is_a_config_error(word: str) -> None:
    for region, service in ((word, "ses"), ("eu-west-1", word)):
        with pytest.raises(ConfigError, match=r"AWS signature: the (region|service) must be"):
            sigv4_signed(Request(URL), KEYS, region=region, service=service, now=NOW)
