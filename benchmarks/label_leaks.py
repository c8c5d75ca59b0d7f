"""PURLS and Neuron on real features, and what looking at test labels is worth to their releases.

    python benchmarks/label_leaks.py --splits 20 --method purls --method neuron --method ridge

Of the seven sets in ``../shared/data/features`` those with pooled parts: nine rows a clip,
six parts of the body and three thirds of the time. Odd subjects train, even ones test; ten
classes are unseen, drawn with the split's number. Text is the label in all-MiniLM-L6-v2,
for each of a method's texts the same, for the sets have no texts of parts. Both forms
are of the same fit: the honest one, and the one that knows each clip's class. Other methods
stand beside them with f_x of the same clips; differences are to the last one, paired.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from method_table import difference
from real_features import FOLDER, label_text
from seven_sets import DATASET, SETS

from zskel.pipeline.base.config import load_method_and_gate
from zskel.zsl.methods import METHODS

UNSEEN = 10
OPTIONS: dict[str, dict[str, int]] = {
    "purls": dict(epochs=30, hidden_dim=256),  # minutes, not hours
    "neuron": dict(epochs=15, prototypes=20)}
BODY, THIRDS = 6, 3
SHAPES: dict[str, dict[str, tuple[int, int]]] = {
    "purls": {"thirds_joints": (BODY + THIRDS, 256)},
    "neuron": {"joint_means": (BODY, 256), "frame_means": (THIRDS, 256)},
}


def read() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """f_x, parts ``[N, 9, 256]``, labels, subjects and class names, equal ones merged."""
    f_x, parts, label, subject = [], [], [], []
    names: list[str] = []
    for number, name in enumerate(SETS):
        with np.load(FOLDER / f"{name}_shift_gcn_ntu60.npz") as file:
            if "f_parts" not in file:
                continue
            own = [text.lower() for text in file["class_names"].tolist()]
            names += [text for text in own if text not in names]
            f_x.append(file["f_x"])
            parts.append(file["f_parts"].astype(np.float32))
            label.append(np.array([names.index(text) for text in own])[file["label"]])
            subject.append(file["subject"].astype(int) + 100 * number)
    return (np.concatenate(f_x), np.concatenate(parts), np.concatenate(label),
            np.concatenate(subject), tuple(names))


def accuracies(name: str, seed: int, data: Any, f_y: np.ndarray) -> tuple[float, float]:
    """ZSL accuracy of a split, honest and with the labels looked at, where a release does."""
    f_x, parts, label, subject, names = data
    unseen = np.sort(np.random.default_rng(seed).permutation(len(names))[:UNSEEN])
    odd, is_unseen = subject % 2 == 1, np.isin(label, unseen)
    train, test = odd & ~is_unseen, ~odd & is_unseen
    of_views = name in SHAPES
    options = dict(recipe="released", **OPTIONS[name]) if of_views else load_method_and_gate(
        name, DATASET)[0].options
    model = METHODS.build(name, **options, seed=seed)
    flat = parts.reshape(len(parts), -1) if of_views else f_x
    model.fit(flat[train], label[train],
              dict.fromkeys(model.text_parts, f_y) if of_views else f_y,
              seen_classes=np.unique(label[train]).tolist(),
              **(dict(view_shapes=SHAPES[name]) if of_views else {}))
    model.fit_unseen_classifier(unseen.tolist())
    found = [model.predict_proba(flat[test])]
    if of_views:
        found.append(model.proba_knowing(flat[test], label[test]))
    percent = [100 * float(np.mean(unseen[each.argmax(axis=1)] == label[test])) for each in found]
    return percent[0], percent[-1]


def main() -> None:
    """Prints a row a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--method", action="append", help="any that reads labels, for "
                        "comparison, beside the two [default: those]")
    arguments = parser.parse_args()
    data = read()
    f_y = label_text(data[4]).f_y
    names = arguments.method or list(SHAPES)
    found = {name: np.array([accuracies(name, seed, data, f_y)
                             for seed in range(arguments.splits)]) for name in names}
    print(f"{len(data[2])} clips, {len(data[4])} classes, {UNSEEN} unseen\n")
    print(f"| method | honest | Δ to `{names[-1]}` | labels looked at | gain |\n{'| --- ' * 5}|")
    for name, (honest, leaking) in ((name, rows.T) for name, rows in found.items()):
        last = found[names[-1]][:, 0]
        less = "–" if name == names[-1] else difference(_by_split(honest), _by_split(last))
        leaks = [_said(leaking), _said(leaking - honest)] if name in SHAPES else ["–", "–"]
        print(f"| {' | '.join([name, _said(honest), less, *leaks])} |")


def _by_split(values: np.ndarray) -> dict[str, float]:
    return {str(split): float(value) for split, value in enumerate(values)}


def _said(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(values) > 1 else str(values[0])


if __name__ == "__main__":
    main()
