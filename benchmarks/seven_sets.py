"""Methods and gates on seven data sets together, on splits that no design has seen.

    python benchmarks/seven_sets.py --csv seven_sets.csv --out docs/recommended.md

The clips are all of seven public data sets (``../shared/data/features``): f_x from a
Shift-GCN trained on NTU-60, 4,657 clips, 95 classes once equal names (in lower case)
are merged. Odd subjects train, even ones test. Text is the label in all-MiniLM-L6-v2.

Half of each set's classes, drawn once, are for *development*, on odd subjects alone
(``--development``: a third of each set's odd subjects tests). The *final* evaluation
draws its unseen classes from the other half, so that no unseen class and no test clip
has been looked at before; with ``--any-class`` it draws them from all 95, for
comparison with what others report, and half of them are then development classes.

Every gate is evaluated on one fit, under ``strict``, the first one under ``transductive``
too. What is in the CSV file already
is kept, so a stopped run goes on. Set OMP_NUM_THREADS=1 on a busy machine.
"""

from __future__ import annotations

import argparse
import csv
from ast import literal_eval
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from differences import put_section
from real_features import FOLDER, RealClips, features_of, label_text

from zskel.data.caches import TEST, TRAIN, SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadInput
from zskel.data.phases import calibration_phase, test_phase
from zskel.data.splits import ClassSplit
from zskel.zsl.cache_checks import Caches
from zskel.zsl.evaluation import evaluate_gates, predict
from zskel.zsl.fitted import Fitted
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import F_X, F_Y, JOINT_PROBA, REFERENCE
from zskel.zsl.methods import METHODS
from zskel.zsl.metrics import measure
from zskel.zsl.protocols import STRICT, TRANSDUCTIVE, Protocol
from zskel.zsl.statistics import mean_std, paired_comparison

SETS = ("utd_mhad", "nw_ucla", "g3d", "kard", "cad60", "florence", "msrdaily")
DATASET = "seven_sets"
HALVES_SEED = 2024
#: Methods that draw nothing that matters: one seed says all.
CLOSED_FORMS = ("text_prototypes", "ridge", "eszsl", "conse")
FIELDS = {
    "zsl": "zsl_accuracy", "zsl_by_class": "zsl_accuracy_class_averaged",
    "seen": "gzsl_seen_accuracy", "unseen": "gzsl_unseen_accuracy",
    "h": "gzsl_harmonic_mean", "h_by_class": "gzsl_harmonic_mean_class_averaged",
    "oracle_h": "gzsl_oracle_harmonic_mean", "ausuc": "gzsl_ausuc",
}
KEY = ("kind", "unseen_classes", "split", "method", "gate", "protocol", "seed")


@dataclass(frozen=True)
class SevenSets:
    """The clips of all sets and which classes are for development.

    Attributes:
        clips: Of all sets; a subject's number is 100 times its set's place in
            ``SETS`` more than in the file.
        development: ``[95]`` booleans.
    """

    clips: RealClips
    development: np.ndarray


def read(folder: Path = FOLDER) -> SevenSets:
    """Reads all sets, merges equal class names and draws the halves."""
    f_x, label, subject = [], [], []
    names: list[str] = []
    home: list[int] = []
    for number, name in enumerate(SETS):
        with np.load(folder / f"{name}_shift_gcn_ntu60.npz") as file:
            own = [text.lower() for text in file["class_names"].tolist()]
            fresh = [text for text in own if text not in names]
            names += fresh
            home += [number] * len(fresh)
            f_x.append(file["f_x"])
            label.append(np.array([names.index(text) for text in own])[file["label"]])
            subject.append(file["subject"].astype(int) + 100 * number)
    clips = RealClips(np.concatenate(f_x), np.concatenate(label), np.concatenate(subject),
                      tuple(names))
    generator = np.random.default_rng(HALVES_SEED)
    development, spare = np.zeros(len(names), bool), 0
    for number in range(len(SETS)):
        order = generator.permutation(np.flatnonzero(np.array(home) == number))
        half = (len(order) + spare) // 2
        spare ^= len(order) % 2  # Odd numbers of classes go up and down in turn.
        development[order[:half]] = True
    return SevenSets(clips, development)


