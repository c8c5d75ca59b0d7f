"""What each difference between SA-DVAE's paper and its released code is worth.

Every difference that caches can express (``zskel.zsl.methods.sa_dvae_differences``) is
switched alone from the paper's form to the released one; base, recipe and protocol
stay those of the paper. Each row is compared with the base run of the same seed or
split; the interval is that of a paired t at 95 %. Rows marked as choosing on test
data do so by definition.

    python benchmarks/differences.py --work-dir work_dirs/utd-mhad-22-5 --seeds 10
    python benchmarks/differences.py --features ../shared/data/features --splits 20
    ... --out docs/paper-versus-released.md --section utd-mhad

Results of single runs are kept in ``--keep FILE`` (JSON), so a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from zskel.data.caches import CALIBRATION, TEST, read_skeleton_features, read_text_features
from zskel.data.common.files import write_json, write_text
from zskel.pipeline.base.workdir import WorkDir
from zskel.zsl.cache_checks import Caches
from zskel.zsl.evaluation import evaluate_gates
from zskel.zsl.gates.domain_classifier import DomainClassifier
from zskel.zsl.gates.hard import HardGate
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.methods.sa_dvae_differences import DIFFERENCES
from zskel.zsl.metrics import MAIN
from zskel.zsl.protocols import Protocol
from zskel.zsl.statistics import PairedComparison, mean_std, paired_comparison

Gate = Callable[[int], Any]
PAPER_GATE = "C_d, soft"
GATES: dict[str, Gate] = {
    PAPER_GATE: lambda seed: DomainClassifier(seed=seed),
    "hard": lambda seed: HardGate(seed=seed),
    "hard, mirrored": lambda seed: HardGate(mirrored=True, seed=seed),
    "hard, 0.50 and T = 2": lambda seed: HardGate([2.0], [0.5], seed=seed),
}
BASE = "as the paper writes it"


@dataclass(frozen=True)
class Row:
    """One way to run: what is asked of the method and of the protocol."""

    label: str
    number: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    gate: str = PAPER_GATE
    seen_from: str = "f_x"
    best_epoch: bool = False
    note: str = ""

    @property
    def fit_key(self) -> str:
        """Equal for rows that share one fit."""
        return json.dumps([self.options, self.seen_from, self.best_epoch], sort_keys=True)


def rows() -> list[Row]:
    """The base, each difference alone, and all of them together."""
    made = [Row(BASE)]
    made += [
        Row(f"{each.topic}: {each.released}", each.row, each.options(), note=each.note)
        for each in DIFFERENCES if each.kind == "switch"
    ]
    made += [
        Row("best epoch by test-unseen accuracy", 1, best_epoch=True, note="chooses on test data"),
        Row("C_s: the backbone's own logits", 13, seen_from="logits"),
        Row("hard gate, threshold searched", 14, gate="hard"),
        Row("hard gate, threshold mirrored", 15, gate="hard, mirrored"),
        Row("hard gate, fixed 0.50 and T = 2", 16, gate="hard, 0.50 and T = 2"),
        Row("everything as released", None, {"recipe": "released"}, "hard, mirrored", "logits",
            True, "chooses on test data"),
        Row("recipe as released, protocol strict", None, {"recipe": "released"}),
    ]
    return sorted(made, key=lambda row: (row.label != BASE, row.number is None, row.number or 0))


Case = tuple[str, int, Caches]
"""Name, seed and features."""


def of_work_dir(root: Path, seeds: int) -> Iterator[Case]:
    """One case a seed, all on the same caches."""
    work = WorkDir(root)
    caches = Caches(
        read_skeleton_features(work.skeleton(TEST)),
        read_skeleton_features(work.skeleton(CALIBRATION)), read_text_features(work.text))
    for seed in range(seeds):
        yield f"seed {seed}", seed, caches


def of_features(folder: Path, splits: int) -> Iterator[Case]:
    """One case a random class split."""
    from real_features import label_text, read_clips, split_caches

    clips = read_clips(folder)
    text = label_text(clips.class_names)
    for split in range(splits):
        yield f"split {split}", split, Caches(*split_caches(clips, split, head=True), text)


def measure(case: Case, wanted: Sequence[Row], options: dict[str, Any]) -> dict[str, list[float]]:
    """ZSL accuracy and H of each row on one case; rows of one fit are fitted once."""
    _, seed, caches = case
    found: dict[str, list[float]] = {}
    fits: dict[str, list[Row]] = {}
    for row in wanted:
        fits.setdefault(row.fit_key, []).append(row)
    for sharing in fits.values():
        first = sharing[0]
        evaluations = evaluate_gates(
            caches, protocol=Protocol("study", first.seen_from, first.best_epoch),
            method=lambda value: SADVAE(**{**options, **first.options, "seed": value}),
            gates={row.gate: GATES[row.gate] for row in sharing}, seed=seed,
        )
        for row in sharing:
            result = evaluations[row.gate]
            found[row.label] = [result.metrics[name] for name in MAIN]
    return found


def table(runs: dict[str, dict[str, list[float]]], wanted: Sequence[Row]) -> list[list[str]]:
    """Header and lines: the row's means, and its paired differences to the base."""
    cases = list(runs)
    lines = [["row", "switched alone", "ZSL %", "Δ ZSL", "H %", "Δ H", "note"]]
    for row in wanted:
        line = [str(row.number or ""), row.label]
        for metric in (0, 1):
            values = [100 * runs[case][row.label][metric] for case in cases]
            base = [100 * runs[case][BASE][metric] for case in cases]
            mean = mean_std(values)
            line.append(f"{mean.mean:.1f} ± {mean.std or 0:.1f}")
            line.append("" if row.label == BASE else _difference(paired_comparison(values, base)))
        lines.append([*line[:6], row.note])
    return lines


