"""Real servers on the loopback interface that runs are published to: WebDAV (wsgidav) and S3 (moto), which may fail."""

import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "jane", "a secret"
BUCKET = "runs"
WITHOUT = "the extra `dev` is not installed"


@dataclass
class Store:
    """A server. `fault` gives, for the number of an upload (from 1), the HTTP status it fails with, or None."""

    address: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    fault: Callable[[int], int | None] = lambda _: None
    uploads: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wrapped(self, application: Any) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
        """The application with the faults in front of it."""

        def answer(environment: dict[str, Any], start: Any) -> Iterable[bytes]:
            with self.lock:
                self.requests[environment["REQUEST_METHOD"]] += 1
                self.uploads += environment["REQUEST_METHOD"] == "PUT"
                status = self.fault(self.uploads) if environment["REQUEST_METHOD"] == "PUT" else None
            if status is None:
                answered: Iterable[bytes] = application(environment, start)
                return answered
            environment["wsgi.input"].read()
            start(f"{status} as the test wants it", [("Content-Length", "0")])
            return [b""]

        return answer


@contextmanager
def webdav(directory: Path) -> Iterator[Store]:
    """Serves a directory as dav://; who writes or reads needs name and password, which are in a file like ~/.netrc."""
    app = pytest.importorskip("wsgidav.wsgidav_app", reason=WITHOUT)
    data = directory / "data"
    data.mkdir(parents=True)
    store = Store()
    settings = {
        "provider_mapping": {"/": str(data)},
        "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "logging": {"enable": False},
        "verbose": 0,
    }
    with _serving(store.wrapped(app.WsgiDAVApp(settings))) as port:
        store.address = f"dav://127.0.0.1:{port}"
        users = directory / "netrc"
        users.write_text(f'machine 127.0.0.1 login {USER} password "{PASSWORD}"\n')
        users.chmod(0o600)
        store.environment = {"NETRC": str(users)}
        yield store


@contextmanager
def s3() -> Iterator[Store]:
    """Serves the empty bucket `runs` as s3://."""
    for package in ("s3fs", "flask_cors"):
        pytest.importorskip(package, reason=WITHOUT)
    server = pytest.importorskip("moto.server", reason=WITHOUT)
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()  # of another server, under the same address
    store = Store(f"s3://{BUCKET}")
    with _serving(store.wrapped(server.DomainDispatcherApplication(server.create_backend_app))) as port:
        store.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        _empty(store)
        yield store


def _empty(store: Store) -> None:
    """The bucket as it was before any test: the server keeps all in the memory of this process."""
    import boto3

    reset = urllib.request.Request(f"{store.environment['AWS_ENDPOINT_URL']}/moto-api/reset", method="POST")  # noqa: S310
    urllib.request.urlopen(reset).close()  # noqa: S310
    environment = store.environment
    boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    ).create_bucket(Bucket=BUCKET)


@contextmanager
def _serving(application: Any) -> Iterator[int]:
    """Serves a WSGI application; gives the port."""
    wsgi = pytest.importorskip("cheroot.wsgi", reason=WITHOUT)
    server = wsgi.Server(("127.0.0.1", 0), application, numthreads=8)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield int(server.bind_addr[1])
    finally:
        server.stop()
        thread.join()
