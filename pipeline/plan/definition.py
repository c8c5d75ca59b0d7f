"""What a table consists of: a small config, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from zskel.data.common.errors import BadConfig
from zskel.pipeline.base.config import (
    Experiment,
    find_config,
    load_experiment,
    load_section,
    load_texts,
    load_views,
)
from zskel.pipeline.base.shipped import config_names, shipped_configs

#: The experiment's own method, in a list of methods.
OWN = "own"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunsConfig(_Part):
    """Some experiments, and what is fitted on each.

    Attributes:
        experiments: Names in ``configs/``, or paths of config files.
        suffix: Keeps their files apart from those of the experiments as they are: the
            work directory is ``<experiment>-<suffix>``. Needed where a result would
            take the place of another one.
        options: ``key.subkey=value`` overrides of the experiments.
        texts: Configs of ``configs/_base_/text`` in place of the experiments' texts, or
            beside them.
        views: Configs of ``configs/_base_/views``, added to the experiments' views.
        methods: "own" is the experiment's method; others are configs of
            ``configs/_base_/methods``. None: the own one.
        variants: Of the own method, such as "naive"; none: as the experiment says.
        gates: Registered gates beside the experiment's.
        seen_classifier: What C_s is, as in an experiment's ``fit``.
        seeds: How many; None: as the experiment says.
    """

    experiments: list[str] = Field(min_length=1)
    suffix: Annotated[str, Field(pattern=r"^[\w.-]*$")] = ""
    options: list[str] = []
    texts: list[str] = []
    views: list[str] = []
    methods: list[str] = Field([OWN], min_length=1)
    variants: list[str] = []
    gates: list[str] = []
    seen_classifier: Literal["f_x", "z_r", "logits"] | None = None
    seeds: int | None = Field(None, ge=1)


class TableConfig(_Part):
    """A table.

    Attributes:
        title: What it shows, in one line.
        keep_models: Whether what is fitted is kept for ``pipeline predict``.
        runs: What it needs.
    """

    title: str
    keep_models: bool = False
    runs: list[RunsConfig] = Field(min_length=1)


@dataclass(frozen=True)
class FitCall:
    """One method of one experiment: what ``pipeline fit`` is called with.

    Attributes:
        experiment: With all overrides.
        methods: As for ``fit``: one config, or none for the experiment's own.
        gates: As for ``fit``.
        seeds: How many.
    """

    experiment: Experiment
    methods: tuple[str, ...]
    gates: tuple[str, ...]
    seeds: int


@dataclass
class Entry:
    """One work directory of a table.

    Attributes:
        experiment: As stage one needs it.
        fits: What is fitted on its caches.
    """

    experiment: Experiment
    fits: list[FitCall] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """A table, every name in it looked up.

    Attributes:
        name: Of its config.
        config: What the config says.
        entries: One for each work directory, in order.
    """

    name: str
    config: TableConfig
    entries: tuple[Entry, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that it needs, each once."""
        return tuple(dict.fromkeys(entry.experiment.dataset.name for entry in self.entries))


def table_names() -> tuple[str, ...]:
    """The tables that ship with the package.

    >>> table_names()[:4]
    ('demo', 'table-3', 'table-4', 'table-6')
    """
    return tuple(config_names(shipped_configs() / "tables"))


def load_table(name: str, options: Sequence[str] = (), seeds: int | None = None) -> Table:
    """Loads a table by name or config file and everything that it names.

    Args:
        name: A config of ``configs/tables`` without ``.py``, or a path to one.
        options: ``key.subkey=value`` overrides of all its experiments.
        seeds: Instead of as many as it says.

    Raises:
        BadConfig: There is no such table, or something in it is unknown or impossible.
    """
    path = find_config(name if name.endswith(".py") else name.lower(), "table", "tables")
    config: TableConfig = load_section(path, "table", TableConfig)  # type: ignore[arg-type]
    named = [method for runs in config.runs for method in runs.methods if method != OWN]
    lost = [each for each in options if each.startswith("fit.method")]
    if named and lost:
        raise BadConfig(f"--cfg-options {lost[0]!r}: is about the experiments' own methods, and "
                        f"table {path.stem} names others ({named[0]}); give their options in a "
                        "method config, whose path a table may name")
    entries: dict[str, Entry] = {}
    load = cache(load_experiment)  # a table asks for some of them often
    for at, runs in enumerate(config.runs):
        for experiment in runs.experiments:
            try:
                entry, fits = _entry(runs, experiment, tuple(options), seeds, load)
            except BadConfig as error:
                raise BadConfig(f"{path}: runs.{at}: {error}") from None
            own = entries.setdefault(entry.experiment.name, entry)
            _check_same(own, entry, f"{path}: runs.{at}")
            own.fits += [fit for fit in fits if fit not in own.fits]
    return Table(path.stem, config, tuple(entries.values()))


def _entry(
    runs: RunsConfig, config: str, given: tuple[str, ...], seeds: int | None,
    load: Callable[[str, tuple[str, ...]], Experiment],
) -> tuple[Entry, list[FitCall]]:
    options = [*_texts(runs.texts), *_views(runs.views), *runs.options, *given]
    if runs.suffix:
        name = load(config, given).name
        options.append(f"name={name}-{runs.suffix}")
    if runs.seen_classifier is not None:
        options.append(f"fit.seen_classifier={runs.seen_classifier}")
    fits = []
    for method, more in _fits(runs):
        fitted = load(config, (*options, *more))
        count = seeds or runs.seeds or fitted.fit.seeds
        fits.append(FitCall(fitted, method, tuple(runs.gates), count))
    return Entry(load(config, tuple(options))), fits


def _fits(runs: RunsConfig) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The methods that ``fit`` is called with, and further options, of each call."""
    variants: list[tuple[str, ...]] = [
        (f"fit.method.options.variant={variant}",) for variant in runs.variants]
    for method in runs.methods:
        if method != OWN:
            yield (method,), ()
        else:
            yield from (((), more) for more in variants or [()])


def _texts(names: Sequence[str]) -> Iterator[str]:
    """Configs of texts as overrides."""
    for name in names:
        text, parts = load_texts(name)
        if text is not None:
            yield f"class_text={text.model_dump(mode='json', exclude_defaults=True)}"
        if parts:
            dumped = {part: own.model_dump(mode="json", exclude_defaults=True)
                      for part, own in parts.items()}
            yield f"class_text_parts={dumped}"


def _views(names: Sequence[str]) -> Iterator[str]:
    """Configs of feature views as overrides."""
    for name in names:
        for view, transforms in load_views(name).items():
            yield f"feature_views.{view}={transforms}"


def _check_same(first: Entry, second: Entry, where: str) -> None:
    """Two runs may share a work directory only if its caches serve both."""
    stage_one: list[dict[str, Any]] = [
        entry.experiment.model_dump(mode="json", exclude={"fit"}) for entry in (first, second)]
    differing = [key for key in stage_one[0].keys() | stage_one[1].keys()
                 if stage_one[0].get(key) != stage_one[1].get(key)]
    if differing:
        raise BadConfig(f"{where}: {second.experiment.name} is in the table before with another "
                        f"{sorted(differing)[0]}; give one of the two a suffix")
