import numpy as np
import pytest

from training.significance import asimov
from training.thresholds import best_threshold


def sample(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    label = rng.integers(0, 2, n)
    score = np.round(np.clip(rng.normal(0.4 + 0.3 * label, 0.15), 0, 1), 2)
    weight = np.where(label == 1, 0.01, 0.05) * rng.choice([1, 1, 1, -0.2], n)
    return score, label, weight


@pytest.mark.parametrize("minimum", [0.0, 25.0, 80.0])
def test_agrees_with_trying_every_score(minimum: float) -> None:
    score, label, weight = sample()
    best = (-1.0, 0.0, 0.0)
    for cut in np.unique(score):
        chosen = score >= cut
        s, b = 1.25 * weight[chosen & (label == 1)].sum(), 1.25 * weight[chosen & (label == 0)].sum()
        effective = b**2 / max(np.sum((1.25 * weight[chosen & (label == 0)]) ** 2), 1e-300)
        if effective >= minimum and b > 0 and float(asimov(s, b)) > best[0]:
            best = (float(asimov(s, b)), cut, effective)
    found = best_threshold(score, label, weight, minimum_effective=minimum, scale=1.25)
    assert found.constrained
    assert found.asimov == pytest.approx(best[0])
    assert found.effective_background == pytest.approx(best[2])
    assert np.array_equal(score >= found.value, score >= best[1])


def test_keeps_everything_where_the_background_is_too_small() -> None:
    score, label, weight = sample(60)
    found = best_threshold(score, label, weight, minimum_effective=1000.0)
    assert not found.constrained
    assert (score >= found.value).all()


def test_order_of_events_does_not_matter() -> None:
    score, label, weight = sample()
    order = np.random.default_rng(5).permutation(len(score))
    first = best_threshold(score, label, weight, minimum_effective=25)
    second = best_threshold(score[order], label[order], weight[order], minimum_effective=25)
    assert first.value == second.value
    assert first.asimov == pytest.approx(second.asimov, rel=1e-12)
