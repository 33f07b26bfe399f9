"""Send from asyncio: one mail after the other, and several at once.

Runs as it stands: the server is a mailbox started here. Under trio nothing changes but the last line,
``trio.run(main)``, and how tasks are started: a nursery in place of the task group.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from mailer import AsyncMailer, Message
from mailer.mailbox import Mailbox

CUSTOMERS = ["ann", "bob", "cyd", "dee"]


async def orders() -> AsyncIterator[Message]:
    """The messages, made one by one as they are sent."""
    for name in CUSTOMERS:
        yield Message(to=f"{name}@example.org", subject="Your order", text=f"Dear {name},\n\nit is on its way.\n")


async def main() -> None:
    """Send the orders twice: in a row, and at once."""
    with Mailbox() as mailbox:
        async with AsyncMailer(mailbox.url, from_="Shop <shop@example.com>") as mailer:
            # In a row, over one connection, in bounded memory. aclosing() ends the generator if the loop is left early.
            async with contextlib.aclosing(mailer.send_many(orders())) as receipts:
                async for receipt in receipts:
                    print(f"order {receipt.message_index}: {receipt.results[0].outcome.value}")

            # At once: a mailer may be shared by all tasks of its event loop.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(mailer.send(message)) async for message in orders()]
            print(f"at once: {sum(task.result().ok for task in tasks)} accepted")
        print(f"the server has {len(mailbox.mails)} mails")


if __name__ == "__main__":
    asyncio.run(main())
