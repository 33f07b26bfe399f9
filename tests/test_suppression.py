"""The suppression list: the interface, held by both of ours."""

from __future__ import annotations

import json
import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from mailer import Address, ConfigError, MessageError
from mailer.suppression import MemorySuppressionList, SqliteSuppressionList, Suppressed, SuppressionList

ANN = Address.parse("Ann <Ann@bücher.example>")
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def entry(address: str | Address, **more: object) -> Suppressed:
    address = address if isinstance(address, Address) else Address.parse(address)
    return Suppressed(**{"address": address, "kind": "bounced", **more})


@pytest.fixture(params=["memory", "sqlite"])
def suppressed(request, tmp_path):
    return MemorySuppressionList() if request.param == "memory" else SqliteSuppressionList(tmp_path / "list.db")


def test_what_is_added_is_found_whatever_its_case_and_its_domains_form(suppressed):
    one = entry(ANN, since=WHEN, provider="postmark", text="550 5.1.1 – who?")
    assert suppressed.among([ANN]) == []
    suppressed.add(one)
    for asked in ("ann@xn--bcher-kva.example", "ANN@BÜCHER.example", '"Other" <ann@bücher.example>'):
        [found] = suppressed.among([Address.parse(asked), Address.parse("bob@bücher.example")])
        assert (found.kind, found.since, found.provider, found.text) == (
            "bounced",
            WHEN,
            "postmark",
            "550 5.1.1 – who?",
        )
        assert found.address.key == ANN.key
    assert suppressed.among([Address.parse("ann@example.org")]) == []


def test_the_last_reason_counts_and_one_is_taken_off(suppressed):
    suppressed.add(entry(ANN))
    suppressed.add(entry("ANN@bücher.example", kind="complained", since=None))
    assert [one.kind for one in suppressed] == ["complained"]
    assert len(suppressed) == 1
    suppressed.remove(Address.parse("aNN@bücher.example"))
    suppressed.remove(ANN)
    assert (list(suppressed), len(suppressed)) == ([], 0)


def test_as_many_are_asked_about_as_there_are(suppressed):
    for number in range(0, 2000, 400):
        suppressed.add(entry(f"n{number}@example.org"))
    asked = [Address.parse(f"N{number}@example.org") for number in range(2000)]
    assert len(suppressed.among([*asked, *asked])) == 5
    assert suppressed.among([]) == []


def test_an_address_is_a_value_and_never_sql(suppressed):
    odd = Address("", "'); DROP TABLE suppressed; --", "example.org")
    suppressed.add(entry(odd))
    assert [one.address for one in suppressed.among([odd])] == [odd]


def test_a_file_is_shared_and_stays(tmp_path):
    path = tmp_path / "list.db"
    SqliteSuppressionList(path).add(entry(ANN))
    other = SqliteSuppressionList(str(path))
    threads = [threading.Thread(target=lambda n=n: other.add(entry(f"n{n}@example.org"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(other) == 9
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM suppressed").fetchone() == (9,)
    db.close()


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "junk.db").write_bytes(b"no database, and long enough to be read as one" * 100)
    for path in (tmp_path / "missing" / "list.db", tmp_path, tmp_path / "junk.db", "a\0b"):
        for use in (lambda one: one.among([ANN]), lambda one: one.add(entry(ANN)), list, len):
            with pytest.raises(ConfigError, match="suppression list"):
                use(SqliteSuppressionList(path))
    with pytest.raises(ConfigError, match="name of a file"):
        SqliteSuppressionList(" ")


def test_an_entry_is_a_value_that_json_holds():
    for one in (entry(ANN, since=WHEN, provider="ses", text="x"), entry(ANN)):
        assert Suppressed.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert entry(ANN, since=WHEN, provider="ses", text="550 a\nb").why == "bounced on 2026-01-02 (ses): 550 a\\nb"
    assert entry(ANN, kind="complained").why == "complained"
    for wrong in ({"address": "a@b.test"}, {"kind": "moon"}, {"since": datetime(2026, 1, 2)}, {"since": 7}):
        with pytest.raises((TypeError, ValueError)):
            Suppressed(**{"address": ANN, **wrong})
    with pytest.raises(MessageError):
        Suppressed.from_dict({"kind": "bounced"})


def test_what_a_list_must_have_is_said():
    for call in (lambda one: one.among([]), lambda one: one.add(entry(ANN)), lambda one: one.remove(ANN)):
        with pytest.raises(NotImplementedError, match="SuppressionList has no"):
            call(SuppressionList())
