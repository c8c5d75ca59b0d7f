"""``pipeline export``: the caches of a work directory in other people's formats."""

from __future__ import annotations

from pathlib import Path

from zskel.data.caches import (
    CALIBRATION,
    TEST,
    SkeletonFeatures,
    TextFeatures,
    read_skeleton_features,
    read_text_features,
)
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.registry import nearest
from zskel.data.exchange.synse_export import Names
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import WorkDir

FORMATS = ("synse", "smie", "npz", "table")


def export(
    work_dir: Path, to: str, folder: Path, layout: str = "sa-dvae", names: Names | None = None,
    force: bool = False,
) -> list[Path]:
    """Writes both phases and the text features of a work directory.

    Args:
        work_dir: Where ``features/`` lies.
        to: One of ``FORMATS``.
        folder: Where the files go.
        layout: Of ``synse``: whose scripts are to read it; see ``zskel.data.exchange.layouts``.
        names: Of ``synse`` and, that of the data set, ``smie``: names in the paths, instead
            of those that follow from the caches.
        force: Replace files that say something else.

    Returns:
        The files.

    Raises:
        PipelineError: Caches are missing or do not belong together, or cannot be
            said in the format.
    """
    if to not in FORMATS:
        raise BadConfig(f"no format {to!r} to export to; {nearest(to, FORMATS)}")
    from zskel.zsl.cache_checks import check_caches

    work = WorkDir(work_dir)
    test = read_skeleton_features(work.skeleton(TEST))
    calibration = read_skeleton_features(work.skeleton(CALIBRATION))
    texts = _texts(work)
    check_caches(test, calibration, texts)
    names, notes = names or Names(), list[str]()
    if to == "npz":
        from zskel.data.exchange.npz import export_npz

        files = export_npz(folder, test, calibration, texts, force, _views(work))
    elif to == "table":
        from zskel.data.exchange.table import export_table

        files = export_table(folder, test, calibration, texts, force)
    elif to == "smie":
        from zskel.data.exchange.smie import export_smie

        if "" not in texts:
            raise BadInput(f"{work.text}: no such file; SMIE takes one text embedding a class")
        files, notes = export_smie(folder, test, calibration, texts[""], names.dataset,
                                   force)
    else:
        from zskel.data.exchange.layouts import layout_of
        from zskel.data.exchange.synse_export import export_synse

        files, notes = export_synse(folder, test, calibration, texts, layout_of(layout),
                                    names, force)
    for path in files:
        say(f"wrote {path}")
    for note in notes:
        say(f"note: {note}")
    return files


def _views(work: WorkDir) -> dict[str, tuple[SkeletonFeatures, SkeletonFeatures]]:
    """The feature views that both phases have, by what their files are called."""
    main = work.skeleton(TEST)
    names = [path.stem.removeprefix(f"{main.stem}_")
             for path in work.skeleton_caches(TEST) if path != main]
    paths = {name: (work.skeleton(TEST, name), work.skeleton(CALIBRATION, name)) for name in names}
    return {name: (read_skeleton_features(both[0]), read_skeleton_features(both[1]))
            for name, both in paths.items() if both[1].is_file()}


def _texts(work: WorkDir) -> dict[str, TextFeatures]:
    parts = {path.stem.removeprefix("text_"): path
             for path in sorted(work.text.parent.glob("text_*.h5"))}
    paths = {"": work.text, **parts} if work.text.is_file() or not parts else parts
    return {part: read_text_features(path) for part, path in paths.items()}
