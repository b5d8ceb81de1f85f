"""Regressions of the ditau mass as ONNX files, for programs without Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.ditau_model import MassModel, load_mass_model
from training.files import write_atomically

#: Keras' activations by the ONNX operator that is the same; linear is none.
_ACTIVATIONS = {
    "relu": "Relu", "softplus": "Softplus", "softsign": "Softsign", "elu": "Elu", "selu": "Selu", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "exponential": "Exp",
}  # fmt: skip
_OPSET = 17
#: ONNX Runtime of 2026 reads files up to a version that onnx may be ahead of.
_IR_VERSION = 10
#: Largest difference of the exported model, relative to the mass or to 1 GeV.
TOLERANCE = 1e-4
_TRIALS = 1000


def export_onnx(directory: str | Path, path: str | Path) -> float:
    """Write the network of a directory as ONNX: input `inputs` (N, n) in float32, output `ml_mass` (N, 1) in GeV.

    The names of the inputs, in their order, are the metadata `inputs` (JSON); `ranges` are those of the training, and
    `convention` is that of the inputs (corrected, published, or null where the model does not say). The file is run and
    compared with the network before it gets its name. Gives the largest relative difference.

    Raises:
        ValueError: if the model cannot be loaded, is no chain of dense layers, or the file gives other masses.
        ImportError: if onnx is not installed (extra `onnx`).
    """
    import onnx

    model = load_mass_model(directory)
    proto = _model(model)
    onnx.checker.check_model(proto, full_check=True)
    difference = _difference(model, proto)
    if not difference < TOLERANCE:
        raise ValueError(f"The ONNX form of {model.name} differs from the network by {difference:.2g}: not written.")
    write_atomically(Path(path), lambda temporary: onnx.save(proto, str(temporary)))
    return difference


def _model(model: MassModel) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    if model.network is None:
        raise ValueError(f"The model {model.name} is no network: only networks are exported.")
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, values: NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    last = "inputs"
    for number, layer in enumerate(model.network.layers):
        for operator, arrays in _operations(layer):
            names = [constant(f"{operator}_{number}_{k}", array) for k, array in enumerate(arrays)]
            out = f"value_{len(nodes)}"
            nodes.append(helper.make_node(operator, [last, *names], [out]))
            last = out
    nodes.append(helper.make_node("Identity", [last], ["ml_mass"]))
    shapes = (("inputs", len(model.inputs)), ("ml_mass", 1))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["events", width]) for name, width in shapes]
    graph = helper.make_graph(nodes, model.name, ends[:1], ends[1:], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="hepbatch")
    proto.ir_version = min(proto.ir_version, _IR_VERSION)
    ranges = None if model.ranges is None else {name: list(ends) for name, ends in model.ranges.items()}
    facts = {"inputs": model.inputs, "ranges": ranges, "convention": model.convention}
    helper.set_model_props(proto, {name: json.dumps(fact) for name, fact in facts.items()})
    return proto


def _operations(layer: Any) -> list[tuple[str, list[NDArray[Any]]]]:
    """ONNX operators of a layer, each with its constants.

    Raises:
        ValueError: for a layer that no network of this program has.
    """
    convert = keras_module().ops.convert_to_numpy
    kind = type(layer).__name__
    if kind == "Dropout":
        return []
    if kind == "Normalization":
        mean, variance = convert(layer.mean), convert(layer.variance)
        return [("Sub", [mean.reshape(1, -1)]), ("Div", [np.sqrt(variance).reshape(1, -1)])]
    if kind == "Rescaling":
        return [("Mul", [np.array(layer.scale)]), ("Add", [np.array(layer.offset)])]
    if kind not in ("Dense", "Activation"):
        raise ValueError(f"The layer {layer.name} is a {kind}: only chains of dense layers are exported.")
    operations = [("Gemm", [np.asarray(one) for one in layer.get_weights()])] if kind == "Dense" else []
    activation = layer.activation.__name__
    if activation != "linear":
        if activation not in _ACTIVATIONS:
            raise ValueError(f"The layer {layer.name} has the activation {activation}, which is not exported.")
        operations.append((_ACTIVATIONS[activation], []))
    return operations


def _difference(model: MassModel, proto: Any) -> float:
    """Largest difference on random events, most of them within the ranges of the training."""
    rng = np.random.default_rng(1)
    low, high = (
        np.array([0.0 if model.ranges is None else model.ranges[name][end] for name in model.inputs]) for end in (0, 1)
    )
    if model.ranges is None:
        low, high = np.full(len(low), -100.0), np.full(len(low), 300.0)
    reach = 0.1 * (high - low)
    matrix = rng.uniform(low - reach, high + reach, (_TRIALS, len(low))).astype(np.float32)
    expected = model.evaluate(matrix)
    found = np.asarray(_run(proto, matrix), np.float64)[:, 0]
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)))


def _run(proto: Any, matrix: NDArray[np.float32]) -> Any:
    """The output for some events: by ONNX Runtime, where it is installed, else by onnx' own reference."""
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        evaluator: Any = ReferenceEvaluator(proto)
    else:
        evaluator = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return evaluator.run(None, {"inputs": matrix})[0]
