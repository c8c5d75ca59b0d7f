"""Arrays of one's own, joined over files and sorted into the two phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import (
    CALIBRATION,
    IDENTITY,
    TEST,
    TRAIN,
    SkeletonFeatures,
    TextFeatures,
    check_skeleton_features,
    check_text_features,
)
from zskel.data.classes import register_dataset
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.exchange import mapping
from zskel.data.exchange.arrays import array_shapes, features_of, kind_of, require_finite
from zskel.data.exchange.caches import UNKNOWN_NAME, Imported
from zskel.data.exchange.own_source import ArrayReader, OwnSource
from zskel.data.phases import Phase, calibration_phase, test_phase
from zskel.data.protocols import CLIP
from zskel.data.splits import ClassSplit, held_out_groups, make_split


@dataclass(frozen=True)
class OwnArrays:
    """What a mapping file points to, all sources one below the other.

    Attributes:
        mapping: The mapping.
        class_names: Of all sources, ``[C]``.
        f_x: Features of each phase, ``[N, D]``.
        logits: Of each phase, ``[N, C]`` with NaN where a source has none, or None.
        label: Int64 ``[N]``.
        subset: "train", "test" or "calibration" of each clip.
        source: Index of the source of each clip.
        identity: Subject, camera, setup, replication.
        sample_id: ``[N]``.
        text, text_parts: Text features, as ``Imported`` has them.
        files: SHA-256 of every file, by its name.
        notes: What had to be resolved.
    """

    mapping: mapping.Mapping
    class_names: tuple[str, ...]
    f_x: dict[str, np.ndarray]
    logits: dict[str, np.ndarray] | None
    label: np.ndarray
    subset: np.ndarray
    source: np.ndarray
    identity: dict[str, np.ndarray]
    sample_id: np.ndarray
    text: TextFeatures | None
    text_parts: dict[str, TextFeatures]
    files: dict[str, str]
    notes: tuple[str, ...]

    def own_split(self) -> ClassSplit:
        """The split that the mapping file names.

        Raises:
            BadConfig: It names none, or an impossible one.
        """
        given = self.mapping.split
        if given is None:
            raise BadConfig("the mapping file has no [split]; add one with the unseen classes, or "
                            "draw them with --random-split SEED --unseen N")
        return make_split(
            self.mapping.dataset, given.name, given.unseen, given.validation_unseen,
            given.validation_seed,
        )

    def random_split(self, seed: int, unseen: int) -> ClassSplit:
        """``unseen`` classes drawn with ``seed``, and as many validation-unseen ones.

        Raises:
            BadConfig: There are too few classes.
        """
        count = len(self.class_names)
        if not 0 < unseen < count:
            raise BadConfig(f"--unseen {unseen}: expected 1..{count - 1}, "
                            f"there are {count} classes")
        drawn = np.random.default_rng(seed).choice(count, size=unseen, replace=False)
        return make_split(self.mapping.dataset, f"random-{unseen}-seed{seed}", drawn.tolist(),
                          validation_seed=seed)

    def caches(self, split: ClassSplit) -> Imported:
        """Both phases under a split.

        Raises:
            BadInput: A class or a subset has no clips where some are needed.
        """
        split.require_calibration()
        if not (self.subset == TEST).any():
            raise BadInput('no clip is a test clip; name the file of the test clips as another '
                           f'[[source]] with subset = "{TEST}"')
        notes = list(self.notes)
        subset = np.where(self.subset == CALIBRATION, TRAIN, self.subset)
        group, held_out = self._calibration_groups(subset, split, notes)
        what = CLIP if (self.subset == CALIBRATION).any() else "subject"
        left_out = int(((subset == TRAIN) & np.isin(self.label, split.unseen)).sum())
        if left_out:
            notes.append(f"{left_out} of {len(self.label)} clips are left out: training clips of "
                         "unseen classes")
        phases = (test_phase(self.label, subset, split),
                  calibration_phase(self.label, subset, group, split, held_out, what))
        if any(source.f_x_calibration is None for source in self.mapping.source):
            notes.append("one backbone for both phases: right only if it has been trained on "
                         "neither the unseen nor the validation-unseen classes")
        if self.logits is None:
            notes.append("no logits, taken as zeros: C_s can only be fitted on f_x or z_r")
        notes.append(f"split {split.name}: validation-unseen classes {split.validation_choice}")
        features = [self._cache(phase, split, notes) for phase in phases]
        return Imported(features[0], features[1], self.text, self.text_parts, split.name,
                        tuple(notes))

    def _calibration_groups(
        self, subset: np.ndarray, split: ClassSplit, notes: list[str]
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        marked = self.subset == CALIBRATION
        if marked.any():
            notes.append(f"calibration: the {int(marked.sum())} clips that `subset` marks")
            return marked.astype(np.int64), (1,)
        config, subject = self.mapping.calibration, self.identity["subject"]
        held_out = config.subjects
        if held_out is None:
            usable = (subset == TRAIN) & np.isin(self.label, split.seen)
            unknown = int((subject[usable] < 0).sum())
            if unknown:
                raise BadInput(
                    f"{unknown} of {int(usable.sum())} training clips have no known subject, of "
                    "whom calibration holds out some; name `subject`, or say yourself which clips "
                    f'calibrate: mark some of every seen class "{CALIBRATION}" in the array of '
                    f'`subset`, or give their file as a source with subset = "{CALIBRATION}"')
            groups = [set(subject[usable & (self.source == number)].tolist())
                      for number in range(len(self.mapping.source))]
            # Each source has classes of its own, of which some clips must be held out.
            several = [own for own in groups if len(own) > 1] or [set().union(*groups)]
            held_out = sorted({person for own in several
                               for person in held_out_groups(own, config.share, config.seed)})
        notes.append(f"calibration: the training clips of subjects {list(held_out)}")
        return subject, tuple(held_out)

    def _cache(self, phase: Phase, split: ClassSplit, notes: Sequence[str]) -> SkeletonFeatures:
        rows, seen = phase.rows, list(phase.seen_classes)
        logits = np.zeros((len(rows), len(seen)), np.float32)
        if self.logits is not None:
            logits = self.logits[phase.name][rows][:, seen]
            require_finite(logits, f"logits of the {phase.name} phase")
        given = all(source.train_subjects is not None for source in self.mapping.source)
        features = SkeletonFeatures(
            f_x=self.f_x[phase.name][rows], logits=logits, label=self.label[rows],
            sample_id=self.sample_id[rows], subset=phase.subset,
            **{name: values[rows] for name, values in self.identity.items()},
            dataset=self.mapping.dataset, sample_protocol="cross-subject" if given else "listed",
            phase=phase.name, class_names=self.class_names, seen_classes=phase.seen_classes,
            unseen_classes=phase.unseen_classes, backbone=self.mapping.backbone,
            weights_sha256=UNKNOWN_NAME,
            config={"imported": "npz", "split": split.name, "files": self.files,
                    "notes": list(notes)},
        )
        check_skeleton_features(features, f"{phase.name}-phase features")
        return features


def read_own_arrays(path: Path) -> OwnArrays:
    """Reads what a mapping file points to.

    The data set's class names become known in this process.

    Raises:
        BadConfig: The mapping file is wrong.
        BadInput: A file or an array is missing, damaged or disagrees with another.
    """
    _require_mapping(path)
    mapped = mapping.read_mapping(path)
    notes: list[str] = []
    files: dict[str, str] = {}
    sources = [OwnSource(path.parent, item, number, notes, files)
               for number, item in enumerate(mapped.source)]
    names: list[str] = []
    for source in sources:
        names += [name for name in source.class_names if name not in names]
    _tell_alike(sources, names, notes)
    _agree(sources)
    register_dataset(mapped.dataset, names)
    logits = None
    if all(source.logits is not None for source in sources):
        logits = {phase: np.concatenate([source.spread(phase, names) for source in sources])
                  for phase in (TEST, CALIBRATION)}
    elif any(source.logits is not None for source in sources):
        notes.append("logits of some sources only: none are taken")
    texts = {part: _text(path.parent, item, tuple(names), notes, files)
             for part, item in (("", mapped.text), *mapped.text_parts.items()) if item}
    sample_id = np.concatenate([source.sample_id for source in sources])
    ids, counts = np.unique(sample_id, return_counts=True)
    if len(ids) != len(sample_id):
        raise BadInput(f"{path}: sample_id is not unique over the sources; "
                       f"{str(ids[counts > 1][0])!r} stands {counts[counts > 1][0]} times")
    return OwnArrays(
        mapped, tuple(names),
        {phase: np.concatenate([source.f_x[phase] for source in sources])
         for phase in (TEST, CALIBRATION)},
        logits,
        np.concatenate([np.array([names.index(n) for n in source.class_names])[source.label]
                        for source in sources]),
        np.concatenate([source.subset for source in sources]),
        np.repeat(np.arange(len(sources)), [source.count for source in sources]),
        {name: np.concatenate([source.identity[name] for source in sources]) for name in IDENTITY},
        sample_id, texts.pop("", None), texts, files, tuple(notes),
    )


def _require_mapping(path: Path) -> None:
    if not path.is_file() or not kind_of(path):
        return
    shapes = array_shapes(path)
    recordings = next((f"{name} {list(shape)}" for name, shape in shapes.items()
                       if name in ("x_train", "x_test") and len(shape) > 2), None)
    if recordings:
        raise BadInput(f"{path}: holds recordings ({recordings}), not features; they are for "
                       "`pipeline extract --raw`")
    what = ", ".join(shapes)
    raise BadInput(f"{path}: {f'holds the arrays {what}' if what else 'is one array'}; which of "
                   "one's arrays is what, a mapping file says (docs/exchange.md), and that is what "
                   "`import npz` takes")


def _text(folder: Path, item: mapping.Text, names: tuple[str, ...], notes: list[str],
          files: dict[str, str]) -> TextFeatures:
    read = ArrayReader(folder, item.file, files)
    array, where = read(item.f_y)
    f_y = features_of(array, where, notes)
    if len(f_y) != len(names):
        raise BadInput(f"{where}: {len(f_y)} rows, expected {len(names)}, one a class")
    strings: Any = np.asarray(names)
    if item.texts is not None:
        strings, own = read(item.texts)
        if len(strings) != len(names) or strings.dtype.kind != "U":
            raise BadInput(f"{own}: expected {len(names)} strings, one a class")
        given = strings.tolist()
        if given != list(names) and sorted(given) == sorted(names):
            row = next(row for row, name in enumerate(names) if given[row] != name)
            raise BadInput(f"{own}: row {row} is of class {given[row]!r}, expected {names[row]!r}; "
                           f"put it and {item.f_y} into the order of class_names")
    else:
        notes.append(f"{where}: the strings that were embedded are not given; the class names "
                     "stand for them")
    text = TextFeatures(f_y, strings, names, item.encoder, UNKNOWN_NAME, item.source,
                        {"imported": "npz"})
    check_text_features(text, where)
    return text


def _tell_alike(sources: Sequence[OwnSource], names: Sequence[str], notes: list[str]) -> None:
    shared = sum(sum(name in source.class_names for source in sources) > 1 for name in names)
    if shared:
        notes.append(f"{shared} class names are in several sources and taken as one class each")
    folded: dict[str, str] = {}
    for name in names:
        other = folded.setdefault(name.casefold().strip(), name)
        if other != name:
            notes.append(f"classes {other!r} and {name!r} differ only in how they are written and "
                         "stay apart; if one is unseen, the other is nearly its twin")


def _agree(sources: Sequence[OwnSource]) -> None:
    first = sources[0]
    for source in sources[1:]:
        ours, theirs = first.f_x[TEST].shape[1], source.f_x[TEST].shape[1]
        if ours != theirs:
            raise BadInput(f"{source.where}: f_x has {theirs} columns, in {first.where} {ours}")
