"""The contracts for authors: what is right passes, and each test of theirs fails for something that is wrong."""

# ruff: noqa: RUF012 - tables of classes of a few lines

from __future__ import annotations

import importlib
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mailer import Context, Message, MessageError, Outcome, Plugin, PluginSettings, Receipt, UnsupportedFeature
from mailer.backends import relay as relay_backend
from mailer.backends.memory import MemoryBackend
from mailer.backends.relay import relay_factory
from mailer.features import Features, Limits
from mailer.mail import Content
from mailer.relay.exchange import Response
from mailer.relay.meaning import REJECTED
from mailer.testing.conformance import BackendContract, PluginContract, ProviderContract, answer
from mailer.testing.provider_cases import WHEN

EXAMPLE = Path(__file__).parents[2] / "examples" / "provider_package"
sys.path.insert(0, str(EXAMPLE / "src"))
pigeon: Any = importlib.import_module("mailwright_pigeon")
sys.path.remove(str(EXAMPLE / "src"))
TOKEN = "t0ken-of-pigeon"


def names_of_tests(contract: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(contract, inspect.isfunction) if name.startswith("test_")}


def fails(contract: type, test: str) -> str:
    """What the test says of it, which must be something."""
    with pytest.raises((Exception, pytest.fail.Exception)) as failed:
        getattr(contract(), test)()
    return str(failed.value)


# --- providers --------------------------------------------------------------------------------------------------------


def provider_contract(provider: Any, **more: Any) -> type:
    given: dict[str, Any] = {
        "ok": answer(200, {"id": "m-1"}),
        "answers": {
            "one is refused": (
                answer(200, {"id": "m-1", "refused": [{"who": "bob@example.org", "why": "no"}]}),
                [Outcome.ACCEPTED, Outcome.REJECTED], None, "",
            )
        },
        "credentials": ("Authorization", f"Pigeon {TOKEN}"),
        "named_bases": {"pigeon://T@eu": "https://eu.pigeon.example"},
        "golden": EXAMPLE / "tests" / "pigeon.json",
    }  # fmt: skip
    return ProviderContract.of(provider(TOKEN), **{**given, **more})


