"""What the training of particle flow networks costs a device, counted and predicted; part of `benchmarks.pfn`.

The formula, for N trainings of E epochs of S steps in stacks of R networks:

    time = A / (fraction x peak) + M / bandwidth + N / R x E x S x kernels x launch + compile

- A, arithmetic that is executed: 2 FLOP per weight and particle slot (Phi) or jet (F) for the values, as many for the
  gradient of the weights and, but for the first layer, of the inputs. Slots are what the rows of a batch hold, empty
  ones and the capacity's reserve too. The sum over particles as a matrix product (GPU) is counted in;
- M, memory traffic, single precision, nothing kept in caches and nothing fused into a product: every activation is
  passed over PASSES times, every weight WEIGHT_PASSES times per step;
- kernels: 6 per layer (product, bias with activation; their three gradients and that of the bias), one per array of
  weights, and 20 for gathering, summing and the loss;
- fraction, of the peak, that products as narrow as these (100 to 128) reach: 0.4, an assumption;
- compile: as measured on the device at hand; left out where a GPU is predicted without one.

XLA's own analysis of a compiled step (JAX, CPU) has the same arithmetic and traffic; `tests/training/test_backends.py`
compares them. The terms are added up, as if nothing overlapped. Useful arithmetic, of which achieved FLOP/s are said,
is that of real particles, without the sum over them: what any way to train the network has to do.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Forward: a product writes, bias and activation read and write, the next product reads. Backward: a product writes,
#: the activation's gradient reads it and the activation and writes, two products and the bias' gradient read it, one
#: product reads the activation.
PASSES = 12
#: Read by two products; the gradient written and read; weight and both moments of Adam read and written.
WEIGHT_PASSES = 10
KERNELS_PER_LAYER, OTHER_KERNELS = 6, 20
FRACTION = 0.4


@dataclass(frozen=True)
class Device:
    """Peak of single-precision products [FLOP/s], memory bandwidth [B/s], time to start a kernel [s]."""

    name: str
    peak: float
    bandwidth: float
    launch: float


#: NVIDIA's data sheets: dense TF32 products, which both backends use for single precision there; memory bandwidth.
#: 3 us a kernel is the usual figure of both.
DEVICES = {
    "H200": Device("H200", 494.7e12, 4.8e12, 3e-6),
    "H100": Device("H100", 494.7e12, 3.35e12, 3e-6),
    "A100": Device("A100", 156e12, 1.56e12, 3e-6),
}


@dataclass(frozen=True)
class Work:
    """N trainings in stacks of R: jets of a batch, steps of all epochs, particle slots and rows of a batch."""

    network: Any
    trainings: int
    stack: int
    batch: int
    steps: int
    slots: int
    rows: int
    particles: float  # of a batch, without empty slots

    @property
    def useful(self) -> float:
        """FLOP of real particles, forward and backward, of all trainings."""
        return self.trainings * self.steps * self._arithmetic(self.particles)

    @property
    def executed(self) -> float:
        """FLOP with empty slots, and with the sum over particles where it is a product."""
        add = 4 * self.rows * self.batch * self._latent if self.network.add == "matmul" else 0
        return self.trainings * self.steps * (self._arithmetic(self.slots) + add)

    @property
    def traffic(self) -> float:
        """Bytes to and from memory."""
        activations = PASSES * self.network.activations(self.batch, self.slots)
        weights = WEIGHT_PASSES * sum(math.prod(shape) for shape in self.network.shapes)
        # The matrix of zeros and ones: written, read forward and backward.
        add = 3 * self.rows * self.batch if self.network.add == "matmul" else 0
        return 4.0 * self.trainings * self.steps * (activations + weights + add)

    @property
    def kernels(self) -> float:
        """Kernels started, by all stacks."""
        arrays = len(self.network.shapes)
        each = KERNELS_PER_LAYER * arrays // 2 + arrays + OTHER_KERNELS
        return math.ceil(self.trainings / self.stack) * self.steps * each

    @property
    def _latent(self) -> int:
        return int(self.network.phi_units[-1])

    def _arithmetic(self, particles: float) -> float:
        kernels = [shape for shape in self.network.shapes if len(shape) == 2]
        phi, f = kernels[: len(self.network.phi_units)], kernels[len(self.network.phi_units) :]
        per_particle = 6 * sum(math.prod(shape) for shape in phi) - 2 * math.prod(phi[0])
        return per_particle * particles + 6 * sum(math.prod(shape) for shape in f) * self.batch


def predicted(work: Work, device: Device, *, fraction: float = FRACTION, compile_: float = 0.0) -> dict[str, float]:
    """The terms of the formula [s], by their names."""
    return {
        "arithmetic": work.executed / (fraction * device.peak),
        "memory": work.traffic / device.bandwidth,
        "launches": work.kernels * device.launch,
        "compile": compile_,
    }


def measured_device(*, gpu: bool) -> Device:
    """Of this process: a product of large square matrices, a copy beyond all caches, a chain of small kernels."""
    from training.backend import compiled, keras_module

    ops = keras_module().ops
    side, length = (8192, 2**28) if gpu else (1536, 2**26)
    matrix, array, small = ops.ones((side, side)), ops.zeros((length,)), ops.ones((64, 64))
    links = 100

    def chain(x: Any) -> Any:
        # Products are not fused, so each is a kernel.
        for _ in range(links):
            x = ops.matmul(x, x)
        return x

    product = _seconds(compiled(lambda x: ops.matmul(x, x)), matrix)
    copy = _seconds(compiled(lambda x: x + 1.0), array)
    own = 2 * 64**3 / (2 * side**3 / product)
    launch = max(_seconds(compiled(chain), ops.zeros_like(small)) / links - own, 0.0)
    return Device("this GPU" if gpu else "this CPU", 2 * side**3 / product, 8 * length / copy, launch)


def _seconds(function: Callable[[Any], Any], argument: Any, repetitions: int = 7) -> float:
    """Median time of a call, until its result is there."""
    found = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        _wait(function(argument))
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def _wait(result: Any) -> None:
    """Until the device has computed it: one number of it is fetched."""
    from training.backend import keras_module

    keras_module().ops.convert_to_numpy(result.reshape(-1)[:1] if hasattr(result, "reshape") else result[..., :1])
