"""A stranger's research code, whose folders bear the names that ours have in the checkout."""

from __future__ import annotations

from pathlib import Path

#: What its user runs there: both repositories' modules, side by side.
CODE = (
    "from data.dataset import NAME; import configs.setting as setting; "
    "from zskel.data.caches import read_skeleton_features; import zskel.pipeline.base.config; "
    "import zskel.zsl.methods.ridge, zskel.extractors.spec; "
    "from zskel.data.readers.ntu import missing_skeletons; missing_skeletons('ntu60'); "
    "print(NAME, setting.NAME, len(zskel.pipeline.base.config.experiment_names()) > 20)"
)
#: What that prints.
PRINTED = "theirs theirs too True"


def write_other_repository(folder: Path, regular: bool) -> Path:
    """Makes the repository, its packages with ``__init__.py`` if they are regular ones."""
    for package, module, name in (
        ("data", "dataset", "theirs"), ("configs", "setting", "theirs too"),
    ):
        (folder / package).mkdir(parents=True)
        (folder / package / f"{module}.py").write_text(f"NAME = {name!r}\n", encoding="utf-8")
        if regular:
            (folder / package / "__init__.py").write_text("", encoding="utf-8")
    return folder
