"""Commands in both directions, and capabilities: RFC 5321 section 4.1 and the extensions' parameters."""

from __future__ import annotations

import base64

import pytest
from cases import each
from hypothesis import given
from hypothesis import strategies as st

from mailer.errors import MessageError, ProtocolError
from mailer.smtp import command
from mailer.smtp.capabilities import Capabilities
from mailer.smtp.command import Command, helo_name, parse_command, parse_path, xtext, xtext_decoded
from mailer.smtp.reply import Reply

# ---- What a client writes ----


@each(
    ("written", "expected"),
    [
        (command.ehlo("mail.example.org"), b"EHLO mail.example.org\r\n"),
        (command.helo("[192.0.2.1]"), b"HELO [192.0.2.1]\r\n"),
        (command.lhlo("[IPv6:2001:db8::1]"), b"LHLO [IPv6:2001:db8::1]\r\n"),
        (command.starttls(), b"STARTTLS\r\n"),
        (command.data(), b"DATA\r\n"),
        (command.rset(), b"RSET\r\n"),
        (command.noop(), b"NOOP\r\n"),
        (command.quit(), b"QUIT\r\n"),
        (command.cancel(), b"*\r\n"),
        (command.bdat(0, last=True), b"BDAT 0 LAST\r\n"),
        (command.bdat(86), b"BDAT 86\r\n"),
        (command.auth("LOGIN"), b"AUTH LOGIN\r\n"),
        (command.auth("plain", b"\0user\0pass"), b"AUTH PLAIN AHVzZXIAcGFzcw==\r\n"),
        (command.auth("EXTERNAL", b""), b"AUTH EXTERNAL =\r\n"),
        (command.response(b"user"), b"dXNlcg==\r\n"),
        (command.response(b""), b"\r\n"),
        (command.mail(None), b"MAIL FROM:<>\r\n"),
        (command.mail("a@b.test"), b"MAIL FROM:<a@b.test>\r\n"),
        (command.mail('"a b"@c.test'), b'MAIL FROM:<"a b"@c.test>\r\n'),
        (command.mail('"a>b<@\\""@c.test'), b'MAIL FROM:<"a>b<@\\""@c.test>\r\n'),
        (command.mail("a@[192.0.2.1]"), b"MAIL FROM:<a@[192.0.2.1]>\r\n"),
        (command.mail("a@[IPv6:2001:db8::1]"), b"MAIL FROM:<a@[IPv6:2001:db8::1]>\r\n"),
        (
            command.mail("jösé@b.test", size=123, body="8bitmime", smtputf8=True),
            "MAIL FROM:<jösé@b.test> SIZE=123 BODY=8BITMIME SMTPUTF8\r\n".encode(),
        ),
        (
            command.mail("a@b", auth="", ret="hdrs", envid="q=1 +x"),
            b"MAIL FROM:<a@b> AUTH=<> RET=HDRS ENVID=q+3D1+20+2Bx\r\n",
        ),
        (command.mail("a@b", auth="e+mc2@c"), b"MAIL FROM:<a@b> AUTH=e+2Bmc2@c\r\n"),
        (
            command.mail("a@b", extra={"REQUIRETLS": None, "BY": "120;R", "MT-PRIORITY": "-9"}),
            b"MAIL FROM:<a@b> REQUIRETLS BY=120;R MT-PRIORITY=-9\r\n",
        ),
        (command.rcpt("a@b.test"), b"RCPT TO:<a@b.test>\r\n"),
        (command.rcpt("postmaster"), b"RCPT TO:<postmaster>\r\n"),
        (
            command.rcpt("a@b", notify=["success", "FAILURE"], orcpt="x+y@b"),
            b"RCPT TO:<a@b> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2By@b\r\n",
        ),
        (command.rcpt("a@b", notify="never"), b"RCPT TO:<a@b> NOTIFY=NEVER\r\n"),
        (command.rcpt("a@b", orcpt="ö+@b"), b"RCPT TO:<a@b> ORCPT=utf-8;\\x{F6}\\x{2B}@b\r\n"),
        (
            command.rcpt("ö@b", orcpt="ö+@b", smtputf8=True),
            "RCPT TO:<ö@b> ORCPT=utf-8;ö\\x{2B}@b\r\n".encode(),
        ),
    ],
)
def test_check_14_commands_are_exact_bytes(written: bytes, expected: bytes) -> None:
    assert written == expected


UNSAFE = ["\r\n", "\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028", " ", "é", "\ud800"]


