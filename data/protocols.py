"""Sample protocols: which clips train and which test, whatever their class."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zskel.data.caches import TEST, TRAIN
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.registry import nearest
from zskel.data.skeleton import UNKNOWN
from zskel.data.splits import held_out_clips

#: In place of a field: each clip is a group of its own.
CLIP = "clip"
RANDOM_CLIPS = "random-clips"
_LISTED = "listed"

# Shahroudy et al., NTU RGB+D (CVPR 2016): 20 of 40 subjects.
_NTU60_TRAIN = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
# Liu et al., NTU RGB+D 120 (TPAMI 2020): the same and 33 of the others.
_NTU120_TRAIN = (
    *_NTU60_TRAIN,
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)
# Liu et al.: setups with even numbers, of 32.
_NTU120_TRAIN_SETUPS = tuple(range(2, 33, 2))


@dataclass(frozen=True)
class SampleProtocol:
    """Clips whose ``field`` is one of ``train`` train; all others test.

    Attributes:
        name: Goes into the caches, e.g. "cross-subject".
        field: "subject", "camera", "setup" or "replication"; ``CLIP`` where test
            clips are drawn and ``random_subsets`` takes the place of ``subsets``.
        train: The field's values that train, by number or by name.
        group: The field whose values the calibration phase holds out whole:
            "subject" wherever subjects are known; ``CLIP``: clips, class by class.
    """

    name: str
    field: str
    train: frozenset[Any]
    group: str = "subject"

    def as_marked(self, marked: str, where: str) -> SampleProtocol:
        """The protocol for clips that a source has marked itself, by ``replication``.

        Args:
            marked: The protocol that the marks stand for; "" where there are none.
            where: Names the clips in the message.

        Raises:
            BadInput: The marks stand for another protocol.

        >>> sample_protocol("ntu60", "cross-view").as_marked("cross-view", "a store").field
        'replication'
        """
        if marked == "" or self.field == CLIP or (
            marked == self.name and self.field == "replication"
        ):
            return self
        if marked != self.name:
            raise BadInput(
                f"{where}: its clips are marked for {marked!r}, the experiment's sample protocol "
                f"is {self.name!r}; set dataset.sample_protocol, or where the reader has it "
                "dataset.reader_options.protocol, to the same and extract with --raw again"
            )
        return replace(self, field="replication", train=frozenset({1}))

    def subsets(self, values: np.ndarray) -> np.ndarray:
        """Maps the field's values ``[N]`` to "train" or "test".

        Raises:
            BadInput: A clip's value is unknown, or one of the two subsets would
                be empty.
        """
        unknown = int((values == UNKNOWN).sum())
        if unknown:
            listed = self.name == _LISTED
            needed = "to know which clips train" if listed else f"the {self.field} of every clip"
            option = "train_split" if listed else "name_pattern"
            raise BadInput(
                f"protocol {self.name!r} needs {needed}, {unknown} of {len(values)} have none; "
                f"does the reader need an option that tells it, as {option} of pose_pickle? "
                f"Otherwise there is dataset.sample_protocol={RANDOM_CLIPS!r}"
            )
        is_train = np.isin(values, sorted(self.train))
        for name, found in ((TRAIN, is_train.any()), (TEST, (~is_train).any())):
            if not found:
                raise BadInput(
                    f"protocol {self.name!r} finds no {name} clips: the source's "
                    f"{self.field}s are {sorted(set(values.tolist()))[:12]}, training ones are "
                    f"{sorted(self.train)}"
                )
        return np.where(is_train, TRAIN, TEST)


def random_subsets(label: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Subsets of ``random-clips``: test clips are drawn class by class.

    Whoever is in the recordings is likely to be in both subsets.

    Args:
        label: Class of each clip, ``[N]``.
        share: Of each class's clips, to test.
        seed: Of the draw.
    """
    subset = np.full(len(label), TRAIN, dtype=f"<U{len(TRAIN)}")
    subset[list(held_out_clips(label, np.arange(len(label)), share, seed))] = TEST
    return subset


