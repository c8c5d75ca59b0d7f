"""Every method of the registry in a size for tests, a new one included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zskel.zsl.methods import METHODS
from zskel.zsl.methods.base import ZeroShotMethod

# By name of the option, whichever method has it: networks of few units, classifiers of few draws.
SIZES: dict[str, Any] = dict(
    epochs=2, batch_size=16, latent_dim=6, z_r_dim=6, z_v_dim=2,
    encoder_x_hidden=(12,), decoder_x_hidden=(12,), encoder_y_hidden=(12,), decoder_y_hidden=(12,),
    classifier_samples=20, classifier_epochs=20, classifier_learning_rate=0.05,
    joint_samples=10, joint_seen_samples=10, joint_unseen_samples=10,
    embedding_dim=6, text_hidden_dim=9, code_dim=7, hidden_dims=(12, 8), hidden_dim=12,
    depth=1, width=8, heads=2, noises=2, prototypes=8, attention_dim=5,
)


def texts_of(method: Any, f_y: Any, parts: Mapping[str, Any]) -> Any:
    """What a method takes: f_y, or its text parts, f_y for those that are not given."""
    return {part: parts.get(part, f_y) for part in method.text_parts} or f_y


def small(name: str, **options: Any) -> ZeroShotMethod:
    """A method of few units and two epochs; ``options`` are on top of that."""
    known = METHODS.get(name).params_model.model_fields
    sizes = {option: value for option, value in SIZES.items() if option in known}
    return METHODS.build(name, **{**sizes, **options})
