"""Our own providers by the contract that ships, with their golden files and the vendors' schemas.

``python tests/relay/relay_checks.py sendgrid`` writes the golden file anew: read the difference before it is kept.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from relay_cases import ORDINARY, WHEN, mail_of, message_of, schema_errors

from mailer import Outcome
from mailer.testing.provider_contract import PAIR, ProviderContract, answer

__all__ = ["ORDINARY", "PAIR", "TOKEN", "ProviderChecks", "answer"]

TOKEN = "Tok3n-%/+x"
A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN


class ProviderChecks(ProviderContract):
    """The contract, for providers with :data:`TOKEN`.

    Attributes:
        schemas: (file, pointer) of the request's schema.
        golden_name: The golden file's, where it is not the provider's.
    """

    schemas: ClassVar[list[tuple[str, str]]]
    golden_name: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if hasattr(cls, "provider"):
            cls.golden = Path(__file__).parent / "golden" / f"{cls.golden_name or cls.provider.name}.json"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those that are signed with too."""
        return (TOKEN,)

    def schema_body(self, body: Any) -> Any:
        """What of the body its schema is asked about."""
        return body

    def faults(self, body: Any) -> list[str]:
        return [f for schema in self.schemas for f in schema_errors(self.schema_body(body), *schema, is_closed=True)]

    def test_a_fraction_of_a_second_is_not_taken_for_less(self) -> None:
        """Where whole seconds alone are taken, it goes at the next one, and never before its time."""
        if not self.provider.features.send_at:
            return
        mails = [mail_of(message_of("schedule").with_(send_at=WHEN + timedelta(seconds=s))) for s in (0, 0.5)]
        sharp, later = (self.body_of(self.provider.request(mail)) for mail in mails)
        assert sharp != later


def _main(name: str) -> None:
    import importlib

    module = importlib.import_module(f"test_{name}")
    for checks in list(vars(module).values()):
        if isinstance(checks, type) and issubclass(checks, ProviderChecks) and checks.golden is not None:
            checks.write_golden()


if __name__ == "__main__":
    import sys

    from relay_checks import _main as write  # as the tests import it, not as __main__

    write(sys.argv[1])