def _protocol(
    name: str, field: str, train: Collection[int | str], group: str = "subject"
) -> dict[str, SampleProtocol]:
    return {name: SampleProtocol(name, field, frozenset(train), group)}


#: Data set -> name -> protocol.
PROTOCOLS: dict[str, dict[str, SampleProtocol]] = {
    # Shahroudy et al.: camera 1 tests.
    "ntu60": {
        **_protocol("cross-subject", "subject", _NTU60_TRAIN),
        **_protocol("cross-view", "camera", (2, 3)),
    },
    "ntu120": {
        **_protocol("cross-subject", "subject", _NTU120_TRAIN),
        **_protocol("cross-setup", "setup", _NTU120_TRAIN_SETUPS),
    },
    # PKU-MMD publishes lists of training videos rather than of subjects or
    # cameras. Its reader looks each clip's video up in the split file that its
    # options choose and sets ``replication`` to 1 (training) or 2 (test).
    # The files name no subjects, so calibration holds out whole recordings
    # (``setup``: the video's number, the same for its three cameras). A person
    # may be in several recordings: there, unlike elsewhere, the gate can be
    # calibrated on people whom its backbone has seen.
    "pku-mmd": {
        **_protocol("cross-subject", "replication", (1,), group="setup"),
        **_protocol("cross-view", "replication", (1,), group="setup"),
    },
    # Chen et al., UTD-MHAD (ICIP 2015): odd subjects train.
    "utd-mhad": _protocol("cross-subject", "subject", (1, 3, 5, 7)),
    # Wang et al., Cross-view action modeling (CVPR 2014): view 3 tests.
    "nw-ucla": _protocol("cross-view", "camera", (1, 2)),
    # Performers are numbered as in NTU RGB+D.
    "synthetic": _protocol("cross-subject", "subject", _NTU60_TRAIN),
}


#: For data sets of one's own: what the names mean; the training values are given.
OWN_FIELDS = {"cross-subject": "subject", "cross-view": "camera", "cross-setup": "setup"}


def sample_protocol(
    dataset: str, name: str, train: Collection[int | str] | None = None,
    group: str | None = None,
) -> SampleProtocol:
    """A data set's protocol by name.

    A data set of one's own has ``cross-subject``, ``cross-view`` and
    ``cross-setup`` once it says which values train; ``listed``: the clips that
    its reader marked as training by ``replication`` 1; and ``random-clips``, for
    which nothing need be known.

    Args:
        dataset: Its name.
        name: The protocol's.
        train: Values that train, instead of the protocol's.
        group: Field that the calibration phase holds out whole, instead of the
            protocol's.

    Raises:
        BadConfig: The data set has no such protocol.

    >>> sample_protocol("ntu60", "cross-view").field
    'camera'
    >>> sample_protocol("three moves", "cross-subject", train=[1, 2]).field
    'subject'
    """
    known = dict(PROTOCOLS.get(dataset, {}))
    known |= _protocol(_LISTED, "replication", (1,))
    known |= _protocol(RANDOM_CLIPS, CLIP, (), group=CLIP)
    if dataset not in PROTOCOLS and train is not None:
        for own, field in OWN_FIELDS.items():
            known |= _protocol(own, field, train)
    elif dataset not in PROTOCOLS and name in OWN_FIELDS:
        raise BadConfig(
            f"data set {dataset!r}: protocol {name!r} needs dataset.train, the {OWN_FIELDS[name]}s "
            f"that train; or take dataset.sample_protocol='listed', the source's own list, or "
            f"{RANDOM_CLIPS!r}, where nothing is known of {OWN_FIELDS[name]}s"
        )
    if name not in known:
        raise BadConfig(
            f"data set {dataset!r} has no sample protocol {name!r}; {nearest(name, known)}"
        )
    protocol = known[name]
    if train is not None:
        if protocol.field == CLIP:
            raise BadConfig(f"dataset.train: protocol {name!r} draws the clips that train; leave "
                            "it out, or take another sample_protocol")
        protocol = replace(protocol, train=frozenset(train))
    return protocol if group is None else replace(protocol, group=group)
