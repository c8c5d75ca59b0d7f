"""Text features of several encoders and sources side by side; revisions told early."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from zskel.data.caches import TextFeatures
from zskel.data.common.errors import BadInput
from zskel.extractors.text import JOIN, concatenate, embed_classes, known_revision
from zskel.extractors.text.encoders import CLIP, SentenceBERT

NAMES = ("wave", "sit")


class Table:
    """An encoder that looks its rows up."""

    def __init__(self, name: str, rows: dict[str, list[float]]) -> None:
        self.name, self.revision, self._rows = name, f"{name}-1", rows

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([self._rows[text] for text in texts], np.float32)


def features(name: str, rows: dict[str, list[float]], texts: list[list[str]]) -> TextFeatures:
    return embed_classes(Table(name, rows), NAMES, texts, f"source of {name}")


def test_parts_are_scaled_to_unit_length_and_set_side_by_side() -> None:
    first = features("A", {"wave": [3, 4], "sit": [0, 2]}, [["wave"], ["sit"]])
    # The mean of two texts, (2, 0, 0), is scaled, not each text.
    second = features("B", {"w1": [1, 1, 0], "w2": [3, -1, 0], "s1": [0, 0, 5], "s2": [0, 0, -1]},
                      [["w1", "w2"], ["s1", "s2"]])
    found = concatenate([first, second], {"x": 1})
    assert found.f_y.dtype == np.float32
    assert found.f_y == pytest.approx(np.array([[0.6, 0.8, 1, 0, 0], [0, 1, 0, 0, 1]]))
    assert found.text.tolist() == [["wave", "w1", "w2"], ["sit", "s1", "s2"]]
    assert (found.encoder, found.encoder_revision, found.text_source) == (
        "A + B", "A-1 + B-1", "source of A + source of B")
    assert found.class_names == NAMES and found.config == {"x": 1}
    assert found.encoder_revision.split(JOIN) == ["A-1", "B-1"]


def test_a_row_of_zeros_has_no_direction() -> None:
    part = features("A", {"wave": [1, 0], "sit": [0, 0]}, [["wave"], ["sit"]])
    with pytest.raises(BadInput, match="A, text source 'source of A': .*'sit' is all zeros"):
        concatenate([part, part])


def test_local_weights_are_known_without_loading_them(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    file = tmp_path / "clip.pt"
    file.write_bytes(b"two")
    one, two = (f"sha256:{hashlib.sha256(content).hexdigest()}" for content in (b"one", b"two"))
    assert known_revision("sentence_bert", {"model": str(folder)}) == one
    assert known_revision("clip", {"model": str(folder)}) == one
    assert known_revision("clip", {"pretrained": str(file)}) == two
    (folder / "model.safetensors").write_bytes(b"two")
    assert known_revision("sentence_bert", {"model": str(folder)}) == two
    assert known_revision("clip", {"model": "ViT-B-32", "pretrained": "openai"}) == "openai"
    assert known_revision("clip", {"pretrained": "gone.pt"}) is None


def test_a_model_of_the_hub_is_known_by_its_cached_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert known_revision("sentence_bert", {"model": "some-model"}) is None
    for folder, commit in (("models--sentence-transformers--some-model", "a" * 40),
                           ("models--owner--clip", "b" * 40)):
        (tmp_path / folder / "refs").mkdir(parents=True)
        (tmp_path / folder / "refs" / "main").write_text(commit + "\n")
    assert known_revision("sentence_bert", {"model": "some-model"}) == "a" * 40
    assert known_revision("clip", {"model": "hf-hub:owner/clip"}) == "b" * 40
    assert known_revision("clip", {"model": "hf-hub:owner/other"}) is None


def test_what_is_known_is_what_a_loaded_encoder_says() -> None:
    assert SentenceBERT("all-MiniLM-L6-v2").revision == known_revision(
        "sentence_bert", {"model": "all-MiniLM-L6-v2"})
    assert CLIP.known_revision() == "openai"
