"""Known sets of joints, markers and keypoints: which of their labels are which parts of a body.

A set is known by the labels alone. Its points are the joints themselves, or weighted means of
markers that lie around a joint, since points are linear in what was measured.
"""

import dataclasses
import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from motionalign.anatomy.body import Point
from motionalign.skeleton import PARTS


@dataclasses.dataclass(frozen=True)
class SetPoint:
    """A point of a set.

    Attributes:
      name: unique in the set.
      options: of each way to place it the labels and their weights, whose sum is 1; the first is
        taken whose labels are all there.
      parent: name of a point before this one; None: the root.
      role: one of `body.ROLES`; None: between two that have one.
      required: whether a file without it is not of this set.
    """

    name: str
    options: tuple[tuple[tuple[str, float], ...], ...]
    parent: str | None
    role: str | None
    required: bool


@dataclasses.dataclass(frozen=True)
class JointSet:
    """A known set of joints, markers or keypoints.

    Attributes:
      name: as people call it.
      kind: "joints" of a skeleton, "markers" on the skin, or "keypoints" found in images.
      covers: "body", or "lower body" or "upper body", which have no five chains.
      points: of the body, parents before their children.
      others: labels of the set that are no points: of the face or the fingers, or between joints.
      aliases: {another name of a label: the label}.
      sensor: a key of `conventions.SENSORS`: how steady its points are.
      about: how far the points are from the joints where they are approximations; else empty.
    """

    name: str
    kind: Literal["joints", "markers", "keypoints"]
    covers: Literal["body", "lower body", "upper body"]
    points: tuple[SetPoint, ...]
    others: tuple[str, ...] = ()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    about: str = ""

    @property
    def sensor(self) -> str:
        """See the attributes: keypoints, and the joints of cameras, shake."""
        return "depth" if self.kind == "keypoints" or self.name in _OF_CAMERAS else "optical"

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of the set, those of the first points first."""
        made = [label for point in self.points for option in point.options for label, _ in option]
        return tuple(dict.fromkeys((*made, *self.others)))


_OF_CAMERAS = ("Kinect v1", "Kinect v2", "Azure Kinect", "OpenNI")

# ---------------------------------------------------------------------------- the sets
# A line is a point: its name, its role, its parent, and the labels it is made of; "-" is none, and
# a "?" after the name marks a point that a file may lack. Labels are averaged, by their weights
# where they have some; "|" separates ways to place the point. A line with @ stands for the two
# sides: @ is left and right, & is L and R, and ~ is the other side's R and L.

_SMPL = """
pelvis       pelvis       -            pelvis
@_hip        @_hip        pelvis       @_hip
@_knee       @_knee       @_hip        @_knee
@_ankle      @_ankle      @_knee       @_ankle
@_foot       @_foot       @_ankle      @_foot
spine1       -            pelvis       spine1
spine2       -            spine1       spine2
spine3       chest        spine2       spine3
neck         neck         spine3       neck
head         head         neck         head
@_collar     @_collar     spine3       @_collar
@_shoulder   @_shoulder   @_collar     @_shoulder
@_elbow      @_elbow      @_shoulder   @_elbow
@_wrist      @_wrist      @_elbow      @_wrist
@_hand?      @_hand       @_wrist      @_hand | @_middle1
"""

# Of MuJoCo's model of SMPL.
_SMPL_NAMES = {
    "spine1": "Torso",
    "spine2": "Spine",
    "spine3": "Chest",
    "@_foot": "&_Toe",
    "@_collar": "&_Thorax",
}

# The Master Motor Map of KIT-ML, as in `skeleton.SKELETONS["kit21"]`.
_KIT21 = """
root    pelvis       -     root
BP      -            root  BP
BT      -            BP    BT
BLN     neck         BT    BLN
BUN     head         BLN   BUN
&S      @_shoulder   BLN   &S
&E      @_elbow      &S    &E
&W      @_wrist      &E    &W
&H      @_hip        root  &H
&K      @_knee       &H    &K
&A      @_ankle      &K    &A
&Mrot   @_foot       &A    &Mrot
&F      @_toe        &Mrot &F
"""

_KINECT20 = """
hip_center       pelvis       -                hip_center
spine            -            hip_center       spine
shoulder_center  neck         spine            shoulder_center
head             head         shoulder_center  head
@_shoulder       @_shoulder   shoulder_center  @_shoulder
@_elbow          @_elbow      @_shoulder       @_elbow
@_wrist          @_wrist      @_elbow          @_wrist
@_hand           @_hand       @_wrist          @_hand
@_hip            @_hip        hip_center       @_hip
@_knee           @_knee       @_hip            @_knee
@_ankle          @_ankle      @_knee           @_ankle
@_foot           @_foot       @_ankle          @_foot
"""

# The two arms part in SpineShoulder, which is at the height of the shoulders; the sensor's Neck is
# above it.
_KINECT25 = """
SpineBase        pelvis       -                SpineBase
SpineMid         -            SpineBase        SpineMid
SpineShoulder    -            SpineMid         SpineShoulder
Neck             neck         SpineShoulder    Neck
Head             head         Neck             Head
@Shoulder        @_shoulder   SpineShoulder    @Shoulder
@Elbow           @_elbow      @Shoulder        @Elbow
@Wrist           @_wrist      @Elbow           @Wrist
@Hand            @_hand       @Wrist           @Hand
@Hip             @_hip        SpineBase        @Hip
@Knee            @_knee       @Hip             @Knee
@Ankle           @_ankle      @Knee            @Ankle
@Foot            @_foot       @Ankle           @Foot
"""

_AZURE32 = """
pelvis           pelvis       -                pelvis
spine_navel      -            pelvis           spine_navel
spine_chest      chest        spine_navel      spine_chest
neck             neck         spine_chest      neck
head             head         neck             head
clavicle_@       @_collar     spine_chest      clavicle_@
shoulder_@       @_shoulder   clavicle_@       shoulder_@
elbow_@          @_elbow      shoulder_@       elbow_@
wrist_@          @_wrist      elbow_@          wrist_@
hand_@           @_hand       wrist_@          hand_@
hip_@            @_hip        pelvis           hip_@
knee_@           @_knee       hip_@            knee_@
ankle_@          @_ankle      knee_@           ankle_@
foot_@           @_foot       ankle_@          foot_@
"""

# A bone of Motive's has its place at its start; Chest is where the arms part.
_MOTIVE = """
Hip          pelvis       -            Hip
Ab           -            Hip          Ab
Chest        chest        Ab           Chest
Neck         neck         Chest        Neck
Head         head         Neck         Head
&Shoulder    @_collar     Chest        &Shoulder
&UArm        @_shoulder   &Shoulder    &UArm
&FArm        @_elbow      &UArm        &FArm
&Hand        @_wrist      &FArm        &Hand
&Thigh       @_hip        Hip          &Thigh
&Shin        @_knee       &Thigh       &Shin
&Foot        @_ankle      &Shin        &Foot
&Toe?        @_foot       &Foot        &Toe
"""

# The segments of Xsens's MVN, at their origins, and landmarks at the ends of the last ones.
_XSENS = """
Pelvis           pelvis       -               Pelvis
L5               -            Pelvis          L5
L3               -            L5              L3
T12              -            L3              T12
T8               chest        T12             T8
Neck             neck         T8              Neck
Head             head         Neck            Head
pTopOfHead?      head_end     Head            pTopOfHead
@Shoulder        @_collar     T8              @Shoulder
@UpperArm        @_shoulder   @Shoulder       @UpperArm
@ForeArm         @_elbow      @UpperArm       @ForeArm
@Hand            @_wrist      @ForeArm        @Hand
p@TopOfHand?     @_hand       @Hand           p@TopOfHand
@UpperLeg        @_hip        Pelvis          @UpperLeg
@LowerLeg        @_knee       @UpperLeg       @LowerLeg
@Foot            @_ankle      @LowerLeg       @Foot
@Toe             @_foot       @Foot           @Toe
p@Toe?           @_toe        @Toe            p@Toe
"""

# The Thorax is between the shoulders, Neck/Nose in the face, and the Head at its top.
_H36M17 = """
Hip          pelvis       -            Hip
Spine        -            Hip          Spine
Thorax       neck         Spine        Thorax
Neck/Nose?   head         Thorax       Neck/Nose
Head         head_end     Neck/Nose    Head
&Hip         @_hip        Hip          @Hip
&Knee        @_knee       &Hip         @Knee
&Foot        @_ankle      &Knee        @Foot
&Shoulder    @_shoulder   Thorax       @Shoulder
&Elbow       @_elbow      &Shoulder    @Elbow
&Wrist       @_wrist      &Elbow       @Wrist
"""

_H36M_NAMES = {
    "Hip": "root",
    "Spine": "Belly",
    "Neck/Nose": "Nose neck_base Jaw Neck",
    "@Foot": "@Ankle",
}

# OpenNI's hips hang from the torso; there is no pelvis.
_OPENNI15 = """
torso        -            -            torso
neck         neck         torso        neck
head         head         neck         head
@_shoulder   @_shoulder   neck         @_shoulder
@_elbow      @_elbow      @_shoulder   @_elbow
@_hand       @_hand       @_elbow      @_hand
@_hip        @_hip        torso        @_hip
@_knee       @_knee       @_hip        @_knee
@_foot       @_foot       @_knee       @_foot
"""

_MPI28 = """
pelvis       pelvis       -            pelvis
spine        -            pelvis       spine
spine2       -            spine        spine2
spine3       -            spine2       spine3
spine4       chest        spine3       spine4
neck         neck         spine4       neck
head         head         neck         head
head_top     head_end     head         head_top
@_clavicle   @_collar     spine4       @_clavicle
@_shoulder   @_shoulder   @_clavicle   @_shoulder
@_elbow      @_elbow      @_shoulder   @_elbow
@_wrist      @_wrist      @_elbow      @_wrist
@_hand       @_hand       @_wrist      @_hand
@_hip        @_hip        pelvis       @_hip
@_knee       @_knee       @_hip        @_knee
@_ankle      @_ankle      @_knee       @_ankle
@_foot       @_foot       @_ankle      @_foot
@_toe        @_toe        @_foot       @_toe
"""

# The tree and the chains of `skeleton.SKELETONS["coco18"]`, of which models have been trained.
_COCO18 = """
nose         head         -            nose
neck         neck         nose         neck
@_shoulder   @_shoulder   neck         @_shoulder
@_elbow      @_elbow      @_shoulder   @_elbow
@_wrist      @_wrist      @_elbow      @_wrist
@_hip        @_hip        neck         @_hip
@_knee       @_knee       @_hip        @_knee
@_ankle      @_ankle      @_knee       @_ankle
@_eye?       -            nose         @_eye
@_ear?       -            @_eye        @_ear
"""

_BODY25 = """
MidHip       pelvis       -            MidHip
Neck         neck         MidHip       Neck
head?        head         Neck         LeftEar RightEar | Nose
&Shoulder    @_shoulder   Neck         @Shoulder
&Elbow       @_elbow      &Shoulder    @Elbow
&Wrist       @_wrist      &Elbow       @Wrist
&Hip         @_hip        MidHip       @Hip
&Knee        @_knee       &Hip         @Knee
&Ankle       @_ankle      &Knee        @Ankle
&BigToe      @_toe        &Ankle       @BigToe
"""

_PANOPTIC19 = """
BodyCenter   pelvis       -            BodyCenter
Neck         neck         BodyCenter   Neck
head         head         Neck         LeftEar RightEar | Nose
@Shoulder    @_shoulder   Neck         @Shoulder
@Elbow       @_elbow      @Shoulder    @Elbow
@Wrist       @_wrist      @Elbow       @Wrist
@Hip         @_hip        BodyCenter   @Hip
@Knee        @_knee       @Hip         @Knee
@Ankle       @_ankle      @Knee        @Ankle
"""

_HALPE26 = """
Hip          pelvis       -            Hip
Neck         neck         Hip          Neck
head         head         Neck         LeftEar RightEar | Nose
Head         head_end     head         Head
@Shoulder    @_shoulder   Neck         @Shoulder
@Elbow       @_elbow      @Shoulder    @Elbow
@Wrist       @_wrist      @Elbow       @Wrist
@Hip         @_hip        Hip          @Hip
@Knee        @_knee       @Hip         @Knee
@Ankle       @_ankle      @Knee        @Ankle
@BigToe      @_toe        @Ankle       @BigToe
"""

_MPII16 = """
pelvis       pelvis       -            pelvis
thorax       neck         pelvis       thorax
upper_neck   -            thorax       upper_neck
head_top     head_end     upper_neck   head_top
@_shoulder   @_shoulder   thorax       @_shoulder
@_elbow      @_elbow      @_shoulder   @_elbow
@_wrist      @_wrist      @_elbow      @_wrist
@_hip        @_hip        pelvis       @_hip
@_knee       @_knee       @_hip        @_knee
@_ankle      @_ankle      @_knee       @_ankle
"""

_COCO17 = """
pelvis       pelvis       -            left_hip right_hip
neck         neck         pelvis       left_shoulder right_shoulder
head         head         neck         left_ear right_ear | nose
@_shoulder   @_shoulder   neck         @_shoulder
@_elbow      @_elbow      @_shoulder   @_elbow
@_wrist      @_wrist      @_elbow      @_wrist
@_hip        @_hip        pelvis       @_hip
@_knee       @_knee       @_hip        @_knee
@_ankle      @_ankle      @_knee       @_ankle
"""

# There is no neck, and the head is one point.
_LCRNET13 = """
pelvis       pelvis       -            left_hip right_hip
neck         neck         pelvis       left_shoulder right_shoulder
head         head         neck         head
@_shoulder   @_shoulder   neck         @_shoulder
@_elbow      @_elbow      @_shoulder   @_elbow
@_wrist      @_wrist      @_elbow      @_wrist
@_hip        @_hip        pelvis       @_hip
@_knee       @_knee       @_hip        @_knee
@_ankle      @_ankle      @_knee       @_ankle
"""

_MEDIAPIPE33 = """
pelvis       pelvis       -            left_hip right_hip
neck         neck         pelvis       left_shoulder right_shoulder
head         head         neck         left_ear right_ear
@_shoulder   @_shoulder   neck         @_shoulder
@_elbow      @_elbow      @_shoulder   @_elbow
@_wrist      @_wrist      @_elbow      @_wrist
@_hand       @_hand       @_wrist      @_index @_pinky
@_hip        @_hip        pelvis       @_hip
@_knee       @_knee       @_hip        @_knee
@_ankle      @_ankle      @_knee       @_ankle
@_toe        @_toe        @_ankle      @_foot_index
"""

# A hip is 36% of the distance between the front iliac spines (ASIS) from the middle of them to the
# side, 30% of the way to the back ones, and further down: Harrington et al. (2007), "Prediction of
# the hip joint centre in adults, children, and patients with cerebral palsy based on magnetic
# resonance imaging", with a pelvis 24 cm wide and 16 cm deep. What is at right angles with the
# spines is not linear in them. Down is therefore away from the shoulders, or to the knees.
_HIP = """
    0.75*&ASI  0.03*~ASI  0.19*LPSI  0.19*RPSI -0.08*LSHO -0.08*RSHO |
    0.75*&ASI  0.03*~ASI  0.38*SACR -0.08*LSHO -0.08*RSHO |
    0.67*&ASI -0.05*~ASI  0.11*LPSI  0.11*RPSI  0.08*LKNE  0.08*RKNE |
    0.67*&ASI -0.05*~ASI  0.22*SACR  0.08*LKNE  0.08*RKNE
