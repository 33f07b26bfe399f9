"""The sweep finds a secret wherever a backend shows it, and blames nobody who shows none."""

from __future__ import annotations

import base64
import logging
import traceback
import warnings
from urllib.parse import quote

import pytest

from mailer import (
    AsyncMailer,
    Backend,
    ConfigError,
    DeliveryError,
    Health,
    Mailer,
    Message,
    Outcome,
    Receipt,
    Settings,
    backend_from_url,
    configure,
    register_backend,
)
from mailer.errors import AuthError
from mailer.redaction import Secrets
from mailer.testing import ScriptedServer, SecretSweep, sweep

TOKEN = "t0ken/with+signs"
ONE_FACE = ("blocking",)


class Pigeon(Backend):
    """Shows nothing."""

    url = "pigeon://***@loft"

    def __init__(self):
        self.token = TOKEN

    def send(self, mail):
        return Receipt.for_all(mail, Outcome.ACCEPTED)


def of(method, name="send"):
    return type("Loud", (Pigeon,), {name: method})


def raising(error):
    def send(self, mail):
        raise error

    return of(send)


def logs(self, mail, **keywords):
    logging.getLogger("pigeon").debug(keywords.get("text", "x"), *keywords.get("args", ()), **keywords.get("more", {}))
    return Receipt.for_all(mail, Outcome.ACCEPTED)


def chained(self, mail):
    try:
        raise ValueError(TOKEN)
    except ValueError:
        raise AuthError("no") from None  # hidden from tracebacks, and still there


def in_a_variable(self, mail):
    header = f"Bearer {self.token}"
    raise AuthError(f"no {len(header)}")


def with_attribute():
    error = AuthError("no")
    error.reply = {"token": TOKEN}
    return error


def warns(self, mail):
    warnings.warn(f"old {TOKEN}", stacklevel=1)
    return Receipt.for_all(mail, Outcome.ACCEPTED)


def prints(self, mail):
    print(TOKEN)
    return Receipt.for_all(mail, Outcome.ACCEPTED)


LOUD = {
    "repr of Loud": of(lambda self: f"<Loud {self.token}>", "__repr__"),
    "str of Loud": of(lambda self: self.token, "__str__"),
    "repr of Mailer": type("Loud", (Pigeon,), {"url": f"pigeon://{TOKEN}@loft"}),
    "pickle of Loud": of(lambda self: (str, (self.token,)), "__reduce__"),
    "to_dict() of Receipt": of(lambda self, mail: Receipt.for_all(mail, Outcome.ACCEPTED, text=f"by {TOKEN}")),
    "repr of Receipt": of(
        lambda self, mail: Receipt.for_all(mail, Outcome.ACCEPTED, provider_id=quote(TOKEN, safe=""))
    ),
    "repr of Health": of(lambda self: Health(ok=True, backend="x", facts={"token": TOKEN}), "check"),
    "str of AuthError": raising(AuthError(f"{TOKEN} is wrong")),
    "arguments of AuthError": raising(AuthError("no", base64.b64encode(f"u:{TOKEN}".encode()))),
    "attributes of AuthError": raising(with_attribute()),
    "repr of ValueError": of(chained),
    "variable 'header'": of(in_a_variable),
    "message of log record of 'pigeon'": of(lambda self, mail: logs(self, mail, text="%s", args=(TOKEN,))),
    "fields of log record": of(lambda self, mail: logs(self, mail, more={"extra": {"url": TOKEN}})),
    "str of ValueError": of(lambda self, mail: logs(self, mail, more={"exc_info": ValueError(TOKEN)})),
    "str of warning": of(warns),
    "standard output": of(prints),
}


@pytest.mark.parametrize("place", LOUD)
def test_a_secret_is_found_in_every_place_and_not_shown_again(place):
    with pytest.raises(AssertionError) as found:
        sweep(LOUD[place], [TOKEN], faces=ONE_FACE)
    assert any(line.startswith(place) for line in str(found.value).splitlines()), found.value
    assert not Secrets(TOKEN).found_in(str(found.value))


def test_who_shows_none_is_not_blamed_on_any_face():
    sweep(Pigeon, [TOKEN])
    sweep(raising(AuthError("the token is wrong")), [TOKEN])
    sweep(lambda: backend_from_url("memory:"), [TOKEN], message=Message(from_="a@b.test", to="c@d.test", text="x"))


def test_the_log_is_as_it_was_afterwards():
    root, ours = logging.getLogger(), logging.getLogger("mailer")
    before = root.level, ours.level, list(root.handlers), list(ours.handlers)
    ours.propagate = False
    try:
        with pytest.raises(AssertionError, match="a secret is shown"), SecretSweep([TOKEN]).listening():
            logging.getLogger("mailer.pigeon").debug("heard")
            raise AssertionError("a secret is shown")
    finally:
        ours.propagate = True
    assert (root.level, ours.level, root.handlers, ours.handlers) == before


def test_a_log_that_does_not_propagate_is_heard():
    ours = logging.getLogger("mailer")
    ours.propagate = False
    found = SecretSweep([TOKEN])
    try:
        with found.listening():
            logging.getLogger("mailer.pigeon").info("%s", TOKEN)
    finally:
        ours.propagate = True
    assert found.leaks


@pytest.mark.parametrize("secrets", [[], ["short"], [TOKEN, ""]])
def test_a_secret_that_chance_could_show_is_refused(secrets):
    with pytest.raises(ValueError, match="8 characters"):
        SecretSweep(secrets)


