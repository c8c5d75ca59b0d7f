"""What a config file may say, and what it is told when it may not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from zskel.data.common.errors import BadConfig
from zskel.pipeline.base.config import (
    check_experiment,
    experiment_names,
    find_config,
    load_experiment,
)
from zskel.pipeline.steps.fits import Fit, fit_configs, with_own_options
from zskel.pipeline.steps.phase_plan import resolve_split

DEMO = load_experiment("demo").model_dump(mode="json")


def refused(content: dict[str, Any]) -> str:
    with pytest.raises(BadConfig) as caught:
        check_experiment(content, "my.py")
    message = str(caught.value)
    assert message.startswith("my.py: ") and "\n" not in message
    return message.removeprefix("my.py: ")


def changed(key: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(DEMO)
    *parents, last = key.split(".")
    node = content
    for part in parents:
        node = node[part]
    node[last] = value
    return content


def test_the_names_people_script_against() -> None:
    assert {"demo", "utd-mhad-22-5"} <= set(experiment_names())
    assert not any(name.startswith("_") for name in experiment_names())


@pytest.mark.parametrize("name", experiment_names())
def test_every_shipped_experiment_is_valid_throughout(name: str) -> None:
    from zskel.data.readers import READERS
    from zskel.extractors.text import ENCODERS
    from zskel.extractors.text.sources import SOURCES

    experiment = load_experiment(name)
    assert experiment.name == name
    Fit(experiment.fit).method(0)
    split = resolve_split(experiment)
    assert len(split.validation_unseen) == len(split.unseen)
    assert experiment.dataset.reader in READERS.names()
    assert experiment.class_text.encoder.name in ENCODERS.names()
    assert experiment.class_text.source.name in SOURCES.names()


def test_utd_mhad_22_5_is_purls_split_over_odd_subjects() -> None:
    from zskel.data.classes import class_names
    from zskel.data.protocols import sample_protocol

    experiment = load_experiment("utd-mhad-22-5")
    names = class_names("utd-mhad")
    assert len(names) == 27
    assert resolve_split(experiment).unseen == (4, 14, 17, 23, 24)
    protocol = sample_protocol("utd-mhad", experiment.dataset.sample_protocol)
    assert sorted(protocol.train) == [1, 3, 5, 7]
    assert experiment.fit.seeds == 5


@pytest.mark.parametrize(("key", "suggestion"), [
    ("datset", "'dataset'"),
    ("dataset.raeder", "'reader'"),
    ("split.unsen", "'unseen'"),
    ("calibration.shares", "'share'"),
    ("backbone.epoch", "'epochs'"),
    ("class_text.sources", "'source'"),
    ("class_text.encoder.option", "'options'"),
    ("class_text_part", "'class_text_parts'"),
    ("fit.gat", "'gate'"),
    ("fit.method.nmae", "'name'"),
])
def test_an_unknown_key_names_the_nearest(key: str, suggestion: str) -> None:
    message = refused(changed(key, 1))
    assert f"unknown key {key!r}" in message
    assert f"did you mean {suggestion}" in message


@pytest.mark.parametrize(("option", "message"), [
    ("class_text.concat_with=[{'sorce': 1}]",
     "unknown key 'class_text.concat_with.0.sorce'; did you mean 'source'"),
    ("class_text.concat_with=[{'encoder': {'name': 'clip', 'option': {}}}]",
     "unknown key 'class_text.concat_with.0.encoder.option'; did you mean 'options'"),
    ("class_text_parts={'verb': {'encoder': {'name': 'clip'}, 'sorce': 1}}",
     "unknown key 'class_text_parts.verb.sorce'; did you mean 'source'"),
    ("class_text_parts={'verb': {}}", "key 'class_text_parts.verb.encoder' is missing"),
])
def test_a_wrong_key_below_a_list_or_a_mapping_is_named(option: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_experiment("demo", [option])
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["dataset", "dataset.reader", "backbone.epochs", "fit.method.name"])
def test_a_missing_key_is_named(key: str) -> None:
    content = copy.deepcopy(DEMO)
    *parents, last = key.split(".")
    node = content
    for part in parents:
        node = node[part]
    del node[last]
    assert refused(content) == f"key {key!r} is missing"


@pytest.mark.parametrize(("key", "value"), [
    ("backbone.epochs", 0), ("backbone.epochs", "many"), ("backbone.batch_size", 1),
    ("backbone.seed", -1), ("calibration.share", 0), ("calibration.share", 1.0),
    ("calibration.subjects", [1, 2.5]), ("fit.seeds", 0), ("fit.protocol", "lenient"),
    ("split.unseen", "all"), ("dataset.train", 3), ("dataset", "ntu60"), ("fit.method", None),
])
def test_an_impossible_value_is_named_and_shown(key: str, value: Any) -> None:
    message = refused(changed(key, value))
    assert message.startswith(key)
    shown = value[1] if isinstance(value, list) else value
    assert repr(shown) in message


@pytest.mark.parametrize(("option", "read"), [
    ("fit.seeds=7", lambda e: (e.fit.seeds, 7)),
    ("calibration.share=0.5", lambda e: (e.calibration.share, 0.5)),
    ("split.unseen=[1, 2]", lambda e: (e.split.unseen, [1, 2])),
    ("dataset.name=ntu60", lambda e: (e.dataset.name, "ntu60")),
    ("dataset.name='ntu60'", lambda e: (e.dataset.name, "ntu60")),
    ("split.unseen=None", lambda e: (e.split.unseen, None)),
    ("dataset.reader_options.drop_missing=false",
     lambda e: (e.dataset.reader_options["drop_missing"], False)),
    ("dataset.reader_options.dataset=a=b", lambda e: (e.dataset.reader_options["dataset"], "a=b")),
    ("fit.method.options.learning_rate=1e-4",
     lambda e: (e.fit.method.options["learning_rate"], 1e-4)),
    ("backbone.optim_wrapper.clip_grad.max_norm=1",
     lambda e: (e.backbone.optim_wrapper["clip_grad"], {"max_norm": 1})),
    ("dataset.cleaning.0.bodies=1", lambda e: (e.dataset.cleaning[0]["bodies"], 1)),
    ("backbone.model.backbone.inflate_stages.1=4",
     lambda e: (e.backbone.model["backbone"]["inflate_stages"], [2, 4, 4, 5])),
    ("fit.method={'name': 'sa_dvae'}", lambda e: (e.fit.method.options, {})),
])
def test_overrides(option: str, read: Any) -> None:
    found, expected = read(load_experiment("demo", [option]))
    assert found == expected and type(found) is type(expected)


def test_the_last_override_wins_and_others_stay() -> None:
    experiment = load_experiment("demo", ["fit.seeds=7", "backbone.epochs=3", "fit.seeds=8"])
    assert (experiment.fit.seeds, experiment.backbone.epochs) == (8, 3)
    assert experiment.dataset == load_experiment("demo").dataset
    assert load_experiment("demo").fit.seeds == 3


@pytest.mark.parametrize(("option", "message"), [
    ("fit.seeds", "expected key=value"),
    ("=3", "expected key=value"),
    ("split.name.x=3", "holds no keys"),
    ("split.name.x.y=3", "nothing below"),
    ("dataset.cleaning.9.bodies=1", "not an index in 0..0"),
    ("dataset.cleaning.first.bodies=1", "not an index in 0..0"),
    ("fit.sedes=3", "did you mean 'seeds'"),
    ("fit.seeds=three", "fit.seeds"),
])
def test_a_wrong_override_is_one_line(option: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message) as caught:
        load_experiment("demo", [option])
    assert "\n" not in str(caught.value)


def test_the_name_defaults_to_the_files(tmp_path: Path) -> None:
    path = tmp_path / "my-study.py"
    path.write_text(f"_base_ = {[str(find_config('demo'))]}\n")
    assert load_experiment(str(path)).name == "my-study"
    path.write_text(f"_base_ = {[str(find_config('demo'))]}\nname = 'other'\n")
    assert load_experiment(str(path)).name == "other"
    assert load_experiment(str(path), ["name=third"]).name == "third"


@pytest.mark.parametrize(("text", "message"), [
    ("dataset = dict(\n", "SyntaxError"),
    ("dataset = dict(name=missing)\n", "NameError"),
    ("_base_ = ['nowhere.py']\n", "nowhere.py"),
    ("text = dict(name='label')\n", "text is reserved"),
    ("filename = 'a'\n", "filename is reserved"),
    ("seeds = 3\n", "my.py"),
])
def test_a_broken_config_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "my.py"
    path.write_text(text)
    with pytest.raises(BadConfig, match=message) as caught:
        load_experiment(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "message"), [
    ("dmeo", "did you mean 'demo'"),
    ("utd-mhad-22", "did you mean 'utd-mhad-22-5'"),
    ("nowhere.py", "nowhere.py: no such config file"),
    ("_base_", "no experiment '_base_'"),
])
def test_an_unknown_experiment_names_the_nearest(name: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        load_experiment(name)


def test_a_folder_that_was_not_imported_names_its_experiment(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    with pytest.raises(BadConfig, match="without the experiment.py.*its experiment, 'demo'"):
        load_experiment(str(tmp_path / "demo"))


@pytest.mark.parametrize(("option", "message"), [
    ("fit.method.name=sa_dave", "sa_dave"),
    ("fit.method.options.beta=1", "beta"),
    ("fit.method.options.epochs=0", "epochs"),
    ("fit.gate.name=domain_classifer", "domain_classifier"),
    ("fit.gate.options.temprature=1", "temprature"),
])
def test_wrong_method_and_gate_options_are_found_before_anything_is_fitted(
    option: str, message: str
) -> None:
    experiment = load_experiment("demo", [option])
    with pytest.raises(BadConfig, match=message):
        Fit(experiment.fit).method(0)


def test_method_options_are_for_the_method_that_is_named_beside_them() -> None:
    def chosen(methods: list[str], *options: str) -> Fit:
        experiment = load_experiment("demo", options)
        (config,) = fit_configs(experiment, with_own_options(methods, options), ())
        return Fit(config)

    of_config = chosen(["infonce"]).method(0).params
    changed = chosen(["infonce"], "fit.method.options.epochs=1").method(0).params
    assert changed == of_config.model_copy(update={"epochs": 1})
    own = chosen(["sa_dvae"], "fit.method.options.epochs=1")
    assert own.config == load_experiment("demo", ["fit.method.options.epochs=1"]).fit
    with pytest.raises(BadConfig, match="bogus"):
        chosen(["infonce"], "fit.method.options.bogus=1").method(0)
    for methods in (["all"], ["infonce", "ridge"]):
        with pytest.raises(BadConfig, match="is for one method, --method names several"):
            chosen(methods, "fit.method.options.epochs=1")
    with pytest.raises(BadConfig, match="--method infonce says which method"):
        chosen(["infonce"], "fit.method.name=ridge")


def test_all_is_among_the_gates_to_choose_from() -> None:
    with pytest.raises(BadConfig, match="unknown gate 'al'; did you mean 'all'"):
        fit_configs(load_experiment("demo"), (), ["al"])
    with pytest.raises(BadConfig, match="no method config 'al'; did you mean 'all'"):
        fit_configs(load_experiment("demo"), ["al"], ())
    with pytest.raises(BadConfig, match="unknown gate 'x'; there are all, calibrated_stacking"):
        fit_configs(load_experiment("demo"), (), ["x"])


def test_a_name_alone_is_a_part_without_options() -> None:
    alone = load_experiment("demo", ["fit.protocol=transductive", "fit.refinement=cluster_votes",
                                     "fit.gate=hard"])
    whole = load_experiment("demo", ["fit.protocol=transductive", "fit.gate={'name': 'hard'}",
                                     "fit.refinement.name=cluster_votes"])
    assert alone == whole and alone.digest() == whole.digest()


@pytest.mark.parametrize(("text", "options", "message"), [
    ("", ["fit.protocl=strict"],
     "--cfg-options: unknown key 'fit.protocl'; did you mean 'protocol'?"),
    ("fit = dict(protocl='strict')", ["fit.seeds=1"],
     "{path}: unknown key 'fit.protocl'; did you mean 'protocol'?"),
    ("", ["fit.protocol=transductve"],
     "--cfg-options: fit.protocol: input should be 'strict', 'released' or 'transductive', "
     "found 'transductve'; did you mean 'transductive'?"),
    ("fit = dict(refinement='cluster_votes')", [],
     "{path}: fit: refinement looks at all test clips together: it needs protocol "
     "'transductive', which is 'strict' here"),
])
def test_what_is_wrong_is_said_of_where_it_stands(
    tmp_path: Path, text: str, options: list[str], message: str
) -> None:
    path = tmp_path / "my.py"
    path.write_text(f"_base_ = ['demo.py']\n{text}\n")
    with pytest.raises(BadConfig) as caught:
        load_experiment(str(path), options)
    assert str(caught.value) == message.format(path=path)


def test_the_digest_follows_the_content() -> None:
    assert load_experiment("demo").digest() == load_experiment("demo").digest()
    assert load_experiment("demo", ["fit.seeds=4"]).digest() != load_experiment("demo").digest()