"""

# With one marker at a joint, its middle is medial of it, along the line between the iliac spines.
_GAIT_LEGS = f"""
pelvis      pelvis      -          LASI RASI LPSI RPSI | LASI RASI 2*SACR
@_hip       @_hip       pelvis     &HJC | &FEP |{_HIP.strip()}
@_knee      @_knee      @_hip      &KJC | &FEO | &KNE &KNM | &KNE 0.2*~ASI -0.2*&ASI
@_ankle     @_ankle     @_knee     &AJC | &TIO | &ANK &ANM | &ANK 0.15*~ASI -0.15*&ASI
@_foot?     @_foot      @_ankle    &TOE | &1MT &5MT
"""

_GAIT = """
thorax?     -           pelvis     STRN T10
neck        neck        thorax     C7 CLAV | C7 | LSHO RSHO
head?       head        neck       LFHD RFHD LBHD RBHD | LFHD RFHD | LHEAD RHEAD
@_shoulder  @_shoulder  neck       &SJC | &CLO | &SHO 0.05*LASI 0.05*RASI -0.05*LSHO -0.05*RSHO
@_elbow     @_elbow     @_shoulder &EJC | &HUO | &ELB &ELM | &ELB
@_wrist     @_wrist     @_elbow    &WJC | &RAO | &WRA &WRB | &WRI | &WRA | &WRB
@_hand?     @_hand      @_wrist    &HNO | &FIN
"""

_GAIT_OTHERS = "THI TIB HEE UPA FRM FRA THIP SHA TRO LOF ROF OFF FOO FOO.2 TH1 TH2 TI1 TI2"

# Other names of the same places: of OpenSim's gait models, of the Helen Hayes and ISB marker sets,
# of CMU's markers, and of the Human Body Model. A repeated label, as readers number it, is the
# medial side.
_GAIT_NAMES = {
    "SACR": "VSAC V.Sacral SACRUM SACRAL MPSI MPSIS",
    "CLAV": "IJ SJN Sternum",
    "STRN": "PX XIPH SXS XYPH",
    "C7": "CV7",
    "T10": "TV10",
    "&ASI": "&ASIS &.ASIS &IAS &FWT",
    "&PSI": "&PSIS &.PSIS &IPS &BWT",
    "&SHO": "&.Shoulder &ACR &.Acromium &.Acromion &AC &SAE",
    "&ELB": "&.Elbow &.Elbow.Lat &HLE &LEE",
    "&ELM": "&.Elbow.Med &HME &MEE &ELB.2",
    "&WRA": "&.Wrist.Lat &RSP &LW",
    "&WRB": "&.Wrist.Med &USP &MW",
    "&WRI": "&.Wrist",
    "&FIN": "&.Hand &HAND &HM2",
    "&KNE": "&.Knee &.Knee.Lat &KL &FLE &LEK",
    "&KNM": "&.Knee.Med &KM &FME &MEK &KNEM &KNE.2",
    "&ANK": "&.Ankle &.Ankle.Lat &AL &FAL &LM",
    "&ANM": "&.Ankle.Med &AM &TAM &MM &MED &ANK.2",
    "&TOE": "&.Toe &.Toe.Tip &FM2 &MT2",
    "&1MT": "&MT1 &FM1 &FM",
    "&5MT": "&MT5 &FM5 &FL",
    "&HEE": "&.Heel &FCC &H",
}

_GAIT_ABOUT = (
    "Joint centres are weighted means of markers on the skin: those of shoulders, elbows, knees "
    "and ankles are within about 4 cm, those of the hips within about 5, and more where the "
    "trunk is bent."
)

_MOTIVE_ABOUT = (
    "Joint centres are weighted means of markers on the suit, within about 6 cm of the joints of "
    "Motive's skeleton, and more where the trunk is bent."
)

# OptiTrack's names of the markers of its Baseline and Core sets, which lie as those above.
_MOTIVE_MARKERS = """
pelvis      pelvis      -          LASI RASI LPSI RPSI
@_hip       @_hip       pelvis     0.65*&ASI -0.07*~ASI 0.29*LPSI 0.29*RPSI -0.08*LSHO -0.08*RSHO
@_knee      @_knee      @_hip      &KneeOut &KneeIn | &KneeOut 0.2*~ASI -0.2*&ASI
@_ankle     @_ankle     @_knee     &AnkleOut &AnkleIn | &AnkleOut 0.15*~ASI -0.15*&ASI
@_foot?     @_foot      @_ankle    &ToeIn &ToeOut
@_toe?      @_toe       @_foot     &ToeTip
neck        neck        pelvis     BackTop ChestTop | BackTop
head?       head        neck       HeadLeft HeadRight | HeadFront HeadTop
@_shoulder  @_shoulder  neck       &SHO 0.05*LASI 0.05*RASI -0.05*LSHO -0.05*RSHO
@_elbow     @_elbow     @_shoulder &ElbowOut &ElbowIn | &ElbowOut
@_wrist     @_wrist     @_elbow    &WristOut &WristIn | 3*&WristOut &HandOut &HandIn | &WristOut
@_hand?     @_hand      @_wrist    &HandOut &HandIn | &HandOut
"""

_MOTIVE_NAMES = {
    "&ASI": "Waist&Front",
    "&PSI": "Waist&Back",
    "&SHO": "&ShoulderTop",
}

# Trunk and right arm, after the ISB's landmarks (Wu et al., 2005), of studies of the shoulder.
_SHOULDER = """
pelvis          pelvis          -               ASISl ASISr PSISl PSISr
thorax          -               pelvis          XIPH T10
neck            neck            thorax          T1 STER
right_shoulder  right_shoulder  neck            ACRO_tip
right_elbow     right_elbow     right_shoulder  EPICl EPICm
right_wrist     right_wrist     right_elbow     STYLr STYLu
right_hand?     right_hand      right_wrist     INDEX LASTC | MEDH LATH
"""


# ---------------------------------------------------------------------------- their lines


def _sides(text: str) -> list[str]:
    """A text for the left and for the right side, or itself where it has no placeholder."""
    if not re.search("[@&~]", text):
        return [text]
    out = []
    for side, letter, other in (("left", "L", "R"), ("right", "R", "L")):
        # Names of the Kinect's joints begin with a capital, as in ShoulderLeft.
        given = re.sub(r"@(?=[A-Z])", side.capitalize(), text)
        out.append(given.replace("@", side).replace("&", letter).replace("~", other))
    return out


def _points(text: str) -> tuple[SetPoint, ...]:
    """The points of a set's lines; a parent that is not there is that parent's parent."""
    out = []
    for line in re.sub(r"\|\s*\n", "| ", text).strip().splitlines():
        for each in _sides(line):
            name, role, parent, labels = each.split(maxsplit=3)
            out.append(
                SetPoint(
                    name.removesuffix("?"),
                    tuple(_weights(option) for option in labels.split("|")),
                    None if parent == "-" else parent,
                    None if role == "-" else role,
                    not name.endswith("?"),
                )
            )
    return tuple(out)


def _weights(option: str) -> tuple[tuple[str, float], ...]:
    """Labels and their weights, normalized: "LASI RASI 2*SACR" is a quarter each, and a half."""
    found = {}
    for word in option.split():
        weight, _, label = word.rpartition("*")
        found[label] = found.get(label, 0.0) + float(weight or 1)
    total = sum(found.values())
    return tuple((label, weight / total) for label, weight in found.items())


def _aliases(names: Mapping[str, str]) -> dict[str, str]:
    """{another name: label} of {label: other names}, for both sides."""
    return {
        alias: label
        for one, others in names.items()
        for label, words in zip(_sides(one), _sides(others))
        for alias in words.split()
    }


def _labels(text: str) -> tuple[str, ...]:
    """Labels of both sides."""
    return tuple(label for word in text.split() for label in _sides(word))


def _motive_fingers() -> tuple[str, ...]:
    fingers = ("Thumb", "Index", "Middle", "Ring", "Pinky")
    return _labels(" ".join(f"&{finger}{number}" for finger in fingers for number in (1, 2, 3)))


_FACE17 = "nose @_eye @_ear"
_FINGERS = " ".join(
    f"@_{finger}{number}" for finger in ("index", "middle", "pinky", "ring", "thumb")
    for number in (1, 2, 3)
)  # fmt: skip

SETS: tuple[JointSet, ...] = (
    JointSet(
        "SMPL", "joints", "body", _points(_SMPL), _labels(_FINGERS), _aliases(_SMPL_NAMES)
    ),
    JointSet("KIT", "joints", "body", _points(_KIT21)),
    JointSet("Kinect v1", "joints", "body", _points(_KINECT20)),
    JointSet("Kinect v2", "joints", "body", _points(_KINECT25), _labels("@HandTip @Thumb")),
    JointSet(
        "Azure Kinect", "joints", "body", _points(_AZURE32),
        _labels("handtip_@ thumb_@ nose eye_@ ear_@"), {"spine_naval": "spine_navel"},
    ),
    JointSet("Motive", "joints", "body", _points(_MOTIVE), _motive_fingers()),
    JointSet("Xsens", "joints", "body", _points(_XSENS)),
    JointSet("Human3.6M", "joints", "body", _points(_H36M17), (), _aliases(_H36M_NAMES)),
    JointSet("OpenNI", "joints", "body", _points(_OPENNI15)),
    JointSet("MPI-INF-3DHP", "joints", "body", _points(_MPI28)),
    JointSet("OpenPose COCO-18", "keypoints", "body", _points(_COCO18)),
    JointSet(
        "OpenPose BODY-25", "keypoints", "body", _points(_BODY25),
        _labels("Nose @Eye @Ear @SmallToe @Heel Background"),
    ),
    JointSet(
        "CMU Panoptic", "joints", "body", _points(_PANOPTIC19), _labels("Nose @Eye @Ear")
    ),
    JointSet(
        "Halpe-26", "keypoints", "body", _points(_HALPE26),
        _labels("Nose @Eye @Ear @SmallToe @Heel"),
    ),
    JointSet("MPII", "keypoints", "body", _points(_MPII16)),
    JointSet("COCO-17", "keypoints", "body", _points(_COCO17), _labels(_FACE17)),
    JointSet("LCR-Net", "keypoints", "body", _points(_LCRNET13)),
    JointSet(
        "MediaPipe", "keypoints", "body", _points(_MEDIAPIPE33),
        _labels(_FACE17 + " @_eye_inner @_eye_outer mouth_@ @_thumb @_heel"),
    ),
    JointSet(
        "Plug-in Gait", "markers", "body", _points(_GAIT_LEGS + _GAIT.strip()),
        _labels(" ".join("&" + each for each in _GAIT_OTHERS.split()) + " RBAK"),
        _aliases(_GAIT_NAMES), _GAIT_ABOUT,
    ),
    JointSet(
        "Plug-in Gait, lower body", "markers", "lower body",
        _points(_GAIT_LEGS),
        _labels(" ".join("&" + each for each in _GAIT_OTHERS.split())),
        _aliases(_GAIT_NAMES), _GAIT_ABOUT,
    ),
    JointSet(
        "Motive markers", "markers", "body", _points(_MOTIVE_MARKERS),
        _labels("HeadTop HeadFront HeadSide Back@ ChestLow &ShoulderBack &UArmHigh &FArm &Thumb "
                "&Index &Pinky WaistCBack &ThighFront &ThighSide &Shin &Heel"),
        _aliases(_MOTIVE_NAMES), _MOTIVE_ABOUT,
    ),
    JointSet("shoulder markers", "markers", "upper body", _points(_SHOULDER)),
)  # fmt: skip
"""The known sets."""


# ---------------------------------------------------------------------------- matching


def match(
    joint_names: Sequence[str], measured: Collection[int] | None = None
) -> tuple[JointSet, dict[str, int]] | None:
    """The known set that names of joints are of.

    Case, separators, a prefix such as "Subject:", and where a side is written ("LeftKnee",
    "knee_l") do not matter.

    Args:
      joint_names: of a motion.
      measured: indices of the joints to be looked at; None: all.

    Returns:
      Of the sets whose required points can all be placed the one that knows the most of the names,
      and {label of the set: index of the joint}; None: there is none.
    """
    exact, sided = _index(joint_names, measured)
    best, most = None, 0
    for each in SETS:
        found: dict[str, int] = {}
        for names in _names_of(each):  # labels first, then their aliases
            for label, (plain, by_side) in names:
                at = exact.get(plain, sided.get(by_side) if by_side else None)
                if label not in found and at is not None:
                    found[label] = at
        if len(found) > most and all(
            _option(point, found) for point in each.points if point.required
        ):
            best, most = (each, found), len(found)
    return best


def spelt(names: Sequence[str], joint_names: Sequence[str]) -> dict[str, int]:
    """{name: index of the joint}, of the names that a joint has in some spelling; see `match`."""
    exact, sided = _index(joint_names, None)
    keys = {name: _keys(name) for name in names}
    found = {
        name: exact.get(plain, sided.get(by_side) if by_side else None)
        for name, (plain, by_side) in keys.items()
    }
    return {name: joint for name, joint in found.items() if joint is not None}


def points_of(
    joint_set: JointSet, found: Mapping[str, int], joint_names: Sequence[str]
) -> tuple[tuple[Point, ...], dict[str, tuple[int, ...]]]:
    """The points of a body of a known set, and its chains.

    Args:
      joint_set: the set.
      found: {label: index of the joint}, of `match`.
      joint_names: of the motion.

    Returns:
      The points and chains as in `Body`; no chains for a part of a body. A point that is one joint
      has its name. The torso starts at the root, and limbs where they leave the torso.
    """
    points: list[Point] = []
    place: dict[str, int] = {}
    for point in joint_set.points:
        parent = place[point.parent] if point.parent is not None else -1
        option = _option(point, found)
        if option is None:
            place[point.name] = parent  # of those that hang from it
            continue
        weights = tuple((found[label], weight) for label, weight in option)
        name = joint_names[weights[0][0]] if len(weights) == 1 else point.name
        place[point.name] = len(points)
        points.append(Point(name, weights, parent, point.role))
    names = [point.name for point in points]
    points = [
        point if names.count(point.name) == 1 or len(point.weights) == 1
        else point._replace(name=f"{point.name} (mean)")
        for point in points
    ]  # fmt: skip
    return tuple(points), _chains(points) if joint_set.covers == "body" else {}


_ENDS = {
    "torso": ("head_end", "head", "neck"),
    "leg": ("toe", "foot", "ankle"),
    "arm": ("hand", "wrist"),
}


def _chains(points: Sequence[Point]) -> dict[str, tuple[int, ...]]:
    """The points of each of `PARTS`: the ways from the root to the ends of the limbs."""
    roles = {point.role: index for index, point in enumerate(points) if point.role}

    def path(roles_of_ends: Sequence[str]) -> list[int]:
        # A root is no end: OpenPose's 18 keypoints hang from the nose, which is the head.
        joint = next(roles[role] for role in roles_of_ends if roles.get(role))
        out = [joint]
        while (joint := points[joint].parent) >= 0:
            out.append(joint)
        return out[::-1]

    torso = path(_ENDS["torso"])
    chains = {}
    for part in PARTS:
        side, _, limb = part.partition("_")
        if not limb:
            chains[part] = tuple(torso)
            continue
        way = path([f"{side}_{end}" for end in _ENDS[limb]])
        chains[part] = tuple(way[max(i for i, joint in enumerate(way) if joint in torso) :])
    return chains


def _option(point: SetPoint, found: Mapping[str, int]) -> tuple[tuple[str, float], ...] | None:
    """The first way to place a point whose labels are all there; None: there is none."""
    for option in point.options:
        if all(label in found for label, _ in option):
            return option
    return None


_SIDE_WORDS = {"l": "left", "left": "left", "lft": "left", "r": "right", "right": "right",
               "rgt": "right"}  # fmt: skip
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


# A name in lower case without separators; its side and the rest of it, if it has a side.
_Keys = tuple[str, tuple[str, str] | None]


def _keys(name: str) -> _Keys:
    """The keys that names of one label share."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    words = [word.lower() for word in _WORDS.findall(name)]
    sides = [word for word in words if word in _SIDE_WORDS]
    if len(sides) != 1 or len(words) == 1:
        return plain, None
    return plain, (_SIDE_WORDS[sides[0]], "".join(word for word in words if word != sides[0]))


