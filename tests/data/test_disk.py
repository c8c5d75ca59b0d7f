"""What libraries make of a refused write becomes one error with a number and a name."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from zskel.data.common.files import atomic_path, remove_left_behind
from zskel.data.common.hdf5 import NewFile, new_hdf5
from zskel.data.common.interrupts import deferred_signals
from zskel.data.common.os_errors import cannot_write, described, naming, raise_refusal, refusal

LIMIT = 100_000
NOISE = np.random.default_rng(0).normal(size=100_000)


@contextmanager
def atomic_hdf5(path: Path) -> Iterator[NewFile]:
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        yield file


def write_hdf5(path: Path) -> None:
    with atomic_hdf5(path) as file:
        file["x"] = NOISE
        file.attrs["what"] = "x" * 500


def write_hdf5_in_small_parts(path: Path) -> None:
    with atomic_hdf5(path) as file:
        for number in range(500):
            file[f"x{number}"] = NOISE[:200]


def write_hdf5_in_chunks(path: Path) -> None:
    with atomic_hdf5(path) as file:
        rows = file.create_dataset("x", (0, 10), "f8", maxshape=(None, 10), chunks=(50, 10))
        for start in range(0, 10_000, 500):
            rows.resize(start + 500, axis=0)
            rows[start:] = NOISE[start * 10:(start + 500) * 10].reshape(500, 10)


def write_npy(path: Path) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.save(handle, NOISE)


def write_npz(path: Path) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, x=NOISE)


def write_checkpoint(path: Path) -> None:
    import torch

    with atomic_path(path) as temporary:
        torch.save({"x": torch.from_numpy(NOISE)}, temporary)


def write_safetensors(path: Path) -> None:
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        save_file({"x": NOISE}, temporary)


def write_text(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("x" * 2 * LIMIT)


def write_png(path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 12))
    figure.subplots().imshow(NOISE[:90_000].reshape(300, 300))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def write_gif(path: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray((NOISE[:90_000].reshape(300, 300) * 50).astype("uint8"))] * 5
    with atomic_path(path) as temporary:
        pictures[0].save(temporary, format="GIF", save_all=True, append_images=pictures[1:])


def copy(path: Path) -> None:
    import shutil

    source = path.with_name("source")
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)


WRITERS = (write_hdf5, write_hdf5_in_small_parts, write_hdf5_in_chunks, write_npy, write_npz,
           write_checkpoint, write_safetensors, write_text, write_png, write_gif, copy)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No file can become longer than ``LIMIT``, whoever writes it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", WRITERS)
def test_a_refused_write_has_a_number_and_a_name_and_leaves_nothing(
    write: Callable[[Path], None], tmp_path: Path, request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "source").write_bytes(bytes(2 * LIMIT))
    request.getfixturevalue("small_files")
    path = tmp_path / "made"
    with pytest.raises(OSError, match="made") as caught:
        write(path)
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["source"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("write", WRITERS[:3])
def test_hdf5_that_is_written_so_is_read_by_anything(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as file:
        if "x" in file:
            size = file["x"].size
            assert np.array_equal(file["x"][()].ravel(), NOISE[:size]) and size == len(NOISE)
        else:
            assert len(file) == 500
            assert all(np.array_equal(file[name][()], NOISE[:200]) for name in file)


def test_a_pause_tells_of_a_refusal_early(tmp_path: Path, small_files: None) -> None:
    written = 0
    with pytest.raises(OSError, match="File too large"), atomic_hdf5(tmp_path / "made.h5") as file:
        for number in range(50):
            file.pause()
            file[f"x{number}"] = NOISE
            written += 1
    assert written == 1


@pytest.mark.parametrize("pauses", [False, True])
def test_an_interrupt_waits_until_hdf5_is_not_cut_in_two(tmp_path: Path, pauses: bool) -> None:
    went_on = False
    with pytest.raises(KeyboardInterrupt), atomic_hdf5(tmp_path / "made.h5") as file:
        os.kill(os.getpid(), signal.SIGINT)
        file["x"] = NOISE
        if pauses:
            file.pause()
        went_on = True
    assert went_on is not pauses
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):  # the handler is the one of before
        os.kill(os.getpid(), signal.SIGINT)


def test_signals_are_held_back_once_and_in_order() -> None:
    came: list[int] = []
    before = {number: signal.signal(number, lambda n, frame: came.append(n))
              for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with deferred_signals() as outer, deferred_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            assert not came
        assert came == [signal.SIGTERM, signal.SIGHUP] and outer is not None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_other_threads_hold_nothing_back() -> None:
    def hold() -> None:
        with deferred_signals():
            done.append(signal.getsignal(signal.SIGTERM))

    done: list[Any] = []
    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize(("error", "number"), [
    (sqlite3.OperationalError("database or disk is full"), errno.ENOSPC),
    (RuntimeError("Can't decrement id ref count (file write failed: time = Thu, filename = "
                  "'a.h5', file descriptor = 3, errno = 28, error message = 'No space left on "
                  "device', buf = 0x5)"), errno.ENOSPC),
    (Exception("Error while serializing: I/O error: Disk quota exceeded (os error 122)"), 122),
    (OSError(errno.EMFILE, "Too many open files", "a"), errno.EMFILE),
])
def test_each_librarys_words_are_understood(error: Exception, number: int) -> None:
    found = refusal(error, "b")
    assert found is not None and found.errno == number
    with pytest.raises(ValueError, match="went wrong") as outer:
        raise ValueError("something went wrong") from error
    assert getattr(refusal(outer.value), "errno", None) == number


@pytest.mark.parametrize("error", [
    ValueError("x"), FileNotFoundError(errno.ENOENT, "No such file or directory", "a"),
    OSError("file signature not found"), RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
])
def test_other_errors_stay_what_they_are(error: Exception, tmp_path: Path) -> None:
    assert refusal(error) is None and cannot_write(error, tmp_path / "a", tmp_path) is None
    raise_refusal(error, "a")
    with pytest.raises(type(error)) as caught, naming("a"):
        raise error
    assert caught.value is error


def test_a_refusal_without_a_name_gets_one() -> None:
    with pytest.raises(OSError, match="No space left") as caught, naming("the log"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert described(caught.value).startswith("the log: No space left on device; make room")


def test_what_writers_left_is_told_from_what_others_made(tmp_path: Path) -> None:
    (tmp_path / "deep" / ".a.h5.x1_y2z3a.tmp").mkdir(parents=True)
    (tmp_path / ".b.json.aaaaaaaa.tmp").mkdir()
    (tmp_path / ".b.json.aaaaaaaa.tmp" / "b.json").write_text("half")
    for name in ("a.tmp", ".a.tmp", ".a.aaaaaaaa.temp", "a.h5.aaaaaaaa.tmp"):
        (tmp_path / name).mkdir()
    assert remove_left_behind(tmp_path, deep=False) == 1
    assert remove_left_behind(tmp_path) == 1
    assert remove_left_behind(tmp_path / "none") == 0
    assert len(list(tmp_path.iterdir())) == 5
