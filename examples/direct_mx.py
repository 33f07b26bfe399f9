"""Deliver straight to the recipients' own mail servers, by DNS, without a relay in between.

Runs as it stands: DNS and mail server are started here. For the real ones write ``Mailer("mx://?helo=mail.example.com")``,
with a host name whose address leads back to this machine, and port 25 open towards the world. Needs
``pip install 'mailwright[dns]'``.
"""

from __future__ import annotations

from mailer import Mailer, Message
from mailer.backends.mx import MxBackend
from mailer.dns import DnsClient
from mailer.mailbox import Mailbox
from mailer.smtp.reply import Reply
from mailer.testing.dns import DnsServer

MESSAGE = Message(
    from_="Shop <shop@example.com>",
    to=["ann@example.org", "bob@example.org", "carol@nomail.example", "dave@nowhere.example"],
    subject="Your order",
    text="It is on its way.\n",
)
ZONE = """
example.org 60 IN MX 10 mx1.example.org.
example.org 60 IN MX 20 mx2.example.org.
mx1.example.org 60 IN A 127.0.0.1
mx2.example.org 60 IN A 127.0.0.1
nomail.example 60 IN MX 0 .
"""


def main() -> None:
    """Send to three domains: one that takes mail, one that takes none, one that is not there."""
    greylisted = Reply(451, ("4.7.1 greylisted, try again in five minutes",))
    with DnsServer(ZONE) as dns, Mailbox(replies={"RCPT *bob@example.org*": greylisted}) as mailbox:
        backend = MxBackend(helo="mail.example.com", dns=DnsClient([dns.address]), port=mailbox.port)
        with Mailer(backend) as mailer:
            receipt = mailer.send(MESSAGE)
        [received] = mailbox.wait_for(1)

    for result in receipt.results:
        print(f"{result.address.addr_spec}: {result.outcome.value}, host {result.remote_mta}, tls {result.tls}")
        print(f"    {result.enhanced_code} {result.text}")
    print(f"the server has a mail for {', '.join(received.recipients)}")
    print(receipt.delivery_status("mail.example.com").replace("\r\n", "\n"))


if __name__ == "__main__":
    main()
