"""Networks and trees of one task: each as if it were alone, and both tell quarks from gluons."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dijet_skims import make_events, write_events

from training.dijet_anomaly import Settings
from training.dijet_evaluation import area, cached_pool
from training.dijet_members import Samples
from training.dijet_pool import Particles
from training.jet_classifiers import device_pool, train_members

SMALL: dict[str, Any] = {
    "sample_sizes": [1500], "samples": 2, "min_events": 100, "train_jets": 600, "test_jets": 400,
    "validation_jets": 100, "trees": {"observables": ["multiplicity", "width"], "parameters": {"max_iter": 10}},
    "network": {"phi_units": [24, 24], "f_units": [24], "epochs": 6, "batch_size": 100, "learning_rate": 0.005},
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    columns = make_events(np.random.default_rng(1), 3000)
    sample = write_events(tmp_path_factory.mktemp("skim"), "QCD", columns)
    some = Settings.model_validate(SMALL)
    return Samples(cached_pool([sample], some, 5), some, 5)


def _particles(drawn: Samples) -> Particles:
    assert drawn.pool.particles is not None
    return drawn.pool.particles


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["trees", "pfn"])
def test_gluons_are_told_from_quarks_and_a_stack_does_not_matter(
    drawn: Samples, classifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks that do not fit into the memory together are trained one after another, with the same result."""
    some = Settings.model_validate(SMALL | {"classifier": classifier})
    members = [drawn.composition_member(repeat) for repeat in range(2)]
    together = train_members(_particles(drawn), members, some, threads=2)
    monkeypatch.setattr("training.jet_classifiers._replicas_at_once", lambda *_: 1)
    alone = train_members(_particles(drawn), members, some, threads=1)
    for member, one, other in zip(members, together, alone, strict=True):
        assert len(one.scores) == len(member.test)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        auc = area(member.test_labels, one.scores)
        assert auc is not None
        assert auc > 0.9
    if classifier == "pfn":
        assert all(len(one.history["loss"]) == 6 for one in together)
        assert all(one.history["loss"][-1] < one.history["loss"][0] for one in together)


@pytest.mark.slow
def test_kept_networks_give_the_scores_again(drawn: Samples, tmp_path: Path) -> None:
    from training.pfn import load_pfn

    some = Settings.model_validate(SMALL | {"classifier": "pfn"})
    member = drawn.composition_member(0)
    trained = train_members(_particles(drawn), [member], some, threads=1)[0]
    trained.save(tmp_path / "one")
    again = load_pfn(tmp_path / "one").score(device_pool(_particles(drawn)), member.test)
    np.testing.assert_allclose(again, trained.scores, atol=1e-5)


def test_the_jets_are_sent_to_the_device_once(drawn: Samples) -> None:
    assert device_pool(_particles(drawn)) is device_pool(_particles(drawn))
    assert len(device_pool(_particles(drawn))) == 2 * len(drawn.pool)


@pytest.mark.slow
def test_a_pool_on_the_device_is_not_taken_from_what_is_free_again(
    drawn: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import stack_size

    pools, counted = [], stack_size.replicas_per_stack

    def watched(*arguments: Any, **options: Any) -> int:
        pools.append(options["pool"])
        return counted(*arguments, **options)

    monkeypatch.setattr("training.stack_size.replicas_per_stack", watched)
    monkeypatch.setattr("training.jet_classifiers._device", [])
    some = Settings.model_validate(SMALL | {"classifier": "pfn"})
    for _ in range(2):
        train_members(_particles(drawn), [drawn.composition_member(0)], some, threads=1)
    assert pools == [32 * len(_particles(drawn).pt), 0]
