"""Under which address a file is opened at a site; in all that a run writes, files have their own."""

from __future__ import annotations

XROOTD = ("root://", "xroot://")


def opened_as(address: str, prefix: str | None) -> str:
    """The address to open: an XRootD one with the prefix of the site's cache, any other as it is."""
    if prefix is None or not address.startswith(XROOTD) or address.startswith(prefix):
        return address
    return prefix + address
