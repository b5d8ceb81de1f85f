"""Small untrained networks as the training of ditau_mass leaves them."""

from __future__ import annotations

from pathlib import Path

from training.ditau_model import write_facts
from training.ditau_network import build_network
from training.ditau_settings import FULL, ModelSettings


def make_model(directory: Path, ranges: dict[str, tuple[float, float]] | None = None, seed: int = 3) -> Path:
    """A directory with a network of two small layers on all inputs; ranges that are not given hold every number."""
    from training.backend import keras_module

    keras_module().utils.set_random_seed(seed)
    settings = ModelSettings(layers=2, neurons=16)
    directory.mkdir(parents=True)
    build_network(settings).save(directory / "model.keras")
    wide = dict.fromkeys(FULL, (-1e9, 1e9))
    write_facts(
        directory,
        {
            "name": "small_inclusive", "model": "small", "group": "inclusive", "method": "network",
            "features": list(FULL), "ranges": {**wide, **(ranges or {})}, "files": ["model.keras"],
            "parameters": settings.model_dump(mode="json"),
        },
    )  # fmt: skip
    return directory
