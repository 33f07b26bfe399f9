"""Presets: well-known services by name, ``smtp+gmail://user:app-password@default``, so that nobody looks up a host.

The facts are the services' own, as they publish them, or as Mozilla's ISPDB (github.com/thunderbird/autoconfig) has
collected them; looked up in November 2026. Port 465 (TLS from the first byte, RFC 8314 section 3.3) where the service
names it, 587 else. What could not be found in two places is not here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..backends.options import BackendURL

__all__ = ["PRESETS", "PREFIX", "Preset", "preset_of"]

PREFIX = "smtp+"
#: A service whose login is the key itself, twice.
_TWICE = "="
_AWS_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Preset:
    """Where a service takes mail, and how one logs in there.

    Attributes:
        host: Its name; with ``{region}`` where the region is a part of it.
        port: 465 has TLS from the first byte, any other STARTTLS; TLS is required on each.
        login: The user name that goes with a key ("apikey"; "=" where the key is user and password both), so that the
            URL may hold just the key. One that the URL names counts instead: some services have others besides, for
            subaccounts, or tokens of two parts. "" where each has their own.
        oauth2: The mechanism for access tokens, "XOAUTH2"; "" takes none. Passwords go by the strongest offered.
        regions: The option ``region`` to the host that serves it; () has none.
    """

    host: str
    port: int = 465
    login: str = ""
    oauth2: str = ""
    regions: Mapping[str, str] = field(default_factory=dict)

    @property
    def implicit_tls(self) -> bool:
        """Whether TLS begins with the first byte."""
        return self.port == 465

    def applied(self, url: BackendURL) -> BackendURL:
        """The URL with the service's host, port and login, and without the option ``region``.

        Raises:
            ConfigError: It names another host: a password or key must not get to one by a slip of the pen. Or the login
                is missing, or there is no such region.
        """
        scheme = url.scheme
        if url.host != "default":
            raise ConfigError(
                f"{scheme}: the host is the service's own: write {scheme}://...@default, or smtp:// for another host"
            )
        query = tuple(pair for pair in url.query if pair[0] != "region")
        host = self._host(scheme, dict(url.query).get("region"))
        username, password = self._credentials(scheme, url.username, url.password)
        return replace(url, host=host, port=url.port or self.port, username=username, password=password, query=query)

    def _host(self, scheme: str, region: str | None) -> str:
        if "{region}" in self.host:
            if region is None:
                raise ConfigError(f"{scheme}: say which region: {scheme}://...@default?region=eu-west-1")
            if not _AWS_REGION.fullmatch(region):
                raise ConfigError(f"{scheme}: option region={region!r}: must be a region's name, like eu-west-1")
            return self.host.format(region=region)
        if region is None:
            return self.host
        if region not in self.regions:
            known = ", ".join(self.regions) or "none"
            raise ConfigError(f"{scheme}: there is no region {region!r}; there are: {known}")
        return self.regions[region]

    def _credentials(self, scheme: str, username: str | None, password: str | None) -> tuple[str, str | None]:
        if not username or password == "":
            what = "KEY" if self.login else "user:password"
            raise ConfigError(f"{scheme}: a login is needed: {scheme}://{what}@default")
        if self.login and password is None:
            return username if self.login == _TWICE else self.login, username
        if password is None and not self.oauth2:
            raise ConfigError(f"{scheme}: a login needs user and password: {scheme}://user:password@default")
        return username, password


PRESETS: Mapping[str, Preset] = {
    # --- mailboxes ---
    "163": Preset("smtp.163.com"),
    "aol": Preset("smtp.aol.com", oauth2="XOAUTH2"),
    "dreamhost": Preset("smtp.dreamhost.com"),
    "fastmail": Preset("smtp.fastmail.com"),
    "free": Preset("smtp.free.fr"),
    "freenet": Preset("mx.freenet.de"),
    "gandi": Preset("mail.gandi.net", 587),
    "gmail": Preset("smtp.gmail.com", oauth2="XOAUTH2"),
    "gmx": Preset("mail.gmx.net", regions={"com": "mail.gmx.com"}),
    "godaddy": Preset("smtpout.secureserver.net"),
    "hetzner": Preset("mail.your-server.de"),
    "hostinger": Preset("smtp.hostinger.com"),
    "icloud": Preset("smtp.mail.me.com", 587),
    "infomaniak": Preset("mail.infomaniak.com"),
    "ionos": Preset("smtp.ionos.com", regions={"de": "smtp.ionos.de", "fr": "smtp.ionos.fr", "uk": "smtp.ionos.co.uk"}),
    "libero": Preset("smtp.libero.it"),
    "mailbox": Preset("smtp.mailbox.org"),
    "mailcom": Preset("smtp.mail.com"),
    "mailru": Preset("smtp.mail.ru"),
    "migadu": Preset("smtp.migadu.com"),
    "naver": Preset("smtp.naver.com"),
    "office365": Preset("smtp.office365.com", 587, oauth2="XOAUTH2"),
    "orange": Preset("smtp.orange.fr"),
    "outlook": Preset("smtp-mail.outlook.com", 587, oauth2="XOAUTH2"),
    "ovh": Preset("ssl0.ovh.net"),
    "posteo": Preset("posteo.de"),
    "proton": Preset("smtp.protonmail.ch", 587),
    "purelymail": Preset("smtp.purelymail.com"),
    "qq": Preset("smtp.qq.com"),
    "rackspace": Preset("secure.emailsrvr.com"),
    "strato": Preset("smtp.strato.de"),
    "t-online": Preset("securesmtp.t-online.de"),
    "webde": Preset("smtp.web.de"),
    "yahoo": Preset("smtp.mail.yahoo.com", oauth2="XOAUTH2"),
    "yandex": Preset("smtp.yandex.com", oauth2="XOAUTH2"),
    "zoho": Preset(
        "smtp.zoho.com",
        regions={"au": "smtp.zoho.com.au", "eu": "smtp.zoho.eu", "in": "smtp.zoho.in", "jp": "smtp.zoho.jp"},
    ),
    # --- relays ---
    "brevo": Preset("smtp-relay.brevo.com", 587),
    "elasticemail": Preset("smtp.elasticemail.com"),
    "mailersend": Preset("smtp.mailersend.net", 587),
    "mailgun": Preset("smtp.mailgun.org", 587, regions={"eu": "smtp.eu.mailgun.org"}),
    "mailjet": Preset("in-v3.mailjet.com", 587),
    "mailtrap": Preset("live.smtp.mailtrap.io", 587, login="api"),
    "mandrill": Preset("smtp.mandrillapp.com", 587),
    "netcore": Preset("smtp.netcorecloud.net", 587),
    "pepipost": Preset("smtp.netcorecloud.net", 587),
    "postmark": Preset("smtp.postmarkapp.com", 587, login=_TWICE),
    "postmark-broadcasts": Preset("smtp-broadcasts.postmarkapp.com", 587, login=_TWICE),
    "resend": Preset("smtp.resend.com", login="resend"),
    "sendgrid": Preset("smtp.sendgrid.net", 587, login="apikey", regions={"eu": "smtp.eu.sendgrid.net"}),
    "ses": Preset("email-smtp.{region}.amazonaws.com", 587),
    "smtp2go": Preset("mail.smtp2go.com", 587),
    "socketlabs": Preset("smtp.socketlabs.com", 587),
    "sparkpost": Preset(
        "smtp.sparkpostmail.com", 587, login="SMTP_Injection", regions={"eu": "smtp.eu.sparkpostmail.com"}
    ),
    "zeptomail": Preset("smtp.zeptomail.com", login="emailapikey"),
}
"""What stands behind ``smtp+`` in a URL's scheme, to the service."""

