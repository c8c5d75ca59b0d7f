"""Methods and gates on seven data sets together, on splits that no design has seen.

    python benchmarks/seven_sets.py --csv seven_sets.csv --out docs/recommended.md

The clips are all of seven public data sets (``../shared/data/features``): f_x from a
Shift-GCN trained on NTU-60, 4,657 clips, 95 classes once equal names (in lower case)
are merged. Odd subjects train, even ones test. Text is the label in all-MiniLM-L6-v2,
with ``--motions`` beside the sentence of how the body moves of ``seven_sets_words.csv``.

Half of each set's classes, drawn once, are for *development*, on odd subjects alone
(``--development``: a third of each set's odd subjects tests). The *final* evaluation
draws its unseen classes from the other half, so that no unseen class and no test clip
has been looked at before; with ``--any-class`` it draws them from all 95, for
comparison with what others report, and half of them are then development classes.

Methods have the settings of their configs, and those of parts of speech read verbs and
nouns of ``seven_sets_words.csv``. Methods of pooled views cannot run on these files
(``label_leaks.py`` has what can be had). Every gate is evaluated on one fit, under
``strict``, the first one under ``transductive`` too; a gate is left out where the method
has not what it needs. ``--table methods`` gives a line a method instead of one a gate.

What is in the CSV file already is kept, so a stopped run goes on, and ``--no-fit`` makes
tables of what is there; a Parquet file beside it
has the same rows, where pandas is installed. Seconds are of the processor, of both phases'
fits. Set OMP_NUM_THREADS=1 on a busy machine.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import time
from ast import literal_eval
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from differences import put_section
from method_table import FIELDS, by_gate, by_method, transductive
from real_features import FOLDER, RealClips, embedded, features_of, label_text

from zskel.data.caches import TEST, TRAIN, SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path
from zskel.data.phases import calibration_phase, test_phase
from zskel.data.splits import ClassSplit
from zskel.pipeline.base.config import load_method_and_gate
from zskel.pipeline.steps.fits import works
from zskel.zsl.cache_checks import Caches, Text
from zskel.zsl.evaluation import evaluate_gates, predict
from zskel.zsl.fitted import Fitted
from zskel.zsl.gates import GATES
from zskel.zsl.methods import METHODS
from zskel.zsl.metrics import measure
from zskel.zsl.protocols import STRICT, TRANSDUCTIVE, Protocol
from zskel.zsl.refinements import REFINEMENTS

SETS = ("utd_mhad", "nw_ucla", "g3d", "kard", "cad60", "florence", "msrdaily")
DATASET = "seven_sets"
WORDS = Path(__file__).with_name("seven_sets_words.csv")
HALVES_SEED = 2024
#: Ends ``Job.kind`` where texts are labels beside motions.
WITH_MOTIONS = "-motions"
#: Methods that draw nothing that matters: one seed says all.
CLOSED_FORMS = ("text_prototypes", "ridge", "eszsl", "conse")
GATES_SHOWN = ("left_out_classes", "familiarity", "domain_classifier", "calibrated_stacking")
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
    return part_of(data, (clips.subject % 2 == 1) & data.development[clips.label],
                   np.flatnonzero(data.development))


def part_of(data: SevenSets, rows: np.ndarray, classes: np.ndarray) -> SevenSets:
    """Some clips, ``[N]`` booleans, all of them of some classes, which are counted anew."""
    clips = data.clips
    return SevenSets(
        RealClips(clips.f_x[rows], np.searchsorted(classes, clips.label[rows]),
                  clips.subject[rows], tuple(clips.class_names[c] for c in classes)),
        data.development[classes])


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
    """One fit: a method on one split with one seed.

    ``kind`` is that of :func:`split_caches`, with ``WITH_MOTIONS`` behind it where texts
    are labels beside motions. The method may be followed by options: "ridge folds=3",
    "sa_dvae variant=fd".
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
    data: SevenSets, job: Job, wanted: Sequence[tuple[str, Protocol]]
) -> list[dict[str, Any]]:
    """Fits a method once; a row for each gate and protocol."""
    name, *options = job.method.split()
    config = load_method_and_gate(name, DATASET)[0]
    given = dict(map(option_of, options))
    kind = job.kind.removesuffix(WITH_MOTIONS)
    caches = Caches(*split_caches(data, job.split, job.unseen, kind=kind),
                    text_for(name, data.clips.class_names, kind != job.kind))
    found: list[Fitted] = []
    started = time.process_time()
    evaluate_gates(
        caches, seed=job.seed,
        method=lambda drawn: METHODS.build(name, **{**config.options, **given, "seed": drawn}),
        gates={gate: (lambda drawn, gate=gate: GATES.get(gate)(seed=drawn))
               for gate, _ in wanted}, on_fitted=found.append)
    seconds = round(time.process_time() - started, 2)
    models, gates, rows = found[0].phases[TEST], found[0].gates, caches.test.rows(TEST)
    refinements = {protocol.name: protocol.refinement() for _, protocol in wanted
                   if protocol.refinement is not None}
    needs = frozenset().union(*(each.needs for each in (*gates.values(), *refinements.values())))
    inputs = models.inputs(rows, needs)
    made = []
    for gate, protocol in wanted:
        metrics = measure(predict(models, gates[gate], rows, inputs,
                                  refinements.get(protocol.name)))
        made.append({
            **job.key(gate, protocol.name),
            **{name: round(100 * float(metrics[field] or 0), 4)
               for name, field in FIELDS.items()}, "seconds": seconds})
    return made