class TestPigeon(provider_contract(pigeon.Pigeon)):  # type: ignore[misc]
    """The example, which is right."""

    @pytest.fixture(autouse=True)
    def _known(self, known: None) -> None:
        """By its URL too."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailer.backends.url._registered", {"pigeon": relay_factory(pigeon.Pigeon)})


class Loud(pigeon.Pigeon):  # type: ignore[misc]
    def request(self, mail: Any) -> Any:
        request = super().request(mail)
        return replace(request, content=request.content.replace(b"subject", b"SUBJECT"))


class ToNobody(pigeon.Pigeon):  # type: ignore[misc]
    def request(self, mail: Any) -> Any:
        request = super().request(mail)
        return replace(request, content=request.content.replace(b"ann@", b"nobody@"))


class NoHeaders(pigeon.Pigeon):  # type: ignore[misc]
    def request(self, mail: Any) -> Any:
        if self.letter(mail).headers:
            raise MessageError("no", field="headers")
        return super().request(mail)


class ClaimsRaw(pigeon.Pigeon):  # type: ignore[misc]
    features = Features.of_api(raw=True)


class NoSchedule(pigeon.Pigeon):  # type: ignore[misc]
    features = Features.of_api(send_at=True)
    limits = Limits(schedule_s=3600)

    def refuse(self, letter: Any) -> None:
        if letter.message.send_at is not None:
            raise UnsupportedFeature("not at all", field="send_at")


class InPath(pigeon.Pigeon):  # type: ignore[misc]
    def request(self, mail: Any) -> Any:
        request = super().request(mail)
        return replace(request, url=f"{request.url}/{''.join(mail.message.tags)}") if mail.message else request


class InQuery(InPath):
    def request(self, mail: Any) -> Any:
        return replace(super().request(mail), url=f"{self.base}/v1/mails?subject={mail.message.subject}")


class ShowsBcc(pigeon.Pigeon):  # type: ignore[misc]
    def request(self, mail: Any) -> Any:
        request = super().request(mail)
        return replace(request, content=request.content.replace(b'"bcc"', b'"cc"'))


class ForgetsBcc(pigeon.Pigeon):  # type: ignore[misc]
    def request(self, mail: Any) -> Any:
        request = super().request(mail)
        return replace(request, content=request.content.replace(b"dee@", b"d.e@"))


class TokenInUrl(pigeon.Pigeon):  # type: ignore[misc]
    def request(self, mail: Any) -> Any:
        request = super().request(mail)
        return replace(request, url=f"{request.url}?key={self.token}")


class Talks(pigeon.Pigeon):  # type: ignore[misc]
    def words(self, text: str) -> str:
        return text[:300]

    def error_of(self, data: Any) -> Any:
        return None, str(data)


class OneBase(pigeon.Pigeon):  # type: ignore[misc]
    @classmethod
    def from_url(cls, url: Any, **options: Any) -> Any:
        return cls(url.username)


class AllAccepted(pigeon.Pigeon):  # type: ignore[misc]
    def accepted(self, data: Any, mail: Any, response: Any) -> Receipt:
        return Receipt.for_all(mail, Outcome.ACCEPTED)


class NeverThrottled(pigeon.Pigeon):  # type: ignore[misc]
    statuses = {429: REJECTED}


class TakesHalf(pigeon.Pigeon):  # type: ignore[misc]
    def receipt(self, response: Response, mail: Any) -> Any:
        return super().receipt(replace(response, cut=None), mail)


class ForgetsOne(pigeon.Pigeon):  # type: ignore[misc]
    batch_size = 10

    def batch_request(self, mails: Any) -> Any:
        return self.request(mails[0])

    def batch_receipts(self, response: Response, mails: Any) -> Any:
        return self.receipts(response.json(), mails, response, self.accepted)[1:]


class Breaks(pigeon.Pigeon):  # type: ignore[misc]
    def signed(self, request: Any, credential: Any, now: Any) -> Any:
        raise RuntimeError("no pen")


WRONG_PROVIDERS: list[tuple[type, str, str]] = [
    (Loud, "test_every_case_is_golden_and_holds_to_the_schema", "plain"),
    (ToNobody, "test_a_plain_mail_says_what_the_message_says", "the recipient is not in the request"),
    (NoHeaders, "test_degraded_a_message_goes_without_what_is_noted", "headers: no"),
    (ClaimsRaw, "test_what_is_ready_made_or_altered_does_not_travel", "index out of range"),
    (NoSchedule, "test_the_horizon_of_a_schedule_is_refused_before_the_request", "not at all"),
    (InPath, "test_no_value_breaks_out_of_url_or_header", "tags changes the URL"),
    (InQuery, "test_no_value_breaks_out_of_url_or_header", "subject changes the URL"),
    (ShowsBcc, "test_who_is_in_bcc_is_shown_to_nobody", "dee@example.org is shown"),
    (ForgetsBcc, "test_who_is_in_bcc_is_shown_to_nobody", "dee@example.org is shown, or left out"),
    (TokenInUrl, "test_the_token_stands_in_its_header_alone", ""),
    (Talks, "test_no_secret_shows_whatever_is_answered", "a secret is shown"),
    (OneBase, "test_bases_and_regions", ""),
    (AllAccepted, "test_answers_become_receipts", "one is refused"),
    (AllAccepted, "test_a_success_in_no_known_form_is_none", "junk: html"),
    (NeverThrottled, "test_statuses_mean_what_the_one_table_says", "HTTP 429"),
    (TakesHalf, "test_an_answer_whose_rest_did_not_come_is_unknown_if_it_was_a_success", ""),
    (ForgetsOne, "test_a_batch_has_each_mail_once_and_a_receipt_for_each", ""),
    (Breaks, "test_it_sends_on_every_face", "raised RuntimeError"),
]


def test_each_test_of_providers_finds_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_backend, "utc_now", lambda: WHEN)
    assert {test for _, test, _ in WRONG_PROVIDERS} == names_of_tests(ProviderContract)
    for provider, test, said in WRONG_PROVIDERS:
        monkeypatch.setattr("mailer.backends.url._registered", {"pigeon": relay_factory(provider)})
        found = fails(provider_contract(provider), test)
        assert said in found, f"{provider.__name__}: {found}"


# --- plug-ins ---------------------------------------------------------------------------------------------------------


class NotesSettings(PluginSettings):
    text: str
    key: SecretStr = SecretStr("s3cret-of-notes")
    names: tuple[str, ...] = ()


class Notes(Plugin[NotesSettings]):
    """Writes a line below every text, and counts."""

    name = "notes"
    count = 0

    def register(self, hooks: Any) -> None:
        hooks.add_filter("message", self.noted)
        hooks.add_action("sent", self.counted)

    def noted(self, message: Message, context: Context) -> Message:
        return message.with_(text=f"{message.text}\n{self.settings.text}") if message.text else message

    def counted(self, context: Context) -> None:
        self.count += 1


SETTINGS = {"text": "The shop", "key": "s3cret-of-notes", "names": ["a"]}
TestNotes = PluginContract.of(Notes, settings=SETTINGS, secrets=["s3cret-of-notes"])


class Waits(Notes):
    """Waits in its filter and its action."""

    async def noted(self, message: Message, context: Context) -> Message:  # type: ignore[override]
        await context.runtime.sleep(0)
        return super().noted(message, context)

    async def counted(self, context: Context) -> None:  # type: ignore[override]
        await context.runtime.sleep(0)


TestWaits = PluginContract.of(Waits, settings=SETTINGS, secrets=["s3cret-of-notes"], faces=["asyncio", "trio"])


class Silent(Notes):
    __doc__ = None


class AnythingSettings(PluginSettings):
    text: Any
    key: SecretStr
    names: tuple[str, ...]


class TakesAnything(Notes):
    """Has no idea what it is told."""

    settings_model = AnythingSettings


class Wanders(Notes):
    """Comes back at another place."""

    turn = 9

    def register(self, hooks: Any) -> None:
        self.turn += 1
        hooks.add_filter("message", self.noted, self.turn)


class Strays(Notes):
    """Adds what nobody takes away."""

    def noted(self, message: Message, context: Context) -> Message:
        context.mailer.hooks.add_action("failed", self.counted)
        return message


class EndsForGood(Notes):
    """Cannot be used again."""

    is_open = True

    def noted(self, message: Message, context: Context) -> Message:
        if not self.is_open:
            raise ValueError("closed")
        return message

    def close(self) -> None:
        self.is_open = False


class TextOnly(Notes):
    """Forgets what to return."""

    def noted(self, message: Message, context: Context) -> Any:
        return message if message.text else None


class SendsItself(Notes):
    """Sends where it should only look."""

    def noted(self, message: Message, context: Context) -> Message:
        context.backend.mails.append(message)  # type: ignore[union-attr]
        return message


class SameForAll(Notes):
    """Answers everything with one receipt."""

    def register(self, hooks: Any) -> None:
        hooks.add_filter("short_circuit", lambda value, context: Receipt("7", skipped="x"))


class Meddles(Notes):
    """Changes what became of it."""

    def counted(self, context: Context) -> None:
        object.__setattr__(context.receipt, "results", context.receipt.results[:1])  # type: ignore[union-attr]


class RaisesInAction(Notes):
    """Fails in an action."""

    def counted(self, context: Context) -> None:
        raise KeyError("x")


class HoldsOn(Notes):
    """Lets one mail at a time through, and waits for its end in an action that a cancelled one never comes to."""

    is_taken = False

    def noted(self, message: Message, context: Context) -> Message:
        if self.is_taken:
            raise ValueError("busy")
        self.is_taken = True
        return message

    def counted(self, context: Context) -> None:
        self.is_taken = False


class BodyToHeader(Notes):
    """Writes bytes."""

    def register(self, hooks: Any) -> None:
        hooks.add_filter("mail", self.written)

    def written(self, mail: Any, context: Context) -> Any:
        said = (mail.message.text if mail.message else "") or ""
        return mail.with_(content=Content.of(b"X-Text: " + said.encode() + b"\r\n" + bytes(mail.content)))


class SettingToHeader(BodyToHeader):
    """Writes a setting as bytes."""

    def written(self, mail: Any, context: Context) -> Any:
        said = f"X-Name: {self.settings.text}\r\n"
        return mail.with_(content=Content.of(said.encode() + bytes(mail.content)))


class SettingToRecipient(Notes):
    """Reads recipients out of a setting's lines."""

    def noted(self, message: Message, context: Context) -> Message:
        more = [line[5:] for line in self.settings.text.splitlines() if line.startswith("Bcc: ")]
        return message.with_(bcc=more)


