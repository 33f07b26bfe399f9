"""The Django project of the tests: settings are configured once in a process, so all its tests share them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import django
from django.conf import settings

#: A folder for templates that a test writes.
TEMPLATES = Path(tempfile.gettempdir(), "mailer-tests-django-templates")

if not settings.configured:
    settings.configure(
        SECRET_KEY="-" * 50,
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "mailer.contrib.django",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        ROOT_URLCONF="django_project_urls",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
        LOGGING_CONFIG=None,  # what is logged is not mailed to ADMINS
        LANGUAGES=[("en", "English"), ("de", "German"), ("de-at", "Austrian German")],
        DEFAULT_FROM_EMAIL="Shop <shop@example.com>",
        SERVER_EMAIL="root@localhost",
        EMAIL_SUBJECT_PREFIX="[shop] ",
        ADMINS=["ann@example.org"] if django.VERSION >= (6, 0) else [("Ann", "ann@example.org")],
        ALLOWED_HOSTS=["testserver", "shop.example.com"],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [TEMPLATES],
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ],
                    "loaders": [
                        (
                            "django.template.loaders.locmem.Loader",
                            {"subject.txt": "Password\nreset", "reset.txt": "Hi {{ name }}", "reset.html": "<p>Hi"},
                        ),
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                },
            }
        ],
    )
    django.setup()
