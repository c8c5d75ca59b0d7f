"""``pipeline demo-data``: the embedded synthetic recordings as raw files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from zskel.data.common.files import digest_json, write_json
from zskel.data.synthetic import Recording, Settings, class_names, generate, write_ntu
from zskel.pipeline.base.progress import bar, say

#: Written last: a folder without it was not finished.
MARKER = "synthetic.json"


def demo_data(folder: str | Path, seed: int = 0, settings: Settings | None = None) -> int:
    """Writes the recordings, or keeps a folder that has just these already.

    Args:
        folder: Where the ``.skeleton`` files go.
        seed: Of everything random.
        settings: Default: the demo's.

    Returns:
        The number of clips.
    """
    folder = Path(folder)
    settings = replace(settings or Settings(), seed=seed)
    content = asdict(settings)
    digest = digest_json(content)
    marker = folder / MARKER
    if marker.is_file():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found["digest"] == digest:
            say(f"kept {folder}: {found['clips']} clips")
            return int(found["clips"])
    for old in folder.glob("*.skeleton"):
        old.unlink()
    actions = settings.actions or class_names()
    total = len(actions) * settings.performers * settings.cameras * settings.replications
    with bar("writing recordings") as tell:
        def counted() -> Iterator[Recording]:
            for done, recording in enumerate(generate(settings), start=1):
                yield recording
                tell(done, total)

        clips = len(write_ntu(counted(), folder))
    write_json(marker, {"digest": digest, "clips": clips, "settings": content})
    say(f"wrote {folder}: {clips} clips")
    return clips
