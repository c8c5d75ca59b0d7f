"""``pipeline try``: recordings and labels to answers, with weights that somebody published."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from zskel.data.common.errors import BadInput, MissingModel
from zskel.data.common.files import digest_file
from zskel.data.store import SequenceStore
from zskel.data.text_rows import check_distinct, is_blank
from zskel.pipeline.base.config import DatasetConfig
from zskel.pipeline.base.progress import bar
from zskel.pipeline.base.workdir import read_pointer
from zskel.pipeline.inspect.reader_choice import BY_SUFFIX, open_raw
from zskel.pipeline.inspect.sources import Options
from zskel.pipeline.predict.clips import read_clips
from zskel.pipeline.predict.predict import FORMAT, FORMAT_VERSION, NEAREST, predict
from zskel.pipeline.predict.show import draw_clips
from zskel.pipeline.try_.recognizers import WHERE, Recognizer, Weights, open_recognizer

TEXT_MODEL = "all-MiniLM-L6-v2"
_TOLD_NOTHING = Options()
# A file of UTD-MHAD alone is read under any name.
_READERS = {**BY_SUFFIX, ".mat": "utd_mhad"}


def try_recordings(
    files: Sequence[str | Path],
    labels: Sequence[str],
    weights: Weights | None,
    *,
    options: Options = _TOLD_NOTHING,
    text_model: str = TEXT_MODEL,
    top: int = 5,
    gif: str | Path | None = None,
) -> dict[str, Any]:
    """Tells which of some labels each recording shows, without an experiment or a training.

    A recognizer says which of its own classes a clip looks like; the label whose text is
    nearest to the mixture of their texts is the answer (``zskel.zsl.untrained``). A fitted
    method does better: with a work directory in place of weights its own answers.

    Args:
        files: Recordings of any kind that ``pipeline extract`` reads.
        labels: What they may show, at least two.
        weights: Of a recognizer, or a work directory with a fitted method.
        options: Reader and layout, where the files do not tell.
        text_model: A Sentence-BERT, by hub name or folder.
        top: How many answers of each clip are told.
        gif: Draws the clips with their answers: a file for one clip, else a folder.

    Returns:
        JSON values, as of ``pipeline predict``; see ``docs/predict.md``.

    Raises:
        PipelineError: There are no weights, no clip can be read, or a label is empty.
    """
    _check(files, labels, top)
    if weights is None:
        raise BadInput(f"no weights given; {WHERE}")
    if weights.path.is_dir():
        if weights.backbone or weights.classes or text_model != TEXT_MODEL:
            raise BadInput(f"{weights.path}: a work directory has its own backbone, classes and "
                           "text model; --backbone, --classes and --text-model are for a file of "
                           "weights")
        return predict(weights.path, files, labels, top=top, gif=gif)
    pointer = read_pointer(weights.path)
    if pointer is not None:  # backbones/test.json of a work directory, say
        weights = weights._replace(path=weights.path.parent / pointer["path"] / "weights.pth")
    if not weights.path.is_file():
        raise BadInput(f"{weights.path}: no such file; {WHERE}")
    dataset = _dataset(Path(files[0]), options)
    with tempfile.TemporaryDirectory(prefix="try-") as folder:
        clips = read_clips(files, dataset, None, ("any",), dataset.cleaning, Path(folder))
        recognizer = open_recognizer(weights, clips.store.layout)
        logits = _logits(recognizer, clips.store)
        probability = _answers(recognizer, labels, logits, text_model)
        seen = softmax(logits.astype(np.float64), axis=1)
        document: dict[str, Any] = {
            "format": FORMAT, "format_version": FORMAT_VERSION,
            "weights": weights.path.name, "weights_sha256": digest_file(weights.path),
            "backbone": recognizer.spec.name, "text_model": text_model,
            "method": "conse", "variant": "untrained", "setting": "zsl",
            "labels": list(labels), "seen_classes": list(recognizer.classes),
            "notices": [], "skipped": list(clips.skipped),
            "clips": [{
                "sample_id": str(clips.store.sample_id[row]),
                "file": clips.files[str(clips.store.sample_id[row])],
                "class_of_file": None, "p_seen": None,
                "prediction": labels[int(probability[row].argmax())],
                "top": _best(labels, probability[row], top),
                "nearest_seen": _best(recognizer.classes, seen[row], NEAREST),
            } for row in range(len(clips.store))],
        }
        if gif is not None:
            draw_clips(clips.store, document["clips"], Path(gif))
    return document


def _check(files: Sequence[str | Path], labels: Sequence[str], top: int) -> None:
    plain = [" ".join(label.casefold().split()) for label in labels]
    if not files:
        raise BadInput("no recordings given")
    for label, name in zip(labels, plain, strict=True):
        if is_blank(label):
            raise BadInput(f"label {label!r} is empty")
        if plain.count(name) > 1:
            raise BadInput(f"label {label!r} is given twice")
    if len(labels) < 2:
        raise BadInput("give at least two labels to choose among, --label 'wave hand' --label "
                       "jump, and --weights FILE or WORK_DIR")
    if top < 1:
        raise BadInput(f"top is {top}, expected at least 1")


def _dataset(path: Path, options: Options) -> DatasetConfig:
    """How files of this kind are read, with no class of theirs of any account."""
    name = options.reader or _READERS.get(path.suffix.lower())
    reader_options: dict[str, Any] = {}
    if name in (None, "pose_pickle"):
        source = open_raw(path, options)
        name = source.reader_name
        if name == "pose_pickle":
            reader_options = {"dataset": "any", "class_names": list(source.names),
                              "layout": source.layout.name}
    if name == "ntu":
        reader_options = {"dataset": "any", "num_classes": 999}
    return DatasetConfig.model_validate({
        "name": "any", "class_names": ["any"], "sample_protocol": "random-clips",
        "reader": name, "reader_options": reader_options,
        "cleaning": [{"type": "keep_most_active", "bodies": 2}],
    })


def _logits(recognizer: Recognizer, store: SequenceStore) -> np.ndarray:
    from zskel.extractors.features import extract_features

    with bar(f"running {recognizer.spec.name}") as tell:
        _, logits = extract_features(recognizer.model, recognizer.spec, store,
                                     np.arange(len(store)), on_progress=tell)
    return logits


def _answers(
    recognizer: Recognizer, labels: Sequence[str], logits: np.ndarray, text_model: str
) -> np.ndarray:
    from zskel.extractors.text import ENCODERS, embed_classes
    from zskel.zsl.untrained import unseen_probabilities

    try:
        encoder = ENCODERS.build("sentence_bert", model=text_model)
    except MissingModel as error:
        raise MissingModel(f"{error}; here that is --text-model FOLDER") from None
    seen, new = (embed_classes(encoder, names, [[name] for name in names], "label")
                 for names in (recognizer.classes, labels))
    check_distinct(new, "labels")
    return unseen_probabilities(logits, seen.f_y, new.f_y)


def _best(names: Sequence[str], probability: np.ndarray, count: int) -> list[dict[str, Any]]:
    order = np.argsort(-probability, kind="stable")[:count]
    return [{"label": names[c], "probability": float(probability[c])} for c in order]
