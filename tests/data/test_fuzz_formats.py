"""Mutated PKU-MMD, json, mat and pickle files: a clear error, or what a plain reader gives.

``FUZZ_MUTATIONS`` sets how many inputs of each format are mutated (200 when unset).
"""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import pickle
import re
import resource
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.other_formats import (
    write_nw_ucla,
    write_pku_mmd,
    write_pose_pickle,
    write_utd_mhad,
)
from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers.ntu import NTUReader
from zskel.data.readers.nw_ucla import NWUCLAReader
from zskel.data.readers.pku_mmd import PKUMMDReader
from zskel.data.readers.pose_pickle import PosePickleReader
from zskel.data.readers.utd_mhad import UTDMHADReader
from zskel.data.synthetic import Settings, generate, write_ntu

COUNT = int(os.environ.get("FUZZ_MUTATIONS", "200"))
MAX_GROWTH = 600 << 20
DECIMAL = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
TOKENS = b"""
    nan NaN inf -Infinity 1.#IND abc \xd9\xa3 0x1f 1_000 --1 + . - e5 1e +3 007 1. .5 1E2 -1 -25
    0 2 3 10 19 21 51 52 2147483648 99999999999999999999 1e39 1e400 3.4028236e38 null true "1" [] {}
    0.1234567890123456789 123456789012345678e22 -999999999 4294967295 1e-400
""".split()


# -- mutations -----------------------------------------------------------------


def at_random(text: bytes, rng: np.random.Generator) -> int:
    # The start of a file, where its counts are, is hit more often than its share.
    end = len(text) if rng.random() < 0.7 else min(len(text), 400)
    return int(rng.integers(max(end, 1)))


def flip(text: bytes, rng: np.random.Generator) -> bytes:
    content = bytearray(text)
    for _ in range(rng.integers(1, 4)):
        content[at_random(text, rng)] ^= 1 << rng.integers(8)
    return bytes(content)


def huge(text: bytes, rng: np.random.Generator) -> bytes:
    """Puts a huge or a negative number over a few bytes."""
    at = at_random(text, rng)
    number = [b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8, b"\0\0\1\0"]
    found = number[rng.integers(len(number))]
    return text[:at] + found + text[at + len(found) :]


def change_field(text: bytes, rng: np.random.Generator) -> bytes:
    """Replaces, doubles or removes one number of a text."""
    fields = list(re.finditer(rb"[-+.0-9eE]+", text[:20000]))
    if not fields:
        return text
    field = fields[rng.integers(len(fields))]
    token = TOKENS[rng.integers(len(TOKENS))]
    new = [token, b"", field[0] + b" " + token, field[0] + b"," + token][rng.integers(4)]
    return text[: field.start()] + new + text[field.end() :]


def splice(text: bytes, rng: np.random.Generator) -> bytes:
    start = at_random(text, rng)
    stop = start + int(rng.integers(1, 300))
    at = at_random(text, rng)
    return text[:at] + text[start:stop] + text[at + rng.integers(3) :]


def change_line(text: bytes, rng: np.random.Generator) -> bytes:
    lines = text.split(b"\n")
    index = int(rng.integers(len(lines)))
    new = [[], [lines[index]] * 2, [b""], [lines[index], b"  "], [lines[index] + b"\r"]]
    lines[index : index + 1] = new[rng.integers(5)]
    return b"\n".join(lines)


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    lambda text, rng: text,
    lambda text, rng: text[: at_random(text, rng)],
    lambda text, rng: b"",
    lambda text, rng: rng.bytes(rng.integers(2000)),
    lambda text, rng: text + rng.bytes(rng.integers(1, 20)),
    lambda text, rng: text + [b"\n\n", b" \r\n", b"0", b"\0"][rng.integers(4)],
    flip, flip, huge, huge, splice, splice, change_field, change_field, change_field, change_line,
)


def mutate(text: bytes, rng: np.random.Generator) -> bytes:
    return MUTATIONS[rng.integers(len(MUTATIONS))](text, rng)


class Tally(dict):
    """Outcomes by name; a format whose fuzz knows one outcome only proves nothing."""

    def add(self, outcome: str) -> None:
        self[outcome] = self.get(outcome, 0) + 1


