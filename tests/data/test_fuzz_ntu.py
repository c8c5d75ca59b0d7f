"""Mutated NTU files and archives: a clear error, or what a plain parser reads.

``FUZZ_MUTATIONS`` sets how many files are mutated (300 when unset).
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers.ntu import NTUReader
from zskel.data.readers.ntu_text import parse_skeleton

COUNT = int(os.environ.get("FUZZ_MUTATIONS", "300"))
INTEGER = re.compile(rb"-?[0-9]+")
DECIMAL = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
STRAY = re.compile(rb"[^\t\x20-\x7e]")


# -- an independent parser -----------------------------------------------------


class Damage(Exception):
    """Carries the number of the damaged line, or None where it is the whole file."""


class Lines:
    def __init__(self, text: bytes) -> None:
        self.lines = text.split(b"\n")
        if not self.lines[-1]:
            self.lines.pop()
        self.number = 0

    def fields(self) -> list[bytes]:
        self.number += 1
        if self.number > len(self.lines):
            raise Damage(self.number)
        line = self.lines[self.number - 1].removesuffix(b"\r")
        self.demand(not STRAY.search(line))
        return line.split()

    def integer(self, field: bytes) -> int:
        self.demand(INTEGER.fullmatch(field))
        self.demand(abs(int(field)) < 2**63)
        return int(field)

    def count(self) -> int:
        fields = self.fields()
        self.demand(len(fields) == 1)
        value = self.integer(fields[0])
        self.demand(value >= 0)
        return value

    def coordinate(self, field: bytes) -> np.float32:
        self.demand(DECIMAL.fullmatch(field))
        with np.errstate(over="ignore"):
            value = np.float32(float(field))
        self.demand(np.isfinite(value))
        return value

    def demand(self, fine: object) -> None:
        if not fine:
            raise Damage(self.number)


def plain_parse(text: bytes) -> np.ndarray:
    lines = Lines(text)
    bodies: dict[int, dict[int, list]] = {}
    frames = lines.count()
    for frame in range(frames):
        for _ in range(lines.count()):
            fields = lines.fields()
            lines.demand(len(fields) == 10)
            body = bodies.setdefault(lines.integer(fields[0]), {})
            lines.demand(frame not in body)
            lines.demand(lines.count() == 25)
            joints = []
            for _ in range(25):
                fields = lines.fields()
                lines.demand(len(fields) == 12)
                joints.append([lines.coordinate(field) for field in fields[:3]])
            body[frame] = joints
    while lines.number < len(lines.lines):
        lines.demand(not lines.fields())
    if not bodies:
        raise Damage(None)
    keypoint = np.zeros((len(bodies), frames, 25, 3), np.float32)
    for row, body in enumerate(bodies.values()):
        for frame, joints in body.items():
            keypoint[row, frame] = joints
    return keypoint


def check(text: bytes) -> bool:
    """Compares both parsers; returns whether the text was accepted."""
    try:
        expected = plain_parse(text)
    except Damage as damage:
        with pytest.raises(ClipError) as caught:
            parse_skeleton(text, "clip")
        message = str(caught.value)
        assert message.startswith("clip: ") and message.isprintable() and len(message) < 250
        # An impossible count is reported at once, not where the file ends for it.
        if "announced" not in message:
            line = re.match(r"clip: line (\d+): ", message)
            assert (int(line[1]) if line else None) == damage.args[0], message
        return False
    keypoint = parse_skeleton(text, "clip").keypoint
    assert keypoint.shape == expected.shape
    np.testing.assert_array_equal(keypoint.view(np.uint32), expected.view(np.uint32))
    return True


# -- valid files and mutations -------------------------------------------------


def valid_text(rng: np.random.Generator) -> bytes:
    newline = [b"\n", b"\r\n"][rng.integers(2)]
    ids = 2**56 + rng.permutation(9)[:3]
    lines = [b"%d" % (frames := rng.integers(1, 5))]
    for frame in range(frames):
        present = rng.permutation(ids)[: rng.integers(frame == 0, 4)]
        lines.append(b"%d" % len(present))
        for body in present:
            lines += [b"%d 0 1 1 1 1 0 %.7g -0.5 2" % (body, rng.normal()), b"25"]
            for x in rng.normal(size=(25, 11)).tolist():
                lines.append(b" ".join(b"%.7g" % value for value in x) + b" 2")
    return newline.join([*lines, b""])


def on_line(change: Callable) -> Callable:
    def mutate(text: bytes, rng: np.random.Generator) -> bytes:
        lines = text.split(b"\n")
        # Count and body lines are few, so they are picked as often as joints.
        kinds = [[i for i, line in enumerate(lines) if line.count(b" ") == n] for n in (0, 9, 11)]
        kinds = [kind for kind in kinds if kind]
        index = rng.choice(kinds[rng.integers(len(kinds))])
        lines[index : index + 1] = change(lines[index], rng)
        return b"\n".join(lines)

    return mutate


def on_field(change: Callable) -> Callable:
    def mutate(line: bytes, rng: np.random.Generator) -> list[bytes]:
        fields = line.split(b" ")
        index = rng.integers(min(len(fields), 4 if rng.random() < 0.8 else 12))
        fields[index : index + 1] = change(fields[index], rng)
        return [b" ".join(fields)]

    return on_line(mutate)


TOKENS = b"""
    nan NaN -nan inf -Infinity 1.#IND abc \xd9\xa3 0x1f 1_000 1,5 --1 + . - e5 1e 1e+
    -0 +3 007 1. .5 1E2 -1 -25 24 26 2147483648 9223372036854775807 99999999999999999999
    1e39 1e400 -1e-400 3.4028236e38 1e22 1e23 5e-324 0.000000000000000000000001
    0.1234567890123456789 123456789012345678 9007199254740993 72057594037927936
    123456789012345678e22
