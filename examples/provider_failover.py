"""Two providers and an SMTP server as one: what the first cannot take now, the next one does, recipient by recipient.

Runs as it stands: the services are fakes started here, where you would put your own URLs,
"failover(postmark://TOKEN@default sendgrid://KEY@default smtp://user:secret@smtp.example.com)".
"""

from __future__ import annotations

from mailer import DeliveryError, Mailer, Message
from mailer.mailbox import Mailbox
from mailer.testing import Answer, FakeRelay

ORDER = Message(
    from_="Shop <shop@example.com>",
    to=["Ann <ann@example.org>", "Bob <bob@example.org>"],
    subject="Your order",
    html="<p>Your <b>order</b> is on its way.</p>",
    tags=["order"],
)
BOB_IS_INACTIVE = "Message OK, but will not deliver to these inactive addresses: bob@example.org"


def main() -> None:
    """Send while one is too busy, while one takes the token for wrong too, and where an answer is lost."""
    with FakeRelay("postmark") as first, FakeRelay("sendgrid") as second, Mailbox() as last:
        url = f"failover({first.url} {second.url} {last.url})"

        # Refused for good is refused: nobody else is asked.
        first.next(Answer(body={"ErrorCode": 0, "MessageID": "m-1", "Message": BOB_IS_INACTIVE}))
        send("one is refused", url)

        first.throttle(7)
        send("the first is busy", url)

        first.next(Answer(status=401, body={"ErrorCode": 10, "Message": "Bad token"}))
        second.throttle(7)
        send("a wrong token, and busy", url)

        # It may have arrived: by another it might arrive twice. "failover(...)?on_unknown=resend" risks that.
        first.next(Answer(lose=True))
        send("the answer is lost", url)


def send(what: str, url: str) -> None:
    """Send, and print who was tried, and what it came to for each recipient.

    A mailer for each, as one mailer would let a provider that failed rest for a minute.
    """
    with Mailer(url, retry=None) as mailer:
        try:
            receipt = mailer.send(ORDER)
        except DeliveryError as error:
            receipt = error.receipt
    tried = ", ".join(attempt.backend.partition(":")[0] for attempt in receipt.attempts)
    outcomes = ", ".join(f"{result.address.local} {result.outcome.value}" for result in receipt.results)
    print(f"{what}: tried {tried}: {outcomes}")


if __name__ == "__main__":
    main()
