"""The plug-in ``tracking``: off until asked for, the whole circle from the mail to the event, and no open redirect."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from worlds import World

from mailer import ConfigError, Event, Mailer, Message
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.plugins.list_unsubscribe import ListUnsubscribe
from mailer.plugins.tracking import Tracking
from mailer.testing import FakeRelay, SmtpServer
from mailer.tracking_app import TrackingApp

SECRET = "s3cret-" * 6
URL = "https://example.com/t"
NOW = 1_796_068_734
HTML = '<body><p>Hi <a href="https://shop.example/?a=1&amp;b=2">shop</a> <a href="mailto:a@b.example">us</a></p></body>'


class At(Tracking):
    clock = staticmethod(lambda: NOW)


def plugin(**more: Any) -> Tracking:
    return At(url=URL, secret=SECRET, **more)


def hello(**more: object) -> Message:
    fields = {
        "from_": "shop@example.com",
        "to": "ann@example.org",
        "subject": "Hi",
        "text": "https://shop.example/",
        "html": HTML,
    }
    return Message(**{**fields, **more})


def ours(html: str | None) -> list[str]:
    return re.findall(rf'"({URL}/[\w.-]+)"', html or "")


def get(app: TrackingApp, url: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    said: list[Any] = []
    path = url.removeprefix("https://example.com")
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_USER_AGENT": "Agent\r\nX: y"}
    body = b"".join(app.wsgi(environ, lambda status, headers: said.extend((status, headers))))
    return said[0], dict(said[1]), body


def test_from_the_mail_to_the_event(world: World) -> None:
    with SmtpServer() as server, world.mailer(server.url, plugins=[plugin(opens=True, clicks=True)]) as mailer:
        seen: list[Event] = []
        mailer.hooks.add_action("event", lambda context: seen.append(context.event))
        receipt = mailer.send(hello())
        [mail] = server.mails
        text, html = [part.get_content() for part in mail.message.walk() if not part.is_multipart()]
        assert text.strip() == "https://shop.example/"
        assert '<a href="mailto:a@b.example">' in html
        [click, pixel] = ours(html)
        app = mailer.plugins["tracking"].app(lambda event: seen.append(event))
        assert get(app, click)[0] == "302 Found"
        assert get(app, click)[1]["Location"] == "https://shop.example/?a=1&b=2"
        status, headers, body = get(app, pixel)
        assert (status, headers["Content-Type"], body[:6]) == ("200 OK", "image/gif", b"GIF89a")
        assert headers["Cache-Control"] == "no-store"
        told = [(event.kind.value, event.mail_id, str(event.recipient), event.url) for event in seen]
        clicked = ("clicked", receipt.id, "ann@example.org", "https://shop.example/?a=1&b=2")
        assert told == [clicked, clicked, ("opened", receipt.id, "ann@example.org", "")]
        assert mailer.publish(list(seen)) == 0
        assert len(seen) == 6
        assert seen[0].user_agent.isprintable()


def test_a_relay_is_given_it_and_is_not_to_do_it_again(world: World) -> None:
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[plugin(clicks=True)]) as mailer:
        mailer.send(hello(track_opens=True))
        mailer.send(hello(track_opens=False, track_clicks=False))
        done, plain = [request.json for request in relay.requests]
    assert len(ours(done["HtmlBody"])) == 2
    assert done["TextBody"] == "https://shop.example/"
    assert (done["TrackOpens"], done["TrackLinks"]) == (False, "None")
    assert plain["HtmlBody"] == HTML


def test_it_is_off_until_a_message_or_a_setting_says_so() -> None:
    for given, message, count in [
        ({}, {}, 0),
        ({}, {"track_clicks": True}, 1),
        ({}, {"track_opens": True}, 1),
        ({"opens": True, "clicks": True}, {}, 2),
        ({"opens": True, "clicks": True}, {"track_opens": False}, 1),
        ({"opens": True, "clicks": True}, {"track_opens": False, "track_clicks": False}, 0),
        ({"opens": True, "clicks": True}, {"html": None}, 0),
        ({"clicks": True, "untracked_hosts": "shop.example"}, {}, 0),
    ]:
        with Mailer("memory:", plugins=[plugin(**given)]) as mailer:
            mailer.send(hello(**message))
            sent = mailer.backend.mails[0].message
        assert len(ours(sent.html)) == count, (given, message)
        assert sent.text == "https://shop.example/"


def test_a_backend_that_cannot_track_has_nothing_to_note() -> None:
    class Plain(MemoryBackend):
        features = Features()

    with Mailer(Plain(), plugins=[plugin()]) as mailer:
        assert mailer.send(hello(track_opens=True, track_clicks=True)).notes == ()


def test_of_several_recipients_none_is_named_and_of_a_merge_each() -> None:
    made = plugin(clicks=True)
    with Mailer("memory:", plugins=[made]) as mailer:
        to = ["ann@example.org", "bob@example.org"]
        mailer.send(hello(to=to))
        mailer.send(hello(to=to, merge_data={one: {} for one in to}))
        links = [ours(mail.message.html)[0] for mail in mailer.backend.mails]
    said = [made.links.read(link.rpartition("/")[2]).recipient for link in links]
    assert [str(one) for one in said] == ["None", *to]


def test_the_way_to_unsubscribe_stays_straight() -> None:
    leave = ListUnsubscribe(url="https://example.com/u", secret=SECRET)
    with Mailer("memory:", plugins=[plugin(clicks=True), leave]) as mailer:
        link = leave.link("ann@example.org")
        field = [("List-Unsubscribe", f"<{link}>, <mailto:a@b.example>")]
        mailer.send(hello(html=f'<a href="{link}">leave</a><a href="https://shop.example">x</a>', headers=field))
        html = mailer.backend.mails[0].message.html
    assert f'<a href="{link}">leave' in html
    assert len(ours(html)) == 1


def test_the_endpoint_leads_nowhere_that_we_have_not_written(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []
    app = plugin().app(told.append)
    good = str(plugin().links.link("ab" * 16, None, "https://shop.example/", now_s=0))
    for url in ("/t/x", "/t/https://evil.example", "/t/", f"{good}x", f"{good[:-1]}", "/t/?url=https://evil.example"):
        status, headers, _ = get(app, url)
        assert (status, "Location" in headers) == ("404 Not Found", False), url
    assert get(app, good, "POST")[0] == "405 Method Not Allowed"
    assert told == []
    status, headers, body = get(app, good, "HEAD")  # a scanner's: it leads on, and tells nothing
    assert (status, headers["Location"], body, told) == ("302 Found", "https://shop.example/", b"", [])
    assert get(app, good)[1]["Referrer-Policy"] == "no-referrer"
    assert len(told) == 1


@pytest.fixture
def link() -> str:
    return str(plugin().links.link("ab" * 16, None, "https://shop.example/", now_s=0))


def test_who_is_told_may_fail_and_the_reader_goes_on(link: str, caplog: pytest.LogCaptureFixture) -> None:
    async def wait(event: Event) -> None: ...

    def fail(event: Event) -> None:
        raise OSError

    for then, said in ((fail, "OSError"), (wait, "mount app.asgi")):
        assert get(plugin().app(then), link)[0] == "302 Found"
        assert said in caplog.text
    with pytest.raises(ConfigError, match=r"^tracking: then must be"):
        plugin().app("nobody")  # type: ignore[arg-type]


def test_by_asgi_whoever_is_told_plain_async_or_failing(link: str, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []

    async def wait(event: Event) -> None:
        told.append(event)

    def fail(event: Event) -> None:
        raise OSError

    async def call(then: Any) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("there is nothing to read")

        scope = {
            "type": "http",
            "method": "GET",
            "path": link.removeprefix("https://example.com"),
            "headers": [(b"user-agent", b"A")],
        }
        await plugin().app(then).asgi(scope, receive, send)
        return sent

    for then in (wait, told.append, fail):
        start, body = asyncio.run(call(then))
        assert (start["status"], dict(start["headers"])[b"location"], body["body"]) == (
            302,
            b"https://shop.example/",
            b"",
        )
    assert [event.user_agent for event in told] == ["A", "A"]
    assert "OSError" in caplog.text


def test_a_wrong_setting_is_told_at_the_start() -> None:
    table: list[tuple[dict[str, Any], str]] = [
        ({}, "plugins.tracking.url"),
        ({"url": "http://example.com", "secret": SECRET}, "no URL for links"),
        ({"url": URL, "secret": "s3cret"}, "32 characters"),
        ({"url": URL, "secret": SECRET, "old_secrets": "s3cret"}, "32 characters"),
        ({"url": URL, "secret": SECRET, "opens": "perhaps"}, "opens"),
    ]
    for given, said in table:
        with pytest.raises(ConfigError, match=r"plugins\.tracking") as caught:
            Tracking(given)
        assert said in str(caught.value), given
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(plugin().settings)
