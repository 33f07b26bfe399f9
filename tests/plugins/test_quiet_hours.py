"""The plug-in ``quiet_hours``: who sleeps is not written to, and is written to when he wakes; by his own clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer import Address, ConfigError, DeliveryDeferred, Mailer, Message, Outcome
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.plugins.quiet_hours import QuietHours, next_loud
from mailer.testing import FakeRelay, SmtpServer

A, D = Outcome.ACCEPTED, Outcome.DEFERRED


def hello(*to: str, **more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": list(to) or ["a@x.test"], "subject": "Hi", "text": "Hello"}
    return Message(**{**fields, **more})


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def sleeping(now: str, **settings: object) -> QuietHours:
    plugin = QuietHours(settings)
    plugin.clock = lambda: at(now)
    return plugin


TIMES = st.builds(time_of_day, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
# Around both changes of clocks in Berlin, New York and on Lord Howe, and the day that Apia left out.
STARTS = ["2026-03-28T00:00+00:00", "2026-10-24T00:00+00:00", "2026-11-01T00:00+00:00", "2026-04-04T00:00+00:00"]
STARTS += ["2026-10-03T00:00+00:00", "2026-03-08T00:00+00:00", "2011-12-29T00:00+00:00"]


@given(
    st.sampled_from(STARTS),
    st.integers(0, 3 * 24 * 4),
    st.sampled_from(ZONES),
    TIMES,
    TIMES,
    st.frozensets(st.integers(0, 6), max_size=6),
)
def test_it_is_the_first_time_that_is_not_quiet_by_the_clock_on_the_wall(begin, quarters, name, start, end, days):
    zone = ZoneInfo(name)
    now = datetime.fromisoformat(begin) + timedelta(minutes=15 * quarters, seconds=7)

    def is_quiet(moment: datetime) -> bool:
        here = moment.astimezone(zone)
        minutes = here.hour * 60 + here.minute
        first, last = start.hour * 60 + start.minute, end.hour * 60 + end.minute
        hours = set(range(first, last)) if first <= last else set(range(first, 1440)) | set(range(last))
        return minutes in hours or here.weekday() in days

    found = next_loud(now, zone, start, end, days)
    assert found.tzinfo is UTC
    assert not is_quiet(found)
    if not is_quiet(now):
        assert found == now
        return
    moment = now.replace(second=0)
    while is_quiet(moment):
        moment += timedelta(minutes=15)
    # Clocks that are put forward over the end leave out at most as much (Apia: a day).
    assert moment <= found <= moment + timedelta(hours=24 if name == "Pacific/Apia" else 1)
    steps = int((found - moment).total_seconds() // 900)
    if steps:
        offsets = [one.astimezone(zone).utcoffset() for one in (now, found)]
        assert offsets[0] != offsets[1]


def test_each_recipient_by_his_own_clock():
    plugin = sleeping(
        "2026-06-01T20:30+00:00",  # 22:30 in Berlin, 16:30 in New York, 05:30 in Tokyo
        zone="Europe/Berlin",
        zones={"Example.us": "America/New_York"},
        zone_of=lambda address: "Asia/Tokyo" if address.local == "jp" else None,
    )
    with Mailer("memory:", plugins=[plugin]) as mailer:
        receipt = mailer.send(hello("a@x.test", "b@example.us", "jp@example.us"))
        assert [result.outcome for result in receipt.results] == [D, A, D]
        berlin, _, tokyo = receipt.results
        assert berlin.text == "quiet hours: not before 2026-06-02T06:00:00+00:00"
        assert berlin.retry_after_s == 9.5 * 3600
        assert tokyo.retry_after_s == 2.5 * 3600
        [mail] = mailer.backend.mails
        assert [address.addr_spec for address in mail.envelope.recipients] == ["b@example.us"]
        assert mailer.send(hello(metadata={"timezone": "America/New_York"})).ok
        with pytest.raises(DeliveryDeferred, match="quiet hours"):
            mailer.send(hello("b@example.us", metadata={"timezone": "Europe/Paris"}))
        with pytest.raises(DeliveryDeferred, match="no time zone 'Mars/Base'"):
            mailer.send(hello(metadata={"timezone": "Mars/Base"}))


def test_which_mails_wait():
    night = "2026-06-01T23:00+00:00"
    table = [
        ({}, hello(), False),
        ({"tags": "news"}, hello(), True),
        ({"tags": "news"}, hello(tags="news"), False),
        ({"except_tags": "password"}, hello(tags=["news", "password"]), True),
        ({"except_tags": "password"}, hello(tags="news"), False),
        ({"start": "08:00", "end": "08:00", "days": "tue"}, hello(), True),
        ({"start": "08:00", "end": "08:00", "days": "Monday"}, hello(), False),
        ({"start": "09:00", "end": "17:00"}, hello(), True),
        ({"start": "22:59", "end": "23:01"}, hello(), False),
        ({"start": "22:00", "end": "23:00"}, hello(), True),
    ]
    for settings, message, goes in table:
        with Mailer("memory:", plugins=[sleeping(night, **settings)]) as mailer:
            [receipt] = mailer.send_many([message])
            assert receipt.ok is goes, settings
    with Mailer("memory:", plugins=[sleeping(night)]) as mailer, pytest.raises(DeliveryDeferred):
        mailer.send_raw(b"From: a@x.test\r\nTo: b@x.test\r\nSubject: s\r\n\r\nx\r\n")


def test_by_smtp_and_a_relay_at_night_and_in_the_morning(world):
    now = ["2026-06-01T05:00+00:00"]
    with SmtpServer() as server, FakeRelay("postmark") as relay:
        for url, count in ((server.url, lambda: len(server.mails)), (relay.url, lambda: len(relay.requests))):
            now[0] = "2026-06-01T05:00+00:00"
            plugin = QuietHours(zone="Europe/Berlin")
            plugin.clock = lambda: at(now[0])
            with world.mailer(url, plugins=[plugin]) as mailer:
                with pytest.raises(DeliveryDeferred, match="quiet hours: not before 2026-06-01T06:00") as deferred:
                    mailer.send(hello())
                assert deferred.value.receipt.results[0].retry_after_s == 3600
                assert deferred.value.receipt.attempts == ()
                assert count() == 0
                now[0] = "2026-06-01T06:00+00:00"
                assert all(receipt.ok for receipt in mailer.send_many([hello(), hello("b@x.test")]))
                assert count() >= 1


def test_the_provider_is_told_to_send_in_the_morning(world):
    plugin = QuietHours(then="send_at", zones={"awake.test": "Pacific/Auckland", "early.test": "Asia/Tokyo"})
    evening = (datetime.now(UTC) + timedelta(days=1)).replace(hour=22, minute=30, second=0, microsecond=0)
    plugin.clock = evening.timestamp
    morning = evening.replace(hour=8, minute=0) + timedelta(days=1)
    with FakeRelay("sendgrid") as relay, world.mailer(relay.url, plugins=[plugin]) as mailer:
        receipt = mailer.send(hello("a@x.test", "b@awake.test", "c@early.test"))
        assert receipt.ok
        told = [request.json.get("send_at") for request in relay.requests]
        in_utc = int(morning.timestamp())
        assert set(told) == {in_utc, None, in_utc - 9 * 3600}
        assert len(told) == 3
        assert receipt.notes[0] == f"quiet_hours: send_at {morning.isoformat()} for 1 of 3, if carried"


def test_send_at_is_never_a_way_to_send_now():
    class Cannot(MemoryBackend):
        features = Features(send_at=False)

    from mailer.backends.group import FailoverBackend

    with SmtpServer() as server:  # which has no FUTURERELEASE
        for backend in (Cannot(), FailoverBackend([Cannot(), Cannot()]), server.url):
            for policy in ("default", "error", "degrade"):
                plugin = sleeping("2090-06-01T23:00+00:00", then="send_at")
                with (
                    Mailer(backend, plugins=[plugin], unsupported=policy, retry=None) as mailer,
                    pytest.raises(DeliveryDeferred, match="quiet hours: not before 2090-06-02T08:00"),
                ):
                    mailer.send(hello())
        assert list(server.mails) == []


def test_a_send_at_of_the_message_counts_where_it_falls():
    day = "2026-06-01T12:00+00:00"
    table = [  # the app's, what is sent
        ("2026-06-01T18:00+00:00", "2026-06-01T18:00+00:00"),
        ("2026-06-01T23:00+00:00", "2026-06-02T08:00+00:00"),
        ("2026-06-02T04:00+00:00", "2026-06-02T08:00+00:00"),
        ("2020-01-01T02:00+00:00", "2020-01-01T02:00+00:00"),  # past: it is now that counts
    ]
    for wanted, sent in table:
        with Mailer("memory:", plugins=[sleeping(day, then="send_at")]) as mailer:
            assert mailer.send(hello(send_at=datetime.fromisoformat(wanted))).ok
            [mail] = mailer.backend.mails
            assert mail.message.send_at == datetime.fromisoformat(sent)


def test_each_recipient_of_a_merge_has_his_own_night():
    class Merging(MemoryBackend):
        features = Features(merge=True, metadata=True)

    to = ["a@x.test", "b@x.test"]
    zones = {"a@x.test": {"timezone": "Europe/Berlin"}, "b@x.test": {"timezone": "America/New_York"}}
    with Mailer(Merging(), plugins=[sleeping("2026-06-01T21:00+00:00")], retry=None) as mailer:
        receipt = mailer.send(
            hello(*to, text="{{ n }}", merge_data={one: {"n": 1} for one in to}, merge_metadata=zones)
        )
        assert [result.outcome for result in receipt.results] == [D, A]


def test_a_function_that_raises_sends_nothing():
    with Mailer("memory:", plugins=[sleeping("2026-06-01T21:00+00:00", zone_of=lambda a: 1 / 0)]) as mailer:
        with pytest.raises(DeliveryDeferred, match="zone_of raised ZeroDivisionError"):
            mailer.send(hello())
        assert mailer.backend.mails == []


def test_what_it_cannot_plan_was_sent_to_nobody():
    """At the end of the calendar no night ends; and whatever a plan raises, the outcome is not unknown."""
    with Mailer("memory:", plugins=[sleeping("2026-06-01T21:00+00:00", zone="Asia/Tokyo")]) as mailer:
        with pytest.raises(DeliveryDeferred, match="its plan raised OverflowError"):
            mailer.send(hello(send_at=datetime(9999, 12, 31, 23, tzinfo=UTC)))
        assert mailer.backend.mails == []


def test_wrong_settings_are_told():
    for settings, said in (
        ({"start": "24:00"}, "start: must be a time"),
        ({"end": "8"}, "end: must be a time"),
        ({"zone": "Mars/Base"}, "no time zone 'Mars/Base'"),
        ({"zone": "../../etc/passwd"}, "no time zone"),
        ({"zones": {"x.test": "Nowhere"}}, "no time zone 'Nowhere'"),
        ({"zones": {"a b": "UTC"}}, "domain"),
        ({"days": "someday"}, "days: 'someday' is none of"),
        ({"days": "mon,tue,wed,thu,fri,sat,sun"}, "all are quiet"),
        ({"start": "08:00", "end": "08:00"}, "it would do nothing"),
        ({"then": "now"}, "then"),
        ({"hours": 1}, "there is no such setting"),
    ):
        with pytest.raises(ConfigError, match=said):
            QuietHours(settings)
    assert Address.parse("a@x.test").local == "a"
