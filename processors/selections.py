"""From jagged lists to regular arrays: the leptons of selected events, ordered, with a fixed number of columns."""

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from processors.kinematics import Bools, Floats, delta_phi

Array = npt.NDArray[Any]


def flat_content(array: Any) -> tuple[Array, Array]:
    """The numbers of a jagged awkward array, one after another, and how many each event has.

    Virtual arrays (coffea) are read here. Raises ValueError if the array is not a list of numbers per event or has
    missing values.
    """
    layout = ak.to_layout(ak.materialize(array))
    if not (layout.is_list and layout.purelist_depth == 2):
        raise ValueError(f"a list of numbers per event is needed, not the type {ak.type(array)}")
    packed = layout.to_packed()
    if not isinstance(packed, ak.contents.ListOffsetArray):
        packed = packed.to_ListOffsetArray64(True)
    content = packed.content
    if content.is_option:
        raise ValueError(f"missing values are not allowed, but the type is {ak.type(array)}")
    return np.asarray(ak.to_numpy(content)), np.diff(np.asarray(packed.offsets))


def scalar_content(array: Any) -> Array:
    """One number per event as a numpy array; virtual arrays (coffea) are read here. ValueError on missing values."""
    if isinstance(array, np.ndarray):
        return array
    content = ak.to_numpy(ak.materialize(array), allow_missing=False)
    return np.asarray(content)


def regular(content: Array, first: Array, width: int) -> Array:
    """The `width` values from position `first` of every event on, column-major of shape (events, width)."""
    out = np.empty((width, len(first)), dtype=content.dtype)
    for i in range(width):
        out[i] = content[first + i]
    return out.T


def padded(content: Array, counts: Array, width: int) -> Array:
    """All values of every event in `width` columns, zero where an event has fewer; `width` is at least max(counts)."""
    out = np.zeros((len(counts), width), dtype=content.dtype)
    out[np.arange(width) < np.asarray(counts)[:, None]] = content
    return np.asfortranarray(out)


def descending_order(values: Floats) -> Array | None:
    """The stable order of each row from the largest value to the smallest, or None if every row is in order.

    Equal values keep their order; NaN goes last.
    """
    if bool(every(values[:, 1:] <= values[:, :-1]).all()):
        return None
    return np.argsort(-values, axis=1, kind="stable")


def reorder(values: Array, order: Array) -> Array:
    """Each row of `values` in the given order, column-major; the order may have fewer columns than the values."""
    return np.asfortranarray(np.take_along_axis(values, order, axis=1))


def every(mask: Bools) -> Bools:
    """True for rows whose columns are all True, shape (events,) from (events, n); column by column, which is fast."""
    out = np.ones(len(mask), dtype=np.bool_)
    for i in range(mask.shape[1]):
        out &= mask[:, i]
    return out


def without_overlaps(keep: Bools, flavour: Array, eta: Floats, phi: Floats, same: float, different: float) -> Bools:
    """Removes leptons near a harder one: a lepton stays if no kept lepton before it in its row is within the limit.

    Rows are ordered by transverse momentum, so of an overlapping pair the softer one goes, and a lepton that was
    itself removed removes nothing. The limits are on dR, `same` for equal flavours, `different` for others: a pair
    must be further apart than its limit. Shape (events, n); `keep` marks the leptons that take part.
    """
    kept = keep.copy(order="F")
    for i in range(keep.shape[1]):
        for j in range(i):
            d_eta = np.subtract(eta[:, i], eta[:, j], dtype=np.float64)
            d_phi = delta_phi(phi[:, i], phi[:, j])
            limit = np.where(flavour[:, i] == flavour[:, j], same, different)
            far = np.sqrt(d_eta * d_eta + d_phi * d_phi) > limit
            kept[:, i] &= far | ~kept[:, j]
    return kept
