"""The typed experiment: what a config file may say, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from zskel.data.classes import class_names, register_dataset
from zskel.data.common.errors import BadConfig
from zskel.data.common.files import digest_json
from zskel.data.common.outside import is_outside, outside_code, trust, trust_config
from zskel.data.common.registry import nearest
from zskel.data.protocols import RANDOM_CLIPS
from zskel.data.splits import class_indices
from zskel.pipeline.base.config_files import override, read_config, shipped_configs


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _NamesCode(_Section):
    """A section in which code of one's own may be named (``zskel.data.common.outside``).

    Attributes:
        code: Written with the section, never read: SHA-256 of each such file, so that
            what was made with other code is stale.
    """

    code: dict[str, str | None] = Field({}, exclude=True)

    @model_serializer(mode="wrap")
    def _with_code(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        content = {key: value for key, value in serialize(self).items()
                   if info.mode != "json" or key not in self._left_out()}
        code = outside_code(content) if info.mode == "json" else {}
        return {**content, "code": code} if code else content

    def _left_out(self) -> set[str]:
        """What JSON, which digests and caches hold, leaves out: what changes no number."""
        return set()


class DatasetConfig(_NamesCode):
    """Which recordings, how they are read, which clips train.

    Attributes:
        name: Of ``zskel.data.classes``.
        reader: Of ``zskel.data.readers``; imported features need none.
        reader_options: The reader's keyword arguments.
        cleaning: Named steps of ``zskel.data.bodies``.
        sample_protocol: Of ``zskel.data.protocols``.
        train: Subjects, cameras or setups that train instead of the protocol's,
            by number, or by name where the recordings name them.
        group: Field that the calibration phase holds out whole instead of the
            protocol's; "clip": clips, class by class. None where no subject is
            known means "clip".
        test_share, test_seed: The share of each class's clips that
            ``random-clips`` draws for the test, and the seed of the draw.
        class_names: Of a data set of one's own: a list in label order, or a
            text file with one a line, in the working directory or beside the config.
    """

    name: str
    class_names: list[str] | str | None = None
    reader: str | None = None
    reader_options: dict[str, Any] = {}
    cleaning: list[dict[str, Any]] = [{"type": "keep_most_active", "bodies": 2}]
    sample_protocol: str = "cross-subject"
    train: list[int | str] | None = None
    group: Literal["subject", "camera", "setup", "clip"] | None = None
    test_share: float = Field(0.25, gt=0, lt=1)
    test_seed: int = Field(0, ge=0)

    def _left_out(self) -> set[str]:
        return set() if self.sample_protocol == RANDOM_CLIPS else {"test_share", "test_seed"}


class SplitConfig(_Section):
    """Which classes are unseen: a named split, or one's own list.

    Attributes:
        name: Of ``zskel.data.splits``, or any name if ``unseen`` is given.
        unseen, validation_unseen: Classes by name or by index, 0-based; names
            become indices when the experiment is checked.
        validation_seed: Of the draw where no validation-unseen classes are given.
    """

    name: str
    unseen: list[int | str] | None = None
    validation_unseen: list[int | str] | None = None
    validation_seed: int = 0


class CalibrationConfig(_Section):
    """Which training subjects are held out whole to calibrate the gate.

    Attributes:
        share: Of the training subjects, drawn with ``seed``; of each class's
            training clips where ``dataset.group`` is "clip".
        subjects: These instead, by number or by name.
    """

    share: float = Field(0.25, gt=0, lt=1)
    subjects: list[int | str] | None = None
    seed: int = 0


class BackboneConfig(_NamesCode):
    """The skeleton feature extractor; see ``zskel.extractors.training.BackboneSpec``."""

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
    num_workers: int = Field(0, ge=0)
    vis_backends: list[dict[str, Any]] = []
    extract_autocast: Literal["float32", "bfloat16", "float16"] = "float32"

    def _left_out(self) -> set[str]:
        same = {"extract_autocast"} if self.extract_autocast == "float32" else set()
        return {"num_workers", "vis_backends"} | same


class FeatureView(_NamesCode):
    """Further features of the same clips by the same weights, in caches of their own.

    A config may give the list of transforms alone.

    Attributes:
        transforms: mmaction2 transforms of the prepared clip, which go before those
            of ``backbone.test_pipeline``.
    """

    transforms: list[dict[str, Any]] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_transforms(cls, content: Any) -> Any:
        return {"transforms": content} if isinstance(content, (list, tuple)) else content


class NamedConfig(_NamesCode):
    """A registered name, or that of code of one's own, with its options."""

    name: str
    options: dict[str, Any] = {}


