"""Outbound mail for Python: one interface over SMTP, provider APIs and files, an honest result per recipient.

Names are loaded when they are first used: ``import mailer`` costs next to nothing.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # as typing's, which takes longer to import than all the rest of this file
if TYPE_CHECKING:
    from .address import Address as Address
    from .attachment import Attachment as Attachment
    from .backends.base import Backend as Backend
    from .backends.base import Health as Health
    from .backends.options import BackendURL as BackendURL
    from .backends.url import backend_from_url as backend_from_url
    from .backends.url import register_backend as register_backend
    from .default import close as close
    from .default import configure as configure
    from .default import get as get
    from .default import send as send
    from .delivery import DeliveryOptions as DeliveryOptions
    from .envelope import NULL_SENDER as NULL_SENDER
    from .envelope import Envelope as Envelope
    from .errors import AddressError as AddressError
    from .errors import AuthError as AuthError
    from .errors import ConfigError as ConfigError
    from .errors import ConnectError as ConnectError
    from .errors import DeadlineExceeded as DeadlineExceeded
    from .errors import DeliveryDeferred as DeliveryDeferred
    from .errors import DeliveryError as DeliveryError
    from .errors import DeliveryRefused as DeliveryRefused
    from .errors import DeliveryUnknown as DeliveryUnknown
    from .errors import HeaderError as HeaderError
    from .errors import HookError as HookError
    from .errors import MailerError as MailerError
    from .errors import MessageError as MessageError
    from .errors import OutboxError as OutboxError
    from .errors import Outcome as Outcome
    from .errors import ProtocolError as ProtocolError
    from .errors import TemplateError as TemplateError
    from .errors import TlsError as TlsError
    from .errors import TransportError as TransportError
    from .errors import UnsupportedFeature as UnsupportedFeature
    from .event import Event as Event
    from .event import EventKind as EventKind
    from .event import RejectReason as RejectReason
    from .features import Features as Features
    from .hooks import Hooks as Hooks
    from .hookspecs import Context as Context
    from .mail import Content as Content
    from .mail import Mail as Mail
    from .mailer import AsyncMailer as AsyncMailer
    from .mailer import Mailer as Mailer
    from .message import Message as Message
    from .oauth2.provider import TokenProvider as TokenProvider
    from .oauth2.token import AccessToken as AccessToken
    from .plugin import Plugin as Plugin
    from .plugin_settings import PluginSettings as PluginSettings
    from .receipt import Attempt as Attempt
    from .receipt import Receipt as Receipt
    from .receipt import RecipientResult as RecipientResult
    from .relay.provider import Provider as Provider
    from .retry import RetryPolicy as RetryPolicy
    from .sandbox.meter import TemplateLimits as TemplateLimits
    from .sandbox.template import StoredTemplate as StoredTemplate
    from .settings import Settings as Settings
    from .templates import Templates as Templates
    from .verdict import Scope as Scope

__version__ = "0.1.0"

# Module -> the public names that it holds.
_PUBLIC = {
    "address": "Address",
    "attachment": "Attachment",
    "backends.base": "Backend Health",
    "backends.options": "BackendURL",
    "backends.url": "backend_from_url register_backend",
    "default": "close configure get send",
    "delivery": "DeliveryOptions",
    "envelope": "NULL_SENDER Envelope",
    "errors": (
        "AddressError AuthError ConfigError ConnectError DeadlineExceeded DeliveryDeferred DeliveryError"
        " DeliveryRefused DeliveryUnknown HeaderError HookError MailerError MessageError OutboxError Outcome"
        " ProtocolError TemplateError TlsError TransportError UnsupportedFeature"
    ),
    "event": "Event EventKind RejectReason",
    "features": "Features",
    "hooks": "Hooks",
    "hookspecs": "Context",
    "mail": "Content Mail",
    "mailer": "AsyncMailer Mailer",
    "message": "Message",
    "oauth2.provider": "TokenProvider",
    "oauth2.token": "AccessToken",
    "plugin": "Plugin",
    "plugin_settings": "PluginSettings",
    "receipt": "Attempt Receipt RecipientResult",
    "relay.provider": "Provider",
    "retry": "RetryPolicy",
    "sandbox.meter": "TemplateLimits",
    "sandbox.template": "StoredTemplate",
    "settings": "Settings",
    "templates": "Templates",
    "verdict": "Scope",
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)  # a test compares the table with the imports above


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'mailer' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
