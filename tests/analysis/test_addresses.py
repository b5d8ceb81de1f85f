"""A site's cache stands before XRootD addresses, and before no others."""

from analysis.addresses import opened_as

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
