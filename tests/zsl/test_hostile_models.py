"""Models from elsewhere: safetensors headers that lie, and JSON that asks for code."""

from __future__ import annotations

import json
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_file
from zskel.zsl.fitted import check_fitted, read_card
from zskel.zsl.methods.saving import load_method
from zskel.zsl.model_file import FITTED, METHOD, write_model_file

CARD, WEIGHTS = "model.json", "model.safetensors"  # of a folder of version 1


def raw(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def tensor(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}


HEADERS = {
    "a header of 4 EB": raw({}, length=1 << 62),
    "a header longer than the file": raw({}, length=1 << 20),
    "a tensor of 4 TB": raw(tensor([1 << 40], 0, 1 << 42), bytes(64)),
    "a shape of 4 TB in 64 bytes": raw(tensor([1 << 40], 0, 64), bytes(64)),
    "a shape that overflows": raw(tensor([1 << 62, 1 << 62], 0, 64), bytes(64)),
    "offsets that run backwards": raw(tensor([16], 64, 0), bytes(64)),
    "a pickle for a header": raw(b"cos\nsystem\n(S'touch was-here'\ntR."),
    "a pickle for a file": b"cos\nsystem\n(S'touch was-here'\ntR.",
    "a type of objects": raw(tensor([1], 0, 8, "O"), bytes(8)),
    "nested beyond measure": raw(b"[" * 200_000),
    "nothing": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_lying_header_is_refused_without_memory_or_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = tmp_path / WEIGHTS
    path.write_bytes(HEADERS[name])
    (tmp_path / CARD).write_text(json.dumps({
        "format": METHOD.format, "format_version": 1, "method": "ridge", "params": {}, "values": {},
        "weights_sha256": digest_file(path)}))
    for read, where in ((read_card, path), (check_fitted, path), (load_method, path),
                        (load_method, tmp_path)):
        with pytest.raises(BadInput) as caught:
            read(where)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == [CARD, WEIGHTS]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < 100 << 20


def test_names_in_a_card_are_looked_up_and_never_imported(tmp_path: Path) -> None:
    """A method is a name of the registry, not a path to something to call."""
    for name in ("os:system", "os.system", "zskel.zsl.methods.sa_dvae:SADVAE", "../ridge",
                 "__import__"):
        path = write_model_file(
            tmp_path / "a.safetensors", METHOD,
            {"method": name, "params": {"command": "touch was-here"}, "values": {}},
            {"x": np.ones(2)})
        with pytest.raises(BadInput, match="unknown method|only a file names"):
            load_method(path)


def test_a_card_of_another_kind_of_value_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for card in ("[]", "null", "{", '{"format": 3}', json.dumps({"format": FITTED.format}),
                 "9" * 5000, "[" * 10**5):
        save_file({"x": np.ones(2)}, path, {"card": card})
        with pytest.raises(BadInput) as caught:
            read_card(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
