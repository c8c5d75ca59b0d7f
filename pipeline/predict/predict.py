"""``pipeline predict``: skeleton files to labels in the words of a user."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zskel.data.caches import TEST
from zskel.data.classes import register_dataset
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.outside import trust
from zskel.data.common.registry import Registry
from zskel.pipeline.base.config import (
    DatasetConfig,
    experiment_name,
    find_config,
    load_experiment,
    load_method_and_gate,
    method_names,
)
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.predict.clips import Clips, read_clips
from zskel.pipeline.predict.features import features_of, weights_file
from zskel.pipeline.predict.novel_labels import ResolvedLabels, resolve_labels, with_texts
from zskel.pipeline.predict.show import draw_clips
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.fitted_models import check_current, find_fitted_model
from zskel.zsl.gates import GATES
from zskel.zsl.methods import METHODS
from zskel.zsl.protocols import STRICT

if TYPE_CHECKING:
    from zskel.zsl.fitted import Fitted
    from zskel.zsl.novel_labels import Answers, Labels

FORMAT, FORMAT_VERSION = "zero-shot-skeleton/prediction", 1
NEAREST = 3


@dataclass(frozen=True)
class ModelChoice:
    """Which fitted model answers.

    Attributes:
        method: See ``zskel.pipeline.steps.fitted_models.find_fitted_model``; None: the
            experiment's own; or a method config, such as "recommended", whose gate
            answers unless another is named.
        gate: Key of a further gate of that fit; "": the experiment's.
        seed: Of the fit.
    """

    method: str | None = None
    gate: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Reading:
    """How recordings and labels become features.

    Attributes:
        reader: Reads the files instead of the experiment's own.
        text_source: Gives the text of labels that are no class names, instead of
            the text cache's source: a name, or a JSON file of texts by label; for
            methods that take parts ``part=source`` of each.
        weights: The file that features were extracted with, where it was given
            to ``pipeline extract``.
    """

    reader: str | None = None
    text_source: Sequence[str] = ()
    weights: str | Path | None = None


#: The experiment's own.
OWN_MODEL, AS_EXTRACTED = ModelChoice(), Reading()


def predict(
    source: str | Path,
    files: Sequence[str | Path],
    labels: Sequence[str] = (),
    *,
    gzsl: bool = False,
    top: int = 5,
    model: ModelChoice = OWN_MODEL,
    reading: Reading = AS_EXTRACTED,
    gif: str | Path | None = None,
) -> dict[str, Any]:
    """Classifies recordings among labels, which need not be classes of any data set.

    Args:
        source: A work directory, or an experiment whose ``work_dirs/NAME`` it is.
        files: Skeleton files, folders and archives.
        labels: What the clips may show; none: the experiment's unseen classes.
        gzsl: Whether the seen classes are possible answers too.
        top: How many answers of each clip are told.
        model: Which of those that ``pipeline fit`` has fitted.
        reading: How files and labels become features, where that is not known already.
        gif: Draws the clips with their answers: a file for one clip, else a folder.

    Returns:
        JSON values; see ``docs/predict.md``.

    Raises:
        PipelineError: There is no fitted model, no clip can be read, or a label
            has no text.
    """
    if any(isinstance(each, (str, Path)) for each in (labels, files, reading.text_source)):
        raise BadInput("files, labels and text_source are lists")
    predictor = Predictor(source, model, reading)
    question = predictor.ask(labels, gzsl=gzsl, top=top)
    with tempfile.TemporaryDirectory(prefix="predict-") as folder:
        clips = predictor.read(files, Path(folder))
        document = predictor.answer(predictor.describe(clips), question)
        if gif is not None:
            draw_clips(clips.store, document["clips"], Path(gif))
    return document


@dataclass(frozen=True)
class Question:
    """What is asked of recordings.

    Attributes:
        resolved: The labels, and which of them are classes.
        labels: The same with their text features.
        gzsl, top: See :func:`predict`.
    """

    resolved: ResolvedLabels
    labels: Labels
    gzsl: bool
    top: int


@dataclass(frozen=True)
class Recordings:
    """Clips as features, which many questions can be asked of.

    Attributes:
        sample_id, file, class_of_file: Of each clip; its class is None where nothing tells.
        skipped: See ``Clips``.
        f_x: ``[N, D]``.
        logits: ``[N, S]``.
        views: ``[N, K]``, for a method that takes feature views in place of f_x.
    """

    sample_id: Sequence[str]
    file: Sequence[str]
    class_of_file: Sequence[str | None]
    skipped: Sequence[Mapping[str, str]]
    f_x: np.ndarray
    logits: np.ndarray
    views: np.ndarray | None


class Predictor:
    """What :func:`predict` does, step by step: a file is read once, and asked about often.

    Args:
        source, model, reading: See :func:`predict`.

    Attributes:
        work: The work directory.
        card: What the fitted model's file says of itself.

    Raises:
        PipelineError: There is no fitted model, or its caches or weights have changed.
    """

    def __init__(self, source: str | Path, model: ModelChoice = OWN_MODEL,
                 reading: Reading = AS_EXTRACTED) -> None:
        (self.work, protocol), self._reading = _work(source), reading
        method, gate = _method_and_gate(model)
        self._path, self.card = path, card = find_fitted_model(
            self.work, method, model.seed, protocol)
        if not model.gate and card["gates"].get("", {}).get("name") == gate:
            gate = ""  # the method config's gate is the experiment's own
        if gate not in card["gates"]:
            raise BadInput(f"{path}: has no gate {gate!r}; it has "
                           + ", ".join(key or "the experiment's" for key in card["gates"]))
        self._gate = gate
        self._dataset = dataset = DatasetConfig.model_validate(card["origin"]["dataset"])
        if dataset.reader is None:
            raise BadInput(f"{self.work.root}: its features were imported, and nothing is known "
                           "that makes such features of recordings")
        caches = FeatureFiles(self.work, card["origin"].get("features", "f_x"))
        self._test, self._calibration = caches.test, caches.calibration
        if dataset.class_names is not None:
            register_dataset(dataset.name, list(self._test.class_names))
        if card["method"] not in METHODS.names():
            raise BadInput(f"{path}: was fitted by {card['method']!r}, which is not of ours; name "
                           "it as --method file.py:Class, or give the experiment's config if that "
                           "does")
        of_card = METHODS.get(card["method"])
        check_current(path, card, caches, of_card)
        self._texts, self._extra = caches.texts(of_card), caches.extra(of_card)
        self._reads_tokens = of_card.reads_tokens
        self._views = {name: self._extra[name][0] for name in of_card.feature_views}
        self._weights = weights_file(self.work, self._test, reading.weights)

    @property
    def unseen_classes(self) -> list[str]:
        """The labels of a question that names none."""
        return [self._test.class_names[c] for c in self._test.unseen_classes]

    def ask(self, labels: Sequence[str], *, gzsl: bool = False, top: int = 5) -> Question:
        """Labels with their texts; arguments as of :func:`predict`."""
        if top < 1:
            raise BadInput(f"top is {top}, expected at least 1")
        resolved = resolve_labels(labels, self._test, gzsl)
        return Question(
            resolved, with_texts(resolved, self._texts, self._reading.text_source,
                                 self._reads_tokens), gzsl, top)

    def read(self, files: Sequence[str | Path], folder: Path, most: int | None = None) -> Clips:
        """The clips of files, in a store in a folder; see :func:`read_clips`."""
        return read_clips(files, self._dataset, self._reading.reader, self._test.class_names,
                          self._test.preprocessing["cleaning"], folder, most)

    def describe(self, clips: Clips) -> Recordings:
        """Features of clips by the test phase's backbone."""
        names, store = self._test.class_names, clips.store
        ids = [str(each) for each in store.sample_id]
        return Recordings(
            ids, [clips.files[each] for each in ids],
            [names[c] if clips.labelled and c >= 0 else None for c in map(int, store.label)],
            list(clips.skipped), *features_of(store, self._test, self._weights, self._views))

    def answer(self, recordings: Recordings, question: Question) -> dict[str, Any]:
        """The document of :func:`predict`."""
        from zskel.zsl.fitted import load_fitted

        card, gate, resolved = self.card, self._gate, question.resolved
        # An answer changes the models, so each has its own.
        fitted = load_fitted(self._path, self._test, self._calibration, self._texts, gate,
                              self._extra)
        answers, how, notices = _answers(
            fitted, card, gate, question.labels, recordings, question.gzsl)
        # The ids of new labels follow those of the classes.
        names = [*self._test.class_names, *resolved.new]
        return {
            "format": FORMAT, "format_version": FORMAT_VERSION,
            "work_dir": str(self.work.root), "model": self._path.name,
            "experiment": card["origin"]["experiment"],
            **{name: card["origin"]["identity"][name]
               for name in ("method", "variant", "protocol", "split", "seed")},
            "setting": "gzsl" if question.gzsl else "zsl",
            "labels": [names[c] for c in answers.unseen_classes],
            "seen_classes": [names[c] for c in answers.seen_classes],
            "gate": how and {**{k: card["gates"][gate][k] for k in ("name", "options")},
                             "fitted": how},
            "notices": [*resolved.notices, *notices],
            "skipped": list(recordings.skipped),
            "clips": [_clip(recordings, row, answers, names, question)
                      for row in range(len(recordings.f_x))],
        }


