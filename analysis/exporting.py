"""The verb `export`: a trained network as an ONNX file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from analysis.configuration import load_configuration
from analysis.errors import UserError


def export(analysis: str, model: Path, output: Path) -> float:
    """Writes the ONNX file; gives its largest relative difference from the network.

    Raises UserError for a model that cannot be exported, or where the extra `onnx` is not installed.
    """
    module = load_configuration(analysis).module("training")
    if not hasattr(module, "export_onnx"):
        raise UserError(f"{analysis} has no regression that could be exported: {module.__name__} trains none")
    if importlib.util.find_spec("onnx") is None:
        raise UserError("ONNX files need the package onnx: install it with pip install 'hepbatch[onnx]'")
    if not output.parent.is_dir():
        raise UserError(f"there is no directory {output.parent} for the ONNX file")
    try:
        difference: float = module.export_onnx(str(model), str(output))
    except ValueError as error:
        raise UserError(str(error)) from error
    return difference