def _difference(comparison: PairedComparison) -> str:
    low, high = comparison.interval.low, comparison.interval.high
    mark = " *" if low > 0 or high < 0 else ""
    return f"{comparison.mean_difference:+.1f} [{low:+.1f}, {high:+.1f}]{mark}"


def markdown(lines: list[list[str]]) -> str:
    """A pipe table."""
    header, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in
                     [header, ["---"] * len(header), *body]) + "\n"


def put_section(path: Path, section: str, text: str) -> None:
    """Writes ``text`` between the marks of a section, at the end where there are none."""
    start, end = f"<!-- {section} -->", f"<!-- end {section} -->"
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    block = f"{start}\n{text}{end}\n"
    if start in old and end in old:
        head, _, rest = old.partition(start)
        write_text(path, head + block.rstrip("\n") + rest.partition(end)[2])
    else:
        write_text(path, old + block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--work-dir", type=Path, help="with features/, as extract makes it")
    source.add_argument("--features", type=Path, help="folder of the 37-class .npz files")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--keep", type=Path, help="JSON of the single runs")
    parser.add_argument("--out", type=Path, help="Markdown file that gets the table")
    parser.add_argument("--section", default="differences", help="name of its place there")
    given = parser.parse_args()

    wanted, options = rows(), {"epochs": given.epochs, "engine": "fast"}
    cases = (of_work_dir(given.work_dir, given.seeds) if given.work_dir is not None
             else of_features(given.features, given.splits))
    total = given.seeds if given.work_dir is not None else given.splits
    runs: dict[str, dict[str, list[float]]] = {}
    if given.keep is not None and given.keep.is_file():
        runs = json.loads(given.keep.read_text(encoding="utf-8"))
    for case in track(cases, "fitting", total=total, console=Console(stderr=True)):
        done = runs.setdefault(case[0], {})
        missing = [row for row in wanted if row.label not in done]
        if missing:
            done.update(measure(case, missing, options))
            if given.keep is not None:
                write_json(given.keep, runs)
    lines = table(runs, wanted)
    shown = Table(*lines[0])
    for line in lines[1:]:
        shown.add_row(*line)
    Console(width=160).print(shown)
    if given.out is not None:
        put_section(given.out, given.section, markdown(lines))


if __name__ == "__main__":
    main()
