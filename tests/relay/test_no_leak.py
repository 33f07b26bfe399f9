"""Of every provider: no credential shows or goes to another host, and no value that a user gives leads elsewhere."""

from __future__ import annotations

import itertools
import re
from base64 import b64encode
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import pytest
from every import NOW, PAIR, SCHEMES, TOKEN, every
from relay_cases import mail_of, message_of

from mailer import Address, Backend, ConfigError, Mail, MessageError, backend_from_url
from mailer.backends.relay import RelayBackend
from mailer.oauth2 import TokenProvider
from mailer.relay.exchange import Request
from mailer.testing import Answer, FakeRelay, sweep

#: What a user may write in the hope of leading a request elsewhere, or of saying more than was asked.
NASTY = (
    "../../admin",
    "..",
    "a/b",
    "a\\b",
    "//evil.test/x",
    "https://evil.test/x",
    "@evil.test",
    "evil.test:443#",
    "a?b=c&d",
    "a#b",
    "%2e%2e%2fadmin",
    "%0d%0aX-Evil: 1",
    "a b",
    "a;b",
    "ü",
)
#: The options that stand in a request's path.
IN_PATHS = frozenset({"domain", "region", "sandbox_id"})
INJECTED = ("a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\0b", "a\x7fb", "a\u2028b")
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)


def split(request: Request) -> tuple[str, str, str]:
    """Where a request goes: scheme and host, path, query. It is written so that nobody can read it otherwise."""
    assert _VISIBLE.fullmatch(request.url), request.url
    assert not re.search(r"[\\<>\"'^`{|}#]", request.url), request.url
    parts = urlsplit(request.url)
    assert parts.username is None
    assert not {"..", "."} & set(parts.path.split("/")), request.url
    assert "//" not in parts.path
    for name, value in request.headers:
        assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), name  # RFC 9110 section 5.6.2
        assert re.fullmatch(r"[ -~]*", value), name
    return f"{parts.scheme}://{parts.netloc}", parts.path, parts.query


# --- credentials that show --------------------------------------------------------------------------------------------


