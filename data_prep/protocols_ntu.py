"""Published protocols of benchmarks with a file a clip: NTU RGB+D, UAV-Human, Toyota Smarthome."""

import dataclasses

from data_prep.protocols import Protocol


@dataclasses.dataclass(frozen=True)
class Benchmark(Protocol):
    """A protocol of one of these benchmarks.

    Attributes:
      val: values of the published validation part; (): there is none, and a part of the training
        part is held out.
      held_out: what is held out of the training part, whole: "subject" or "setup".
      counts: the published numbers of clips that train and test, without those that are listed as
        missing; None: not known here.
      classes: number of classes, from the first.
    """

    val: tuple[int | str, ...] = ()
    held_out: str = "subject"
    counts: tuple[int, int] | None = None
    classes: int = 0

    def split(self, value: int) -> str | None:
        """The split of a clip by what divides them; None: it is in no part."""
        for split in ("train", "val", "test"):
            if value in getattr(self, split):
                return split
        return None


_SHAHROUDY = (
    "Shahroudy, Liu, Ng, Wang: NTU RGB+D, a large scale dataset for 3D human activity analysis, "
    "CVPR 2016"
)
_LIU = (
    "Liu, Shahroudy, Perez, Wang, Duan, Kot: NTU RGB+D 120, a large-scale benchmark for 3D human "
    "activity understanding, TPAMI 2020"
)
_UAV = "https://github.com/sutdcv/UAV-Human, README.md, Action Recognition Evaluation Protocols"
_DAS = (
    "Das, Dai, Koperski, Minciullo, Garattoni, Bremond, Francesca: Toyota Smarthome, real-world "
    "activities of daily living, ICCV 2019"
)

# Subjects of 40 that train.
_XSUB60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
# And those of the 66 others.
_XSUB120 = (
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89,
    91, 92, 93, 94, 95, 97, 98, 100, 103,
)  # fmt: skip


def _others(train: tuple[int, ...], values: range) -> tuple[int, ...]:
    return tuple(value for value in values if value not in train)


NTU = (
    Benchmark(
        name="xsub60",
        title="NTU RGB+D cross-subject",
        by="subject",
        train=_XSUB60,
        test=_others(_XSUB60, range(1, 41)),
        source=_SHAHROUDY,
        counts=(40_091, 16_487),
        classes=60,
    ),
    Benchmark(
        name="xview60",
        title="NTU RGB+D cross-view",
        by="view",
        train=(2, 3),
        test=(1,),
        source=_SHAHROUDY,
        counts=(37_646, 18_932),
        classes=60,
    ),
    Benchmark(
        name="xsub120",
        title="NTU RGB+D 120 cross-subject",
        by="subject",
        train=_XSUB60 + _XSUB120,
        test=_others(_XSUB60 + _XSUB120, range(1, 107)),
        source=_LIU,
        counts=(63_026, 50_919),
        classes=120,
    ),
    Benchmark(
        name="xset120",
        title="NTU RGB+D 120 cross-setup",
        by="setup",
        train=tuple(range(2, 33, 2)),
        test=tuple(range(1, 32, 2)),
        source=_LIU,
        held_out="setup",
        counts=(54_468, 59_477),
        classes=120,
    ),
)
"""The field's counts, which the names that remain after the missing lists have, too."""

# Subjects of 119, from 0, that test: the published lists have the 89 others.
_CSV1_TEST = (
    1, 3, 4, 9, 22, 23, 24, 31, 41, 54, 58, 60, 66, 72, 74, 75, 91, 92, 93, 94, 95, 96, 97, 99, 101,
    104, 107, 108, 109, 113,
)  # fmt: skip
_CSV2_TEST = (
    1, 2, 7, 9, 13, 15, 17, 23, 25, 27, 28, 33, 34, 41, 42, 48, 50, 51, 53, 55, 58, 65, 68, 76, 82,
    85, 90, 98, 105, 116,
)  # fmt: skip

UAV_HUMAN = tuple(
    Benchmark(
        name=name,
        title=f"UAV-Human cross-subject {name[-2:]}",
        by="subject",
        train=_others(test, range(119)),
        test=test,
        source=_UAV,
        classes=155,
    )
    for name, test in (("csv1", _CSV1_TEST), ("csv2", _CSV2_TEST))
)

# By subject and by camera. The score of all three is the mean of the classes' accuracies.
SMARTHOME = (
    Benchmark(
        name="cs",
        title="Toyota Smarthome cross-subject",
        by="subject",
        train=(3, 4, 6, 7, 9, 12, 13, 15, 17),
        test=(2, 10, 11, 14, 16, 18, 20),
        source=_DAS,
        val=(19, 25),
        counts=(8_831, 5_444),
        classes=31,
    ),
    Benchmark(
        name="cv1",
        title="Toyota Smarthome cross-view 1",
        by="view",
        train=(1,),
        test=(2,),
        source=_DAS,
        val=(5,),
        classes=19,
    ),
    Benchmark(
        name="cv2",
        title="Toyota Smarthome cross-view 2",
        by="view",
        train=(1, 3, 4, 6, 7),
        test=(2,),
        source=_DAS,
        val=(5,),
        classes=19,
    ),
)


def chosen(benchmarks: tuple[Benchmark, ...], name: str, option: str) -> Benchmark:
    """The benchmark called `name`; a ValueError lists the known ones if there is none."""
    for each in benchmarks:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in benchmarks)
    raise ValueError(f"{option}={name}; expected one of {known}")
