"""Runs a trained backbone over clips: f_x and logits."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmaction.registry import MODELS
from mmengine.dataset import pseudo_collate
from torch import nn

from zskel.data.common.errors import BadInput
from zskel.data.store import SequenceStore
from zskel.extractors.dataset import StoreClips
from zskel.extractors.heads.text_supervised import TextAlignment
from zskel.extractors.inference import Recognizer, exact, recognizer
from zskel.extractors.passes import Grouping, Halving
from zskel.extractors.sharing import ahead
from zskel.extractors.training import BackboneSpec
from zskel.extractors.weights import SUPERVISING_TEXT, load_into, read_state

Clips = Sequence[dict[str, Any]]


def load_model(spec: BackboneSpec, weights: str | os.PathLike[str], num_classes: int) -> nn.Module:
    """Builds the recognizer and loads its weights, in eval mode.

    Args:
        spec: What to build.
        weights: Any file that ``zskel.extractors.weights`` reads.
        num_classes: Of the head.

    Raises:
        BadInput: The weights do not fit the model.
    """
    state = read_state(weights)
    text = state.get(SUPERVISING_TEXT)
    if spec.text_supervision is not None and (text is None or text.dim() != 2):
        raise BadInput(f"{weights}: were not trained with the classes' texts; leave "
                       "backbone.text_supervision out, or leave --weights out to train some")
    model = MODELS.build(spec.model_config(num_classes, text))
    load_into(model, state, weights, f"{spec.name} with {num_classes} classes")
    return model.eval()


def extract_features(
    model: nn.Module,
    spec: BackboneSpec,
    store: SequenceStore,
    rows: np.ndarray,
    batch_size: int = 32,
    on_progress: Callable[[int, int], None] | None = None,
    fast: bool = True,
) -> tuple[np.ndarray, ...]:
    """f_x and logits of the given rows, in their order; then pooled views of the same passes.

    f_x is what the head's last linear layer reads: the backbone's output,
    averaged over bodies, frames and joints, and over sampled clips where
    ``test_pipeline`` takes several of a recording. Where ``spec.text_supervision`` says
    "aligned" it is h instead, that output in the space of the texts.

    A pass that does not fit into memory is run in halves, with a warning.
    ``zskel.extractors.shards.extract_in_processes`` gives the same to the bit, by several
    processes, and keeps what is done.

    Args:
        model: From ``load_model``.
        spec: The model's spec; its ``test_pipeline`` samples the frames. If its
            ``extract_autocast`` is not "float32" the features are less precise. Its
            ``pools`` are the views.
        store: Where the clips are.
        rows: Store rows, ``[N]``.
        batch_size: Sampled clips a forward pass; those of a pass have the same
            length. A recording whose ``test_pipeline`` takes more of it has a pass
            of its own.
        on_progress: Called with (clips done, N).
        fast: Skips absent bodies and folds what can be folded where the model
            allows it, see ``zskel.extractors.inference``; features differ from the
            direct ones by less than 1e-4.

    Returns:
        Float32 ``[N, D]`` and ``[N, S]``; float16 ``[N, ..., D]`` for each view.

    Raises:
        BadInput: A feature is not finite; the message names the clip. Or the views of
            clips have different shapes, or there is no map to take them from.
        PipelineError: A single clip does not fit into memory.
    """
    dataset, network = clips_of(spec, store, rows), Network(model, spec, fast)
    every: list[dict[int, np.ndarray]] = [{} for _ in range(2 + len(spec.pools))]
    for positions, clips in ahead(_passes(dataset, batch_size)):
        network.begin(clips[0])
        for found, part in zip(every, network(clips)):
            found.update(zip(positions, part))
        if on_progress is not None:
            on_progress(len(every[0]), len(rows))
    for found in every:
        require_one_shape({part.shape[:-1] for part in found.values()})
    arrays = tuple(np.stack([found[position] for position in range(len(rows))]) for found in every)
    require_finite(arrays[0], store, rows)
    return arrays


class Network:
    """A model as a function from clips to their features.

    Args:
        model, spec, fast: As for ``extract_features``.
        on_notice: Gets a line where a pass does not fit into memory; default: warns.
    """

    def __init__(
        self, model: nn.Module, spec: BackboneSpec, fast: bool = True,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self._pools = spec.pools
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model, self._fast = model.to(self._device), fast
        self._aligned = (spec.text_supervision or {}).get("features") == "aligned"
        self._autocast = None if spec.extract_autocast == "float32" else getattr(
            torch, spec.extract_autocast)
        self._notice = on_notice or _warn
        self._run: Halving | None = None

    @property
    def cut(self) -> int:
        """How many passes did not fit into memory and were run in parts."""
        return self._run.cut if self._run is not None else 0

    def begin(self, clip: dict[str, Any]) -> None:
        """Decides how to run the model, by the shape of the first clip of an extraction."""
        if self._run is None:
            run = recognizer(self._model, tuple(self._inputs([clip]).shape[1:]), self._fast,
                             pools=self._pools)
            if self._aligned:
                run = _aligned(run, self._model.cls_head.alignment)
            self._run = Halving(run, self._device, self._notice)

    def __call__(self, clips: Clips) -> tuple[np.ndarray, ...]:
        """What ``extract_features`` returns, of clips of one shape, in one pass."""
        assert self._run is not None, "begin first"
        with exact(self._device, self._autocast):
            f_x, logits, *views = (
                part.view(len(clips), -1, *part.shape[1:]).mean(dim=1).numpy()
                for part in self._run(self._inputs(clips))
            )
        return (f_x, logits, *(view.astype(np.float16) for view in views))

    def _inputs(self, clips: Clips) -> torch.Tensor:
        return self._model.data_preprocessor(pseudo_collate(clips), training=False)["inputs"]


def _aligned(run: Recognizer, alignment: TextAlignment) -> Recognizer:
    """Gives h in place of f_x."""
    def aligned(inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        f_x, *others = run(inputs)
        return (alignment.embed(f_x), *others)

    return aligned


def clips_of(spec: BackboneSpec, store: SequenceStore, rows: np.ndarray) -> StoreClips:
    """The clips of an extraction; each is used once."""
    return StoreClips(store, rows, np.full(len(rows), -1), spec.prepare, spec.test_pipeline,
                      hold=False)


def require_one_shape(shapes: Collection[tuple[int, ...]]) -> None:
    """Checks that all clips have features of one shape.

    Raises:
        BadInput: They have not: the maps are of different lengths.
    """
    if len(shapes) > 1:
        lengths = sorted({shape[0] for shape in shapes})
        raise BadInput(f"feature views: the map has from {lengths[0]} to {lengths[-1]} frames, by "
                       "the clip; frame_means needs a backbone.test_pipeline that samples as many "
                       "frames of each")


def require_finite(f_x: np.ndarray, store: SequenceStore, rows: np.ndarray) -> None:
    """Checks the features of all rows, ``[N, D]``.

    Raises:
        BadInput: One is not finite; the message names its clip.
    """
    bad = np.flatnonzero(~np.isfinite(f_x).all(axis=1))
    if len(bad):
        raise BadInput(f"clip {store.sample_id[rows[bad[0]]]!r} gives non-finite features "
                       f"({len(bad)} clips in all); look at its coordinates in {store.path}")


def _passes(
    dataset: StoreClips, batch_size: int
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Positions and clips of each pass, as soon as it is full."""
    grouping, waiting = Grouping(batch_size), {}
    for position in range(len(dataset)):
        waiting[position] = dataset[position]
        full = grouping.add(position, tuple(waiting[position]["inputs"].shape))
        if full is not None:
            yield full, [waiting.pop(each) for each in full]
    for positions in grouping.rest():
        yield positions, [waiting.pop(each) for each in positions]


def _warn(notice: str) -> None:
    warnings.warn(notice, RuntimeWarning, stacklevel=2)
