"""SASL mechanisms: the RFCs' own vectors, servers that cheat, and real exchanges with an independent server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from exchange import sent
from hypothesis import given
from hypothesis import strategies as st
from made_messages import DATE
from worlds import World

from mailer.backends.smtp import SmtpBackend
from mailer.errors import AuthError
from mailer.smtp.auth import (
    MECHANISMS,
    ChannelBinding,
    CramMd5,
    Credentials,
    OAuthBearer,
    Scram,
    XOAuth2,
    mechanism_for,
    refusal_of,
)
from mailer.smtp.binding import server_end_point
from mailer.smtp.endpoint import Endpoint
from mailer.smtp.saslprep import saslprep

PASSWORD = "pencil"

# --- vectors ----------------------------------------------------------------------------------------------------------


def test_check_35_cram_md5_is_rfc_2195() -> None:
    cram = CramMd5("tim", "tanstaaftanstaaf")
    assert cram.initial is None
    assert cram.answer(b"<1896.697170952@postoffice.reston.mci.net>") == b"tim b913a602c7eda7a495b4e6e7334d3890"
    assert cram.answer(b"<again@x>") is None


VECTORS = {
    # RFC 5802 section 5
    "SCRAM-SHA-1": (
        "fyko+d2lbbFgONRv9qkxdawL",
        b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    # RFC 7677 section 3
    "SCRAM-SHA-256": (
        "rOprNGfwEbeRWgbNEkqO",
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_check_36_scram_is_the_rfcs(name: str) -> None:
    nonce, first, server_first, final, server_final = VECTORS[name]
    scram = Scram(name, "user", PASSWORD, nonce=nonce)
    assert scram.initial == first
    assert scram.answer(server_first) == final
    with pytest.raises(AuthError, match="without proving"):
        scram.confirm()
    assert scram.answer(server_final) == b""
    scram.confirm()
    assert scram.answer(b"more") is None


def started(name: str = "SCRAM-SHA-256") -> tuple[Scram, bytes, bytes]:
    nonce, _, server_first, _, server_final = VECTORS[name]
    return Scram(name, "user", PASSWORD, nonce=nonce), server_first, server_final


def test_f31_a_forged_signature_is_refused() -> None:
    scram, server_first, server_final = started()
    scram.answer(server_first)
    forged = bytearray(base64.b64decode(server_final[2:]))
    forged[0] ^= 1
    with pytest.raises(AuthError, match="does not know the password"):
        scram.answer(b"v=" + base64.b64encode(forged))
    with pytest.raises(AuthError):
        scram.confirm()


@pytest.mark.parametrize("answer", [b"", b"v=", b"v=!!!!", b"x=1", b"v", b"v=AAAA", b"\xff\xfe", b"e=invalid-proof"])
def test_a_server_that_proves_nothing_is_not_believed(answer: bytes) -> None:
    scram, server_first, _ = started()
    scram.answer(server_first)
    with pytest.raises(AuthError):
        scram.answer(answer)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ((b"r=rOprNGfwEbeRWgbNEkqO", b"r=xOprNGfwEbeRWgbNEkqO"), "nonce"),
        ((b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", b""), "nonce"),
        ((b"i=4096", b"i=4095"), "iterations"),
        ((b"i=4096", b"i=1"), "iterations"),
        ((b"i=4096", b"i=2000001"), "iterations"),
        ((b"i=4096", b"i=99999999999999999999"), "iterations"),
        ((b"i=4096", b"i=-4096"), "iterations"),
        ((b"i=4096", b"i=\xd9\xa4096"), "iterations"),
        ((b",i=4096", b""), "iterations"),
        ((b"s=W22ZaJ0SNY7soEsUEjb6gQ==", b"s="), "salt"),
        ((b"s=W22ZaJ0SNY7soEsUEjb6gQ==", b"s=!"), "salt"),
        ((b"r=rO", b"m=ext,r=rO"), "extension"),
    ],
)
def test_a_first_answer_that_cannot_be_is_refused(change: tuple[bytes, bytes], match: str) -> None:
    scram, server_first, _ = started()
    assert change[0] in server_first
    with pytest.raises(AuthError, match=match):
        scram.answer(server_first.replace(*change))


@pytest.mark.parametrize(
    ("said", "shown"), [(b"e=invalid-proof", "invalid-proof"), (b"e=pencil", "other-error"), (b"i=pencil,r=", "nonce")]
)
def test_only_words_of_the_rfc_are_repeated(said: bytes, shown: str) -> None:
    with pytest.raises(AuthError, match=shown) as caught:
        started()[0].answer(said)
    assert "pencil" not in str(caught.value)


@given(st.binary(max_size=200))
def test_junk_is_never_a_success(junk: bytes) -> None:
    scram, server_first, server_final = started()
    for challenge in (junk, server_first):
        try:
            scram.answer(challenge)
        except AuthError:
            break
    if junk != server_final:
        with pytest.raises(AuthError):
            scram.answer(junk)
            scram.confirm()


def test_user_names_are_escaped_and_nonces_fresh() -> None:
    first = Scram("SCRAM-SHA-1", "a=b,c", "p").initial
    assert first is not None
    assert first.startswith(b"n,,n=a=3Db=2Cc,r=")
    nonces = {Scram("SCRAM-SHA-1", "u", "p").initial for _ in range(100)}
    assert len(nonces) == 100


def test_check_38_oauth_initial_responses() -> None:
    # RFC 7628 section 4.1, by its fields
    bearer = OAuthBearer("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143)
    assert base64.b64encode(bearer.initial or b"") == (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk5"
        b"2YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    assert bearer.answer(b'{"status":"invalid_token"}') == b"\x01"
    assert bearer.answer(b"") is None
    # Google's documentation of XOAUTH2
    xoauth2 = XOAuth2("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    assert base64.b64encode(xoauth2.initial or b"") == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )
    assert xoauth2.answer(b'{"status":"401"}') == b""
    assert xoauth2.answer(b"") is None


@pytest.mark.parametrize(("user", "token"), [("a\x01b", "t"), ("u", "t\x01"), ("u", ""), ("u", "a b"), ("u", "tök")])
def test_what_would_break_an_oauth_response_is_refused(user: str, token: str) -> None:
    with pytest.raises(AuthError) as caught:
        XOAuth2(user, token)
    assert token not in str(caught.value) or len(token) < 2


def test_what_a_token_server_says_is_read_leniently() -> None:
    assert refusal_of(b'{"status":"401","schemes":"bearer"}') == "401"
    assert refusal_of(b'{"error":"invalid_token\\n"}') == "invalid_token\\n"
    for junk in (b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000):
        assert refusal_of(junk) == ""


# --- SASLprep (RFC 4013 section 3) ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_text", "prepared"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_check_36_saslprep_is_rfc_4013(given_text: str, prepared: str) -> None:
    assert saslprep(given_text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "", "\u00ad", "a\u0627", "\ue000", "\ufdd0", "\u200ex"])
def test_what_saslprep_forbids_is_an_error_that_shows_nothing(text: str) -> None:
    with pytest.raises(AuthError) as caught:
        saslprep(text)
    assert not text or text not in str(caught.value)


# --- channel bindings -------------------------------------------------------------------------------------------------


def certificate(key: Any, algorithm: Any, **more: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), DATE, DATE)
    from cryptography.hazmat.primitives.serialization import Encoding

    return builder.sign(key, algorithm, **more).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("algorithm", "wanted"), [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")]
)
def test_check_37_end_point_uses_the_certificates_own_hash(algorithm: Any, wanted: str) -> None:
    rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    pss = padding.PSS(padding.MGF1(algorithm), 32)
    for data in (
        certificate(rsa_key, algorithm),
        certificate(ec_key, algorithm),
        certificate(rsa_key, algorithm, rsa_padding=pss),
    ):
        assert server_end_point(data) == hashlib.new(wanted, data).digest()


def test_a_certificate_without_a_hash_gives_no_binding() -> None:
    assert server_end_point(certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None


@given(st.binary(max_size=100))
def test_junk_is_no_certificate(junk: bytes) -> None:
    assert server_end_point(junk) is None


# --- choosing ---------------------------------------------------------------------------------------------------------

BINDING = ChannelBinding("tls-server-end-point", b"x" * 32)


def chosen(offered: str, only: str = "", **credentials: Any) -> str:
    fields = {"username": "u", "password": "p", "binding": BINDING, **credentials}
    return mechanism_for(offered.split(), Credentials(**fields), only).name


def test_the_strongest_in_common_wins() -> None:
    offered = list(MECHANISMS)
    order = []
    while offered:
        try:
            order.append(chosen(" ".join(offered)))
        except AuthError:
            break
        offered.remove(order[-1])
    assert order == [
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "CRAM-MD5",
        "PLAIN",
        "LOGIN",
    ]
    assert offered == ["OAUTHBEARER", "XOAUTH2"]
    assert chosen("PLAIN XOAUTH2 OAUTHBEARER", token="t", password=None) == "OAUTHBEARER"
    assert chosen("PLAIN XOAUTH2", token="t", password=None) == "XOAUTH2"
    assert chosen("SCRAM-SHA-256-PLUS SCRAM-SHA-1", binding=None) == "SCRAM-SHA-1"
    assert chosen("SCRAM-SHA-256 PLAIN", "PLAIN") == "PLAIN"


@pytest.mark.parametrize(
    ("offered", "only", "credentials", "match"),
    [
        ("GSSAPI NTLM", "", {}, "only GSSAPI, NTLM; we have SCRAM-SHA-256"),
        ("", "", {}, "no authentication"),
        ("XOAUTH2", "", {}, "only XOAUTH2"),
        ("PLAIN", "", {"token": "t", "password": None}, "we have OAUTHBEARER, XOAUTH2"),
        ("PLAIN LOGIN", "SCRAM-SHA-256", {}, "we have SCRAM-SHA-256"),
    ],
)
def test_f25_nothing_in_common_is_an_error_that_says_so(
    offered: str, only: str, credentials: dict[str, Any], match: str
) -> None:
    with pytest.raises(AuthError, match=match):
        chosen(offered, only, **credentials)


def test_check_37_the_flag_tells_what_was_offered() -> None:
    def flag(offered: str, binding: ChannelBinding | None) -> bytes:
        credentials = Credentials(username="u", password="p", binding=binding)
        return (mechanism_for(offered.split(), credentials).initial or b"").partition(b",")[0]

    assert flag("SCRAM-SHA-256 SCRAM-SHA-256-PLUS", BINDING) == b"p=tls-server-end-point"
    assert flag("SCRAM-SHA-256", BINDING) == b"y"
    assert flag("SCRAM-SHA-256", None) == b"n"
    assert flag("SCRAM-SHA-256 SCRAM-SHA-256-PLUS", None) == b"n"


def test_credentials_show_nothing() -> None:
    shown = repr(Credentials(username="u", password="secret-p", token="secret-t", binding=BINDING))
    assert "secret" not in shown
    assert "xxx" not in shown


# --- a server of another make -----------------------------------------------------------------------------------------


class OnFreePort(Controller):
    """A controller that looks up the port that it was given."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Keeper:
    """The server's half of the mechanisms, written from the RFCs on its own; aiosmtpd carries it.

    Attributes:
        fault: "" or what it does wrong.
        logins: (mechanism, user) of those that succeeded.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.fault = ""
        self.logins: list[tuple[str, str]] = []
        self.mails = 0
        self.end_point = b""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails += 1
        return "250 2.0.0 kept"

    async def auth_CRAM__MD5(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        said = await server.challenge_auth("<1.2@mx.test>", encode_to_b64=True)
        user, _, digest = said.partition(b" ")
        right = hmac.new(PASSWORD.encode(), b"<1.2@mx.test>", "md5").hexdigest().encode() == digest
        return self._result("CRAM-MD5", user, right)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        user, auth, *_ = base64.b64decode(args[1]).split(b"\x01")
        if auth != b"auth=Bearer good":
            answer = await server.challenge_auth(json.dumps({"status": "401"}), encode_to_b64=True)
            assert answer == b""
            return AuthResult(success=False, handled=False)
        return self._result("XOAUTH2", user.removeprefix(b"user="), True)

    async def auth_SCRAM__SHA__256(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._scram(server, args, b"")

    async def auth_SCRAM__SHA__256__PLUS(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._scram(server, args, self.end_point)

    async def _scram(self, server: SMTP, args: list[str], binding: bytes) -> AuthResult:
        first = base64.b64decode(args[1]).decode()
        flag, _, bare = first.split(",", 2)
        fields = dict(part.split("=", 1) for part in bare.split(","))
        nonce, salt, count = fields["r"] + "3rfcNHYJY1ZVvWVs7j", b"some salt", 5000
        server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={count}"
        final = (await server.challenge_auth(server_first, encode_to_b64=True)).decode()
        without_proof, _, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, count)
        stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        said = f"{bare},{server_first},{without_proof}".encode()
        signature = hmac.digest(stored, said, "sha256")
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        bound = base64.b64decode(without_proof.partition("c=")[2].partition(",")[0])
        right = hashlib.sha256(key).digest() == stored and bound == f"{flag},,".encode() + binding
        if not right:
            return AuthResult(success=False, handled=False)
        proves = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")
        if self.fault == "forged":
            proves = bytes([proves[0] ^ 1]) + proves[1:]
        if self.fault != "silent":
            await server.challenge_auth(f"v={base64.b64encode(proves).decode()}", encode_to_b64=True)
        return self._result("SCRAM-SHA-256" + ("-PLUS" if binding else ""), fields["n"].encode(), True)

    def _result(self, mechanism: str, user: bytes, right: bool) -> AuthResult:
        if right:
            self.logins.append((mechanism, user.decode()))
        return AuthResult(success=right, handled=False)


@pytest.fixture
def keeper(server_tls: ssl.SSLContext, ca: Any) -> Iterator[tuple[Keeper, Controller]]:
    handler = Keeper(server_tls)
    controller = OnFreePort(
        handler,
        hostname="127.0.0.1",
        port=0,
        tls_context=server_tls,
        require_starttls=True,
        auth_required=True,
        auth_exclude_mechanism=["PLAIN", "LOGIN"],
    )
    controller.start()
    try:
        yield handler, controller
    finally:
        controller.stop()


class Fixed:
    """A token source that gives what it has, the next when the last is stale."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked: list[str | None] = []

    async def token(self, runtime: Any, deadline: float, *, stale: str | None = None) -> str:
        self.asked.append(stale)
        if stale is not None and len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.tokens[0]


