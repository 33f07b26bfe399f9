"""TLS as the URL says it: whom to trust, what to show, which version; and STARTTLS under attack (F16 and its kin)."""

from __future__ import annotations

import copy
import datetime
import pickle
import re
import ssl
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, sent, url
from worlds import World

import mailer.tls
from mailer import Outcome, Settings, backend_from_url
from mailer.errors import ConfigError, DeadlineExceeded, ProtocolError, TlsError
from mailer.smtp.endpoint import Endpoint
from mailer.smtp.fingerprint import fingerprint_of, fingerprints_from, is_pinned
from mailer.stream import Stream
from mailer.testing import ScriptedServer, SmtpServer

SHA256 = "ab" * 32
PASSWORD = "correct-horse-battery"
EHLOX = "C: EHLO [127.0.0.1]\nS: 250-hello\n"
UP_TO_TLS = HI + EHLOX + "S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: tls\n"
TO_THE_END = MAIL + RCPT + DATA + OK + QUIT
DELIVERED = UP_TO_TLS + EHLO + TO_THE_END


# --- fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (SHA256, [SHA256]),
        (":".join(["AB"] * 32), [SHA256]),
        (f" {SHA256.upper()} , {'0' * 64},{SHA256}", [SHA256, "0" * 64]),
        ([SHA256, ":".join(["00"] * 32)], [SHA256, "0" * 64]),
        ((), []),
    ],
)
def test_fingerprints_are_read_with_colons_and_without(given: Any, found: list[str]) -> None:
    assert fingerprints_from(given) == tuple(found)


@pytest.mark.parametrize(
    "given", ["", SHA256[:-1], SHA256 + "0", "x" * 64, f"{SHA256},", "ab" * 20, [None], [b"ab" * 32]]
)
def test_what_is_no_sha_256_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits" + ("; this is SHA-1" if given == "ab" * 20 else "$")):
        fingerprints_from(given)
    with pytest.raises(ConfigError, match=r"^h:25: fingerprint: must be a certificate's SHA-256"):
        Endpoint(host="h", port=25, tls="required", fingerprints=given)


def test_a_fingerprint_is_as_openssl_shows_it_and_one_of_several_is_enough() -> None:
    shown = fingerprint_of(b"certificate")
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", shown)
    assert is_pinned(b"certificate", fingerprints_from(f"{SHA256},{shown}"))
    assert not is_pinned(b"another", fingerprints_from(f"{SHA256},{shown}"))
    assert not is_pinned(b"certificate", ())


# --- the URL ----------------------------------------------------------------------------------------------------------


def test_what_the_url_says(identity: Path) -> None:
    both = f"ca_file={identity}/ca.pem&cert_file={identity}/cert.pem&key_file={identity}/secret.pem"
    both += f"&key_password={PASSWORD}"
    endpoint = backend_from_url(f"smtp://h:25?fingerprint={SHA256}&tls_min=1.3&{both}").endpoint
    assert (endpoint.fingerprints, endpoint.tls_min, endpoint.tls) == ((SHA256,), "1.3", "required")
    assert (endpoint.cert_file, endpoint.key_file) == (f"{identity}/cert.pem", f"{identity}/secret.pem")
    assert endpoint.key_password == PASSWORD
    assert (
        backend_from_url(f"lmtp://h?ca_file={identity}/ca.pem&cert_file={identity}/both.pem").endpoint.tls == "required"
    )
    usual = backend_from_url("smtp://h:25").endpoint
    assert (usual.fingerprints, usual.tls_min, usual.cert_file, usual.is_checked) == ((), "1.2", None, True)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("fingerprint=12:34", "option fingerprint='12:34': must be a certificate's SHA-256"),
        (f"fingerprint={'ab' * 20}", "this is SHA-1"),
        (f"tls=opportunistic&fingerprint={SHA256}", "fingerprint goes with tls=required, not with tls=opportunistic"),
        (f"tls=none&fingerprint={SHA256}", "fingerprint goes with tls=required, not with tls=none"),
        ("tls=opportunistic&cert_file=x", "cert_file goes with tls=required"),
        ("key_file=x", "a private key needs its certificate: name it in cert_file"),
        ("key_password=x", "a private key needs its certificate"),
        ("tls_min=1.1", "option tls_min='1.1': must be one of 1.2, 1.3"),
        ("finger_print=x", "did you mean 'fingerprint'"),
        ("tls_version=x", "did you mean 'tls"),
        ("keyfile=x", "did you mean 'key_file'"),
    ],
)
def test_what_makes_no_sense_is_refused(query: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        backend_from_url(f"smtp://mail.internal?{query}")
    assert said in str(caught.value)


def test_an_endpoint_made_by_hand_is_checked_too() -> None:
    assert Endpoint(host="h", port=465, implicit_tls=True, fingerprints=SHA256).fingerprints == (SHA256,)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="tls_min must be"):
        Endpoint(host="h", port=25, tls_min="1.0")
    with pytest.raises(ConfigError, match="contradict"):
        Endpoint(host="h", port=465, implicit_tls=True, tls="none")


