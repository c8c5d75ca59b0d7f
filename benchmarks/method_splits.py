"""Every method on random class splits of one's own features, through the npz door.

    python benchmarks/method_splits.py benchmarks/real_features.toml --splits 20 --unseen 8
    ... --out docs/methods.md --section real-features

For each split the features are imported (``pipeline import npz MAPPING --random-split K
--unseen N``) and every method is fitted with its config's settings, protocol ``strict``,
seed 0, with the paper's C_d and the gate ``familiarity`` on top. Differences to SA-DVAE
are paired by split; the interval is that of a paired t at 95 %. What is there already is
kept, so a stopped run goes on. Set OMP_NUM_THREADS=1 on a busy machine.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from differences import markdown, put_section

from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.fit.fit import fit
from zskel.pipeline.import_.import_ import ImportOptions, import_features
from zskel.pipeline.steps.result_record import ResultRecord
from zskel.pipeline.steps.results import read_result
from zskel.zsl.statistics import mean_std, paired_comparison

BASELINE, GATE = "sa_dvae", "familiarity"
TEXTS = ("minilm_label", "verb_noun_parts")


def fit_split(mapping: Path, split: int, unseen: int, work_dirs: Path) -> list[ResultRecord]:
    """Imports one split and fits every method; the results of both gates."""
    work = work_dirs / f"random-{split}"
    config = work / "experiment.py"
    if not config.is_file():
        import_features("npz", mapping, work,
                        ImportOptions(random_split=split, unseen=unseen, class_text=TEXTS))
    paths = fit(load_experiment(str(config)), work, [0], ["all"], [GATE], keep_models=False)
    return [read_result(path) for path in paths]


def table(results: dict[str, list[ResultRecord]]) -> list[list[str]]:
    """Header and a line a method, sorted by ZSL accuracy. Keys are method and gate key."""
    names = [key.partition("/")[0] for key in results if key.endswith("/")]

    def values(name: str, field: str, gate: str = "") -> list[float]:
        return [100 * record.metrics[field] for record in results[f"{name}/{gate}"]]

    def cell(found: list[float]) -> str:
        of = mean_std(found)
        return f"{of.mean:.1f} ± {of.std or 0:.1f}"

    def difference(name: str, field: str, gate: str = "") -> str:
        if name == BASELINE:
            return "–"
        c = paired_comparison(values(name, field, gate), values(BASELINE, field, gate))
        return (f"{c.mean_difference:+.1f} [{c.interval.low:+.1f}, {c.interval.high:+.1f}], "
                f"better on {c.wins} of {c.n}")

    zsl, h = "zsl_accuracy", "gzsl_harmonic_mean"
    lines = [["method", "ZSL", f"Δ ZSL to {BASELINE} (95 %)", "seen", "unseen", "H", "Δ H",
              f"H, `{GATE}`", f"Δ H, `{GATE}`", "oracle H", "seconds a fit"]]
    for name in sorted(names, key=lambda name: -sum(values(name, zsl))):
        seconds = [record.duration_seconds for record in results[f"{name}/"]]
        lines.append([
            name, cell(values(name, zsl)), difference(name, zsl),
            cell(values(name, "gzsl_seen_accuracy")), cell(values(name, "gzsl_unseen_accuracy")),
            cell(values(name, h)), difference(name, h),
            cell(values(name, h, GATE)), difference(name, h, GATE),
            cell(values(name, "gzsl_oracle_harmonic_mean")), f"{sum(seconds) / len(seconds):.1f}",
        ])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mapping", type=Path, help="as `pipeline import npz` takes it")
    parser.add_argument("--splits", type=int, default=20, help="how many; at least 2")
    parser.add_argument("--unseen", type=int, default=8, help="classes")
    parser.add_argument("--work-dirs", type=Path, default=Path("work_dirs/method-splits"))
    parser.add_argument("--out", type=Path, help="Markdown file that gets the table")
    parser.add_argument("--section", default="splits", help="name of its place there")
    given = parser.parse_args()

    results: dict[str, list[ResultRecord]] = defaultdict(list)
    for split in range(given.splits):
        for record in fit_split(given.mapping, split, given.unseen, given.work_dirs):
            results[f"{record.method}/{record.gate_key}"].append(record)
    lines = markdown(table(results))
    print(lines)
    if given.out is not None:
        put_section(given.out, given.section, lines)


if __name__ == "__main__":
    main()
