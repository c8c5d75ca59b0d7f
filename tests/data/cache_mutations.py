"""Mutates a cache or a store again and again and reads it; run by ``test_fuzz_caches``.

``python cache_mutations.py FILE KIND COUNT SEED`` prints the number of each mutation
before it is read, so that a crash of the interpreter leaves its number behind, and at the end
one line of JSON: outcome -> how often.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np

from zskel.data.caches import read_skeleton_features, read_text_features
from zskel.data.common.errors import BadCache
from zskel.data.store import SequenceStore

IDENTITY = ("path", "_file", "_keypoint", "_owner")


def content_of(kind: str, path: Path) -> dict[str, object]:
    """Everything that a reader gives, by name."""
    if kind == "store":
        store = SequenceStore(path)
        clips = {f"clip {index}": store.keypoint(index) for index in range(len(store))}
        return {**{k: v for k, v in vars(store).items() if k not in IDENTITY}, **clips}
    features = {"skeleton": read_skeleton_features, "text": read_text_features}[kind](path)
    return {field.name: getattr(features, field.name) for field in fields(features)}


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    return type(one) is type(other) and one == other


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed)


def flip_early(content: bytes, rng: np.random.Generator) -> bytes:
    """Where the checksum and HDF5's own headers are."""
    changed = bytearray(content)
    changed[rng.integers(min(2048, len(changed)))] = rng.integers(256)
    return bytes(changed)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content))]


def wipe(content: bytes, rng: np.random.Generator) -> bytes:
    """A sector of zeros, as after a power cut."""
    start = 512 * int(rng.integers(-(-len(content) // 512)))
    return content[:start] + bytes(len(content[start : start + 512])) + content[start + 512 :]


def splice(content: bytes, rng: np.random.Generator) -> bytes:
    start, at = rng.integers(len(content), size=2)
    return content[:at] + content[start : start + int(rng.integers(1, 300))] + content[at:]


def append(content: bytes, rng: np.random.Generator) -> bytes:
    return content + rng.bytes(rng.integers(1, 600))


KINDS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    flip, flip, flip, flip, flip_early, flip_early, cut, cut, wipe, splice, append,
    lambda content, rng: content,
)


def main(source: Path, kind: str, count: int, seed: int) -> None:
    whole = source.read_bytes()
    expected = content_of(kind, source)
    mutant = source.with_name("mutant.h5")
    rng, tally = np.random.default_rng(seed), Counter()
    for number in range(count):
        mutation = KINDS[rng.integers(len(KINDS))]
        mutant.write_bytes(mutation(whole, rng))
        print(number, mutation.__name__, flush=True)
        try:
            found = content_of(kind, mutant)
        except BadCache as error:
            message = str(error)
            assert message.startswith(f"{mutant}: ") and "\n" not in message, message
            tally["refused"] += 1
            continue
        wrong = [name for name in expected.keys() | found.keys()
                 if not same(expected.get(name), found.get(name))]
        tally["wrong" if wrong else "equal"] += 1
        if wrong:
            print(f"wrong: {wrong}", flush=True)
            os.link(mutant, source.with_name(f"wrong-{seed}-{number}.h5"))
    print(json.dumps(tally))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
