"""What names of joints say: the part of the body, the side, and whose naming it is.

A name is split into words, freed of prefixes, and looked up as a part of the body; there is no
table of joints per program, so that rigs of programs not listed here are read as well.
"""

import collections
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# What joints are called, without side, separators and digits. A part is not yet a role: a
# "shoulder" is the collar bone in some programs and the upper arm in others.
_PARTS: Mapping[str, str] = {
    "pelvis": "pelvis hips hip hipjoint hipcenter hipscenter midhip lowertorso",
    "spine": (
        "spine spinebase spinemid spinelower spineupper spineshoulder abdomen abdomenlower "
        "abdomenupper ab abs belly stomach waist torso lowerback upperback back thorax lumbar "
        "vertebra trunk midtorso lowerspine upperspine midspine middlespine"
    ),
    "chest": "chest chestlower chestupper upperchest lowerchest ribcage ribs uppertorso sternum",
    "neck": "neck necklower neckupper neckmid lowerneck upperneck necktwist neckdummy",
    "head": "head skull cranium",
    "collar": "collar collarbone clavicle clav scapula innershoulder",
    "shoulder": "shoulder",
    "upperarm": "upperarm uparm uarm armup armupper shldr shldrbend humerus bicep armstretch",
    "arm": "arm",
    "forearm": (
        "forearm lowerarm lowarm farm armlow armlower radius ulna elbow forearmbend forearmstretch"
    ),
    "wrist": "wrist",
    "hand": "hand",
    "palm": "palm handcenter handcentre",
    "buttock": "buttock glute",
    "thigh": "thigh upleg upperleg uleg legup legupper femur thighbend thighstretch",
    "leg": "leg",
    "shin": "shin calf lowleg lowerleg legstretch leglow leglower tibia knee shank foreleg",
    "ankle": "ankle",
    "foot": "foot",
    "toe": "toe toes toebase ball forefoot football balltoe foottoe midfoot",
}
_WORDS = {word: part for part, words in _PARTS.items() for word in words.split()}
_HIPS = ("hip", "hips", "hipjoint")  # with a side, joints of the legs
_TRUNK = ("pelvis", "spine", "chest", "neck", "head")

_SIDES = {
    "left": "left", "l": "left", "lft": "left",
    "right": "right", "r": "right", "rgt": "right",
}  # fmt: skip

# Words that say nothing of the part: names of programs, of rigs, of kinds of nodes.
_NOISE = frozenset(
    "bip valve biped valvebiped mixamorig def org mch jnt joint joints bone bn skel skeleton skin "
    "character char actor robot rig human avg cc base j b m f c d x sk jt bind center "
    "centre node male female avatar segment".split()
)
_FINGERS = frozenset(
    "thumb index middle mid ring pinky pinkie little finger fingers fingertip metacarpal carpal "
    "cup knuckle".split()
)
_FACE = frozenset(
    "eye eyes eyeball jaw tongue brow eyebrow lip lips cheek nose ear mouth teeth tooth lid eyelid "
    "chin face facial nostril oculi oris levator risorius temporalis orbicularis forehead temple "
    "squint pupil".split()
)
_HELPERS = frozenset(
    "twist roll ik fk pole ctrl control controller helper effector target share dummy goal attach "
    "weapon prop socket offset volume corrective virtual null locator aim lookat hair cloth skirt "
    "cape breast boob bust pec pectoral hat bag holster jiggle trajectory muscle heel "
    "accessory gun".split()
)
_ENDS = frozenset("end site tip top leaf nub endsite ee".split())
_ROOTS = frozenset(
    "root armature reference world scene master origin global hierarchy boneroot rootnode".split()
)
_VERTEBRA = re.compile(r"(?P<spine>t0?[1-9]|t1[0-2]|l0?[1-5])|(?P<neck>c0?[1-7])")
_ONE_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]\d+$")
_SPLIT = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