# --- its files --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a client's certificate and key in several forms, and what is none."""
    folder, authority = tmp_path_factory.mktemp("identity"), trustme.CA()
    issued, other = authority.issue_cert("client.test"), authority.issue_cert("other.test")
    key, cert = issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()
    secret = load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSWORD.encode()),
    )
    old = load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(PASSWORD.encode()),
    )
    der = ssl.PEM_cert_to_DER_cert(cert.decode())
    for name, content in {
        "ca.pem": authority.cert_pem.bytes(),
        "both.pem": key + cert,
        "cert.pem": cert,
        "key.pem": key,
        "secret.pem": secret,
        "old_secret.pem": old,
        "other_key.pem": other.private_key_pem.bytes(),
        "cert.der": der,
        "empty.pem": b"",
        "text.pem": b"no certificate",
        "broken.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "broken_key.pem": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    }.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    return folder


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("ca_file", "none.pem", "cannot be read: No such file or directory"),
        ("ca_file", "folder", "is not a file"),
        ("ca_file", "empty.pem", "holds no certificate"),
        ("ca_file", "text.pem", "holds no certificate"),
        ("ca_file", "key.pem", "holds no certificate"),
        ("ca_file", "broken.pem", "holds a certificate that cannot be read"),
        ("ca_file", "cert.der", "is DER, not PEM: openssl x509 -inform der"),
        ("cert_file", "none.pem", "cannot be read: No such file or directory"),
        ("cert_file", "text.pem", "holds no certificate"),
        ("cert_file", "cert.der", "is DER"),
        (
            "cert_file",
            "cert.pem",
            "holds no private key (-----BEGIN PRIVATE KEY-----); name the file that does in key_file",
        ),
        ("key_file", "none.pem", "cannot be read: No such file or directory"),
        ("key_file", "cert.pem", "holds no private key"),
        ("key_file", "broken_key.pem", "cannot be used"),
        ("key_file", "other_key.pem", "does not belong to the certificate in"),
        ("key_file", "secret.pem", "is encrypted: give its password as key_password"),
        ("key_file", "old_secret.pem", "is encrypted: give its password as key_password"),
        ("key_password=wrong&key_file", "secret.pem", "is not opened by key_password"),
        ("key_password=wrong&key_file", "old_secret.pem", "is not opened by key_password"),
    ],
)
def test_a_file_that_cannot_serve_is_named_with_its_option(identity: Path, option: str, name: str, said: str) -> None:
    cert = f"ca_file={identity}/ca.pem&" if option != "ca_file" else ""  # which is sooner read than the system's
    cert += f"cert_file={identity}/cert.pem&" if option.endswith("key_file") else ""
    with pytest.raises(ConfigError) as caught:
        backend_from_url(f"smtps://h?{cert}{option}={identity}/{name}")
    text = str(caught.value)
    assert said in text
    assert f"'{identity}/{name}'" in text
    assert text.startswith(f"{option.rpartition('&')[2]}: ")
    assert "wrong" not in text


