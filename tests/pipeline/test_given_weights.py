"""``extract --weights`` and ``evaluate-backbone``: backbones trained elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import read_skeleton_features


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
