"""Experiments and their parts, loaded from config files and checked against the schema."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from zskel.data.classes import class_names, register_dataset
from zskel.data.common.errors import BadConfig
from zskel.data.common.outside import is_outside, trust, trust_config
from zskel.data.common.registry import nearest
from zskel.data.splits import class_indices
from zskel.pipeline.base.config_files import override, read_config
from zskel.pipeline.base.schema import (
    BackboneConfig,
    CalibrationConfig,
    DatasetConfig,
    Experiment,
    FeatureView,
    FitConfig,
    ImportedConfig,
    NamedConfig,
    Section,
    SplitConfig,
    TextConfig,
    Texts,
)
from zskel.pipeline.base.shipped import config_names, config_text, shipped_configs
from zskel.pipeline.base.workdir import DEFAULT_ROOT

# Whoever loads a config finds its types beside the functions.
__all__ = [
    "BackboneConfig", "CalibrationConfig", "DatasetConfig", "Experiment", "FeatureView",
    "FitConfig", "ImportedConfig", "NamedConfig", "SplitConfig", "TextConfig",
    "check_experiment", "experiment_name", "experiment_names", "find_config",
    "imported_work_dir", "load_experiment", "load_method", "load_method_and_gate",
    "load_section", "load_texts", "load_views", "method_names",
]


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
    content = read_config(path)
    override(content, options)
    content = _public(content)
    content.setdefault("name", path.stem)
    trust_config(content)
    try:
        return check_experiment(content, str(path), path.parent)
    except BadConfig as error:
        if not options or str(error) == _error_of(name):
            raise
        return check_experiment(content, "--cfg-options", path.parent)


def _error_of(name: str) -> str | None:
    """What is wrong with an experiment without overrides."""
    try:
        load_experiment(name)
    except BadConfig as error:
        return str(error)
    return None


def load_section(path: Path, key: str, section: type[Section]) -> Any:
    """Loads one section of a config file and checks it.

    Raises:
        BadConfig: As ``load_experiment``.
    """
    content = read_config(path)
    if key not in content:
        raise BadConfig(f"{path}: key {key!r} is missing")
    try:
        return section.model_validate(content[key])
    except ValidationError as error:
        raise BadConfig(f"{path}: {key}: {_explain(error, section)}") from None


def check_experiment(
    content: Mapping[str, Any], where: str, folder: Path = Path()
) -> Experiment:
    """Checks a config's content against the schema.

    Args:
        content: Of the config.
        where: What messages call it.
        folder: Where a file of class names may lie besides the working directory.

    Raises:
        BadConfig: As ``load_experiment``.
    """
    try:
        experiment = Experiment.model_validate(_with_views(content))
    except ValidationError as error:
        raise BadConfig(f"{where}: {_explain(error, Experiment)}") from None
    needed = {"dataset.reader": experiment.dataset.reader, "backbone": experiment.backbone,
              "class_text": experiment.class_text}
    missing = [key for key, value in needed.items() if value is None]
    if missing and experiment.imported is None:
        raise BadConfig(f"{where}: key {missing[0]!r} is missing")
    name, names = experiment.dataset.name, experiment.dataset.class_names
    if isinstance(names, str) and not Path(names).is_file() and (folder / names).is_file():
        names = str(folder / names)
    if names is not None:
        try:
            register_dataset(name, names)
        except BadConfig as error:
            raise BadConfig(f"{where}: {error}") from None
    _check_views(experiment, where)
    split = _by_index(experiment.split, name, where)
    return experiment.model_copy(update={"split": split})


def _check_views(experiment: Experiment, where: str) -> None:
    """Checks that there will be the features that are asked for."""
    backbone, views = experiment.backbone, experiment.feature_views
    for name, view in views.items():
        if view.features is not None and (backbone is None or backbone.text_supervision is None):
            raise BadConfig(f"{where}: feature_views.{name}: features={view.features!r} are made "
                            "by the head of backbone.text_supervision, which is not there")
    known = ["f_x", *(name for name in views if name.startswith("f_x"))]
    if experiment.fit.features not in known and experiment.imported is None:
        raise BadConfig(f"{where}: fit.features: feature_views has no "
                        f"{experiment.fit.features!r}; {nearest(experiment.fit.features, known)}")


def _with_views(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """With ``masked_features``, the key from before there were feature views, said as a view."""
    asked = content.get("masked_features")
    if not isinstance(asked, bool):
        return content
    masked = load_views("f_x_masked")
    views = dict(content.get("feature_views", {}))
    views = {**masked, **views} if asked else {
        name: view for name, view in views.items() if name not in masked}
    rest = {key: value for key, value in content.items() if key != "masked_features"}
    return {**rest, "feature_views": views}


def _by_index(split: SplitConfig, dataset: str, where: str) -> SplitConfig:
    """Indices in place of class names, so that a digest does not depend on how they are given."""
    found = {}
    for key in ("unseen", "validation_unseen"):
        given = getattr(split, key)
        if any(isinstance(item, str) for item in given or ()):
            found[key] = class_indices(given, class_names(dataset), f"{where}: split.{key}")
    return split.model_copy(update=found)


def load_method(name: str, dataset: str) -> NamedConfig:
    """The method of a config in ``configs/_base_/methods``, with its hyper-parameters.

    Args:
        name: Of the config, such as "cada_vae"; or code of one's own.
        dataset: Where there is a config ``<name>_<dataset>``, that one is taken.

    Raises:
        BadConfig: There is no such config; the message names the nearest.
    """
    return load_method_and_gate(name, dataset)[0]


def load_method_and_gate(name: str, dataset: str) -> tuple[NamedConfig, NamedConfig | None]:
    """:func:`load_method`, and the gate of the config where it names one."""
    if is_outside(name):
        trust(name)
        return NamedConfig(name=name), None
    path = find_config(name, "method config", "_base_/methods")
    text = config_text(path) or ""
    classes = re.findall(r"^class (\w+)", text, re.MULTILINE)
    if classes and not re.search(r"^(fit|_base_)\b", text, re.MULTILINE):  # no config, not run
        raise BadConfig(f"{name}: a method of one's own is named file.py:Class, such as "
                        f"{name}:{classes[-1]}")
    own = f"{path.stem}_{dataset.replace('-', '_')}"
    if own in method_names():
        path = path.with_stem(own)
    fit = load_section(path, "fit", FitConfig)
    return fit.method, fit.gate if "gate" in fit.model_fields_set else None


def load_texts(name: str) -> tuple[TextConfig | None, dict[str, TextConfig]]:
    """What a config in ``configs/_base_/text`` says of f_y and of its parts.

    Raises:
        BadConfig: There is no such config; the message names the nearest.
    """
    path = find_config(name, "text config", "_base_/text")
    try:
        texts = Texts.model_validate(_public(read_config(path)))
    except ValidationError as error:
        raise BadConfig(f"{path}: {_explain(error, Texts)}") from None
    return texts.class_text, texts.class_text_parts


def load_views(name: str) -> dict[str, Any]:
    """The feature views of a config in ``configs/_base_/views``, by name, unchecked.

    Raises:
        BadConfig: There is no such config; the message names the nearest.
    """
    return dict(read_config(find_config(name, "views config", "_base_/views"))["feature_views"])


def with_texts_of(parts: Collection[str]) -> str:
    """A config of ``configs/_base_/text`` that has these text parts, the plainest by name."""
    return _first_with(parts, "text", lambda name: load_texts(name)[1])


def with_views_of(views: Collection[str]) -> str:
    """A config of ``configs/_base_/views`` that has these feature views, the plainest by name."""
    return _first_with(views, "views", load_views)


def _first_with(
    keys: Collection[str], folder: str, load: Callable[[str], Mapping[str, Any]]
) -> str:
    names = config_names(shipped_configs() / "_base_" / folder)
    return next((name for name in sorted(names, key=len) if set(keys) <= set(load(name))), "...")


def _public(content: Mapping[str, Any]) -> dict[str, Any]:
    """Without a config's variables of its own."""
    return {key: value for key, value in content.items() if not key.startswith("_")}


