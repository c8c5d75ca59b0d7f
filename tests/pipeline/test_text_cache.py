"""What makes a text cache current, parts side by side, and parts of speech."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import read_text_features
from zskel.data.common.errors import BadConfig
from zskel.data.texts import parts_of_speech
from zskel.pipeline.base.config import Experiment, find_config, load_experiment
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.inspect.inspect import inspect
from zskel.pipeline.steps.made_from import text_changes_of
from zskel.pipeline.steps.text_cache import text_caches

CODE = """
import numpy as np

def letters(texts, only="abcdefghijklmnopqrstuvwxyz#"):
    return np.array([[text.lower().count(c) for c in only] for text in texts], float) + 0.5
"""


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path / "work")


@pytest.fixture
def encoder(tmp_path: Path) -> dict[str, Any]:
    """A text encoder that is quick and can be replaced."""
    (tmp_path / "mine.py").write_text(CODE)
    return {"name": "function", "options": {"function": f"{tmp_path / 'mine.py'}:letters"}}


def letters(texts: list[str], only: str = "abcdefghijklmnopqrstuvwxyz#") -> np.ndarray:
    return np.array([[text.lower().count(c) for c in only] for text in texts], float) + 0.5


def experiment(**sections: Any) -> Experiment:
    demo = load_experiment("demo").model_dump()
    return Experiment.model_validate({**demo, "class_text_parts": {}, **sections})


def stamp(path: Path) -> int:
    """Its time, set back so that a new file differs."""
    os.utime(path, (1, 1))
    return path.stat().st_mtime_ns


def test_tokens_are_kept_where_they_are_asked_for(
    work: WorkDir, encoder: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    minilm = {"encoder": {"name": "sentence_bert", "options": {"model": "all-MiniLM-L6-v2"}}}
    plain, study = (experiment(class_text=minilm | more) for more in ({}, {"tokens": 6}))
    assert "tokens" not in plain.model_dump(mode="json")["class_text"]  # digests stay
    text_caches(plain, work)
    before = read_text_features(work.text)
    text_caches(study, work)
    assert "6 tokens a class" in capsys.readouterr().err
    found, old = read_text_features(work.text), stamp(work.text)
    assert found.token_features is not None and found.token_features.shape[1:] == (6, 384)
    np.testing.assert_array_equal(found.f_y, before.f_y)
    shown = inspect(work.text)
    assert shown["token_features"].startswith(f"{len(found.f_y)} x 6 x 384, ")
    text_caches(study, work)
    assert work.text.stat().st_mtime_ns == old
    for changed in (plain, experiment(class_text=minilm | {"tokens": 5})):
        told, = text_changes_of(changed.class_text, found)
        assert told.startswith("class_text.tokens ")
    with pytest.raises(BadConfig, match="gives no features of tokens"):
        text_caches(experiment(class_text={"encoder": encoder, "tokens": 6}), work)


def test_kept_until_the_encoders_own_file_changes(
    work: WorkDir, encoder: dict[str, Any], tmp_path: Path
) -> None:
    study = experiment(class_text={"encoder": encoder})
    text_caches(study, work)
    before, old = read_text_features(work.text), stamp(work.text)
    text_caches(study, work)
    assert work.text.stat().st_mtime_ns == old
    (tmp_path / "mine.py").write_text(CODE.replace("+ 0.5", "+ 1"))
    text_caches(study, work)
    after = read_text_features(work.text)
    assert after.f_y == pytest.approx(before.f_y + 0.5)
    assert after.encoder_revision != before.encoder_revision
    # Without the file nothing says that the cache is not what it was.
    (tmp_path / "mine.py").unlink()
    old = stamp(work.text)
    text_caches(study, work)
    assert work.text.stat().st_mtime_ns == old


def test_replaced_local_weights_are_noticed(
    work: WorkDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zskel.extractors.text.encoders as encoders

    class Digesting:
        """Embeds by what stands in its weights."""

        def __init__(self, model: str) -> None:
            self.name, self._value = "digesting", (Path(model) / "w.bin").read_bytes()[0]
            self.revision = self.known_revision(model)
            loaded.append(model)

        known_revision = staticmethod(encoders.SentenceBERT.known_revision)

        def encode(self, texts: list[str]) -> np.ndarray:
            return np.array([[self._value, row] for row in range(len(texts))], np.float32)

    loaded: list[str] = []
    monkeypatch.setitem(encoders.ENCODERS._parts, "digesting", Digesting)
    (tmp_path / "w.bin").write_bytes(b"\x01")
    study = experiment(class_text={
        "encoder": {"name": "digesting", "options": {"model": str(tmp_path)}}})
    text_caches(study, work)
    text_caches(study, work)
    assert len(loaded) == 1, "kept without loading"
    (tmp_path / "w.bin").write_bytes(b"\x07")
    text_caches(study, work)
    assert (read_text_features(work.text).f_y[:, 0] == 7).all()


def test_sources_and_encoders_side_by_side(work: WorkDir, encoder: dict[str, Any]) -> None:
    vowels = {"name": "function", "options": {**encoder["options"], "only": "aeiou"}}
    study = experiment(class_text={"encoder": encoder, "concat_with": [
        {"source": {"name": "verb"}},
        {"encoder": vowels, "source": {"name": "template", "options": {
            "templates": ["{}", "a {}"]}}},
    ]})
    text_caches(study, work)
    found = read_text_features(work.text)
    names = list(found.class_names)
    verbs = [parts_of_speech("synthetic")[name].verb for name in names]
    three = [letters(names), letters(verbs),
             (letters(names, "aeiou") + letters(["a " + name for name in names], "aeiou")) / 2]
    expected = np.hstack([part / np.linalg.norm(part, axis=1, keepdims=True) for part in three])
    assert found.f_y == pytest.approx(expected, abs=1e-6)
    assert found.text.tolist() == [
        [name, verb, name, f"a {name}"] for name, verb in zip(names, verbs)]
    assert found.text_source == "label + verb + template"
    assert found.encoder == " + ".join(["function:mine.py:letters"] * 3)
    old = stamp(work.text)
    text_caches(study, work)
    assert work.text.stat().st_mtime_ns == old
    fewer = experiment(class_text={"encoder": encoder})
    text_caches(fewer, work)
    assert read_text_features(work.text).f_y.shape == (40, 27)


def test_parts_of_speech_have_caches_of_their_own(work: WorkDir, encoder: dict[str, Any]) -> None:
    study = experiment(class_text={"encoder": encoder}, class_text_parts={
        name: {"encoder": encoder, "source": {"name": name}} for name in ("verb", "noun")})
    text, parts = text_caches(study, work)
    assert text == work.text and set(parts) == {"verb", "noun"}
    table = parts_of_speech("synthetic")
    for name, path in parts.items():
        assert path == work.text_part(name) == work.root / "features" / f"text_{name}.h5"
        found = read_text_features(path)
        own = [getattr(table[label], name) for label in found.class_names]
        assert found.text.tolist() == own
        assert found.f_y == pytest.approx(letters(own))
    assert "#" in read_text_features(parts["noun"]).text, "a label without a noun"
    listed = {part["part"]: part["kind"] for part in inspect(work.root)["parts"]}
    assert listed["features/text_verb.h5"] == "text features of a part of speech"
    assert text_caches(experiment(class_text={"encoder": encoder}), work) == (work.text, {})


@pytest.mark.parametrize(("base", "model"), [
    ("verb_noun_parts", "all-MiniLM-L6-v2"), ("verb_noun_parts_stsb", "stsb-bert-large"),
])
def test_the_shipped_parts_go_with_any_experiment(tmp_path: Path, base: str, model: str) -> None:
    shipped = find_config("demo").parent / "_base_"
    bases = [str(shipped / f"{part}.py") for part in (
        "datasets/synthetic", "backbones/stgcn_tiny", "methods/sa_dvae", "text/minilm_label",
        f"text/{base}")]
    path = tmp_path / "mine.py"
    path.write_text(f"_base_ = {bases}\nsplit = dict(name='default')\n")
    study = load_experiment(str(path))
    assert list(study.class_text_parts) == ["verb", "noun"]
    for name, part in study.class_text_parts.items():
        assert part.source.name == name and part.encoder.options["model"] == model
    assert study.class_text == load_experiment("demo").class_text


TEXT_CONFIGS = sorted((find_config("demo").parent / "_base_" / "text").glob("*.py"))


@pytest.mark.parametrize("file", TEXT_CONFIGS, ids=lambda file: file.stem)
def test_every_shipped_text_config_is_valid(tmp_path: Path, file: Path) -> None:
    from zskel.extractors.text import ENCODERS
    from zskel.extractors.text.sources import SOURCES

    bases = [str(file), *(str(file.parents[1] / part) for part in (
        "datasets/synthetic.py", "backbones/stgcn_tiny.py", "methods/sa_dvae.py"))]
    if "class_text = " not in file.read_text():
        bases.append(str(file.with_name("minilm_label.py")))
    path = tmp_path / "mine.py"
    path.write_text(f"_base_ = {bases}\nsplit = dict(name='default')\n")
    study = load_experiment(str(path))
    for config in (study.class_text, *study.class_text_parts.values()):
        assert config.encoder.name in ENCODERS.names()
        for part in (config, *config.concat_with):
            assert part.source.name in SOURCES.names()


def test_parts_cannot_be_called_anything(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="class_text_parts"):
        load_experiment("demo", ["class_text_parts={'../verb': {'encoder': {'name': 'clip'}}}"])
