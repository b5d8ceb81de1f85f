"""A small analysis of MOD files for the tests: every jet with all its columns, and sums over its particles."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

JETS = (
    "fn", "rn", "lbn", "evn", "npv", "quality", "hard_pid", "jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta", "jec",
    "jet_area", "jet_max_nef", "gen_jet_pt", "gen_jet_y", "gen_jet_phi", "gen_jet_m", "gen_jet_eta", "hard_pt",
    "hard_y", "hard_phi", "weight",
)  # fmt: skip
PARTICLES = tuple(f"{table}.{name}" for table in ("pfcs", "gens") for name in ("pt", "y", "phi", "m", "pid", "vertex"))


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def branches(role: str) -> tuple[str, ...]:
    return JETS + PARTICLES


def build(settings: Settings, *, luminosity: float, skim_directory: str | None) -> Any:
    import awkward as ak
    import hist
    import numpy as np
    from coffea.processor import ProcessorABC

    from processors.skims import skim_name, write_skim

    class Jets(ProcessorABC):  # type: ignore[misc]
        def process(self, events: Any) -> dict[str, Any]:
            facts = events.metadata
            columns = {name: events[name] for name in JETS}
            columns |= {name: ak.to_numpy(ak.sum(events[name], axis=1)) for name in PARTICLES}
            columns["particles"] = ak.to_numpy(ak.num(events["pfcs.pt"]))
            name = Path(facts["dataset"]) / skim_name(facts["fileuuid"], facts["entrystart"], facts["entrystop"])
            write_skim(Path(str(skim_directory)) / name, [columns])
            spectrum = hist.Hist(hist.axis.Regular(20, 300, 700, name="pt"), storage=hist.storage.Weight())
            spectrum.fill(columns["jet_pt"], weight=columns["weight"])
            good = columns["quality"] >= 2
            total = float(np.sum(columns["weight"]))
            return {
                facts["dataset"]: {
                    "entries": len(events),
                    "sum_mc_weight": total,
                    "cutflow": {
                        "all": {"events": len(events), "weighted": total},
                        "quality": {"events": int(good.sum()), "weighted": float(columns["weight"][good].sum())},
                    },
                    "histograms": {"pt": spectrum},
                    "skims": [{"file": name.as_posix(), "rows": len(events)}],
                }
            }

        def postprocess(self, accumulator: Any) -> Any:
            return accumulator

    return Jets()
