"""Plug-ins that stand before the backend, all at once: each does its own, and no recipient is lost or gets it twice."""

from __future__ import annotations

from datetime import UTC, datetime

from mailer import Message, Outcome
from mailer.testing import FakeRelay, SmtpServer

A, D, R = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED


def test_all_of_them_together(world, tmp_path):
    night = datetime.now(UTC).hour
    with SmtpServer() as server, SmtpServer() as inside, FakeRelay("postmark") as relay:
        server.on("RCPT", "bad@x.test").reply("550 5.1.1 no such user")
        rules = [{"tag": "news", "backend": relay.url}, {"recipient_domain": "in.test", "backend": inside.url}]
        plugins = {
            "router": {"rules": rules},
            "circuit": {"failures": 2, "path": str(tmp_path / "circuits.db")},
            "rate_limit": {"domains": {"slow.test": "1/h"}, "over": "defer"},
            "quiet_hours": {
                "start": f"{night:02}:00",
                "end": f"{(night + 2) % 24:02}:00",
                "zone": "Etc/GMT+12",
                "zones": {"asleep.test": "UTC"},
            },
            "dedupe": {"path": str(tmp_path / "seen.db")},
            "suppression": {},
        }
        to = ["a@x.test", "bad@x.test", "b@in.test", "c@asleep.test", "d@slow.test"]
        with world.mailer(server.url, plugins=plugins) as mailer:
            message = Message(from_="shop@example.com", to=to, subject="Hi", text="Hello")
            first = mailer.send(message)
            assert [result.outcome for result in first.results] == [A, R, A, D, A]
            again = mailer.send(message)
            assert [result.outcome for result in again.results] == [A, R, A, D, A]
            assert [one.recipients for one in server.mails] == [("a@x.test", "d@slow.test")]
            assert [one.recipients for one in inside.mails] == [("b@in.test",)]
            other = mailer.send(message.with_(text="Other"))
            assert [result.outcome for result in other.results] == [A, R, A, D, D]
            assert [result.address.addr_spec for result in other.results] == to
            receipts = mailer.send_many([message.with_(text=f"{n}", tags="news", to=["n@x.test"]) for n in range(3)])
            assert all(receipt.ok for receipt in receipts)
            assert len(relay.requests) >= 1
            assert mailer.send(message.with_(text="0", to=["n@x.test"])).skipped is not None
