"""For `unittest`: a mixin that gives each test an outbox of its own."""

from __future__ import annotations

import unittest
from typing import Any, Unpack, overload

from .criteria import Expected
from .outbox import MailOutbox
from .sent import SentMail

__all__ = ["MailerTestMixin"]


class MailerTestMixin:
    """Goes before ``TestCase``, or ``IsolatedAsyncioTestCase``; ``setUp`` and ``tearDown`` need not know of it.

    ::

        class OrderTest(MailerTestMixin, unittest.TestCase):
            def test_order(self):
                order("ann@example.org")
                mail = self.assertMailSent(to="ann@example.org", subject="Order 7")

    Attributes:
        mailer_outbox: The mails of this test, its ``setUp`` and cleanups included; see :class:`MailOutbox`.
    """

    mailer_outbox: MailOutbox

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        order = cls.__mro__
        if unittest.TestCase in order and order.index(unittest.TestCase) < order.index(MailerTestMixin):
            raise TypeError(f"{cls.__name__}: MailerTestMixin goes before TestCase, or no mail would be caught")

    @classmethod
    def setUpClass(cls) -> None:
        """What is sent for all tests, in ``setUpTestData`` too, does not leave; it is in no test's outbox."""
        outbox = MailOutbox().start()
        cls.addClassCleanup(outbox.stop)  # type: ignore[attr-defined]
        super().setUpClass()  # type: ignore[misc]

    def __getstate__(self) -> Any:
        """Without the outbox: runners with several processes pickle a test whose sub-test failed."""
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "mailer_outbox"}

    def run(self, result: Any = None) -> Any:
        """Run the test within its outbox."""
        with MailOutbox() as self.mailer_outbox:
            return super().run(result)  # type: ignore[misc]  # the TestCase behind it

    def debug(self) -> Any:
        """The same where errors come out, as debuggers want it."""
        with MailOutbox() as self.mailer_outbox:
            return super().debug()  # type: ignore[misc]

    @overload
    def assertMailSent(self, *, count: None = None, **expected: Unpack[Expected]) -> SentMail: ...

    @overload
    def assertMailSent(self, *, count: int, **expected: Unpack[Expected]) -> list[SentMail]: ...

    def assertMailSent(  # noqa: N802 - as unittest's are named
        self, *, count: int | None = None, **expected: Unpack[Expected]
    ) -> SentMail | list[SentMail]:
        """See :func:`mailer.testing.assert_sent`."""
        outbox = self.mailer_outbox
        return outbox.assert_sent(**expected) if count is None else outbox.assert_sent(count=count, **expected)

    def assertNoMailSent(self, **expected: Unpack[Expected]) -> None:  # noqa: N802
        """See :func:`mailer.testing.assert_nothing_sent`."""
        self.mailer_outbox.assert_nothing_sent(**expected)
