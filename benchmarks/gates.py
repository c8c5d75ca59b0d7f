"""All gates side by side: one fit of SA-DVAE a case, every gate on top of it.

    python benchmarks/gates.py --features ../shared/data/features --splits 20
    python benchmarks/gates.py --work-dir work_dirs/utd-mhad-22-5 --seeds 10
    ... --out docs/gates.md --section real-features

A case is a random class split of real features (``benchmarks/real_features.py``)
or a seed on the caches of a work directory; differences of H are paired by case.
The protocol is ``strict``. Set OMP_NUM_THREADS=1 on a busy machine.

The gate ``familiarity`` was designed without the test clips of these splits: on 30
draws of classes within the clips of training subjects, some of whom played the
test subjects.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from differences import of_features, of_work_dir, put_section

from zskel.zsl.evaluation import Evaluation, evaluate, evaluate_gates
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import Gate
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.protocols import STRICT
from zskel.zsl.statistics import mean_std, paired_comparison

BASELINE = "domain_classifier"
TABLE_8 = "domain_classifier, C_s on z_r"
#: Column titles and where the value is found.
COLUMNS: dict[str, Callable[[Evaluation], float]] = {
    "seen": lambda e: e.metrics["gzsl_seen_accuracy"],
    "unseen": lambda e: e.metrics["gzsl_unseen_accuracy"],
    "H": lambda e: e.metrics["gzsl_harmonic_mean"],
    "oracle H": lambda e: e.metrics["gzsl_oracle_harmonic_mean"],
    "AUSUC": lambda e: e.metrics["gzsl_ausuc"],
    "ROC AUC": lambda e: e.metrics["domain_auc"],
}


def method(seed: int) -> SADVAE:
    """The paper's recipe with its defaults."""
    return SADVAE(seed=seed)


def gates() -> dict[str, Callable[[int], Gate]]:
    """Every registered gate with its defaults, and the hard one mirrored as released."""
    def maker(name: str, **options: object) -> Callable[[int], Gate]:
        return lambda seed: GATES.build(name, seed=seed, **options)

    rest = [name for name in GATES.names() if name != BASELINE]
    made = {name: maker(name) for name in (BASELINE, *rest)}
    return {**made, "hard, mirrored": maker("hard", mirrored=True)}


def table(evaluations: dict[str, list[Evaluation]]) -> str:
    """Markdown: a row a gate, percentages."""
    baseline = [e.metrics["gzsl_harmonic_mean"] for e in evaluations[BASELINE]]
    lines = [
        f"| gate | {' | '.join(COLUMNS)} | ΔH to {BASELINE} (95 %) |",
        "| --- |" + " --- |" * (len(COLUMNS) + 1),
    ]
    for name, found in evaluations.items():
        cells = [mean_std([value(e) for e in found]) for value in COLUMNS.values()]
        texts = [f"{100 * c.mean:.1f} ± {100 * (c.std or 0):.1f}" for c in cells]
        if name == BASELINE:
            texts.append("–")
        else:
            c = paired_comparison([e.metrics["gzsl_harmonic_mean"] for e in found], baseline)
            texts.append(f"{100 * c.mean_difference:+.1f} [{100 * c.interval.low:+.1f}, "
                         f"{100 * c.interval.high:+.1f}], better on {c.wins} of {c.n}")
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--work-dir", type=Path, help="with features/, as extract makes it")
    source.add_argument("--features", type=Path, help="folder of the 37-class .npz files")
    parser.add_argument("--seeds", type=int, default=10, help="of a work directory; at least 2")
    parser.add_argument("--splits", type=int, default=20, help="of real features; at least 2")
    parser.add_argument("--out", type=Path, help="Markdown file that gets the table")
    parser.add_argument("--section", default="gates", help="name of its place there")
    given = parser.parse_args()

    started, makers = time.perf_counter(), gates()
    evaluations: dict[str, list[Evaluation]] = {name: [] for name in (*makers, TABLE_8)}
    cases = (of_work_dir(given.work_dir, given.seeds) if given.work_dir is not None
             else of_features(given.features, given.splits))
    for name, seed, caches in cases:
        found = evaluate_gates(caches, method=method, gates=makers, seed=seed)
        found[TABLE_8] = evaluate(caches, method=method, gate=makers[BASELINE],
                                  protocol=replace(STRICT, seen_from="z_r"), seed=seed)
        for gate, evaluation in found.items():
            evaluations[gate].append(evaluation)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    zsl = mean_std([e.metrics["zsl_accuracy"] for e in evaluations[BASELINE]])
    content = (
        f"{len(evaluations[BASELINE])} cases, {len(caches.test.unseen_classes)} unseen classes. "
        "Percentages, mean ± standard deviation over cases. "
        f"ZSL accuracy {100 * zsl.mean:.1f} ± {100 * (zsl.std or 0):.1f}.\n\n"
        f"{table(evaluations)}\n"
    )
    print(content)
    if given.out is not None:
        put_section(given.out, given.section, content)


if __name__ == "__main__":
    main()
