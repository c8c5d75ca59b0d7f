"""The schema of result records: what one fit with one gate on one split came to.

Every rate is a fraction of 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zskel.zsl.metrics import harmonic_mean

FORMAT: Final = "zsl-result"
#: Rates that must agree are compared with this tolerance.
TOLERANCE = 1e-6

#: Metrics that a record names at its top level as well as among ``metrics``.
HEADLINE = ("zsl_accuracy", "gzsl_seen_accuracy", "gzsl_unseen_accuracy", "gzsl_harmonic_mean")
_ONCE_AT_TOP_LEVEL = (
    *(f"{name}_class_averaged" for name in HEADLINE),
    "gzsl_oracle_harmonic_mean", "gzsl_ausuc", "domain_auc",
)

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClassResult(_Part):
    """Accuracy of one class.

    Attributes:
        name: The class name, ``class`` in the JSON file.
        index: Its index in the data set.
        unseen: Whether the split holds it out.
        count: Its test clips.
        zsl_accuracy: None for seen classes and where ``count`` is 0.
        gzsl_accuracy: None where ``count`` is 0.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_by_name=True,
        validate_by_alias=True,
    )

    name: str = Field(alias="class")
    index: Count
    unseen: bool
    count: Count
    zsl_accuracy: Fraction | None
    gzsl_accuracy: Fraction | None


class SampleCounts(_Part):
    """Clips per part of the data."""

    train: Count
    test_seen: Count
    test_unseen: Count
    calibration_seen: Count
    calibration_unseen: Count


class Backbone(_Part):
    """The skeleton backbone, its accuracy on the seen classes' test clips, what was
    done to the clips before it and what looked wrong with them."""

    name: str
    weights_sha256: str
    seen_test_accuracy: Fraction | None
    preprocessing: dict[str, Any] = {}
    notices: list[dict[str, str]] = []


class Text(_Part):
    """What embedded the class names, from which text, and of which classes it was cut.

    Attributes:
        tokens: How many tokens of a class at most the method has read; 0: f_y alone.
    """

    encoder: str
    encoder_revision: str
    text_source: str
    cut_classes: list[str] = []
    tokens: int = 0

    @property
    def read(self) -> str:
        """The source, and how much of it was read where that is not f_y alone."""
        return f"{self.text_source}, {self.tokens} tokens" if self.tokens else self.text_source


class History(_Part):
    """Losses per epoch, one dictionary an epoch, of the fits of both phases."""

    test: list[dict[str, float]]
    calibration: list[dict[str, float]]


class CacheDigests(_Part):
    """SHA-256 of the feature caches that were read.

    Attributes:
        text: Of f_y; for methods with text parts that of the first part.
        others: By file name without ending: further text parts and features.
    """

    skeleton_test: Sha256
    skeleton_calibration: Sha256
    text: Sha256
    others: dict[str, Sha256] = {}


