"""The public files of dijet_anomaly: CMS 2011A jets on Zenodo, by the tables of energyflow (arXiv:1908.08542).

energyflow knows the records, the names of the files, their MD5 and the sum of the weights of each sub-dataset. The
cache has energyflow's own layout, so that what it has downloaded is used here, and the other way round.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from analysis.datasets.catalogue import Catalogue
from analysis.datasets.publication import PublicFile, PublicSettings
from analysis.errors import UserError

COLLECTION = "CMS2011AJets"
ZENODO = "https://zenodo.org"
#: The sub-datasets of the samples in `configs/datasets/dijet_anomaly.yaml`.
SUBDATASETS = {
    "CMS": "CMS_Jet300_pT375-infGeV",
    **{f"SIM{pt}": f"SIM{pt}_Jet300_pT375-infGeV" for pt in (170, 300, 470, 600, 800, 1000, 1400, 1800)},
}


class Settings(PublicSettings):
    """Which public files are used, where they come from, and where they are kept."""

    samples: tuple[str, ...] = Field(
        default=tuple(SUBDATASETS), min_length=1, description="samples that are downloaded"
    )
    amount: float = Field(
        default=1.0, gt=0, le=1, description="part of each sample's files that is used, rounded up to whole files"
    )
    address: str = Field(default=ZENODO, description="of the server that has the records")
    cache: str = Field(
        default="~/.energyflow", description="directory for the files; the workers must see it under this name"
    )

    @model_validator(mode="after")
    def _known(self) -> Settings:
        for name in self.samples:
            if name not in SUBDATASETS:
                raise ValueError(f"samples: there is no sample {name!r} (known: {', '.join(SUBDATASETS)})")
        return self


def samples(settings: Settings, catalogue: Catalogue) -> tuple[str, ...]:  # noqa: ARG001  (energyflow knows)
    """The samples that have public files."""
    return settings.samples


def files(settings: Settings, catalogue: Catalogue, sample: str) -> list[PublicFile]:  # noqa: ARG001
    """The public files of a sample, in their order."""
    name = SUBDATASETS[sample]
    number, record = _subdatasets()[name]
    hashes, pattern = _tables()["md5_hashes"], _energyflow().ZENODO_URL_PATTERN
    folder = Path(settings.cache).expanduser().resolve() / "datasets" / COLLECTION / name
    found = []
    for index in range(math.ceil(settings.amount * number)):
        file = f"{name}_{index}_compressed.h5"
        address = pattern.format(record, file).replace(ZENODO, settings.address.rstrip("/"), 1)
        found.append(PublicFile(sample, (address,), str(folder / file), f"md5:{hashes[file]}"))
    return found


def totals(settings: Settings, catalogue: Catalogue) -> dict[str, float]:  # noqa: ARG001
    """The sum of the weights [nb] of each sample with all its files."""
    weights = _tables()["total_weights"]
    return {name: float(weights[SUBDATASETS[name]]) for name in settings.samples}


def _subdatasets() -> dict[str, tuple[int, str]]:
    """Number of files and Zenodo record of each sub-dataset."""
    collection = _energyflow().COLLECTIONS[COLLECTION]
    return {
        name: (int(number), str(record))
        for kind in ("cms", "sim")
        for name, number, record in collection[kind]["subdatasets"]
    }


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = _energyflow()._get_dataset_info(COLLECTION)
    return tables


def _energyflow() -> Any:
    from processors.energyflow_import import import_energyflow

    try:
        return import_energyflow("datasets.mod")
    except ImportError as error:
        raise UserError(
            f"the public files are found by the tables of the package energyflow, which cannot be imported: {error}"
        ) from error
