"""Result records: what one fit of one method on one split with one seed came to.

A record is a JSON file, readable and scriptable, with the arrays of its test
rows beside it in an ``.npz`` file of the same name. Every rate is a fraction of 1.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path, read_text, write_json
from zskel.data.common.limits import ZIP_DAMAGE, check_npz
from zskel.data.common.os_errors import raise_refusal
from zskel.zsl.metrics import harmonic_mean

FORMAT: Final = "zsl-result"
FORMAT_VERSION: Final = 1
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
    """What embedded the class names, from which text, and of which classes it was cut."""

    encoder: str
    encoder_revision: str
    text_source: str
    cut_classes: list[str] = []


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
    format_version: Literal[1] = FORMAT_VERSION
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


@dataclass(frozen=True)
class ResultArrays:
    """What a record says of each test clip.

    Attributes:
        label: Int ``[N]``, class indices.
        sample_id: Strings ``[N]``.
        zsl_prediction: Int ``[N]``, -1 where the clip's class is seen.
        gzsl_prediction: Int ``[N]``.
        p_seen: Float ``[N]``, the gate's probability that the class is seen.
        z_r: Float ``[N, D_r]``, semantic-related latent.
        z_v: Float ``[N, D_v]``, semantic-irrelevant latent; D_v is 0 in naive alignment.
    """

    label: np.ndarray
    sample_id: np.ndarray
    zsl_prediction: np.ndarray
    gzsl_prediction: np.ndarray
    p_seen: np.ndarray
    z_r: np.ndarray
    z_v: np.ndarray


#: Name -> (kinds of dtype, dimensions) of the arrays in the .npz file.
_ARRAYS = {
    "label": ("iu", 1), "sample_id": ("U", 1), "zsl_prediction": ("iu", 1),
    "gzsl_prediction": ("iu", 1), "p_seen": ("f", 1), "z_r": ("f", 2), "z_v": ("f", 2),
}


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


def slugify(text: str) -> str:
    """Lower-case file-name form of a name.

    >>> slugify("FD+TC"), slugify("sa_dvae"), slugify("NTU-60 55/5")
    ('fd-tc', 'sa_dvae', 'ntu-60-55-5')
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "none"


def write_result(
    work_dir: str | os.PathLike[str], record: ResultRecord, arrays: ResultArrays
) -> Path:
    """Writes a record and its arrays into ``<work_dir>/results``.

    A JSON file always belongs to the arrays beside it: an older one is taken
    away first and the new one appears last, so an interrupted write leaves no
    record rather than a mixed one.

    Returns:
        Path of the JSON file.

    Raises:
        BadInput: The arrays contradict the record; nothing is written.
    """
    path = Path(work_dir) / "results" / f"{record.stem}.json"
    arrays = ResultArrays(**{
        field.name: np.asarray(getattr(arrays, field.name)) for field in fields(arrays)
    })
    if arrays.sample_id.dtype.kind == "O":
        arrays = ResultArrays(**{**vars(arrays), "sample_id": arrays.sample_id.astype(str)})
    check_arrays(record, arrays, f"arrays of {path.name}")
    path.unlink(missing_ok=True)
    npz = path.with_suffix(".npz")
    with atomic_path(npz) as temporary:
        np.savez_compressed(temporary, **vars(arrays))
    whole = record.model_copy(update={"arrays": npz.name})
    write_json(path, whole.model_dump(mode="json", by_alias=True))
    return path


def read_result(path: str | os.PathLike[str]) -> ResultRecord:
    """Reads and checks a record.

    Raises:
        BadInput: The file is absent, no JSON, no result record, of another
            version, or one of its fields is wrong; the message names the field.
    """
    try:
        value = json.loads(read_text(path))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); `pipeline fit` writes "
                       "result records") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error}); delete it and fit again") from None
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        raise BadInput(f"{path}: field 'format' is {found!r}, a result record has {FORMAT!r}; "
                       "keep other files out of results/")
    if value.get("format_version") != FORMAT_VERSION:
        raise BadInput(f"{path}: field 'format_version' is {value.get('format_version')!r}, "
                       f"this release reads {FORMAT_VERSION}; fit again")
    try:
        record = ResultRecord.model_validate(value)
    except ValidationError as error:
        raise BadInput(f"{path}: {first_problem(error)}") from None
    if Path(record.arrays).name != record.arrays:
        raise BadInput(f"{path}: field 'arrays' is {record.arrays!r}, expected a plain file name")
    return record


