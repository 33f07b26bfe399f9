"""Sign up, and follow the mail's link: a GET shows a button, as scanners follow links too, and its POST counts."""

from __future__ import annotations

from django import forms
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from mailer import Message
from mailer.contrib.django import get_mailer

_SALT = "accounts.confirm"
_GOOD_FOR_S = 3 * 24 * 3600


class SignUpForm(forms.Form):
    """An address and a password."""

    email = forms.EmailField()
    password = forms.CharField(widget=forms.PasswordInput)


def home(request: HttpRequest) -> HttpResponse:
    """Who is there."""
    return render(request, "accounts/home.html")


def sign_up(request: HttpRequest) -> HttpResponse:
    """Ask the owner of the address; whether there is an account already is told to nobody else."""
    form = SignUpForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/signup.html", {"form": form}, status=400 if form.errors else 200)
    email = form.cleaned_data["email"].lower()
    if not User.objects.filter(username=email).exists():
        User.objects.create_user(email, email, form.cleaned_data["password"], is_active=False)
        link = request.build_absolute_uri(reverse("confirm", args=[signing.dumps(email, salt=_SALT)]))
        get_mailer().send(Message(to=email, template="accounts/mail/confirm", context={"link": link}, tags=["confirm"]))
    return render(request, "accounts/sent.html", {"email": email})


def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """The link of the mail."""
    try:
        email = signing.loads(token, salt=_SALT, max_age=_GOOD_FOR_S)
    except signing.BadSignature:
        return render(request, "accounts/confirm.html", {"is_wrong": True}, status=404)
    if request.method != "POST":
        return render(request, "accounts/confirm.html", {"email": email})
    User.objects.filter(username=email).update(is_active=True)
    return redirect("login")
