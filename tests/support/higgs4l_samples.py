"""The samples of the higgs4l data folders: files, normalisation, and the counts published with the notebook."""

import json
from pathlib import Path
from typing import Any

LUMINOSITY = 1000.0

#: Name, file under the folder of the data, and for simulation cross section [pb], sumw, reduction efficiency.
REAL = {
    "DataEgamma": ("atlas-8tev/Data/skim.DataEgamma.root", None),
    "DataMuons": ("atlas-8tev/Data/skim.DataMuons.root", None),
    "Zee": ("atlas-8tev/MC/skim.mc_147770.Zee.root", (1241.2072, 203795455568148.0, 0.151816307)),
    "Zmumu": ("atlas-8tev/MC/skim.mc_147771.Zmumu.root", (1241.2072, 225316022111048.0, 0.124706551)),
    "ttbar_lep": ("atlas-8tev/MC/skim.mc_117050.ttbar_lep.root", (137.29749, 49761200.21, 0.072212854)),
    "ZZ": ("atlas-8tev/MC/skim.mc_105986.ZZ.root", (1.5376, 243674.74, 0.95088)),
}
SIMULATED = ("ggH125_ZZ4lep", "VBFH125_ZZ4lep")
#: Events read, and left after four_leptons, as the notebook prints them.
NOTEBOOK = {
    "DataEgamma": (89, 88),
    "DataMuons": (112, 109),
    "Zee": (720, 709),
    "Zmumu": (1057, 1045),
    "ttbar_lep": (897, 880),
    "ZZ": (1973, 1956),
}


def sample(folder: Path, name: str) -> tuple[str, dict[str, Any]]:
    """Path of a sample's file and the metadata a processor gets with it."""
    if name in REAL:
        relative, numbers = REAL[name]
        path = folder / relative
    else:
        path = folder / "simulated" / f"{name}.root"
        side = json.loads(Path(f"{path}.json").read_text())
        numbers = (side["xsec_pb"], side["sumw"], side["red_eff"])
    return str(path), metadata(name, numbers)


def metadata(name: str, numbers: tuple[float, float, float] | None) -> dict[str, Any]:
    """Metadata of a data set: data if there are no numbers."""
    if numbers is None:
        return {"dataset": name, "role": "data"}
    role = "signal" if name.startswith(("ggH", "VBFH")) else "background"
    return {
        "dataset": name,
        "role": role,
        **dict(zip(("xsec", "sumw", "reduction_efficiency"), numbers, strict=True)),
    }


def normalisation(meta: dict[str, Any]) -> float | None:
    """L * xsec / (sumw * reduction efficiency), None for data."""
    if meta["role"] == "data":
        return None
    return float(LUMINOSITY * meta["xsec"] / (meta["sumw"] * meta["reduction_efficiency"]))