def read_arrays(path: str | os.PathLike[str], record: ResultRecord) -> ResultArrays | None:
    """Reads the arrays beside a record's JSON file.

    Args:
        path: Of the JSON file.
        record: What that file holds.

    Returns:
        The arrays, or None if the ``.npz`` file is not there (a record stays
        readable when it travels alone).

    Raises:
        BadInput: The file is damaged or contradicts the record.
    """
    npz = Path(path).with_name(record.arrays) if record.arrays else None
    if npz is None or not npz.is_file():
        return None
    try:
        check_npz(npz)
        with np.load(npz, allow_pickle=False) as file:
            missing = [name for name in _ARRAYS if name not in file.files]
            if missing:
                raise BadInput(f"{npz}: array {missing[0]!r} is missing; fit again")
            arrays = ResultArrays(**{name: file[name] for name in _ARRAYS})
    except BadInput:
        raise
    except (OSError, ValueError, EOFError, *ZIP_DAMAGE) as error:
        raise_refusal(error, npz)
        raise BadInput(f"{npz}: not a readable .npz file ({error}); fit again") from None
    check_arrays(record, arrays, str(npz))
    return arrays


def find_results(work_dir: str | os.PathLike[str]) -> list[Path]:
    """JSON files in ``<work_dir>/results``, sorted by name."""
    return sorted((Path(work_dir) / "results").glob("*.json"))


def check_arrays(record: ResultRecord, arrays: ResultArrays, where: str) -> None:
    """Checks dtypes and shapes, and that the accuracies of the record follow from the arrays.

    Raises:
        BadInput: With the first broken rule, after ``where``.
    """
    def require(condition: bool, problem: str) -> None:
        if not condition:
            raise BadInput(f"{where}: {problem}")

    rows = record.counts.test_seen + record.counts.test_unseen
    for name, (kinds, dims) in _ARRAYS.items():
        array = getattr(arrays, name)
        require(array.dtype.kind in kinds and array.ndim == dims,
                f"{name} is {array.dtype} with {array.ndim} dimensions, expected {dims} and "
                f"{' or '.join(_KINDS[kind] for kind in kinds[:1])}")
        require(len(array) == rows, f"{name} has {len(array)} rows, the record counts {rows}")
    unseen = np.isin(arrays.label, record.unseen_indices)
    require(bool(np.all((arrays.zsl_prediction == -1) == ~unseen)),
            "zsl_prediction must be -1 exactly where the label is a seen class")
    known = [entry.index for entry in record.per_class]
    require(bool(np.isin(arrays.label, known).all()), "label holds a class that per_class lacks")
    require(bool(np.isin(arrays.gzsl_prediction, known).all()),
            "gzsl_prediction holds a class that per_class lacks")
    require(bool(np.isin(arrays.zsl_prediction[unseen], record.unseen_indices).all()),
            "zsl_prediction holds a class that is not unseen")
    for field, prediction, mask in (
        ("zsl_accuracy", arrays.zsl_prediction, unseen),
        ("gzsl_unseen_accuracy", arrays.gzsl_prediction, unseen),
        ("gzsl_seen_accuracy", arrays.gzsl_prediction, ~unseen),
    ):
        if mask.any():
            rate = float(np.mean(prediction[mask] == arrays.label[mask]))
            require(math.isclose(rate, getattr(record, field), abs_tol=TOLERANCE),
                    f"the predictions give {field} {rate:.6f}, the record says "
                    f"{getattr(record, field):.6f}")


_KINDS = {"i": "integers", "U": "strings", "f": "floats"}


def _demand(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def first_problem(error: ValidationError) -> str:
    """What a record's first wrong field is, and why, in one line."""
    first = error.errors()[0]
    field = _join(first["loc"])
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


def _join(location: Iterable[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
