"""Published protocols of action recognition, as data: which clips train and which test.

A protocol divides the clips of a benchmark by one of their numbers: subject, view, set-up. Most
benchmarks have no validation split; `held_out` makes one of the training part, so that no model is
chosen by its score on the test. `drawn_classes` leaves classes out, for recognition of actions that
a model was not trained on. Both are ours: no paper states them.
"""

import dataclasses
from collections.abc import Collection, Hashable, Mapping, Sequence

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
      rest_tests: whether all other values are the test part, instead of `test`.
    """

    name: str
    title: str
    by: str
    train: tuple[int | str, ...]
    test: tuple[int | str, ...]
    source: str
    folds: tuple[tuple[int | str, ...], ...] = ()
    rest_tests: bool = False

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
        others = (value for each in self.folds if each is not test for value in each)
        train = tuple(ordered(list(others)))
        title = f"{self.title}, fold {fold}"
        return dataclasses.replace(self, title=title, train=train, test=test, folds=())


def check_share(share: float) -> float:
    """The share of the training part that becomes the validation split.

    Raises:
      ValueError: it is not at least 0 and below 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"--val_share={share:g}; expected at least 0 and below 1")
    return share


def held_out(groups: Collection[int | str], share: float, seed: int) -> tuple[int | str, ...]:
    """The groups of the training part that become the validation split; sorted.

    Whole groups, such as subjects, as many as are nearest to the share: at least one if the share
    is above 0, and at most all but one.

    Raises:
      ValueError: the share is none, or a part of a single group is to be held out.
    """
    known = ordered(groups)
    if not check_share(share):
        return ()
    if len(known) < 2:
        raise ValueError(
            f"--val_share={share:g}: the training clips are of one group ({known[0]}), of which "
            "nothing can be held out; give --val_by=clips or --val_share=0"
        )
    count = min(max(round(share * len(known)), 1), len(known) - 1)
    chosen = np.random.default_rng(seed).permutation(len(known))[:count]
    return tuple(known[i] for i in sorted(chosen))


def held_out_clips(class_of: Mapping[str, Hashable], share: float, seed: int) -> set[str]:
    """The training clips that become the validation split: the share of every class.

    At least one clip of a class that has two.
    """
    check_share(share)
    rng = np.random.default_rng(seed)
    of_class: dict[Hashable, list[str]] = {}
    for name in sorted(class_of):
        of_class.setdefault(class_of[name], []).append(name)
    chosen: set[str] = set()
    for names in of_class.values() if share else ():
        count = min(max(round(share * len(names)), 1), len(names) - 1)
        chosen.update(names[i] for i in rng.permutation(len(names))[:count])
    return chosen


def ordered(values: Collection[int | str]) -> list[int | str]:
    """Distinct ids in order, numbers first."""
    return sorted(set(values), key=lambda value: (isinstance(value, str), value))


def drawn_classes(names: Sequence[str], count: int, draw: int) -> tuple[str, ...]:
    """The classes that a draw leaves out of training, in the order of `names`.

    The draws are disjoint: consecutive parts of one fixed permutation of all classes, so that they
    depend on nothing but the number of classes.

    Raises:
      ValueError: fewer than two classes would be left, or there is no such draw.
    """
    if not 1 <= count <= len(names) - 2:
        raise ValueError(
            f"--leave_out={count}; expected 1 to {len(names) - 2} of {len(names)} classes, or "
            "their names"
        )
    if not 0 <= draw < len(names) // count:
        raise ValueError(
            f"--draw={draw}; {len(names)} classes give {len(names) // count} disjoint draws of "
            f"{count}: 0 to {len(names) // count - 1}"
        )
    permutation = np.random.default_rng(0).permutation(len(names))
    return tuple(names[i] for i in sorted(permutation[draw * count : (draw + 1) * count]))


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
