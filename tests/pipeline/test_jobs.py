"""Jobs in several processes: in one display, and none is lost with another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from made_up_jobs import MadeUp, worker
from undisturbed import assert_same_file, assert_same_files

from zskel.data.common.errors import BadConfig, BadInput
from zskel.pipeline.base import progress
from zskel.pipeline.base.cluster import run_with_submitit
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.base.jobs import Execution, run_in_processes, show_progress
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.cli.options import execution_of
from zskel.pipeline.fit.fit import FitRequest, PendingFits
from zskel.pipeline.fit.job import FitJob, Fitter
from zskel.pipeline.steps.fits import fit_configs

THENS = ("", "die", "fail", "mistake", "")
LOCAL = Execution(2, "local", per_task=1)


@pytest.fixture
def made_up(tmp_path: Path) -> list[MadeUp]:
    (tmp_path / "out").mkdir()
    return [MadeUp(tmp_path / "out", f"job {n}", then) for n, then in enumerate(THENS)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What ``--json-log`` has got."""
    path = tmp_path / "log.jsonl"
    progress.log_to(path)
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    progress.log_to(None)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> str:
    """Lets fresh interpreters import the made-up jobs."""
    here = Path(__file__).parent
    path = f"{here.parents[1]}{os.pathsep}{here}"
    monkeypatch.setenv("PYTHONPATH", path)
    return path


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def names_of(jobs: list[MadeUp]) -> list[str]:
    return [job.name for job in jobs]


def texts(log: Callable[[], list[dict[str, Any]]]) -> list[str]:
    return [event["fields"]["text"] for event in log() if event["event"] == "message"]


def test_a_job_that_fails_or_dies_takes_no_other_along(
    made_up: list[MadeUp], log: Callable[[], list[dict[str, Any]]]
) -> None:
    failed = show_progress(run_in_processes(worker, made_up, 2), names_of(made_up), "jobs")
    assert set(failed) == {1, 2, 3}
    assert failed[1].startswith("its process was killed (signal 9)")
    assert failed[2] == "bad from the start" and failed[3] == "KeyError: 'nobody'"
    pids = {(job.folder / job.name).read_text() for job in made_up}
    # A third process takes the place of the one that died, if there was a job left.
    assert len(pids) in (2, 3) and str(os.getpid()) not in pids
    said = texts(log)
    assert sorted(text for text in said if text.endswith("is done")) == [
        f"job {n} is done" for n in range(5)]
    assert said.count("warning: the same for all") == 1
    assert f"failed: job 2: {failed[2]}" in said
    assert any("Traceback" in text and "_do" in text for text in said)
    assert any(re.fullmatch(r"each process had up to 0\.\d GB of memory", text) for text in said)


def test_processes_end_with_who_leaves_early(tmp_path: Path, wait_for: Callable[..., None]) -> None:
    jobs = [MadeUp(tmp_path, f"job {n}", "sleep") for n in range(3)]
    events = run_in_processes(worker, jobs, 2)
    for each in events:
        if all((tmp_path / f"job {n}").is_file() for n in range(2)):
            break
        assert each.kind != "done"
    events.close()
    wait_for(lambda: not any(alive(int((tmp_path / f"job {n}").read_text())) for n in range(2)))
    assert not (tmp_path / "job 2").exists()


START = """
import sys
from pathlib import Path
from made_up_jobs import MadeUp, worker
from zskel.pipeline.base.cluster import run_with_submitit
from zskel.pipeline.base.jobs import Execution, show_progress, run_in_processes
folder = Path(sys.argv[1])
jobs = [MadeUp(folder, f"job {n}", "sleep") for n in range(2)]
execution = Execution(2, sys.argv[2] or None, per_task=1)
events = (run_with_submitit(worker, jobs, folder / "tasks", execution) if execution.executor
          else run_in_processes(worker, jobs, 2))
show_progress(events, ["one", "two"], "jobs")
"""


