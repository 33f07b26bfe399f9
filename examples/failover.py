"""Two servers as one: the second takes what the first cannot now, and what both cannot is tried again.

Runs as it stands: the servers are mailboxes started here, where you would put your own URLs,
"failover(smtp://user:secret@one.example.com smtp://user:secret@two.example.com)?rest=60".
"""

from __future__ import annotations

from mailer import DeliveryDeferred, Mailer, Message, Receipt, RetryPolicy
from mailer.mailbox import Mailbox
from mailer.smtp.reply import Reply

MESSAGE = Message(
    from_="Shop <shop@example.com>",
    to=["Ann <ann@example.org>", "Bob <bob@gone.example>"],
    subject="Your order",
    text="It is on its way.\n",
)
BUSY = Reply(451, ("4.3.2 busy, come back",))
NO_SUCH_USER = Reply(550, ("5.1.1 no such user",))


def main() -> None:
    """Send while one server is busy, then while both are."""
    policy = RetryPolicy(tries=2, wait_s=0.05)
    with (
        Mailbox(replies={"MAIL *": BUSY}) as busy,
        Mailbox(replies={"RCPT *@gone.example": NO_SUCH_USER}) as well,
    ):
        names = {busy.url: "busy", well.url: "well"}

        with Mailer(f"failover({busy.url} {well.url})", retry=policy) as mailer:
            show(mailer.send(MESSAGE), names)

        with Mailer(f"roundrobin({busy.url} {busy.url})", retry=policy) as mailer:
            try:
                mailer.send(MESSAGE)
            except DeliveryDeferred as error:
                show(error.receipt, names)


def show(receipt: Receipt, names: dict[str, str]) -> None:
    """Print who was tried, and what it came to for each recipient."""
    for attempt in receipt.attempts:
        counts = ", ".join(f"{count} {outcome.value}" for outcome, count in attempt.outcomes.items())
        print(f"tried {names[attempt.backend]}: {counts}")
    for result in receipt.results:
        print(f"{result.address.addr_spec}: {result.outcome.value} ({result.code} {result.text})")


if __name__ == "__main__":
    main()
