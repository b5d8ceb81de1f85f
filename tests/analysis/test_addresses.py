"""A site's cache stands before XRootD addresses, and before no others."""

import pytest

from analysis.addresses import has_credentials, masked, opened_as
from analysis.provenance import command_line

CACHE = "root://cache:1094//"


def test_an_address_is_opened_through_the_cache() -> None:
    published = "root://eospublic.cern.ch//eos/ZZ.root"
    assert opened_as(published, CACHE) == f"root://cache:1094//{published}"
    assert opened_as(f"x{published}", CACHE) == f"root://cache:1094//x{published}"


def test_what_stays_as_it_is() -> None:
    published = "root://eospublic.cern.ch//eos/ZZ.root"
    assert opened_as(published, None) == published
    assert opened_as(f"{CACHE}{published}", CACHE) == f"{CACHE}{published}"
    for other in ("https://eospublic.cern.ch//eos/ZZ.root", "/eos/ZZ.root", "root/ZZ.root"):
        assert opened_as(other, CACHE) == other


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("davs://jane:pass@host/run", "davs://***@host/run"),
        ("s3://AKIA:sec/ret@bucket/run", "s3://***@bucket/run"),
        ("root://jane:pass@host:1094//run", "root://***@host:1094//run"),
        ("https://token@host/run", "https://***@host/run"),
    ],
)
def test_credentials_before_the_server_are_noticed_and_masked(address: str, shown: str) -> None:
    assert has_credentials(address)
    assert masked(address) == shown


@pytest.mark.parametrize(
    "address",
    ["root://jane@host:1094//eos/a@b", "abfs://box@account.dfs.core.windows.net/run", "https://host:8443/a@b",
     "root://[::1]:1094//run@1", "/home/jane:old/run@1", "s3://bucket/run"],
)  # fmt: skip
def test_an_address_without_credentials_is_left_as_it_is(address: str) -> None:
    assert not has_credentials(address)
    assert masked(address) == address


def test_the_command_of_a_manifest_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "run",
        "--set",
        "a.token=1",
        "--source",
        "https://jane:pw@host/x?X-Amz-Credential=AK&X-Amz-Signature=ab&y=1",
    ]
    monkeypatch.setattr("sys.argv", ["/bin/hepbatch", *words, "--publish", "root://host//x?authz=Bearer%20abc"])
    assert command_line() == (
        "hepbatch run --set a.token=1 --source https://***@host/x?X-Amz-Credential=***&X-Amz-Signature=***&y=1 "
        "--publish root://host//x?authz=***"
    )
