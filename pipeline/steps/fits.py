"""What a fit section comes to: methods, gates, and the names of what they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zskel.data.common.devices import chosen_device
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.files import digest_json
from zskel.data.common.outside import is_outside, trust
from zskel.data.common.registry import nearest
from zskel.pipeline.base.config import (
    Experiment,
    FitConfig,
    NamedConfig,
    load_method_and_gate,
    method_names,
)
from zskel.pipeline.base.config_files import override
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.result_record import CacheDigests
from zskel.pipeline.steps.results import read_arrays, read_result
from zskel.zsl.gates import GATES
from zskel.zsl.methods import METHODS
from zskel.zsl.protocols import PROTOCOLS, Protocol
from zskel.zsl.refinements import REFINEMENTS

#: Every method, or every gate that works with the method.
ALL = "all"
_METHOD = ["fit", "method"]  # its key in a config


class Fit:
    """A fit section made callable.

    Attributes:
        config: The section.
        method_name: Of its method.
        gates: Makers of unfitted gates from a seed, by key; "" is the own gate.

    Raises:
        BadConfig: A name, or an option of a gate or refinement, is unknown or impossible.
    """

    def __init__(self, config: FitConfig) -> None:
        self.config, self.method_name = config, METHODS.called(config.method.name)
        self.gates = {key: _maker(GATES, gate)
                      for key, gate in {"": config.gate, **config.gates}.items()}
        # A wrong option should not wait for the fit of the method.
        for make in self.gates.values():
            make(0)
        if self.protocol.refinement is not None:
            self.protocol.refinement()

    def method(self, seed: int) -> Any:
        """An unfitted method."""
        return _maker(METHODS, self.config.method)(seed)

    def variant(self, seed: int) -> str:
        """What is not the default, as results name it: of the method, or other features."""
        own, features = self.method(seed).variant, self.config.features
        if features == "f_x":
            return str(own)
        return " ".join([*([] if own == "default" else [own]), features.removeprefix("f_x_")])

    def device(self) -> str:
        """Where the method computes on this machine.

        Raises:
            BadInput: A GPU is asked for, and there is none.
        """
        return chosen_device(self.config.device, self.method(0).faster_on_gpu)

    def evaluate(
        self, files: FeatureFiles, gates: Sequence[str], seed: int, tell: Any, on_fitted: Any
    ) -> Any:
        """Evaluations by gate key, of one fit."""
        from zskel.zsl.evaluation import evaluate_gates

        return evaluate_gates(
            files.caches(self.method(seed), self.views), method=self.method,
            gates={key: self.gates[key] for key in gates}, protocol=self.protocol, seed=seed,
            on_progress=tell, on_fitted=on_fitted,
        )

    def result_config(self, key: str) -> dict[str, Any]:
        """What decides one gate's result: no seed, no other gate."""
        content = self._content("gates")
        if key:
            content["gate"] = self.config.gates[key].model_dump(mode="json")
        return content

    def gate_config(self, key: str) -> dict[str, Any]:
        """Name and options of a gate."""
        gate = self.config.gates[key] if key else self.config.gate
        return gate.model_dump(mode="json")

    def model_digest(self) -> str:
        """Names what is fitted apart from gates: no seed either."""
        return digest_json(self._content("gate", "gates"))

    def _content(self, *without: str) -> dict[str, Any]:
        """The section with every parameter of the method, given or default, but no seed."""
        content = self.config.model_dump(mode="json", exclude={"seeds", *without})
        params = self.method(0).params
        content["method"]["options"] = params.model_dump(mode="json", exclude={"seed"})
        return content

    @property
    def views(self) -> tuple[str, ...]:
        """The feature views that its refinement takes where they are there."""
        made = self.protocol.refinement
        return () if made is None else made().feature_views

    @property
    def seen_classifier(self) -> str:
        """What C_s is, as results name it."""
        return self.protocol.seen_from

    @property
    def protocol(self) -> Protocol:
        """With the C_s of the section, where it names one."""
        usual = PROTOCOLS[self.config.protocol]
        named = self.config.refinement
        made = usual.refinement if named is None else partial(
            REFINEMENTS.build, named.name, **named.options)
        seen_from = self.config.seen_classifier or usual.seen_from
        return replace(usual, name=self.config.protocol_name, seen_from=seen_from,
                       refinement=made)


