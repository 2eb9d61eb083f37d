"""Published protocols of action recognition, as data: which clips train and which test.

A protocol divides the clips of a benchmark by one of their numbers: subject, view, set-up. None of
these benchmarks has a validation split; `held_out` makes one of the training part, so that no model
is chosen by its score on the test.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A division of a benchmark's clips.

    Attributes:
      name: value of --protocol.
      title: for tables of scores: "NW-UCLA cross-view".
      by: what divides the clips: "subject", "view" or "setup".
      train: its values in the training part; () with `folds`.
      test: its values in the test part; () with `folds`.
      source: where it is published.
      folds: of a cross-validation: the values of each fold, which is the test part of its run.
    """

    name: str
    title: str
    by: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    source: str
    folds: tuple[tuple[int, ...], ...] = ()

    def of_fold(self, fold: int | None) -> "Protocol":
        """The protocol with one fold as test part, counted from 1; without folds, itself.

        Raises:
          ValueError: a fold is given and there are none, or it is missing, or not among them.
        """
        if not self.folds:
            if fold is not None:
                raise ValueError(f"--fold={fold}: --protocol={self.name} has no folds")
            return self
        if fold is None or not 1 <= fold <= len(self.folds):
            given = "" if fold is None else f"={fold}"
            raise ValueError(
                f"--fold{given}: --protocol={self.name} needs the fold that tests, 1 to "
                f"{len(self.folds)}"
            )
        test = self.folds[fold - 1]
        train = tuple(sorted(value for each in self.folds if each is not test for value in each))
        title = f"{self.title}, fold {fold}"
        return dataclasses.replace(self, title=title, train=train, test=test, folds=())


def held_out(groups: Iterable[int], share: float, seed: int) -> tuple[int, ...]:
    """The groups of the training part that become the validation split; sorted.

    Whole groups, such as subjects, as many as are nearest to the share: at least one if the share
    is above 0, and at most all but one. This split is ours, the benchmarks have none.

    Raises:
      ValueError: the share is not at least 0 and below 1, or there are too few groups.
    """
    if not 0 <= share < 1:
        raise ValueError(f"--val_share={share:g}; expected at least 0 and below 1")
    known = sorted(set(groups))
    if not share:
        return ()
    if len(known) < 2:
        raise ValueError(
            f"--val_share={share:g}: the training part has one group only ({known}), of which no "
            "part can be held out; give --val_share=0, or divide by clips"
        )
    count = min(max(round(share * len(known)), 1), len(known) - 1)
    chosen = np.random.default_rng(seed).permutation(len(known))[:count]
    return tuple(sorted(known[i] for i in chosen))


_WANG = "Wang, Nie, Xia, Wu, Zhu: Cross-view action modeling, learning and recognition, CVPR 2014"
_CHEN = (
    "Chen, Jafari, Kehtarnavaz: UTD-MHAD, a multimodal dataset for human action recognition "
    "utilizing a depth camera and a wearable inertial sensor, ICIP 2015"
)
_YUN = (
    "Yun, Honorio, Chattopadhyay, Berg, Samaras: Two-person interaction detection using body-pose "
    "features and multiple instance learning, CVPR Workshops 2012"
)

NW_UCLA = (
    Protocol("cross_view", "NW-UCLA cross-view", "view", train=(1, 2), test=(3,), source=_WANG),
)

UTD_MHAD = (
    Protocol(
        name="cross_subject",
        title="UTD-MHAD cross-subject",
        by="subject",
        train=(1, 3, 5, 7),
        test=(2, 4, 6, 8),
        source=_CHEN,
    ),
)

# A pair of subjects is one number: 102 is subject 1, who acts, and subject 2.
SBU = (
    Protocol(
        name="folds",
        title="SBU Kinect Interaction, 5 folds",
        by="subject",
        train=(),
        test=(),
        source=_YUN,
        folds=(
            (102, 304, 502, 604),
            (203, 207, 305, 503),
            (103, 107, 701, 703),
            (201, 206, 302, 306),
            (402, 403, 406, 602, 603),
        ),
    ),
)
