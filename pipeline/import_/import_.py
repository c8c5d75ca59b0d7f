"""``pipeline import``: other people's features to the caches of a work directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zskel.data.caches import (
    CALIBRATION,
    TEST,
    read_skeleton_features,
    read_text_features,
    write_skeleton_features,
    write_text_features,
)
from zskel.data.classes import class_names, register_dataset
from zskel.data.common.errors import BadCache, BadConfig, BadInput
from zskel.data.common.files import write_json, write_text
from zskel.data.common.registry import nearest
from zskel.pipeline.base.config import (
    NamedConfig,
    TextConfig,
    check_experiment,
    load_method_and_gate,
    load_texts,
)
from zskel.pipeline.base.config_files import experiment_source
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import WorkDir

if TYPE_CHECKING:
    from zskel.data.exchange.caches import Imported
    from zskel.data.exchange.synse_find import Given

FORMATS = ("synse", "npz")


@dataclass(frozen=True)
class ImportOptions:
    """What ``pipeline import`` may be told.

    Attributes:
        name: Of the experiment; default: the work directory's.
        dataset: Of ``synse``: whose class names hold. Of ``npz``: the shipped data set
            whose texts ``class_text`` takes.
        class_names: A text file with the class names of a data set of one's own.
        without_logits: Of ``synse``: take a folder without ``_out`` files.
        random_split: Of a mapping file: draw ``unseen`` classes with this seed
            instead of taking its split.
        unseen: How many unseen classes.
        class_text: Embed the class names as these configs of
            ``configs/_base_/text``, or files like them, say; needs their encoders.
        method: A config of ``configs/_base_/methods`` for the experiment.
        force: Replace caches that were extracted.
    """

    name: str | None = None
    dataset: str | None = None
    class_names: Path | None = None
    without_logits: bool = False
    random_split: int | None = None
    unseen: int | None = None
    class_text: Sequence[str] = ()
    method: str = "sa_dvae"
    force: bool = False


def import_features(
    form: str, source: Path, work_dir: Path, options: ImportOptions = ImportOptions(),
    given: Given | None = None,
) -> Path:
    """Writes the caches of both phases and an experiment that fits them.

    Args:
        form: "synse": a folder of the SynSE lineage. "npz": a folder that
            ``pipeline export`` wrote, or a mapping file for arrays of one's own.
        source: The folder or file.
        work_dir: Gets ``features/``, ``experiment.py`` and ``import.json``.
        options: What else the user says.
        given: Of ``synse``: what need not be looked for.

    Returns:
        The experiment's config file.

    Raises:
        PipelineError: One clear line that names the file at fault.
    """
    if form not in FORMATS:
        raise BadConfig(f"no format {form!r} to import; {nearest(form, FORMATS)}")
    if form == "npz" and options.dataset is not None and not options.class_text:
        raise BadConfig("--dataset: says for npz whose texts --class-text takes, which is not "
                        "given; the data set's own name is in the mapping file")
    from zskel.zsl.cache_checks import check_caches

    work = WorkDir(work_dir)
    _require_room(work, options.force)
    if form == "synse":
        imported = _synse(source, options, given)
    elif source.is_dir():
        from zskel.data.exchange.npz import import_npz

        imported = import_npz(source)
    else:
        imported = _own(source, options)
    check_caches(imported.test, imported.calibration, _texts(imported))
    origin = {"format": form, "source": source.name}
    content = _experiment(imported, options.name or work_dir.resolve().name, origin, options.method)
    check_experiment(content, "the imported features")
    with work_dir_locked(work.root, "pipeline import", make=True):
        _require_room(work, options.force)  # somebody else may have written meanwhile
        imported, embedded = _embed(imported, options.class_text, work,
                                    options.dataset if form == "npz" else None)
        # First, so that an import that is stopped from here on can be repeated.
        write_json(work_dir / "import.json", {**origin, "notes": list(imported.notes)})
        write_skeleton_features(work.skeleton(TEST), imported.test)
        write_skeleton_features(work.skeleton(CALIBRATION), imported.calibration)
        of_views = {work.skeleton(features.phase, view): features
                    for view, both in imported.views.items() for features in both}
        for path, features in of_views.items():
            write_skeleton_features(path, features)
        for part, text in _texts(imported).items():
            if part not in embedded:
                path = work.text_part(part) if part else work.text
                write_text_features(path, text)
                say(f"wrote {path}: {text.f_y.shape[0]} x {text.f_y.shape[1]}, {text.encoder}")
        kept = {work.skeleton(TEST), work.skeleton(CALIBRATION), *of_views}
        kept |= {work.text_part(part) if part else work.text for part in _texts(imported)}
        for stale in set(work.text.parent.glob("*.h5")) - kept:
            stale.unlink()  # Of features that were replaced: parts of speech, feature views.
        path = work_dir / "experiment.py"
        write_text(path, experiment_source(
            ["Written by `pipeline import`; change `fit` as you like."], content))
    _tell(imported, work)
    return path


def given_of(
    test: Path | None, calibration: Path | None, splits: Path | None, texts: Sequence[str]
) -> Given:
    """Options of the command line as what need not be looked for.

    Args:
        test, calibration, splits: Directories.
        texts: ``FILE``, ``verb=FILE`` or ``noun=FILE``.
    """
    from zskel.data.exchange.synse_find import Given

    found = {}
    for option in texts:
        part, equals, path = option.partition("=")
        if equals and part in ("verb", "noun"):
            found[part] = Path(path)
        else:
            found[""] = Path(option)
    return Given(test, calibration, splits, texts=found)


def _synse(source: Path, options: ImportOptions, given: Given | None) -> Imported:
    from zskel.data.exchange.synse_find import Given
    from zskel.data.exchange.synse_import import import_synse

    given, dataset = replace(given or Given(), unseen=options.unseen), options.dataset
    if dataset is None:
        raise BadConfig(f"{source}: says nothing of its data set; give --dataset NAME, and for one "
                        "of your own --class-names FILE")
    known = class_names(dataset) if options.class_names is None else \
        register_dataset(dataset, options.class_names)
    return import_synse(source, dataset, known, given, options.without_logits)


def _own(source: Path, options: ImportOptions) -> Imported:
    from zskel.data.exchange.own_arrays import read_own_arrays

    seed, unseen = options.random_split, options.unseen
    if (seed is None) != (unseen is None):
        raise BadConfig("--random-split SEED and --unseen N go together")
    arrays = read_own_arrays(source)
    return arrays.caches(arrays.own_split() if seed is None or unseen is None else
                         arrays.random_split(seed, unseen))


def _embed(
    imported: Imported, configs: Sequence[str], work: WorkDir, dataset: str | None
) -> tuple[Imported, set[str]]:
    """Makes the text features that were asked for, in place of the source's; tells which."""
    if not configs and not _texts(imported):
        raise BadInput("the source has no text features; name them, or embed the class names with "
                       "--class-text NAME, such as minilm_label")
    from zskel.pipeline.steps.text_cache import text_cache

    text, parts, notes = imported.text, dict(imported.text_parts), list(imported.notes)
    names, made = imported.test.class_names, set()
    for config in configs:
        whole, own = load_texts(config)
        if dataset is not None:
            whole = None if whole is None else _of_dataset(whole, dataset)
            own = {part: _of_dataset(section, dataset) for part, section in own.items()}
        if whole is not None:
            text = read_text_features(text_cache(names, whole, work))
            made.add("")
        parts |= {part: read_text_features(text_cache(names, section, work, part))
                  for part, section in own.items()}
        made |= set(own)
        said = config if config.endswith(".py") else f"_base_/text/{config}.py"
        notes.append(f"text features of the class names as {said} says")
    return replace(imported, text=text, text_parts=parts, notes=tuple(notes)), made