class ShowsKey(Notes):
    """Tells."""

    def __repr__(self) -> str:
        return f"<notes {self.settings.key.get_secret_value()}>"


class LogsKey(Notes):
    """Tells in a log."""

    def noted(self, message: Message, context: Context) -> Message:
        import logging

        logging.getLogger("notes").debug("by %s", self.settings.key.get_secret_value())
        return message


WRONG_PLUGINS: list[tuple[type[Notes], str, str]] = [
    (Silent, "test_it_says_who_it_is", "no docstring"),
    (TakesAnything, "test_unknown_and_wrong_settings_are_refused_and_named", "DID NOT RAISE"),
    (Wanders, "test_it_comes_whole_and_goes_whole", ""),
    (Strays, "test_it_comes_whole_and_goes_whole", "registered past the registry"),
    (EndsForGood, "test_a_closed_mailer_may_be_used_and_closed_again", "notes raised ValueError"),
    (TextOnly, "test_filters_give_back_what_they_must", "notes returned None"),
    (SendsItself, "test_composed_alone_it_is_what_is_sent", ""),
    (SameForAll, "test_eight_at_once", ""),
    (Meddles, "test_actions_change_no_result_and_do_not_raise", "changed a result"),
    (RaisesInAction, "test_actions_change_no_result_and_do_not_raise", "an action raised"),
    (HoldsOn, "test_a_mail_cut_short_does_no_lasting_harm", "notes raised ValueError"),
    (BodyToHeader, "test_no_value_of_a_message_becomes_a_header_or_a_recipient", "a message's text became"),
    (SettingToHeader, "test_no_setting_becomes_a_header_or_a_recipient", "the setting text became"),
    (SettingToRecipient, "test_no_setting_becomes_a_header_or_a_recipient", "became a recipient"),
    (ShowsKey, "test_no_secret_shows", "repr of "),
    (LogsKey, "test_no_secret_shows", "log record of 'notes'"),
]


def test_each_test_of_plugins_finds_what_is_wrong() -> None:
    assert {test for _, test, _ in WRONG_PLUGINS} == names_of_tests(PluginContract)
    for plugin, test, said in WRONG_PLUGINS:
        found = fails(PluginContract.of(plugin, settings=SETTINGS, secrets=["s3cret-of-notes"]), test)
        assert said in found, f"{plugin.__name__}: {found}"


# --- one line ---------------------------------------------------------------------------------------------------------

TestMemory = BackendContract.of(MemoryBackend, faces=["blocking"])


def test_a_slip_in_the_line_is_named() -> None:
    with pytest.raises(TypeError, match="did you mean 'secrets'"):
        PluginContract.of(Notes, secret=["x"])
    with pytest.raises(TypeError, match="did you mean 'golden'"):
        ProviderContract.of(pigeon.Pigeon(TOKEN), goldn="x")
    with pytest.raises(TypeError, match="has no attribute 'test_eight_at_once'"):
        PluginContract.of(Notes, test_eight_at_once=None)
    with pytest.raises(ValueError, match="golden names no file"):
        ProviderContract.of(pigeon.Pigeon(TOKEN)).write_golden()  # type: ignore[attr-defined]