class TextPart(_Section):
    """Further text features, to stand beside others in f_y.

    Attributes:
        encoder: Of ``zskel.extractors.text``; None: that of the first part.
        source: Where its strings come from.
    """

    encoder: NamedConfig | None = None
    source: NamedConfig = NamedConfig(name="label")


class TextConfig(_Section):
    """The text feature extractor: an encoder and where its strings come from.

    Attributes:
        encoder: Of ``zskel.extractors.text``.
        source: Of ``zskel.extractors.text.sources``.
        concat_with: Where there are any, f_y is the embedding of ``source`` and
            those of these parts side by side, each scaled to unit length.
    """

    encoder: NamedConfig
    source: NamedConfig = NamedConfig(name="label")
    concat_with: list[TextPart] = []


class FitConfig(_Section):
    """Stage two.

    Attributes:
        method: Of ``zskel.zsl.methods`` with its hyper-parameters.
        gate: Of ``zskel.zsl.gates`` with its options.
        gates: Further gates by names of one's own, evaluated beside ``gate`` on
            the same fitted method.
        protocol: How it is trained, chosen and evaluated: of ``zskel.zsl.protocols``.
        seen_classifier: What C_s is: a softmax on "f_x" or "z_r", or the
            backbone's "logits"; None: what the protocol says.
        seeds: How many seeds: 0, 1, ...
    """

    method: NamedConfig
    gate: NamedConfig = NamedConfig(name="domain_classifier")
    gates: dict[str, NamedConfig] = {}
    protocol: Literal["strict", "released"] = "strict"
    seen_classifier: Literal["f_x", "z_r", "logits"] | None = None
    seeds: int = Field(3, ge=1)


class _Texts(_Section):
    class_text: TextConfig | None = None
    class_text_parts: dict[str, TextConfig] = {}


class ImportedConfig(_Section):
    """Where the caches come from if not from recordings.

    Attributes:
        format: As ``pipeline import`` names it.
        source: What was imported, as its folder or file is called.
    """

    format: str
    source: str