@each("unsafe", UNSAFE)
@each(
    "build",
    [
        lambda text: command.ehlo(text),
        lambda text: command.helo(text),
        lambda text: command.lhlo(text),
        lambda text: command.auth(text),
        lambda text: command.mail(text),
        lambda text: command.mail("a@b", body=text),
        lambda text: command.mail("a@b", ret=text),
        lambda text: command.mail("a@b", extra={text: None}),
        lambda text: command.mail("a@b", extra={"X": text}),
        lambda text: command.rcpt(text),
        lambda text: command.rcpt("a@b", notify=[text]),
    ],
)
def test_nothing_breaks_out_of_its_argument(build, unsafe: str) -> None:  # type: ignore[no-untyped-def]
    for around in ("{}", "a{}b", "a@b{}", "{}a@b"):
        with pytest.raises(MessageError) as raised:
            build(around.format(unsafe))
        assert raised.value.field, around


@each("unsafe", [char for char in UNSAFE if char not in (" ", "é")])
@each(
    "build",
    [
        lambda text: command.mail(text, smtputf8=True),
        lambda text: command.rcpt(text, smtputf8=True),
        lambda text: command.mail(f'"{text}"@b'),
        lambda text: command.mail("a@b", envid=text),
        lambda text: command.mail("a@b", auth=text),
        lambda text: command.rcpt("a@b", orcpt=text),
        lambda text: command.rcpt("a@b", orcpt=text, smtputf8=True),
        lambda text: command.mail("a@b", smtputf8=True, extra={"X": text}),
    ],
)
def test_no_control_character_passes_under_xtext_or_smtputf8(build, unsafe: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MessageError):
        build(f"a{unsafe}b")


@pytest.mark.parametrize(
    "path",
    ["", "a@b>", "<a@b", "a b@c", "a@b c", "@c", "a@", "a@b@c", '"a@b', "a@b> SIZE=1", "a,b@c", "@x:a@b", '"\\"@b'],
)
def test_what_is_no_address_is_refused(path: str) -> None:
    with pytest.raises(MessageError, match=r"^sender"):
        command.mail(path)
    with pytest.raises(MessageError, match=r"^recipient"):
        command.rcpt(path)


@pytest.mark.parametrize(
    ("ok", "too_long"),
    [
        ("a" * 64 + "@b", "a" * 65 + "@b"),
        ("a@" + "b" * 252, "a@" + "b" * 253),
        ("ö" * 32 + "@b", "ö" * 33 + "@b"),
    ],
)
def test_length_limits_are_exact_and_in_octets(ok: str, too_long: str) -> None:
    assert command.rcpt(ok, smtputf8=True).endswith(b">\r\n")
    with pytest.raises(MessageError, match="more than"):
        command.rcpt(too_long, smtputf8=True)


def test_the_command_line_limit_grows_with_its_parameters() -> None:
    longest = "a" * 64 + "@" + "b" * 189
    assert len(command.rcpt(longest, orcpt="x" * 480)) > 512
    with pytest.raises(MessageError, match="are allowed"):
        command.rcpt(longest, orcpt="x" * 1000)
    with pytest.raises(MessageError, match="512 are allowed"):
        command.mail(None, extra={"X": "y" * 500})
    with pytest.raises(MessageError, match="512 are allowed"):
        command.ehlo("x" * 600)


def test_check_31_an_auth_line_holds_12288_bytes() -> None:
    assert len(command.response(b"x" * 9213)) == 12286
    with pytest.raises(MessageError):
        command.response(b"x" * 9216)
    with pytest.raises(MessageError):
        command.auth("PLAIN", b"x" * 9213)


@pytest.mark.parametrize(
    "build",
    [
        lambda: command.mail("a@b", size=-1),
        lambda: command.bdat(-1),
        lambda: command.mail("a@b", envid=""),
        lambda: command.mail("a@b", envid="x" * 101),
        lambda: command.mail("a@b", envid="=" * 34),
        lambda: command.mail("a@b", size=1, extra={"size": "2"}),
        lambda: command.mail("a@b", extra={"X": ""}),
        lambda: command.mail("a@b", extra={"X": "a=b"}),
        lambda: command.rcpt("a@b", notify=[]),
        lambda: command.rcpt("a@b", notify=["NEVER", "DELAY"]),
        lambda: command.rcpt("a@b", notify=["DELAY", "DELAY"]),
        lambda: command.auth(""),
        lambda: command.auth("X" * 21),
    ],
)
def test_parameters_outside_their_grammar_are_refused(build) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MessageError):
        build()


