"""The plug-in ``list_unsubscribe``: a link of each recipient's own, covered by DKIM, that unsubscribes in one click."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from dkim_verifier import signatures, verified
from worlds import World

from mailer import ConfigError, DeliveryRefused, HookError, Mailer, Message
from mailer.backends.memory import MemoryBackend
from mailer.dkim import DkimKey
from mailer.features import Features
from mailer.plugins.dkim import Dkim
from mailer.plugins.list_unsubscribe import ListUnsubscribe
from mailer.plugins.suppression import Suppression
from mailer.suppression import MemorySuppressionList
from mailer.testing import FakeRelay, SmtpServer
from mailer.testing.secret_sweep import SecretSweep

SECRET = "s3cret-" * 6
URL = "https://example.com/u"
NOW = 1_796_068_734


class At(ListUnsubscribe):
    clock = staticmethod(lambda: NOW)


def plugin(**more: Any) -> ListUnsubscribe:
    return At(url=URL, secret=SECRET, **more)


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "Ann <ann@example.org>", "subject": "Hi", "text": "Hello"}
    return Message(**{**fields, **more})


def token_in(body: str | None) -> str:
    found = re.match(rf"<{URL}/([\w.-]+)>", body or "")
    assert found, body
    return found[1]


def test_each_recipient_has_a_link_of_their_own(world: World) -> None:
    made = plugin()
    to = ["ann@example.org", "jörg@bücher.example", "x" * 64 + "@" + "d" * 60 + ".example"]
    merged = hello(to=to, merge_data={one: {} for one in to})
    with SmtpServer() as server, world.mailer(server.url, plugins=[made]) as mailer:
        for receipt in mailer.send_many([*[hello(to=one) for one in to], merged]):
            assert receipt.ok
        assert len(server.mails) == 6
        for mail in server.mails:
            asked = made.links.read(token_in(mail.message["List-Unsubscribe"]), now_s=NOW)
            assert (asked.address.ascii, asked.list_name, asked.issued_s) == (mail.recipients[0], "", NOW)
            assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
            # Check 67, on the bytes: neither encoded nor folded within the URL.
            assert re.search(rb"\r\nList-Unsubscribe: (\r\n )?<https://[!-~]+>\r\n", mail.content)
            assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in mail.content


def test_dkim_covers_it_whatever_the_order_of_plug_ins(world: World) -> None:
    key = DkimKey.generate("example.com", "e", "ed25519")
    for plugins in ([Dkim(keys=[key]), plugin()], [plugin(), Dkim(keys=[key])]):
        with SmtpServer() as server, world.mailer(server.url, plugins=plugins) as mailer:
            mailer.send(hello())
            [mail] = server.mails
            covered = signatures(mail.content)[0]["h"].split(":")
            assert covered.count("list-unsubscribe") == covered.count("list-unsubscribe-post") == 2
            assert verified(mail.content, [key]) == [True]


def test_a_relay_is_given_the_fields(world: World) -> None:
    made = plugin()
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[made]) as mailer:
        assert mailer.send(hello()).ok
        headers = {field["Name"]: field["Value"] for field in relay.requests[0].json["Headers"]}
        assert made.links.read(token_in(headers["List-Unsubscribe"]), now_s=NOW).address.addr_spec == "ann@example.org"
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_backend_that_merges_is_given_a_field_for_each() -> None:
    class Merging(MemoryBackend):
        features = Features(merge=True)

    to = ["ann@example.org", "bob@example.org", "own@example.org"]
    own = {"own@example.org": {"list-unsubscribe": "<https://own.example>"}, "ann@example.org": {"X-A": "1"}}
    made = plugin()
    backend = Merging()
    with Mailer(backend, plugins=[made]) as mailer:
        mailer.send(hello(to=to, merge_data={one: {} for one in to}, merge_headers=own))
    [mail] = backend.mails
    assert mail.message is not None
    headers = mail.message.merge_headers
    assert headers["own@example.org"] == own["own@example.org"]
    assert headers["ann@example.org"]["X-A"] == "1"
    for one in to[:2]:
        assert made.links.read(token_in(headers[one]["List-Unsubscribe"]), now_s=NOW).address.addr_spec == one


def test_one_click_stops_the_mail(world: World) -> None:
    """The whole circle: a mail, its link, the click, and no further mail."""
    suppressed = MemorySuppressionList()
    made = plugin()
    with SmtpServer() as server, world.mailer(server.url, plugins=[made, Suppression(list=suppressed)]) as mailer:
        assert mailer.send(hello()).ok
        token = token_in(server.mails[0].message["List-Unsubscribe"])
        status: list[str] = []
        body = b"List-Unsubscribe=One-Click"
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/u/{token}",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        list(made.app(suppressed).wsgi(environ, lambda line, headers: status.append(line)))
        assert status == ["200 OK"]
        with pytest.raises(DeliveryRefused, match="suppressed: unsubscribed"):
            mailer.send(hello())
        assert len(server.mails) == 1


def test_only_messages_of_a_list_have_a_link(world: World) -> None:
    made = plugin(tags=["news", "offers"])
    with world.mailer("memory:", plugins=[made]) as mailer:
        mailer.send(hello(to=["ann@example.org", "bob@example.org"]))  # an invoice, say
        mailer.send(hello(tags=["x", "offers"]))
        plain, offer = [mail.message for mail in mailer.backend.mails]
        assert plain.headers == ()
        assert made.links.read(token_in(dict(offer.headers)["List-Unsubscribe"]), now_s=NOW).list_name == "offers"


def test_several_recipients_cannot_have_one_link(world: World) -> None:
    message = hello(cc="bob@example.org")
    with world.mailer("memory:", plugins=[plugin()]) as mailer:
        with pytest.raises(HookError, match=r"list_unsubscribe .* is to 2 recipients.*merge_data"):
            mailer.send(message)
        assert mailer.send(hello(cc="ANN <ann@example.org>")).ok  # that is one mailbox
    with world.mailer("memory:", plugins=[plugin(several="skip")]) as mailer:
        mailer.send(message)
        assert mailer.backend.mails[0].message.headers == ()


def test_ones_own_fields_stay(world: World) -> None:
    with world.mailer("memory:", plugins=[plugin()]) as mailer:
        mailer.send(hello(headers={"LIST-UNSUBSCRIBE": "<mailto:u@example.com>"}, cc="bob@example.org"))
        assert mailer.backend.mails[0].message.headers == (("LIST-UNSUBSCRIBE", "<mailto:u@example.com>"),)


def test_a_template_has_the_link(world: World, tmp_path: Any) -> None:
    (tmp_path / "news.subject.txt").write_text("News")
    (tmp_path / "news.txt").write_text("Stop: {{ unsubscribe_url }}")
    made = plugin()
    with world.mailer("memory:", plugins=[made], templates=tmp_path) as mailer:
        to = ["ann@example.org", "bob@example.org"]
        mailer.send(Message(from_="shop@example.com", to=to, template="news", merge_data={one: {} for one in to}))
        for one, mail in zip(to, mailer.backend.mails, strict=True):
            assert mail.message.text.strip() == f"Stop: {made.link(one)}"
            assert dict(mail.message.headers)["List-Unsubscribe"] == f"<{made.link(one)}>"


def test_a_mail_address_may_stand_beside_it(world: World) -> None:
    made = plugin(mailto="u&n%s+x@example.com")
    with SmtpServer() as server, world.mailer(server.url, plugins=[made]) as mailer:
        mailer.send(hello())
        body = server.mails[0].message["List-Unsubscribe"]
    token = token_in(body)
    assert body.endswith(f", <mailto:u%26n%25s+x@example.com?subject={token}>")


def test_the_longest_of_everything_fits_a_header() -> None:
    url = "https://example.com/" + "u" * 180
    made = At(url=url, secret=SECRET, mailto="%" * 60 + "@" + "b" * 34 + ".test", tags=["t" * 100])
    to = "x" * 64 + "@" + ".".join(["d" * 60] * 3) + ".test"
    with Mailer("memory:", plugins=[made]) as mailer:
        mailer.send(hello(to=to, tags=["t" * 100]))
        content = bytes(mailer.backend.mails[0].content)
    assert b"List-Unsubscribe: <https" in content
    assert max(map(len, content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "plugins.list_unsubscribe.url"),
        ({"url": URL}, "plugins.list_unsubscribe.secret"),
        ({"url": "http://example.com", "secret": SECRET}, "no URL for links"),
        ({"url": URL, "secret": "short"}, "at least 32 characters"),
        ({"url": URL, "secret": SECRET, "old_secrets": "short"}, "at least 32 characters"),
        ({"url": URL, "secret": SECRET, "expires_days": 0}, "expires_days=0"),
        ({"url": URL, "secret": SECRET, "mailto": "nonsense"}, "mailto: "),
        ({"url": URL, "secret": SECRET, "mailto": "jösé@example.com"}, "mailto: "),
        ({"url": URL, "secret": SECRET, "mailto": "a" * 60 + "@" + "b" * 40 + ".test"}, "mailto: "),
        ({"url": URL, "secret": SECRET, "variable": "a b"}, "variable: "),
        ({"url": URL, "secret": SECRET, "ulr": 1}, "did you mean 'url'"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.list_unsubscribe") as caught:
        ListUnsubscribe(table)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_secret_is_shown_nowhere() -> None:
    sweep = SecretSweep([SECRET])
    with sweep.listening():
        made = Mailer(settings={"url": "memory:", "plugins": {"list_unsubscribe": {"url": URL, "secret": SECRET}}})
        inside = made.plugins["list_unsubscribe"]
        for one in (made, inside, inside.settings, inside.links, inside.app(print), made.compose(hello())):
            sweep.show(one)
    sweep.check()