class Experiment(_Section):
    """One experiment: everything but where the raw files are.

    Attributes:
        imported: Set by ``pipeline import`` in place of what stage one needs.
        backbone: None for imported features only.
        class_text: What f_y is made from; None for imported features only.
        class_text_parts: Further text features by name, such as "verb" and
            "noun", for methods that embed parts of speech.
        feature_views: Further features of each clip by name, "f_x_" and a word,
            for methods that take them by that name.
    """

    name: str
    dataset: DatasetConfig
    split: SplitConfig
    calibration: CalibrationConfig = CalibrationConfig()
    imported: ImportedConfig | None = None
    backbone: BackboneConfig | None = None
    class_text: TextConfig | None = None
    class_text_parts: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], TextConfig] = {}
    feature_views: dict[Annotated[str, Field(pattern="^f_x_[a-z0-9_]+$")], FeatureView] = {}
    fit: FitConfig

    @model_validator(mode="before")
    @classmethod
    def _with_masked_view(cls, content: Any) -> Any:
        # Before there were views, there was one, with a key of its own.
        asked = content.get("masked_features") if isinstance(content, Mapping) else None
        if not isinstance(asked, bool):
            return content
        masked = load_views("f_x_masked")
        views = dict(content.get("feature_views", {}))
        views = {**masked, **views} if asked else {
            name: view for name, view in views.items() if name not in masked}
        rest = {key: value for key, value in content.items() if key != "masked_features"}
        return {**rest, "feature_views": views}

    @model_serializer(mode="wrap")
    def _only_what_is_asked_for(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        # An experiment from before there were the choices keeps its digest.
        aside = {"feature_views", "imported"} if info.mode == "json" else set()
        aside = {key for key in aside if not getattr(self, key)}
        return {key: value for key, value in serialize(self).items() if key not in aside}

    def digest(self) -> str:
        """SHA-256 of the whole config."""
        return digest_json(self.model_dump(mode="json"))

    @property
    def needed_backbone(self) -> BackboneConfig:
        """The backbone of an experiment whose features are extracted.

        Raises:
            BadConfig: The features were imported.
        """
        self.require_stage_one()
        assert self.backbone is not None
        return self.backbone

    def require_stage_one(self) -> None:
        """Checks that features can be extracted.

        Raises:
            BadConfig: The features were imported, or the reader is told of another
                data set.
        """
        if self.imported is not None:
            raise BadConfig(f"experiment {self.name}: its features were imported from "
                            f"{self.imported.source} ({self.imported.format}) and there is nothing "
                            "to extract; `pipeline import` makes them anew")
        name = self.dataset.name
        read_as = self.dataset.reader_options.get("dataset", name)
        if read_as != name:
            raise BadConfig(f"experiment {self.name}: dataset.name is {name!r}, and "
                            f"dataset.reader_options.dataset {read_as!r}; set both to the same")


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
    content = {key: value for key, value in content.items() if not key.startswith("_")}
    content.setdefault("name", path.stem)
    trust_config(content)
    return check_experiment(content, str(path), path.parent)


def load_section(path: Path, key: str, section: type[_Section]) -> Any:
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
        experiment = Experiment.model_validate(content)
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
    split = _by_index(experiment.split, name, where)
    return experiment.model_copy(update={"split": split})


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
    if is_outside(name):
        trust(name)
        return NamedConfig(name=name)
    known = method_names()
    if name not in known:
        raise BadConfig(f"no method config {name!r}; {nearest(name, known)}")
    own = f"{name}_{dataset.replace('-', '_')}"
    folder = shipped_configs() / "_base_" / "methods"
    path = folder / f"{own if own in known else name}.py"
    return load_section(path, "fit", FitConfig).method


def load_texts(name: str) -> tuple[TextConfig | None, dict[str, TextConfig]]:
    """What a config in ``configs/_base_/text`` says of f_y and of its parts.

    Raises:
        BadConfig: There is no such config; the message names the nearest.
    """
    path = _base_config("text", name)
    content = read_config(path)
    content = {key: value for key, value in content.items() if not key.startswith("_")}
    try:
        texts = _Texts.model_validate(content)
    except ValidationError as error:
        raise BadConfig(f"{path}: {_explain(error, _Texts)}") from None
    return texts.class_text, texts.class_text_parts


def load_views(name: str) -> dict[str, Any]:
    """The feature views of a config in ``configs/_base_/views``, by name, unchecked.

    Raises:
        BadConfig: There is no such config; the message names the nearest.
    """
    return dict(read_config(_base_config("views", name))["feature_views"])


def _base_config(part: str, name: str) -> Path:
    folder = shipped_configs() / "_base_" / part
    known = {path.stem: path for path in folder.glob("*.py") if not path.name.startswith("_")}
    if name not in known:
        raise BadConfig(f"no {part} config {name!r}; {nearest(name, known)}")
    return known[name]


def method_names() -> tuple[str, ...]:
    """The configs of ``configs/_base_/methods``."""
    folder = shipped_configs() / "_base_" / "methods"
    return tuple(sorted(item.name[:-3] for item in folder.iterdir()
                        if item.name.endswith(".py") and not item.name.startswith("_")))


def experiment_names() -> tuple[str, ...]:
    """The experiments that ship with the package."""
    folder = shipped_configs()
    return tuple(sorted(
        item.name[:-3] for item in folder.iterdir()
        if item.name.endswith(".py") and not item.name.startswith("_")
    ))


def experiment_name(source: str) -> str:
    """What an experiment that is given by name or config file is called.

    Raises:
        BadConfig: As ``load_experiment``, of a config file.
    """
    return load_experiment(source).name if source.endswith(".py") else source


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
    return shipped_configs() / f"{name}.py"


def _explain(error: ValidationError, section: type[_Section]) -> str:
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
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}"


def _fields_at(section: type[_Section], location: Sequence[int | str]) -> Sequence[str]:
    model: Any = section
    for part in location:
        fields = getattr(model, "model_fields", {})
        # Below a list or a dict comes what it holds.
        model = fields[part].annotation if part in fields else get_args(model)[-1]
        if type(None) in get_args(model):
            model = get_args(model)[0]
    return tuple(model.model_fields)
