"""Each of the seven data sets alone: few classes, few clips, none of the others' help.

    python benchmarks/each_set.py --csv each_set.csv --out docs/recommended.md

What ``seven_sets.py`` measures, for one data set at a time: 9 to 27 classes and 215 to
1,480 clips, of which 5 classes are unseen, or 3 where there are fewer than 14. Odd subjects
train, even ones test. Unseen classes are drawn from all, so half of them, on average, are
ones that the recommended method was developed on, with clips of odd subjects.

Everything is a closed form: a fit takes a second. A CSV file that is there already is
gone on with. Set OMP_NUM_THREADS=1 on a busy machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path

import numpy as np
from differences import markdown, put_section
from method_table import Row, Values, difference, mean, values
from seven_sets import (
    CLOSED_FORMS,
    GATES_SHOWN,
    SETS,
    Job,
    RealClips,
    SevenSets,
    measure_missing,
    part_of,
    read,
    read_rows,
)

from zskel.zsl.protocols import STRICT

RECOMMENDED = "text_prototypes", "left_out_classes"
KIND, MEAN = "any, {} alone", "mean"
Pair = tuple[str, str]
"""Method and gate."""


def alone(data: SevenSets, name: str) -> SevenSets:
    """One of the sets."""
    rows = data.clips.subject // 100 == SETS.index(name)
    return part_of(data, rows, np.unique(data.clips.label[rows]))


def table(
    rows: Iterable[Row], sets: Mapping[str, SevenSets], field: str, others: Mapping[str, Pair]
) -> str:
    """A line a set, and their mean: the recommended pair, and what others have less, paired."""
    rows = list(rows)

    def of(method: str, gate: str) -> dict[str, Values]:
        """By set, and the mean over sets."""
        found = {name: values((row for row in rows if (row["kind"], row["method"], row["gate"])
                               == (KIND.format(name), method, gate)), field) for name in SETS}
        shared = set.intersection(*map(set, found.values()))
        return {**found, MEAN: {split: float(np.mean([found[name][split] for name in SETS]))
                                for split in shared}}

    ours, theirs = of(*RECOMMENDED), [of(*pair) for pair in others.values()]
    lines = [["data set", "clips", "classes", "unseen", "splits", field.upper(),
              *(f"Δ `{name}`" for name in others)]]
    for name in [*SETS, MEAN]:
        counts = ["", "", ""]
        if name != MEAN:
            clips = sets[name].clips
            counts = [f"{len(clips.label):,}", str(len(clips.class_names)), str(unseen_of(clips))]
        lines.append([name, *counts, str(len(ours[name])), mean(ours[name]),
                      *(difference(found[name], ours[name]) for found in theirs)])
    return markdown(lines)


def unseen_of(clips: RealClips) -> int:
    """How many classes are unseen."""
    return 5 if len(clips.class_names) >= 14 else 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=20, help="how many")
    parser.add_argument("--csv", type=Path, required=True, help="goes on where it is")
    parser.add_argument("--out", type=Path, help="Markdown file that gets the tables")
    given = parser.parse_args()
    data = read()
    sets = {name: alone(data, name) for name in SETS}
    measure_missing(given.csv, [
        (sets[name], Job(KIND.format(name), unseen_of(sets[name].clips), split, method, 0),
         [(gate, STRICT) for gate in GATES_SHOWN])
        for split, name, method in product(range(given.splits), SETS, CLOSED_FORMS)])
    rows = [row for row in read_rows(given.csv) if int(row["split"]) < given.splits]
    method, gate = RECOMMENDED
    methods = {name: (name, gate) for name in CLOSED_FORMS if name != method}
    gates = {name: (method, name) for name in GATES_SHOWN if name != gate}
    for field, others in {"zsl": methods, "h": methods | gates}.items():
        content = table(rows, sets, field, others)
        print(content)
        if given.out is not None:
            put_section(given.out, f"each-set-{field}", content)


if __name__ == "__main__":
    main()
