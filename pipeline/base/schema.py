"""What a config file may say: the sections of an experiment, and the digest of what decides it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from zskel.data.common.devices import Device
from zskel.data.common.errors import BadConfig
from zskel.data.common.files import digest_json
from zskel.data.common.outside import outside_code
from zskel.data.pooled import POOLS, Pool
from zskel.data.protocols import RANDOM_CLIPS


class Section(BaseModel):
    """A part of a config; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap")
    def _serialized(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        content: dict[str, Any] = serialize(self)
        return self._as_json(content) if info.mode == "json" else content

    def _as_json(self, content: dict[str, Any]) -> dict[str, Any]:
        """What digests and caches hold of the content."""
        left_out = self._left_out()
        return {key: value for key, value in content.items() if key not in left_out}

    def _left_out(self) -> set[str]:
        """What JSON leaves out: what changes no number, and what is younger than other
        digests where it is not asked for, so that these stay."""
        return set()


class _NamesCode(Section):
    """A section in which code of one's own may be named (``zskel.data.common.outside``).

    Attributes:
        code: Written with the section, never read: SHA-256 of each such file, so that
            what was made with other code is stale.
    """

    code: dict[str, str | None] = Field({}, exclude=True)

    def _as_json(self, content: dict[str, Any]) -> dict[str, Any]:
        content = super()._as_json(content)
        code = outside_code(self._may_name_code(content))
        return {**content, "code": code} if code else content

    def _may_name_code(self, content: dict[str, Any]) -> Any:
        """Where code may be named whose digest belongs to the section."""
        return content


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


class SplitConfig(Section):
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


class CalibrationConfig(Section):
    """Which training subjects are held out whole to calibrate the gate.

    Attributes:
        share: Of the training subjects, drawn with ``seed``; of each class's
            training clips where ``dataset.group`` is "clip".
        subjects: These instead, by number or by name.
    """

    share: float = Field(0.25, gt=0, lt=1)
    subjects: list[int | str] | None = None
    seed: int = 0


class TextSupervision(Section):
    """Training by the seen classes' texts: ``zskel.extractors.heads.text_supervised``.

    Attributes:
        weight: Of the divergence from the soft labels.
        cross_entropy: Weight of the classifier's loss; 0: there is no classifier, as in
            PGFA, and logits are cosines over the temperature.
        temperature: Divides the cosines; where it is learned, at the start.
        learn_temperature: Whether it is trained. PGFA's code means to, but does not.
        target_sharpness: Of the soft labels softmax(sharpness [same class]).
        features: What is cached as f_x: the "pooled" output that the classifier reads, or
            h, which is that "aligned" with the texts by the linear layer.
    """

    weight: float = Field(1.0, gt=0)
    cross_entropy: float = Field(1.0, ge=0)
    temperature: float = Field(0.07, ge=0.01)
    learn_temperature: bool = False
    target_sharpness: float = Field(10.0, ge=0)
    features: Literal["pooled", "aligned"] = "pooled"


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
    text_supervision: TextSupervision | None = None

    def _left_out(self) -> set[str]:
        same = {"extract_autocast"} if self.extract_autocast == "float32" else set()
        plain = {"text_supervision"} if self.text_supervision is None else set()
        return {"num_workers", "vis_backends"} | same | plain


class FeatureView(_NamesCode):
    """Further features of the same clips by the same weights, in caches of their own.

    Of other clips, of the same forward pass pooled otherwise, or what the head makes of it.
    A config may give the list of transforms alone.

    Attributes:
        transforms: mmaction2 transforms of the prepared clip, which go before those
            of ``backbone.test_pipeline``.
        pool: Of ``zskel.data.pooled``.
        features: As of ``backbone.text_supervision``: h, "aligned" with the texts.
    """

    transforms: list[dict[str, Any]] = []
    pool: Pool | None = None
    features: Literal["aligned"] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(map(bool, (self.transforms, self.pool, self.features))) != 1:
            raise ValueError("a view has either transforms or a pool "
                             f"({', '.join(POOLS)}), such as dict(pool='joint_means'), or "
                             "features='aligned'")
        return self

    def _left_out(self) -> set[str]:
        return {key for key in ("transforms", "pool", "features") if not getattr(self, key)}

    @model_validator(mode="before")
    @classmethod
    def _from_transforms(cls, content: Any) -> Any:
        return {"transforms": content} if isinstance(content, (list, tuple)) else content


class NamedConfig(_NamesCode):
    """A registered name, or that of code of one's own, with its options; or the name alone."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    def _may_name_code(self, content: dict[str, Any]) -> Any:
        return content["name"]  # options are the part's own business, and so is their staleness


class GateConfig(NamedConfig):
    """A gate, the paper's unless another is named."""

    name: str = "domain_classifier"


class TextPart(Section):
    """Further text features, to stand beside others in f_y.

    Attributes:
        encoder: Of ``zskel.extractors.text``; None: that of the first part.
        source: Where its strings come from.
    """

    encoder: NamedConfig | None = None
    source: NamedConfig = NamedConfig(name="label")


class TextConfig(Section):
    """The text feature extractor: an encoder and where its strings come from.

    Attributes:
        encoder: Of ``zskel.extractors.text``.
        source: Of ``zskel.extractors.text.sources``.
        concat_with: Where there are any, f_y is the embedding of ``source`` and
            those of these parts side by side, each scaled to unit length.
        tokens: Keep the features of so many tokens of each class beside f_y, for methods
            that read them; None: f_y alone.
    """

    encoder: NamedConfig
    source: NamedConfig = NamedConfig(name="label")
    concat_with: list[TextPart] = []
    tokens: int | None = Field(None, ge=1, le=4096)

    def _left_out(self) -> set[str]:
        return {"tokens"} if self.tokens is None else set()


class FitConfig(Section):
    """Stage two.

    Attributes:
        method: Of ``zskel.zsl.methods`` with its hyper-parameters.
        gate: Of ``zskel.zsl.gates`` with its options.
        gates: Further gates by names of one's own, evaluated beside ``gate`` on
            the same fitted method.
        protocol: How it is trained, chosen and evaluated: of ``zskel.zsl.protocols``.
        refinement: Of ``zskel.zsl.refinements`` with its options, for the protocol
            "transductive"; None: the protocol's own.
        features: What methods, C_s and gates take for f_x: that, or a feature view whose
            name begins with "f_x_".
        seen_classifier: What C_s is: a softmax on "f_x" or "z_r", or the
            backbone's "logits"; None: what the protocol says.
        seeds: How many seeds: 0, 1, ...
        device: Where methods compute: on the "cpu", on a GPU ("cuda"), or "auto": on a
            GPU where there is one and a step of the method is faster there.
    """

    method: NamedConfig
    gate: GateConfig = GateConfig()
    gates: dict[str, NamedConfig] = {}
    protocol: Literal["strict", "released", "transductive"] = "strict"
    refinement: NamedConfig | None = None
    features: str = Field("f_x", pattern="^f_x(_[a-z0-9_]+)?$")
    seen_classifier: Literal["f_x", "z_r", "logits"] | None = None
    seeds: int = Field(3, ge=1)
    device: Device = "auto"

    def _left_out(self) -> set[str]:
        # Nothing but rounding depends on the device.
        return {"device", *(["refinement"] if self.refinement is None else []),
                *(["features"] if self.features == "f_x" else [])}

    @property
    def protocol_name(self) -> str:
        """As results carry it: with a refinement that is not the protocol's own."""
        return ":".join([self.protocol, *([self.refinement.name] if self.refinement else [])])

    @model_validator(mode="after")
    def _refine_where_it_is_told(self) -> Self:
        if self.refinement is not None and self.protocol != "transductive":
            raise ValueError("refinement looks at all test clips together: it needs "
                             f"protocol 'transductive', which is {self.protocol!r} here")
        return self


class Texts(Section):
    """What a config of ``configs/_base_/text`` says."""

    class_text: TextConfig | None = None
    class_text_parts: dict[str, TextConfig] = {}


class ImportedConfig(Section):
    """Where the caches come from if not from recordings.

    Attributes:
        format: As ``pipeline import`` names it.
        source: What was imported, as its folder or file is called.
    """

    format: str
    source: str


class Experiment(Section):
    """One experiment: everything but where the raw files are.

    Attributes:
        imported: Set by ``pipeline import`` in place of what stage one needs.
        backbone: None for imported features only.
        class_text: What f_y is made from; None for imported features only.
        class_text_parts: Further text features by name, such as "verb" and
            "noun", for methods that embed parts of speech.
        feature_views: Further features of each clip by name, for methods that take them
            by that name: "f_x_" and a word where transforms come first, any other word
            for pooled ones.
    """

    name: str
    dataset: DatasetConfig
    split: SplitConfig
    calibration: CalibrationConfig = CalibrationConfig()
    imported: ImportedConfig | None = None
    backbone: BackboneConfig | None = None
    class_text: TextConfig | None = None
    class_text_parts: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], TextConfig] = {}
    feature_views: dict[
        Annotated[str, Field(pattern="^(f_x_[a-z0-9_]+|[a-z][a-z0-9_]*)$")], FeatureView] = {}
    fit: FitConfig

    @field_validator("feature_views")
    @classmethod
    def _named_by_their_kind(cls, views: dict[str, FeatureView]) -> dict[str, FeatureView]:
        for name, view in views.items():
            if name.startswith("f_x") == (view.pool is not None):
                raise ValueError(f"{name!r}: " + (
                    "a pooled view has a name without 'f_x', such as 'joint_means'" if view.pool
                    else "the name of a view with transforms matches '^f_x_[a-z0-9_]+$'"))
            if view.pool is not None and f"f_x_{name}" in views:
                raise ValueError(f"{name!r} and 'f_x_{name}' would be one file; rename one")
        return views

    def _left_out(self) -> set[str]:
        return {key for key in ("feature_views", "imported") if not getattr(self, key)}

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
