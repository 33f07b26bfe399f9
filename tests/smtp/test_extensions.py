"""What a message asks of SMTP extensions: its bytes where they are offered, a note or a refusal where not (44-48)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, message, sent, shown, url
from worlds import World

from mailer import DeliveryOptions, Mailer, Message, UnsupportedFeature
from mailer.address import Address
from mailer.smtp.capabilities import Capabilities
from mailer.smtp.extensions import asked_of
from mailer.smtp.reply import Reply
from mailer.smtp.transaction import first_share
from mailer.testing import ScriptedServer

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def offers(*keywords: str) -> Capabilities:
    return Capabilities.parse(Reply(250, ("hello", *keywords)))


def made(options: dict[str, Any] | None, send_at: datetime | None = None) -> Message:
    return Message(text="t", delivery=None if options is None else DeliveryOptions(**options), send_at=send_at)


# --- what is offered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "least", "longest", "latest"),
    [
        ((), None, None, None),
        (("DELIVERBY", "FUTURERELEASE"), None, None, None),
        (
            ("DELIVERBY 120", "FUTURERELEASE 86400 2026-12-24T18:00:00Z"),
            120,
            86400,
            datetime(2026, 12, 24, 18, tzinfo=UTC),
        ),
        (("deliverby 0", "futurerelease 60"), 0, 60, None),
        (("DELIVERBY soon", "FUTURERELEASE never tomorrow"), None, None, None),
        (("FUTURERELEASE 60 2026-13-45T99:00:00Z",), None, 60, None),
        (("FUTURERELEASE 60 2026-12-24T18:00:00",), None, 60, None),  # of no time zone
        (("FUTURERELEASE 60 2026-12-24t18:00:00.5+01:00",), None, 60, datetime(2026, 12, 24, 17, 0, 0, 500_000, UTC)),
    ],
)
def test_check_45_46_what_the_server_says_of_times_is_read_leniently(
    keywords: tuple[str, ...], least: int | None, longest: int | None, latest: datetime | None
) -> None:
    offered = offers(*keywords)
    assert (offered.least_deliver_by_s, offered.longest_hold_s, offered.latest_release) == (least, longest, latest)


# --- what is asked ----------------------------------------------------------------------------------------------------

DSN = {"notify": "SUCCESS", "ret": "hdrs", "envid": "a+b=c"}
LATER = NOON + timedelta(hours=2)


@pytest.mark.parametrize(
    ("options", "send_at", "keywords", "parameters", "notes"),
    [
        # 44: DSN
        (DSN, None, ("DSN",), {"RET": "HDRS", "ENVID": "a+2Bb+3Dc"}, []),
        ({"notify": "NEVER"}, None, ("DSN",), {}, []),
        (DSN, None, (), {}, ["DSN not offered"]),
        # 45: DELIVERBY
        ({"deliver_by_s": 120}, None, ("DELIVERBY",), {"BY": "120;R"}, []),
        ({"deliver_by_s": 120}, None, ("DELIVERBY 120",), {"BY": "120;R"}, []),
        ({"deliver_by_s": 119}, None, ("DELIVERBY 120",), {}, ["DELIVERBY not offered for less than 120 seconds"]),
        ({"deliver_by_s": 119, "deliver_by_mode": "n"}, None, ("DELIVERBY 120",), {"BY": "119;N"}, []),
        ({"deliver_by_s": 120}, None, (), {}, ["DELIVERBY not offered"]),
        # 48: MT-PRIORITY
        ({"mt_priority": -9}, None, ("MT-PRIORITY MIXER",), {"MT-PRIORITY": "-9"}, []),
        ({"mt_priority": 0}, None, (), {}, ["MT-PRIORITY not offered"]),
        # 46: FUTURERELEASE
        (None, LATER, ("FUTURERELEASE",), {"HOLDUNTIL": "2026-11-25T14:00:00Z"}, []),
        (None, LATER, ("FUTURERELEASE 7200",), {"HOLDFOR": "7200"}, []),
        (None, LATER, ("FUTURERELEASE 7200 2026-11-25T14:00:00Z",), {"HOLDUNTIL": "2026-11-25T14:00:00Z"}, []),
        (
            None,
            LATER.replace(microsecond=1).astimezone(timezone(timedelta(hours=5, minutes=30))),
            ("FUTURERELEASE 9999 2026-11-26T00:00:00Z",),
            {"HOLDUNTIL": "2026-11-25T14:00:01Z"},
            [],
        ),
        (None, LATER.replace(microsecond=1), ("FUTURERELEASE 9999",), {"HOLDFOR": "7201"}, []),
        (None, NOON, (), {}, []),  # it is time: a mail like any other
        (None, NOON - timedelta(days=1), ("FUTURERELEASE 7200",), {}, []),
        (None, LATER, ("FUTURERELEASE 7199",), {}, ["FUTURERELEASE not offered for more than 7199 seconds"]),
        (
            None,
            LATER,
            ("FUTURERELEASE 99999 2026-11-25T13:59:59Z",),
            {},
            ["FUTURERELEASE not offered beyond 2026-11-25T13:59:59+00:00"],
        ),
        (
            None,
            datetime.max.replace(tzinfo=UTC),
            ("FUTURERELEASE",),
            {},
            ["FUTURERELEASE not offered for more than 999999999 seconds"],
        ),
        (None, LATER, (), {}, ["FUTURERELEASE not offered"]),
    ],
)
def test_check_44_to_48_what_is_asked_is_a_parameter_or_a_note(
    options: dict[str, Any] | None,
    send_at: datetime | None,
    keywords: tuple[str, ...],
    parameters: dict[str, str],
    notes: list[str],
) -> None:
    wanted, offered = made(options, send_at), offers(*keywords)
    assert asked_of(offered, wanted, now=NOON, policy="degrade") == (parameters, notes)
    if not notes:
        assert asked_of(offered, wanted, now=NOON, policy="error") == (parameters, notes)
        return
    with pytest.raises(UnsupportedFeature, match=notes[0].split()[0]):
        asked_of(offered, wanted, now=NOON, policy="error")
    if send_at is None:  # advice
        assert asked_of(offered, wanted, now=NOON, policy="default") == (parameters, notes)
    else:  # when it arrives
        with pytest.raises(UnsupportedFeature) as caught:
            asked_of(offered, wanted, now=NOON, policy="default")
        assert caught.value.field == "send_at"


# --- on the wire ------------------------------------------------------------------------------------------------------

EVERYTHING = DeliveryOptions(notify=("SUCCESS", "DELAY"), ret="FULL", envid="e=1", deliver_by_s=600, mt_priority=3)
AT = datetime(2050, 1, 1, tzinfo=UTC)


def hello(*keywords: str) -> str:
    lines = ["hello", *keywords]
    return "C: EHLO [127.0.0.1]\n" + "".join(f"S: 250-{word}\n" for word in lines[:-1]) + f"S: 250 {lines[-1]}\n"


def test_check_44_45_46_48_both_commands_to_the_byte(world: World) -> None:
    script = HI + hello("DSN", "DELIVERBY 60", "MT-PRIORITY", "FUTURERELEASE 9999999999 2100-01-01T00:00:00Z")
    script += (
        "C: MAIL FROM:<a@x.test> HOLDUNTIL=2050-01-01T00:00:00Z RET=FULL ENVID=e+3D1 BY=600;R MT-PRIORITY=3\n"
        "S: 250 ok\n"
        "C: RCPT TO:<b+c@y.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@y.test\nS: 250 ok\n"
    )
    with exchange(world, script + DATA + OK + QUIT) as (_, mailer):
        receipt, _ = sent(mailer, message("b+c@y.test", delivery=EVERYTHING, send_at=AT))
    assert receipt.ok
    assert receipt.notes == ()


def test_check_44_45_48_advice_that_is_not_offered_is_noted(world: World) -> None:
    with exchange(world, HI + EHLO + MAIL + RCPT + DATA + OK + QUIT) as (_, mailer):
        receipt, _ = sent(mailer, message(delivery=EVERYTHING))
    assert receipt.ok
    assert receipt.notes == ("DSN not offered", "DELIVERBY not offered", "MT-PRIORITY not offered")


def test_check_46_send_at_that_cannot_be_kept_is_refused_before_mail_and_harms_no_other(world: World) -> None:
    with exchange(world, HI + EHLO + MAIL + RCPT + DATA + OK + QUIT) as (peer, mailer):
        with pytest.raises(UnsupportedFeature, match="FUTURERELEASE not offered") as caught:
            mailer.send(message(send_at=AT))
        assert caught.value.field == "send_at"
        first, second = mailer.send_many([message(send_at=AT), message()])
    assert type(first.error) is UnsupportedFeature
    assert first.results == ()
    assert second.ok
    assert peer.connections == 1


@pytest.mark.parametrize(("policy", "wanted"), [("error", {"delivery": EVERYTHING}), ("degrade", {"send_at": AT})])
def test_the_policy_counts_for_what_only_the_server_tells(world: World, policy: str, wanted: dict[str, Any]) -> None:
    mail = MAIL + RCPT + DATA + OK if policy == "degrade" else ""
    with ScriptedServer(HI + EHLO + mail + QUIT) as peer, world.mailer(url(peer), unsupported=policy) as mailer:
        if policy == "error":
            with pytest.raises(UnsupportedFeature, match="DSN not offered"):
                mailer.send(message(**wanted))
        else:
            assert mailer.send(message(**wanted)).notes == ("FUTURERELEASE not offered",)


# --- BINARYMIME -------------------------------------------------------------------------------------------------------

EIGHT_BIT = b"From: a@x.test\r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@x.test>\r\nTo: b@y.test\r\n"
EIGHT_BIT += (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + "Grüße\r\n".encode()
)


@pytest.mark.parametrize(
    ("keywords", "body", "is_whole"),
    [
        (("8BITMIME", "BINARYMIME", "CHUNKING"), " BODY=8BITMIME", True),
        (("BINARYMIME", "CHUNKING"), " BODY=BINARYMIME", True),
        (("BINARYMIME",), "", False),  # of no use without chunks
        (("CHUNKING",), "", False),
    ],
)
def test_check_40_check_41_8_bit_content_says_so_or_is_re_encoded(
    world: World, keywords: tuple[str, ...], body: str, is_whole: bool
) -> None:
    script = HI + hello(*keywords) + f"C: MAIL FROM:<a@x.test>{body}\nS: 250 ok\n" + RCPT
    script += "C: BDAT *\nC: <chunk>\n" if "CHUNKING" in keywords else DATA
    with exchange(world, script + OK + QUIT) as (peer, mailer):
        assert mailer.send_raw(EIGHT_BIT).ok
    assert peer.received[0].isascii() is not is_whole
    if is_whole:
        assert peer.received[0] == EIGHT_BIT


# --- REQUIRETLS -------------------------------------------------------------------------------------------------------

SECURED = "C: STARTTLS\nS: 220 go\nS: tls\n"


@pytest.mark.parametrize(
    ("keywords", "verify", "is_sent"),
    [(("REQUIRETLS",), "yes", True), ((), "yes", False), (("REQUIRETLS",), "no", False)],
    ids=["offered", "not_offered", "unverified"],
)
def test_check_47_requiretls_goes_under_verified_tls_or_not_at_all(
    world: World, server_tls: Any, ca_file: str, keywords: tuple[str, ...], verify: str, is_sent: bool
) -> None:
    script = HI + hello("STARTTLS", "REQUIRETLS") + SECURED + hello(*keywords)
    if is_sent:
        script += "C: MAIL FROM:<a@x.test> REQUIRETLS\nS: 250 ok\n" + RCPT + DATA + OK
    options = {
        "tls": "required",
        "host": "localhost",
        "verify": verify,
        **({"ca_file": ca_file} if verify == "yes" else {}),
    }
    wanted = message(delivery=DeliveryOptions(require_tls=True))
    with exchange(world, script + QUIT, server={"tls": server_tls}, **options) as (_, mailer):
        receipt, _ = sent(mailer, wanted)
    assert receipt.ok is is_sent
    if not is_sent:
        assert [fact[:4] for fact in shown(receipt)] == [("b@y.test", "rejected", None, "5.7.30")]


def test_check_47_requiretls_offered_in_clear_does_not_count(world: World) -> None:
    """And the header field TLS-Required: No, for the opposite, is a field like any other (RFC 8689 section 5)."""
    with exchange(world, HI + hello("REQUIRETLS") + MAIL + RCPT + DATA + OK + QUIT) as (peer, mailer):
        receipt, _ = sent(mailer, message(delivery=DeliveryOptions(require_tls=True)))
        assert [fact[3] for fact in shown(receipt)] == ["5.7.30"]
        assert sent(mailer, message(headers={"TLS-Required": "No"}))[0].ok
    assert b"\r\nTLS-Required: No\r\n" in peer.received[0]


# --- what is known beforehand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "is_refused", "notes"),
    [
        ("smtp://localhost", False, ()),
        ("smtps://localhost", False, ()),
        ("lmtp://localhost", False, ()),
        ("mx:", True, ()),  # FUTURERELEASE is for submission alone (RFC 4865 section 4)
        ("sendmail:", True, ("notify", "deliver_by", "mt_priority")),
    ],
)
def test_features_say_what_is_carried_as_far_as_it_is_known(
    backend: str, is_refused: bool, notes: tuple[str, ...]
) -> None:
    with Mailer(backend, unsupported="degrade", from_="a@x.test") as mailer:
        mail = mailer.compose(message(delivery=EVERYTHING, send_at=AT))
        assert [note.split()[0] for note in mailer.backend.left_out(mail)] == ["send_at"] * is_refused + list(notes)
        mailer.backend.unsupported = "default"
        if is_refused:
            with pytest.raises(UnsupportedFeature, match="send_at"):
                mailer.backend.left_out(mail)


# --- LIMITS -----------------------------------------------------------------------------------------------------------


def addresses(*names: str) -> list[Address]:
    return [Address.parse(name) for name in names]


@pytest.mark.parametrize(
    ("most", "most_domains", "share", "rest"),
    [
        (None, None, "a@x b@y c@x d@z", ""),
        (2, None, "a@x b@y", "c@x d@z"),
        (None, 1, "a@x c@x", "b@y d@z"),
        (None, 2, "a@x b@y c@x", "d@z"),
        (1, 1, "a@x", "c@x b@y d@z"),
        (9, 9, "a@x b@y c@x d@z", ""),
    ],
)
def test_recipients_are_parted_by_number_and_by_domain(
    most: int | None, most_domains: int | None, share: str, rest: str
) -> None:
    parts = first_share(addresses("a@x.test", "b@y.test", "c@x.test", "d@z.test"), most, most_domains)
    assert [" ".join(a.addr_spec.removesuffix(".test") for a in part) for part in parts] == [share, rest]


def test_check_17_rfc_9422_rcptdomainmax_and_rcptmax_split_a_mail(world: World) -> None:
    script = HI + hello("LIMITS RCPTMAX=2 RCPTDOMAINMAX=1 X=9 RCPTMAX=x")
    for group in (("a@x.test", "c@x.test"), ("e@x.test",), ("b@y.test", "d@y.test")):
        script += MAIL + "".join(f"C: RCPT TO:<{name}>\nS: 250 ok\n" for name in group) + DATA + OK
    everybody = ["a@x.test", "b@y.test", "c@x.test", "d@y.test", "e@x.test"]
    with exchange(world, script + QUIT) as (peer, mailer):
        receipt, _ = sent(mailer, message(*everybody))
    assert receipt.ok
    assert [result.address.addr_spec for result in receipt.results] == everybody
    assert len(set(peer.received)) == 1
