"""The protocol ``transductive`` and what refines p_u on all test clips together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.zsl.test_zsl_protocols import SEEN, UNSEEN, caches
from zskel.data.common.errors import BadConfig, BadInput
from zskel.pipeline.base.config import FitConfig, NamedConfig
from zskel.pipeline.steps.fits import Fit
from zskel.zsl.cache_checks import Caches
from zskel.zsl.evaluation import Evaluation, evaluate_gates
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import GateInput, Reference
from zskel.zsl.methods.ridge import Ridge
from zskel.zsl.protocols import STRICT, TRANSDUCTIVE, Protocol
from zskel.zsl.refinements import REFINEMENTS
from zskel.zsl.refinements.base import Refinement
from zskel.zsl.refinements.cluster_votes import ClusterVotes, whitened
from zskel.zsl.refinements.prototype_votes import PrototypeVotes

TRIED = ("left_out_classes", "domain_classifier", "calibrated_stacking")


class Spy(Refinement):
    """Remembers its pools and says the first unseen class of everything."""

    name = "spy"

    def __init__(self) -> None:
        self.pools: list[GateInput] = []

    def refine(self, inputs: GateInput) -> np.ndarray:
        self.pools.append(inputs)
        return np.eye(inputs.unseen_proba.shape[1])[np.zeros(len(inputs), int)]

    def description(self) -> dict[str, Any]:
        return {"name": self.name}


def evaluated(protocol: Protocol) -> dict[str, Evaluation]:
    return evaluate_gates(
        Caches(*caches()), method=lambda seed: Ridge(seed=seed), protocol=protocol,
        gates={name: lambda seed, name=name: GATES.build(name, seed=seed) for name in TRIED})


@pytest.fixture(scope="module")
def strict() -> dict[str, Evaluation]:
    return evaluated(STRICT)


def test_gates_decide_as_they_do_clip_by_clip(strict: dict[str, Evaluation]) -> None:
    spy = Spy()
    for name, evaluation in evaluated(replace(TRANSDUCTIVE, refinement=lambda: spy)).items():
        new, old = evaluation.predictions, strict[name].predictions
        assert evaluation.protocol == "transductive"
        assert evaluation.selection == {"refinement": {"name": "spy"}}
        np.testing.assert_array_equal(new.margin, old.margin)
        said_seen = old.margin > 0
        np.testing.assert_array_equal(
            new.gzsl_prediction[said_seen], old.gzsl_prediction[said_seen])
        assert (new.gzsl_prediction[~said_seen] == UNSEEN[0]).all()
        of_unseen = np.isin(new.label, UNSEEN)
        assert (new.zsl_prediction[of_unseen] == UNSEEN[0]).all()
        assert (new.zsl_prediction[~of_unseen] == -1).all()
        assert np.isin(new.oracle_prediction[~of_unseen], SEEN).all()
    sizes = {len(pool) for pool in spy.pools}
    assert sizes == {int(of_unseen.sum()), *(
        int((e.predictions.margin <= 0).sum()) for e in strict.values())} - {0}


def test_the_protocol_repeats_itself(strict: dict[str, Evaluation]) -> None:
    one, two = evaluated(TRANSDUCTIVE), evaluated(TRANSDUCTIVE)
    for name in TRIED:
        assert one[name].metrics == two[name].metrics
        assert one[name].metrics["zsl_accuracy"] >= strict[name].metrics["zsl_accuracy"] - 0.1


def pool(noise: float = 0.05, width: int = 5) -> tuple[GateInput, np.ndarray]:
    """Clips of 3 unseen classes, well apart, and p_u that is right for two of three clips."""
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(3), 9)
    places = np.eye(3, width)
    f_x = places[y] + noise * rng.normal(size=(27, width))
    said = np.where(np.arange(27) % 3 == 0, (y + 1) % 3, y)
    columns = np.repeat([0, 1], 8)
    known = np.eye(2, width)[:, ::-1][columns] + noise * rng.normal(size=(16, width))
    return GateInput(np.zeros((27, 2)), np.eye(3)[said] * 0.6 + 0.2 / 1.5, f_x=f_x,
                     reference=Reference(known, columns, columns)), y


def test_clips_that_lie_together_get_one_answer() -> None:
    inputs, y = pool()
    p_u = ClusterVotes(clusters=1).refine(inputs)
    assert (inputs.unseen_proba.argmax(axis=1) == y).mean() < 0.7
    np.testing.assert_array_equal(p_u.argmax(axis=1), y)
    np.testing.assert_allclose(p_u.sum(axis=1), 1)
    log = np.log(inputs.unseen_proba)
    expected = np.exp(log[y == 0].mean(axis=0))
    np.testing.assert_allclose(p_u[y == 0], np.tile(expected / expected.sum(), (9, 1)))
    assert np.array_equal(ClusterVotes(clusters=1).refine(inputs), p_u)


def test_prototypes_settle_before_clusters_vote() -> None:
    inputs, y = pool()
    assert inputs.f_x is not None and inputs.reference is not None
    z = whitened(inputs.f_x, inputs.reference)
    shares = p_u = inputs.unseen_proba
    for _ in range(15):
        sums = [(share[:, None] * z).sum(axis=0) for share in shares.T]
        cosines = np.stack([z @ row / np.linalg.norm(row) for row in sums], axis=1)
        odds = np.exp(3 * cosines) * np.sqrt(p_u)
        shares = odds / odds.sum(axis=1, keepdims=True)
    refined = PrototypeVotes(clusters=1).refine(inputs)
    expected = ClusterVotes(clusters=1).refine(replace(inputs, unseen_proba=shares))
    np.testing.assert_allclose(refined, expected)
    np.testing.assert_array_equal(PrototypeVotes(clusters=3).refine(inputs).argmax(axis=1), y)
    assert (ClusterVotes(clusters=3).refine(inputs).argmax(axis=1) == y).mean() < 0.8


@pytest.mark.parametrize("refinement", [ClusterVotes, PrototypeVotes])
@pytest.mark.parametrize("rows", [slice(0, 1), slice(4, 6), slice(0, 27)])
def test_few_and_equal_clips(rows: slice, refinement: type[ClusterVotes]) -> None:
    inputs, _ = pool(noise=0.0)
    some = inputs.take(np.arange(27)[rows])
    p_u = refinement().refine(some)
    assert p_u.shape == some.unseen_proba.shape and np.isfinite(p_u).all()
    if len(some) == 1 and refinement is ClusterVotes:
        np.testing.assert_allclose(p_u, some.unseen_proba)


def test_part_of_an_input() -> None:
    inputs, _ = pool()
    whole = replace(inputs, joint_proba=np.full((27, 5), 0.2), evidence={"e": np.arange(27.0)})
    part = whole.take(np.arange(27) > 20)
    assert len(part) == 6 and part.evidence["e"].tolist() == [21, 22, 23, 24, 25, 26]
    assert part.reference is whole.reference
    np.testing.assert_array_equal(part.f_x, whole.f_x[21:])


def test_refusals() -> None:
    inputs, _ = pool()
    with pytest.raises(BadInput, match="clusters is 0"):
        ClusterVotes(clusters=0)
    with pytest.raises(BadInput, match="cluster_votes needs reference"):
        ClusterVotes().refine(replace(inputs, reference=None))
    with pytest.raises(ValueError, match="needs protocol 'transductive', which is 'strict'"):
        FitConfig(method=NamedConfig(name="ridge"), refinement=NamedConfig(name="cluster_votes"))


def test_configs_name_refinements() -> None:
    def config(name: str, **options: Any) -> FitConfig:
        return FitConfig(method=NamedConfig(name="ridge"), protocol="transductive",
                         refinement=NamedConfig(name=name, options=options))

    protocol = Fit(config("cluster_votes", clusters=3.0)).protocol
    assert protocol.name == "transductive:cluster_votes" and protocol.warning
    made = protocol.refinement
    assert made is not None and made().clusters == 3.0
    plain = FitConfig(method=NamedConfig(name="ridge"))
    assert "refinement" not in plain.model_dump(mode="json")
    with pytest.raises(BadConfig, match="unknown refinement 'cluster_vote'; did you mean"):
        Fit(config("cluster_vote"))
    with pytest.raises(BadConfig, match="clusterz"):
        Fit(config("cluster_votes", clusterz=3))
    assert REFINEMENTS.get("cluster_votes") is ClusterVotes
