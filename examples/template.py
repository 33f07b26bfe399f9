"""A mail from templates: a layout, two languages, an image, a text part that is derived, and one that a user wrote.

Runs as it stands: the templates are written to a folder that goes away again, and the mail is only shown.
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from mailer import Mailer, Message, StoredTemplate, TemplateError, Templates

FILES = {
    "layout.html": """<img src="{{ image('logo.png') }}" alt="Example Shop">{% block body %}{% endblock %}""",
    "order.subject.txt": "Your order {{ order.number }}",
    "order.de.subject.txt": "Ihre Bestellung {{ order.number }}",
    "order.html": """{% extends "layout.html" %}
{% block body %}
<h1>Thank you, {{ name }}!</h1>
<table>
<tr><th>Item</th><th>Price</th></tr>
{% for item in order["items"] %}<tr><td>{{ item.name }}</td><td>{{ item.cents | euro }}</td></tr>{% endfor %}
</table>
<p><a href="{{ url }}">Track your order</a></p>
{% endblock %}
""",
}
LOGO = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

MESSAGE = Message(
    from_="Shop <shop@example.com>",
    to="ann@example.org",
    template="order",
    context={
        "name": "Ann <3",
        "url": "https://shop.example.com/o/7",
        "order": {"number": 7, "items": [{"name": "Green tea", "cents": 780}, {"name": "Tea cup", "cents": 1250}]},
    },
)


def main() -> None:
    """Render the same message in two languages, with a mistake, and from a customer's own template."""
    with tempfile.TemporaryDirectory() as folder:
        for name, source in FILES.items():
            (Path(folder) / name).write_text(source, encoding="utf-8")
        (Path(folder) / "logo.png").write_bytes(base64.b64decode(LOGO))
        templates = Templates(folder, filters={"euro": lambda cents: f"{cents / 100:.2f} €"})

        with Mailer("memory:", templates=templates) as mailer:
            english = mailer.render(MESSAGE)
            print(english.subject)
            print(english.text)
            print(f"the html is {'escaped' if '&lt;3' in str(english.html) else 'not escaped'}")
            print(f"attached: {', '.join(a.name for a in english.attachments)}")
            print(mailer.render(MESSAGE.with_(locale="de_AT")).subject)
            try:
                mailer.render(MESSAGE.with_(context={"order": {"number": 7, "items": []}}))
            except TemplateError as error:
                print(error)

            stored = StoredTemplate(subject="{{ name }}, it is on its way", text="Order {{ order.number }}")
            own = stored.render(MESSAGE)
            mailer.send(own)
            print(own.subject)
    try:
        StoredTemplate(text="{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}").render(MESSAGE)
    except TemplateError as error:
        print(error)


if __name__ == "__main__":
    main()
