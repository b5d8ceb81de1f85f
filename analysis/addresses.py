"""Under which address a file is opened at a site; in all that a run writes, files have their own."""

from __future__ import annotations

import re

XROOTD = ("root://", "xroot://")


def opened_as(address: str, prefix: str | None) -> str:
    """The address to open: an XRootD one with the prefix of the site's cache, any other as it is."""
    if prefix is None or not address.startswith(XROOTD) or address.startswith(prefix):
        return address
    return prefix + address


# Name and password before a server; a password may have a slash that nobody encoded, a number before one is a port.
_PASSWORD = re.compile(r"://(?!\[)[^/?#@:\s]*:(?!\d+(?:[/?#]|$))(?:[^/\s]*@|\S*?@)")
# On the web a name alone may be a token; with XRootD it is a name, with Azure the container.
_NAME = re.compile(r"\b(?P<scheme>https?|davs?|webdavs?)://[^/?#@\s]+@", re.IGNORECASE)
_SECRET = re.compile(
    r"(?<![\w.-])(authz|access_token|token|sig|signature|AWSAccessKeyId|X-Amz-(?:Signature|Credential|Security-Token))="
    r"(?:Bearer(?:%20|\+|\s))?[^&\s'\"#]+",
    re.IGNORECASE,
)


def has_credentials(address: str) -> bool:
    """Whether an address has a password, or a token in its place, before the name of the server."""
    return _PASSWORD.search(address) is not None or _NAME.search(address) is not None


def masked(text: str) -> str:
    """A text for others: what is secret in the addresses that it has is `***`."""
    text = _NAME.sub(r"\g<scheme>://***@", _PASSWORD.sub("://***@", text))
    return _SECRET.sub(r"\1=***", text)