def clear(error: BadInput) -> None:
    message = str(error)
    assert message.isprintable() and 0 < len(message) < 500, message


@pytest.fixture(autouse=True)
def bounded_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MAX_GROWTH


RECORDINGS = list(generate(Settings(
    performers=1, cameras=1, frames=(16, 18), actions=("jump up", "two people wave at each other"),
)))


def write(path: Path, content: bytes, stamp: int) -> None:
    path.write_bytes(content)
    # Readers cache by time and size, which two writes in quick succession may share.
    os.utime(path, ns=(0, stamp))


# -- PKU-MMD -------------------------------------------------------------------


def plain_pku(text: bytes) -> np.ndarray | None:
    lines = text.rstrip(b" \t\r\n").split(b"\n")
    rows = []
    for line in lines:
        line = line.removesuffix(b"\r")
        fields = line.split()
        if len(fields) != 150 or re.search(rb"[^\t\x20-\x7e]", line):
            return None
        if not all(DECIMAL.fullmatch(field) for field in fields):
            return None
        with np.errstate(over="ignore"):
            rows.append([np.float32(float(field)) for field in fields])
    if re.search(rb"[^\t\x20-\x7e\r\n]|\r(?!\n|\Z)", text[len(text.rstrip(b" \t\r\n")) :]):
        return None
    values = np.asarray(rows, np.float32).reshape(-1, 2, 25, 3)
    return values.transpose(1, 0, 2, 3) if np.isfinite(values).all() else None


def plain_labels(text: bytes, frames: int) -> list[tuple[str, int, tuple[int, int]]]:
    found = []
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(), start=1):
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 4 or not all(re.fullmatch("[0-9]{1,9}", f) for f in fields[:3]):
            continue
        action, start, end = map(int, fields[:3])
        if 1 <= action <= 51 and start < min(end, frames):
            found.append((f"P1-0001-L-{number:03d}", action - 1, (start, min(end, frames))))
    return found


def test_mutated_pku_mmd(tmp_path):
    rng = np.random.default_rng(1)
    write_pku_mmd(RECORDINGS, tmp_path, train_subjects=(1,))
    skeleton = tmp_path / "Data/Skeleton/0001-L.txt"
    label = tmp_path / "Label/Train_Label_PKU_final/0001-L.txt"
    split = tmp_path / "Split/cross-subject.txt"
    # Of the 150 fields of a line a few frames are enough, and quicker.
    files = {skeleton: b"".join(skeleton.read_bytes().splitlines(True)[:8]),
             label: b"10,0,4,2\n3,2,8,1\n7,6,20,2\n", split: split.read_bytes()}
    reader, tally = PKUMMDReader([tmp_path]), Tally()
    for number in range(COUNT):
        for path, content in files.items():
            write(path, content, number)
        which = [skeleton, skeleton, label, split][rng.integers(4)]
        mutated = mutate(files[which], rng)
        write(which, mutated, number)
        try:
            scan = reader.scan()
        except BadInput as error:
            clear(error)
            tally.add("refused")
            assert which == split
            continue
        text = mutated if which == skeleton else files[skeleton]
        frames = len(stripped.split(b"\n")) if (stripped := text.rstrip(b" \t\r\n")) else 0
        if which != split:
            lines = mutated if which == label else files[label]
            expected = plain_labels(lines, frames)
            assert [(e.sample_id, e.label, e.span) for e in scan.entries] == sorted(expected)
        assert all(skip.name.isprintable() and skip.reason.isprintable() for skip in scan.skipped)
        assert scan.entries or scan.skipped or which == label
        reference = plain_pku(text)
        for entry in scan.entries:
            clip = None if reference is None else reference[:, entry.span[0] : entry.span[1]]
            try:
                found = reader.read(entry)
            except ClipError as error:
                clear(error)
                assert clip is None or not clip.any(), error
                tally.add("damaged")
                continue
            np.testing.assert_array_equal(found, clip[clip.any(axis=(1, 2, 3))])
            tally.add("read")
    assert len(tally) == 3, tally


# -- NW-UCLA -------------------------------------------------------------------


