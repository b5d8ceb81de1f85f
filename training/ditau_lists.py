"""Lists of inputs of the ditau mass: by name, from a file, with momenta as pT, eta, phi or as px, py, pz."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

#: As the published models have them, in their order.
FULL: tuple[str, ...] = (
    *(f"{thing}_{name}_reco" for thing in ("tau1", "tau2", "jet1", "jet2", "remaining_jets") for name in
      ("pt", "eta", "phi")),
    "remaining_jets_N_reco", "PuppiMET_pt_reco", "PuppiMET_phi_reco", "MET_covXX_reco", "MET_covXY_reco",
    "MET_covYY_reco", "PuppimT1_reco", "PuppimT2_reco", "PuppimTtt_reco", "PuppimTtot_reco", "PU_npvsGood_reco",
    "N_neutrinos_reco",
)  # fmt: skip
COVARIANCE = ("MET_covXX_reco", "MET_covXY_reco", "MET_covYY_reco")
#: Kinds of files that have a list of inputs.
FILES = (".py", ".txt", ".yaml", ".yml")
_COMPONENT = re.compile(r"(?P<thing>.+)_(?P<part>px|py|pz)_reco")


def cartesian(names: Sequence[str]) -> tuple[str, ...]:
    """The inputs with px, py, pz in place of the pT, eta, phi of each object (px, py where it has no eta)."""
    found: list[str] = []
    for name in names:
        thing, _, part = name.removesuffix("_reco").rpartition("_")
        if part == "pt":
            parts = ("px", "py", "pz") if f"{thing}_eta_reco" in names else ("px", "py")
            found += [f"{thing}_{one}_reco" for one in parts]
        elif part not in ("eta", "phi"):
            found.append(name)
    return tuple(found)


def _without(*starts: str) -> tuple[str, ...]:
    return tuple(name for name in FULL if not name.startswith(starts))


_SPHERICAL: dict[str, tuple[str, ...]] = {
    "full": FULL,
    "no_met_covariance": _without("MET_cov"),
    "no_second_jet": _without("jet2"),
    "no_remaining_jets": _without("remaining_jets"),
    "no_transverse_masses": _without("PuppimT"),
    "no_pileup": _without("PU_"),
    "no_neutrino_number": _without("N_neutrinos"),
}
#: Lists of inputs by name.
INPUT_LISTS: dict[str, tuple[str, ...]] = {
    **_SPHERICAL,
    **{f"cartesian_{name}".removesuffix("_full"): cartesian(names) for name, names in _SPHERICAL.items()},
}


def component(name: str) -> tuple[str, str] | None:
    """The object and the part (px, py or pz) of an input that is worked out from pT, eta and phi; None for others."""
    found = _COMPONENT.fullmatch(name)
    return (found["thing"], found["part"]) if found else None


def columns_of(names: Iterable[str]) -> tuple[str, ...]:
    """The columns that the inputs are worked out from: themselves, or pT, eta and phi of px, py, pz."""
    found: dict[str, None] = {}
    for name in names:
        split = component(name)
        if split is None:
            found[name] = None
        else:
            thing, part = split
            parts = ("pt", "eta") if part == "pz" else ("pt", "phi")
            found |= dict.fromkeys(f"{thing}_{one}_reco" for one in parts)
    return tuple(found)


def check_turnable(names: Sequence[str]) -> None:
    """Raises ValueError where an input cannot be turned about the beam.

    Another one that is needed for that is not among them, or it is of the published convention, whose azimuths are
    folded.
    """
    for name in names:
        if name.startswith("published_") and any(part in name for part in ("_phi", "_px", "_py")):
            raise ValueError(f"augment: {name} cannot be turned: the published azimuths lie between -pi/2 and pi/2")
    things = [split[0] for name in names if (split := component(name)) is not None and split[1] != "pz"]
    groups: list[tuple[str, ...]] = [COVARIANCE]
    groups += [(f"{thing}_px_reco", f"{thing}_py_reco") for thing in dict.fromkeys(things)]
    for group in groups:
        found = [name for name in group if name in names]
        if found and len(found) < len(group):
            raise ValueError(f"augment: {found[0]} cannot be turned without {', '.join(group)} among the inputs")


def is_file(text: Any) -> bool:
    """Whether a text names a file with a list of inputs."""
    return isinstance(text, str) and Path(text).suffix in FILES


def read_list(path: Path) -> tuple[str, ...]:
    """The inputs that a file lists.

    That is `inputs = [...]` in Python as the published models have it (read as data, never executed), a list in YAML,
    or in a text file one name per line, `#` before comments.

    Raises:
        ValueError: one sentence that names the file, if there is none or it holds no such list.
    """
    if path.suffix == ".py" and path.is_file():
        from training.published_models import read_inputs

        return read_inputs(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"the list of inputs {path} cannot be read: {reason}") from error
    if path.suffix == ".txt":
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        return tuple(line for line in lines if line)
    return _of_yaml(path, text)


def _of_yaml(path: Path, text: str) -> tuple[str, ...]:
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"the list of inputs {path} is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ValueError(f"the file {path} must hold a list of names")
    return tuple(content)
