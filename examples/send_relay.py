"""Send through a provider's API: one mail, then many in one request, and read what became of each.

Runs as it stands: the service is a fake started here, where you would put your own URL,
"postmark://SERVER-TOKEN@default?stream=broadcast".
"""

from __future__ import annotations

from mailer import Mailer, Message, Receipt
from mailer.testing import Answer, FakeRelay

ORDER = Message(
    from_="Shop <shop@example.com>",
    to=["Ann <ann@example.org>", "Bob <bob@example.org>"],
    subject="Your order – 3 × tea",
    html="<p>Your <b>order</b> is on its way.</p>",
    tags=["order"],
    metadata={"order": "7"},
    priority="high",
    message_id="<order-7@example.com>",
)
BOB_IS_INACTIVE = "Message OK, but will not deliver to these inactive addresses: bob@example.org"


def main() -> None:
    """Send to two, one of whom the provider knows to bounce; then to five hundred."""
    with FakeRelay("postmark") as service, Mailer(service.url) as mailer:
        service.next(Answer(body={"ErrorCode": 0, "MessageID": "m-7", "Message": BOB_IS_INACTIVE}))
        show(mailer.send(ORDER))

        people = [f"reader{number}@example.org" for number in range(500)]
        receipts = mailer.send_many(ORDER.with_(to=person) for person in people)
        print(f"{sum(receipt.ok for receipt in receipts)} more were accepted")
        print(f"the service had {len(service.requests)} requests")


def show(receipt: Receipt) -> None:
    """Print the outcomes, and what the provider's API has no field for."""
    for result in receipt.results:
        print(f"{result.address.addr_spec}: {result.outcome.value} ({result.provider_id})")
    for note in receipt.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    main()
