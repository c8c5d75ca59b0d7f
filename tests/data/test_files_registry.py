"""Files that are whole or absent, digests, and parts found by name."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from zskel.data.common.errors import BadConfig
from zskel.data.common.files import atomic_path, digest_file, digest_json, write_json, write_text
from zskel.data.common.registry import Registry, nearest


def everything_in(folder):
    return sorted(path.name for path in folder.rglob("*"))


# -- atomic files --------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
def test_a_finished_block_leaves_the_file_and_nothing_else(tmp_path, durable):
    path = tmp_path / "new" / "folder" / "file.bin"
    with atomic_path(path, durable) as temporary:
        assert not temporary.exists() and not path.exists()
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert everything_in(tmp_path) == ["file.bin", "folder", "new"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_crash_inside_leaves_nothing(tmp_path, error):
    with pytest.raises(error), atomic_path(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert everything_in(tmp_path) == []


def test_an_interrupt_that_a_writer_turns_into_its_own_complaint_stays_an_interrupt(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "file") as temporary:
        archive = zipfile.ZipFile(temporary, "w")
        archive.open("member", "w")
        try:
            raise KeyboardInterrupt
        finally:
            archive.close()  # "... there is an open writing handle on it"
    assert everything_in(tmp_path) == []


def test_a_crash_inside_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="halfway"), atomic_path(path) as temporary:
        temporary.write_bytes(b"half of the new")
        assert path.read_bytes() == b"old"
        raise ValueError("halfway")
    assert path.read_bytes() == b"old"
    assert everything_in(tmp_path) == ["file"]


def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert path.read_bytes() == b"old"
    assert everything_in(tmp_path) == ["file"]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import sys, time\n"
        "from zskel.data.common.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_bytes() == b"old"
    # What stays behind is hidden and has another name.
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["file"]
    write_text(path, "new")
    assert path.read_text() == "new"


def test_readers_see_the_old_or_the_new_file_but_never_half(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 1000)
    with open(path, "rb") as old:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"b" * 2000)
        assert old.read() == b"a" * 1000
    assert path.read_bytes() == b"b" * 2000


def test_written_json_reads_back_and_nan_is_refused(tmp_path):
    path = tmp_path / "value.json"
    value = {"names": ["à", "b"], "share": 0.25, "none": None}
    write_json(path, value)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == value and text.endswith("}\n") and "à" in text
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"share": float("nan")})
    assert path.read_text(encoding="utf-8") == text


# -- digests -------------------------------------------------------------------


def test_digest_of_json_is_sha256_of_its_canonical_text():
    text = '{"a":[1,2.5],"b":"é"}'
    assert digest_json({"b": "é", "a": [1, 2.5]}) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("other", [{"a": [2, 1]}, {"a": [1, 2, 3]}, {"b": [1, 2]}, {"a": "12"}])
def test_digest_of_json_tells_values_apart(other):
    assert digest_json(other) != digest_json({"a": [1, 2]})


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 1])
def test_digest_of_a_file_is_sha256_of_its_bytes(tmp_path, size):
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "file").write_bytes(content)
    assert digest_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


# -- registries ----------------------------------------------------------------


def repeat(word: str, *, times: int = 2) -> str:
    return word * times


def test_parts_are_found_and_built_by_name():
    registry = Registry(
        "thing", {"repeat": repeat, "digest": "zskel.data.common.files:digest_json"})
    assert registry.get("digest") is digest_json
    assert registry.build("repeat", "ab", times=3) == "ababab"
    registry.register("again", repeat)
    assert registry.names() == ["again", "digest", "repeat"]


def test_a_part_is_imported_only_when_asked_for(tmp_path, monkeypatch):
    name = f"lazy_part_{os.getpid()}_{time.monotonic_ns()}"
    (tmp_path / f"{name}.py").write_text("def part():\n    return 'here'\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("thing", {"lazy": f"{name}:part"})
    assert registry.names() == ["lazy"] and name not in sys.modules
    assert registry.build("lazy") == "here"
    assert name in sys.modules
    del sys.modules[name]


def test_messages_of_a_registry():
    registry = Registry("reader", {"repeat": repeat, "other": repeat})
    with pytest.raises(BadConfig) as caught:
        registry.get("repaet")
    assert str(caught.value) == "unknown reader 'repaet'; did you mean 'repeat'?"
    with pytest.raises(BadConfig) as caught:
        registry.get("zzz")
    assert str(caught.value) == "unknown reader 'zzz'; there are other, repeat"
    with pytest.raises(BadConfig, match="reader 'repeat': got an unexpected keyword.*'tims'"):
        registry.build("repeat", "ab", tims=3)
    with pytest.raises(BadConfig, match="reader 'repeat': missing a required argument: 'word'"):
        registry.build("repeat")


def test_a_type_error_inside_a_part_is_not_taken_for_a_wrong_option():
    def broken() -> None:
        raise TypeError("a defect")

    with pytest.raises(TypeError, match="a defect"):
        Registry("thing", {"broken": broken}).build("broken")


def test_nearest_of_nothing():
    assert nearest("x", []) == "there are none"