def _method_and_gate(model: ModelChoice) -> tuple[str | None, str]:
    """What they are called, those of a method config such as "recommended" too."""
    gate = _named(model.gate, GATES)
    if model.method in method_names() and model.method not in METHODS.names():
        of_config, its_gate = load_method_and_gate(model.method, "")
        return of_config.name, gate or (its_gate.name if its_gate is not None else "")
    return model.method and _named(model.method, METHODS), gate


def _named(name: str, registry: Registry) -> str:
    """What a method or gate is called; code of one's own, which is loaded, by its own name."""
    trust(name)
    return registry.called(name)


def _work(source: str | Path) -> tuple[WorkDir, str]:
    """A work directory, or that of an experiment by name or config file, and its protocol."""
    if Path(source).is_dir():
        return WorkDir(Path(source)), STRICT.name
    try:
        find_config(str(source))
        name, fit = experiment_name(str(source)), load_experiment(str(source)).fit
        if str(source).endswith(".py"):
            _named(fit.method.name, METHODS)
    except BadConfig as error:
        raise BadConfig(f"{source}: no such work directory, and {error}") from None
    work = WorkDir.of(name, None)
    if not work.root.is_dir():
        raise BadInput(f"{work.root}: no such work directory; `pipeline extract {source}` and "
                       f"`pipeline fit {source}` make it")
    return work, fit.protocol_name


