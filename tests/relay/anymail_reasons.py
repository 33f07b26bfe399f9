"""Why our requests and django-anymail's differ, where they do."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["REASONS", "THEY", "WE", "Reason", "explains"]


class Reason(NamedTuple):
    """Why the two differ.

    Attributes:
        providers: Schemes between blanks, or "*".
        cases: A regular expression of the cases.
        path: One of the places in the body; "URL", or "refused by us", "refused by them" for the whole.
        why: For the reader.
    """

    providers: str
    cases: str
    path: str
    why: str


WE, THEY = "refused by us", "refused by them"
ALONE = "bcc alone|bcc only|cc only"
LISTS = r"\.(message\.|personalizations\[0\]\.|Messages\[0\]\.)?(to|cc|bcc|To|Cc|Bcc|recipients|headers\.(to|cc))\b.*"
REASONS = [
    # --- everywhere ---
    Reason(
        "*", "twice", LISTS, "an address that stands in two lists gets one copy of ours, by the first that names it"
    ),
    Reason("sparkpost", "twice", r"\.content\.headers\.Cc", "the same, in what Cc shows"),
    Reason(
        "*", "local part not ASCII", LISTS, "who cannot be reached there is refused by us alone, the others are sent to"
    ),
    Reason("*", ALONE, LISTS, "an API that wants somebody in To has him there; none sees another"),
    Reason(
        "*",
        "inline without html",
        r".*([aA]ttachments?|images|inline(_images)?)\b.*",
        "without html nothing shows it: it is attached",
    ),
    Reason("*", "From not ASCII", WE, "the API takes no such local part; it leaves that to its answer"),
    Reason("*", "options take over", WE, "options say nothing about who gets the mail"),
    Reason("*", "sender", WE, "Sender is no header of the app's there"),
    Reason("*", "template and text", WE, "the template's texts would win, or ours"),
    Reason(
        "postmark resend mailjet mailersend postal",
        "too many recipients",
        WE,
        "the published limit, said before the request",
    ),
    Reason(
        "resend mailersend scaleway postal",
        "bcc only",
        WE,
        "who is hidden from the others cannot stand in To with them",
    ),
    # --- metadata ---
    Reason(
        "postmark mandrill unisendergo", "metadata", r"\..*[mM]etadata\.(count|path)", "its values are texts by the API"
    ),
    Reason(
        "sendgrid", "metadata", r"\.personalizations\[0\]\.custom_args\.(count|path)", "its values are texts by the API"
    ),
    Reason("mailgun", "metadata", r"\.v:path", "a list is one JSON text; several fields of a name are not documented"),
    Reason("mailtrap", "metadata", r"\.custom_variables\.path", "a list is a JSON text, not Python's"),
    # --- attachments ---
    Reason(
        "sendgrid brevo mailjet mailersend mailtrap",
        "another charset",
        r".*[aA]ttachments?\[0\]\.(content|type|disposition|Base64Content|ContentType)",
        "a file is sent as it is; it is made UTF-8 by them, for the charset is lost on the way",
    ),
    # --- one provider ---
    Reason(
        "sendgrid mailtrap",
        "attachments|another type",
        r"\.attachments\[.\]\.disposition",
        "what is its default is said",
    ),
    Reason("sendgrid", "nothing", r"\.content", "a part must have content there: a mail of nothing is an empty line"),
    Reason("sendgrid", ALONE, THEY, "it fails for want of a To, KeyError"),
    Reason(
        "sendgrid",
        "template|template by name|template, tag.*|each: a template",
        WE,
        "with variables, its present templates are named d-...; substitutions belong to the old ones",
    ),
    Reason(
        "resend",
        "tag|tags|.*metadata",
        r"(\[.\])?\.(headers|tags)",
        "its own tags, which its events give back; a header is seen by the recipient",
    ),
    Reason("resend", ".*template.*", THEY, "Resend has stored templates by now"),
    Reason(
        "brevo",
        "(?!.*html|amp).*",
        r"\.htmlContent",
        "the API wants html: text alone gets html that shows it, with a note",
    ),
    Reason("brevo", "names.*", r"\.(sender|replyTo|to\[0\])\.name", "the same words, encoded otherwise"),
    Reason("brevo", "schedule", r"\.scheduledAt", "one moment, written otherwise"),
    Reason("brevo", "template|template, tag.*|each: a template", r"\.templateId", "a number by the schema"),
    Reason("brevo", "template by name|.*dynamic template", WE, "a number by the schema, so no name"),
    Reason("brevo", "bcc only", r"\.messageVersions", "nobody hidden sees another: a version for each"),
    Reason(
        "brevo", "each: (metadata|headers)", "requests", "headers in a version are undocumented: a request for each"
    ),
    Reason("mailgun", ".*", r"\.o:suppress-headers", "or the recipient sees the metadata, our mail's id among it"),
    Reason("mailgun", "idn", "URL", "the sending domain is known to it in ASCII"),
    Reason("mailgun", "schedule", r"\.o:deliverytime\[0\]", "one moment, written otherwise"),
    Reason(
        "mailgun",
        "(template|dynamic).*",
        r"\.(recipient-variables|t:variables|v:name)",
        "a template's variables have a field of their own",
    ),
    Reason(
        "mailgun",
        "each: a (dynamic )?template",
        "requests",
        "t:variables is for the whole request, and v: would show in metadata",
    ),
    Reason(
        "mailgun",
        "each: .*",
        r"\.(recipient-variables\[0\]|v:row|h:X-Row).*",
        "the same substitution, by a name of our own",
    ),
    Reason("mailgun", "bcc only", r"\.recipient-variables", "nobody hidden sees another: a copy for each"),
    Reason("mailgun", "options", r"\.settings\[0\]", "a mapping is its JSON, not its keys"),
    Reason(
        "mailgun mandrill",
        "bounces",
        WE,
        "its address is not carried: they take the domain from it, which mailgun's ?domain= and mandrill's return_path_domain say",
    ),
    Reason("mandrill", ".*", r"\.async", "said, so that more than ten recipients are answered for"),
    Reason(
        "mandrill",
        "(?!each).*",
        r"\.message\.preserve_recipients",
        "who sees whom is the message's to say, not an account setting's",
    ),
    Reason("mandrill", "each: headers", THEY, "two requests"),
    Reason(
        "sparkpost",
        ".*",
        r"\.options(\.perform_substitutions)?",
        "what looks like a variable in a text is meant as it stands",
    ),
    Reason("sparkpost", "headers", WE, "it writes List-Unsubscribe itself and says nothing of ours"),
    Reason("sparkpost", "tags", THEY, "further tags go with each recipient"),
    Reason("sparkpost", "cc only", r"\.content\.headers", "who is in Cc alone is shown in To"),
    Reason("sparkpost", "bounces", WE, "only the domain is the app's, one of its account: bounces go to SparkPost"),
    Reason(
        "sparkpost",
        "each: headers",
        r"\.(content\.headers\.X-Row|recipients\[.\]\.substitution_data\..*)",
        "the same substitution, by a name of our own, and as it stands",
    ),
    Reason("mailjet", "attachments", r".*\.ContentType", "a text's charset is the app's"),
    Reason("mailjet", ALONE, THEY, "they are put in To, as elsewhere"),
    Reason(
        "mailjet",
        "options",
        r"(\.Messages\[0\])?\.(Extra|settings)",
        "ours are laid over the message, which has nearly all of the API's keys; its over the whole",
    ),
    Reason("mailjet", "bounces", WE, "Sender is a header there, and for accounts that asked for it"),
    Reason(
        "mailersend",
        "headers",
        r"\.(headers|list_unsubscribe)",
        "headers are in paid plans alone, and List-Unsubscribe has a field of its own",
    ),
    Reason(
        "mailersend",
        "each: (a (dynamic )?(copy|template)|headers)",
        THEY,
        "a request for each; it wants a setting for that",
    ),
    Reason(
        "mailtrap postal", "nothing", r"\.(text|plain_body)", "a mail of nothing is an empty line: one text is needed"
    ),
    Reason(
        "mailtrap scaleway",
        "headers",
        r"\.(headers\.X-Note|additional_headers\[1\]\.value)",
        "in ASCII already, by RFC 2047: nothing is left to encode, or to fail to",
    ),
    Reason(
        "mailtrap",
        "bcc only",
        r"URL|\.(base|requests|from|subject|text)",
        "nobody hidden sees another: a batch of one copy for each",
    ),
    Reason(
        "mailtrap",
        "template, tag.*",
        r"\.category",
        "documented as not to stand beside a template; left out with a note",
    ),
    Reason(
        "scaleway", "tags?|.*metadata", r"\.additional_headers", "it has none: a header would be seen by the recipient"
    ),
    Reason("scaleway", "local part not ASCII", THEY, "the others are sent to"),
    Reason("scaleway postal", "each: (a copy|headers)", THEY, "two requests"),
    Reason("unisendergo", ".*", r"\.message\.headers(\.to)?", "one recipient is shown himself without being told"),
    Reason(
        "unisendergo",
        "a name with a comma.*|names of several",
        r"\.message\.(reply_to_name|headers\.cc)",
        "the same words, encoded otherwise",
    ),
    Reason("unisendergo", "each: headers", THEY, "two requests"),
    Reason(
        "postal",
        "sender",
        r"\.(headers|sender)",
        "its field for the Sender header, which an envelope sender takes the place of there",
    ),
    Reason("postal", "bounces", WE, "it has no field for that: sender is the header"),
]


def explains(reason: Reason, name: str, case: str, path: str) -> bool:
    """Whether this is the reason."""
    return (
        (reason.providers == "*" or name.partition(" ")[0] in reason.providers.split())
        and re.fullmatch(reason.cases, case) is not None
        and (reason.path == path or re.fullmatch(reason.path, path) is not None)
    )