def method_names() -> tuple[str, ...]:
    """The configs of ``configs/_base_/methods``."""
    return tuple(config_names(shipped_configs() / "_base_" / "methods"))


def experiment_names() -> tuple[str, ...]:
    """The experiments that ship with the package."""
    return tuple(config_names(shipped_configs()))


def experiment_name(source: str) -> str:
    """What an experiment that is given by name or config file is called.

    Raises:
        BadConfig: As ``load_experiment``, of a config file.
    """
    return load_experiment(source).name if source.endswith(".py") else source


def imported_work_dir(name: str) -> Path | None:
    """The work directory of an experiment whose config ``pipeline import`` wrote there.

    Raises:
        BadConfig: As ``find_config``.
    """
    folder = find_config(name).parent
    return folder if (folder / "import.json").is_file() else None


def find_config(name: str, what: str = "experiment", folder: str = "") -> Path:
    """A config file by its path, or a shipped one by its name.

    Args:
        name: Of the config without ``.py``, or the path of one. An experiment may also be
            a work directory, or one of ``work_dirs``, with the ``experiment.py`` of an import.
        what: What it is the config of, for the message.
        folder: Where in ``configs/`` those of its kind are.

    Raises:
        BadConfig: There is none; the message names the nearest.
    """
    if name.endswith(".py"):
        if Path(name).is_file():
            return Path(name)
        raise BadConfig(f"{name}: no such config file")
    known = config_names(shipped_configs() / folder)
    if name not in known and not folder:
        for work_dir in (Path(name), DEFAULT_ROOT / name):
            if (work_dir / "experiment.py").is_file():
                return work_dir / "experiment.py"
        if Path(name).is_dir():
            own = Path(name).resolve().name
            raise BadConfig(f"{name}: is a folder without the experiment.py of an import; give "
                            "the name or config file of its experiment"
                            + (f", {own!r}" if own in known else ""))
    if name not in known and {"/", os.sep} & {*name}:
        raise BadConfig(f"{name}: no such folder or config file (a config's name ends in .py)")
    if name not in known:
        raise BadConfig(f"no {what} {name!r}; {nearest(name, known)}")
    return shipped_configs() / folder / f"{name}.py"


