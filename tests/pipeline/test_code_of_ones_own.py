"""Readers, encoders, transforms, methods and gates in files of one's own, named in a config."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import read_skeleton_features, read_text_features
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.outside import error_in_outside_code, load_trusted, trust
from zskel.pipeline.base.config import check_experiment, load_experiment, load_method
from zskel.pipeline.predict.predict import ModelChoice, predict
from zskel.pipeline.steps.fits import Fit
from zskel.zsl.gates.base import GateInput, checked_p_d
from zskel.zsl.gates.calibrated_stacking import CalibratedStacking
from zskel.zsl.methods import METHODS

STAGE_ONE = '''
import zlib
import numpy as np
from mmcv.transforms import BaseTransform
from zskel.data.readers.ntu import NTUReader

class Mirrored(NTUReader):
    """NTU's clips with left and right in each other's place."""
    def read(self, entry):
        return super().read(entry) * np.float32([-1, 1, 1])

class Letters:
    """Counts of letters."""
    name, revision = "letters", "1"
    def encode(self, texts):
        rows = np.zeros((len(texts), 32), np.float32)
        for row, text in zip(rows, texts):
            for start in range(len(text)):
                row[zlib.crc32(text[start:start + 3].encode()) % 32] += 1
        return rows

def loud(class_names):
    return [[name.upper() + "!"] for name in class_names]

class Shrink(BaseTransform):
    def transform(self, results):
        return {**results, "keypoint": results["keypoint"] * 0.5}
'''
STAGE_TWO = '''
import numpy as np
from zskel.zsl.gates.calibrated_stacking import CalibratedStacking
from zskel.zsl.methods.ridge import Ridge

class MyRidge(Ridge):
    name = "my_ridge"

class MyGate(CalibratedStacking):
    name = "my_gate"
'''


@pytest.fixture
def config(tmp_path: Path, tiny_config: Path) -> Path:
    (tmp_path / "one.py").write_text(STAGE_ONE)
    (tmp_path / "two.py").write_text(STAGE_TWO)
    path = tmp_path / "mine.py"
    path.write_text(f"""
_base_ = [{str(tiny_config)!r}]
dataset = dict(reader="{tmp_path}/one.py:Mirrored")
backbone = dict(epochs=1, prepare=[dict(type="PreNormalize3D"),
                                   dict(type="{tmp_path}/one.py:Shrink")])
class_text = dict(encoder=dict(_delete_=True, name="{tmp_path}/one.py:Letters"),
                  source=dict(name="{tmp_path}/one.py:loud"))
fit = dict(method=dict(_delete_=True, name="{tmp_path}/two.py:MyRidge"),
           gate=dict(name="{tmp_path}/two.py:MyGate"), seeds=1)