def development_part(data: SevenSets) -> SevenSets:
    """Odd subjects' clips of development classes alone."""
    clips = data.clips
    classes = np.flatnonzero(data.development)
    rows = np.flatnonzero((clips.subject % 2 == 1) & data.development[clips.label])
    part = RealClips(clips.f_x[rows], np.searchsorted(classes, clips.label[rows]),
                     clips.subject[rows], tuple(clips.class_names[c] for c in classes))
    return SevenSets(part, np.ones(len(classes), bool))


def split_caches(
    data: SevenSets, seed: int, unseen: int, *, kind: str = "final"
) -> tuple[SkeletonFeatures, SkeletonFeatures]:
    """Test-phase and calibration-phase features of one split.

    Args:
        data: From :func:`read`, or :func:`development_part` of that.
        seed: Draws the classes and the held-out subjects.
        unseen: Classes; as many validation-unseen ones.
        kind: "final", "any" (unseen classes from all), or "development".
    """
    clips, classes = data.clips, len(data.clips.class_names)
    for attempt in range(100):  # Until every class has clips where it needs them.
        generator = np.random.default_rng([seed, attempt, unseen])
        pool = np.flatnonzero(~data.development) if kind == "final" else np.arange(classes)
        chosen = generator.permutation(pool)[:unseen]
        rest = generator.permutation(np.setdiff1d(np.arange(classes), chosen))
        split = ClassSplit(
            dataset=DATASET, name=f"{kind}-{seed}", num_classes=classes,
            unseen=tuple(sorted(chosen.tolist())),
            validation_unseen=tuple(sorted(rest[:unseen].tolist())),
            validation_choice="drawn with the unseen classes", source="drawn",
        )
        if kind == "development":
            testing = _held_out(clips.subject, generator, 1 / 3)
        else:
            testing = np.unique(clips.subject[clips.subject % 2 == 0])
        subset = np.where(np.isin(clips.subject, testing), TEST, TRAIN)
        held = _held_out(clips.subject[subset == TRAIN], generator, 1 / 5)
        try:
            phases = (test_phase(clips.label, subset, split),
                      calibration_phase(clips.label, subset, clips.subject, split, held.tolist()))
        except BadInput:
            continue
        test, calibration = (features_of(clips, phase, DATASET) for phase in phases)
        return test, calibration
    raise BadInput(f"split {seed}: no draw leaves every class the clips it needs")


