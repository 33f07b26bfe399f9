"""Pipelined, in chunks, or a command at a time: the same server says the same of a mail, and no receipt lies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exchange import message, shown, url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rules import Cut, Rules, RuleServer

from mailer import Mailer, Message, Outcome, Receipt

PLAIN = ("ENHANCEDSTATUSCODES",)
PIPELINING = (*PLAIN, "PIPELINING")
CHUNKING = (*PIPELINING, "CHUNKING")
LONE_CHUNKING = (*PLAIN, "CHUNKING")
WAYS = {"plain": PLAIN, "pipelining": PIPELINING, "chunking": CHUNKING, "lone chunking": LONE_CHUNKING}

# --- one set of rules, every way --------------------------------------------------------------------------------------

REPLIES = ["250 ok", "251 2.1.5 forwarded", "550 5.1.1 no", "450 4.2.0 later", "552 5.2.2 full", "452 4.2.2 full"]
NAMES = ["ann", "bob", "cat", "dan", "eve"]


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """A server that keeps its replies in step, whatever they are."""
    return Rules(
        mail=tuple(draw(st.lists(st.sampled_from(["250 ok", "250 ok", "451 4.3.0 no", "550 5.7.1 no"]), min_size=1))),
        rcpt={name: draw(st.sampled_from(["250 ok", *REPLIES])) for name in NAMES},
        data=draw(st.sampled_from(["354 go", "354 go", "354 go", "451 4.3.0 no", "554 5.5.1 no"])),
        empty=draw(st.sampled_from(["554 5.5.1 nobody", "354 go", "503 5.5.1 no"])),
        end=tuple(
            draw(st.lists(st.sampled_from(["250 2.0.0 queued as ABC", "250 ok", "451 4.3.0 no", "554 no"]), min_size=1))
        ),
        limit=draw(st.sampled_from([None, None, 1, 2, 3])),
        segments=draw(st.sampled_from(["joined", "line", "byte"])),
    )


envelopes = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, unique=True), min_size=1, max_size=4)


def numbered(number: int, names: list[str]) -> Message:
    return message(*[f"{name}@y.test" for name in names], subject=f"number {number}", text=f".\nbody {number}\n")


def carried(server: RuleServer, mails: list[list[str]], scheme: str = "smtp") -> list[Receipt]:
    with Mailer(url(server, scheme=scheme)) as mailer:
        backend = mailer.backend
        composed = [mailer.compose(numbered(number, names)) for number, names in enumerate(mails)]
        from mailer.runtime import drive

        return drive(backend.send_many(composed))  # type: ignore[attr-defined]


def check_honest(server: RuleServer, receipts: list[Receipt]) -> None:
    """ACCEPTED means that it is there once, DEFERRED and REJECTED that it is not there, UNKNOWN either."""
    for number, receipt in enumerate(receipts):
        mark = f"Subject: number {number}\r\n".encode()
        there = [mail for mail in server.mails if mark in mail[2]]
        for _, _, content in there:
            assert content.endswith(f"\r\n\r\n.\r\nbody {number}\r\n".encode()), content
        for result in receipt.results:
            times = sum(mail[1].count(result.address.addr_spec) for mail in there)
            at_most = 0 if result.outcome in (Outcome.DEFERRED, Outcome.REJECTED) else 1
            at_least = 1 if result.outcome is Outcome.ACCEPTED else 0
            assert at_least <= times <= at_most, (number, result, server.commands, server.mails)
    assert sum(len(mail[1]) for mail in server.mails) <= sum(len(receipt.results) for receipt in receipts)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules(), envelopes)
def test_every_way_says_the_same(made: Rules, mails: list[list[str]]) -> None:
    said: dict[str, Any] = {}
    for way, offers in WAYS.items():
        # MAIL, DATA and the dot are asked for as often as there are transactions, which the ways may split otherwise.
        same = replace(made, offers=offers, mail=made.mail[:1], end=made.end[:1])
        if way.endswith("chunking") and not made.data.startswith("354"):
            same = replace(same, end=(made.data,))  # what answers DATA elsewhere answers the content here
        elif not made.data.startswith("354"):
            same = replace(same, end=("554 never asked",))
        with RuleServer(same) as server:
            receipts = carried(server, mails)
            assert server.wait_idle()
        check_honest(server, receipts)
        said[way] = [shown(receipt) for receipt in receipts]
        assert len(server.commands) == 1, server.commands
    for way, receipts in said.items():
        assert receipts == said["plain"], way


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules(), envelopes, st.sampled_from(sorted(WAYS)))
def test_no_receipt_lies_when_mails_fare_differently(made: Rules, mails: list[list[str]], way: str) -> None:
    with RuleServer(replace(made, offers=WAYS[way])) as server:
        receipts = carried(server, mails)
        assert server.wait_idle()
    check_honest(server, receipts)
    assert all(not receipt.unknown for receipt in receipts)


@settings(max_examples=2 * settings.default.max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rules(),
    envelopes,
    st.sampled_from(sorted(WAYS)),
    st.integers(0, 25),
    st.sampled_from(["close", "reset", "421", "garbage", "half"]),
)
def test_no_receipt_lies_when_the_connection_breaks(
    made: Rules, mails: list[list[str]], way: str, at: int, how: Any
) -> None:
    with RuleServer(replace(made, offers=WAYS[way], cut=Cut(at, how))) as server:
        receipts = carried(server, mails)
        assert server.wait_idle()
    check_honest(server, receipts)


@settings(max_examples=2 * settings.default.max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules(), envelopes, st.integers(0, 25), st.sampled_from(["pipelining", "chunking"]))
def test_a_reply_too_many_makes_no_receipt_lie(made: Rules, mails: list[list[str]], at: int, way: str) -> None:
    made = replace(made, offers=WAYS[way], cut=Cut(at, "extra"), segments="joined")
    with RuleServer(made) as server:
        receipts = carried(server, mails)
        assert server.wait_idle()
    if server.answered[at:] == ["dot"]:
        return  # after 354 and with nothing else outstanding, the first reply is the dot's: no client can tell
    check_honest(server, receipts)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rules(),
    envelopes,
    st.sampled_from(sorted(WAYS)),
    st.integers(0, 25),
    st.sampled_from([None, "close", "reset", "421", "garbage", "half", "extra"]),
)
def test_check_50_f58_no_receipt_lies_by_lmtp(made: Rules, mails: list[list[str]], way: str, at: int, how: Any) -> None:
    if how == "extra" and way not in ("pipelining", "chunking"):
        how = "garbage"
    segments = "joined" if how == "extra" else made.segments
    made = replace(made, offers=WAYS[way], cut=Cut(at, how) if how else None, segments=segments)
    with RuleServer(made) as server:
        receipts = carried(server, mails, "lmtp")
        assert server.wait_idle()
    lines = [line for line in server.commands[0] if not line.startswith(("LHLO", "QUIT"))]
    if how == "extra" and way == "pipelining" and at > 0 and lines[at - 1 : at] == ["DATA"]:
        return  # as above
    check_honest(server, receipts)
    assert how or all(not receipt.unknown for receipt in receipts)
