"""Which clips of a store train and are held out in each phase of an experiment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from zskel.data.common.errors import BadConfig
from zskel.data.phases import Phase, calibration_phase, test_phase
from zskel.data.plausibility import store_notices
from zskel.data.protocols import CLIP, SampleProtocol, random_subsets, sample_protocol
from zskel.data.skeleton import UNKNOWN
from zskel.data.splits import ClassSplit, class_split, held_out_clips, held_out_groups, make_split
from zskel.data.store import SequenceStore
from zskel.extractors.layout import follow
from zskel.pipeline.base.config import (
    BackboneConfig,
    CalibrationConfig,
    DatasetConfig,
    Experiment,
    FeatureView,
)

if TYPE_CHECKING:
    from zskel.extractors.spec import BackboneSpec


@dataclass(frozen=True)
class Plan:
    """What extraction works on, known once the store is there.

    Attributes:
        store, split, phases: The clips, and what is made of them.
        calibration_group: What the calibration phase holds out whole.
        calibration_subjects: Those, by number or name; empty where they are clips.
        drawn: What one should know of clips that were drawn, as a notice each.
    """

    store: SequenceStore
    split: ClassSplit
    phases: tuple[Phase, Phase]
    calibration_group: str
    calibration_subjects: tuple[int | str, ...]
    drawn: tuple[dict[str, str], ...] = ()

    @cached_property
    def notices(self) -> tuple[dict[str, str], ...]:
        """What looks wrong with the store's coordinates, and what drawn clips are worth."""
        return (*self.drawn, *store_notices(self.store))


def backbone_config(experiment: Experiment, store: SequenceStore) -> BackboneConfig:
    """The experiment's backbone, made for the joints of the clips.

    Raises:
        BadConfig: It asks for joints that they do not have.
    """
    return BackboneConfig.model_validate(
        follow(experiment.needed_backbone.model_dump(), store.layout))


def backbone_spec(
    experiment: Experiment, store: SequenceStore, text: np.ndarray | None = None
) -> BackboneSpec:
    """``backbone_config`` as stage one takes it, with f_y of all classes where that trains."""
    from zskel.extractors.spec import BackboneSpec

    return BackboneSpec(**backbone_config(experiment, store).model_dump(), text=text)


def feature_view(view: FeatureView, store: SequenceStore) -> FeatureView:
    """A feature view, made for the joints of the clips."""
    if not view.transforms:
        return view
    followed = follow({"model": {}, "test_pipeline": view.transforms}, store.layout)
    return view.model_copy(update={"transforms": followed["test_pipeline"]})


def resolve_split(experiment: Experiment) -> ClassSplit:
    """The experiment's class split, for stage one.

    Raises:
        BadConfig: It is impossible, or the features were imported.
    """
    experiment.require_stage_one()
    config, dataset = experiment.split, experiment.dataset.name
    if config.unseen is not None:
        split = make_split(dataset, config.name, config.unseen, config.validation_unseen,
                           config.validation_seed)
    else:
        split = class_split(dataset, config.name, config.validation_seed)
    split.require_calibration()
    return split


def make_plan(experiment: Experiment, store: SequenceStore, split: ClassSplit) -> Plan:
    """Sorts the store's clips into the two phases.

    Raises:
        BadConfig: The backbone asks for joints that the clips do not have.
        BadInput: What the protocol needs is not known of all clips, or a class or
            a subset has no clips where some are needed.
    """
    backbone_config(experiment, store)
    dataset = experiment.dataset
    protocol = sample_protocol(
        dataset.name, dataset.sample_protocol, dataset.train, dataset.group
    ).as_marked(store.sample_protocol, str(store.path))
    if dataset.train is not None and not store.sample_protocol:
        protocol = replace(protocol, train=frozenset(
            store.as_stored(protocol.field, dataset.train, "dataset.train")))
    if protocol.field == CLIP:
        subset = random_subsets(store.label, dataset.test_share, dataset.test_seed)
    else:
        subset = protocol.subsets(store.values(protocol.field))
    test = test_phase(store.label, subset, split)
    group = _calibration_group(dataset, protocol, store, test.train)
    value, held_out = _held_out(experiment.calibration, group, store, test.train)
    calibration = calibration_phase(store.label, subset, value, split, held_out, group)
    return Plan(store, split, (test, calibration), group, () if group == CLIP else held_out,
                _drawn(protocol.field == CLIP, group == CLIP))


def _calibration_group(
    dataset: DatasetConfig, protocol: SampleProtocol, store: SequenceStore, rows: np.ndarray
) -> str:
    """What the calibration phase holds out whole: a field, or clips where nothing is known.

    Raises:
        BadConfig: The field is known of some training clips only.
    """
    name = protocol.group
    if name == CLIP:
        return name
    unknown = rows[getattr(store, name)[rows] == UNKNOWN]
    if len(unknown) == len(rows) and dataset.group is None:
        return CLIP
    if len(unknown):
        raise BadConfig(
            f"{len(unknown)} of {len(rows)} training clips have no known {name}, the first is "
            f"{str(store.sample_id[unknown[0]])!r}; calibration holds out whole {name}s: let the "
            f"reader tell the {name} of every clip, or hold out clips with dataset.group='clip'"
        )
    return name


def _held_out(
    config: CalibrationConfig, group: str, store: SequenceStore, rows: np.ndarray
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Each clip's group, and the groups whose clips calibrate the gate."""
    if group == CLIP:
        if config.subjects is not None:
            raise BadConfig("calibration.subjects: clips are held out, not subjects, because "
                            "dataset.group is 'clip' or no clip has a known subject; leave it out")
        return np.arange(len(store)), held_out_clips(store.label, rows, config.share, config.seed)
    value = store.values(group)
    if config.subjects is not None:
        return value, tuple(store.as_stored(group, config.subjects, "calibration.subjects"))
    return value, held_out_groups(set(value[rows].tolist()), config.share, config.seed, group,
                                  "dataset.group='clip' holds out clips instead")


def _drawn(test: bool, calibration: bool) -> tuple[dict[str, str], ...]:
    """What drawn clips are worth, as notices like those of ``zskel.data.plausibility``."""
    found = []
    if test:
        found.append({"code": "random-test-clips", "text": (
            "test clips were drawn at random, class by class: the same people are likely to train "
            "and to test, so new people will be recognized less well than the results say")})
    if calibration:
        found.append({"code": "calibration-by-clip", "text": (
            "calibration holds out clips, not subjects: the same people are likely to be on both "
            "sides, where the backbone is surer of seen classes than it is with new people; of "
            "those the gate will take too many seen clips for unseen ones")})
    return tuple(found)