def option_of(given: str) -> tuple[str, Any]:
    """Of "key=value", where what is no Python literal is a word."""
    key, _, value = given.partition("=")
    try:
        return key, literal_eval(value)
    except ValueError:
        return key, value


def text_for(method: str, class_names: tuple[str, ...], motions: bool = False) -> Text:
    """The label, with the motion beside it or not, or of a method of parts of speech those."""
    parts = METHODS.get(method).text_parts
    if parts or not motions:
        return {part: _words(part, class_names) for part in parts} or _label(class_names)
    from zskel.extractors.text import concatenate

    return concatenate([_label(class_names), _words("motion", class_names)])


_label = cache(label_text)


@cache
def _words(part: str, class_names: tuple[str, ...]) -> TextFeatures:
    with WORDS.open(newline="") as file:
        of = {row["class"]: row[part] for row in csv.DictReader(file)}
    return embedded(class_names, [of[name] for name in class_names], part)


def runnable() -> list[str]:
    """Methods that need neither pooled views nor anything else that these files lack."""
    return [name for name in METHODS.names() if not METHODS.get(name).feature_views]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--unseen", type=int, nargs="+", default=[20, 10], help="classes")
    parser.add_argument("--splits", type=int, default=20, help="how many")
    parser.add_argument("--methods", nargs="+", default=runnable(),
                        help="with options: \"ridge folds=3\" [default: all that can be run]")
    parser.add_argument("--gates", nargs="+", default=GATES_SHOWN)
    parser.add_argument("--seeds", type=int, default=1, help="of methods that draw")
    parser.add_argument("--no-fit", action="store_true", help="tables of what the CSV has")
    parser.add_argument("--table", choices=("gates", "methods"), default="gates",
                        help="a line a gate, or a line a method")
    parser.add_argument("--against", help="what all others are compared with: method / gate / "
                        "protocol, or a method [default: text_prototypes, with left_out_classes "
                        "and strict]")
    parser.add_argument("--csv", type=Path, required=True, help="goes on where it is")
    parser.add_argument("--out", type=Path, help="Markdown file that gets a table a number of "
                        "unseen classes")
    parser.add_argument("--section", help="the table's place there, -20 and the like follows "
                        "[default: final, development or any, with -motions where asked for]")
    parser.add_argument("--motions", action="store_true",
                        help="texts are labels beside sentences of how the body moves")
    parser.add_argument("--strict", action="store_true", help="nothing transductive")
    parser.add_argument("--refinements", nargs="+", default=[], choices=REFINEMENTS.names(),
                        help="transductive with these too, besides the default one")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--development", action="store_const", const="development", dest="kind")
    kind.add_argument("--any-class", action="store_const", const="any", dest="kind")
    return parser.parse_args()


def main() -> None:
    given = parsed()
    kind = (given.kind or "final") + given.motions * WITH_MOTIONS
    data = read()
    if given.kind == "development":
        data = development_part(data)
    refined = [] if given.strict else [TRANSDUCTIVE, *(
        replace(TRANSDUCTIVE, name=f"{TRANSDUCTIVE.name}:{name}", refinement=REFINEMENTS.get(name))
        for name in given.refinements)]
    # The first splits of everything first, so that a stopped run has something to say.
    jobs: list[tuple[SevenSets, Job, Sequence[tuple[str, Protocol]]]] = []
    splits = range(0 if given.no_fit else given.splits)
    for split, method, unseen in product(splits, given.methods, given.unseen):
        name = method.split()[0]
        gates = [gate for gate in given.gates if works(gate, name)]
        wanted = [*product(gates[:1], refined), *product(gates, [STRICT])]
        for seed in range(given.seeds if name not in CLOSED_FORMS else 1):
            job = Job(kind, unseen, split, method, seed)
            jobs.append((data, job, wanted))
    measure_missing(given.csv, jobs)
    _write_parquet(given.csv)
    for unseen in given.unseen:
        rows = [row for row in read_rows(given.csv)
                if row["kind"] == kind and int(row["unseen_classes"]) == unseen
                and int(row["split"]) < given.splits and row["method"] in given.methods
                and row["gate"] in given.gates]
        if given.table == "methods":
            tables = {"": by_method(rows, given.against or "text_prototypes", given.gates)}
            if not given.strict:
                tables["-transductive"] = transductive(rows)
        else:
            tables = {"": by_gate(rows, given.against or
                                  "text_prototypes / left_out_classes / strict")}
        for suffix, content in tables.items():
            print(f"{unseen} unseen classes{suffix}\n{content}")
            if given.out is not None:
                put_section(given.out, f"{given.section or kind}-{unseen}{suffix}", content)


def measure_missing(
    path: Path, jobs: Iterable[tuple[SevenSets, Job, Sequence[tuple[str, Protocol]]]]
) -> None:
    """Measures what a CSV file does not have yet, and adds it job by job.

    Args:
        path: The file, which need not be there.
        jobs: Each with its data, and the gates and protocols that are wanted of it.
    """
    there = {tuple(row[name] for name in KEY) for row in read_rows(path)}
    for data, job, wanted in jobs:
        missing = [(gate, protocol) for gate, protocol in wanted if tuple(
            map(str, job.key(gate, protocol.name).values())) not in there]
        if missing:
            _append(path, measure_job(data, job, missing))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    fresh = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*KEY, *FIELDS, "seconds"])
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path) -> None:
    if all(importlib.util.find_spec(name) for name in ("pandas", "pyarrow")):
        import pandas

        with atomic_path(path.with_suffix(".parquet")) as temporary:
            pandas.read_csv(path).to_parquet(temporary)


if __name__ == "__main__":
    main()
