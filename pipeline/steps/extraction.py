"""Skeleton features by a backbone: extracted by all processes, or found where they are shared."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zskel.data.caches import (
    IDENTITY,
    SkeletonFeatures,
    read_skeleton_features,
    write_skeleton_features,
)
from zskel.data.common.errors import BadCache, BadConfig
from zskel.data.common.files import digest_json
from zskel.data.common.memory import memory_in_one_line
from zskel.data.phases import Phase
from zskel.data.pooled import Pool, axes_of
from zskel.extractors.distributed import agreed, is_main
from zskel.extractors.shard_files import (
    Shard,
    drop_shards,
    read_shard,
    shard_folder,
    write_shard,
)
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.progress import bar, say
from zskel.pipeline.steps.model_store import ModelStore
from zskel.pipeline.steps.phase_plan import Plan, backbone_spec

if TYPE_CHECKING:
    from zskel.extractors.spec import BackboneSpec
    from zskel.extractors.training import TrainedBackbone

#: Of a backbone's config, what features by given weights depend on.
_DECIDES_FEATURES = (
    "model", "prepare", "test_pipeline", "extract_autocast", "text_supervision", "code")


@dataclass(frozen=True)
class Wanted:
    """Skeleton features that an experiment asks for.

    Attributes:
        experiment, plan, phase: Whose features they are.
        name: "f_x", or that of a feature view.
        provenance: Everything that decides them.
        path: Their cache.
    """

    experiment: Experiment
    plan: Plan
    phase: Phase
    name: str
    provenance: dict[str, Any]
    path: Path

    @property
    def pool(self) -> Pool | None:
        """How the view is pooled; None where it is f_x, of clips as they are or others."""
        found: Pool | None = self.provenance.get("view", {}).get("pool")
        return found


def of_one_pass(all_wanted: Sequence[Wanted]) -> list[list[Wanted]]:
    """Those that one pass through the network gives, together: f_x and all pooled views."""
    plain = [wanted for wanted in all_wanted if wanted.name == "f_x" or wanted.pool is not None]
    return [*([plain] if plain else []),
            *([wanted] for wanted in all_wanted if wanted not in plain)]


def check_view(wanted: Wanted) -> None:
    """Checks the transforms of an extraction, which come after hours of training.

    Raises:
        BadConfig: One is unknown or has a wrong option, or a view cannot be pooled from
            what the backbone gives.
    """
    from zskel.extractors.mm import register

    register()
    from zskel.extractors.dataset import build_transforms

    head = _spec(wanted).model.get("cls_head") or {}
    if wanted.pool is not None and head.get("type") != "GCNHead":
        raise BadConfig(f"feature_views.{wanted.name}: {wanted.pool} is taken from a map with a "
                        f"row for each joint, which a {head.get('type')} does not average; graph "
                        "networks with a GCNHead have one")
    try:
        build_transforms(_spec(wanted).test_pipeline)
    except BadConfig as error:
        where = "backbone.test_pipeline" if wanted.name == "f_x" else f"feature_views.{wanted.name}"
        raise BadConfig(f"{where}: {error}") from None


def of_trained(
    together: Sequence[Wanted], trained: TrainedBackbone, model_store: ModelStore | None
) -> list[tuple[SkeletonFeatures, str]]:
    """Features by a trained backbone, or those that the model store has of it.

    Args:
        together: Which features, one of ``of_one_pass``.
        trained: The backbone.
        model_store: Where it is shared, if it is.

    Returns:
        The features with a note for the user, of each; nothing in all processes but the first.

    Raises:
        PipelineError: A clip gives no finite features or does not fit into memory.
    """
    first = together[0]
    experiment, plan = first.experiment, first.plan
    note = f"training accuracy {_last_accuracy(trained.history)}"
    entry = trained.weights.parent
    shared = {wanted.name: entry / _shared_name(wanted.provenance) for wanted in together}
    found: dict[str, SkeletonFeatures] = {}
    with ExitStack() as held:
        if model_store is not None and is_main():
            held.enter_context(model_store.locked(
                entry, f"the {_called(together)} of {experiment.name}"))
            there = {wanted.name: _shared(shared[wanted.name], wanted, trained.weights_sha256)
                     for wanted in together}
            found = {name: features for name, features in there.items() if features is not None}
        missing = agreed([wanted.name for wanted in together if wanted.name not in found])
        to_make = [wanted for wanted in together if wanted.name in missing]
        made = _extracted(to_make, _called(to_make), first.phase.rows, trained.weights,
                          len(trained.classes), first.path,
                          [first.provenance, trained.weights_sha256]) if to_make else {}
        if not is_main():
            return []
        of_all = []
        for wanted in together:
            if wanted.name in found:
                of_all.append((dataclasses.replace(
                    found[wanted.name], config=wanted.provenance,
                    sample_protocol=experiment.dataset.sample_protocol, notices=plan.notices,
                ), f"{note}, features shared"))
                continue
            shard = made[wanted.name]
            features = _features(wanted, shard.f_x, shard.logits, trained.weights_sha256,
                                 json.loads(shard.machine), "head")
            if model_store is not None:
                write_skeleton_features(shared[wanted.name], features)
            of_all.append((features, note))
    return of_all


def _shared_name(provenance: Mapping[str, Any]) -> str:
    """Of the features that go with a backbone, by what its digest leaves open."""
    digest = provenance["phase_digest"]
    view, backbone = dict(provenance.get("view", {})), provenance["backbone"]
    aligned = (backbone.get("text_supervision") or {}).get("features") == "aligned"
    choices = [*view.pop("transforms", [None]), *([view] if view else []),
               backbone.get("extract_autocast"), *(["aligned"] if aligned else [])]
    if any(choices):
        digest = digest_json([digest, *choices])
    return f"features-{digest[:16]}.h5"


def _shared(path: Path, wanted: Wanted, weights_sha256: str) -> SkeletonFeatures | None:
    """Features that another experiment had of the same clips from the same weights."""
    try:
        found = read_skeleton_features(path)
    except BadCache:
        return None
    store, phase = wanted.plan.store, wanted.phase
    same = (
        found.weights_sha256 == weights_sha256
        and (found.phase, found.seen_classes) == (phase.name, phase.seen_classes)
        and found.unseen_classes == phase.unseen_classes
        and found.sample_id.tolist() == store.sample_id[phase.rows].tolist()
        and found.subset.tolist() == phase.subset.tolist()
    )
    return found if same else None


def of_given_weights(
    together: Sequence[Wanted], given: Path, folder: Path, model_store: ModelStore | None = None
) -> list[tuple[SkeletonFeatures, str]]:
    """Features by weights from elsewhere; as ``of_trained`` otherwise.

    Such weights give the same features whatever the class split. So all clips of the
    store are extracted at once, and any split or phase takes its rows from there.

    Args:
        together, model_store: As for ``of_trained``.
        given: The weights.
        folder: Where the features of all clips are kept, each in a folder of its own.
    """
    of_all = _of_all_clips(together, given, folder, model_store)
    from zskel.extractors.probe import seen_logits

    made = []
    for wanted, (everything, shared) in zip(together, of_all):
        phase, store = wanted.phase, wanted.plan.store
        f_x, logits = everything.f_x[phase.rows], everything.logits[phase.rows]
        mean = f_x if wanted.pool is None else _mean(f_x)
        train_rows = np.flatnonzero(np.isin(phase.rows, phase.train))
        logits, source = seen_logits(mean, logits, store.label[phase.rows], train_rows,
                                     phase.seen_classes, len(store.class_names))
        features = _features(wanted, f_x, logits, wanted.provenance["given_weights"]["sha256"],
                             json.loads(everything.machine), source)
        note = f"given weights {given.name}, logits from the {source}"
        made.append((features, f"{note}, features shared" if shared else note))
    return made


def _mean(pooled: np.ndarray) -> np.ndarray:
    """f_x of a pooled view, up to its rounding."""
    return pooled.mean(axis=tuple(range(1, pooled.ndim - 1)), dtype=np.float32)


def _of_all_clips(
    together: Sequence[Wanted], given: Path, folder: Path, model_store: ModelStore | None
) -> list[tuple[Shard, bool]]:
    """All clips of the store in one shard each, and whether it was there; as ``of_trained``."""
    first = together[0]
    store = first.plan.store
    rows = np.arange(len(store))
    paths = {wanted.name: folder / digest_json(_decides(wanted))[:16] / "features.npz"
             for wanted in together}
    found: dict[str, Shard | None] = {}
    with ExitStack() as held:
        if is_main():
            for wanted in sorted(together, key=lambda each: paths[each.name]):
                path = paths[wanted.name]
                if model_store is not None:
                    held.enter_context(model_store.locked(
                        path.parent,
                        f"the {_called([wanted], 'all clips')} of {first.experiment.name}"))
                found[wanted.name] = read_shard(path, rows)
        missing = agreed([wanted.name for wanted in together if found.get(wanted.name) is None])
        to_make = [wanted for wanted in together if wanted.name in missing]
        made: Mapping[str, Shard] = {}
        if to_make:
            from zskel.extractors.mm import register

            register()
            from zskel.extractors.weights import head_classes, read_state

            path = paths[to_make[0].name]
            made = _extracted(to_make, _called(to_make, "all clips"), rows, given,
                              head_classes(read_state(given), given), path, _decides(to_make[0]))
            for name, shard in made.items():
                write_shard(paths[name], shard)
            if made:
                drop_shards(path)
    there = {name: shard for name, shard in found.items() if shard is not None}
    return [(made[wanted.name], False) if wanted.name in made else (there[wanted.name], True)
            for wanted in together] if is_main() else []


def _decides(wanted: Wanted) -> list[Any]:
    """What features of all clips by given weights depend on."""
    provenance = wanted.provenance
    backbone = provenance["backbone"]
    return [wanted.plan.store.digest, provenance["given_weights"]["sha256"],
            provenance.get("view"),
            {key: backbone[key] for key in _DECIDES_FEATURES if key in backbone}]


def _called(together: Sequence[Wanted], clips: str = "") -> str:
    """Features of one pass as messages call them."""
    views = [wanted.name for wanted in together if wanted.name != "f_x"]
    named = f" ({', '.join(views)})" if views and len(views) == len(together) else ""
    return (f"features of {clips}" if clips else f"{together[0].phase.name}-phase features") + named


def _extracted(
    together: Sequence[Wanted], what: str, rows: np.ndarray, weights: Path, outputs: int,
    path: Path, decided_by: list[Any],
) -> dict[str, Shard]:
    """Features of some rows, by name, in the first process, with versions and machines.

    Args:
        together: How they are extracted.
        what: As messages call them.
        rows: Of the store.
        weights, outputs: The weights and how many classes their head has.
        path: The file that they will become.
        decided_by: JSON values of everything but software and machine that decides them.
    """
    from zskel.extractors.features import load_model
    from zskel.extractors.mm import versions
    from zskel.extractors.shards import extract_in_processes, working_digest

    pools = tuple(dict.fromkeys(wanted.pool for wanted in together if wanted.pool is not None))
    spec = dataclasses.replace(_spec(together[0]), pools=pools)
    work = f"extracting {what}"
    with bar(work) as tell, memory_in_one_line(work, "free some and start again"):
        model = load_model(spec, weights, outputs)
        digest = working_digest([*decided_by, versions(), *([list(pools)] if pools else [])])
        found = extract_in_processes(model, spec, together[0].plan.store, rows,
                                     shard_folder(path, digest), on_progress=tell, on_notice=say)
    if found is None:
        return {}
    made_by = {**versions(), **_joined(found.machines)}
    if found.cut:
        made_by["out_of_memory"] = f"{found.cut} of {found.passes} passes were run in parts"
        say(f"{made_by['out_of_memory']}: they did not fit into memory")
    return {wanted.name: Shard(
        rows, found.f_x if wanted.pool is None else found.pooled[wanted.pool], found.logits,
        found.cut, json.dumps(made_by)) for wanted in together}


def _features(
    wanted: Wanted, f_x: np.ndarray, logits: np.ndarray, weights_sha256: str,
    made_by: Mapping[str, str], logits_from: str,
) -> SkeletonFeatures:
    """The cache's content, of the rows of the phase."""
    plan, phase, spec = wanted.plan, wanted.phase, _spec(wanted)
    rows, store = phase.rows, plan.store
    return SkeletonFeatures(
        f_x=f_x, logits=logits, label=store.label[rows],
        sample_id=store.sample_id[rows], subset=phase.subset,
        **{name: getattr(store, name)[rows] for name in IDENTITY},
        dataset=store.dataset, sample_protocol=wanted.experiment.dataset.sample_protocol,
        phase=phase.name, class_names=store.class_names,
        seen_classes=phase.seen_classes, unseen_classes=phase.unseen_classes,
        backbone=spec.name, weights_sha256=weights_sha256,
        preprocessing={"cleaning": store.cleaning, "prepare": spec.prepare,
                       "test_pipeline": spec.test_pipeline, "logits": logits_from,
                       **({"autocast": spec.extract_autocast}
                          if spec.extract_autocast != "float32" else {})},
        config=wanted.provenance, software=made_by,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        notices=plan.notices,
        pooled={} if wanted.pool is None else axes_of(wanted.pool, store.layout, f_x.shape[1]),
    )


def _joined(machines: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What several machines are, each value once.

    >>> _joined([{"gpu": "A", "threads": "1"}, {"gpu": "B", "threads": "1"}])
    {'gpu': 'A; B', 'threads': '1'}
    """
    names = dict.fromkeys(name for each in machines for name in each)
    return {name: "; ".join(dict.fromkeys(each[name] for each in machines if name in each))
            for name in names}


def _spec(wanted: Wanted) -> BackboneSpec:
    """How features are extracted."""
    spec = backbone_spec(wanted.experiment, wanted.plan.store)
    return spec.for_view(wanted.provenance.get("view", {}))


def _last_accuracy(history: Sequence[dict[str, float]]) -> str:
    accuracy = history[-1].get("top1_acc") if history else None
    return "unknown" if accuracy is None else f"{accuracy:.1%}"
