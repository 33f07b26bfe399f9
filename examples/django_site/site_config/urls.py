"""The URLs."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("accounts.urls")),
    path("accounts/", include("django.contrib.auth.urls")),  # password reset, by Django's own views
    path("mail/", include("mailer.contrib.django.urls")),
    path("admin/", admin.site.urls),
]
