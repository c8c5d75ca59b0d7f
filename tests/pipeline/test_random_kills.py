"""Killed at random moments and started again, every command ends as an undisturbed one.

``KILLS`` says how many times in all (12 when unset). A command is a row of ``ROWS``.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from undisturbed import assert_same_files, assert_whole_or_absent

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "12"))
SEED = int(os.environ.get("KILLS_SEED", "0"))


@dataclass(frozen=True)
class Row:
    """A command to be killed.

    Attributes:
        name: For people.
        argv: With ``{config}``, ``{raw}``, ``{space}`` and ``{root}``, in which it works.
        needs: Folders of a finished work directory that are there when it starts.
        made: Folders and files below ``{root}`` that it writes.
        config: Lines added to the tiny experiment's config.
    """

    name: str
    argv: str
    needs: tuple[str, ...]
    made: tuple[str, ...]
    config: str = ""


# Its page and table say who did a trial and how long it took; trials.json does too, but
# can be compared without.
SPACE = """
search = dict(steps=[dict(
    name="rate", trials=4, fixed=dict(epochs=1),
    space=dict(learning_rate=dict(type="exponent", low=-4, high=-2)))])
"""
SHORT = """
fit = dict(method=dict(name="{}", options={}), seeds=2)
"""

ROWS = (
    Row("extract", "extract {config} --raw {raw} --work-dir {root}/work", (),
        ("work/store", "work/backbones", "work/features")),
    Row("extract into a model store", "extract {config} --raw {raw} --work-dir {root}/work "
        "--bank {root}/bank --cfg-options masked_features=true", (),
        ("work/store", "work/backbones", "work/features", "bank")),
    Row("fit", "fit {config} --work-dir {root}/work --gate familiarity", ("features",),
        ("work/results", "work/models")),
    Row("fit of others", "fit {config} --work-dir {root}/work --method cada_vae --method conse "
        "--method eszsl --method ridge", ("features",), ("work/results", "work/models"),
        SHORT.format("cada_vae", "dict(epochs=2)")),
    Row("search", "search {config} --work-dir {root}/work --space {space}", ("features",),
        ("work/search/space/trials.json", "work/search/space/best.py")),
    Row("report", "report --work-dir {root}/work", ("features", "results"), ("work/report",)),
)


def kills_of(row: Row) -> int:
    """Its share of all kills."""
    return len(range(ROWS.index(row), KILLS, len(ROWS)))


@pytest.mark.parametrize("row", [row for row in ROWS if kills_of(row)], ids=lambda row: row.name)
def test_nothing_is_lost(
    row: Row, tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    config = tmp_path / tiny_config.name
    config.write_text(tiny_config.read_text() + row.config)
    space = tmp_path / "space.py"
    space.write_text(SPACE)

    def fresh(root: Path) -> list[str]:
        """A place to start from, and the command that works there."""
        shutil.rmtree(root, ignore_errors=True)
        (root / "work").mkdir(parents=True)
        for part in row.needs:
            shutil.copytree(tiny_work / part, root / "work" / part)
        return row.argv.format(config=config, raw=tiny_raw, space=space, root=root).split()

    undisturbed, root = tmp_path / "undisturbed" / "root", tmp_path / "killed" / "root"
    argv, started = fresh(undisturbed), time.monotonic()
    ended = commands.run(*argv)
    assert ended.code == 0, ended.err
    seconds = time.monotonic() - started

    draw = random.Random(f"{SEED} {row.name}")
    landed = rounds = by_rename = 0
    while landed < kills_of(row):
        argv, rounds, left = fresh(root), rounds + 1, draw.randint(1, 6)
        while True:
            at_rename = draw.random() < 0.5
            if not left or landed == kills_of(row):
                ended = commands.run(*argv)
            elif at_rename:
                ended = commands.run(*argv, die_before_rename=draw.randint(1, 8))
            else:
                process = commands.start(*argv)
                time.sleep(draw.uniform(0, seconds))
                with contextlib.suppress(ProcessLookupError):  # it was done before
                    os.kill(process, signal.SIGKILL)
                ended = commands.wait()
            if ended.code != -signal.SIGKILL:
                break
            landed, left, by_rename = landed + 1, left - 1, by_rename + at_rename
            assert_whole_or_absent(root, undisturbed, row.made)
        assert ended.code == 0, ended.err
        assert_same_files(root, undisturbed, row.made)
        assert not list(root.rglob("*.tmp")) and not list(root.rglob("*.holder.json"))
    print(f"{row.name}: {landed} kills, {by_rename} of them at a rename, in {rounds} runs that "
          f"were resumed to their end; {seconds:.1f} s undisturbed")
