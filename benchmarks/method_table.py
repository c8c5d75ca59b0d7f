"""Tables of methods and gates from what has been measured.

    python benchmarks/method_table.py work_dirs/demo --out docs/methods.md --section demo

A row is one fit with one gate under one protocol: a line of the CSV file that
``seven_sets.py`` writes, or a result record of ``pipeline fit``, which this command reads.
Means over the seeds of a split come first; spreads and paired intervals are over splits,
or over seeds where there is one split.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from differences import markdown, put_section

from zskel.pipeline.steps.results import read_result
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import JOINT_PROBA
from zskel.zsl.protocols import STRICT, TRANSDUCTIVE
from zskel.zsl.statistics import mean_std, paired_comparison

FIELDS = {
    "zsl": "zsl_accuracy", "zsl_by_class": "zsl_accuracy_class_averaged",
    "seen": "gzsl_seen_accuracy", "unseen": "gzsl_unseen_accuracy",
    "h": "gzsl_harmonic_mean", "h_by_class": "gzsl_harmonic_mean_class_averaged",
    "oracle_h": "gzsl_oracle_harmonic_mean", "ausuc": "gzsl_ausuc",
}
Row = Mapping[str, str]
"""``method``, ``gate``, ``protocol``, ``split``, ``seed``, those of ``FIELDS`` in percent, and
``seconds``, missing or "" where nobody took them."""

Values = dict[str, float]
"""By split."""


def of_work_dir(work_dir: Path) -> list[Row]:
    """Rows of a work directory's records; a seed stands for a split.

    Without their seconds, which are by the wall clock of whatever machine was busy then.
    """
    rows = []
    for path in sorted((work_dir / "results").glob("*.json")):
        record = read_result(path)
        rows.append({
            "method": record.method, "gate": record.config["gate"]["name"],
            "protocol": record.protocol, "split": str(record.seed), "seed": "0",
            **{name: str(100 * (record.metrics[field] or 0)) for name, field in FIELDS.items()}})
    return rows


def values(rows: Iterable[Row], field: str) -> Values:
    """Of each split the mean over what there is of it."""
    found = defaultdict(list)
    for row in rows:
        if row.get(field):
            found[row["split"]].append(float(row[field]))
    return {split: float(np.mean(each)) for split, each in found.items()}


def difference(ours: Values, theirs: Values) -> str:
    """Mean and 95 % interval, paired by split; of a single split there is no interval."""
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return "–"
    pairs = [ours[split] for split in shared], [theirs[split] for split in shared]
    if len(shared) == 1:
        return f"{pairs[0][0] - pairs[1][0]:+.1f}"
    c = paired_comparison(*pairs)
    return f"{c.mean_difference:+.1f} [{c.interval.low:+.1f}, {c.interval.high:+.1f}]"


def spread(found: Values) -> str:
    """Mean and standard deviation."""
    if not found:
        return "–"
    of = mean_std(list(found.values()))
    return f"{of.mean:.1f}" if of.std is None else f"{of.mean:.1f} ± {of.std:.1f}"


def mean(found: Values) -> str:
    return f"{np.mean(list(found.values())):.1f}" if found else "–"


def by_gate(rows: Iterable[Row], against: str) -> str:
    """A line a "method / gate / protocol", sorted by H; less ``against``, paired."""
    groups = defaultdict(list)
    for row in rows:
        groups[f"{row['method']} / {row['gate']} / {row['protocol']}"].append(row)
    other = groups.get(against, [])
    lines = [["method", "gate", "protocol", "splits", "ZSL", "Δ ZSL", "seen", "unseen", "H",
              "Δ H", "oracle H", "AUSUC"]]
    for key in sorted(groups, key=lambda key: -np.mean(list(values(groups[key], "h").values()))):
        of = {field: values(groups[key], field) for field in FIELDS}
        less = {field: "–" if key == against else difference(of[field], values(other, field))
                for field in ("zsl", "h")}
        lines.append([*key.split(" / "), counted(groups[key]), mean(of["zsl"]), less["zsl"],
                      *(mean(of[field]) for field in ("seen", "unseen", "h")), less["h"],
                      mean(of["oracle_h"]), mean(of["ausuc"])])
    return markdown(lines)


def by_method(
    rows: Iterable[Row], against: str | None = None, gates: Sequence[str] = ()
) -> str:
    """A line a method, with its H under each gate, under ``strict``.

    Lines are sorted by ZSL accuracy; where methods may have other splits, by their
    differences, which are over splits that both have.

    Args:
        rows: Those of other protocols are left out.
        against: The method that others are compared with, in ZSL and in H under the first
            gate; None: no differences, which would be between seeds alone.
        gates: Columns; default: those that rows have.
    """
    methods = _methods(rows, STRICT.name)
    gates = gates or [gate for gate in GATES.names() if any(
        row["gate"] == gate for own in methods.values() for row in own)]
    base = methods.get(against or "", [])
    head = ["method", "splits" if against else "seeds", "ZSL"]
    head += [f"Δ ZSL to `{against}`"] if against else []
    head += [f"H, `{gate}`" for gate in gates]
    if against:
        head.insert(5, "Δ H")
    head.append("oracle H")
    timed = any(row.get("seconds") for own in methods.values() for row in own)
    lines = [[*head, "seconds a fit"] if timed else head]

    def better(name: str) -> float:
        found = values(methods[name], "zsl")
        less = values(base, "zsl") if base else dict.fromkeys(found, 0.0)
        return -float(np.mean([found[split] - less[split] for split in found if split in less]))

    for name in sorted(methods, key=better):
        own = methods[name]
        line = [name, counted(own), spread(values(own, "zsl"))]
        line += [_less(own, base, "zsl")] if against else []
        line += [spread(values(_with(gate, own), "h")) for gate in gates]
        if against:
            line.insert(5, _less(_with(gates[0], own), _with(gates[0], base), "h"))
        # That of C_s and C_u, not of one classifier over all classes.
        oracle = [row for row in own if JOINT_PROBA not in GATES.get(row["gate"]).needs]
        line.append(mean(values(oracle, "oracle_h")))
        lines.append([*line, mean(values(own, "seconds"))] if timed else line)
    return markdown(lines)


def transductive(rows: Iterable[Row], splits: str = "splits") -> str:
    """A line a method: what looking at all unlabelled test clips adds to ``strict``."""
    strict = _methods(rows, STRICT.name)
    lines = [["method", "gate", splits, "ZSL", "Δ ZSL to strict", "H", "Δ H to strict"]]
    found = {(name, gate): _with(gate, own)
             for name, own in _methods(rows, TRANSDUCTIVE.name).items()
             for gate in {row["gate"]: None for row in own}}
    for name, gate in sorted(found, key=lambda key: -np.mean(list(
            values(found[key], "zsl").values()))):
        own = found[name, gate]
        same = _with(gate, strict.get(name, []))
        lines.append([name, gate, counted(own), spread(values(own, "zsl")),
                      _less(own, same, "zsl"), spread(values(own, "h")), _less(own, same, "h")])
    return markdown(lines)


def counted(rows: Iterable[Row]) -> str:
    """How many splits, and seeds where there is more than one."""
    seeds = defaultdict(set)
    for row in rows:
        seeds[row["split"]].add(row["seed"])
    several = [len(each) for each in seeds.values() if len(each) > 1]
    if not several:
        return str(len(seeds))
    if len(several) == len(seeds) and len(set(several)) == 1:
        return f"{len(seeds)} × {several[0]} seeds"
    return f"{len(seeds)}, of these {len(several)} × {max(several)} seeds"


def _methods(rows: Iterable[Row], protocol: str) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        if row["protocol"] == protocol:
            found[row["method"]].append(row)
    return dict(found)


def _with(gate: str, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["gate"] == gate]


def _less(ours: list[Row], theirs: list[Row], field: str) -> str:
    return "–" if ours is theirs or ours == theirs else difference(
        values(ours, field), values(theirs, field))


def main() -> None:
    """Prints the table of a work directory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work_dir", type=Path, help="of `pipeline fit --method all --gate all`")
    parser.add_argument("--out", type=Path, help="Markdown file that gets the table")
    parser.add_argument("--section", default="methods", help="name of its place there")
    given = parser.parse_args()
    rows = of_work_dir(given.work_dir)
    tables = {given.section: by_method(rows)}
    if any(row["protocol"] == TRANSDUCTIVE.name for row in rows):
        tables[f"{given.section}-transductive"] = transductive(rows, "seeds")
    for section, content in tables.items():
        print(content)
        if given.out is not None:
            put_section(given.out, section, content)


if __name__ == "__main__":
    main()
