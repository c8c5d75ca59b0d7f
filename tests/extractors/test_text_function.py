"""A text encoder that is the user's own function."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from zskel.data.common.errors import BadConfig, BadInput
from zskel.extractors.text import ENCODERS, known_revision

CODE = """
import numpy as np
from dataclasses import dataclass

@dataclass
class Counted:
    text: str

def count(texts, letter="a", scale=1):
    assert isinstance(texts, list)
    return [[len(Counted(t).text), scale * t.count(letter)] for t in texts]

def tensor(texts):
    import torch
    return torch.arange(2.0 * len(texts)).reshape(-1, 2)

def one_row(texts): return np.zeros((1, 3))
def flat(texts): return np.zeros(len(texts))
def no_columns(texts): return np.zeros((len(texts), 0))
def infinite(texts): return np.full((len(texts), 2), np.inf)
def words(texts): return texts
def failing(texts): raise RuntimeError("out of ideas\\nsecond line")
constant = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def test_a_function_in_a_file(file: Path) -> None:
    encoder = ENCODERS.build("function", function=f"{file}:count")
    rows = encoder.encode(["wave", "banana"])
    assert rows.dtype == np.float32 and rows.tolist() == [[4, 1], [6, 3]]
    assert encoder.name == "function:mine.py:count"
    assert encoder.revision == f"sha256:{hashlib.sha256(CODE.encode()).hexdigest()}"


def test_further_options_are_the_functions(file: Path) -> None:
    encoder = ENCODERS.build("function", function=f"{file}:count", letter="n", scale=10)
    assert encoder.encode(["banana"]).tolist() == [[6, 20]]
    with pytest.raises(BadInput, match="unexpected keyword argument 'latter'"):
        ENCODERS.build("function", function=f"{file}:count", latter="n").encode(["banana"])


def test_a_tensor_will_do(file: Path) -> None:
    encoder = ENCODERS.build("function", function=f"{file}:tensor")
    assert encoder.encode(["a", "b"]).tolist() == [[0, 1], [2, 3]]


def test_a_function_in_a_module(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "of_a_test").mkdir()
    file.rename(tmp_path / "of_a_test" / "encoders.py")
    monkeypatch.syspath_prepend(tmp_path)
    encoder = ENCODERS.build("function", function="of_a_test.encoders:count")
    assert encoder.encode(["a"]).tolist() == [[1, 1]]
    assert encoder.name == "function:of_a_test.encoders:count"
    assert encoder.revision == f"sha256:{hashlib.sha256(CODE.encode()).hexdigest()}"


def test_a_changed_file_is_another_revision_and_is_run_anew(file: Path) -> None:
    options = {"function": f"{file}:count"}
    before = ENCODERS.build("function", **options)
    assert known_revision("function", options) == before.revision
    file.write_text(CODE.replace("[len(", "[-len("))
    after = ENCODERS.build("function", **options)
    assert known_revision("function", options) == after.revision != before.revision
    assert after.encode(["ab"]).tolist() == [[-2, 1]] and before.encode(["ab"]).tolist() == [[2, 1]]
    file.unlink()
    assert known_revision("function", options) is None


@pytest.mark.parametrize(("function", "message"), [
    ("{file}", "expected 'package.module:Attribute'"),
    ("{file}:", "expected 'package.module:Attribute'"),
    (":count", "expected 'package.module:Attribute'"),
    ("{file}:no-name", "expected 'package.module:Attribute'"),
    ("no/such/file.py:count", "no such file: "),
    ("no_such_package.module:count", "no module 'no_such_package.module' with a source file"),
    ("sys:exit", "no module 'sys' with a source file"),
    ("{file}:cuont", "has no 'cuont'"),
    ("{file}:constant", "is no callable"),
    ("{folder}/broken.py:f", "cannot be loaded: ZeroDivisionError: division by zero"),
    ("{folder}/wrong.py:f", "cannot be loaded: SyntaxError"),
])
def test_a_function_that_cannot_be_had_is_one_line(
    file: Path, function: str, message: str
) -> None:
    (file.parent / "broken.py").write_text("1 / 0\n")
    (file.parent / "wrong.py").write_text("def f(:\n")
    with pytest.raises(BadConfig, match="text encoder 'function': ") as caught:
        ENCODERS.build("function", function=function.format(file=file, folder=file.parent))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("function", "message"), [
    ("one_row", r"returned shape \(1, 3\) for 2 strings, expected \[2, D\]"),
    ("flat", r"returned shape \(2,\) for 2 strings"),
    ("no_columns", r"returned shape \(2, 0\)"),
    ("infinite", r"row 0 is not finite \('wave'\)"),
    ("words", "ValueError: could not convert"),
    ("failing", "RuntimeError: out of ideas$"),
])
def test_what_a_function_may_not_return(file: Path, function: str, message: str) -> None:
    encoder = ENCODERS.build("function", function=f"{file}:{function}")
    with pytest.raises(BadInput, match=f"text encoder function:mine.py:{function}: {message}"):
        encoder.encode(["wave", "jog"])