def test_an_error_with_a_receipt_leads_to_its_causes():
    found = SecretSweep([TOKEN])
    cause = AuthError(f"with {TOKEN}")
    found.show(DeliveryError("no", Receipt("1", error=cause)))
    found.show(ExceptionGroup("several", [KeyError(TOKEN)]))
    assert any(leak.startswith("str of AuthError") for leak in found.leaks)
    assert any(leak.startswith("repr of KeyError") for leak in found.leaks)


# --- our own ----------------------------------------------------------------------------------------------------------


PLAIN = base64.b64encode(f"\0user\0{TOKEN}".encode()).decode()
HELLO = "S: 220 hi\nC: EHLO *\nS: 250-h\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\n"
ENDINGS = {
    "refused": f"S: 535 5.7.8 no {TOKEN} {PLAIN}\n",
    "lost": "S: close\n",
    "reset": "S: reset\n",
    "junk": f"S: {PLAIN}\n",
    "closing": f"S: 421 {PLAIN}\n",
    "silent": "S: hold\n",
    "circles": f"S: 334 {PLAIN}\nC: *\nS: 501 {TOKEN}\n",
    "taken": f"S: 235 {TOKEN}\nC: MAIL *\nS: 550 {PLAIN}\n",
}


def smtp(peer, command_timeout_s=5):
    who = f"user:{quote(TOKEN, safe='')}"
    return backend_from_url(
        f"smtp://{who}@127.0.0.1:{peer.port}?tls=none&auth_in_clear=yes&command_timeout={command_timeout_s}"
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_smtp_shows_no_secret_whatever_becomes_of_the_login(ending):
    with ScriptedServer(HELLO + ENDINGS[ending]) as peer:
        sweep(lambda: smtp(peer, 0.05 if ending == "silent" else 5), [TOKEN, PLAIN])


def test_a_token_that_is_user_and_password_both_is_shown_as_neither():
    """As Postmark's SMTP has it."""
    who = quote(TOKEN, safe="")
    with ScriptedServer(HELLO + "S: 535 5.7.8 no\n---\n" + HELLO + "S: 235 ok\nC: MAIL *\nS: 550 no\n") as peer:
        url = f"smtp://{who}:{who}@127.0.0.1:{peer.port}?tls=none&auth_in_clear=yes"
        sweep(lambda: backend_from_url(url), [TOKEN])
    assert str(backend_from_url(url)).startswith("smtp://***:***@127")


def test_without_care_the_frames_of_a_failed_login_would_show_it(monkeypatch):
    """That the sweep looks deep enough to see what ``forget_frames`` is for."""
    monkeypatch.setattr("mailer.smtp.session.forget_frames", lambda error: None)
    with ScriptedServer(HELLO + "S: close\n") as peer, pytest.raises(AssertionError, match="variable 'line'"):
        sweep(lambda: smtp(peer), [TOKEN, PLAIN], faces=ONE_FACE)


def test_a_plug_ins_own_traceback_is_kept(monkeypatch):
    monkeypatch.setattr("mailer.backends.url._registered", {})

    def broken(url, runtime):
        return 1 / 0

    register_backend("pigeon", broken)
    with pytest.raises(ConfigError) as refused:
        Mailer(f"pigeon://{quote(TOKEN, safe='')}@loft")
    refused.value.__traceback__ = refused.value.__traceback__.tb_next
    found = SecretSweep([TOKEN])
    found.show(refused.value)
    found.check()
    assert "return 1 / 0" in "".join(traceback.format_exception(refused.value))


SECRET = quote(TOKEN, safe="")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mailer(f"smtp://u:{SECRET}@h?bogus=1"),
        lambda: Mailer(f"smtp://u:{SECRET}@h", from_="no address"),
        lambda: AsyncMailer(f"smtp://u:{SECRET}@h", unsupported="never"),
        lambda: Mailer(settings={"url": f"smtp://u:{SECRET}@h?bogus=1"}),
        lambda: configure({"ulr": f"smtp://u:{SECRET}@h"}),
        lambda: Mailer(settings={"ulr": f"smtp://u:{SECRET}@h"}),
        lambda: Mailer(settings={"url": f"smtp://u:{SECRET}@h"}, name="nobody"),
        lambda: Mailer(settings={"mailers": {"news": {"url": f"smtp://u:{TOKEN}@h"}}}, name="news"),
    ],
)
def test_a_wrong_setting_shows_no_secret(make):
    found = SecretSweep([TOKEN])
    with pytest.raises(ConfigError) as refused:
        make()
    refused.value.__traceback__ = refused.value.__traceback__.tb_next.tb_next  # without this test's own frames
    found.show(refused.value)
    found.check()


def test_settings_show_no_secret():
    settings = Settings({"url": f"smtp://u:{SECRET}@h", "mailers": {"news": {"url": f"smtp://u:{SECRET}@i"}}})
    found = SecretSweep([TOKEN])
    for thing in (
        settings,
        settings.of(),
        settings.of("news"),
        settings.url,
        settings.rows(),
        Mailer(settings=settings),
    ):
        found.show(thing)
    found.check()


@pytest.mark.parametrize(
    "url",
    [
        "smtp://user:{}@h?bogus=1",
        "smtp://user:{}@h:99999",
        "smpt://user:{}@h",
        "failover(smtp://user:{}@h",
        "smtp://{}@h",
    ],
)
def test_a_wrong_url_shows_no_secret(url):
    found = SecretSweep([TOKEN])
    with pytest.raises(ConfigError) as refused:
        backend_from_url(url.format(quote(TOKEN, safe="")))
    refused.value.__traceback__ = refused.value.__traceback__.tb_next  # without this test's own frame
    found.show(refused.value)
    found.check()