""")
    return path


@pytest.mark.slow
def test_files_of_ones_own_go_from_recordings_to_a_prediction(
    config: Path, tiny_raw: Path, tiny_work: Path, tmp_path: Path, commands: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = tmp_path / "work_dirs" / "mine"
    for arguments in (("extract", config, "--raw", tiny_raw), ("fit", config)):
        done = commands.run(*arguments, "--work-dir", work)
        assert done.code == 0, done.err
    features = read_skeleton_features(work / "features" / "skeleton_test.h5")
    theirs = read_skeleton_features(tiny_work / "features" / "skeleton_test.h5")
    assert features.f_x.shape == theirs.f_x.shape
    text = read_text_features(work / "features" / "text.h5")
    assert text.encoder == "letters" and str(text.text[0]).endswith("!")

    result, = (work / "results").glob("*.json")
    record = json.loads(result.read_text())
    assert record["method"] == "my_ridge" and record["gate"]["name"] == "my_gate"
    made = result.stat().st_mtime_ns
    assert commands.run("fit", config, "--work-dir", work).code == 0
    assert result.stat().st_mtime_ns == made, "what is current is kept"

    clip = sorted(tiny_raw.glob("*.skeleton"))[0]
    refused = commands.run("predict", work, clip)
    assert refused.code == 2 and "give the experiment's config" in refused.err
    # Another gate, which only the command line has named.
    more = tmp_path / "more.py"
    more.write_text(STAGE_TWO.replace("my_gate", "more_gate"))
    assert commands.run("fit", config, "--work-dir", work, "--gate", f"{more}:MyGate").code == 0

    monkeypatch.chdir(tmp_path)
    assert predict("mine.py", [clip])["method"] == "my_ridge"
    answers = predict("mine.py", [clip], model=ModelChoice(gate=f"{more}:MyGate"))
    assert answers["gate"]["name"] == f"{more}:MyGate"

    (tmp_path / "two.py").write_text(STAGE_TWO.replace("import numpy", "# changed\nimport numpy"))
    assert commands.run("fit", config, "--work-dir", work).code == 0
    assert result.stat().st_mtime_ns != made, "the results of other code are stale"


def test_the_command_line_takes_them_too(
    config: Path, copy_of: Callable[..., Path], tiny_work: Path, tiny_config: Path, commands: Any,
    tmp_path: Path,
) -> None:
    work = copy_of(tiny_work)
    done = commands.run("fit", tiny_config, "--work-dir", work, "--seeds", "1",
                        "--method", f"{tmp_path}/two.py:MyRidge",
                        "--gate", f"{tmp_path}/two.py:MyGate")
    assert done.code == 0, done.err
    names = {path.stem for path in (work / "results").glob("*my_ridge*.json")}
    assert any("my_gate" in name for name in names), names


@pytest.mark.parametrize(("name", "message"), [
    ("no/such.py:Thing", "no such file: "),
    ("no_such_package.module:Thing", "no module 'no_such_package.module'"),
    ("{folder}/two.py:Thing", "has no 'Thing'"),
    ("{folder}/wrong.py:Thing", "cannot be loaded: ZeroDivisionError"),
    ("{folder}/taken.py:Thing", "calls itself 'ridge', as one that ships does"),
    ("{folder}/two.py:MyGate", "two.py: MyGate is no method (a subclass of "
                               "zskel.zsl.methods.base.ZeroShotMethod)"),
    ("{folder}/two.py:np", "two.py: np is no method"),
])
def test_what_is_wrong_with_them_is_one_line(
    name: str, message: str, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.py").write_text("1 / 0")
    (tmp_path / "taken.py").write_text(
        STAGE_TWO.replace("MyRidge", "Thing").replace("my_ridge", "ridge"))
    name = name.format(folder=tmp_path)
    trust(name)
    with pytest.raises(BadConfig, match="method") as caught:
        METHODS.get(name)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_code_that_only_a_file_names_is_not_run(config: Path, tmp_path: Path) -> None:
    """A config from a cache, say: nobody has asked for what it names."""
    content = load_experiment(str(config)).model_dump(mode="json")
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    content["fit"]["method"] = {"name": f"{tmp_path}/evil.py:Method", "options": {}}
    experiment = check_experiment(content, "cache")
    with pytest.raises(BadConfig, match="only a file names"):
        Fit(experiment.fit)


def test_a_digest_knows_the_code(config: Path, tmp_path: Path) -> None:
    experiment = load_experiment(str(config))
    before = experiment.digest()
    assert check_experiment(experiment.model_dump(mode="json"), "again").digest() == before
    (tmp_path / "two.py").write_text("# other\n" + STAGE_TWO)
    assert load_experiment(str(config)).digest() != before


def test_an_error_in_them_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "slips.py"
    file.write_text("from zskel.data.common.registry import nearest\n"
                    "def own():\n    return {}['b_x']\n"
                    "def in_a_library():\n    import json\n    json.loads('{')\n"
                    "def in_the_package():\n    nearest(1, [])\n")
    told = []
    for name in ("own", "in_a_library", "in_the_package"):
        trust(f"{file}:{name}")
        try:
            load_trusted(f"{file}:{name}", "slip")()
        except Exception as error:
            told.append(error_in_outside_code(error))
    assert told[0] == f"{file}, line 3: KeyError: 'b_x'"
    assert told[1] is not None and told[1].startswith(f"{file}, line 6: JSONDecodeError: ")
    assert told[2:] == [None]


def test_a_gate_that_gives_no_probabilities_is_told_so() -> None:
    class Three(CalibratedStacking):
        name = "three"
        answer = np.array([0.5, 3.0])

        def predict_proba(self, inputs: GateInput) -> np.ndarray:
            return self.answer

    gate, inputs = Three(), GateInput(np.zeros((2, 3)), np.full((2, 2), 0.5))
    with pytest.raises(BadInput, match=r"^gate three: predict_proba gave 3\.0, expected values "):
        checked_p_d(gate, inputs)
    gate.answer = np.full((2, 2), 0.5)
    with pytest.raises(BadInput, match=r"an array of shape \[2, 2\], expected \[2\]"):
        checked_p_d(gate, inputs)


def test_a_file_without_its_class_is_no_method(config: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"named file\.py:Class, such as .*two\.py:MyGate$"):
        load_method(f"{tmp_path}/two.py", "ntu60")
