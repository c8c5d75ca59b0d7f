"""UTD-MHAD's MATLAB files: read as scipy does, and safely where scipy does not."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers.mat5 import read_array
from zskel.data.readers.utd_mhad import UTDMHADReader

REAL = Path(__file__).resolve().parents[2] / "../shared/data/utd-mhad"
CLIP = np.random.default_rng(0).normal(size=(20, 3, 5))


def saved(compress: bool = False, **variables) -> bytes:
    handle = BytesIO()
    savemat(handle, variables, do_compression=compress)
    return handle.getvalue()


def read(folder: Path, content: bytes) -> np.ndarray:
    (folder / "a1_s2_t3_skeleton.mat").write_bytes(content)
    reader = UTDMHADReader([folder])
    return reader.read(reader.scan().entries[0])


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings are not here")
def test_real_files_are_read_as_scipy_reads_them():
    paths = sorted(REAL.glob("*.mat"))
    for path in paths[::20]:
        expected = loadmat(path)["d_skel"]
        np.testing.assert_array_equal(read_array(path.read_bytes(), "d_skel", "x"), expected)
    assert len(UTDMHADReader([REAL]).scan().entries) == len(paths) == 861


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_types(compress, kind):
    values = (CLIP * 20).astype(kind)
    content = saved(compress, before="text", d_skel=values, after=np.zeros(3))
    np.testing.assert_array_equal(read_array(content, "d_skel", "x"), values.astype("f8"))


def test_small_elements_and_big_endian():
    for content in (saved(x=np.uint8([[1, 2]])), saved(ab=np.zeros((0, 3)), x=np.uint8([[1, 2]]))):
        assert read_array(content, "x", "clip").tolist() == [[1, 2]]
    big = b"".join([
        b" " * 124, b"\1\0MI", struct.pack(">II", 14, 16 + 16 + 8 + 24),
        struct.pack(">IIII", 6, 8, 6, 0), struct.pack(">IIii", 5, 8, 2, 1),
        struct.pack(">I4s", 1 << 16 | 1, b"x\0\0\0"), struct.pack(">IIdd", 9, 16, 0.5, -2.0),
    ])
    assert read_array(big, "x", "clip").tolist() == [[0.5], [-2.0]]


def test_clip_and_identity(tmp_path):
    assert read(tmp_path, saved(d_skel=CLIP)).shape == (1, 5, 25, 3)
    assert read(tmp_path, saved(d_skel=CLIP[:, :, 0])).shape == (1, 1, 25, 3)
    (entry,) = UTDMHADReader([tmp_path]).scan().entries
    assert (entry.sample_id, entry.label, entry.subject, entry.replication) == ("a1_s2_t3", 0, 2, 3)


@pytest.mark.parametrize(("variables", "reason"), [
    ({"other": CLIP}, "has no variable 'd_skel'"),
    ({"d_skel": CLIP[:19]}, r"of shape \(19, 3, 5\)"),
    ({"d_skel": CLIP[:, :, :0]}, r"of shape \(20, 3, 0\)"),
    ({"d_skel": "text"}, "no array of real numbers"),
    ({"d_skel": np.array([[CLIP]], object)}, "no array of real numbers"),
    ({"d_skel": {"a": CLIP}}, "no array of real numbers"),
    ({"d_skel": CLIP * 1j}, "no array of real numbers"),
    ({"d_skel": CLIP * np.nan}, "not finite"),
    ({"d_skel": CLIP * 1e39}, "not finite"),
    ({"d_skel": CLIP * 0}, "no body in any of its 5 frames"),
])
def test_wrong_variables(tmp_path, variables, reason):
    for compress in (False, True):
        with pytest.raises(ClipError, match=reason):
            read(tmp_path, saved(compress, **variables))


def test_the_same_variable_twice():
    content = saved(d_skel=CLIP)
    with pytest.raises(ClipError, match="has two variables 'd_skel'"):
        read_array(content + content[128:], "d_skel", "clip")


def patched(at: int, *values: int) -> bytes:
    content = bytearray(saved(d_skel=CLIP))
    struct.pack_into(f"<{len(values)}I", content, at, *values)
    return bytes(content)


BOMB = zlib.compress(struct.pack("<II", 14, 1 << 29) + bytes(64 << 20))


@pytest.mark.parametrize("content", [
    b"", b"MATLAB 5.0", saved(d_skel=CLIP)[:-9], saved(True, d_skel=CLIP)[:-9],
    patched(128, 14, 2**32 - 1),  # the size of the variable
    patched(128, 9),  # its type
    patched(160, 2**31 - 1, 2**31 - 1, 2**31 - 1),  # its shape
    patched(160, 2**32 - 20, 2**32 - 3, 5),
    patched(192, 9, 2**32 - 8),  # the size of its numbers
    patched(192, 200),  # and their type: what scipy crashes at
    saved(d_skel=CLIP)[:128] + struct.pack("<II", 15, len(BOMB)) + BOMB,
])
def test_damaged_files(content):
    tracemalloc.start()
    with pytest.raises(ClipError) as caught:
        read_array(content, "d_skel", "clip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith("clip: ") and str(caught.value).isprintable()
    assert peak < 40 << 20


def test_sources(tmp_path):
    with pytest.raises(BadInput, match="no such file or folder"):
        UTDMHADReader([tmp_path / "none"]).scan()
    with pytest.raises(BadInput, match="no file called aA_sS_tT_skeleton.mat"):
        UTDMHADReader([tmp_path]).scan()
    for name in ("a28_s1_t1_skeleton", "a1_s1_t1_skeleton", "a01_s1_t1_skeleton", "x"):
        (tmp_path / f"{name}.mat").write_bytes(b"")
    scan = UTDMHADReader([tmp_path]).scan()
    assert len(scan.entries) == 1 and len(scan.skipped) == 3
