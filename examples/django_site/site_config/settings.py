"""The settings. Which mailer holds is said by ``MAILER_ENV``: development, testing or production."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django

BASE_DIR = Path(__file__).parent.parent
ENVIRONMENT = os.environ.setdefault("MAILER_ENV", "development")
IS_PRODUCTION = ENVIRONMENT == "production"

SECRET_KEY = os.environ["SECRET_KEY"] if IS_PRODUCTION else "not a secret: on this machine alone, and long enough"
DEBUG = ENVIRONMENT == "development"
ALLOWED_HOSTS = [os.environ["SITE_HOST"]] if IS_PRODUCTION else ["127.0.0.1", "localhost"]
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
ROOT_URLCONF = "site_config.urls"
INSTALLED_APPS = [
    "accounts",
    "mailer.contrib.django",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "site.sqlite3"}}
STATIC_URL = "static/"
LOGIN_REDIRECT_URL = "/"
USE_TZ = True

# --- mail -------------------------------------------------------------------------------------------------------------

DEFAULT_FROM_EMAIL = SERVER_EMAIL = "Club <club@example.com>"
MAILER: dict[str, Any] = {
    "from": DEFAULT_FROM_EMAIL,
    "templates": "django",
    "development": {"url": "console:", "plugins": {"log": {"path": str(BASE_DIR / "mail-log.db"), "bodies": True}}},
    "testing": {"url": "memory:"},
    # The url comes from the environment: MAILER_URL, or MAILER_URL_FILE.
    "production": {"plugins": {"log": {"path": os.environ.get("MAIL_LOG", "/var/lib/club/mail-log.db")}}},
}
# Django 6.1 has MAILERS in place of EMAIL_BACKEND.
_BACKEND = "mailer.contrib.django.EmailBackend"
MAIL_BACKENDS: dict[str, Any] = (
    {"MAILERS": {"default": {"BACKEND": _BACKEND}}} if django.VERSION >= (6, 1) else {"EMAIL_BACKEND": _BACKEND}
)
globals().update(MAIL_BACKENDS)
if secret := os.environ.get("POSTMARK_WEBHOOK_SECRET"):
    MAILER_WEBHOOKS = {"secrets": {"postmark": secret}}
