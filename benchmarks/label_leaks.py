"""What looking at test labels is worth to the released PURLS and Neuron, on real features.

    python benchmarks/label_leaks.py --splits 20

Of the seven sets in ``../shared/data/features`` those with pooled parts: nine rows a clip,
six parts of the body and three thirds of the time. Odd subjects train, even ones test; ten
classes are unseen, drawn with the split's number. Text is the label in all-MiniLM-L6-v2,
for each of a method's texts the same, for the sets have no texts of parts. Both forms
are of the same fit: the honest one, and the one that knows each clip's class.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from real_features import FOLDER, label_text
from seven_sets import SETS

from zskel.zsl.methods import METHODS

UNSEEN = 10
OPTIONS: dict[str, dict[str, int]] = {
    "purls": dict(epochs=30, hidden_dim=256), "neuron": dict(epochs=30)}  # minutes, not hours
BODY, THIRDS = 6, 3
SHAPES: dict[str, dict[str, tuple[int, int]]] = {
    "purls": {"thirds_joints": (BODY + THIRDS, 256)},
    "neuron": {"joint_means": (BODY, 256), "frame_means": (THIRDS, 256)},
}


def read() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Parts ``[N, 9, 256]``, labels, subjects and class names, equal ones merged."""
    parts, label, subject = [], [], []
    names: list[str] = []
    for number, name in enumerate(SETS):
        with np.load(FOLDER / f"{name}_shift_gcn_ntu60.npz") as file:
            if "f_parts" not in file:
                continue
            own = [text.lower() for text in file["class_names"].tolist()]
            names += [text for text in own if text not in names]
            parts.append(file["f_parts"].astype(np.float32))
            label.append(np.array([names.index(text) for text in own])[file["label"]])
            subject.append(file["subject"].astype(int) + 100 * number)
    return np.concatenate(parts), np.concatenate(label), np.concatenate(subject), tuple(names)


def accuracies(name: str, seed: int, data: Any, f_y: np.ndarray) -> tuple[float, float]:
    """ZSL accuracy of a split, honest and with the labels looked at."""
    parts, label, subject, names = data
    unseen = np.sort(np.random.default_rng(seed).permutation(len(names))[:UNSEEN])
    odd, is_unseen = subject % 2 == 1, np.isin(label, unseen)
    train, test = odd & ~is_unseen, ~odd & is_unseen
    model = METHODS.build(name, recipe="released", **OPTIONS[name], seed=seed)
    flat = parts.reshape(len(parts), -1)
    model.fit(flat[train], label[train], dict.fromkeys(model.text_parts, f_y),
              seen_classes=np.unique(label[train]).tolist(), view_shapes=SHAPES[name])
    model.fit_unseen_classifier(unseen.tolist())
    found = (model.predict_proba(flat[test]), model.proba_knowing(flat[test], label[test]))
    honest, leaking = (100 * float(np.mean(unseen[each.argmax(axis=1)] == label[test]))
                       for each in found)
    return honest, leaking


def main() -> None:
    """Prints a row a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--method", action="append", choices=tuple(SHAPES))
    arguments = parser.parse_args()
    data = read()
    f_y = label_text(data[3]).f_y
    print(f"{len(data[1])} clips, {len(data[3])} classes, {UNSEEN} unseen\n")
    print("| method | honest | labels looked at | gain |\n| --- | --- | --- | --- |")
    for name in arguments.method or SHAPES:
        rows = np.array([accuracies(name, seed, data, f_y) for seed in range(arguments.splits)])
        gain = rows[:, 1] - rows[:, 0]
        print(f"| {name} | {_said(rows[:, 0])} | {_said(rows[:, 1])} | {_said(gain)} |", flush=True)


def _said(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(values) > 1 else str(values[0])


if __name__ == "__main__":
    main()
