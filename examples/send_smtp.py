"""Send a mail over SMTP and read the receipt.

Runs as it stands: the server is a mailbox started here, where you would put your own URL,
"smtp://user:secret@smtp.example.com".
"""

from __future__ import annotations

from mailer import Attachment, Mailer, Message
from mailer.mailbox import Mailbox
from mailer.smtp.reply import Reply

MESSAGE = Message(
    from_="Shop <shop@example.com>",
    to=["Ann <ann@example.org>", "Bob <bob@gone.example>"],
    bcc="archive@example.com",
    subject="Your order – 3 × tea",
    text="Hello,\n\nyour order is on its way.\n",
    html="<p>Hello,</p><p>your <b>order</b> is on its way.</p>",
    attachments=[Attachment.from_bytes("order.csv", b"item;count\ntea;3\n")],
)


def main() -> None:
    """Send to three recipients, one of whom the server does not know."""
    no_such_user = Reply(550, ("5.1.1 no such user",))
    with Mailbox(replies={"RCPT *@gone.example": no_such_user}) as mailbox, Mailer(mailbox.url) as mailer:
        # One accepted is enough for a receipt; nobody at all would be a DeliveryError.
        receipt = mailer.send(MESSAGE)
        [received] = mailbox.wait_for(1)

    for result in receipt.results:
        print(f"{result.address.addr_spec}: {result.outcome.value} ({result.code} {result.text})")
    print(f"everybody accepted: {receipt.ok}")
    print(f"the server has {len(received.content)} octets for {', '.join(received.recipients)}")


if __name__ == "__main__":
    main()
