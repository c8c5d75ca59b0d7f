"""``pipeline fit``: feature caches to result records, one a method, gate, split and seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import BadInput
from data.files import digest_json
from data.memory import memory_in_one_line
from extractors.distributed import require_alone
from pipeline.config import Experiment, FitConfig, NamedConfig, load_method, method_names
from pipeline.determinism import use_deterministic_algorithms
from pipeline.feature_files import FeatureFiles
from pipeline.locks import work_dir_locked
from pipeline.prediction.kept import keep, kept_path, not_kept
from pipeline.progress import bar, say
from pipeline.records import make_arrays, make_record
from pipeline.results import CacheDigests, read_arrays, read_result, result_stem, write_result
from pipeline.workdir import WorkDir

ALL = "all"


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
    require_alone("fit")
    if deterministic:
        use_deterministic_algorithms()
    work = WorkDir.of(experiment.name, work_dir)
    seeds = list(range(experiment.fit.seeds)) if seeds is None else list(seeds)
    chosen = [_Fit(config) for config in _configs(experiment, methods, gates)]
    with work_dir_locked(work.root, "pipeline fit"):
        return _fit_all(experiment, chosen, work, seeds, ALL in methods, keep_models)


def _fit_all(
    experiment: Experiment, chosen: Sequence[_Fit], work: WorkDir, seeds: Sequence[int],
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


def check_fit(config: FitConfig) -> None:
    """Checks method and gate options without fitting anything.

    Raises:
        BadConfig: A name or an option is unknown or impossible.
    """
    made = _Fit(config)
    made.method(0)
    for gate in made.gates.values():
        gate(0)


class _Fit:
    """A fit section made callable."""

    def __init__(self, config: FitConfig) -> None:
        self.config, self.method_name = config, config.method.name
        self.gates = {key: _maker(_gates(), gate)
                      for key, gate in {"": config.gate, **config.gates}.items()}

    def method(self, seed: int) -> Any:
        from zsl.methods import METHODS

        return _maker(METHODS, self.config.method)(seed)

    def evaluate(
        self, files: FeatureFiles, gates: Sequence[str], seed: int, tell: Any, on_fitted: Any
    ) -> Any:
        """Evaluations by gate key, of one fit."""
        from zsl.protocols import released_many, strict_many

        run = {"strict": strict_many, "released": released_many}[self.config.protocol]
        c_s = self.config.seen_classifier
        method = self.method(seed)
        return run(
            files.test, files.calibration, files.texts(method), method=self.method,
            gates={key: self.gates[key] for key in gates}, seed=seed, extra=files.extra(method),
            on_progress=tell, on_fitted=on_fitted,
            **({"seen_from": c_s} if c_s is not None else {}),
        )

    def result_config(self, key: str) -> dict[str, Any]:
        """What decides one gate's result: no seed, no other gate."""
        content = self.config.model_dump(mode="json", exclude={"seeds", "gates"})
        if key:
            content["gate"] = self.config.gates[key].model_dump(mode="json")
        return content

    def gate_config(self, key: str) -> dict[str, Any]:
        """Name and options of a gate."""
        gate = self.config.gates[key] if key else self.config.gate
        return gate.model_dump(mode="json")

    def model_digest(self) -> str:
        """Names what is fitted apart from gates: no seed either."""
        return digest_json(self.config.model_dump(mode="json", exclude={"seeds", "gate", "gates"}))

    @property
    def seen_classifier(self) -> str:
        return self.config.seen_classifier or {"strict": "f_x"}.get(self.config.protocol, "logits")


