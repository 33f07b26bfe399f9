"""``{% load mailwright %}``: what a mail's template may do beyond Django's own."""

from __future__ import annotations

from django import template

from ....template_engine import Refused, show_image

__all__ = ["register"]

register = template.Library()


@register.simple_tag(takes_context=True)
def image(context: template.Context, name: str) -> str:
    """Attach an image once, inline, and give the URL that shows it: ``<img src="{% image 'logo.png' %}">``."""
    if not context.autoescape:
        raise Refused("image() is for the html part")
    return show_image(name)
