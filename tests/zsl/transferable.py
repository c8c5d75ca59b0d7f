"""Made-up features whose semantics carry over from seen classes to unseen ones.

Every class is a verb with a noun; all verbs and nouns occur in seen classes,
the combinations of the unseen classes do not. Skeleton and text features are
different random images of the same hidden codes, so nothing but learning (or a
closed form) leads from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Transferable:
    """A zero-shot problem. Class ids are rows of ``f_y`` and of every part.

    Attributes:
        f_x: ``[N, D]`` training clips, of seen classes; not negative, as pooled
            features after a ReLU are.
        y: ``[N]``.
        f_x_masked: ``[N, D]``, the training clips with part of the motion gone.
        test_f_x, test_y: Test clips of all classes.
        f_y: ``[C, Dt]`` text features of the whole labels.
        parts: "verb" and "noun", each ``[C, Dt]``; classes that share a verb or
            a noun share the row. The first noun stands for "no noun".
        seen, unseen: Class ids, ascending.
    """

    f_x: np.ndarray
    y: np.ndarray
    f_x_masked: np.ndarray
    test_f_x: np.ndarray
    test_y: np.ndarray
    f_y: np.ndarray
    parts: dict[str, np.ndarray]
    seen: tuple[int, ...]
    unseen: tuple[int, ...]

    @property
    def unseen_test(self) -> tuple[np.ndarray, np.ndarray]:
        """Test clips of unseen classes, and their class ids."""
        rows = np.isin(self.test_y, self.unseen)
        return self.test_f_x[rows], self.test_y[rows]

    @property
    def chance(self) -> float:
        """ZSL accuracy of guessing."""
        return 1 / len(self.unseen)


def make(
    seed: int, *, verbs: int = 5, nouns: int = 5, clips: int = 16, f_x_dim: int = 32,
    text_dim: int = 24, noise: float = 0.4,
) -> Transferable:
    """Draws a problem of ``verbs * nouns`` classes.

    The unseen classes are ``min(verbs, nouns)``: one of each row and column of
    the table of verbs by nouns.

    Args:
        seed: Of every draw.
        verbs, nouns: How many there are.
        clips: Of each class, in training and again for testing.
        f_x_dim, text_dim: Widths.
        noise: Of single clips, against a spread of 1 between classes.
    """
    rng = np.random.default_rng(seed)
    code, classes = 6, verbs * nouns
    verb_codes, noun_codes = rng.normal(size=(verbs, code)), rng.normal(size=(nouns, code))
    verb, noun = np.divmod(np.arange(classes), nouns)
    meaning = np.hstack([verb_codes[verb], noun_codes[noun]])

    to_text = rng.normal(size=(2 * code, text_dim)) / np.sqrt(2 * code)
    f_y = meaning @ to_text + 0.05 * rng.normal(size=(classes, text_dim))
    parts = {
        "verb": (verb_codes @ rng.normal(size=(code, text_dim)))[verb],
        "noun": (noun_codes @ rng.normal(size=(code, text_dim)))[noun],
    }

    to_f_x = rng.normal(size=(2 * code, f_x_dim)) / np.sqrt(2 * code)
    styles = rng.normal(size=(4, f_x_dim))  # what clips differ in besides the class

    def record(y: np.ndarray, noise: float) -> np.ndarray:
        style = 0.5 * noise * rng.normal(size=(len(y), 4)) @ styles
        hidden = meaning[y] @ to_f_x + style + noise * rng.normal(size=(len(y), f_x_dim))
        return np.maximum(1 + hidden, 0).astype(np.float32)

    unseen = tuple(sorted(k * nouns + (k + 1) % nouns for k in range(min(verbs, nouns))))
    seen = tuple(sorted(set(range(classes)) - set(unseen)))
    y = rng.permutation(np.repeat(seen, clips))
    test_y = rng.permutation(np.repeat(np.arange(classes), clips))
    f_x = record(y, noise)
    masked = (f_x * (rng.random(f_x.shape) > 0.4)).astype(np.float32)
    return Transferable(
        f_x=f_x, y=y, f_x_masked=masked, test_f_x=record(test_y, noise), test_y=test_y,
        f_y=f_y.astype(np.float32),
        parts={name: part.astype(np.float32) for name, part in parts.items()},
        seen=seen, unseen=unseen,
    )