def _answers(
    fitted: Fitted, card: dict[str, Any], gate_key: str, labels: Labels,
    recordings: Recordings, gzsl: bool,
) -> tuple[Answers, str | None, list[str]]:
    """Answers, how the gate came about (None: there is none), and notices."""
    from zskel.zsl.novel_labels import choose_among_labels, gate_for, predict_labels

    kept, notices = card["gates"][gate_key], []
    fresh = GATES.build(kept["name"], **{**kept["options"], "seed": fitted.seed})
    gate, how = None, None
    try:
        gate, how = gate_for(fitted, gate_key, fresh, labels)
    except BadInput as error:
        if gzsl:
            raise BadInput(f"the gate {kept['name']} cannot be fitted for {len(labels)} labels: "
                           f"{error}; --zsl needs no gate") from None
        notices.append(f"no probability of a seen class: {error}")
    if how is not None and how != "as fitted":
        notices.append(f"the gate was {how}, because there are {len(labels)} labels")
    models = choose_among_labels(fitted.phases[TEST], labels)
    answers = predict_labels(models, gate, recordings.f_x, recordings.logits, recordings.views)
    return answers, how, notices


def _clip(
    recordings: Recordings, row: int, answers: Answers, names: Sequence[str], question: Question
) -> dict[str, Any]:
    seen, p_seen = answers.seen_classes, answers.p_seen
    classes, probability = answers.unseen_classes, answers.unseen_proba[row]
    if question.gzsl:
        assert answers.joint_proba is not None
        classes, probability = np.concatenate([seen, classes]), answers.joint_proba[row]
    best = _best(probability, question.top)
    return {
        "sample_id": recordings.sample_id[row],
        "file": recordings.file[row],
        "class_of_file": recordings.class_of_file[row],
        "prediction": names[classes[best[0]]],
        "top": [{"label": names[classes[c]], "probability": float(probability[c]),
                 "seen": bool(np.isin(classes[c], seen))} for c in best],
        "p_seen": None if p_seen is None else float(p_seen[row]),
        "nearest_seen": [
            {"label": names[seen[c]], "probability": float(answers.seen_proba[row, c])}
            for c in _best(answers.seen_proba[row], NEAREST)
        ],
    }


def _best(probability: np.ndarray, count: int) -> list[int]:
    """The largest first, the first of equal ones before the others, as argmax has it."""
    return [int(c) for c in np.argsort(-probability, kind="stable")[:count]]
