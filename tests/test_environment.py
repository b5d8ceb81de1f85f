"""pyproject.toml, environment.yml and the lock file say the same."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]


def pyproject() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def required(texts: list[str]) -> dict[str, str]:
    parsed = [Requirement(text) for text in texts]
    return {one.name.lower(): str(one.specifier) for one in parsed}


def test_environment_yml_mirrors_pyproject() -> None:
    project = pyproject()
    extras = project["optional-dependencies"]
    wanted = required(project["dependencies"] + extras["simulation"] + extras["xrootd"] + extras["opendata"])
    content = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    from_pip = next(entry["pip"] for entry in content if isinstance(entry, dict))
    texts = [entry for entry in content if isinstance(entry, str)] + [text for text in from_pip if text != "-e ."]
    found = required(texts)
    assert found.pop("python") == project["requires-python"]
    assert found.pop("pip") == ""
    assert found == wanted


def test_lock_file_pins_every_requirement_of_make_install() -> None:
    project = pyproject()
    extras = project["optional-dependencies"]
    requirements = list(project["dependencies"])
    for name in ("simulation", "xrootd", "lxplus", "dev", "build"):
        requirements += extras[name]
    lock = (PROJECT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([a-z0-9_.-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE))
    for requirement in map(Requirement, requirements):
        assert requirement.name.lower() in pins
        assert requirement.specifier.contains(pins[requirement.name.lower()])


def test_every_requirement_has_a_lower_bound() -> None:
    project = pyproject()
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (Requirement(text) for group in groups for text in group):
        assert any(one.operator in (">=", "==") for one in requirement.specifier), requirement
