"""TLS beyond the loopback interface: who does not have this run's certificate is refused."""

import socket
import ssl
from pathlib import Path

import pytest
from distributed import Client
from distributed.utils import get_ip

from cluster.batch_cluster import listens
from cluster.scheduler import scheduler_and_client
from cluster.security import TlsFiles, run_certificates
from cluster.settings import SchedulerSettings


def test_certificates_are_private_and_go_with_the_run(tmp_path: Path) -> None:
    directory = tmp_path / "run" / "private"
    directory.mkdir(parents=True)
    (directory / "of-a-killed-run").touch()
    with run_certificates(directory) as tls:
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
            "cert.pem": 0o600,
            "key.pem": 0o600,
        }
        assert "PRIVATE KEY" in Path(tls.key).read_text()
        assert "PRIVATE KEY" not in Path(tls.cert).read_text()
    assert not directory.exists()


@pytest.mark.slow
def test_a_stranger_is_refused(tmp_path: Path) -> None:
    if get_ip().startswith("127."):
        pytest.skip("this machine has no address beyond loopback")
    with (
        run_certificates(tmp_path / "private") as tls,
        run_certificates(tmp_path / "another") as others,
        scheduler_and_client(listens(SchedulerSettings()), tmp_path / "scheduler.log", tls) as (cluster, client),
    ):
        address = cluster.scheduler.address
        assert address.startswith(f"tls://{get_ip()}:")
        assert client.scheduler_info()["workers"] == {}
        with Client(address, security=tls.security()) as second:
            assert second.scheduler_info()["address"] == address
        with pytest.raises(OSError, match="Timed out|closed|reset|connect"):  # noqa: RUF043
            Client(address.replace("tls://", "tcp://"), timeout="3s")
        with pytest.raises(OSError, match="TLS certificate does not match"):
            Client(address, security=others.security(), timeout="3s")
        # Those who do not care whom they speak to are refused by the scheduler.
        host, port = address.removeprefix("tls://").split(":")
        for certificate in (None, others):
            assert "alert" in refusal(host, int(port), certificate)


def refusal(host: str, port: int, certificate: TlsFiles | None) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate.cert, certificate.key)
    with (
        pytest.raises(ssl.SSLError) as raised,
        socket.create_connection((host, port), 10) as raw,
        context.wrap_socket(raw) as connection,
    ):
        connection.recv(1)  # TLS 1.3 says it with the first answer
    return str(raised.value)
