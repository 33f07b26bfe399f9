"""For Django's tests: mails go by the project's own backend again, whose mailer the outbox catches.

Django's test runner (pytest-django too) puts its ``locmem`` in the place of every backend, so that nothing of ours
would run. Here ours are put back for the length of a test; projects that send by other backends keep ``locmem``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.test.utils import _TestState, override_settings
from django.utils.module_loading import import_string

from .testcase import MailerTestMixin

__all__ = ["DjangoMailerTestMixin", "own_backends", "waiting_for_commit"]


class DjangoMailerTestMixin(MailerTestMixin):
    """Goes before any of ``django.test``'s test cases. As :class:`MailerTestMixin`; ``send_mail`` is caught too.

    ::

        class SignUpTest(DjangoMailerTestMixin, TestCase):
            def test_confirmation(self):
                with self.captureOnCommitCallbacks(execute=True):
                    self.client.post("/sign-up/", {"email": "ann@example.org"})
                self.client.get(self.assertMailSent(to="ann@example.org").link("/confirm/"))
    """

    def run(self, result: Any = None) -> Any:
        """Run the test with the project's own backend, within its outbox."""
        with own_backends():
            return super().run(result)

    def debug(self) -> Any:
        """The same where errors come out."""
        with own_backends():
            return super().debug()


@contextmanager
def own_backends() -> Iterator[None]:
    """Send by the project's backends, where they are ours, in the place of those that Django's runner has put there."""
    saved = getattr(_TestState, "saved_data", None)  # there is no public way to what the runner has replaced
    path = getattr(saved, "email_backend", None)
    given = getattr(saved, "mailers", None)
    changes: dict[str, Any] = {}
    if path is not None and _is_ours(path):
        changes["EMAIL_BACKEND"] = path
    if given is not None and any(_is_ours(one.get("BACKEND", "")) for one in given.values()):
        from django.conf import settings

        now = settings.MAILERS
        changes["MAILERS"] = {
            alias: one if _is_ours(one.get("BACKEND", "")) else now.get(alias, one) for alias, one in given.items()
        }
    if not changes:
        yield
        return
    with override_settings(**changes):
        yield


def _is_ours(path: str) -> bool:
    from ..contrib.django import EmailBackend

    try:
        return issubclass(import_string(path), EmailBackend)
    except (ImportError, TypeError):
        return False  # Django says so where it is used


def waiting_for_commit() -> list[str]:
    """What to say of functions that a test's transaction keeps from running, a line for each database."""
    lines = []
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block and connection.run_on_commit:
            lines.append(
                f"{len(connection.run_on_commit)} functions given to transaction.on_commit wait for a commit that a"
                f" TestCase never makes ({connection.alias}): with self.captureOnCommitCallbacks(execute=True): ..."
            )
    return lines
