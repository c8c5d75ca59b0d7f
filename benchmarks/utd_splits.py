"""Methods and gates on random class splits of UTD-MHAD, every split with backbones of its own.

    python benchmarks/utd_splits.py --raw DIR --out docs/recommended.md

For each split 5 of the 27 classes, drawn with its number, are unseen and 5 more are
validation-unseen (as ``pipeline import npz --random-split`` draws them). ``pipeline
extract`` trains the demo's small ST-GCN for each phase, which takes one to two minutes of a
CPU core a split, and ``pipeline fit`` fits the methods with their configs' settings, protocol
``strict``, seed 0. What is in the work directories already is kept, so a stopped run
goes on. Set OMP_NUM_THREADS=1 on a busy machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from differences import put_section
from method_table import Row, by_gate, of_work_dir

from zskel.pipeline.base.config import Experiment, load_experiment
from zskel.pipeline.extract.extract import extract
from zskel.pipeline.fit.fit import fit
from zskel.zsl.statistics import mean_std

CLASSES, UNSEEN = 27, 5
METHODS = ("recommended", "ridge", "eszsl", "conse", "smie", "sa_dvae")
GATES = ("left_out_classes", "familiarity")
CONFIG = """\
_base_ = ["_base_/datasets/utd_mhad.py", "_base_/backbones/stgcn_tiny.py",
          "_base_/text/minilm_label.py", "_base_/methods/sa_dvae.py"]
name = "utd-mhad-random-{split}"
split = dict(name="random-{split}", unseen={unseen}, validation_seed={split})
"""


def experiment_of(split: int, work: Path) -> Experiment:
    """Draws the classes of a split and writes its config into the work directory."""
    drawn = np.random.default_rng(split).choice(CLASSES, UNSEEN, replace=False)
    work.mkdir(parents=True, exist_ok=True)
    config = work / "experiment.py"
    config.write_text(CONFIG.format(split=split, unseen=sorted(drawn.tolist())))
    return load_experiment(str(config))


def fit_split(raw: Path, split: int, folder: Path) -> tuple[float, list[Row]]:
    """Extracts and fits one split; the backbone's accuracy and what was measured."""
    work = folder / f"random-{split}"
    experiment = experiment_of(split, work)
    made = extract(experiment, [raw], work, workers=1, model_store=folder / "bank")
    assert made is not None and made.seen_test_accuracy is not None
    fit(experiment, work, [0], METHODS, GATES, keep_models=False)
    return made.seen_test_accuracy, [{**row, "split": str(split)} for row in of_work_dir(work)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raw", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--splits", type=int, default=10, help="how many; at least 2")
    parser.add_argument("--work-dirs", type=Path, default=Path("work_dirs/utd-splits"))
    parser.add_argument("--out", type=Path, help="Markdown file that gets the table")
    parser.add_argument("--section", default="utd-splits", help="name of its place there")
    given = parser.parse_args()

    rows: list[Row] = []
    accuracies = []
    for split in range(given.splits):
        accuracy, measured = fit_split(given.raw, split, given.work_dirs)
        accuracies.append(100 * accuracy)
        rows += measured
    of = mean_std(accuracies)
    print(f"seen classes of the other subjects, by the backbones' own heads: "
          f"{of.mean:.1f} ± {of.std or 0:.1f} % ({min(accuracies):.1f} to {max(accuracies):.1f})")
    content = by_gate(rows, "text_prototypes / left_out_classes / strict")
    print(content)
    if given.out is not None:
        put_section(given.out, given.section, content)


if __name__ == "__main__":
    main()