def _names_of(joint_set: JointSet) -> tuple[tuple[tuple[str, _Keys], ...], ...]:
    """((label, its keys), ...) of a set, and the same with the keys of aliases."""
    return _tables()[joint_set.name]


@functools.cache
def _tables() -> Mapping[str, tuple[tuple[tuple[str, _Keys], ...], ...]]:
    """`_names_of` by the name of a set."""
    out = {}
    for each in SETS:
        labels = each.labels
        own = tuple((label, _keys(label)) for label in labels)
        pairs = [(label, alias) for alias, label in each.aliases.items() if label in labels]
        others = tuple((label, _keys(alias)) for label, alias in pairs)
        out[each.name] = (own, others)
    return out


def _index(
    joint_names: Sequence[str], among: Collection[int] | None
) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """The joints, among some or all, by both of their keys; keys of several are left out."""
    bare = [name.rpartition(":")[2] for name in joint_names]
    first, last = min(bare, default=""), max(bare, default="")
    same = next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), len(first))
    common = first[:same]
    cut = max(common.rfind(mark) for mark in "_ .-") + 1
    if 0 < cut < min(map(len, bare), default=0) and len(bare) > 1:
        bare = [name[cut:] for name in bare]
    exact: dict[str, list[int]] = {}
    sided: dict[tuple[str, str], list[int]] = {}
    for joint, name in enumerate(bare):
        if among is not None and joint not in among:
            continue
        plain, by_side = _keys(name)
        exact.setdefault(plain, []).append(joint)
        if by_side:
            sided.setdefault(by_side, []).append(joint)
    return (
        {key: joints[0] for key, joints in exact.items() if len(joints) == 1},
        {key: joints[0] for key, joints in sided.items() if len(joints) == 1},
    )