def plain_json(text: bytes) -> np.ndarray | None:
    try:
        frames = json.loads(text.decode())["skeletons"]
        values = np.zeros((len(frames), 20, 3), np.float32)
        for t, frame in enumerate(frames):
            for j, joint in zip(range(20), frame, strict=True):
                for c, value in zip(range(3), joint, strict=True):
                    assert type(value) in (int, float) and math.isfinite(value)
                    with np.errstate(over="ignore"):
                        values[t, j, c] = value
    except (ValueError, TypeError, KeyError, AssertionError, OverflowError):
        return None
    return values if len(values) and np.isfinite(values).all() and values.any() else None


def test_mutated_nw_ucla(tmp_path):
    rng = np.random.default_rng(2)
    write_nw_ucla(RECORDINGS[:1], tmp_path)
    path = next(tmp_path.glob("*.json"))
    content = json.loads(path.read_bytes())
    content["skeletons"] = content["skeletons"][:4]
    text = json.dumps({key: content[key] for key in ("label", "file_name", "skeletons")}).encode()
    reader, tally = NWUCLAReader([tmp_path]), Tally()
    for number in range(COUNT):
        mutated = mutate(text, rng)
        write(path, mutated, number)
        scan = reader.scan()
        assert len(scan.entries) + len(scan.skipped) == 1
        if scan.skipped:
            assert scan.skipped[0].reason.isprintable()
            tally.add("skipped")
            continue
        expected = plain_json(mutated)
        try:
            found = reader.read(scan.entries[0])
        except ClipError as error:
            clear(error)
            # A second key of one name is refused, which json's own reader is not.
            assert expected is None or "twice" in str(error) or "label" in str(error), error
            tally.add("damaged")
            continue
        np.testing.assert_array_equal(found[0, :, 3], expected[:, 3])
        np.testing.assert_array_equal(found[0, :, 4:20], expected[:, 4:20])
        tally.add("read")
    assert len(tally) == 3, tally


# -- UTD-MHAD ------------------------------------------------------------------