# ---- HELO name ----


@pytest.mark.parametrize(
    ("hostname", "ip", "expected"),
    [
        ("mail.example.org", "192.0.2.1", "mail.example.org"),
        ("mail.example.org.", "192.0.2.1", "mail.example.org"),
        ("3com.example", "192.0.2.1", "3com.example"),
        ("laptop", "192.0.2.1", "[192.0.2.1]"),
        ("my_host.example.org", "192.0.2.1", "[192.0.2.1]"),
        ("my host.example.org", "192.0.2.1", "[192.0.2.1]"),
        ("bücher.example.org", "2001:db8::1", "[IPv6:2001:db8::1]"),
        ("-a.example.org", "192.0.2.1", "[192.0.2.1]"),
        ("a-.example.org", "192.0.2.1", "[192.0.2.1]"),
        ("a..example.org", "192.0.2.1", "[192.0.2.1]"),
        ("x" * 64 + ".example.org", "192.0.2.1", "[192.0.2.1]"),
        (".".join(["x" * 60] * 5), "192.0.2.1", "[192.0.2.1]"),
        ("a.b\r\nMAIL", "192.0.2.1", "[192.0.2.1]"),
        ("", "fe80::1%eth0", "[IPv6:fe80::1]"),
        ("", "::ffff:192.0.2.1", "[192.0.2.1]"),
        ("192.0.2.7", "192.0.2.1", "[192.0.2.7]"),
        ("[IPv6:2001:db8::7]", "192.0.2.1", "[IPv6:2001:db8::7]"),
    ],
)
def test_check_08_helo_name_is_a_domain_or_an_address_literal(hostname: str, ip: str, expected: str) -> None:
    assert helo_name(hostname, ip) == expected
    assert command.ehlo(expected)


def test_check_08_helo_name_defaults_to_loopback_and_needs_some_address() -> None:
    assert helo_name("laptop") == "[127.0.0.1]"
    with pytest.raises(MessageError):
        helo_name("laptop", "nowhere")


# ---- Capabilities ----


def ehlo_reply(*lines: str) -> Reply:
    return Reply(250, ("mx.test at your service", *lines))


def test_keyword_oddities_are_read() -> None:
    """F13."""
    offered = Capabilities.parse(
        Reply.parse(
            b"250-mx.test\r\n250-AUTH=LOGIN\r\n250-auth plain cram-md5\r\n250-AUTH LOGIN\r\n"
            b"250-SIZE\r\n250 8bitmime \r\n"
        )
    )
    assert offered.auth == ("LOGIN", "PLAIN", "CRAM-MD5")
    assert offered.keywords["AUTH"] == "LOGIN PLAIN CRAM-MD5"
    assert offered.eightbitmime
    assert offered.size == 0
    assert not offered.pipelining


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ((), None),
        (("SIZE",), 0),
        (("SIZE 0",), 0),
        (("size 1000 ",), 1000),
        (("SIZE\t1000",), 1000),
        (("SIZE abc",), 0),
        (("SIZE -5",), 0),
        (("SIZE 1e3",), 0),
        (("SIZE " + "9" * 21,), 0),
        (("SIZE ²",), 0),
    ],
)
def test_size_is_a_number_or_no_limit_or_not_offered(lines: tuple[str, ...], size: int | None) -> None:
    assert Capabilities.parse(ehlo_reply(*lines)).size == size


def test_every_keyword_has_its_name() -> None:
    words = {
        "eightbitmime": "8BITMIME",
        "smtputf8": "SMTPUTF8",
        "pipelining": "Pipelining",
        "chunking": "CHUNKING",
        "starttls": "starttls",
        "dsn": "DSN",
        "enhancedstatuscodes": "ENHANCEDSTATUSCODES",
    }
    for name, word in words.items():
        offered = Capabilities.parse(ehlo_reply(word))
        assert [other for other in words if getattr(offered, other)] == [name]
        assert offered.has(word.lower())


def test_what_is_no_keyword_is_ignored() -> None:
    odd = ["", " ", "x" * 1000, "-DSN", "DSN\x1b", "D\x00SN", "D_SN", "(DSN)", "SIZE=5", "\\xff", "X-OK a b"]
    assert dict(Capabilities.parse(ehlo_reply(*odd)).keywords) == {"X-OK": "a b"}


def test_the_greeting_line_offers_nothing() -> None:
    assert Capabilities.parse(Reply(250, ("STARTTLS",))) == Capabilities()
    assert Capabilities().size is None
    assert Capabilities().auth == ()


