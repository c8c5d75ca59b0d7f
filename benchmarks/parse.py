"""How fast NTU files are read, beside the reader that mmaction2 ships.

Writes files with the generator of ``zskel.data.synthetic``, reads them with both
readers in one process, warm and in turns, and compares every coordinate. The last
line is ``ratio N.N``: how many times faster ours is.

    python benchmarks/parse.py --files 40 --repeat 5
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.table import Table

from zskel.data.readers.ntu import NTUReader
from zskel.data.synthetic import Settings, class_names, generate, write_ntu


def shipped_reader() -> ModuleType:
    """Loads mmaction2's ``gen_ntu_rgbd_raw.py`` from where it is installed."""
    package = importlib.util.find_spec("mmaction")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("mmaction2 is not installed: pip install mmaction2==1.1.0")
    folder = Path(package.submodule_search_locations[0])
    path = folder / ".mim" / "tools" / "data" / "skeleton" / "gen_ntu_rgbd_raw.py"
    if not path.is_file():
        raise SystemExit(f"{path}: not part of this mmaction2; version 1.1.0 has it")
    spec = importlib.util.spec_from_file_location("gen_ntu_rgbd_raw", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_files(folder: Path, count: int) -> list[Path]:
    """Writes recordings of the length of NTU's, of one and two bodies."""
    performers = -(-count // len(class_names()))
    settings = Settings(seed=1, performers=performers, cameras=1, frames=(60, 110))
    recordings = list(generate(settings))
    # Evenly from all actions, so that the share of two bodies is the generator's.
    chosen = np.linspace(0, len(recordings) - 1, count).round().astype(int)
    return write_ntu([recordings[index] for index in chosen], folder)


def same_coordinates(ours: np.ndarray, theirs: dict) -> bool:
    """Whether each frame holds the same bodies, in whatever order.

    mmaction2's arrays number bodies by their position in the frame, so what it
    parsed is compared before it makes arrays of it.
    """
    if ours.shape[1] != theirs["num_frame"]:
        return False
    for t, frame in enumerate(theirs["frameInfo"]):
        parsed = [
            [[joint[axis] for joint in body["jointInfo"] for axis in "xyz"]]
            for body in frame["bodyInfo"]
        ]
        there = [body.reshape(1, -1).tolist() for body in ours[:, t] if body.any()]
        if sorted(np.float32(parsed).tolist()) != sorted(there):
            return False
    return True


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=40, help="how many files to write")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; the fastest counts, by file")
    options = parser.parse_args()
    if options.files < 1 or options.repeat < 1:
        parser.error("--files and --repeat: expected 1 or more")

    shipped = shipped_reader()
    with tempfile.TemporaryDirectory() as name:
        paths = write_files(Path(name) / "raw", options.files)
        archive = Path(name) / "raw.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path in paths:
                zipped.write(path, path.name)
        size = sum(path.stat().st_size for path in paths)
        reader = NTUReader([Path(name) / "raw"], "synthetic", len(class_names()))
        entries = {entry.path: entry for entry in reader.scan().entries}
        packed = NTUReader([archive], "synthetic", len(class_names()))
        members = {entry.member: entry for entry in packed.scan().entries}

        for path in paths:  # the comparison warms the page cache and the compiled code
            ours = reader.read(entries[str(path)])
            if not same_coordinates(ours, shipped.read_skeleton_filter(str(path))):
                raise SystemExit(f"{path.name}: the two readers' coordinates differ")
            if not np.array_equal(ours, packed.read(members[path.name])):
                raise SystemExit(f"{path.name}: folder and archive differ")
        ways: dict[str, Callable[[Path], object]] = {
            "mmaction2 read_xyz": lambda path: shipped.read_xyz(str(path)),
            "ours": lambda path: reader.read(entries[str(path)]),
            "ours, from a zip": lambda path: packed.read(members[path.name]),
            "the bytes alone": lambda path: path.read_bytes(),
        }
        # The ways take turns, so that a busy machine slows all alike.
        seconds = {way: np.full(len(paths), np.inf) for way in ways}
        for _ in range(options.repeat):
            for way, read in ways.items():
                took = [timed(lambda read=read, path=path: read(path)) for path in paths]
                seconds[way] = np.minimum(seconds[way], took)

    title = f"{len(paths)} files, {size / 1e6:.1f} MB"
    table = Table("", "MB/s", "clips/s", "ms a clip", title=title)
    for way, each in seconds.items():
        total = each.sum()
        table.add_row(
            way, f"{size / 1e6 / total:,.1f}", f"{len(paths) / total:,.1f}",
            f"{1e3 * total / len(paths):.3f}",
        )
    Console().print(table)
    print("coordinates equal to float32 in every file")
    print(f"ratio {seconds['mmaction2 read_xyz'].sum() / seconds['ours'].sum():.1f}")


if __name__ == "__main__":
    main()
