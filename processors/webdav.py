"""WebDAV: `dav://` and `davs://` addresses, which are HTTP and HTTPS with ways to make folders and to remove files.

Reading is plain HTTP. Writing needs the package of the extra `webdav`.
"""

import base64
import ipaddress
import netrc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from processors.patient import Patience

#: Schemes of WebDAV's addresses, and that of the same address in a browser.
SCHEMES = {"dav": "http", "webdav": "http", "davs": "https", "webdavs": "https"}


def web_address(path: str) -> str:
    """The address with `http://` or `https://`. Raises ValueError where it names no server."""
    scheme, _, rest = path.partition("://")
    server = urlsplit(f"//{rest}")
    if not server.hostname:
        raise ValueError(f"{path} names no server")
    _ = server.port  # raises ValueError where it is no number
    return f"{SCHEMES[scheme]}://{rest}"


def authorization(address: str) -> dict[str, str]:
    """The header with the user's token, or with name and password from ~/.netrc; empty where there are none.

    They are sent with `https://` only, or to this machine. The token is looked for where WLCG's Bearer Token Discovery
    does (doi:10.5281/zenodo.3937438).
    """
    server = urlsplit(address)
    if server.hostname is None or (server.scheme != "https" and not _is_here(server.hostname)):
        return {}
    token = next(_tokens(), None)
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    known = _known_users().authenticators(server.hostname)
    if known is None:
        return {}
    pair = base64.b64encode(f"{known[0]}:{known[2]}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def file_system(path: str, patience: Patience) -> tuple[Any, str]:
    """A file system that can write, and the path there. Raises ImportError without the package webdav4."""
    from webdav4.fsspec import WebdavFileSystem

    server = urlsplit(web_address(path))
    system = WebdavFileSystem(
        f"{server.scheme}://{server.netloc}",
        headers=authorization(server.geturl()),
        timeout=patience.timeout,
        retry=False,  # who calls has patience of its own
        trust_env=False,  # credentials are those above
    )
    return system, server.path


def _tokens() -> Iterator[str]:
    """The tokens of the user, the first one first."""
    if token := os.environ.get("BEARER_TOKEN", "").strip():
        yield token
    name = f"bt_u{os.geteuid()}"
    places = [os.environ.get("BEARER_TOKEN_FILE"), *(_below(os.environ.get("XDG_RUNTIME_DIR"), name)), f"/tmp/{name}"]  # noqa: S108
    for place in places:
        if place and Path(place).is_file() and (token := Path(place).read_text(encoding="utf-8").strip()):
            yield token


def _below(directory: str | None, name: str) -> list[str]:
    return [f"{directory}/{name}"] if directory else []


def _known_users() -> netrc.netrc:
    """What ~/.netrc, or the file that NETRC names, has. Raises ValueError for one that cannot be read as such."""
    place = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return netrc.netrc(str(place if place.is_file() else os.devnull))
    except netrc.NetrcParseError as problem:
        raise ValueError(f"{place}: {problem.msg} (line {problem.lineno})") from problem


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