class Label(NamedTuple):
    """What a name says of its joint.

    Attributes:
      part: of the body, a key of the table of this module; "" where none is named.
      side: "left", "right" or "".
      kind: "body", "finger", "face", "helper", "root", or "" where the name says nothing.
      end: whether the joint is the far end of a bone.
      words: of the name, in lower case.
      sure: whether the name says nothing else, as that of "wrist_inner" does.
    """

    part: str
    side: str
    kind: str
    end: bool
    words: tuple[str, ...]
    sure: bool = True

    @property
    def limb(self) -> str:
        """The part, where the joint can be one of a limb or of the trunk; else ""."""
        return self.part if self.kind == "body" and not self.end else ""


def labels(names: Sequence[str]) -> list[Label]:
    """What each of the names of a file's joints says.

    Words with which most of the names start, or end, are left out: the name of an actor, say.
    """
    split = [words_of(name) for name in names]
    for place in (0, -1):
        while len(split) >= 5 and (word := _shared(split, place)):
            split = [_without(words, word, place) for words in split]
    return [_label(words, bool(_ONE_WORD.search(name))) for words, name in zip(split, names)]


def words_of(name: str) -> list[str]:
    """A name's words in lower case, without namespaces: "rig:LeftUpLeg" is left, up, leg."""
    name = re.split(r"[:|/]", name.rstrip(":|/ "))[-1]
    return [word.lower() for word in _SPLIT.findall(name)]


def _shared(split: Sequence[Sequence[str]], place: int) -> str | None:
    """The word that most names have at a place, and that says nothing of a part or side."""
    counts = collections.Counter(words[place] for words in split if len(words) > 1)
    word, count = counts.most_common(1)[0] if counts else ("", 0)
    known = (_WORDS, _SIDES, _FINGERS, _FACE, _HELPERS, _ENDS, _ROOTS)
    return None if count < 0.8 * len(split) or any(word in each for each in known) else word


def _without(words: list[str], word: str, place: int) -> list[str]:
    """The words of a name without the one at a place, if it is `word` and not the only one."""
    if len(words) < 2 or words[place] != word:
        return words
    return words[1:] if place == 0 else words[:-1]


def _label(words: Sequence[str], vertebra: bool) -> Label:
    """What the words of one name say.

    Args:
      words: of the name.
      vertebra: whether it ends as the name of a vertebra may, in one letter with its number.
    """

    def label(kind: str, part: str = "", side: str = "", end: bool = False) -> Label:
        return Label(part, side, kind, end, tuple(words))

    told = [word for word in words if word == "c" or word not in _NOISE]
    found = _VERTEBRA.fullmatch("".join(told[-2:])) if vertebra else None
    if found and not _of_limb(told[:-2]):
        return label("body", str(found.lastgroup))
    said = [word for word in words if not word.isdigit() and word not in _NOISE]
    end = any(word in _ENDS for word in said)
    said = [word for word in said if word not in _ENDS]
    sides = [_SIDES[word] for word in said if word in _SIDES]
    said = [word for word in said if word not in _SIDES]
    core, side = "".join(said), sides[0] if sides else ""
    if not side and core not in _WORDS and core not in _ROOTS:
        side, core = _side_in_word(core)
    if core in _WORDS:
        return label(*_body(core, side), side, end)
    for kind, known in (("finger", _FINGERS), ("face", _FACE), ("helper", _HELPERS)):
        if core in known or any(word in known for word in said):
            rest = [word for word in said if word not in known]
            parts = [_WORDS[word] for word in ("".join(rest), *rest) if word in _WORDS]
            return label(kind, parts[0] if parts else "", side, end)
    if core in _ROOTS:
        return label("root", "pelvis", side, end)
    if parts := [word for word in said if word in _WORDS]:
        return label(*_body(parts[-1], side), side, end)._replace(sure=False)
    return label("helper" if end else "", "", side, end)


