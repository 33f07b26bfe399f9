"""The app's own tests, with the testing kit: ``python -m pytest`` in ``examples/fastapi_app`` runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from courses import create_app
from fastapi.testclient import TestClient

from mailer import ConfigError, Outcome
from mailer.testing import MailOutbox

ADDRESS = "ann@example.org"
SECRET = "hook:a-long-secret"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The app, running: its mailers are made, and its background takes mails."""
    monkeypatch.delenv("MAILER_URL", raising=False)
    monkeypatch.setenv("COURSES_URL", "https://courses.test")
    monkeypatch.setenv("COURSES_WEBHOOK_SECRET", SECRET)
    with TestClient(create_app("test"), base_url="https://evil.test") as client:
        yield client


def sign_up(client: TestClient, outbox: MailOutbox) -> None:
    assert client.post("/signup", json={"address": ADDRESS, "name": "Ann <3"}).status_code == 202
    [mail] = outbox.wait_for(1)
    assert client.get(mail.link("/confirm/").removeprefix("https://courses.test")).json() == {"confirmed": ADDRESS}
    outbox.clear()


def test_who_signs_up_gets_a_link(client: TestClient, mailer_outbox: MailOutbox) -> None:
    first = client.post("/signup", json={"address": ADDRESS, "name": "Ann <3"})
    mailer_outbox.wait_for(1)
    mail = mailer_outbox.assert_sent(to=ADDRESS, subject="Welcome, Ann <3", template="welcome", tags="welcome")
    assert "Ann &lt;3" in (mail.html or "")
    link = mail.link("/confirm/")
    assert link.startswith("https://courses.test/confirm/"), "whatever the request's host is"
    path = link.removeprefix("https://courses.test")
    assert [client.get(path).status_code for _ in range(2)] == [200, 404]
    again = client.post("/signup", json={"address": ADDRESS, "name": "Eve"})
    assert (again.status_code, again.text) == (first.status_code, first.text), "nobody learns who is known"
    mailer_outbox.assert_sent(count=1)


def test_a_mail_that_was_lost_is_asked_for_again(client: TestClient, mailer_outbox: MailOutbox) -> None:
    for _ in range(2):
        assert client.post("/signup", json={"address": ADDRESS, "name": "Ann"}).status_code == 202
    paths = [mail.link("/confirm/").removeprefix("https://courses.test") for mail in mailer_outbox.wait_for(2)]
    assert [client.get(path).status_code for path in paths] == [200, 200]


def test_what_is_no_mailbox_is_refused(client: TestClient, mailer_outbox: MailOutbox) -> None:
    for name in ("", "Ann\r\nBcc: eve@example.org", "x" * 101):
        assert client.post("/signup", json={"address": ADDRESS, "name": name}).status_code == 422
    for address in ("ann", "ann@example.org, eve@example.org", "ann@example.org\r\nBcc: eve@example.org"):
        assert client.post("/signup", json={"address": address, "name": "Ann"}).status_code == 422
    mailer_outbox.assert_nothing_sent()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.ACCEPTED, 200), (Outcome.REJECTED, 422), (Outcome.DEFERRED, 503), (Outcome.UNKNOWN, 200)],
)
def test_the_outcome_of_the_bill_is_the_answer(
    outcome: Outcome, status: int, client: TestClient, mailer_outbox: MailOutbox
) -> None:
    sign_up(client, mailer_outbox)
    if outcome is not Outcome.ACCEPTED:
        retry_after_s = 3600 if outcome is Outcome.DEFERRED else None  # nobody waits so long
        mailer_outbox.fail_with(outcome, text="as the test says", retry_after_s=retry_after_s)
    answer = client.post("/enrolments", json={"address": ADDRESS, "course": "Sailing"})
    assert answer.status_code == status
    if outcome is Outcome.ACCEPTED:
        mailer_outbox.assert_sent(to=ADDRESS, subject="Bill 1", text="Sailing", count=1)
    if outcome is Outcome.UNKNOWN:
        assert answer.json() == {"bill": 1, "sent": "perhaps"}


def test_a_dead_address_gets_no_more(client: TestClient, mailer_outbox: MailOutbox) -> None:
    sign_up(client, mailer_outbox)
    told = {"RecordType": "Bounce", "Type": "HardBounce", "Email": ADDRESS, "MessageID": "m-1", "Details": "gone"}
    told["BouncedAt"] = "2026-01-02T03:04:05Z"
    assert client.post("/webhooks/postmark", json=told, auth=("hook", "guessed")).status_code == 401
    assert client.post("/enrolments", json={"address": ADDRESS, "course": "Sailing"}).status_code == 200
    assert client.post("/webhooks/postmark", json=told, auth=("hook", "a-long-secret")).status_code == 200
    assert client.post("/enrolments", json={"address": ADDRESS, "course": "Rowing"}).status_code == 403


def test_each_environment_has_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAILER_URL", raising=False)
    for environment, backend in (("development", "console:"), ("test", "memory:")):
        monkeypatch.setenv("MAILER_ENV", environment)
        with TestClient(app := create_app()):
            assert str(app.state.mailer.backend) == backend
    with pytest.raises(ConfigError, match="MAILER_URL"), TestClient(create_app("production")):
        raise AssertionError
    monkeypatch.setenv("MAILER_URL", "smtp://user:secret@smtp.example.com")
    with TestClient(app := create_app("production")):
        assert str(app.state.mailer.backend) == "smtp://user:***@smtp.example.com"