def with_own_options(
    methods: Sequence[str], overrides: Sequence[str]
) -> Sequence[str | NamedConfig]:
    """The methods; a single one with what overrides of a config say of the method's options.

    Args:
        methods: As ``zskel.pipeline.fit.fit.fit`` takes them.
        overrides: As ``load_experiment`` takes them.

    Raises:
        BadConfig: There are several methods, or an override is not of the options.

    >>> with_own_options(["infonce"], ["fit.method.options.epochs=1", "fit.seeds=2"])
    [NamedConfig(code={}, name='infonce', options={'epochs': 1})]
    """
    own = [each for each in overrides if each.partition("=")[0].split(".")[:2] == _METHOD]
    if not methods or not own:
        return methods
    if len(_expand(methods)) > 1:
        raise BadConfig(f"--cfg-options {own[0]!r}: is for one method, --method names several; "
                        "fit them one by one")
    below = ".".join([*_METHOD, "options."])
    options: dict[str, Any] = {}
    for each in own:
        if not each.startswith(below):
            raise BadConfig(f"--cfg-options {each!r}: --method {methods[0]} says which method; "
                            f"beside it goes {below}KEY=VALUE alone")
        override(options, [each.removeprefix(below)])
    return [NamedConfig(name=methods[0], options=options)]


def fit_configs(
    experiment: Experiment, methods: Sequence[str | NamedConfig], gates: Sequence[str]
) -> list[FitConfig]:
    """The fit section for each method, with the gates asked for added.

    Args:
        experiment: Whose.
        methods, gates: As ``zskel.pipeline.fit.fit.fit`` takes them.

    Raises:
        BadConfig: A name is unknown.
    """
    own = experiment.fit
    known = GATES.names()
    unknown = [name for name in gates if name not in (ALL, *known) and not is_outside(name)]
    if unknown:
        raise BadConfig(f"unknown gate {unknown[0]!r}; {nearest(unknown[0], [ALL, *known])}")
    methods_known = [ALL, own.method.name, *method_names()]
    unknown = [name for name in methods if isinstance(name, str) and name not in methods_known
               and not name.endswith(".py") and not is_outside(name)]
    if unknown:
        raise BadConfig(f"no method config {unknown[0]!r}; {nearest(unknown[0], methods_known)}")
    names = known if ALL in gates else gates
    trust(*names)
    extra = {GATES.called(name): NamedConfig(name=name)
             for name in names if name != own.gate.name}
    with_gates = own.model_copy(update={"gates": {**own.gates, **extra}})
    if not methods:
        return [with_gates]
    configs = []
    for given in _expand(methods):
        name, options = (given, {}) if isinstance(given, str) else (given.name, given.options)
        method, gate = (own.method, None) if name == own.method.name else load_method_and_gate(
            name, experiment.dataset.name)
        method = method.model_copy(update={"options": {**method.options, **options}})
        kept = with_gates.gates if ALL not in gates else {
            key: gate for key, gate in with_gates.gates.items() if works(gate.name, method.name)}
        if gate is not None and gate.name != own.gate.name:
            kept = {**kept, GATES.called(gate.name): NamedConfig(**gate.model_dump())}
        configs.append(with_gates.model_copy(update={"method": method, "gates": kept}))
    return configs


def is_current_result(path: Path, config_digest: str, digests: CacheDigests) -> bool:
    """Whether a result is there, whole, and was made by this config from these caches."""
    try:
        record = read_result(path)
        whole = read_arrays(path, record) is not None
    except BadInput:
        return False
    return whole and record.config_digest == config_digest and record.cache_digests == digests


def _expand(methods: Sequence[str | NamedConfig]) -> list[str | NamedConfig]:
    """Each once, with "all" replaced by every method that has a config of its name."""
    every = [name for name in METHODS.names() if name in method_names()]
    return list({getattr(each, "name", each): each
                 for given in methods for each in (every if given == ALL else [given])}.values())


def works(gate: str, method: str) -> bool:
    """Whether a gate can work with what a method offers; their registered names."""
    from zskel.zsl.methods.base import ZeroShotMethod

    needs, offered = GATES.get(gate).needs, METHODS.get(method)
    return all(
        getattr(offered, attribute) is not getattr(ZeroShotMethod, attribute)
        for need, attribute in (("joint_proba", "predict_joint_proba"),
                                ("errors", "predict_joint_proba"), ("evidence", "evidence"))
        if need in needs
    )


def _maker(registry: Any, config: NamedConfig) -> Any:
    return lambda seed: registry.build(config.name, **{**config.options, "seed": seed})
