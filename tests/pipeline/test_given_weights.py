"""``extract --weights`` and ``evaluate-backbone``: backbones trained elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import read_skeleton_features
from zskel.pipeline.base.config import load_experiment


def test_own_weights_give_the_features_of_the_run_that_trained_them(
    tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    files = {phase: tiny_work / "backbones" / phase / "weights.pth"
             for phase in ("test", "calibration")}
    given = [part for phase, file in files.items() for part in ("--weights", f"{phase}={file}")]
    ended = commands.run("extract", tiny_config, "--raw", tiny_raw, *given, "--work-dir", tmp_path)
    assert ended.code == 0, ended.err
    assert not (tmp_path / "backbones").exists()
    for phase, file in files.items():
        ours = read_skeleton_features(tmp_path / "features" / f"skeleton_{phase}.h5")
        theirs = read_skeleton_features(tiny_work / "features" / f"skeleton_{phase}.h5")
        assert np.array_equal(ours.f_x, theirs.f_x) and np.array_equal(ours.logits, theirs.logits)
        assert ours.weights_sha256 == theirs.weights_sha256
        assert ours.config["given_weights"]["sha256"] == ours.weights_sha256
        assert str(file.parent) not in json.dumps(ours.config)


@pytest.mark.parametrize(("weights", "message"), [
    ("none.pth", "no such file of weights"),
    ("config", "no weights that load without running code"),
])
def test_bad_weights_are_one_line(
    tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path, weights: str, message: str
) -> None:
    file = tiny_config if weights == "config" else tmp_path / weights
    ended = commands.run("extract", tiny_config, "--raw", tiny_raw, "--weights", file,
                         "--work-dir", tmp_path / "work")
    assert ended.code == 2 and message in ended.err.splitlines()[-1]


def test_evaluate_backbone_counts_what_its_own_head_gets_right(
    tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    import torch

    from zskel.extractors.mm import register

    register()
    from mmaction.registry import MODELS

    from zskel.data.skeleton import NTU_RGBD
    from zskel.extractors.layout import follow
    from zskel.extractors.training import BackboneSpec
    from zskel.pipeline.base.config import BackboneConfig, find_config, load_section

    section = find_config("demo").parent / "_base_" / "backbones" / "stgcn_tiny.py"
    config = load_section(section, "backbone", BackboneConfig)
    spec = BackboneSpec(**follow(config.model_dump(), NTU_RGBD))
    torch.manual_seed(0)
    model = MODELS.build(spec.model_config(40))
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "w.pth")
    ended = commands.run(
        "evaluate-backbone", "--backbone", "stgcn_tiny", "--dataset", "synthetic", "--weights",
        tmp_path / "w.pth", "--raw", tiny_raw, "--work-dir", tmp_path / "work", "--json",
    )
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["num_clips"] == len(found["clips"]) == 160
    first = [clip["best"][0]["label"] == clip["label"] for clip in found["clips"]]
    among = [clip["label"] in [best["label"] for best in clip["best"]] for clip in found["clips"]]
    assert found["top1"] == pytest.approx(np.mean(first))
    assert found["top5"] == pytest.approx(np.mean(among)) and found["top5"] >= found["top1"]
    best = found["clips"][0]["best"]
    assert len(best) == 5
    chances = [b["probability"] for b in best]
    assert chances == sorted(chances, reverse=True)

    own = tmp_path / "own.py"
    base = f"_base_ = [{str(section)!r}]\n"
    own.write_text(f"{base}backbone = dict(name='mine')\n")
    common = ("--dataset", "synthetic", "--weights", tmp_path / "w.pth",
              "--work-dir", tmp_path / "work")
    by_path = commands.run("evaluate-backbone", "--backbone", own, *common, "--json")
    assert by_path.code == 0, by_path.err
    assert json.loads(by_path.out) == {**found, "backbone": "mine"}
    for text, message in (("dataset = dict()\n", "key 'backbone' is missing"),
                          (f"{base}backbone = dict(nmae='x')\n", "did you mean 'name'")):
        own.write_text(text)
        bad = commands.run("evaluate-backbone", "--backbone", own, *common)
        assert bad.code == 2 and message in bad.err and len(bad.err.splitlines()) == 1
    for name, message in (("stgcn_tny", "did you mean 'stgcn_tiny'"),
                          (tmp_path / "none.py", "none.py: no such config file")):
        bad = commands.run("evaluate-backbone", "--backbone", name, *common)
        assert bad.code == 2 and message in bad.err and len(bad.err.splitlines()) == 1

    wrong = commands.run("evaluate-backbone", "--backbone", "stgcn_tiny", "--dataset", "ntu60",
                         "--weights", tmp_path / "w.pth", "--raw", tiny_raw)
    assert wrong.code == 2 and "its head has 40 classes, ntu60 has 60" in wrong.err


@pytest.fixture
def counted(tiny_config: Path, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A config with a backbone that counts its forwards, and random weights for it."""
    import torch

    from zskel.extractors.mm import register

    register()
    from mmaction.registry import MODELS

    code, weights = tmp_path / "counting.py", tmp_path / "w.pth"
    code.write_text(
        "from pathlib import Path\n"
        "from mmaction.models.backbones import STGCN\n"
        "class Counting(STGCN):\n"
        "    def forward(self, x):\n"
        "        with Path(__file__).with_name('forwards').open('a') as file:\n"
        "            file.write('.')\n"
        "        return super().forward(x)\n")
    torch.manual_seed(0)
    model = load_experiment(str(tiny_config)).needed_backbone.model
    model["cls_head"]["num_classes"] = 40
    model["backbone"]["graph_cfg"]["layout"] = "nturgb+d"
    torch.save(MODELS.build(model).state_dict(), weights)

    def make(name: str, changes: str = "") -> tuple[Path, Path]:
        config = tmp_path / f"{name}.py"
        plain = tiny_config.read_text().replace('type="STGCN"', f'type="{code}:Counting"')
        config.write_text(plain + changes)
        return config, weights

    return make