def _fit_seed(
    experiment: Experiment, what: _Fit, work: WorkDir, files: FeatureFiles, seed: int,
    keep_models: bool,
) -> list[Path]:
    method = what.method(seed)
    digests = files.digests(method)
    # The seed is a field of its own: all seeds of one setting share a digest.
    identities: dict[str, dict[str, Any]] = {
        key: {"method": what.method_name, "variant": _variant(method), "seed": seed,
              "protocol": what.config.protocol, "split": experiment.split.name, "gate_key": key}
        for key in what.gates
    }
    paths = {key: work.results / f"{result_stem(**identity)}.json"
             for key, identity in identities.items()}
    missing = [key for key, path in paths.items()
               if not _current(path, digest_json(what.result_config(key)), digests)]
    for key, path in paths.items():
        if key not in missing:
            say(f"kept {path}")
    model = kept_path(work, identities[""])
    gate_digests = {key: digest_json(what.gate_config(key)) for key in what.gates}
    lacking = not_kept(model, what.model_digest(), gate_digests, digests) if keep_models else []
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
            evaluation, {**identities[key], "seen_classifier": what.seen_classifier},
            experiment=experiment.name, config=what.result_config(key), test=files.test,
            calibration=files.calibration, text=files.text_record(method), digests=digests,
            seconds=seconds,
        )
        write_result(work.root, record, make_arrays(evaluation))
        say(f"{what.method_name}{f', gate {key}' if key else ''}, seed {seed}: "
            f"ZSL {record.zsl_accuracy:.1%}, GZSL seen {record.gzsl_seen_accuracy:.1%}, "
            f"unseen {record.gzsl_unseen_accuracy:.1%}, H {record.gzsl_harmonic_mean:.1%} "
            f"({record.duration_seconds:.0f} s) -> {paths[key]}")
    if keep_models:
        keep(model, fitted[0], {key: what.gate_config(key) for key in wanted}, {
            "experiment": experiment.name,
            "identity": {k: v for k, v in identities[""].items() if k != "gate_key"},
            "own": what.config.method == experiment.fit.method,
            "dataset": experiment.dataset.model_dump(mode="json"),
            "config_digest": what.model_digest(),
            "gate_digests": {key: gate_digests[key] for key in wanted},
            "cache_digests": digests.model_dump(mode="json"),
        }, files)
    return list(paths.values())


def _configs(
    experiment: Experiment, methods: Sequence[str], gates: Sequence[str]
) -> list[FitConfig]:
    """The fit section for each method, with the gates asked for added."""
    own = experiment.fit
    names = _gates().names() if ALL in gates else gates
    extra = {name: NamedConfig(name=name) for name in names if name != own.gate.name}
    with_gates = own.model_copy(update={"gates": {**own.gates, **extra}})
    if not methods:
        return [with_gates]
    configs = []
    for name in _expand(methods):
        method = own.method if name == own.method.name else load_method(
            name, experiment.dataset.name)
        kept = with_gates.gates if ALL not in gates else {
            key: gate for key, gate in with_gates.gates.items() if _works(gate, method)}
        configs.append(with_gates.model_copy(update={"method": method, "gates": kept}))
    return configs


def _expand(methods: Sequence[str]) -> list[str]:
    """Names with "all" replaced by every method that has a config of its name."""
    from zsl.methods import METHODS

    every = [name for name in METHODS.names() if name in method_names()]
    return list(dict.fromkeys(
        name for given in methods for name in (every if given == ALL else [given])))


def _works(gate: NamedConfig, method: NamedConfig) -> bool:
    """Whether a gate can work with what a method offers."""
    from zsl.methods import METHODS
    from zsl.methods.base import ZeroShotMethod

    needs, offered = _gates().get(gate.name).needs, METHODS.get(method.name)
    return all(
        getattr(offered, attribute) is not getattr(ZeroShotMethod, attribute)
        for need, attribute in (("joint_proba", "predict_joint_proba"), ("evidence", "evidence"))
        if need in needs
    )


def _maker(registry: Any, config: NamedConfig) -> Any:
    return lambda seed: registry.build(config.name, **{**config.options, "seed": seed})


def _gates() -> Any:
    from zsl.gates import GATES

    return GATES


def _variant(method: Any) -> str:
    """What of a method is not the default: its ablation, its recipe, its switches."""
    own = getattr(method, "variant", None)
    recipe = getattr(method.params, "recipe", "paper")
    return str(own or ("default" if recipe == "paper" else recipe))


def _current(path: Path, config_digest: str, digests: CacheDigests) -> bool:
    try:
        record = read_result(path)
        whole = read_arrays(path, record) is not None
    except BadInput:
        return False
    return whole and record.config_digest == config_digest and record.cache_digests == digests
