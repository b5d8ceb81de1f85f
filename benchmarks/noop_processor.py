"""A processor that does nothing: what remains is what the engine costs. Used by `engine_noop`."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Also the (empty) settings of the training and the results, which a skim does not use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    began: str | None = Field(default=None, description="a file that is made when the first item begins")


def branches(role: str) -> tuple[str, ...]:  # noqa: ARG001
    """The one branch of the tree."""
    return ("x",)


def build(settings: Settings, *, luminosity: float | None, skim_directory: str | None) -> Any:  # noqa: ARG001
    """The processor; counts entries and gives one histogram, which stays empty."""
    import hist
    from coffea.processor import ProcessorABC

    if settings.began is not None:
        Path(settings.began).touch()

    class Nothing(ProcessorABC):  # type: ignore[misc]
        """Reads nothing, selects nothing, writes nothing."""

        def process(self, events: Any) -> dict[str, dict[str, Any]]:
            """The accumulator of a chunk."""
            entries = len(events)
            histogram = hist.Hist(hist.axis.Regular(50, 0, 1, name="x"), storage=hist.storage.Weight())
            return {
                events.metadata["dataset"]: {
                    "entries": entries,
                    "sum_mc_weight": float(entries),
                    "cutflow": {"all": {"events": entries, "weighted": float(entries)}},
                    "histograms": {"x": histogram},
                    "skims": [],
                }
            }

        def postprocess(self, accumulator: Any) -> Any:
            """Returns the accumulator as it is."""
            return accumulator

    return Nothing()
