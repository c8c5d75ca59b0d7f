"""Files of weights and of text models that do not load: one line that says which and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zskel.data.common.errors import BadInput, MissingModel
from zskel.extractors.text.encoders import CLIP, SentenceBERT
from zskel.extractors.weights import read_state

#: What PyTorch says of a file that it does not load: advice to run what is in it.
RAW = ("weights_only", "two options", "\x1b", "PyTorch 2.6", "torch.load", "Errno")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1234\n"
BERT = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1,
        "intermediate_size": 8, "vocab_size": 30}


def whole(path: Path) -> bytes:
    torch.save({"a": torch.ones(100, 100)}, path)
    return path.read_bytes()


def torchscript(path: Path) -> None:
    with pytest.warns():
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


@pytest.mark.parametrize(("write", "message"), [
    (lambda path: path.write_bytes(b""), "an empty file"),
    (lambda path: path.write_bytes(bytes(5000)), "a file of nothing but zeros"),
    (lambda path: path.write_bytes(POINTER), "a Git LFS pointer.*git lfs pull"),
    (lambda path: path.write_text("<!DOCTYPE html>\n<html>quota</html>"), "a web page"),
    (lambda path: path.write_bytes(whole(path)[:9000]), "damaged, or no file of PyTorch"),
    (lambda path: path.write_bytes(bytes(range(1, 256)) * 9), "damaged, or no file of PyTorch"),
    (lambda path: torch.save(torch.nn.Linear(2, 2), path),
     "it names torch.nn.modules.linear.Linear, which is code; .*state dict alone"),
    (torchscript, "a TorchScript program"),
], ids=["empty", "zeros", "lfs", "html", "half", "noise", "model", "torchscript"])
def test_weights_that_do_not_load_say_why_in_words_of_ours(
    tmp_path: Path, write: Callable[[Path], object], message: str,
    recwarn: pytest.WarningsRecorder,
) -> None:
    path = tmp_path / "w.pth"
    write(path)
    recwarn.clear()
    with pytest.raises(BadInput, match=f"w.pth: no weights that load .*{message}") as caught:
        read_state(path)
    said = str(caught.value)
    assert "\n" not in said and not [word for word in RAW if word in said]
    assert not recwarn.list


def bert_folder(folder: Path) -> Path:
    """Whole but for its weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(BERT))
    (folder / "training_args.bin").write_bytes(b"code that nobody reads")
    return folder


@pytest.mark.parametrize(("file", "content", "message"), [
    ("model.safetensors", b"\x08\0\0\0\0\0\0\0{\"a\":1", "is damaged or cut off"),
    ("model.safetensors", POINTER, "is a Git LFS pointer"),
    ("pytorch_model.bin", b"noise", "cannot be used: no weights that load.*damaged"),
    ("config.json", b'{"model_type": ', "is not JSON"),
    ("config.json", b"", "is an empty file"),
])
def test_a_damaged_text_model_is_called_damaged(
    tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    folder = bert_folder(tmp_path / "mine")
    (folder / file).write_bytes(content)
    with pytest.raises(BadInput, match=f"mine' is damaged: .*{file} {message}") as caught:
        SentenceBERT(str(folder))
    said = str(caught.value)
    assert "download it again, or set class_text.encoder.options.model" in said
    assert "\n" not in said and not [word for word in RAW if word in said]


def test_a_text_model_without_a_file_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="does not load .*is one of its files missing"):
        SentenceBERT(str(bert_folder(tmp_path / "mine")))


def test_a_damaged_model_in_the_hubs_cache_says_what_to_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    root = tmp_path / "models--owner--mine"
    (bert_folder(root / "snapshots" / "abc") / "model.safetensors").write_bytes(POINTER)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("abc")
    with pytest.raises(BadInput, match="'owner/mine' is damaged: .*LFS pointer.*; delete "
                                       f"{root}, and it is downloaded again"):
        SentenceBERT("owner/mine")


def test_a_damaged_clip_checkpoint_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "clip.pt").write_bytes(b"noise")
    with pytest.raises(BadInput, match="clip.pt cannot be used: no weights.*options.pretrained"):
        CLIP("ViT-B-32", str(tmp_path / "clip.pt"))
