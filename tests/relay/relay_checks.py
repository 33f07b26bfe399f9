"""What every provider is held to, without sockets: a subclass gives the provider, its answers and its schemas.

``python tests/relay/relay_checks.py sendgrid`` writes the golden file anew: read the difference before it is kept.
"""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from relay_cases import CASES, WHEN, mail_of, message_of, schema_errors
from test_providers import ANSWERS

from mailer import MessageError, Outcome, ProtocolError, Receipt, TransportError, UnsupportedFeature
from mailer.backends import relay as relay_backend
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.exchange import Request, Response
from mailer.relay.provider import Provider

__all__ = ["PAIR", "TOKEN", "ProviderChecks", "answer"]

TOKEN = "Tok3n-%/+x"
# Merging makes plain mails before a provider sees them.
ORDINARY = [case for case in CASES if case != "merge"]
UNSCHEMED = {"options"}  # what an app adds of its own
PAIR = mail_of(message_of("plain").with_(to=["ann@example.org", "bob@example.org"]))
A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN
#: What any provider is answered by a proxy, a captive portal or a fault: (status, body, outcomes, cause, what the text has).
STATUSES = {name: by["netcore"] for name, by in ANSWERS.items() if name.startswith("HTTP ")}
JUNK = {name: by["netcore"][1] for name, by in ANSWERS.items() if name.startswith("junk: ")}