def test_an_unreadable_file_is_named(identity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for anybody but root."""

    def refused(*args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mailer.tls, "open", refused, raising=False)
    with pytest.raises(ConfigError, match=r"ca_file: '.*/cert.pem' cannot be read: Permission denied"):
        backend_from_url(f"smtps://h?ca_file={identity}/cert.pem")


def test_a_relay_with_a_file_that_cannot_serve_is_refused_too() -> None:
    with pytest.raises(ConfigError, match=r"ca_file: '/nowhere/ca\.pem' cannot be read"):
        backend_from_url("postmark://TOKEN@default?ca_file=/nowhere/ca.pem")


def test_settings_that_name_a_missing_file_fail_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"url: ca_file: '/nowhere/ca.pem' cannot be read: No such file"):
        Settings(url="smtps://h?ca_file=/nowhere/ca.pem", _env_file=None, _toml_file=None)


@pytest.mark.parametrize("query", ["cert_file={0}/both.pem", "cert_file={0}/cert.pem&key_file={0}/key.pem"])
def test_no_terminal_is_asked_and_what_serves_is_taken(identity: Path, query: str) -> None:
    assert backend_from_url(f"smtps://h?{query.format(identity)}&ca_file={identity}/ca.pem").endpoint.cert_file


def test_the_key_password_and_the_keys_path_are_shown_nowhere(identity: Path) -> None:
    where = f"smtps://h?ca_file={identity}/ca.pem&cert_file={identity}/cert.pem&key_file={identity}/secret.pem"
    where += f"&key_password={PASSWORD}"
    backend = backend_from_url(where)
    settings = Settings(url=where, _env_file=None, _toml_file=None)
    shown = [
        repr(backend),
        str(backend),
        backend.url,
        repr(backend.endpoint),
        repr(settings),
        settings.model_dump_json(),
    ]
    shown += [repr(settings.rows()), repr(copy.copy(backend.endpoint)), pickle.dumps(settings.url).decode("latin-1")]
    for text in shown:
        assert PASSWORD not in text
        assert "secret.pem" not in text
    assert "key_file=***&key_password=***" in str(backend)
    with pytest.raises(TypeError, match="keeps credentials and is not pickled"):
        pickle.dumps(backend.endpoint)


def test_a_password_that_is_wrong_is_in_no_frame_of_the_error(identity: Path) -> None:
    """Error reporters show the variables of a traceback's frames."""
    wrong = "wrong-" + PASSWORD
    with pytest.raises(ConfigError) as caught:
        backend_from_url(
            f"smtps://h?ca_file={identity}/ca.pem&cert_file={identity}/cert.pem&key_file={identity}/secret.pem"
            f"&key_password={wrong}"
        )
    chain: list[BaseException] = [caught.value]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    for error in chain:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals["__name__"].startswith("mailer."):
                assert wrong not in repr(frame.f_locals)


def test_a_ca_file_that_has_changed_is_read_anew(identity: Path, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes((identity / "ca.pem").read_bytes())
    first = mailer.tls.tls_context(ca_file=str(path))
    assert mailer.tls.tls_context(ca_file=str(path)) is first
    path.write_bytes((identity / "ca.pem").read_bytes() * 2)
    assert mailer.tls.tls_context(ca_file=str(path)) is not first


# --- pinned certificates ----------------------------------------------------------------------------------------------


def context_of(issued: trustme.LeafCert) -> tuple[ssl.SSLContext, str]:
    """A server's context, and its certificate's fingerprint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context, fingerprint_of(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))


PINS: dict[str, tuple[str, str, str | None]] = {
    # verify, what is pinned -> what is wrong
    "the_pin_is_enough": ("no", "{pin}", None),
    "one_of_several": ("no", SHA256 + ",{pin}", None),
    "another_certificate": ("no", SHA256, r"localhost:\d+: the certificate is not the pinned one; .* {pin}:"),
    "verified_too_and_is_not": ("yes", "{pin}", "localhost .*unknown CA"),
}


@pytest.mark.parametrize(("case", "implicit"), [*((case, False) for case in PINS), ("another_certificate", True)])
def test_a_pinned_certificate(world: World, case: str, implicit: bool) -> None:
    verify, fingerprint, wrong = PINS[case]
    context, pin = context_of(trustme.CA().issue_cert("other.test" if verify == "no" else "localhost"))
    script = "S: tls\n" + HI + EHLO + TO_THE_END if implicit else DELIVERED
    options = {"verify": verify, "fingerprint": fingerprint.format(pin=pin), "scheme": "smtps" if implicit else "smtp"}
    with ScriptedServer(script, tls=context) as peer:
        with world.mailer(url(peer, host="localhost", tls="required", **options)) as mailer:
            receipt, error = sent(mailer)
        assert peer.wait_idle()
    assert receipt.ok is (wrong is None)
    assert peer.connections == 1
    if wrong is not None:
        assert type(error.__cause__) is TlsError
        assert re.search(wrong.format(pin=pin), str(error.__cause__))
        assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
        assert not any("EHLO" in line or "MAIL" in line for line in peer.log[0][2:])  # nothing was said under that TLS


def test_a_pinned_and_verified_certificate_is_told_by_check(world: World, ca: trustme.CA, ca_file: str) -> None:
    context, pin = context_of(ca.issue_cert("localhost"))
    script = UP_TO_TLS + EHLOX + "S: 250-CERTIFICATE ours\nS: 250 TLS none\n" + QUIT
    for options, said in (
        ({"ca_file": ca_file}, "verified"),
        ({"ca_file": ca_file, "fingerprint": pin.lower().replace(":", "")}, "verified and pinned"),
        ({"verify": "no", "fingerprint": pin}, "pinned"),
        ({"verify": "no"}, "not checked"),
    ):
        with exchange(world, script, server={"tls": context}, host="localhost", tls="required", **options) as (
            _,
            mailer,
        ):
            facts = mailer.check().facts
        assert facts["certificate"] == f"{pin} ({said})"
        assert facts["tls"].startswith("TLSv1.3")  # what the server calls so is not


# --- our own certificate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "implicit"), [("TLSv1_2", False), ("TLSv1_3", False), ("TLSv1_3", True)])
def test_a_client_certificate(
    world: World, implicit: bool, version: str, identity: Path, ca: trustme.CA, ca_file: str
) -> None:
    """With TLS 1.3 the server refuses when the client has finished its handshake already (RFC 8446 section 4.4.2.4)."""
    context, _ = context_of(ca.issue_cert("localhost"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(identity / "ca.pem")
    script = "S: tls\n" + HI + EHLO + TO_THE_END if implicit else DELIVERED
    stranger = identity / "stranger.pem"
    if not stranger.exists():
        trustme.CA().issue_cert("client.test").private_key_and_cert_chain_pem.write_to_path(str(stranger))
    encrypted = {"cert_file": f"{identity}/cert.pem", "key_file": f"{identity}/secret.pem", "key_password": PASSWORD}
    for options, wrong in (
        (encrypted, ""),
        ({}, "wants a client certificate"),
        ({"cert_file": str(stranger)}, "does not trust the authority of our certificate"),
    ):
        options = {**options, "scheme": "smtps" if implicit else "smtp", "ca_file": ca_file}
        with ScriptedServer(script, tls=context) as peer:
            with world.mailer(url(peer, host="localhost", tls="required", **options)) as mailer:
                receipt, error = sent(mailer)
            assert peer.wait_idle()
        assert receipt.ok is (not wrong)
        if wrong:
            assert type(error.__cause__) is TlsError
            assert re.search(f"^localhost .*{wrong}", str(error.__cause__))
            assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]


def test_a_refusal_is_told_although_writing_met_it_first(
    world: World, identity: Path, ca: trustme.CA, ca_file: str
) -> None:
    """The server's alert waits to be read when the connection is gone for writing."""
    context, _ = context_of(ca.issue_cert("localhost"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(identity / "ca.pem")

    async def write_on() -> None:
        deadline = world.runtime.now() + 10
        stream = await Stream.connect(world.runtime, peer.host, peer.port, deadline=deadline)
        try:
            await stream.start_tls(mailer.tls.tls_context(ca_file=ca_file), "localhost", deadline=deadline)
            await world.runtime.wait_readable(stream._sock, deadline)
            peer.wait_idle()
            for _ in range(100):
                await stream.send_all(b"NOOP\r\n", deadline=deadline)
        finally:
            stream.close()

    with (
        ScriptedServer("S: tls\nS: hold\n", tls=context) as peer,
        pytest.raises(TlsError, match=r"localhost .*wants a client certificate"),
    ):
        world.run(write_on)


# --- versions and certificates that do not hold -----------------------------------------------------------------------


def day(offset: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=offset)


def only_1_2(ca: trustme.CA) -> ssl.SSLContext:
    context, _ = context_of(ca.issue_cert("localhost"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


REFUSED: dict[str, tuple[Callable[[trustme.CA], ssl.SSLContext], dict[str, str], str]] = {
    "f22_expired": (
        lambda ca: context_of(ca.issue_cert("localhost", not_before=day(-9), not_after=day(-1)))[0],
        {},
        "the certificate has expired",
    ),
    "f22_of_tomorrow": (
        lambda ca: context_of(ca.issue_cert("localhost", not_before=day(1), not_after=day(9)))[0],
        {},
        "the certificate is not yet valid",
    ),
    "f23_an_older_version_than_asked_for": (
        only_1_2,
        {"tls_min": "1.3"},
        r"the server offers no TLS version that is safe \(1.3 or later\)",
    ),
}


@pytest.mark.parametrize(("case", "tls"), [*((case, "required") for case in REFUSED), ("f22_expired", "opportunistic")])
def test_f22_f23_what_does_not_hold_is_refused_by_name_and_reason(
    world: World, case: str, tls: str, ca: trustme.CA, ca_file: str
) -> None:
    make, options, reason = REFUSED[case]
    with ScriptedServer(DELIVERED, tls=make(ca)) as peer:
        with world.mailer(url(peer, host="localhost", tls=tls, ca_file=ca_file, **options)) as mailer:
            receipt, error = sent(mailer)
        assert peer.wait_idle()
    assert type(error.__cause__) is TlsError
    assert re.search(rf"^localhost \(.*\): {reason}", str(error.__cause__))
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert peer.connections == 1  # and not again in clear


# --- one context, resumed sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_the_context_is_made_once_and_the_session_resumed(
    world: World, version: str, ca: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, pin = context_of(ca.issue_cert("localhost"))
    context.maximum_version = ssl.TLSVersion[version]
    made: list[ssl.SSLContext] = []
    make = mailer.tls._new_context
    monkeypatch.setattr(mailer.tls, "_new_context", lambda *args: made.append(make(*args)) or made[-1])
    mailer.tls._shared_context.cache_clear()
    options = {"host": "localhost", "tls": "required", "ca_file": ca_file, "fingerprint": pin, "max_messages": 1}
    with exchange(world, DELIVERED, server={"tls": context}, **options) as (peer, client):
        for _ in range(3):
            assert sent(client)[0].ok
    assert peer.connections == 3
    assert len(made) == 1
    assert context.session_stats()["hits"] == 2


def test_a_session_that_the_server_has_forgotten_costs_nothing(world: World, ca: trustme.CA, ca_file: str) -> None:
    contexts = [context_of(ca.issue_cert("localhost"))[0] for _ in range(2)]
    with ScriptedServer(DELIVERED, tls=contexts[0]) as peer:
        options = {"host": "localhost", "tls": "required", "ca_file": ca_file, "max_messages": 1}
        with world.mailer(url(peer, **options)) as client:
            assert sent(client)[0].ok
            peer._tls = contexts[1]  # restarted, with other keys
            assert sent(client)[0].ok
        assert peer.wait_idle()
    assert contexts[1].session_stats()["hits"] == 0


# --- STARTTLS under attack --------------------------------------------------------------------------------------------

EARLY: dict[str, str] = {
    # What comes with the answer to EHLO, before STARTTLS was sent.
    "early_220": "220 go\\r\\n",
    "early_220_with_clear_text_behind_it": "220 go\\r\\n250-evil\\r\\n250 AUTH PLAIN\\r\\n",
    "early_220_and_part_of_a_line": "220 go\\r\\n250-ev",
    "part_of_an_early_220": "22",
}


@pytest.mark.parametrize(
    ("case", "offer", "tls"),
    [
        *((case, "STARTTLS", "required") for case in EARLY),
        ("early_220_with_clear_text_behind_it", "STARTTLS", "opportunistic"),
        ("early_220", "DSN", "opportunistic"),  # F21: a 220 to a STARTTLS that was not offered is no answer to MAIL
        ("part_of_an_early_220", "DSN", "opportunistic"),
    ],
)
def test_f16_f21_check_28_an_early_220_aborts(
    world: World, case: str, offer: str, tls: str, server_tls: ssl.SSLContext
) -> None:
    early = f"S: bytes b'250-hello\\r\\n250 {offer}\\r\\n{EARLY[case]}'\n"
    with exchange(world, HI + "C: EHLO *\n" + early + "C: <eof>\n", tls=tls, server={"tls": server_tls}) as (
        peer,
        client,
    ):
        receipt, error = sent(client)
    assert type(error.__cause__) is ProtocolError
    assert f"spoke out of turn before {'MAIL' if offer == 'DSN' else 'STARTTLS'}" in str(error.__cause__)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert peer.log == [["EHLO [127.0.0.1]"]]


@pytest.mark.parametrize(
    ("injected", "tls"),
    [("250 evil", "required"), ("250-evil\nS: 250 AUTH", "opportunistic"), ("354 go", "opportunistic")],
)
def test_f16_a_line_injected_in_front_of_the_220_aborts(
    world: World, injected: str, tls: str, server_tls: ssl.SSLContext
) -> None:
    """It is neither yes nor no, so nothing is done without TLS on its word either."""
    script = HI + EHLOX + f"S: 250 STARTTLS\nC: STARTTLS\nS: {injected}\nS: 220 go\nC: <eof>\n"
    with exchange(world, script, login="user:secret", tls=tls, server={"tls": server_tls}) as (peer, client):
        receipt, error = sent(client)
    assert type(error.__cause__) is ProtocolError
    assert f"answered {injected[:3]} to STARTTLS" in str(error.__cause__)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert peer.log == [["EHLO [127.0.0.1]", "STARTTLS"]]


def test_f16_the_220_that_answers_an_injected_one_is_no_handshake(world: World, server_tls: ssl.SSLContext) -> None:
    """The attacker's 220 lies in front; the server's own comes when the handshake has begun."""
    script = HI + EHLOX + "S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nC: <bytes 5>\nS: 220 go\nS: hold\n"
    with exchange(world, script, host="localhost", tls="required", server={"tls": server_tls}) as (_, client):
        _, error = sent(client)
    assert type(error.__cause__) is TlsError


def test_f19_a_handshake_that_breaks_off_is_not_repeated_in_clear_if_opportunistic(
    world: World, server_tls: ssl.SSLContext
) -> None:
    """Opportunistic is about what the server offers: one that offered TLS is held to it."""
    script = HI + EHLOX + "S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nC: <bytes 5>\nS: close\n"
    with exchange(world, script, host="localhost", tls="opportunistic", server={"tls": server_tls}) as (peer, client):
        receipt, error = sent(client)
    assert type(error.__cause__) is TlsError
    assert re.search(r"localhost .*closed the connection during the TLS handshake", str(error.__cause__))
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert peer.connections == 1


def test_f16_check_28_clear_text_behind_the_220_aborts_if_opportunistic_too(
    world: World, server_tls: ssl.SSLContext
) -> None:
    script = HI + EHLOX + "S: 250 STARTTLS\nC: STARTTLS\nS: bytes b'220 go\\r\\n250 evil\\r\\n'\nC: <eof>\n"
    with exchange(world, script, tls="opportunistic", server={"tls": server_tls}) as (peer, client):
        receipt, error = sent(client)
    assert type(error.__cause__) is TlsError
    assert "injected" in str(error.__cause__)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert peer.connections == 1


def test_f5_a_port_that_is_silent_may_want_tls_from_the_first_byte(world: World) -> None:
    with SmtpServer(implicit_tls=True) as server:
        assert server.url.startswith("smtps://")
        with world.mailer(f"smtp://127.0.0.1:{server.port}?greeting_timeout=0.05", retry=None) as mailer:
            health = mailer.check()
    assert isinstance(health.cause, DeadlineExceeded)
    assert "no answer to the connection in time; a port that speaks TLS from the first byte" in str(health.cause)
