"""Why a Django message arrives otherwise by django-anymail than by us, where it does."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["REASONS", "THEY", "WE", "Reason"]


class Reason(NamedTuple):
    """Why the two differ: in which providers and cases (patterns), and where."""

    providers: str
    cases: str
    where: str
    why: str


WE, THEY = "refused by us", "refused by them"
REASONS: list[Reason] = [
    # --- what a mail is complete without is left out with a note on the receipt; unsupported=error makes it strict ---
    Reason("postmark|sparkpost|mailjet|mailtrap|postal", "tags|defaults", THEY, "one tag there: the first is carried"),
    Reason("brevo|resend|mailtrap|scaleway|postal", "(un)?tracked|defaults", THEY, "it takes no word on tracking"),
    Reason("mailersend|postal", "(numbers in )?metadata|anymail's own class|unicode|lazy", THEY, "it has no metadata"),
    Reason("mailersend", "metadata for each|defaults", THEY, "it has no metadata"),
    Reason("brevo|resend|mailtrap", "batch with everything", THEY, "it takes no word on tracking"),
    Reason("mailersend", "template with more|batch with everything", THEY, "it has no metadata"),
    Reason(
        ".*",
        "Message-ID and Date",
        "headers",
        "the provider writes both; as headers they stand beside its own, so they are left out with a note",
    ),
    # --- a batch ---
    Reason(
        "postmark|resend|scaleway|postal",
        "filled in.*|batch with everything",
        THEY,
        "texts are filled in here, whoever carries them",
    ),
    Reason(
        "mailtrap",
        "filled in.*",
        "subject|text|html|variables",
        "it fills in nothing without a template, and sends '{{ name }}'; ours are filled in here",
    ),
    Reason(
        "scaleway|postal",
        "each alone.*|metadata for each|(other )?headers for each",
        THEY,
        "it has no batch: a request for each",
    ),
    Reason("mandrill", "(other )?headers for each", THEY, "a request for each"),
    Reason("unisendergo", "other headers for each", THEY, "a request for each"),
    Reason("unisendergo", "each alone, with copies", THEY, "a request for each"),
    Reason(
        "mandrill",
        "each alone, with copies",
        "to|cc|copies",
        "Cc and Bcc get a copy of each mail, as everywhere; theirs one alone, and shown as To",
    ),
    Reason("mailgun", "batch with everything", "metadata", "who has no such entry has none; theirs is empty for him"),
    # --- recipients, files ---
    Reason(
        "postmark|mailgun|mandrill|sparkpost|brevo|resend|mailersend|mailtrap|scaleway|unisendergo|postal",
        "cc alone|bcc alone",
        "to|cc",
        "an API that wants somebody in To has him there; none sees another",
    ),
    Reason("postmark|mailgun", "cc alone|bcc alone", "outcomes", "without a To the provider refuses it"),
    Reason(
        "sendgrid|mailjet",
        "cc alone|bcc alone",
        THEY,
        "they are put in To, as elsewhere; SendGrid's fails with KeyError",
    ),
    Reason(
        "postmark|sendgrid|mandrill|sparkpost|brevo|mailersend|scaleway|unisendergo|postal",
        "odd files",
        "attachments",
        "a file without a name is 'attachment'; its API may want one",
    ),
    Reason("resend", "odd files", THEY, "theirs fears for names without an ending"),
    Reason("sendgrid|mailtrap|postal", "empty", "text", "a text is needed: an empty line"),
    # --- one provider ---
    Reason(
        "postmark|mandrill|unisendergo|resend", "numbers in metadata", "metadata", "its values are texts by the API"
    ),
    Reason(
        "mailgun",
        "template.*",
        "metadata|variables",
        "a template's variables have a field of their own, and do not show in metadata",
    ),
    Reason(
        "postmark|sendgrid|mailtrap", "template with its own From", "from", "its API requires one: the app's default"
    ),
    Reason(
        "mailgun",
        "template with its own From",
        THEY,
        "its API requires one, and a domain to send from: the app's default",
    ),
    Reason("sparkpost", "headers|headers for each", WE, "it writes List-Unsubscribe itself and says nothing of ours"),
    Reason("brevo", "unicode", THEY, "django-anymail fears for names there; its API takes Unicode"),
    Reason("brevo", "esp_extra", "from", "mappings are laid over within: From keeps its name"),
    Reason(
        "resend",
        "tags?|anymail's own class|unicode|lazy",
        "tags|metadata",
        "its own tags, which its events give back, not a header for the recipient to see",
    ),
    Reason("resend", "template.*", THEY, "Resend has stored templates by now"),
    Reason(
        "mailersend",
        "headers|headers of a thread",
        "headers|options",
        "List-Unsubscribe and References have fields of their own",
    ),
    Reason(
        "mailtrap", "template with more", "tags", "documented as not to stand beside a template; left out with a note"
    ),
    Reason("mailersend", "(other )?headers for each", THEY, "a request for each"),
    Reason(
        "scaleway",
        "tags?|(numbers in )?metadata|anymail's own class|unicode|lazy",
        "headers",
        "it has none: a header would be seen by the recipient",
    ),
    # --- what is said of recipients ---
    Reason("mandrill", ".*send_at.*", "outcomes", "theirs does not know the answer 'scheduled'"),
    Reason(
        "sparkpost",
        "each alone, with copies|one is refused",
        "outcomes",
        "theirs knows only how many were refused, and counts copies as none of its recipients",
    ),
    Reason(
        "mailjet",
        "unicode",
        "outcomes",
        "theirs looks for the domain as it was written, and takes an accepted recipient for a failed one",
    ),
    Reason(
        "mailjet", "one is refused", "outcomes|copies", "who is at fault is refused alone, and the others are sent to"
    ),
    Reason(
        "mailjet", "all are refused", "outcomes", "nobody accepted is an error; theirs says 'failed' and raises nothing"
    ),
    Reason(
        "mailersend",
        "template for each|template with structured data|filled in.*|each alone.*",
        "outcomes",
        "theirs asks for a batch, which gives no word of any; ours for each",
    ),
]