def backend(controller: Controller, ca_file: str, **fields: Any) -> SmtpBackend:
    port = controller.port
    return SmtpBackend(
        Endpoint(host="127.0.0.1", port=port, tls="required", ca_file=ca_file, username="user", **fields)
    )


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_a_login_with_each_mechanism(world: World, keeper: Any, ca_file: str, mechanism: str) -> None:
    handler, controller = keeper
    handler.end_point = end_point_of(controller, ca_file)
    with world.mailer(backend(controller, ca_file, password=PASSWORD, auth=mechanism)) as mailer:
        receipt, error = sent(mailer)
    assert error is None
    assert receipt.ok
    assert handler.logins == [(mechanism, "user")]


def end_point_of(controller: Controller, ca_file: str) -> bytes:
    """tls-server-end-point as cryptography computes it, from the certificate that the server shows."""
    import smtplib

    with smtplib.SMTP("127.0.0.1", controller.port, timeout=30) as client:
        client.starttls(context=ssl.create_default_context(cafile=ca_file))
        assert isinstance(client.sock, ssl.SSLSocket)
        data = client.sock.getpeercert(binary_form=True)
    assert data is not None
    algorithm = x509.load_der_x509_certificate(data).signature_hash_algorithm
    assert algorithm is not None
    return hashlib.new(algorithm.name, data).digest()