def _explain(error: ValidationError, section: type[Section]) -> str:
    # An unknown key first: it may be the misspelled one of a key that is missing.
    first, *others = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    location = tuple(part for part in first["loc"] if part != "[key]")  # of a dict: its name
    if location[-1:] in (("int",), ("str",)):  # of a value that may be either
        others = [other for other in others if other["loc"][:-1] == location[:-1]]
        location = location[:-1]
        for other in others:
            first["msg"] += f" or {other['msg'].removeprefix('Input should be ')}"
    key = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        known = tuple(_fields_at(section, first["loc"][:-1]))
        return f"unknown key {key!r}; {nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"key {key!r} is missing"
    said = first["msg"].removeprefix("Value error, ")
    said = f"{key}: {said[0].lower()}{said[1:]}"
    if first["type"] == "value_error" and isinstance(first["input"], Mapping):
        return said  # of a whole section, which would bury it
    said += f", found {first['input']!r}"
    if first["type"] == "literal_error":  # whose values have been listed
        hint = nearest(str(first["input"]), re.findall(r"'([^']*)'", first["ctx"]["expected"]))
        return f"{said}; {hint}" if hint.startswith("did you mean") else said
    return said


def _fields_at(section: type[Section], location: Sequence[int | str]) -> Sequence[str]:
    model: Any = section
    for part in location:
        fields = getattr(model, "model_fields", {})
        # Below a list or a dict comes what it holds.
        model = fields[part].annotation if part in fields else get_args(model)[-1]
        if type(None) in get_args(model):
            model = get_args(model)[0]
    return tuple(model.model_fields)