def _of_dataset(config: TextConfig, dataset: str) -> TextConfig:
    """A text section whose sources look in one shipped data set."""
    from zskel.extractors.text.sources import of_dataset

    def source(own: NamedConfig) -> NamedConfig:
        return NamedConfig(name=own.name, options=of_dataset(own.name, own.options, dataset))

    parts = [part.model_copy(update={"source": source(part.source)}) for part in config.concat_with]
    return config.model_copy(update={"source": source(config.source), "concat_with": parts})


def _require_room(work: WorkDir, force: bool) -> None:
    for phase in (TEST, CALIBRATION):
        path = work.skeleton(phase)
        try:
            config = read_skeleton_features(path).config if path.exists() else {"imported": ""}
        except BadCache:
            config = {}
        imported = (work.root / "import.json").exists() or (
            isinstance(config, dict) and "imported" in config)
        if not imported and not force:
            raise BadInput(f"{path}: features that were not imported are there; import into "
                           "another --work-dir, or replace them with --force")


def _texts(imported: Imported) -> dict[str, Any]:
    whole = {} if imported.text is None else {"": imported.text}
    return {**whole, **imported.text_parts}


def _experiment(
    imported: Imported, name: str, origin: dict[str, str], method: str
) -> dict[str, Any]:
    test = imported.test
    chosen, gate = load_method_and_gate(method, test.dataset)
    content: dict[str, Any] = {
        "name": name,
        "imported": origin,
        "dataset": {"name": test.dataset, "class_names": list(test.class_names),
                    "sample_protocol": test.sample_protocol},
        "split": {"name": imported.split, "unseen": [int(c) for c in test.unseen_classes],
                  "validation_unseen": [int(c) for c in imported.calibration.unseen_classes]},
        "fit": {"method": chosen.model_dump(mode="json"),
                "gate": gate.model_dump(mode="json") if gate else {"name": "domain_classifier"},
                "protocol": "strict", "seeds": 3},
    }
    if not all(features.logits[features.rows(features.phase)].any()
               for features in (test, imported.calibration)):
        # Zeros stand for logits that the source lacks; no protocol may take them for C_s.
        content["fit"]["seen_classifier"] = "f_x"
    return content


def _tell(imported: Imported, work: WorkDir) -> None:
    for features in (imported.test, imported.calibration):
        train, held_out = features.rows("train"), features.rows(features.phase)
        say(f"wrote {work.skeleton(features.phase)}: {len(train)} training rows of "
            f"{len(features.seen_classes)} classes, {len(held_out)} {features.phase} rows, "
            f"{len(features.unseen_classes)} unseen classes, f_x {features.f_x.shape[1]}-d")
    for note in imported.notes:
        say(f"note: {note}")
    say(f"now: pipeline fit {work.root}")