def _held_out(subject: np.ndarray, generator: np.random.Generator, share: float) -> np.ndarray:
    """Of each set this share of its subjects, at least one where it has two."""
    held = []
    for number in range(len(SETS)):
        own = np.unique(subject[subject // 100 == number])
        count = min(max(1, round(len(own) * share)), len(own) - 1)
        held.append(generator.permutation(own)[:count])
    return np.concatenate(held)


@dataclass(frozen=True)
class Job:
    """One fit: a method on one split with one seed. ``kind`` as of :func:`split_caches`.

    The method may be followed by options: "ridge folds=3 temperature=1.0".
    """

    kind: str
    unseen: int
    split: int
    method: str
    seed: int

    def key(self, gate: str, protocol: str) -> dict[str, Any]:
        """The columns of ``KEY``."""
        return dict(zip(KEY, (self.kind, self.unseen, self.split, self.method, gate, protocol,
                              self.seed)))


def measure_job(
    data: SevenSets, text: TextFeatures, job: Job, wanted: list[tuple[str, Protocol]]
) -> list[dict[str, Any]]:
    """Fits a method once; a row for each gate and protocol."""
    gates = {gate for gate, _ in wanted}
    caches = Caches(*split_caches(data, job.split, job.unseen, kind=job.kind), text)
    name, *options = job.method.split()
    parsed = {key: literal_eval(value) for key, _, value in
              (option.partition("=") for option in options)}
    found: list[Fitted] = []
    evaluate_gates(
        caches, seed=job.seed, method=lambda drawn: METHODS.build(name, **parsed, seed=drawn),
        gates={gate: (lambda drawn, gate=gate: GATES.get(gate)(seed=drawn)) for gate in gates},
        on_fitted=found.append)
    models, rows = found[0].phases[TEST], caches.test.rows(TEST)
    inputs = models.inputs(rows, {F_X, F_Y, REFERENCE, JOINT_PROBA})
    made = []
    for gate, protocol in wanted:
        refinement = protocol.refinement() if protocol.refinement is not None else None
        metrics = measure(predict(models, found[0].gates[gate], rows, inputs, refinement))
        made.append({
            **job.key(gate, protocol.name),
            **{name: round(100 * float(metrics[field] or 0), 4)
               for name, field in FIELDS.items()}})
    return made


Means = dict[str, dict[int, dict[str, float]]]
"""By "method / gate / protocol", then by split: means over seeds."""


def means_of(rows: list[dict[str, str]]) -> Means:
    """Means over the seeds of each split."""
    found: dict[str, dict[int, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[name_of(row["method"], row["gate"], row["protocol"])][int(row["split"])].append(row)
    return {key: {split: {field: float(np.mean([float(row[field]) for row in seeds]))
                          for field in FIELDS}
                  for split, seeds in sorted(splits.items())}
            for key, splits in found.items()}


def name_of(method: str, gate: str, protocol: str) -> str:
    return f"{method} / {gate} / {protocol}"


def table(found: Means, against: str) -> str:
    """A line a method, gate and protocol, sorted by H; less ``against``, paired by split."""
    def difference(key: str, field: str) -> str:
        shared = sorted(found[key].keys() & found.get(against, {}).keys())
        if key == against or len(shared) < 2:
            return "–"
        c = paired_comparison([found[key][split][field] for split in shared],
                              [found[against][split][field] for split in shared])
        return f"{c.mean_difference:+.1f} [{c.interval.low:+.1f}, {c.interval.high:+.1f}]"

    def mean(key: str, field: str) -> float:
        return mean_std([values[field] for values in found[key].values()]).mean

    lines = ["| method | gate | protocol | splits | ZSL | Δ ZSL | seen | unseen | H | Δ H "
             "| oracle H | AUSUC |", "|" + " --- |" * 12]
    for key in sorted(found, key=lambda key: -mean(key, "h")):
        cells = {field: f"{mean(key, field):.1f}" for field in FIELDS}
        lines.append("| " + " | ".join([
            *key.split(" / "), str(len(found[key])), cells["zsl"], difference(key, "zsl"),
            cells["seen"], cells["unseen"], cells["h"], difference(key, "h"),
            cells["oracle_h"], cells["ausuc"]]) + " |")
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--unseen", type=int, nargs="+", default=[20, 10], help="classes")
    parser.add_argument("--splits", type=int, default=20, help="how many")
    parser.add_argument("--methods", nargs="+", default=[*CLOSED_FORMS, "smie", "sa_dvae"],
                        help="with options: \"ridge folds=3\"")
    parser.add_argument("--gates", nargs="+", default=[
        "left_out_classes", "familiarity", "domain_classifier", "calibrated_stacking"])
    parser.add_argument("--seeds", type=int, default=1, help="of methods that draw")
    parser.add_argument("--against", default="text_prototypes / left_out_classes / strict",
                        help="method / gate / protocol that all others are compared with")
    parser.add_argument("--csv", type=Path, required=True, help="goes on where it is")
    parser.add_argument("--out", type=Path, help="Markdown file that gets a table a number of "
                        "unseen classes")
    parser.add_argument("--section", help="the table's place there, -20 and the like follows "
                        "[default: final, development or any]")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--development", action="store_const", const="development", dest="kind")
    kind.add_argument("--any-class", action="store_const", const="any", dest="kind")
    return parser.parse_args()


def main() -> None:
    given = parsed()
    kind = given.kind or "final"
    data = read()
    if kind == "development":
        data = development_part(data)
    text = label_text(data.clips.class_names)
    there = {tuple(row[name] for name in KEY) for row in _rows(given.csv)}
    # The first splits of everything first, so that a stopped run has something to say.
    for split, method, unseen in product(range(given.splits), given.methods, given.unseen):
        for seed in range(given.seeds if method.split()[0] not in CLOSED_FORMS else 1):
            job = Job(kind, unseen, split, method, seed)
            wanted = [(given.gates[0], TRANSDUCTIVE), *((gate, STRICT) for gate in given.gates)]
            missing = [(gate, protocol) for gate, protocol in wanted if tuple(
                map(str, job.key(gate, protocol.name).values())) not in there]
            if missing:
                _append(given.csv, measure_job(data, text, job, missing))
    for unseen in given.unseen:
        rows = [row for row in _rows(given.csv)
                if row["kind"] == kind and int(row["unseen_classes"]) == unseen
                and int(row["split"]) < given.splits and row["method"] in given.methods]
        content = table(means_of(rows), given.against)
        print(f"{unseen} unseen classes\n{content}")
        if given.out is not None:
            put_section(given.out, f"{given.section or kind}-{unseen}", content + "\n")


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    fresh = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*KEY, *FIELDS])
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