@pytest.mark.parametrize("executor", ["", "local"])
def test_processes_end_with_who_is_killed(
    executor: str, tmp_path: Path, wait_for: Callable[..., None], importable: str
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", START, str(tmp_path), executor], stderr=subprocess.DEVNULL)
    files = [tmp_path / f"job {n}" for n in range(2)]
    wait_for(lambda: all(file.is_file() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    assert all(map(alive, pids))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not any(map(alive, pids)))


def test_what_an_executor_does_is_heard_in_the_same_way(
    made_up: list[MadeUp], tmp_path: Path, log: Callable[[], list[dict[str, Any]]],
    importable: str,
) -> None:
    folder = tmp_path / "tasks"
    events = run_with_submitit(worker, made_up[:4], folder, Execution(2, "local", per_task=3))
    failed = show_progress(events, names_of(made_up), "jobs")
    # What the task that died has left, the other one did.
    assert set(failed) == {1, 2, 3} and failed[3] == "KeyError: 'nobody'"
    assert re.fullmatch(r"its task \d+ was ended \(\w+\); see .*/tasks/\w+/\d+_0_log.err",
                        failed[1])
    assert Path(failed[1].split("see ")[1]).is_file()
    assert {"job 0 is done", "job 1 is done", "job 3 is done"} <= set(texts(log))
    again = [MadeUp(tmp_path / "out", f"job {n}") for n in (1, 2)]
    events = run_with_submitit(worker, again, folder, LOCAL)
    assert show_progress(events, names_of(again), "jobs") == {}
    assert not folder.exists() and (tmp_path / "out" / "job 2").is_file()


SBATCH = """#!{python}
import os, re, subprocess, sys
text = open(sys.argv[1]).read()
tasks = re.search(r"--array=0-(\\d+)%2", text)
command = re.search(r"^srun.*?({python}.*)$", text, re.MULTILINE)[1]
for task in range(int(tasks[1]) + 1):
    subprocess.Popen(command, shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     env={{**os.environ, "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "7",
                          "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}})
open({options!r}, "w").write(text)
print("Submitted batch job 7")
"""


def test_slurm_gets_one_array_of_tasks(
    made_up: list[MadeUp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    log: Callable[[], list[dict[str, Any]]], importable: str,
) -> None:
    """With a stand-in for SLURM that starts all tasks of an array at once."""
    for name, text in (("srun", ""), ("sacct", "#!/bin/sh\necho 'JobID|State'\n"),
                       ("sbatch", SBATCH.format(python=sys.executable,
                                                options=str(tmp_path / "options")))):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("zskel.pipeline.base.cluster.POLL_SECONDS", {"slurm": 0.2})
    execution = execution_of(2, "slurm", 2, ["slurm_partition=cpu", "timeout_min=60"])
    jobs = [made_up[0], made_up[4], made_up[2]]
    events = run_with_submitit(worker, jobs, tmp_path / "tasks", execution)
    failed = show_progress(events, names_of(jobs), "jobs")
    assert failed == {2: "bad from the start"}
    assert "submitted 2 task(s), 7_0 to 7_1" in texts(log)
    options = (tmp_path / "options").read_text()
    assert "--partition=cpu" in options and "--time=60" in options and "%2" in options


@pytest.mark.parametrize(("options", "says"), [
    (["timeout_min"], "expected KEY=VALUE"), (["slurm_partitio=cpu"], "slurm_partitio"),
    (["timeout_min=an hour"], "timeout_min"),
])
def test_a_wrong_option_of_the_executor_is_named(
    options: list[str], says: str, made_up: list[MadeUp], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=says):
        execution = execution_of(1, "local", 1, options)
        list(run_with_submitit(worker, made_up, tmp_path / "t", execution))


def test_an_option_needs_an_executor_and_slurm_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--executor"):
        execution_of(2, None, 1, ["timeout_min=5"])
    with pytest.raises(BadConfig, match="--executor slurm"):
        list(run_with_submitit(worker, [], tmp_path, Execution(1, "slurm")))


def test_two_fits_never_write_one_file(tiny_work: Path, tiny_config: Path) -> None:
    one = load_experiment(str(tiny_config))
    two = load_experiment(str(tiny_config), ["fit.method.options.z_v_dim=5"])
    work = WorkDir(tiny_work)
    alike = FitRequest(one, work, [7], gates=["familiarity"])
    requests = [FitRequest(one, work, [7]), alike, FitRequest(two, work, [7])]
    fitter, pending = Fitter(), PendingFits()
    jobs = [FitJob(each.experiment, fit_configs(each.experiment, (), each.gates)[0], work, 7, False)
            for each in requests]
    for request, job in zip(requests[:2], jobs):
        pending.add(request, job, fitter.status(job))
    assert [list(job.what.gates) for job in pending.jobs] == [["", "familiarity"]]
    with pytest.raises(BadConfig, match="two fits that differ in their options would write"):
        pending.add(requests[2], jobs[2], fitter.status(jobs[2]))
    pending.note({0: "of no good"}, ["a fit"])
    assert all(each.error and each.error.endswith("a fit: of no good") for each in requests[:2])


def test_the_longest_fits_come_first(tiny_work: Path, tiny_config: Path) -> None:
    requests = [FitRequest(load_experiment(str(tiny_config), [f"fit.method.options.epochs={n}"]),
                           WorkDir(tiny_work), [seed]) for seed, n in ((20, 2), (21, 5), (22, 3))]
    fitter, pending = Fitter(), PendingFits()
    for request in requests:
        (config,) = fit_configs(request.experiment, (), ())
        job = FitJob(request.experiment, config, request.work, request.seeds[0], False)
        pending.add(request, job, fitter.status(job))
    assert [job.seed for job in pending.jobs] == [20, 21, 22]
    assert [job.seed for job in pending.longest_first] == [21, 22, 20]
    pending.note({0: "of no good"}, ["a", "b", "c"])
    assert [each.error is None for each in requests] == [True, False, True]


@pytest.mark.slow
def test_two_fits_at_once_give_the_same_bits_though_one_is_killed(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path],
    wait_for: Callable[..., None],
) -> None:
    work = copy_of(tiny_work, ("features",))
    parent = psutil.Process(commands.start("fit", tiny_config, "--work-dir", work, "--jobs", 2))

    def workers() -> list[psutil.Process]:
        return [each for each in parent.children() if "spawn_main" in " ".join(each.cmdline())]

    wait_for(lambda: len(workers()) == 2)
    workers()[0].kill()
    ended = commands.wait()
    assert ended.code == 1
    error = ended.err.splitlines()[-1]
    assert error.startswith("error: 1 of 2 fits failed (the same command tries them again): "
                            "sa_dvae, seed ")
    assert "was killed (signal 9)" in error
    assert len(list((work / "results").iterdir())) == 2
    again = commands.run("fit", tiny_config, "--work-dir", work)
    assert again.code == 0 and again.err.count("kept ") == 1, again.err
    assert_same_files(work, tiny_work, ("results", "models"))
    assert not list(work.rglob("*.tmp"))


@pytest.mark.slow
def test_an_executor_gives_the_same_bits(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features",))
    ended = commands.run("fit", tiny_config, "--work-dir", work, "--seeds", 1, "--executor",
                         "local")
    assert ended.code == 0, ended.err
    made = list((work / "results").iterdir())
    assert len(made) == 2 and not (work / "jobs").exists()
    for path in made:
        assert_same_file(path, tiny_work / "results" / path.name)