def test_the_strongest_is_taken_from_a_real_offer(world: World, keeper: Any, ca_file: str) -> None:
    handler, controller = keeper
    handler.end_point = end_point_of(controller, ca_file)
    with world.mailer(backend(controller, ca_file, password=PASSWORD)) as mailer:
        assert sent(mailer)[0].ok
    assert handler.logins == [("SCRAM-SHA-256-PLUS", "user")]


def test_another_certificate_in_the_middle_is_noticed_by_the_server(world: World, keeper: Any, ca_file: str) -> None:
    handler, controller = keeper
    handler.end_point = b"of another certificate"
    with world.mailer(backend(controller, ca_file, password=PASSWORD)) as mailer:
        receipt, error = sent(mailer)
    assert isinstance(error.__cause__, AuthError)
    assert (handler.logins, handler.mails, len(receipt.deferred)) == ([], 0, 1)


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "SCRAM-SHA-256"])
def test_f26_a_wrong_password_is_tried_once(world: World, keeper: Any, ca_file: str, mechanism: str) -> None:
    handler, controller = keeper
    with world.mailer(backend(controller, ca_file, password="wrong-secret", auth=mechanism)) as mailer:
        receipt, error = sent(mailer)
    assert isinstance(error.__cause__, AuthError)
    assert "wrong-secret" not in str(error) + str(error.__cause__)
    assert (handler.logins, handler.mails, len(receipt.deferred)) == ([], 0, 1)


