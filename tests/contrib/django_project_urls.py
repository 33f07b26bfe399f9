"""The URLs of the tests' Django project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("mail/", include("mailer.contrib.django.urls")),
    path("news/", include("mailer.contrib.django.urls", namespace="news"), {"mailer": "news"}),
]
