"""From files to settings: reads result records and puts together what may be averaged."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_json
from zskel.pipeline.report.labels import RECOMMENDED, method_order
from zskel.pipeline.report.summary import READ, Group, Run, Setting
from zskel.pipeline.steps.result_record import ResultRecord
from zskel.pipeline.steps.results import find_results, read_result
from zskel.zsl.protocols import protocol_warning

#: The paper's weights (Table 2): of runs that differ in them, these are the headline.
PAPER_WEIGHTS = {"beta_x": 0.023, "beta_y": 0.011}


def load_runs(work_dirs: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """Reads every record of work directories and result files; one given twice is read once.

    Args:
        work_dirs: Work directories, or JSON files of single results.

    Raises:
        BadInput: A path is absent, a directory holds no results, a record is
            broken, or two files claim to be the same run.
    """
    paths: list[Path] = []
    for folder in dict.fromkeys(Path(work_dir).resolve() for work_dir in work_dirs):
        if folder.is_file():
            paths.append(folder)
            continue
        if not folder.is_dir():
            raise BadInput(f"{folder}: no such work directory")
        found = find_results(folder)
        if not found:
            raise BadInput(f"{folder / 'results'}: no result records; run `pipeline fit` first")
        paths += found
    runs = [Run(path, read_result(path)) for path in dict.fromkeys(paths)]
    taken: dict[tuple[object, ...], Path] = {}
    for run in runs:
        name = (*_setting_key(run.record), *_group_key(run.record), run.record.seed)
        if name in taken:
            raise BadInput(
                f"{run.path}: the same method, variant, gate, protocol, split, configuration and "
                f"seed of experiment {run.record.experiment!r} as in {taken[name]}; report on "
                "one of the two")
        taken[name] = run.path
    return runs


def summarize(runs: Iterable[Run]) -> list[Setting]:
    """Groups runs into settings, and within them by method, configuration and gate.

    Runs of different configurations or caches are never averaged: they become
    groups of their own, labelled by what differs.

    Raises:
        BadInput: Records of one setting disagree about classes or clips.
    """
    by_setting: dict[_SettingKey, dict[tuple[str, ...], list[Run]]] = {}
    for run in runs:
        groups = by_setting.setdefault(_setting_key(run.record), {})
        groups.setdefault(_group_key(run.record), []).append(run)
    settings = []
    for key in sorted(by_setting, key=_setting_order):
        members = [tuple(sorted(each, key=lambda run: run.record.seed))
                   for each in by_setting[key].values()]
        gated = _distinguish(sorted(
            (Group(own[0].record.method, own[0].record.variant, own, own[0].record.gate_key,
                   own[0].record.seen_classifier) for own in members), key=_group_order))
        start = Setting(*key, (), ()).key
        gated = [replace(group, anchor=f"{start}-g{at}") for at, group in enumerate(gated, 1)]
        families = {_family(group) for group in gated if not group.gate_key}
        # A fit reported without its own gate is shown with the gate it has.
        main = [group for group in gated if not group.gate_key or _family(group) not in families
                or (group.method, group.gate_key) == RECOMMENDED]
        setting = Setting(*key, tuple(main), tuple(gated))
        _check_comparable(setting)
        settings.append(setting)
    return settings


_SettingKey = tuple[str, str, str, str, str]


def _setting_key(record: ResultRecord) -> _SettingKey:
    return (record.experiment, record.dataset, record.sample_protocol, record.split,
            record.protocol)


def _setting_order(key: tuple[str, ...]) -> tuple[object, ...]:
    """What used test data comes after what did not."""
    return (*key[:-1], bool(protocol_warning(key[-1])), key[-1])


def _group_key(record: ResultRecord) -> tuple[str, ...]:
    return (record.method, record.variant, record.gate_key, record.seen_classifier,
            record.config_digest, record.cache_digests.model_dump_json())


def _family(group: Group) -> tuple[str, ...]:
    """What groups share that are gates of one fit."""
    record = group.first
    fit = {name: value for name, value in record.config.items() if name != "gate"}
    return (record.method, record.variant, record.seen_classifier, digest_json(fit),
            record.cache_digests.model_dump_json())


def _group_order(group: Group) -> tuple[object, ...]:
    weights = {name: group.option(name) for name in PAPER_WEIGHTS}
    usual = all(value is None or round(float(value), 3) == PAPER_WEIGHTS[name]
                for name, value in weights.items())
    return (*method_order(group.method, group.variant), group.seen_classifier == "f_x", usual,
            sorted((name, float(value or 0)) for name, value in weights.items()),
            _family(group), bool(group.gate_key), group.gate_key, group.first.config_digest)


def _distinguish(groups: Sequence[Group]) -> list[Group]:
    """Names what differs between groups that would read the same, or seem comparable.

    Fits are told apart first, whatever their gates, then gates of one fit and name, then
    what should have read the same and did not.
    """
    named: dict[int, list[str]] = defaultdict(list)
    kinds: tuple[Callable[[Group], tuple[object, dict[str, Any]]], ...] = (
        lambda g: ((g.method, g.variant, g.seen_classifier), _fit_facts(g)),
        lambda g: ((*_family(g), g.gate_key), _gate_facts(g)),
        *READ.values(),
    )
    for kind_of in kinds:
        alike: dict[str, list[tuple[Group, dict[str, Any]]]] = defaultdict(list)
        for group in groups:
            kind, each = kind_of(group)
            alike[json.dumps(kind)].append((group, each))
        for same in alike.values():
            facts = [each for _, each in same]
            for group, each in same:
                named[id(group)] += [f"{name} = {each.get(name, 'default')}"
                                     for name in _telling(facts)]
    return [replace(group, distinction=", ".join(named[id(group)])) for group in groups]


def _telling(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names in which not all are the same; digests only where nothing else tells them apart."""
    def several(names: Sequence[str]) -> int:
        return len({json.dumps([each.get(name) for name in names]) for each in facts})

    names = [name for name in dict.fromkeys(name for each in facts for name in each)
             if several([name]) > 1]
    plain = [name for name in names if not name.endswith("digest")]
    return plain if several(plain) == several(names) else names


def _fit_facts(group: Group) -> dict[str, Any]:
    record = group.first
    fit = {name: value for name, value in record.config.items() if name != "gate"}
    config = {name.removeprefix("method.options."): value for name, value in _flat(fit).items()}
    return {**config, "tokens": record.text.tokens,
            "other caches digest": digest_json(record.cache_digests.others)[:8]}


def _gate_facts(group: Group) -> dict[str, Any]:
    gate = _flat(group.first.config.get("gate", {}), "gate")
    return {**gate, "config digest": group.first.config_digest[:8]}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {name: leaf for key, item in value.items()
                for name, leaf in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()}
    return {prefix: value}


def _check_comparable(setting: Setting) -> None:
    def identity(record: ResultRecord) -> list[tuple[int, str, bool, int]]:
        return sorted((c.index, c.name, c.unseen, c.count) for c in record.per_class)

    reference = setting.runs[0]
    for run in setting.runs[1:]:
        if identity(run.record) != identity(reference.record):
            raise BadInput(
                f"{run.path}: field 'per_class' has other classes or clip counts than "
                f"{reference.path} of the same experiment and split; delete the outdated one")
