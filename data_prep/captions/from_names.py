"""Captions from the names of files and folders: Walk_Happy_001_FW.bvh becomes "walk happy".

The rule, which looks at names alone:

1. A name is divided into words at everything that is no letter, and where a small letter is
   followed by a capital one: WalkHappy_001 has the words walk, happy.
2. Numbers, single letters, numbered persons (actor3), and words about files rather than motions
   are left out (`FILE_WORDS`: take, final, export, mocap, ...). So are codes of two or three
   capital letters, unless the name of a file has no other word.
3. The words of the file's name are followed by those of the folders that it is in, the innermost
   first, unless they are there already: dances/salsa_12 becomes "salsa dances". Of a file with
   several named takes, the name of the take stands for that of the file.
4. If the last word of the file's name is "mirror" or "mirrored", it is left out, and left and right
   are exchanged.
"""

import re
from collections.abc import Iterable, Sequence

from data_prep.mirror import mirrored_caption

FILE_WORDS = frozenset(
    "amc anim anims animation animations armature asf bip bvh capture captured clean cleaned clip "
    "clips com converted copy csv data dataset edit edited export exported fbx file files final "
    "fix fixed fps frame frames gltf glb hik hires hz joints json keypoints latest library lores "
    "mixamo mixamorig mocap mocaps motion motions mvnx npy npz optical output outputs pos poses "
    "processed raw recording retarget retargeted rig sample samples scene sequence session "
    "skeleton skeletons smpl smplh smplx source stageii take takes test train trc trial trim "
    "trimmed untitled val validation ver version wip".split()
)
"""Words that say something about a file, and nothing about the motion in it."""

_MIRRORED = ("mirror", "mirrored")

# Who or what is numbered: subject_3, actor12.
_NUMBERED = re.compile(
    r"(?<![^\W\d_])(?:actor|char|character|day|part|performer|person|set|subj|subject|variant)"
    r"[\W_]?\d+",
    re.IGNORECASE,
)

# What file managers put before the name of a copy.
_COPY_OF = re.compile(r"^\W*copy(?:[\W_]*\(\d+\))?[\W_]+of[\W_]+", re.IGNORECASE)

# A run of capitals before a capitalised word, a word with or without its capital, capitals, and
# letters of scripts without case.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|[A-Z]+")


def caption_of(file: Sequence[str], take: str = "") -> str:
    """The caption of a file, or of one of its takes; "" if no word is left.

    Args:
      file: the folders that it is in, from the outermost one, and its name without suffix.
      take: the name of the take where the file has several; "" otherwise.
    """
    *folders, name = file
    words = words_of(take) or words_of(name)
    mirrored = bool(words) and words[-1] in _MIRRORED
    if mirrored:
        words.pop()
    for folder in reversed(folders):
        words += [word for word in words_of(folder, codes=False) if not _among(word, words)]
    caption = " ".join(words)
    return mirrored_caption(caption) if mirrored else caption


def words_of(name: str, codes: bool = True) -> list[str]:
    """The words of a name that may be about a motion, in lower case, without repetitions.

    Args:
      name: of a file, a take or a folder.
      codes: whether short words in capitals count if there are no others.
    """
    name = _NUMBERED.sub(" ", _COPY_OF.sub("", name))
    pieces = [piece for part in re.split(r"[\W\d_]+", name) for piece in _pieces(part)]
    spoken = [piece for piece in pieces if not (piece.isupper() and len(piece) <= 3)]
    words = [piece.lower() for piece in spoken or (pieces if codes else [])]
    return list(dict.fromkeys(word for word in words if _is_spoken(word)))


def _pieces(part: str) -> list[str]:
    """The words of a run of letters, divided where a small letter precedes a capital one."""
    if part.isascii():
        return _WORD.findall(part)
    return [piece for piece in re.split(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])", part) if piece]


def _is_spoken(word: str) -> bool:
    return not (word in FILE_WORDS or (word.isascii() and len(word) == 1))


def _among(word: str, words: Iterable[str]) -> bool:
    """Whether a word is there already, as walk is where there is walking."""
    return any(word == each or each.startswith(word) or word.startswith(each) for each in words)
