"""Sample protocols: which clips train and which test, whatever their class."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from data.caches import TEST, TRAIN
from data.errors import BadConfig, BadInput

_NTU60_TRAIN = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)


@dataclass(frozen=True)
class SampleProtocol:
    """Clips whose ``field`` is one of ``train`` train; all others test.

    Attributes:
        name: Goes into the caches, e.g. "cross-subject".
        field: "subject", "camera" or "setup".
        train: The field's values that train.
    """

    name: str
    field: str
    train: frozenset[int]

    def subsets(self, values: np.ndarray) -> np.ndarray:
        """Maps the field's values ``[N]`` to "train" or "test".

        Raises:
            BadInput: One of the two subsets would be empty.
        """
        is_train = np.isin(values, sorted(self.train))
        for name, found in ((TRAIN, is_train.any()), (TEST, (~is_train).any())):
            if not found:
                raise BadInput(
                    f"protocol {self.name!r} finds no {name} clips: the source's "
                    f"{self.field}s are {sorted(set(values.tolist()))[:12]}, training ones are "
                    f"{sorted(self.train)}"
                )
        return np.where(is_train, TRAIN, TEST)


PROTOCOLS: dict[str, dict[str, SampleProtocol]] = {
    "utd-mhad": {
        "cross-subject": SampleProtocol("cross-subject", "subject", frozenset((1, 3, 5, 7))),
    },
    "ntu60": {
        "cross-subject": SampleProtocol("cross-subject", "subject", frozenset(_NTU60_TRAIN)),
    },
    "synthetic": {
        "cross-subject": SampleProtocol("cross-subject", "subject", frozenset(_NTU60_TRAIN)),
    },
}


def sample_protocol(dataset: str, name: str, train: Collection[int] | None = None) -> SampleProtocol:
    """A data set's protocol by name, or one's own training values for its field.

    Raises:
        BadConfig: The data set has no such protocol.
    """
    known = PROTOCOLS.get(dataset, {})
    if name not in known:
        raise BadConfig(
            f"data set {dataset!r} has no sample protocol {name!r}; "
            f"there are {', '.join(sorted(known)) or 'none'}"
        )
    protocol = known[name]
    return protocol if train is None else SampleProtocol(name, protocol.field, frozenset(train))