class ResultRecord(_Part):
    """One result: method, variant, protocol, split, seed and what they came to.

    ``metrics`` holds every metric of ``zskel.zsl.metrics.METRICS`` by name; docs/metrics.md
    says what they are. ``HEADLINE`` names those that stand at the top level as well.
    ``seen_unseen_curve`` holds pairs of seen and unseen accuracy, ``domain_roc`` false
    and true positive rates of the decision for "seen". ``gate_key`` is empty for an
    experiment's own gate and the name of one that was evaluated beside it otherwise.
    ``selection`` says what the protocol chose on which rows.

    Raises:
        pydantic.ValidationError: A field is missing, unknown or out of range, or
            two fields contradict each other.
    """

    format: Literal["zsl-result"] = FORMAT
    format_version: Literal[1] = 1
    experiment: str
    dataset: str
    sample_protocol: str
    method: str
    variant: str
    protocol: str
    split: str
    seed: Count
    gate_key: str = ""
    seen_classifier: str = "f_x"

    zsl_accuracy: Fraction
    gzsl_seen_accuracy: Fraction
    gzsl_unseen_accuracy: Fraction
    gzsl_harmonic_mean: Fraction
    metrics: dict[str, Fraction | None]
    seen_unseen_curve: list[tuple[Fraction, Fraction]] = []
    domain_roc: list[tuple[Fraction, Fraction]] = []

    per_class: list[ClassResult]
    counts: SampleCounts
    seen_classes: list[str]
    unseen_classes: list[str]
    validation_unseen_classes: list[str]
    backbone: Backbone
    text: Text
    gate: dict[str, Any]
    selection: dict[str, Any] = {}
    history: History
    config: dict[str, Any]
    config_digest: Sha256
    cache_digests: CacheDigests
    software: dict[str, str]
    created: str
    duration_seconds: Annotated[float, Field(ge=0)]
    arrays: str = ""

    @model_validator(mode="before")
    @classmethod
    def _metrics_together(cls, value: Any) -> Any:
        """Records of earlier releases have all their metrics at the top level, and only there."""
        if not isinstance(value, dict) or "metrics" in value:
            return value
        found = {name: value[name] for name in (*HEADLINE, *_ONCE_AT_TOP_LEVEL) if name in value}
        rest = {name: item for name, item in value.items() if name not in _ONCE_AT_TOP_LEVEL}
        return {**rest, "metrics": found}

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> ResultRecord:
        for name in HEADLINE:
            again = self.metrics.get(name)
            _demand(again == getattr(self, name),
                    f"{name} is {getattr(self, name)}, but metrics.{name} is {again}")
        for suffix in ("", "_class_averaged"):
            seen, unseen, given = (self.metrics.get(f"gzsl_{name}{suffix}") for name in (
                "seen_accuracy", "unseen_accuracy", "harmonic_mean"))
            if seen is None or unseen is None or given is None:
                continue
            expected = harmonic_mean(seen, unseen)
            _demand(math.isclose(given, expected, abs_tol=TOLERANCE),
                    f"gzsl_harmonic_mean{suffix} is {given:.6f}, but that of the seen and "
                    f"unseen accuracy is {expected:.6f}")
        seen_names, unseen_names = set(self.seen_classes), set(self.unseen_classes)
        _demand(bool(seen_names) and bool(unseen_names), "seen_classes or unseen_classes is empty")
        both = seen_names & unseen_names
        _demand(not both, f"{min(both, default='')!r} is in seen_classes and in unseen_classes")
        stray = set(self.validation_unseen_classes) - seen_names
        _demand(not stray, f"validation_unseen_classes holds {min(stray, default='')!r}, "
                "which is not a seen class")
        names = [entry.name for entry in self.per_class]
        _demand(sorted(names) == sorted(seen_names | unseen_names),
                "per_class does not list each seen and unseen class once")
        _demand(len({entry.index for entry in self.per_class}) == len(names),
                "per_class gives two classes the same index")
        for entry in self.per_class:
            _demand(entry.unseen == (entry.name in unseen_names),
                    f"per_class says unseen={entry.unseen} of {entry.name!r}, "
                    "unseen_classes says otherwise")
            _demand((entry.gzsl_accuracy is None) == (entry.count == 0)
                    and (entry.zsl_accuracy is None) == (entry.count == 0 or not entry.unseen),
                    f"per_class: {entry.name!r} has an accuracy without clips or lacks one")
        for field, unseen in (("test_seen", False), ("test_unseen", True)):
            total = sum(entry.count for entry in self.per_class if entry.unseen == unseen)
            _demand(total == getattr(self.counts, field),
                    f"counts.{field} is {getattr(self.counts, field)}, "
                    f"per_class adds up to {total}")
        return self

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return result_stem(self.method, self.variant, self.protocol, self.split, self.seed,
                           self.gate_key)

    @property
    def unseen_indices(self) -> tuple[int, ...]:
        """Indices of the unseen classes in the data set, ascending."""
        return tuple(sorted(entry.index for entry in self.per_class if entry.unseen))


def result_stem(
    method: str, variant: str, protocol: str, split: str, seed: int, gate_key: str = ""
) -> str:
    """The name of a result's files, without their endings.

    >>> result_stem("sa_dvae", "fd+tc", "strict", "ru5", 0)
    'sa_dvae-fd-tc-strict-ru5-seed0'
    >>> result_stem("sa_dvae", "fd+tc", "strict", "ru5", 0, "hard")
    'sa_dvae-fd-tc-strict-ru5-gate-hard-seed0'
    """
    gate = [f"gate-{slugify(gate_key)}"] if gate_key else []
    return "-".join([*map(slugify, (method, variant, protocol, split)), *gate, f"seed{seed}"])


def changed_caches(then: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Caches that are not what a fit has read, where they are there at all.

    Args:
        then: A result's ``CacheDigests``, as a dictionary.
        now: SHA-256 of the files that are there, by name without ending.

    >>> changed_caches({"text": "a", "others": {"text_noun": "b"}},
    ...                {"text_verb": "a", "text_noun": "c"})
    ['text_noun']
    """
    changed = [name for name, digest in then.get("others", {}).items()
               if now.get(name, digest) != digest]
    for name in ("skeleton_test", "skeleton_calibration", "text"):
        # The name stands for f_x or a view taken for it, and for f_y or the first text part.
        there = {digest for file, digest in now.items() if file.startswith(name)}
        if there and then.get(name) not in there:
            changed.append(name)
    return changed


def slugify(text: str) -> str:
    """Lower-case file-name form of a name.

    >>> slugify("FD+TC"), slugify("sa_dvae"), slugify("NTU-60 55/5")
    ('fd-tc', 'sa_dvae', 'ntu-60-55-5')
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "none"


def _demand(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def first_problem(error: ValidationError) -> str:
    """What a record's first wrong field is, and why, in one line."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if first["type"] == "missing":
        return f"field {field!r} is missing; fit again"
    if first["type"] == "extra_forbidden":
        return f"field {field!r} is unknown to this release"
    if not field:
        return message
    shown = repr(first["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"field {field!r} is {shown}: {message}"
