"""The URLs of signing up."""

from __future__ import annotations

from django.urls import path

from .views import confirm, home, sign_up

urlpatterns = [
    path("", home, name="home"),
    path("signup/", sign_up, name="signup"),
    path("confirm/<str:token>/", confirm, name="confirm"),
]