#: What people call some of them; for the hint alone.
_ALSO = {
    "exchange": "office365",
    "googlemail": "gmail",
    "hotmail": "outlook",
    "live": "outlook",
    "microsoft365": "office365",
    "protonmail": "proton",
    "sendinblue": "brevo",
    "workspace": "gmail",
    "ymail": "yahoo",
}


def preset_of(scheme: str) -> Preset | None:
    """The preset of a scheme; None for one that is no ``smtp+...``.

    Raises:
        ConfigError: There is none of that name; the text has the nearest.
    """
    if not scheme.startswith(PREFIX):
        return None
    name = scheme.removeprefix(PREFIX)
    if name not in PRESETS:
        # "mail.ru" and "web.de" are found, too.
        word = re.sub(r"[._-]", "", name)
        near = [word] if word in _ALSO else difflib.get_close_matches(word, [*PRESETS, *_ALSO], 3, cutoff=0.6)
        near = list(dict.fromkeys(_ALSO.get(one, one) for one in near))
        hint = f"did you mean {' or '.join(repr(PREFIX + one) for one in near)}?" if near else _there_are()
        raise ConfigError(f"there is no preset {scheme!r}; {hint}")
    return PRESETS[name]


def _there_are() -> str:
    return f"there are: {', '.join(PRESETS)}"
