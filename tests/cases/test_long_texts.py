"""Descriptions that differ only behind what a text encoder reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import read_text_features
from zskel.data.common.errors import BadCache, BadInput
from zskel.extractors.text.encoders import ENCODERS
from zskel.pipeline.base.config import TextConfig
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.inspect.inspect import inspect, show
from zskel.pipeline.steps.text_cache import text_cache

STANDS = ("A person stands upright facing the camera with both arms hanging loosely beside the "
          "body, the weight on both feet, the knees slightly bent and the head level. ")
ENDS = {"drink water": "Then the right hand brings a cup to the mouth.",
        "clap": "Then both palms meet in front of the chest.",
        "jump up": "Then both feet leave the floor.",
        "kick": "Then the right leg is thrown forward."}
MINILM = {"name": "sentence_bert", "options": {"model": "all-MiniLM-L6-v2"}}


class FirstWords:
    """Reads the first eight words of a text."""

    name, revision = "first-words", "1"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = [[sum(map(ord, word)) for word in text.split()[:8]] for text in texts]
        return np.array([row + [0] * (8 - len(row)) for row in rows], np.float32)

    def tokens(self, texts: Sequence[str]) -> tuple[list[int], int]:
        return [len(text.split()) for text in texts], 8


@pytest.fixture
def first_words() -> dict[str, Any]:
    ENCODERS.register("first_words", FirstWords)
    return {"name": "first_words"}


def twin(folder: Path) -> None:
    for file, names in (("texts", list(ENDS)), ("texts40", [f"move {n}" for n in range(40)])):
        content = {name: 13 * STANDS + ENDS.get(name, f"Then {name}.") for name in names}
        (folder / f"{file}.json").write_text(json.dumps(content))


def cache(
    folder: Path, texts: dict[str, str], encoder: dict[str, Any], part: str = ""
) -> Path:
    (folder / "own.json").write_text(json.dumps(texts))
    config = TextConfig.model_validate({"encoder": encoder, "source": {
        "name": "file", "options": {"path": str(folder / "own.json")}}})
    return text_cache(list(texts), config, WorkDir(folder / "work"), part)


@pytest.fixture(params=["folder", "twin"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, case: Callable[..., Path]) -> Path:
    if request.param == "folder":
        return case("long-texts", twin)
    twin(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("file", "words"), [
    ("texts", ["'drink water', 'clap' and 2 more"]), ("texts40", ["and 8 more"])])
def test_texts_that_are_the_same_after_the_cut_are_refused(
    folder: Path, file: str, words: list[str]
) -> None:
    texts = dict(list(json.loads((folder / f"{file}.json").read_text()).items())[:10])
    with pytest.raises(BadCache) as caught:
        cache(folder, texts, MINILM)
    for word in [*words, "have the same row of f_y", "differ only behind the 256 tokens"]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value) and not (folder / "work/features/text.h5").exists()


def test_cut_classes_are_told_kept_and_shown(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    long = json.loads((folder / "texts.json").read_text())
    texts = {name: f"{name}. {text}" for name, text in long.items()} | {"wave": "A hand waves."}
    path = cache(folder, texts, MINILM)
    cache(folder, texts, MINILM)
    out = capfd.readouterr().err
    line = "reads 256 tokens of a text; those of 4 of 5 classes are longer and were cut: 'drink"
    assert out.count(line) == 2 and f"kept {path}" in out
    found = read_text_features(path)
    assert found.tokens is not None and found.token_limit == (256,)
    # A start, an end, and the words and full stop of "A hand waves."
    assert found.tokens[-1] == 6 and (found.tokens[:4] > 300).all()
    shown = inspect(path)
    assert [row["cut"] for row in shown["texts"]] == [True] * 4 + [False]
    show(shown)
    assert line in shown["cut_texts"] and line in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(("texts", "words"), [
    ({"a": "one two", "b": "one two"}, "'a' and 'b' have the same row of f_y, so no method can "
                                       "tell them apart; they have the same text ('one two')"),
    ({"a": "one two", "b": "one  two"}, "first-words makes no difference between their texts"),
    ({"a": "a b c d e f g h i", "b": "x", "c": "a b c d e f g h j k"},
     "'a' and 'c' have the same row of f_y, so no method can tell them apart; their texts differ "
     "only behind the 8 tokens that first-words reads (they have 9 to 10)"),
])
def test_why_two_classes_share_a_row(
    tmp_path: Path, first_words: dict[str, Any], texts: dict[str, str], words: str
) -> None:
    with pytest.raises(BadCache) as caught:
        cache(tmp_path, texts, first_words)
    assert words in str(caught.value)
    # Two classes may have the same verb.
    assert len(read_text_features(cache(tmp_path, texts, first_words, "verb")).f_y) == len(texts)


@pytest.mark.parametrize("text", ["", "  ", "\u200b\ufeff \u2028"])
def test_a_text_of_which_nothing_is_left_names_class_and_file(
    tmp_path: Path, first_words: dict[str, Any], text: str
) -> None:
    with pytest.raises(BadInput, match=r"own.json: no text for class 'b'"):
        cache(tmp_path, {"a": "one", "b": text}, first_words)


def test_a_text_that_the_encoder_drops_names_the_class(tmp_path: Path) -> None:
    # BERT's tokenizer drops the character that stands for what could not be decoded.
    with pytest.raises(BadInput, match="class 'b' .* nothing is left that sentence-bert"):
        cache(tmp_path, {"a": "one", "b": "\ufffd"}, MINILM)
