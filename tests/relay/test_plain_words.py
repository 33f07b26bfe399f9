"""Plain words: what is filled in for each recipient reads the same, escaped or not; whoever else there is goes alone."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import html
import itertools
import json
from typing import Any

from expanders import EXPANDERS
from hypothesis import given, settings
from hypothesis import strategies as st
from relay_checks import answer
from test_batches import mail, requests

from mailer import Outcome
from mailer.relay.plain_words import _PLAIN
from mailer.relay.smtp2go import Smtp2Go
from mailer.relay.unisender_go import UnisenderGo
from mailer.relay.zeptomail import ZeptoMail

A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN
PROVIDER = ZeptoMail("TOKEN")


def greeted(*names: str) -> list[Any]:
    return [mail(n, html=f"<p>Dear {html.escape(name)},</p>\n<p>x</p>") for n, name in enumerate(names)]


def test_who_has_other_words_goes_alone() -> None:
    for names, sizes in (
        (["Ann", "Bob", "Cyd Lee"], [3]),
        (["Ann", "Müller & Co", "Bob"], [1, 2]),
        (["Ann", "Bob <b>", 'C "x"', ""], [1, 1, 1, 1]),
        (["Ann", "Bob", "Ann", "{{ name }}"], [1, 3]),
        (["Ann", "Ann B", "Ann-B", "An"], [4]),
        (["Ann  Lee", "Bob", "Cyd"], [1, 2]),
    ):
        mails = greeted(*names)
        assert sorted(len(group) for group in PROVIDER.grouped(mails)) == sorted(sizes), names


def test_what_stands_in_a_place_is_cut_down_to_words() -> None:
    [request] = requests(PROVIDER, greeted("Ann", "Anna"))
    body = json.loads(request.content)
    assert body["htmlbody"] == "<p>Dear {{mailer_0}},</p>\n<p>x</p>"
    assert [to["merge_info"] for to in body["to"]] == [{"mailer_0": "Ann"}, {"mailer_0": "Anna"}]


def test_a_brace_beside_a_place_would_blur_it() -> None:
    for around in ("{%s", "%s}", "{%s}"):
        mails = [mail(n, html=f"<p>{around % name}</p>") for n, name in enumerate(("Ann", "Bob"))]
        assert [len(group) for group in PROVIDER.grouped(mails)] == [1, 1], around


WORDS = st.lists(st.sampled_from(["a", "b", "a1", "é", " ", "-", ".", "&", "<b>", "{", "}", "\n"]), max_size=4).map(
    "".join
)


@settings(max_examples=40)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=5))
def test_any_part_of_a_group_can_go_together_too(rows: list[tuple[str, str]]) -> None:
    """A batch that is halved, or one mail of which cannot be written, needs no second look."""
    mails = [
        mail(n, subject=" ".join(f"x {a} y".split()), html=f"<p>{a}</p>{b}\n<b>{b}</b>")
        for n, (a, b) in enumerate(rows)
    ]
    for group in PROVIDER.grouped(mails):
        for size in range(2, len(group) + 1):
            for part in itertools.combinations(group, size):
                _, places = PROVIDER.as_one(part)
                assert all(_PLAIN.fullmatch(value) for values in places.values for value in values)
                assert not places.has_before("{")
                assert not places.has_behind("}")
                copies = list(EXPANDERS["zeptomail"](PROVIDER.batch_request(part)))
                assert [copy[3] for copy in copies] == [one.message and one.message.html for one in part]


def test_each_has_what_the_answer_says_of_it() -> None:
    mails = [mail(n) for n in range(3)]
    details = [{"code": "SM_113", "target": "to", "target_value": "n1@example.org"}]
    emails = [f"n{n}@example.org" for n in range(3)]
    for provider, given_, outcomes, ids in (
        (Smtp2Go("TOKEN"), answer(200, {"data": [{"email_id": "a"}, {"error": "no"}, {"schedule_id": "c"}]}), [A, R, A], ["a", "c"]),
        (Smtp2Go("TOKEN"), answer(200, {"data": [{"email_id": "a"}, {"failed": 1, "succeeded": 0}, {}]}), [A, R, U], ["a"]),
        (Smtp2Go("TOKEN"), answer(200, {"data": [{"email_id": "a"}]}), [U, U, U], []),
        (ZeptoMail("TOKEN"), answer(201, {"data": [{"code": "EM_104"}], "request_id": "z"}), [A, A, A], ["z"] * 3),
        (ZeptoMail("TOKEN"), answer(400, {"error": {"code": "TM_4001", "details": details}}), [D, R, D], []),
        (UnisenderGo("TOKEN"), answer(200, {"status": "success", "job_id": "u", "emails": emails[:1], "failed_emails": {emails[1]: "invalid"}}), [A, R, U], ["u"]),
    ):  # fmt: skip
        receipts = provider.batch_receipts(given_, mails)
        assert [r.outcome for receipt in receipts for r in receipt.results] == outcomes, provider
        assert [name for receipt in receipts for name in receipt.provider_ids] == ids, provider


def test_what_smtp2go_must_have_a_subject_for_goes_alone() -> None:
    mails = [mail(0, subject=""), mail(1), mail(2), mail(3, subject="", html=None, provider_template="x")]
    assert [len(group) for group in Smtp2Go("TOKEN").grouped(mails)] == [1, 1, 2]


def test_metadata_of_each_recipient_is_his_own_where_that_can_be_said() -> None:
    mails = [mail(n, metadata={"row": n}) for n in range(3)]
    assert len(requests(PROVIDER, mails)) == 3
    [request] = requests(UnisenderGo("TOKEN"), mails)
    message = json.loads(request.content)["message"]
    assert [to["metadata"] for to in message["recipients"]] == [
        {"row": str(n), "mailer_id": one.id} for n, one in enumerate(mails)
    ]
    assert "global_metadata" not in message


def test_tags_that_unisender_go_takes() -> None:
    provider = UnisenderGo("TOKEN")
    one = mail(0, tags=["a" * 51, "b", "c", "d", "e"])
    assert [feature for feature, *_ in provider.left_out(provider.letter(one))] == ["tags", "tags"]
    assert json.loads(provider.request(one).content)["message"]["tags"] == ["b", "c", "d"]
