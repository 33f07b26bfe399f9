"""AWS' host names of SES, by region."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..field import shown
from .option import is_loopback

__all__ = ["REGIONS", "endpoint_of", "is_aws", "region_in"]

#: Those that have SES, as of 2026; a new one works as well.
REGIONS = tuple(
    """
    af-south-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
    ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
    eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 eusc-de-east-1
    il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-gov-east-1 us-gov-west-1
    us-west-1 us-west-2
    """.split()
)

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}", re.ASCII)
#: What a region's name begins with -> the domain of that part of AWS.
_DOMAINS = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}


def endpoint_of(region: str) -> str:
    """The base URL of SES in a region.

    Raises:
        ConfigError: It is no region's name.
    """
    if not _REGION.fullmatch(region):
        raise ConfigError(f"ses: {shown(region)} is no region of AWS, such as eu-west-1")
    domain = next((domain for start, domain in _DOMAINS.items() if region.startswith(start)), "amazonaws.com")
    return f"https://email.{region}.{domain}"


def region_in(host: str) -> str:
    """The region that a host's name holds ("email-fips.us-east-1.amazonaws.com"), or ""."""
    return next((label for label in host.split(".") if _REGION.fullmatch(label)), "")


def is_aws(base: str) -> bool:
    """Whether a base URL is AWS' own, or this machine's."""
    host = urlsplit(base).hostname or ""
    return is_loopback(host) or host.endswith(_AWS)
