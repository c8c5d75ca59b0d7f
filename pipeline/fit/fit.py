"""``pipeline fit``: feature caches to result records, one a method, gate, split and seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_json
from zskel.data.common.memory import memory_in_one_line
from zskel.extractors.distributed import require_single_process
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.determinism import use_deterministic_algorithms
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import bar, say
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.fits import ALL, Fit, fit_configs, is_current_result
from zskel.pipeline.steps.fitted_models import fitted_model_path, gates_to_fit, keep_fitted_model
from zskel.pipeline.steps.records import make_arrays, make_record
from zskel.pipeline.steps.result_record import result_stem
from zskel.pipeline.steps.results import write_result


def fit(
    experiment: Experiment,
    work_dir: str | Path | None = None,
    seeds: Sequence[int] | None = None,
    methods: Sequence[str] = (),
    gates: Sequence[str] = (),
    keep_models: bool = True,
    deterministic: bool = False,
) -> list[Path]:
    """Fits and evaluates methods and their gates for each seed.

    Results that are there already and were made by the same config from the
    same caches are kept, so the same call goes on where a stopped one was. What
    was fitted is kept in ``models/``, for ``pipeline predict``.

    Args:
        experiment: From ``load_experiment``.
        work_dir: Default ``work_dirs/<experiment>``.
        seeds: Default: as many as the config says, from 0.
        methods: Configs of ``configs/_base_/methods`` instead of the
            experiment's method; "all" is one config for every method.
        gates: Registered gates to evaluate beside the experiment's own; "all"
            is every one that works with the method.
        keep_models: Whether to keep what was fitted; a few MB a method and seed.
        deterministic: Compute on a GPU so that it repeats itself to the bit. The
            methods of this package compute on the CPU; those of others may not.

    Returns:
        The result files.

    Raises:
        PipelineError: Caches are missing or unfit, or a fit fails.
    """
    require_single_process("fit")
    if deterministic:
        use_deterministic_algorithms()
    work = WorkDir.of(experiment.name, work_dir)
    seeds = list(range(experiment.fit.seeds)) if seeds is None else list(seeds)
    chosen = [Fit(config) for config in fit_configs(experiment, methods, gates)]
    with work_dir_locked(work.root, "pipeline fit"):
        return _fit_all(experiment, chosen, work, seeds, ALL in methods, keep_models)


def _fit_all(
    experiment: Experiment, chosen: Sequence[Fit], work: WorkDir, seeds: Sequence[int],
    what_can_be: bool, keep_models: bool,
) -> list[Path]:
    """Fits; methods that lack features of their own are left out if ``what_can_be``."""
    files = FeatureFiles(work)
    lacking = {each.method_name: files.missing(each.method(0)) for each in chosen}
    if any(lacking.values()) and not what_can_be:
        raise BadInput(next(filter(None, lacking.values())))
    runnable = [each for each in chosen if not lacking[each.method_name]]
    say(f"experiment {experiment.name}: {len(runnable)} method(s), "
        f"protocol {experiment.fit.protocol}, {len(seeds)} seed(s), "
        f"f_x {files.test.f_x.shape[1]}-d, f_y {files.text_width}-d")
    paths = [path for each in runnable for seed in seeds
             for path in _fit_seed(experiment, each, work, files, seed, keep_models)]
    for reason in filter(None, lacking.values()):
        say(f"skipped: {reason}")
    return paths


def _fit_seed(
    experiment: Experiment, what: Fit, work: WorkDir, files: FeatureFiles, seed: int,
    keep_models: bool,
) -> list[Path]:
    method = what.method(seed)
    digests = files.digests(method)
    # The seed is a field of its own: all seeds of one setting share a digest.
    identities: dict[str, dict[str, Any]] = {
        key: {"method": what.method_name, "variant": method.variant, "seed": seed,
              "protocol": what.config.protocol, "split": experiment.split.name, "gate_key": key}
        for key in what.gates
    }
    paths = {key: work.results / f"{result_stem(**identity)}.json"
             for key, identity in identities.items()}
    missing = [key for key, path in paths.items()
               if not is_current_result(path, digest_json(what.result_config(key)), digests)]
    for key, path in paths.items():
        if key not in missing:
            say(f"kept {path}")
    model = fitted_model_path(work, identities[""])
    gate_digests = {key: digest_json(what.gate_config(key)) for key in what.gates}
    lacking = gates_to_fit(model, what.model_digest(), gate_digests, digests) if keep_models else []
    wanted = [key for key in what.gates if key in missing or key in lacking]
    if not wanted:
        return list(paths.values())
    fitted: list[Any] = []
    started = time.perf_counter()
    work_now = f"fitting {what.method_name}, seed {seed}"
    with bar(work_now) as tell, memory_in_one_line(
        work_now, "free some and give the same command again, it goes on; or set a smaller "
        "fit.method.options.batch_size or model, which is another fit",
    ):
        evaluations = what.evaluate(files, wanted, seed, tell, fitted.append)
    seconds = time.perf_counter() - started
    for key in missing:
        evaluation = evaluations[key]
        record = make_record(
            evaluation, {**identities[key], "experiment": experiment.name,
                         "seen_classifier": what.seen_classifier},
            config=what.result_config(key), test=files.test, calibration=files.calibration,
            text=files.text_record(method), digests=digests, seconds=seconds,
        )
        write_result(work.root, record, make_arrays(evaluation))
        say(f"{what.method_name}{f', gate {key}' if key else ''}, seed {seed}: "
            f"ZSL {record.zsl_accuracy:.1%}, GZSL seen {record.gzsl_seen_accuracy:.1%}, "
            f"unseen {record.gzsl_unseen_accuracy:.1%}, H {record.gzsl_harmonic_mean:.1%} "
            f"({record.duration_seconds:.0f} s) -> {paths[key]}")
    if keep_models:
        keep_fitted_model(model, fitted[0], {key: what.gate_config(key) for key in wanted}, {
            "experiment": experiment.name,
            "identity": {k: v for k, v in identities[""].items() if k != "gate_key"},
            "own": what.config.method == experiment.fit.method,
            "dataset": experiment.dataset.model_dump(mode="json"),
            "config_digest": what.model_digest(),
            "gate_digests": {key: gate_digests[key] for key in wanted},
            "cache_digests": digests.model_dump(mode="json"),
        }, files)
    return list(paths.values())