@pytest.mark.parametrize("fault", ["forged", "silent"])
def test_f31_a_server_without_the_password_gets_no_mail(world: World, keeper: Any, ca_file: str, fault: str) -> None:
    handler, controller = keeper
    handler.fault = fault
    with world.mailer(backend(controller, ca_file, password=PASSWORD, auth="SCRAM-SHA-256")) as mailer:
        _, error = sent(mailer)
    assert isinstance(error.__cause__, AuthError)
    assert handler.mails == 0


def test_check_38_a_stale_token_is_refreshed_once(world: World, keeper: Any, ca_file: str) -> None:
    handler, controller = keeper
    tokens = Fixed("stale", "good")
    with world.mailer(backend(controller, ca_file, tokens=tokens)) as mailer:
        assert sent(mailer)[0].ok
    assert handler.logins == [("XOAUTH2", "user")]
    assert tokens.asked == [None, "stale"]


def test_check_38_tokens_that_stay_bad_are_an_account_error(world: World, keeper: Any, ca_file: str) -> None:
    handler, controller = keeper
    tokens = Fixed("bad-token-1", "bad-token-2")
    with world.mailer(backend(controller, ca_file, tokens=tokens)) as mailer:
        receipt, error = sent(mailer)
    assert isinstance(error.__cause__, AuthError)
    assert "401" in str(error.__cause__)
    assert "bad-token" not in str(error) + str(error.__cause__) + repr(receipt)
    assert tokens.asked == [None, "bad-token-1"]
    assert handler.mails == 0
