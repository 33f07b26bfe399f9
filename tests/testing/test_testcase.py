"""The mixin for unittest: an outbox for each test, whatever else the test's class does."""

from __future__ import annotations

import pickle
import unittest

import pytest

from mailer import AsyncMailer, Mailer, Message
from mailer.backends.caught import catchers
from mailer.testing import MailerTestMixin

HELLO = Message(from_="shop@example.com", to="ann@example.org", subject="Hi", text="Hello")
MAILER = Mailer("smtp://nowhere.invalid")


class Sends(MailerTestMixin, unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        assert MAILER.send(HELLO.with_(subject="for all of them")).ok

    def setUp(self) -> None:  # without super(), as is usual
        MAILER.send(HELLO.with_(subject="set up"))

    def test_it_is_caught(self) -> None:
        for number in range(2):
            with self.subTest(number=number):
                MAILER.send(HELLO.with_(subject=f"{number}"))
                assert self.assertMailSent(subject=f"{number}").text == "Hello"
        assert len(self.assertMailSent(to="ann@example.org", count=3)) == 3

    def test_each_has_its_own(self) -> None:
        self.assertMailSent(count=1)
        self.assertNoMailSent(subject="Hi")

    def test_that_fails(self) -> None:
        self.assertMailSent(subject="Hi")

    def test_that_fails_too(self) -> None:
        self.assertNoMailSent()


class Async(MailerTestMixin, unittest.IsolatedAsyncioTestCase):
    async def test_it_is_caught(self) -> None:
        async with AsyncMailer("smtp://nowhere.invalid") as mailer:
            await mailer.send(HELLO)
        self.assertMailSent(subject="Hi", count=1)


for kind in (Sends, Async):
    kind.__test__ = False  # type: ignore[attr-defined]  # they are run below


def test_it_gives_each_test_an_outbox() -> None:
    result = unittest.TestResult()
    for kind in (Sends, Async):
        unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
    assert (result.testsRun, result.errors) == (5, [])
    said = {test.id().rpartition(".")[2]: text for test, text in result.failures}
    assert set(said) == {"test_that_fails", "test_that_fails_too"}
    assert "no mail with subject='Hi' was sent\nthe nearest is mail 1 of 1:" in said["test_that_fails"]
    assert catchers.latest is None


def test_debuggers_and_other_processes_have_the_test_too() -> None:
    test = Sends("test_it_is_caught")
    test.debug()
    assert vars(pickle.loads(pickle.dumps(test))).keys() == vars(test).keys() - {"mailer_outbox"}
    assert catchers.latest is None


def test_behind_the_test_case_it_would_catch_nothing() -> None:
    with pytest.raises(TypeError, match="Wrong: MailerTestMixin goes before TestCase"):
        type("Wrong", (unittest.TestCase, MailerTestMixin), {})
