"""The mapping file: which of one's own arrays is what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zskel.data.common.errors import BadConfig
from zskel.data.common.files import read_text
from zskel.data.common.registry import nearest


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Section):
    """One file of clips; several are set one below the other.

    An array is called by its name in ``file``, or by a file of its own:
    ``x.npy``, ``x.npz:name`` or ``x.h5:path``. Paths are relative to the mapping file.

    Attributes:
        file: An .npz or HDF5 file.
        f_x: Features ``[N, D]`` (of the test-phase backbone).
        f_x_calibration: Those of a calibration-phase backbone; None: the same.
        label: Class index of each clip, or its class name.
        class_names: Names in label order: an array, or the list itself.
        logits, logits_calibration: Of all classes of this source, ``[N, C]``.
        subset: "train", "test" or "calibration", where that holds for all clips of
            the source; else an array of these, or of booleans (true trains).
        train_subjects: Subjects that train, instead of ``subset``.
        subject, camera, setup, replication: Whole numbers, ``[N]``.
        subject_offset: Added to ``subject``, where files number different people alike.
        sample_id: Unique names; None: made up from file and row.
    """

    file: str | None = None
    f_x: str = "f_x"
    f_x_calibration: str | None = None
    label: str = "label"
    class_names: str | list[str] = "class_names"
    logits: str | None = None
    logits_calibration: str | None = None
    subset: str | None = None
    train_subjects: list[int] | None = None
    subject: str | None = None
    camera: str | None = None
    setup: str | None = None
    replication: str | None = None
    subject_offset: int = 0
    sample_id: str | None = None


class Split(_Section):
    """Unseen classes, as indices or names.

    Attributes:
        name: Goes into results.
        validation_unseen: None: drawn with ``validation_seed``, as many.
    """

    name: str = "own"
    unseen: list[int | str]
    validation_unseen: list[int | str] | None = None
    validation_seed: int = 0


class Calibration(_Section):
    """Training subjects held out whole; see ``zskel.data.splits.held_out_groups``."""

    share: float = Field(0.25, gt=0, lt=1)
    subjects: list[int] | None = None
    seed: int = 0


class Text(_Section):
    """f_y of one's own, ``[C, D]`` in the order of the classes.

    Attributes:
        f_y: An array, called as in a source.
        texts: The strings that were embedded, ``[C]``; None: the class names.
        encoder, source: What made f_y, and what the strings are.
    """

    file: str | None = None
    f_y: str = "f_y"
    texts: str | None = None
    encoder: str = "unknown"
    source: str = "unknown"


class Mapping(_Section):
    """A mapping file.

    Attributes:
        dataset: A name for results.
        backbone: What computed f_x.
        source: At least one.
        split: None: named when importing.
        text: None: class names are embedded when importing.
        text_parts: Further text features, such as "verb" and "noun".
    """

    dataset: str
    backbone: str = "unknown"
    source: list[Source] = Field(min_length=1)
    split: Split | None = None
    calibration: Calibration = Calibration()
    text: Text | None = None
    text_parts: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], Text] = {}


def read_mapping(path: Path) -> Mapping:
    """Reads a mapping file, TOML or JSON.

    Raises:
        BadConfig: It cannot be read, or a key is unknown, missing or impossible.
    """
    content = _content(path)
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            fields: dict[str, type[BaseModel]] = {
                "source": Source, "split": Split, "calibration": Calibration, "text": Text,
                "text_parts": Text}
            owner = fields.get(str(first["loc"][0]), Mapping) if len(first["loc"]) > 1 else Mapping
            problem = f"unknown key {key!r}; {nearest(str(first['loc'][-1]), owner.model_fields)}"
        elif first["type"] == "missing":
            problem = f"key {key!r} is missing"
        else:
            problem = f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}"
        raise BadConfig(f"{path}: {problem}") from None


def _content(path: Path) -> Any:
    if not path.exists():
        raise BadConfig(f"{path}: no such mapping file or folder")
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: cannot be read as a mapping file ({error})") from None
    if path.suffix != ".toml":
        try:
            return json.loads(text)
        except ValueError as error:
            raise BadConfig(f"{path}: not JSON ({error})") from None
    try:
        import tomllib
    except ImportError:
        raise BadConfig(f"{path}: TOML needs Python 3.11; write the same as JSON") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{path}: not TOML ({error})") from None
