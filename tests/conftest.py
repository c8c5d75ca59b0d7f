"""A tiny experiment on synthetic recordings, and a quick way to run commands on it."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, which is no fault of what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
# No test needs a model hub, and one thread gives the same sums on every machine.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TOKENIZERS_PARALLELISM"] = "false"

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))  # what tests in several folders share
# What makes coverage measure the processes that are started.
_COVERAGE = "COVERAGE_PROCESS_"


def environment(measured: bool = True) -> dict[str, str]:
    """For an interpreter that imports this checkout's package.

    Args:
        measured: Whether coverage sees it, where it sees anything.
    """
    return {**{name: value for name, value in os.environ.items()
               if measured or not name.startswith(_COVERAGE)}, "PYTHONPATH": str(ROOT)}


TINY_EXPERIMENT = """
_input = [dict(type="PoseDecode"), dict(type="FormatGCNInput", num_person=1),
          dict(type="PackActionInputs")]
dataset = dict(
    name="synthetic", reader="ntu", reader_options=dict(dataset="synthetic", num_classes=40),
    cleaning=[dict(type="keep_most_active", bodies=1)],
)
split = dict(name="default")
backbone = dict(
    name="stgcn-test",
    model=dict(
        type="RecognizerGCN",
        backbone=dict(type="STGCN", graph_cfg=dict(layout="nturgb+d", mode="stgcn_spatial"),
                      base_channels=4, num_stages=2, inflate_stages=[2], down_stages=[2],
                      num_person=1),
        cls_head=dict(type="GCNHead", in_channels=8, dropout=0.5),
    ),
    prepare=[dict(type="PreNormalize3D")],
    train_pipeline=[
        dict(type="RandomTemporalCrop", shortest=0.8), dict(type="RandomRotation3D"),
        dict(type="RandomScale3D"), dict(type="UniformSampleFrames", clip_len=8), *_input,
    ],
    test_pipeline=[
        dict(type="UniformSampleFrames", clip_len=8, num_clips=1, test_mode=True), *_input,
    ],
    epochs=2, batch_size=32,
    optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9)),
)
class_text = dict(encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")))
fit = dict(
    method=dict(name="sa_dvae", options=dict(
        epochs=2, batch_size=32, z_r_dim=8, z_v_dim=4, classifier_epochs=10)),
    seeds=2,
)
"""

# A process that has imported everything and makes a copy of itself for each
# command: a start then costs nothing, and any moment can be its last.
_SERVER = """
import contextlib, errno, gc, json, os, signal, sys, traceback
import zskel.extractors.mm, zskel.extractors.features, zskel.extractors.training
import zskel.extractors.text
import sentence_transformers
import zskel.pipeline.extract.extract, zskel.pipeline.fit.fit, zskel.pipeline.report.report
import zskel.zsl.evaluation, zskel.zsl.methods.sa_dvae
import zskel.pipeline.search.search, zskel.pipeline.search.worker, zskel.pipeline.search.page
from optuna.storages import RDBStorage
from zskel.pipeline.cli.main import main
zskel.extractors.mm.register()
zskel.extractors.text.ENCODERS.build("sentence_bert", model="all-MiniLM-L6-v2").encode(["warm up"])

def die_before_rename(number):
    rename, left = os.replace, [number]
    def replace(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(*arguments, **options)
    os.replace = replace

def fill_the_disk(after):
    sync, left = os.fsync, [after]
    def fsync(descriptor):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        return sync(descriptor)
    os.fsync = fsync

def limit(file_size, open_files):
    import resource
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))
    if open_files is not None:
        top = max(map(int, os.listdir("/proc/self/fd"))) + open_files
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (top, most))

# What a shell starts in the background is deaf to it, and so are its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
gc.collect()
gc.freeze()  # or each child's first collection copies all of it
print("ready", flush=True)
def run(job, number):
    child = os.fork()
    if child == 0:
        ends = (os.devnull, *(f"{job['to']}/{name}{number or ''}" for name in ("out", "err")))
        for descriptor, path in enumerate(ends):
            mode = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, mode), descriptor)
        os.chdir(job["to"])
        if job["port"]:
            os.environ.update(RANK=str(number), LOCAL_RANK=str(number), MASTER_ADDR="127.0.0.1",
                              WORLD_SIZE=str(job["processes"]), MASTER_PORT=str(job["port"]))
        troubles = job["troubles"]
        if "die_before_rename" in troubles:
            die_before_rename(troubles["die_before_rename"])
        if "full_after" in troubles:
            fill_the_disk(troubles["full_after"])
        limit(troubles.get("file_size"), troubles.get("open_files"))
        sys.argv = ["pipeline", *job["argv"]]
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush(), sys.stderr.flush()
        if "coverage" in sys.modules:
            with contextlib.suppress(Exception):  # not measuring, or no room for it
                sys.modules["coverage"].Coverage.current().save()
        os._exit(code)  # an orderly exit takes torch seconds
    print(child, flush=True)
    return child