def _of_limb(words: Sequence[str]) -> bool:
    """Whether words name what has sides, so that "FootL_3" is no lumbar vertebra."""
    known = (_FINGERS, _FACE, _HELPERS, _HIPS)
    return any(
        word in _SIDES or _WORDS.get(word, "spine") not in _TRUNK or any(word in k for k in known)
        for word in (*words, "".join(words))
    )


def _side_in_word(core: str) -> tuple[str, str]:
    """The side that one letter at an end of a name gives, and the rest: "lfemur", "LUArm"."""
    for letter, rest in ((core[:1], core[1:]), (core[-1:], core[:-1])):
        known = _WORDS.get(rest)
        sided = (known is not None and known not in _TRUNK) or rest in _HIPS
        if letter in ("l", "r") and (sided or rest in _FINGERS or rest in _FACE):
            return _SIDES[letter], rest
    return "", core


def _body(word: str, side: str) -> tuple[str, str]:
    """(kind, part) of a word of the table: a hip with a side is a joint of the leg."""
    part = _WORDS[word]
    if side and part == "pelvis":
        part = "hip" if word in _HIPS else "buttock"
    if bool(side) == (part in _TRUNK):
        return "helper", part  # the left of two spines; an arm of no side
    return "body", part


# Naming → patterns, each of which one of the names must match whole. The first that holds is
# reported; nothing is read by them.
_CONVENTIONS: Mapping[str, tuple[str, ...]] = {
    "Mixamo": (r"mixamorig\d*[:_]?.*",),
    "3ds Max Biped": (r"(.*[.:])?Bip0*\d*[ _](Pelvis|L[ _]Thigh)", r"(.*[.:])?Bip0*\d*[ _]L[ _].*"),
    "Character Creator": (r"CC_Base_.*",),
    "VRM": (r"J_Bip_.*",),
    "Rigify": (r"(DEF-)?upper_arm\.[LR].*", r"(DEF-)?thigh\.[LR].*"),
    "Unreal": (r"thigh_l", r"calf_l", r"upperarm_l"),
    "CMU (ASF)": ("lfemur", "ltibia", "lhumerus"),
    "CMU (BVH)": ("LHipJoint", "LeftUpLeg"),
    "DAZ": ("lThighBend", "lShldrBend"),
    "Poser": ("lShldr", "lForeArm", "lThigh", "lShin"),
    "MakeHuman": ("hip", "abdomen", r"upperleg01\.L|lThigh", r"special0\d.*"),
    "Second Life": ("mPelvis", "mHipLeft", "mCollarLeft"),
    "Advanced Skeleton": (r"Root_M", r"Scapula_L", r"Hip_L"),
    "iPi": ("LowerSpine", "LClavicle", "LShin"),
    "Xsens": (r"L5", "T12", "T8"),
    "Xsens (BVH)": ("Chest4", "LeftCollar", "LeftElbow", "LeftToe"),
    "SMPL": (r"(?i)(.*_)?(left_|l_)hip", r"(?i)(.*_)?spine3", r"(?i)(.*_)?(left_|l_)collar"),
    "OptiTrack Motive": (r"(.*[_:])?LUArm", r"(.*[_:])?LFArm", r"(.*[_:])?Ab"),
    "Roblox": ("LowerTorso", "UpperTorso", "LeftUpperLeg"),
    "Bandai Namco": ("UpperLeg_L", "LowerLeg_L", "Toes_L"),
    "HumanIK": (r"(.*[:_])?LeftUpLeg", r"(.*[:_])?LeftLeg", r"(.*[:_])?LeftForeArm"),
    "Unity": ("LeftUpperLeg", "LeftLowerLeg", "LeftUpperArm"),
    "Biovision": ("LeftCollar", "Left(UpArm|Shoulder)", "Left(LowArm|Elbow)"),
}  # fmt: skip


def convention_of(names: Sequence[str]) -> str:
    """The program or data set whose naming this is; "names of parts" where it is no known one."""
    for convention, patterns in _CONVENTIONS.items():
        if all(any(re.fullmatch(each, name) for name in names) for each in patterns):
            return convention
    return "names of parts"
