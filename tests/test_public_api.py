"""The public names, pinned; and that importing them costs next to nothing."""

from __future__ import annotations

import ast
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from cases import each

import mailer

NAMES = """
AccessToken Address AddressError AsyncMailer Attachment Attempt AuthError Backend BackendURL ConfigError ConnectError Content Context DeadlineExceeded
DeliveryDeferred DeliveryError DeliveryOptions DeliveryRefused DeliveryUnknown Envelope Event EventKind Features HeaderError Health HookError Hooks Mail
Mailer MailerError Message MessageError NULL_SENDER Outcome OutboxError Plugin PluginSettings ProtocolError Provider Receipt RecipientResult RejectReason RetryPolicy Scope Settings
StoredTemplate TemplateError TemplateLimits Templates TlsError TokenProvider TransportError UnsupportedFeature backend_from_url close configure get register_backend send
""".split()  # noqa: E501
SOURCE = Path(mailer.__file__)


def test_the_public_names_are_these():
    assert sorted(mailer.__all__) == sorted(NAMES)
    assert set(NAMES) <= set(dir(mailer))


def test_the_lazy_table_is_what_type_checkers_see():
    [block] = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    imported = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == mailer._MODULE_OF


@each("name", NAMES)
def test_every_name_is_there_and_in_its_modules_all(name):
    module = importlib.import_module(f"mailer.{mailer._MODULE_OF[name]}")
    assert getattr(mailer, name) is getattr(module, name)
    assert name in module.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        mailer.nonsense  # noqa: B018


def test_import_is_light():
    heavy = "httpx jinja2 pydantic pydantic_settings ssl asyncio anyio trio email idna cryptography click tenacity socket".split()  # noqa: E501
    code = f"import sys; before = set(sys.modules); import mailer; print(*[m for m in {heavy} if m in set(sys.modules) - before])"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_composing_a_plain_message_loads_no_email_package():
    code = "import sys; from mailer.message import Message; from mailer import mime; Message(to='a@b.test'); print('email' in sys.modules)"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_null_sender_stays_itself_over_pickle():
    assert pickle.loads(pickle.dumps(mailer.NULL_SENDER)) is mailer.NULL_SENDER