for line in sys.stdin:
    job = json.loads(line)
    for child in [run(job, number) for number in range(job["processes"])]:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def pytest_sessionfinish() -> None:
    """Saves what coverage has seen: a worker of xdist has 10 s to exit, and torch takes some."""
    if any(name.startswith(_COVERAGE) for name in os.environ):
        sys.modules["coverage"].Coverage.current().save()


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``code`` is -9 after SIGKILL."""

    code: int
    out: str
    err: str


#: Seconds after which a command is taken to hang; it is killed and the test fails.
HANGS = 180


class Commands:
    """Runs ``pipeline ...`` one at a time, each in a process of its own.

    Args:
        folder: Where they work.
        measured: Whether coverage sees them. Its hooks in forked processes lock and wait
            where the bare interpreter does not, which tests of signals cannot have.
    """

    def __init__(self, folder: Path, measured: bool = True) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment(measured),
        )
        self._ready = False
        self._running: list[int] = []
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, *argv: Any, **troubles: int) -> int:
        """Starts a command and returns its process id; ``wait`` must follow.

        Args:
            argv: After ``pipeline``.
            troubles: "die_before_rename": of its renames, which one SIGKILL forestalls.
                "full_after": after how many durable writes its disk is full. "file_size":
                how long its files may become; then every write fails, whoever writes.
                "open_files": how many it may open beside those that it has from the start.
        """
        return self._start(argv, troubles)[0]

    def start_together(self, processes: int, *argv: Any) -> list[int]:
        """Starts a command as torchrun does, once for each process; ``wait_together`` follows.

        Nobody ends the others when one has failed, as torchrun would.

        Returns:
            The process ids, by rank.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return self._start((*argv, "--launcher", "pytorch"), {}, processes, port)

    def wait(self) -> Ended:
        """Waits for the command started last."""
        return self.wait_together(1)[0]

    def wait_together(self, processes: int) -> list[Ended]:
        """Waits for all processes of the command started last."""
        codes = [int(self._read()) for _ in range(processes)]
        self._running = []
        return [Ended(code, *((self._folder / f"{name}{number or ''}").read_text()
                              for name in ("out", "err"))) for number, code in enumerate(codes)]

    def _start(
        self, argv: Sequence[Any], troubles: Mapping[str, int], processes: int = 1, port: int = 0
    ) -> list[int]:
        # Not before now: what else needs a while can be done in the meantime.
        self._ready = self._ready or self._read() == "ready"
        assert self._ready, "the command server did not start"
        job = {"argv": [str(a) for a in argv], "to": str(self._folder),
               "troubles": dict(troubles), "processes": processes, "port": port}
        for name in ("out", "err"):
            (self._folder / name).write_text("")
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        self._running = [int(self._read()) for _ in range(processes)]
        return self._running

    def run(self, *argv: Any, **troubles: int) -> Ended:
        """Runs a command to its end; arguments as of ``start``."""
        self.start(*argv, **troubles)
        return self.wait()

    def at(self, folder: Path) -> Commands:
        """The same commands, working in another folder."""
        self._ready = self._ready or self._read() == "ready"
        other = copy.copy(self)
        other._folder = folder
        return other

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            self._lines.put(line.strip())

    def _read(self) -> str:
        try:
            return self._lines.get(timeout=HANGS)
        except queue.Empty:
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            with contextlib.suppress(queue.Empty):
                for _ in self._running:  # so that the next command is not taken for this one
                    self._lines.get(timeout=10)
            raise AssertionError(f"no answer within {HANGS} s: a command hangs") from None


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """See ``Commands``."""
    server = Commands(tmp_path_factory.mktemp("commands"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def unmeasured(
    commands: Commands, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Commands]:
    """``commands`` that coverage leaves alone; see ``Commands``."""
    if not any(name.startswith(_COVERAGE) for name in os.environ):
        yield commands
        return
    server = Commands(tmp_path_factory.mktemp("unmeasured"), measured=False)
    yield server
    server.close()


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a fresh interpreter with the given arguments, from another folder.

    Coverage, which makes imports slow, leaves it alone: ``commands`` run the same.
    """
    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd="/",
            env=environment(measured=False), timeout=300, check=False,
        )

    return run


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config file of the tiny experiment."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(TINY_EXPERIMENT)
    return path


@pytest.fixture(scope="session")
def tiny_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 short recordings: 40 actions, subjects 1, 2 and 4 for training, 3 for the test."""
    from zskel.data.synthetic import Settings, generate, write_ntu

    folder = tmp_path_factory.mktemp("raw")
    write_ntu(generate(Settings(performers=4, cameras=1, frames=(16, 20))), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_work(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Path, tiny_raw: Path,
    commands: Commands, python: Callable[..., Any],
) -> Path:
    """A work directory with caches, results and report. Not to be changed: see ``copy_of``.

    ``extract`` is run as a user would, in a fresh interpreter.
    """
    work = tmp_path_factory.mktemp("work") / "tiny"
    ended = python("-m", "zskel", "extract", tiny_config, "--raw", tiny_raw, "--work-dir", work)
    assert ended.returncode == 0, ended.stderr
    for arguments in (("fit", tiny_config), ("report",)):
        done = commands.run(*arguments, "--work-dir", work)
        assert done.code == 0, done.err
    return work


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[..., Path]:
    """Copies parts of a work directory, times included, into one of the test's own."""
    def copy(
        work: Path, parts: Sequence[str] = ("store", "backbones", "features", "results")
    ) -> Path:
        for part in parts:
            shutil.copytree(work / part, tmp_path / "copy" / part)
        return tmp_path / "copy"

    return copy


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., None]:
    """Polls until a condition holds."""
    def wait(condition: Callable[[], Any], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.002)

    return wait