def test_a_second_split_takes_its_features_from_those_of_all_clips(
    counted: Callable[..., tuple[Path, Path]], tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    def extract(config: Path, weights: Path, work: str, bank: str) -> tuple[int, str]:
        ended = commands.run("extract", config, "--raw", tiny_raw, "--weights", weights,
                             "--work-dir", tmp_path / work, "--model-store", tmp_path / bank)
        assert ended.code == 0, ended.err
        return len((tmp_path / "forwards").read_text()), ended.err

    first, weights = counted("first")
    other, _ = counted("other", "split = dict(name='other', unseen=[0, 7, 9, 20, 31])\n"
                                "backbone['epochs'] = 7\n")
    forwards, told = extract(first, weights, "first", "bank")
    assert forwards == 5  # 160 clips, 32 a pass, for both phases
    assert told.count("features shared") == 1
    forwards, told = extract(other, weights, "second", "bank")
    assert forwards == 5 and told.count("features shared") == 2
    # What is damaged is made again, and what the split then has is the same to the bit.
    (kept,) = (tmp_path / "bank" / "features").glob("*/features.npz")
    content = kept.read_bytes()
    kept.write_bytes(content[:5000] + b"\0" * 64 + content[5064:])
    forwards, told = extract(other, weights, "third", "bank")
    assert forwards == 10 and kept.read_bytes() == content
    for phase in ("test", "calibration"):
        one, two, three = (
            read_skeleton_features(tmp_path / work / "features" / f"skeleton_{phase}.h5")
            for work in ("first", "second", "third"))
        assert np.array_equal(two.f_x, three.f_x) and np.array_equal(two.logits, three.logits)
        assert one.seen_classes != two.seen_classes and two.software == three.software
        alike = dict(zip(one.sample_id, one.f_x))
        shared = [name in alike for name in two.sample_id]
        assert np.array_equal(two.f_x[shared], [alike[name] for name in two.sample_id[shared]])