def answer(status: int, body: Any = b"", **headers: str) -> Response:
    """An answer as it comes; header names with "_" for "-"."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


class ProviderChecks:
    """The same cases in the same order for each provider.

    Attributes:
        provider: With :data:`TOKEN`.
        ok: An answer that accepts a mail, with the id "m-1".
        answers: Name -> answer, outcomes of ann and bob, cause, what the text has.
        schemas: (file, pointer) of the request's schema.
        credentials: The header that holds the token.
        named_bases: URL -> base.
        golden: The golden file's name, where it is not the provider's.
        statuses: HTTP status -> outcomes and cause, where they are not what the one table says.
    """

    provider: ClassVar[Provider]
    ok: ClassVar[Response]
    answers: ClassVar[dict[str, tuple[Response, list[Outcome], type[Exception] | None, str]]]
    schemas: ClassVar[list[tuple[str, str]]]
    credentials: ClassVar[tuple[str, str]]
    named_bases: ClassVar[dict[str, str]]
    golden: ClassVar[str] = ""
    statuses: ClassVar[dict[int, tuple[list[Outcome], type[Exception] | None]]] = {}

    # --- what may differ ---

    @classmethod
    def body_of(cls, request: Request) -> Any:
        """The body as the golden file has it."""
        return json.loads(request.content)

    def schema_body(self, body: Any) -> Any:
        """What of the body its schema is asked about."""
        return body

    # --- requests ---

    @classmethod
    def told(cls, case: str) -> dict[str, Any]:
        """What a backend makes of the case before it sends: path, body and notes, or the error."""
        backend = RelayBackend(cls.provider)
        mail = mail_of(message_of(case), CASES[case].get("recipients"))
        try:
            notes = backend.left_out(mail)
            request = backend.provider.request(mail)
        except MessageError as error:
            return {"error": type(error).__name__, "field": error.field}
        path = request.url.removeprefix(backend.provider.base)
        return {"path": path, "body": cls.body_of(request), "notes": list(notes)}

    @pytest.fixture(autouse=True)
    def _today(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(relay_backend, "_now", lambda: WHEN)

    def test_every_case_is_golden_and_holds_to_the_schema(self) -> None:
        gold = json.loads(_golden(type(self)).read_text(encoding="utf-8"))
        assert list(gold) == ORDINARY
        for case in ORDINARY:
            got = self.told(case)
            assert got == gold[case], case
            if "body" in got and case not in UNSCHEMED:
                assert self.faults(got["body"]) == [], case

    def faults(self, body: Any) -> list[str]:
        """What the schemas find wrong with it."""
        return [f for schema in self.schemas for f in schema_errors(self.schema_body(body), *schema, is_closed=True)]

    def test_degraded_a_message_goes_without_what_is_noted(self) -> None:
        """Everything at once, with the policy that leaves out: the schema holds still, and each loss is named."""
        backend = RelayBackend(self.provider)
        backend.unsupported = "degrade"
        fields: dict[str, Any] = {}
        for case in (
            "inline",
            "attachments",
            "reply_to list",
            "sender",
            "headers twice",
            "amp",
            "alternatives",
            "tags",
        ):
            files = (*fields.get("attachments", ()), *CASES[case].get("attachments", ()))
            fields |= {**CASES[case], "attachments": files}
        fields |= {**CASES["metadata"], **CASES["schedule"], **CASES["message_id"], "html": "<p>x</p>", "text": "x"}
        mail = mail_of(message_of("plain").with_(**fields)).with_(is_altered=True)
        notes = backend.left_out(mail)
        assert self.faults(self.body_of(backend.provider.request(mail))) == []
        asked = ("inline", "sender", "alternatives", "amp_html", "send_at", "raw", "message_id", "tags", "metadata")
        lacking = {field for field in asked if not getattr(backend.features, field)}
        assert {note.split()[0] for note in notes} >= lacking

    def test_what_is_ready_made_or_altered_does_not_travel(self) -> None:
        backend = RelayBackend(self.provider)
        for raw in (PAIR.with_(message=None), PAIR.with_(is_altered=True)):
            if self.provider.features.raw:  # it does, as it is
                assert backend.left_out(raw) == ()
                assert self.faults(self.body_of(self.provider.request(raw))) == []
                continue
            with pytest.raises(UnsupportedFeature) as refused:
                backend.left_out(raw)
            assert refused.value.field == "raw"

    def test_the_horizon_of_a_schedule_is_refused_before_the_request(self) -> None:
        """Exactly at it is taken, a second beyond is not."""
        from datetime import timedelta

        most_s = self.provider.limits.schedule_s
        if most_s is None:
            assert not self.provider.features.send_at or self.told("schedule")["body"]
            return
        backend = RelayBackend(self.provider)
        backend.left_out(mail_of(message_of("plain").with_(send_at=WHEN + timedelta(seconds=most_s))))
        with pytest.raises(UnsupportedFeature, match=f"more|further .* {most_s // 3600} hours") as refused:
            backend.left_out(mail_of(message_of("plain").with_(send_at=WHEN + timedelta(seconds=most_s + 1))))
        assert refused.value.field == "send_at"

    def test_the_token_stands_in_its_header_alone(self) -> None:
        request = self.provider.request(PAIR)
        assert self.credentials in request.headers
        assert TOKEN not in request.url
        assert TOKEN.encode() not in request.content
        assert TOKEN not in repr(request) + repr(self.provider) + repr(RelayBackend(self.provider))

    def test_bases_and_regions(self) -> None:
        for url, base in self.named_bases.items():
            backend = backend_from_url(url)
            assert isinstance(backend, RelayBackend)
            assert backend.provider.base == base
            assert str(backend) == url.replace("//T@", "//***@")

    # --- answers ---

    def test_answers_become_receipts(self) -> None:
        for name, (given, outcomes, cause, text) in self.answers.items():
            self.check(name, given, outcomes, cause, text)
        self.check("ok", self.ok, [A, A], None, "")

    def test_statuses_mean_what_the_one_table_says(self) -> None:
        """F74, F75, F76, F77: the ambiguous ones are UNKNOWN without a key that is honoured, else DEFERRED."""
        for name, (status, body, outcomes, cause, text) in STATUSES.items():
            outcomes, cause = self.statuses.get(status, (outcomes, cause))
            wanted = [D if o is U and self.provider.features.idempotency_key else o for o in outcomes]
            self.check(name, answer(status, body, retry_after="7"), wanted, cause, text, asked_s=7)

    def test_a_success_in_no_known_form_is_none(self) -> None:
        """F79: junk in the place of an answer says nothing of the mail."""
        wanted = [D if self.provider.features.idempotency_key else U] * 2
        for name, body in JUNK.items():
            self.check(name, answer(200, body), wanted, ProtocolError, "answered HTTP 200")

    def test_an_answer_whose_rest_did_not_come_is_unknown_if_it_was_a_success(self) -> None:
        """F78: the answer began and broke off."""
        lost = TransportError("the connection broke")
        given = Response(self.ok.status, self.ok.headers, self.ok.content, cut=lost)
        receipt = self.provider.receipt(given, PAIR)
        assert receipt.results[0].outcome is (D if self.provider.features.idempotency_key else U)
        assert receipt.error is lost

    def check(
        self, name: str, given: Response, outcomes: list[Outcome], cause: Any, text: str, asked_s: float | None = None
    ) -> Receipt:
        """The receipt says this, and no secret."""
        receipt = self.provider.receipt(given, PAIR)
        assert [result.outcome for result in receipt.results] == outcomes, name
        assert [result.address for result in receipt.results] == list(PAIR.envelope.recipients)
        assert type(receipt.error) is (cause or type(None)), name
        for result in receipt.results:
            assert text in result.text, name
            assert result.text.isprintable()
            assert len(result.text) <= 400
            if asked_s is not None and result.outcome is not D:
                assert result.retry_after_s is None, name
            if asked_s is not None and result.outcome is D:
                assert result.retry_after_s == asked_s, name
        assert TOKEN.lower() not in (repr(receipt) + repr(receipt.error) + json.dumps(receipt.to_dict())).lower()
        return receipt


def _golden(checks: type[ProviderChecks]) -> Path:
    return Path(__file__).parent / "golden" / f"{checks.golden or checks.provider.name}.json"


def write_golden(checks: type[ProviderChecks]) -> None:
    """One case a line."""
    relay_backend._now = lambda: WHEN  # type: ignore[attr-defined]
    lines = [f" {json.dumps(case)}: {json.dumps(checks.told(case), ensure_ascii=False)}" for case in ORDINARY]
    _golden(checks).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _main(name: str) -> None:
    import importlib

    module = importlib.import_module(f"test_{name}")
    for checks in list(vars(module).values()):
        if isinstance(checks, type) and issubclass(checks, ProviderChecks) and hasattr(checks, "provider"):
            write_golden(checks)


if __name__ == "__main__":
    import sys

    from relay_checks import _main as write  # as the tests import it, not as __main__

    write(sys.argv[1])
