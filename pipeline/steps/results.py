"""Result records as files: a JSON file each, with the arrays of its test rows beside it.

JSON is readable and scriptable; the arrays lie in an ``.npz`` file of the same name.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path, read_text, write_json
from zskel.data.common.limits import ZIP_DAMAGE, check_npz
from zskel.data.common.os_errors import raise_refusal
from zskel.pipeline.steps.result_record import TOLERANCE, ResultRecord, first_problem


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
        p_u: Float ``[N, U]``, C_u's probabilities of the unseen classes by ascending
            index; None in files of earlier versions.
    """

    label: np.ndarray
    sample_id: np.ndarray
    zsl_prediction: np.ndarray
    gzsl_prediction: np.ndarray
    p_seen: np.ndarray
    z_r: np.ndarray
    z_v: np.ndarray
    p_u: np.ndarray | None = None


#: Name -> (kinds of dtype, dimensions) of the arrays in the .npz file.
_ARRAYS = {
    "label": ("iu", 1), "sample_id": ("U", 1), "zsl_prediction": ("iu", 1),
    "gzsl_prediction": ("iu", 1), "p_seen": ("f", 1), "z_r": ("f", 2), "z_v": ("f", 2),
}
_OPTIONAL = {"p_u": ("f", 2)}


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
    check_arrays(record, arrays, f"arrays of {path.name}")
    path.unlink(missing_ok=True)
    npz = path.with_suffix(".npz")
    with atomic_path(npz) as temporary:
        np.savez_compressed(temporary, **{
            name: array for name, array in vars(arrays).items() if array is not None})
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
            arrays = ResultArrays(**{
                name: file[name] for name in (*_ARRAYS, *_OPTIONAL) if name in file.files})
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
    for name, (kinds, dims) in {**_ARRAYS, **_OPTIONAL}.items():
        array = getattr(arrays, name)
        if array is None and name in _OPTIONAL:
            continue
        require(array.dtype.kind in kinds and array.ndim == dims,
                f"{name} is {array.dtype} with {array.ndim} dimensions, expected {dims} and "
                f"{_KINDS[kinds[0]]}")
        require(len(array) == rows, f"{name} has {len(array)} rows, the record counts {rows}")
    require(arrays.p_u is None or arrays.p_u.shape[1] == len(record.unseen_indices),
            "p_u has not a column for each unseen class")
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