def _repeated(secret: str) -> list[Answer]:
    """A 401, a refusal, a success and a page that repeat the credential, in the forms in which it may come back."""
    data = secret.encode()
    forms = [secret, secret.upper(), quote(secret, safe=""), quote_plus(secret), b64encode(data).decode(), data.hex()]
    body = {"message": forms, "error": {"message": secret, "code": secret}, "errors": [secret], "id": secret}
    return [
        Answer(status=401, body=body, headers={"X-Message-Id": secret, "x-ms-error-code": secret}),
        Answer(status=401, body=" ".join(forms)),
        Answer(status=403, body=f"not {secret}"),
        Answer(status=422, body=body, headers={"x-amzn-ErrorType": secret}),
        Answer(status=202, body=body, headers={"X-Message-Id": secret}),
        Answer(status=200, body=f"<html>{secret}"),
        Answer(status=429, body=f"{secret} is too fast", headers={"Retry-After": secret}),
        Answer(raw=f"x{secret}\r\n\r\n".encode()),
        Answer(body=secret, length=1000),
        Answer(lose=True),
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_credential_shows(scheme: str) -> None:
    """Accepted, refused, 401 with the token repeated, junk, lost, not there; and it goes nowhere else."""
    secrets = [TOKEN, every(scheme).secret]
    message = message_of("names")

    def make() -> Backend:
        backend = backend_from_url(f"{relay.url}{'&' if '?' in relay.url else '?'}rate=off")
        if backend.wants_tokens:
            backend.use_tokens(TokenProvider.of(lambda: TOKEN))
        return backend

    with FakeRelay(scheme, token=TOKEN) as relay, FakeRelay(scheme, token=TOKEN) as other:
        sweep(make, secrets, message=message, faces=("blocking",))
        assert relay.requests
        relay.refuse("ann@example.org")
        sweep(make, secrets, message=message, faces=("blocking",))
        away = Answer(status=307, headers={"Location": other.base + relay.requests[0].path, "Set-Cookie": TOKEN})
        turn = itertools.cycle([*_repeated(every(scheme).secret), away])
        relay.accept = lambda request: next(turn)  # type: ignore[method-assign]
        for _ in range(3):  # four requests in each
            sweep(make, secrets, message=message, faces=("blocking",))
        assert other.requests == []
    sweep(make, secrets, message=message, faces=("blocking",))


# --- where requests go ------------------------------------------------------------------------------------------------


def hostile_mails() -> list[Mail]:
    """Messages each of whose fields would lead elsewhere, if it were let."""
    mails = []
    for text in NASTY:
        fields: list[dict[str, Any]] = [
            {"subject": text, "text": text, "html": text},
            {"tags": [text]},
            {"metadata": {"url": text, "host": text, "to": text}},
            {"provider_template": text, "text": None, "subject": "", "context": {"url": text}},
            {"idempotency_key": text},
            {"headers": {"X-Url": text, "Host": text}},
            {"headers": {"Authorization": text}},
            {"provider_options": {"url": text, "base": text, "host": text, "headers": {"Host": text}}},
            {"from_": (text, "shop@example.com"), "to": [(text, "ann@example.org")], "reply_to": (text, "r@x.test")},
            {"from_": Address("", text, "example.com")},
            {"to": [Address("", text, "example.org")], "cc": [Address("", text, "example.net")]},
        ]
        for each in fields:
            try:
                mails.append(mail_of(message_of("plain").with_(**each)))
            except MessageError:  # that cannot be said at all
                continue
    return mails


HOSTILE = hostile_mails()


def test_most_of_what_is_hostile_is_a_message() -> None:
    """Or nothing would be tried."""
    assert len(HOSTILE) > 100


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_field_of_a_message_leads_elsewhere(scheme: str) -> None:
    one = every(scheme)
    host, path, query = split(one.asked())
    tried = 0
    for mail in HOSTILE:
        try:
            RelayBackend(one.provider).left_out(mail)
            request = one.asked(mail)
        except MessageError:
            continue
        assert mail.message is not None
        tried += 1
        to = split(request)
        assert to[0] == host
        assert to[2] == query
        # Templates and batches have a path of their own: as many segments below the same ones, and no word of a user's.
        assert to[1] == path or mail.message.provider_template is not None, to[1]
        assert not re.search(r"admin|evil|%", to[1].replace("%40", "@")), to[1]
        said = {name.lower(): value for name, value in request.headers}
        assert "host" not in said or said["host"] == urlsplit(host).netloc
        assert len(said) == len(request.headers)
        assert not {value for _, value in mail.message.headers} & set(said.values())
    assert tried > 20


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_field_adds_a_header(scheme: str) -> None:
    one = every(scheme)
    names = {name for name, _ in one.asked().headers}
    for text in INJECTED:
        for field in ("idempotency_key", "subject", "provider_template", "message_id", "text"):
            try:
                mail = mail_of(message_of("plain").with_(**{field: text}))
                RelayBackend(one.provider).left_out(mail)
                request = one.asked(mail)
            except MessageError:
                continue
            split(request)
            assert {name for name, _ in request.headers} <= names | {"Idempotency-Key"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_option_of_the_url_that_stands_in_a_path_is_encoded_or_refused(scheme: str) -> None:
    one = every(scheme)
    url = one.relay.url.replace(one.relay.authority, f"{one.relay.host}:9")
    host, path, query = split(one.asked())
    known = [key for key in type(one.provider).options if f"{key}=" not in url]
    for key, text in itertools.product([*known, *({"region", "project"} & set(type(one.provider).options))], NASTY):
        bare = re.sub(rf"&{key}=[^&]*", "", url)
        try:
            backend = backend_from_url(f"{bare}{'&' if '?' in bare else '?'}{key}={quote(text, safe='')}")
            assert isinstance(backend, RelayBackend)
            request = backend.provider.signed(backend.provider.request(PAIR), one.credential, NOW)
        except (ConfigError, MessageError):
            continue
        to = split(request)
        assert (to[0], to[2]) == (host, query)
        assert to[1].count("/") == path.count("/"), (key, text, to[1])
        if key in IN_PATHS:
            assert quote(text, safe="").lower() in to[1], (key, text)


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme in ("gmail", "msgraph")])
def test_a_mailbox_in_a_path_is_one_segment(scheme: str) -> None:
    for user in ("a/b@example.com", "a?b@example.com", "a#b@example.com", '"a..b"@example.com', "a%2f@example.com"):
        backend = backend_from_url(f"{scheme}://{quote(user, safe='')}@default")
        assert isinstance(backend, RelayBackend)
        host, path, _ = split(backend.provider.request(PAIR))
        assert host in backend.provider.bases["default"]
        assert quote(user, safe="") in path.split("/")


# --- hosts of the URL -------------------------------------------------------------------------------------------------


def _url_at(scheme: str, host: str) -> str:
    one = every(scheme)
    url = one.relay.url.replace(one.relay.authority, host)
    return re.sub(r"scheme=http&?", "", url).rstrip("?").replace("http+json:", "https+json:")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_base_gets_its_own_requests(scheme: str) -> None:
    """A host in the URL takes the place of the provider's: no request, and so no credential, goes to any other."""
    provider = every(scheme).provider
    hosts = {region: urlsplit(base).netloc for region, base in type(provider).bases.items()}
    hosts |= {"relay.example.com": "relay.example.com", "relay.example.com:8443": "relay.example.com:8443"}
    hosts |= {"[2001:db8::1]": "[2001:db8::1]"}
    tried = 0
    for named, wanted in hosts.items():
        url = _url_at(scheme, named)
        if scheme == "mailtrap" and named == "sandbox":
            url += "?sandbox_id=7"
        try:
            backend = backend_from_url(url)
        except ConfigError:  # azure has no default; ses takes another's host with a region by an option
            continue
        assert isinstance(backend, RelayBackend)
        requests = [backend.provider.request(PAIR), backend.provider.check_request()]
        for request in requests:
            assert request is None or urlsplit(request.url).netloc == wanted, named
            assert request is None or scheme == "http+json" or request.url.startswith("https://")
        tried += 1
    assert tried >= 2


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_credential_goes_in_clear_beyond_this_machine(scheme: str) -> None:
    url = every(scheme).relay.url
    for host in ("relay.example.com", "127.0.0.1.evil.test", "localhost.evil.test", "0.0.0.0", "[::2]", "evil.test:80"):
        at = url.replace("127.0.0.1:0", host)
        assert host in at
        with pytest.raises(ConfigError, match=r"for this machine alone|without TLS") as refused:
            backend_from_url(at)
        assert TOKEN not in str(refused.value)
        assert every(scheme).secret not in str(refused.value)
