"""Send a newsletter to many readers over few connections, and keep what is to be sent again.

Runs as it stands: the server is a mailbox started here, where you would put your own URL,
"smtp://user:secret@smtp.example.com". It knows no mailbox at gone.example, and is busy for later.example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mailer import Mailer, Message, Outcome
from mailer.mailbox import Mailbox
from mailer.smtp.reply import Reply

READERS = 500
NEWS = Message(
    from_="News <news@example.com>",
    subject="Issue 7",
    headers={"List-Unsubscribe": "<https://example.com/stop>"},
)


def address(number: int) -> str:
    """Of a reader: one of a hundred is gone, one of a hundred is busy."""
    return f"reader{number}@" + {7: "gone.example", 8: "later.example"}.get(number % 100, "example.org")


def messages() -> Iterator[Message]:
    """One by one, as they are sent: a hundred are in memory, however many there are."""
    for number in range(READERS):
        text = f"Dear reader {number},\n\nthis is the news.\n"
        yield NEWS.with_(to=address(number), text=text, html=f"<p>Dear reader {number},</p><p>this is the news.</p>")


def main() -> None:
    """Send all, say what became of them, and send the busy ones again."""
    replies = {"RCPT *@gone.example": Reply(550, ("5.1.1 gone",)), "RCPT *@later.example": Reply(450, ("4.2.0 busy",))}
    with Mailbox(replies=replies) as mailbox, Mailer(mailbox.url) as mailer:
        outcomes: Counter[Outcome] = Counter()
        again: list[int] = []  # in an app: in its database
        doubtful: list[int] = []
        for receipt in mailer.send_many(messages()):
            if receipt.error is not None:  # it could not be composed
                print(f"message {receipt.message_index}: {receipt.error}")
                continue
            outcomes.update(result.outcome for result in receipt.results)
            if receipt.deferred:
                again.append(receipt.message_index or 0)
            if receipt.unknown:  # the connection died before the answer: at most 16 at a time
                doubtful.append(receipt.message_index or 0)
        # A server may have enough of a connection after a hundred mails: see max_messages.
        connections = sum(line.startswith("C: EHLO") for line in mailbox.dialogue)

        print(f"{outcomes[Outcome.ACCEPTED]} accepted, {outcomes[Outcome.REJECTED]} rejected")
        print(f"to be sent again: {again}, in doubt: {doubtful}")
        print(f"the server has {len(mailbox.mails)} mails by {connections} connections")

        replies.pop("RCPT *@later.example")  # some minutes later
        late = [message for number, message in enumerate(messages()) if number in again]
        print(f"sent again: {sum(receipt.ok for receipt in mailer.send_many(late))}")


if __name__ == "__main__":
    main()
