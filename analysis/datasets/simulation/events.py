"""From generator records to reconstructed four-lepton events, batch by batch.

Every step works on the flat arrays of a few hundred events. Events are thinned out twice so that their weights become
nearly equal: before the costly steps with the largest probability possible, and after the response with the final
one. An event that would pass the usual lepton quality cuts is kept with a probability that is higher by the factor
`enhancement` and has a weight that is lower by it: these events decide every comparison after the selection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation import atlas_jets, combinations, exchange
from analysis.datasets.simulation import atlas_response as response
from analysis.datasets.simulation.candidates import Candidates, Particles, find
from analysis.datasets.simulation.fourlepton_processes import Process
from analysis.datasets.simulation.ntuple import Events, empty
from analysis.datasets.simulation.pythia import Record

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

LEPTONS = 4
MUON_MASS = 0.1056583755
# lep_flag of a lepton of tight quality, as in the public files.
_FLAG_ELECTRON, _FLAG_MUON = 550526463, 559955967


@dataclass(frozen=True)
class Reconstruction:
    """What turns records into events.

    Attributes:
        process: the process (pile-up profile, run number, reference weight).
        channel: data-set number, branch `channelNumber`.
        semileptonic: branching fraction of each hadron with forced semileptonic decays.
        misidentification: factor on the misidentification probabilities.
        heavy_flavour: factor on the probabilities of leptons from b and c hadrons.
        enhancement: factor on the probability to keep events of good lepton quality.

    """

    process: Process
    channel: int
    semileptonic: Mapping[int, float]
    misidentification: float
    heavy_flavour: float
    enhancement: float

    def __call__(
        self, records: Sequence[Record], weights: Sequence[float], numbers: Sequence[int], rng: np.random.Generator
    ) -> Events:
        """Give the events with at least four reconstructed leptons and a trigger.

        Args:
            records: of the generated events, copies.
            weights: of the generated events.
            numbers: event numbers, ascending; hadronisations of the same partons have the same one.
            rng: source of randomness.

        """
        if not records:
            return empty()
        particles = Particles.of(records)
        lep, base, probability = self._choose(particles, np.asarray(numbers, np.int64), rng)
        weight = np.asarray(weights)[base] * probability
        fires = response.trigger(lep.kind, lep.pt, lep.eta, rng)
        counts = np.bincount(lep.event, minlength=len(base))
        fired = np.bincount(lep.event, fires, minlength=len(base)) > 0
        reference = self.process.reference_weight
        first_keep = np.minimum(1.0, weight * self.enhancement / reference)
        kept = (counts >= LEPTONS) & fired & (rng.random(len(base)) < first_keep)
        if not kept.any():
            return empty()
        which = kept[lep.event]
        weight, base, first_keep = weight[kept], base[kept], first_keep[kept]
        lep = lep.take(which).with_events((np.cumsum(kept) - 1)[lep.event[which]])
        built, good = self._measure(particles, lep, fires[which], base, rng)
        keep = np.minimum(1.0, weight * np.where(good, self.enhancement, 1.0) / reference)
        built = built.with_scalars(weight=weight / keep, eventNumber=np.asarray(numbers, np.int32)[base])
        complete = (built.lep_n >= LEPTONS) & (built.scalars["trigE"] | built.scalars["trigM"])
        return built.take(complete & (rng.random(len(base)) < keep / first_keep))

    def _choose(self, particles: Particles, group: Int, rng: np.random.Generator) -> tuple[Candidates, Int, Float]:
        """Draw the reconstructed leptons.

        Returns:
            leptons by event and falling pt, the record of each event, the probability of the outcome.

        """
        n = particles.n_events
        found = find(particles, self.semileptonic, self.heavy_flavour, self.misidentification, rng)
        prompt = np.bincount(found.event[found.prompt], minlength=n)
        needed = np.maximum(LEPTONS - prompt, 0)
        other = np.flatnonzero(~found.prompt)
        drawn, probability = combinations.draw(found.probability[other], found.event[other], needed, rng)
        chosen, event, base = [np.flatnonzero(found.prompt), other[drawn]], [], np.arange(n)
        if len(np.unique(group)) < n:
            pairs = exchange.draw(found, group, rng)
            two = needed == 2
            probability[two & exchange.holds_exchangeable(found, other[drawn], n)] = 0.0
            usable = two[pairs.base]
            first, second, record = (x[usable] for x in (pairs.first, pairs.second, pairs.base))
            # Two prompt leptons of the record and the two candidates make each of these events.
            prompt_rows = np.flatnonzero(found.prompt)
            start = np.cumsum(prompt) - prompt
            columns = [prompt_rows[start[record]], prompt_rows[start[record] + 1], first, second]
            chosen += columns
            event = [n + np.arange(len(record))] * len(columns)
            base, probability = np.concatenate([base, record]), np.concatenate([probability, pairs.factor[usable]])
        rows = np.concatenate(chosen)
        result = found.take(rows).with_events(np.concatenate([found.event[chosen[0]], found.event[chosen[1]], *event]))
        return result.take(np.lexsort((-result.pt, result.event))), base, probability

    def _measure(
        self, particles: Particles, lep: Candidates, fires: Bool, base: Int, rng: np.random.Generator
    ) -> tuple[Events, Bool]:
        """Give the events with all their branches, and whether they are of good lepton quality."""
        n, event = len(base), lep.event
        mean, width = response.VERTICES[self.process.pileup]
        vertices = np.clip(np.round(rng.normal(mean, width, n)), 1, 29).astype(np.int64)
        d0, sigma = response.impact_parameter(lep.kind, lep.pt, lep.eta, lep.d0, lep.misidentified, rng)
        etcone, ptcone = response.isolation(
            lep.kind, lep.pt, vertices[event].astype(float), lep.cone_et, lep.cone_pt, lep.misidentified, rng
        )
        z0 = response.longitudinal_impact_parameter(lep.kind, lep.eta, lep.d0, rng)
        muon = lep.kind == 13
        lost = (np.abs(z0) > response.MAXIMUM_Z0) | (muon & (etcone > response.MAXIMUM_MUON_ISOLATION * lep.pt))
        electrons = np.bincount(event, ~muon & ~lost, minlength=n).astype(np.int64)
        muons = np.bincount(event, muon & ~lost, minlength=n).astype(np.int64)
        good_lepton = (
            (lep.pt > np.where(muon, 6.0, 7.0))
            & (etcone < np.where(muon, 0.3, 0.2) * lep.pt)
            & (np.abs(d0) < np.where(muon, 3.5, 6.5) * sigma)
        )
        good = np.bincount(event, ~good_lepton & ~lost, minlength=n) == 0
        mass = np.where(muon, MUON_MASS, 0.0)
        momentum = lep.pt * np.cosh(lep.eta)
        columns = {
            "truthMatched": lep.prompt & (rng.random(len(event)) < 0.99),
            "trigMatched": (np.where(~muon & (lep.pt < 60.0), 1, 3) * fires).astype(np.uint16),
            "pt": lep.pt * 1e3,
            "eta": lep.eta,
            "phi": lep.phi,
            "E": np.hypot(momentum, mass) * 1e3,
            "z0": z0,
            "charge": lep.charge,
            "type": lep.kind,
            "flag": np.where(muon, _FLAG_MUON, _FLAG_ELECTRON),
            "ptcone30": ptcone * 1e3,
            "etcone20": etcone * 1e3,
            "trackd0pvunbiased": d0,
            "tracksigd0pvunbiased": sigma,
        }
        met, met_phi = atlas_jets.missing_momentum(particles, base, vertices, rng)
        jets, jet_n, good_jets = self._jets(particles, lep, base, vertices, rng)
        scalars = {
            "runNumber": np.full(n, self.process.run_number),
            "channelNumber": np.full(n, self.channel),
            "mcWeight": np.ones(n),
            "pvxp_n": vertices,
            "vxp_z": rng.normal(-6.0, 48.0, n),
            **response.scale_factors(electrons, muons, vertices, self.process.pileup, rng),
            "trigE": np.bincount(event, fires & ~muon & ~lost, minlength=n) > 0,
            "trigM": np.bincount(event, fires & muon & ~lost, minlength=n) > 0,
            "passGRL": np.ones(n, bool),
            "hasGoodVertex": np.ones(n, bool),
            "met_et": met * 1e3,
            "met_phi": met_phi,
            "jet_n": good_jets,
        }
        kept = {name: column[~lost] for name, column in columns.items()}
        return Events(scalars, kept, electrons + muons, jets, jet_n), good

    def _jets(
        self, particles: Particles, lep: Candidates, base: Int, vertices: Int, rng: np.random.Generator
    ) -> tuple[dict[str, NDArray[np.generic]], Int, Int]:
        """Give the jet branches, all jets per event, and those that pass the vertex-fraction cut."""
        jets = atlas_jets.reconstruct(particles, lep, base, vertices, rng)
        n, bottom = len(jets.pt), jets.flavour == 5
        tagged, light = rng.beta(3.0, 1.0, n), 0.052 + rng.exponential(0.03, n)
        columns = {
            "pt": jets.pt * 1e3,
            "eta": jets.eta,
            "phi": jets.phi,
            "E": np.hypot(jets.pt * np.cosh(jets.eta), jets.mass) * 1e3,
            "m": jets.mass * 1e3,
            "jvf": jets.jvf,
            "trueflav": jets.flavour,
            "truthMatched": jets.truth,
            "SV0": np.where(bottom, rng.exponential(8.0, n), 0.0),
            "MV1": np.where(bottom, tagged, light),
        }
        counts = np.bincount(jets.event, minlength=len(base))
        hard = (jets.jvf > 0.5) | (jets.pt > 50.0)
        good = np.bincount(jets.event[hard], minlength=len(base))
        return columns, counts, good
