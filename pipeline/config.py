"""The typed experiment: what a config file may say, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.classes import register_dataset
from data.errors import BadConfig
from data.files import digest_json
from data.registry import nearest


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetConfig(_Section):
    """Which recordings, how they are read, which clips train.

    Attributes:
        name: Of ``data.classes``.
        reader: Of ``data.readers``.
        reader_options: The reader's keyword arguments.
        cleaning: Named steps of ``data.bodies``.
        sample_protocol: Of ``data.protocols``.
        train: Subjects, cameras or setups that train instead of the protocol's.
        group: Field that the calibration phase holds out whole instead of the
            protocol's.
        class_names: Of a data set of one's own: a list in label order, or a
            text file with one a line.
    """

    name: str
    class_names: list[str] | str | None = None
    reader: str
    reader_options: dict[str, Any] = {}
    cleaning: list[dict[str, Any]] = [{"type": "keep_most_active", "bodies": 2}]
    sample_protocol: str = "cross-subject"
    train: list[int] | None = None
    group: Literal["subject", "camera", "setup"] | None = None


class SplitConfig(_Section):
    """Which classes are unseen: a named split, or one's own list.

    Attributes:
        name: Of ``data.splits``, or any name if ``unseen`` is given.
        unseen, validation_unseen: Class indices, 0-based.
        validation_seed: Of the draw where no validation-unseen classes are given.
    """

    name: str
    unseen: list[int] | None = None
    validation_unseen: list[int] | None = None
    validation_seed: int = 0


class CalibrationConfig(_Section):
    """Which training subjects are held out whole to calibrate the gate.

    Attributes:
        share: Of the training subjects, drawn with ``seed``.
        subjects: These instead.
    """

    share: float = Field(0.25, gt=0, lt=1)
    subjects: list[int] | None = None
    seed: int = 0


class BackboneConfig(_Section):
    """The skeleton feature extractor; see ``extractors.training.BackboneSpec``."""

    name: str
    model: dict[str, Any]
    prepare: list[dict[str, Any]] = []
    train_pipeline: list[dict[str, Any]]
    test_pipeline: list[dict[str, Any]]
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    optim_wrapper: dict[str, Any]
    param_scheduler: list[dict[str, Any]] = []
    seed: int = Field(0, ge=0)


class NamedConfig(_Section):
    """A registered name with its options."""

    name: str
    options: dict[str, Any] = {}


class TextConfig(_Section):
    """The text feature extractor: an encoder and where its strings come from."""

    encoder: NamedConfig
    source: NamedConfig = NamedConfig(name="label")


class FitConfig(_Section):
    """Stage two.

    Attributes:
        method: Of ``zsl.methods`` with its hyper-parameters.
        gate: Of ``zsl.gates`` with its options.
        protocol: How it is trained, chosen and evaluated.
        seeds: How many seeds: 0, 1, ...
    """

    method: NamedConfig
    gate: NamedConfig = NamedConfig(name="domain_classifier")
    protocol: Literal["strict"] = "strict"
    seeds: int = Field(3, ge=1)


class Experiment(_Section):
    """One experiment: everything but where the raw files are."""

    name: str
    dataset: DatasetConfig
    split: SplitConfig
    calibration: CalibrationConfig = CalibrationConfig()
    backbone: BackboneConfig
    class_text: TextConfig
    fit: FitConfig

    def digest(self) -> str:
        """SHA-256 of the whole config."""
        return digest_json(self.model_dump(mode="json"))


def load_experiment(name: str, options: Sequence[str] = ()) -> Experiment:
    """Loads an experiment by name or config file, with overrides, and checks it.

    Args:
        name: A config of ``configs/`` without ``.py``, or a path to one.
        options: ``key.subkey=value`` overrides; values are Python literals,
            anything else is a string.

    Raises:
        BadConfig: No such experiment, unknown key or impossible value; the
            message names the key and the nearest right one.
    """
    path = find_config(name)
    content = _read(path)
    for option in options:
        _override(content, option)
    content = {key: value for key, value in content.items() if not key.startswith("_")}
    content.setdefault("name", path.stem)
    return check_experiment(content, str(path))


def load_section(path: Path, key: str, section: type[_Section]) -> Any:
    """Loads one section of a config file and checks it.

    Raises:
        BadConfig: As ``load_experiment``.
    """
    content = _read(path)
    if key not in content:
        raise BadConfig(f"{path}: key {key!r} is missing")
    try:
        return section.model_validate(content[key])
    except ValidationError as error:
        raise BadConfig(f"{path}: {key}: {_explain(error, section)}") from None


def check_experiment(content: Mapping[str, Any], where: str) -> Experiment:
    """Checks a config's content against the schema.

    Raises:
        BadConfig: As ``load_experiment``.
    """
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        raise BadConfig(f"{where}: {_explain(error, Experiment)}") from None
    if experiment.dataset.class_names is not None:
        register_dataset(experiment.dataset.name, experiment.dataset.class_names)
    return experiment


def experiment_names() -> tuple[str, ...]:
    """The experiments that ship with the package."""
    folder = resources.files("configs")
    return tuple(sorted(
        item.name[:-3] for item in folder.iterdir()
        if item.name.endswith(".py") and not item.name.startswith("_")
    ))


def find_config(name: str) -> Path:
    """The config file of an experiment.

    Raises:
        BadConfig: There is none; the message names the nearest.
    """
    if name.endswith(".py"):
        if Path(name).is_file():
            return Path(name)
        raise BadConfig(f"{name}: no such config file")
    known = experiment_names()
    if name not in known:
        raise BadConfig(f"no experiment {name!r}; {nearest(name, known)}")
    return Path(str(resources.files("configs") / f"{name}.py"))


def _read(path: Path) -> dict[str, Any]:
    from mmengine.config import Config

    try:
        return Config.fromfile(str(path)).to_dict()
    except Exception as error:  # a config is Python: anything can go wrong in it
        raise BadConfig(f"{path}: {type(error).__name__}: {error}") from None


def _override(content: dict[str, Any], option: str) -> None:
    import ast

    key, equals, text = option.partition("=")
    if not equals or not key:
        raise BadConfig(f"--cfg-options {option!r}: expected key=value")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    node: Any = content
    *parents, last = key.split(".")
    for part in parents:
        node = node.setdefault(part, {}) if isinstance(node, dict) else _item(node, part, option)
    if isinstance(node, list):
        index = _index(node, last, option)
        node[index] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise BadConfig(f"--cfg-options {option!r}: {'.'.join(parents)} holds no keys")


def _item(node: Any, part: str, option: str) -> Any:
    if not isinstance(node, list):
        raise BadConfig(f"--cfg-options {option!r}: nothing below the value before {part!r}")
    return node[_index(node, part, option)]


def _index(node: list[Any], part: str, option: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise BadConfig(f"--cfg-options {option!r}: {part!r} is not an index in 0..{len(node) - 1}")
    return int(part)


def _explain(error: ValidationError, section: type[_Section]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = tuple(_fields_at(section, first["loc"][:-1]))
        return f"unknown key {key!r}; {nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"key {key!r} is missing"
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}"


def _fields_at(section: type[_Section], location: Sequence[int | str]) -> Sequence[str]:
    model: Any = section
    for part in location:
        model = model.model_fields[part].annotation
    return tuple(model.model_fields)