def plain_mat(content: bytes) -> np.ndarray:
    """One variable of doubles in a little-endian file; IndexError and such for others."""
    kind, size = struct.unpack_from("<II", content, 128)
    body = content[136 : 136 + size]
    if kind == 15:
        body = zlib.decompress(body)[8:]
    parts, at = [], 0
    while at < len(body) and len(parts) < 4:
        kind, size = struct.unpack_from("<II", body, at)
        if kind >> 16:  # a small element: its size is in the upper half, its data follow at once
            parts.append((kind & 0xFFFF, body[at + 4 : at + 4 + (kind >> 16)]))
            at += 8
        else:
            parts.append((kind, body[at + 8 : at + 8 + size]))
            at += 8 + -(-size // 8) * 8
    shape = struct.unpack("<3i", parts[1][1])
    form = {9: "<f8", 7: "<f4", 1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4",
            12: "<i8", 13: "<u8"}[parts[3][0]]
    return np.frombuffer(parts[3][1], form).reshape(shape, order="F")


@pytest.mark.parametrize("compress", [False, True])
def test_mutated_utd_mhad(tmp_path, compress):
    rng = np.random.default_rng(3)
    path = write_utd_mhad(RECORDINGS[:1], tmp_path, compress)[0]
    content = path.read_bytes()
    reader, tally = UTDMHADReader([tmp_path]), Tally()
    for number in range(-(-COUNT // 2)):
        mutated = mutate(content, rng)
        if compress and rng.random() < 0.5:  # mutate what is compressed, not the archive
            inside = mutate(zlib.decompress(content[136:]), rng)
            packed = zlib.compress(inside)
            mutated = content[:128] + struct.pack("<II", 15, len(packed)) + packed
        write(path, mutated, number)
        try:
            found = reader.read(reader.scan().entries[0])
        except ClipError as error:
            clear(error)
            tally.add("damaged")
            continue
        with np.errstate(over="ignore"):
            expected = plain_mat(mutated).transpose(2, 0, 1).astype(np.float32)
        np.testing.assert_array_equal(found[0, :, 3], expected[:, 0])
        np.testing.assert_array_equal(found[0, :, 4:20], expected[:, 4:])
        tally.add("read")
    assert len(tally) == 2, tally


# -- the neutral pickle --------------------------------------------------------


def test_mutated_pickle(tmp_path):
    rng = np.random.default_rng(4)
    path = tmp_path / "poses.pkl"
    contents = []
    for protocol in range(6):
        write_pose_pickle(RECORDINGS, path, protocol=protocol)
        contents.append(path.read_bytes())
    reader, tally = PosePickleReader([path], "synthetic"), Tally()
    for number in range(COUNT):
        mutated = mutate(contents[rng.integers(6)], rng)
        write(path, mutated, number)
        try:
            scan = reader.scan()
        except BadInput as error:
            clear(error)
            tally.add("refused")
            continue
        # What the restricted loader has taken is harmless for the plain one too.
        listed = pickle.loads(mutated)["annotations"]
        named = {}
        for item in listed:
            if type(item) is dict and isinstance(item.get("frame_dir"), str):
                named.setdefault(item["frame_dir"], item)
        assert len(scan.entries) + len(scan.skipped) == len(listed)
        for entry in scan.entries:
            expected = named[entry.sample_id]
            assert expected["label"] == entry.label
            try:
                found = reader.read(entry)
            except ClipError as error:
                clear(error)
                tally.add("damaged")
                continue
            clip = expected["keypoint"].astype(np.float32)
            np.testing.assert_array_equal(found, clip[clip.any(axis=(1, 2, 3))])
            tally.add("read")
        if not scan.entries:
            tally.add("skipped")
    assert tally["read"] and tally["refused"], tally


# -- NTU as arrays and in tar archives -----------------------------------------


def np_saved(save: Callable[..., None], *arrays: object, **named: object) -> bytes:
    handle = io.BytesIO()
    save(handle, *arrays, **named)
    return handle.getvalue()


def test_mutated_ntu_arrays_and_archives(tmp_path):
    """Whatever is damaged: one clear line, or finite coordinates of some bodies."""
    rng = np.random.default_rng(5)
    name = "S031C001P001R001A035"
    text = write_ntu(RECORDINGS[:1], tmp_path / "text")[0].read_bytes()[:20000]
    body = rng.normal(size=(4, 25, 3))
    x = rng.normal(size=(3, 4, 150)).astype(np.float32)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in (1, 2):
            info = tarfile.TarInfo(f"S031C001P001R001A{number:03d}.skeleton")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    labels = pickle.dumps(([f"S031C001P001R001A{n:03d}" for n in (1, 2, 3)], [0, 1, 2]))
    joints = np_saved(np.save, x.reshape(3, 4, 2, 25, 3).transpose(0, 4, 1, 3, 2).copy())
    forms: list[dict[str, bytes]] = [
        {"a.tar": packed.getvalue()},
        {"a.tar.gz": gzip.compress(packed.getvalue())},
        {f"{name}.skeleton.gz": gzip.compress(text)},
        {f"{name}.skeleton.npy": np_saved(np.save, np.array({"skel_body0": body}))},
        {"NTU60_CS.npz": np_saved(np.savez, x_train=x, y_train=np.eye(60)[:3])},
        {"NTU60_CS.npz": np_saved(np.savez_compressed, x_train=x, y_train=np.arange(3))},
        {"val_data.npy": joints, "val_label.pkl": labels},
        {"val_label.pkl": labels, "val_data.npy": joints},
    ]
    tally = Tally()
    for number in range(2 * COUNT):
        form = forms[number % len(forms)]
        first, *_ = form
        folder = tmp_path / f"{number % len(forms)}"
        folder.mkdir(exist_ok=True)
        for file, content in form.items():
            write(folder / file, mutate(content, rng) if file == first else content, number)
        source = folder if number % 3 == 0 or "val_data.npy" in form else folder / first
        reader = NTUReader([source], "synthetic", 40)
        try:
            scan = reader.scan()
        except BadInput as error:
            clear(error)
            tally.add("refused")
            continue
        assert all(skip.name.isprintable() and skip.reason.isprintable() for skip in scan.skipped)
        for entry in scan.entries:
            try:
                clip = reader.read(entry)
            except BadInput as error:
                clear(error)
                tally.add("damaged")
                continue
            assert clip.shape[2:] == (25, 3) and np.isfinite(clip).all() and clip.any()
            tally.add("read")
    assert len(tally) == 3, tally
