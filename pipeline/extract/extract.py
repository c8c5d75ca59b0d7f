"""``pipeline extract``: raw recordings and class names to feature caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from zskel.data.caches import TEST, read_skeleton_features
from zskel.data.common.errors import BadInput
from zskel.data.protocols import CLIP
from zskel.data.splits import ClassSplit
from zskel.data.store import SequenceStore
from zskel.extractors.distributed import barrier, is_main, launched
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.determinism import use_deterministic_algorithms
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import quiet, say, tell_notices
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.backbone_accuracy import seen_test_accuracy
from zskel.pipeline.steps.model_store import ModelStore, model_store_of
from zskel.pipeline.steps.phase_plan import Plan, make_plan, resolve_split
from zskel.pipeline.steps.sequence_store import open_store
from zskel.pipeline.steps.skeleton_cache import skeleton_cache
from zskel.pipeline.steps.text_cache import import_encoders, text_caches


@dataclass(frozen=True)
class Extracted:
    """What ``extract`` left behind.

    Attributes:
        skeleton: The skeleton cache of each phase.
        text: The text cache.
        seen_test_accuracy: See :func:`seen_test_accuracy`; reported, never used to
            choose.
        text_parts: The text cache of each part of speech, where there are any.
    """

    skeleton: dict[str, Path]
    text: Path
    seen_test_accuracy: float | None
    text_parts: dict[str, Path] = field(default_factory=dict)


def extract(
    experiment: Experiment,
    raw: Sequence[str | Path] = (),
    work_dir: str | Path | None = None,
    workers: int | None = None,
    weights: Mapping[str, str | Path] | None = None,
    model_store: str | Path | None = None,
    launcher: str = "none",
    deterministic: bool = False,
) -> Extracted | None:
    """Reads, trains both backbones, embeds the texts, writes the caches.

    Whatever is there already and was made from the same input and config is
    kept, so the same call goes on where a stopped one was.

    Args:
        experiment: From ``load_experiment``.
        raw: Files or folders of raw recordings; may be empty if the sequence
            store is there.
        work_dir: Default ``work_dirs/<experiment>``.
        workers: Processes that parse; default: one for each core.
        weights: Phase -> file of weights to use instead of training. Whether
            they have seen the unseen classes is for their giver to know; the
            caches record their digest.
        model_store: Where store and backbones are shared with other experiments.
            Default: ``work_dirs/bank``; a ``work_dir`` that is given keeps its
            own unless it was made with a model store.
        launcher: What has started several processes that all call this, of
            ``zskel.extractors.distributed``. They train and extract together; the first
            does everything else, and it alone returns what there is.
        deterministic: Compute on a GPU so that it repeats itself to the bit.

    Raises:
        PipelineError: Something is wrong with the input; one clear line.
    """
    with launched(launcher):
        if not is_main():
            quiet()
        if deterministic:
            use_deterministic_algorithms()
        given = {phase: Path(path) for phase, path in (weights or {}).items()}
        for path in given.values():
            if not path.is_file():
                raise BadInput(f"{path}: no such file of weights")
        split = resolve_split(experiment)  # a wrong split should not wait for the parser
        work = WorkDir.of(experiment.name, work_dir)
        with work_dir_locked(work.root, "pipeline extract", make=True) if is_main() \
                else nullcontext():
            barrier()  # what is there is looked at only once one has the lock
            shared = model_store_of(work, model_store, own_work_dir=work_dir is not None)
            return _extract(experiment, raw, work, workers, given, shared, split)


def _extract(
    experiment: Experiment, raw: Sequence[str | Path], work: WorkDir, workers: int | None,
    weights: Mapping[str, Path], shared: ModelStore | None, split: ClassSplit,
) -> Extracted | None:
    if is_main():
        store = open_store(experiment.dataset, raw, work, workers, shared,
                           lambda: _import_what_comes_next(experiment))
    barrier()
    if not is_main():
        store = SequenceStore(work.store)
    plan = make_plan(experiment, store, split)
    _announce(experiment, plan, work)
    if is_main():
        tell_notices(plan.notices)
        text, text_parts = text_caches(experiment, work)
    barrier()  # they may be what the backbone is trained by
    skeleton = {
        phase.name: skeleton_cache(experiment, plan, phase, work, shared, weights.get(phase.name))
        # Given weights that do not fit should not wait for the training of the other phase.
        for phase in sorted(plan.phases, key=lambda phase: phase.name not in weights)
    }
    if not is_main():
        return None
    accuracy = seen_test_accuracy(read_skeleton_features(skeleton[TEST]))
    if accuracy is not None:
        say(f"seen-class accuracy of the test-phase backbone on test clips: {accuracy:.1%}")
    return Extracted(skeleton, text, accuracy, text_parts)


def _import_what_comes_next(experiment: Experiment) -> None:
    """Imports what embeds texts and runs backbones, which takes seconds."""
    with suppress(Exception):  # who needs it says what is wrong with it
        from zskel.extractors.mm import register

        register()
        import_encoders(experiment)


def _announce(experiment: Experiment, plan: Plan, work: WorkDir) -> None:
    test, calibration = plan.phases
    say(f"experiment {experiment.name}: {plan.store.dataset}, split {plan.split.name}, "
        f"{experiment.dataset.sample_protocol}, work directory {work.root}")
    say(f"  test phase: {len(test.train)} training clips of {len(test.seen_classes)} seen classes, "
        f"{len(test.held_out)} test clips, {len(test.unseen_classes)} unseen classes")
    held_out = "drawn class by class" if plan.calibration_group == CLIP else (
        f"of {plan.calibration_group}s {_some(plan.calibration_subjects)}")
    say(f"  calibration phase: {len(calibration.train)} training clips of "
        f"{len(calibration.seen_classes)} classes, {len(calibration.held_out)} clips {held_out}, "
        f"{len(calibration.unseen_classes)} validation-unseen classes "
        f"({plan.split.validation_choice})")


def _some(values: Sequence[int | str]) -> str:
    shown = ", ".join(map(str, values[:8]))
    return shown if len(values) <= 8 else f"{shown}, ... ({len(values)})"