""".split()


def token(rng: np.random.Generator) -> bytes:
    return TOKENS[rng.integers(len(TOKENS))]


def flip(text: bytes, rng: np.random.Generator) -> bytes:
    content = bytearray(text)
    for _ in range(rng.integers(1, 4)):
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def splice(text: bytes, rng: np.random.Generator) -> bytes:
    start, stop = np.sort(rng.integers(0, len(text) + 1, 2))
    at = rng.integers(len(text) + 1)
    return text[:at] + text[start:stop] + text[at + rng.integers(3) :]


MUTATIONS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "nothing": lambda text, rng: text,
    "truncation": lambda text, rng: text[: rng.integers(len(text))],
    "byte flips": flip,
    "a stray byte": lambda text, rng: text[: (at := rng.integers(len(text) + 1))]
    + rng.bytes(1) + text[at:],
    "binary junk": lambda text, rng: rng.bytes(rng.integers(2000)),
    "more at the end": lambda text, rng: text
    + [b"\n\r\n \t", b"0\n", b"\0", b"x"][rng.integers(4)],
    "spliced": splice,
    "line ends mixed": lambda text, rng: text.replace(b"\r\n", b"\n").replace(
        b"\n", b"\r\n", rng.integers(20)
    ),
    "a cr too many": lambda text, rng: text.replace(b"\n", b"\r\n", rng.integers(20)),
    "lone cr": lambda text, rng: text.replace(b"\n", b"\r", rng.integers(20)),
    "other blanks": lambda text, rng: text.replace(
        b" ", [b"\t", b"  ", b" \t ", b"\x0b", b"\xa0"][rng.integers(5)], rng.integers(200)
    ),
    "a field inserted": on_field(lambda field, rng: [field, token(rng)]),
    "a field replaced": on_field(lambda field, rng: [token(rng)]),
    "a field cut": on_field(lambda field, rng: [field[: rng.integers(len(field) + 1)]]),
    "a field removed": on_field(lambda field, rng: []),
    "a huge count": on_line(lambda line, rng: [b"%d" % 10 ** rng.integers(2, 40)]),
    "a negative count": on_line(lambda line, rng: [b"-%d" % rng.integers(1, 30)]),
    "another count": on_line(lambda line, rng: [b"%d" % rng.integers(0, 40)]),
    "a line removed": on_line(lambda line, rng: []),
    "a line repeated": on_line(lambda line, rng: [line, line]),
    "an empty line": on_line(lambda line, rng: [line, b""]),
}



@pytest.mark.parametrize("kind", MUTATIONS)
def test_mutated_text(kind):
    rng = np.random.default_rng(list(kind.encode()))
    taken = 0
    rounds = -(-COUNT // len(MUTATIONS))
    for _ in range(rounds):
        taken += check(MUTATIONS[kind](valid_text(rng), rng))
    if kind in ("nothing", "line ends mixed"):
        assert taken == rounds
    if kind in ("binary junk", "a negative count", "a huge count"):
        assert taken == 0


def test_nothing_at_all():
    assert not check(b"")


# -- archives ------------------------------------------------------------------


def test_mutated_archives(tmp_path: Path):
    rng = np.random.default_rng(7)
    path = tmp_path / "a.zip"
    outcomes = {"refused": 0, "damaged": 0, "read": 0}
    while sum(outcomes.values()) < max(COUNT // 5, 60):
        texts = [valid_text(rng) for _ in range(2)]
        names = [f"in/S001C001P001R001A{action:03d}.skeleton" for action in (1, 2)]
        method = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][rng.integers(2)]
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, text in zip(names, texts, strict=True):
                archive.writestr(name, text)
        content = bytearray(path.read_bytes())
        if rng.random() < 0.2:
            del content[rng.integers(len(content)) :]
        # Headers are a small part of an archive and the delicate one.
        start = content.find(b"PK\1\2") if rng.random() < 0.6 else 0
        for _ in range(rng.integers(0, 4)):
            if 0 <= start < len(content):
                content[rng.integers(start, len(content))] = rng.integers(256)
        path.write_bytes(content)
        # A file system may not tell two writes in quick succession apart.
        os.utime(path, ns=(0, sum(outcomes.values())))

        reader = NTUReader([path], "synthetic", 120)
        try:
            entries = reader.scan().entries
        except BadInput as error:
            assert str(error).isprintable()
            outcomes["refused"] += 1
            continue
        outcome = "damaged"
        for entry in entries:
            try:
                keypoint = reader.read(entry)
            except ClipError as error:
                assert str(error).isprintable()
                continue
            assert any(same(keypoint, text) for text in texts)
            outcome = "read"
        outcomes[outcome] += 1
    assert min(outcomes.values()) > 0, outcomes


def same(keypoint: np.ndarray, text: bytes) -> bool:
    try:
        return np.array_equal(plain_parse(text), keypoint)
    except Damage:
        return False
