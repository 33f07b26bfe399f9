"""Relay services: providers' HTTP APIs, each as two pure functions on plain values."""

from __future__ import annotations

__all__ = ["PROVIDERS"]

#: URL scheme -> the file of this package, and the provider in it.
PROVIDERS = {
    "postmark": ("postmark", "Postmark"),
    "netcore": ("netcore", "Netcore"),
    "pepipost": ("netcore", "Netcore"),  # as it was called until 2021
    "sendgrid": ("sendgrid", "SendGrid"),
    "resend": ("resend", "Resend"),
    "brevo": ("brevo", "Brevo"),
    "mailgun": ("mailgun", "Mailgun"),
    "mandrill": ("mandrill", "Mandrill"),
    "sparkpost": ("sparkpost", "SparkPost"),
    "mailjet": ("mailjet", "Mailjet"),
    "mailersend": ("mailersend", "MailerSend"),
    "mailtrap": ("mailtrap", "Mailtrap"),
    "scaleway": ("scaleway", "Scaleway"),
    "gmail": ("gmail", "Gmail"),
    "msgraph": ("msgraph", "MicrosoftGraph"),
    "smtp2go": ("smtp2go", "Smtp2Go"),
    "zeptomail": ("zeptomail", "ZeptoMail"),
    "unisendergo": ("unisender_go", "UnisenderGo"),
    "unione": ("unione", "UniOne"),
    "postal": ("postal", "Postal"),
    "https+json": ("http_json", "HttpJson"),
    "http+json": ("http_json", "HttpJson"),
    "ses": ("ses", "Ses"),
    "azure": ("azure", "Azure"),
}
