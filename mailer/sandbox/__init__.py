"""Stored templates: what users of an app may write, kept in its database, rendered within limits.

A template of :mod:`mailer.templates` is code of the app; one that a customer typed into a form is not. So a stored one
is a small language in Jinja2's immutable sandbox: variables, ``if``, ``for``, ``set``, the filters and tests of its
vocabulary, and no call but of ``range`` and a few methods of plain values. Nothing else can be written down: no import,
include or macro, no ``safe``, no format string, no attribute that begins with an underscore.

What bounds it is counted, not timed, so that the same template with the same values always ends the same way, in any
thread. All work costs steps: an item of a loop as many as its body has nodes, a value that is shown, compared, joined
or built as many as it has items (a value within two lists counts twice) and a sixteenth of its characters. Work is paid
before it is done where the result may be larger than what goes in (``*``, ``replace``, ``join``).

Methods and properties of objects in the context are the app's code, which nothing here bounds: give plain data.
"""

from __future__ import annotations

from .meter import TemplateLimits
from .template import StoredTemplate

__all__ = ["StoredTemplate", "TemplateLimits"]
