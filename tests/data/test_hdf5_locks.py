"""File systems without locks: HDF5 files are read all the same, and none is called damaged."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from zskel.data.common.checksums import checksummed_hdf5, has_checksum, open_hdf5, write_checksum
from zskel.data.common.errors import BadCache
from zskel.data.common.hdf5 import open_to_read
from zskel.data.common.os_errors import described

ROOT = Path(__file__).resolve().parents[2]

#: Runs in a process of its own: HDF5 looks at its environment once.
OPEN = """
import sys
from zskel.data.common.os_errors import described
from zskel.data.common.hdf5 import open_to_read
from zskel.data.common.checksums import open_hdf5
for open_it in (open_to_read, open_hdf5):
    try:
        with open_it(sys.argv[1]) as file:
            print(len(file["x"]))
    except OSError as error:
        print(described(error))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with checksummed_hdf5(tmp_path / "a.h5") as new:
        new["x"] = np.arange(7)
    return tmp_path / "a.h5"


@contextmanager
def locked_elsewhere(path: Path) -> Iterator[None]:
    """Another process has the lock that HDF5 would ask for."""
    code = ("import fcntl, sys; file = open(sys.argv[1], 'r+'); "
            "fcntl.flock(file, fcntl.LOCK_EX); print('locked', flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        yield
        process.communicate()


def test_files_are_read_and_sealed_without_a_lock(file: Path) -> None:
    with locked_elsewhere(file):
        with pytest.raises(OSError, match="unable to lock file"):
            h5py.File(file, "r", locking=True)
        with open_to_read(file) as opened:
            assert len(opened["x"]) == 7
        with open_hdf5(file) as opened:
            assert len(opened["x"]) == 7
        write_checksum(file)
    assert has_checksum(file)


def test_locks_that_the_environment_demands_are_no_damage(file: Path) -> None:
    with locked_elsewhere(file):
        told = subprocess.run(
            [sys.executable, "-c", OPEN, file], cwd=ROOT, capture_output=True, text=True,
            check=True, env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"},
        ).stdout.splitlines()
    assert told == [f"{file}: HDF5 cannot lock it (Resource temporarily unavailable); nothing "
                    "here needs that: unset HDF5_USE_FILE_LOCKING"] * 2


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.EIO, errno.EAGAIN,
                                    errno.EACCES, errno.ENOMEM, errno.ENOLCK])
def test_what_the_system_refuses_is_no_reason_to_delete_a_file(file: Path, number: int) -> None:
    # Words as h5py puts them when a read fails.
    said = f"Can't read data (file read failed: errno = {number}, error message = '...')"
    with (pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught,
          open_hdf5(file)):
        raise OSError(said)
    assert "delete" not in described(caught.value) and str(file) in described(caught.value)


def test_too_little_memory_is_no_reason_to_delete_a_file(file: Path) -> None:
    with (pytest.raises(BadCache, match="a.h5: does not fit into memory.*free some") as caught,
          open_hdf5(file)):
        raise MemoryError("Unable to allocate 9 TiB")
    assert "delete" not in str(caught.value)


def test_one_place_opens_hdf5_files() -> None:
    opening = re.compile(r"h5py\.File\(")
    others = [str(path) for package in ("data", "extractors", "zsl", "pipeline")
              for path in (ROOT / package).rglob("*.py")
              if path != ROOT / "data" / "common" / "hdf5.py"
              and opening.search(path.read_text("utf-8"))]
    assert others == []