def test_odd_mechanisms_are_ignored() -> None:
    assert Capabilities.parse(ehlo_reply("AUTH PLAIN x" + "y" * 30 + " LO;GIN plain")).auth == ("PLAIN",)


# ---- What a server reads ----


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"QUIT\r\n", Command("QUIT")),
        (b"quit \t\r\n", Command("QUIT")),
        (b"noop", Command("NOOP")),
        (b"mail FROM:<a@b>  \n", Command("MAIL", "FROM:<a@b>")),
        ("RCPT TO:<ö@b>\r\n".encode(), Command("RCPT", "TO:<ö@b>")),
    ],
)
def test_command_lines_are_read(line: bytes, expected: Command) -> None:
    assert parse_command(line) == expected


@pytest.mark.parametrize(
    "line",
    [b"", b"\r\n", b" QUIT", b"\xff\xfe", b"QU\x00IT", b"MAIL FROM:<a\x00@b>", b"MAIL\rX", b"250 ok", b"\xc3\xb6 x"],
)
def test_what_is_no_command_line_is_an_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_command(line)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("FROM:<>", (None, {})),
        ("from:<a@b>", ("a@b", {})),
        ("FROM: <a@b>", ("a@b", {})),
        ("FROM:<a@b> SIZE=12 body=8BITMIME SmtpUtf8", ("a@b", {"SIZE": "12", "BODY": "8BITMIME", "SMTPUTF8": None})),
        ("FROM:<@x.test,@y.test:a@b>", ("a@b", {})),
        ("FROM:<@x.test:a@b>", ("a@b", {})),
        ('FROM:<"a b"@c>', ('"a b"@c', {})),
        ('FROM:<"a>\\" b"@c> SIZE=1', ('"a>\\" b"@c', {"SIZE": "1"})),
        ("FROM:<a@[IPv6:2001:db8::1]>", ("a@[IPv6:2001:db8::1]", {})),
        ("FROM:<Postmaster>", ("Postmaster", {})),
        ("FROM:<ö@b>", ("ö@b", {})),
    ],
)
def test_paths_are_read(argument: str, expected: tuple[str | None, dict[str, str | None]]) -> None:
    assert parse_path(argument, "FROM:") == expected


@pytest.mark.parametrize(
    "argument",
    ["", "FROM", "TO:<a@b>", "FROM:", "FROM:a@b", "FROM:<a@b", "FROM:<a@b>x", "FROM:<a b@c>", "FROM:<a@b> =1",
     "FROM:<a@b> A=1 a=2", "FROM:<<a@b>>", "FROM:<a@b> X=", "FROM :<a@b>", "FROM:<a@b> X=1=2"],
)  # fmt: skip
def test_what_is_no_path_is_an_error(argument: str) -> None:
    with pytest.raises(ProtocolError):
        parse_path(argument, "FROM:")


@pytest.mark.parametrize("text", ["+", "+2", "+2b", "a+zz"])
def test_malformed_xtext_is_an_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        xtext_decoded(text)


# ---- Properties ----


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_xtext_comes_back(text: str) -> None:
    encoded = xtext(text)
    assert xtext_decoded(encoded) == text
    assert not set(encoded) & set("= ")


@given(
    st.one_of(st.text(max_size=30), st.from_regex(r'("[^\r\n]*"|[a-z.]+)(@[a-z.]+)?', fullmatch=True)), st.booleans()
)
def test_a_path_that_is_written_is_read_back_from_one_line(path: str, utf8: bool) -> None:
    try:
        line = command.rcpt(path, smtputf8=utf8)
    except MessageError:
        return
    assert line.count(b"\n") == line.count(b"\r") == 1
    assert utf8 or line.isascii()
    parsed = parse_command(line)
    assert parse_path(parsed.argument, "TO:") == (path, {})


@given(st.binary(max_size=200))
def test_random_commands_raise_nothing_but_protocol_errors(line: bytes) -> None:
    try:
        parsed = parse_command(line)
        parse_path(parsed.argument, "FROM:")
    except ProtocolError:
        pass


@given(st.lists(st.text(st.characters(exclude_characters="\n"))))
def test_random_ehlo_lines_never_raise(lines: list[str]) -> None:
    offered = Capabilities.parse(ehlo_reply(*lines))
    assert all(keyword == keyword.upper() and keyword.isascii() for keyword in offered.keywords)


@given(st.binary(max_size=300))
def test_a_sasl_line_is_base64(data: bytes) -> None:
    assert base64.b64decode(command.response(data), validate=False) == data
