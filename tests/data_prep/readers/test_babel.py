import collections
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from published_files import (
    babel_annotation,
    babel_label,
    write_amass,
    write_babel,
    write_smplh,
)
from scipy.spatial.transform import Rotation
from stand_ins import Predict

from data_prep.builders import prepare
from data_prep.readers import Caption, InvalidClip, babel
from data_prep.readers.babel import Babel, pieces
from data_prep.survey import survey
from motionalign.configs import common
from motionalign.data.dataset import Dataset
from motionalign.data.resample import nearest_frames, resample
from motionalign.data.texts import label_classes
from motionalign.skeleton import SKELETONS
from motionalign.tasks.labels import Labels, one_answer_ceiling

PARENTS = SKELETONS["smpl22"].parents


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """24 + 8 sequences in the published layout; read-only."""
    return write_babel(tmp_path_factory.mktemp("babel"))


@pytest.fixture
def one(tmp_path):
    """A dataset that tests fill: sequence 1 of 12 seconds in train."""
    return One(tmp_path)


class One:
    def __init__(self, folder):
        self.paths = {name: folder / name for name in ("raw_dir", "amass_dir", "smplh_dir")}
        self.paths["raw_dir"].mkdir()
        write_smplh(self.paths["smplh_dir"])
        self.motion = self.paths["amass_dir"] / "KIT/3/walk_poses.npz"
        write_amass(self.motion, 12, 120)
        self.entry = {"babel_sid": 1, "feat_p": "KIT/KIT/3/walk_poses.npz", "dur": 12.0}

    def reader(self, annotations=None, **options) -> Babel:
        """A reader of sequence 1 with these annotations, by default the label "walk"."""
        if annotations is None:
            annotations = {"seq_ann": babel_annotation(babel_label("walk")), "frame_ann": None}
        self.write("train", {"1": self.entry | annotations})
        self.write("val", {})
        return Babel(**(self.paths | options))

    def write(self, name, content):
        (self.paths["raw_dir"] / f"{name}.json").write_text(json.dumps(content))

    def captions(self, annotations=None, **options) -> list[tuple]:
        """The captions as (text, start, end), or as reasons."""
        return [
            c.reason if isinstance(c, InvalidClip) else (c.text, c.start, c.end)
            for c in self.reader(annotations, **options).captions("1")
        ]


def frames_of(seconds_fps, count, fps=30):
    """The nearest frames in exact arithmetic; ties round up."""
    ratio = Fraction(seconds_fps) / fps
    index = (math.floor(k * ratio + Fraction(1, 2)) for k in range(10**6))
    times = zip(index, range(10**6))
    out = []
    for i, k in times:
        if k * ratio > count - 1:
            return out
        out.append(min(i, count - 1))


def kinematics(amass, model, frames):
    """Joints by frame and joint along the tree; Z up is converted to Y up at the end."""
    with np.load(amass) as clip, np.load(model) as body:
        shaped = body["v_template"] + body["shapedirs"] @ clip["betas"]
        rest = body["J_regressor"] @ shaped
        out = np.zeros((len(frames), 22, 3))
        for t, frame in enumerate(frames):
            turned = {}
            for joint, parent in enumerate(PARENTS):
                vector = clip["poses"][frame, 3 * joint : 3 * joint + 3]
                local = Rotation.from_rotvec(vector)
                if parent < 0:
                    turned[joint], out[t, joint] = local, rest[joint] + clip["trans"][frame]
                    continue
                turned[joint] = turned[parent] * local
                out[t, joint] = out[t, parent] + turned[parent].apply(rest[joint] - rest[parent])
    return np.stack([out[..., 0], out[..., 2], -out[..., 1]], axis=-1)


@pytest.mark.parametrize("rate", [30, 60, 100, 120, 250, 25, 59.94])
@pytest.mark.parametrize("count", [1, 2, 7, 100, 361])
def test_nearest_frames(rate, count):
    assert nearest_frames(count, rate, 30).tolist() == frames_of(rate, count)


def test_no_frames():
    assert nearest_frames(0, 120, 30).shape == (0,)


def test_joints_and_rotations_of_every_gender_and_rate(files):
    reader = Babel(**files)
    entries = json.loads((files["raw_dir"] / "train.json").read_text())
    seen = set()
    for sid, entry in list(entries.items())[:8]:
        path = files["amass_dir"] / entry["feat_p"]
        if not path.exists():
            path = files["amass_dir"] / entry["feat_p"].partition("/")[2]
        with np.load(path) as clip:
            gender = str(clip["gender"].astype(str))
            rate = float(clip.get("mocap_framerate", clip.get("mocap_frame_rate")))
            poses, count = clip["poses"], len(clip["poses"])
        seen |= {gender, rate}
        frames = frames_of(rate, count)
        joints, rotations = reader.joints(sid), reader.rotations(sid)
        assert joints.dtype == rotations.dtype == np.float32
        assert joints.shape == (len(frames), 1, 22, 3)
        assert rotations.shape == (len(frames), 1, 24, 6)
        some = [*range(0, len(frames), 29), len(frames) - 1]
        expected = kinematics(
            path, files["smplh_dir"] / gender / "model.npz", [frames[t] for t in some]
        )
        np.testing.assert_allclose(joints[some, 0], expected, atol=1e-5)
        # All but the root, then the first joints of the index fingers.
        vectors = poses[[frames[t] for t in some]].reshape(len(some), 52, 3)
        vectors = vectors[:, [*range(1, 22), 22, 37]].reshape(-1, 3)
        matrices = Rotation.from_rotvec(vectors).as_matrix().reshape(len(some), 23, 3, 3)
        np.testing.assert_allclose(
            rotations[some, 0, 1:].reshape(len(some), 23, 2, 3), matrices[..., :2, :], atol=1e-6
        )
    assert {"female", "male", "neutral"} <= seen
    assert len(seen) >= 6  # at least three frame rates


def test_twelve_seconds_are_cut_into_five_five_and_two(one):
    assert one.captions() == [("walk", 0, 5), ("walk", 5, 10), ("walk", 10, 12)]
    segment = babel_label("sit", start=1.25, end=6.5)
    annotations = {"seq_ann": None, "frame_ann": babel_annotation(segment)}
    assert one.captions(annotations) == [("sit", 1.25, 6.25), ("sit", 6.25, 6.5)]
    found = survey(one.reader(annotations))
    assert [record.frames for record in found.sources[0].records] == [
        slice(37, 187),
        slice(187, 195),
    ]


def test_rounding_creates_no_extra_pieces():
    assert pieces(0.1, 5.1) == [(0.1, 5.1)]
    assert pieces(0.7, 10.7) == [(0.7, 5.7), (5.7, 10.7)]
    assert pieces(2, 2.01) == [(2, 2.01)]


def test_two_categories_yield_two_records(one):
    label = babel_label("walk", "turn", start=0.0, end=4.0)
    reader = one.reader({"seq_ann": None, "frame_ann": babel_annotation(label)})
    (source,) = survey(reader).sources
    assert [(r.id, r.span, r.captions, r.labels) for r in source.records] == [
        ("1#0", (0, 4), ("walk",), (0,)),
        ("1#1", (0, 4), ("turn",), (3,)),
    ]
    assert (reader.label_names[0], reader.label_names[3]) == ("walk", "turn")


def test_labels_with_times_take_precedence(one):
    both = {
        "seq_ann": babel_annotation(babel_label("jump")),
        "frame_ann": babel_annotation(babel_label("sit", start=1, end=3)),
    }
    assert one.captions(both) == [("sit", 1, 3)]
    whole = [("jump", 0, 5), ("jump", 5, 10), ("jump", 10, 12)]
    assert one.captions(both, labels="sequence") == whole
    assert one.captions(both | {"frame_ann": None}) == whole
    only = {"seq_ann": None, "frame_ann": both["frame_ann"]}
    with pytest.raises(InvalidClip, match="label_missing: no labels in seq_ann"):
        one.captions(only, labels="sequence")
    with pytest.raises(InvalidClip, match="label_missing: no labels in frame_ann or seq_ann"):
        one.captions({"seq_ann": None, "frame_ann": None})


def test_segments_of_several_annotators_are_merged(one):
    sit, bow = babel_label("sit", start=0, end=4), babel_label("bend", "sit", start=0, end=4)
    one.reader()
    extra = {
        "1": one.entry | {"seq_anns": [babel_annotation(babel_label("jump"))], "frame_anns": None},
        "2": one.entry | {"babel_sid": 2, "seq_anns": [babel_annotation(babel_label("run"))],
                          "frame_anns": [babel_annotation(sit), babel_annotation(bow)]},
    }  # fmt: skip
    one.write("extra_train", extra)
    with pytest.raises(ValueError, match=r"has no extra_val\.json\. Expected"):
        Babel(**one.paths, extra=True)
    one.write("extra_val", {})
    assert Babel(**one.paths).splits()["train"] == ["1"]
    reader = Babel(**one.paths, extra=True)
    assert reader.splits() == {"train": ["1", "2"], "val": [], "test": []}
    # "sit" from 0 to 4 seconds is annotated twice.
    assert [caption.text for caption in reader.captions("2")] == ["sit", "bend"]
    # Extra annotations add to the existing labels of a sequence.
    assert [caption.text for caption in reader.captions("1")] == ["walk"] * 3 + ["jump"] * 3
    extra["1"]["feat_p"] = "KIT/KIT/4/other_poses.npz"
    one.write("extra_train", extra)
    with pytest.raises(ValueError, match=r"babel_sid 1 belongs to .*other_poses.npz here, and to"):
        Babel(**one.paths, extra=True)


def test_the_published_extra_layout(test_data, one):
    content = json.loads((test_data / "babel_sample.json").read_text())
    one.reader()
    one.write("extra_train", content)
    one.write("extra_val", {})
    reader = Babel(**one.paths, extra=True)
    assert set(reader.splits()["train"] + reader.splits()["val"]) == {"1", *content}
    (found,) = [c for c in reader.captions("12") if isinstance(c, InvalidClip)]
    assert found.detail == "'ok', seconds 0 to 5.07: noisy labels"
    squat = reader.label_names.index("squat")
    captions = reader.captions("18")  # of 5.43 seconds; the second annotator gave no category
    assert captions[:2] == [Caption("squat", 0, 5, squat), Caption("squat", 5, 5.43, squat)]
    assert captions[2].reason == "label_unknown"


def test_splits(files):
    reader = Babel(**files)
    entries = {
        s: json.loads((files["raw_dir"] / f"{s}.json").read_text()) for s in ("train", "val")
    }
    splits = reader.splits()
    assert splits["test"] == list(entries["val"])
    assert sorted(splits["train"] + splits["val"]) == sorted(entries["train"])
    chosen = np.random.default_rng(0).permutation(24)[:2]
    by_number = sorted(map(int, entries["train"]))
    assert sorted(map(int, splits["val"])) == sorted(by_number[i] for i in chosen)
    assert Babel(**files).splits() == splits
    assert Babel(**files, seed=1).splits()["val"] != splits["val"]


def test_categories_outside_the_classes_are_counted(one):
    labels = [
        babel_label("transition", start=0, end=1),
        babel_label("transition", "sit", start=1, end=2),
        babel_label(start=2, end=3),
        babel_label("wave", start=3, end=4),
    ]
    annotations = {"seq_ann": None, "frame_ann": babel_annotation(*labels)}
    report = survey(one.reader(annotations)).report()
    assert [(e["reason"], e["detail"]) for e in report["captions_dropped"]] == [
        ("label_unknown", "'transition', seconds 0 to 1: transition"),
        ("label_unknown", "'no text', seconds 2 to 3: no category"),
    ]
    assert (report["records"], report["scored"]) == (2, 1)
    # Fewer classes: "wave" is the 40th.
    assert one.captions(annotations, num_classes=39)[0] == ("sit", 1, 2)
    assert one.captions(annotations, num_classes=39)[1:] == ["label_unknown"] * 3
    with pytest.raises(ValueError, match="--classes=61; expected 1 to 60"):
        one.reader(num_classes=61)


@pytest.mark.parametrize(
    ("span", "outcome"),
    [
        ((10, 13), [(10, 12)]),  # a second past the end is cut
        ((10, 13.5), "span_outside"),
        ((-1, 3), "span_outside"),
        ((12.5, 12.8), "span_outside"),
        ((5, 5), "span_outside"),
        ((0, 0), "span_outside"),  # does not mean the complete clip here
        ((0, math.inf), "span_outside"),
        ((math.nan, 3), "span_outside"),
        ((4, 4.05), "too_short"),
    ],
)
def test_segments_outside_of_the_motion(one, span, outcome):
    label = babel_label("sit", start=span[0], end=span[1])
    stays = babel_label("walk", start=0, end=1)
    annotations = {"seq_ann": None, "frame_ann": babel_annotation(stays, label)}
    found = survey(one.reader(annotations))
    records = [r for r in found.sources[0].records if r.captions == ("sit",)]
    if isinstance(outcome, str):
        assert not records
        assert [e["reason"] for e in found.captions_dropped] == [outcome]
    else:
        assert [(r.frames.start / 30, r.frames.stop / 30) for r in records] == outcome


@pytest.mark.parametrize(
    ("seconds", "rate", "differs"),
    [(12, 120, False), (11.6, 120, False), (12.5, 60, False), (11.2, 120, True), (7, 100, True)],
)
def test_the_duration_is_that_of_the_motion(one, seconds, rate, differs):
    write_amass(one.motion, seconds, rate)
    reader = one.reader()
    if not differs:
        assert len(reader.joints("1")) == pytest.approx(30 * seconds, abs=1)
        return
    with pytest.raises(InvalidClip, match=r'duration_differs: KIT.*frames .*states "dur" 12'):
        reader.joints("1")


def test_a_wrong_rate_is_noticed(one):
    write_amass(one.motion, 12, 120, mocap_framerate=np.array(60.0))
    with pytest.raises(InvalidClip, match="1440 frames at 60 a second are 24 seconds; BABEL"):
        one.reader().joints("1")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"surface_model_type": np.array("smplx")}, "surface_model_type is 'smplx'"),
        ({"poses": np.zeros((1440, 165))}, "poses has 165 values a frame"),
        ({"surface_model_type": np.array("smpl")}, "surface_model_type is 'smpl'"),
    ],
)
def test_other_body_models_are_refused_by_name(one, arrays, message):
    write_amass(one.motion, 12, 120, **arrays)
    with pytest.raises(InvalidClip, match=f"wrong_body_model: .*{message}.*SMPL\\+H G") as caught:
        one.reader().joints("1")
    assert "SMPL-H" in str(caught.value)


def test_stageii_archives_are_refused_by_name(one):
    other = one.motion.with_name("walk_stageii.npz")
    one.motion.rename(other)
    with pytest.raises(InvalidClip, match=r"wrong_body_model: .*only KIT/3/walk_stageii\.npz"):
        one.reader().joints("1")
    one.entry["feat_p"] = "KIT/KIT/3/walk_stageii.npz"
    with pytest.raises(InvalidClip, match=r"wrong_body_model: .*end in _stageii\.npz"):
        one.reader().joints("1")
    write_amass(other, 12, 120, surface_model_type=np.array("smplh"))  # states what it is
    assert len(one.reader().joints("1")) == 360


def test_joints_instead_of_amass(one, tmp_path):
    joints = np.random.default_rng(0).normal(size=(240, 22, 3)).astype(np.float32)
    folder = tmp_path / "joints"
    (folder / "KIT/3").mkdir(parents=True)
    np.save(folder / "KIT/3/walk_poses.npy", joints)
    one.reader()
    reader = Babel(one.paths["raw_dir"], joints_dir=folder)
    assert (reader.num_rotations, reader.source_fps, reader.fps) == (0, 30, 30)
    found = reader.joints("1")
    assert found.shape == (359, 1, 22, 3)
    np.testing.assert_allclose(found[::3, 0], joints[::2], atol=1e-6)
    between = (joints[:-1:2] + 2 * joints[1::2]) / 3  # 1/30 s after an even frame is 2/3 on
    np.testing.assert_allclose(found[1::3, 0], between, atol=1e-6)
    np.testing.assert_array_equal(found[:, 0], resample(joints, 20, 30))
    # A path that includes BABEL's first folder is found too, and preferred.
    (folder / "KIT/KIT/3").mkdir(parents=True)
    np.save(folder / "KIT/KIT/3/walk_poses.npy", joints[::-1])
    reader = Babel(one.paths["raw_dir"], joints_dir=folder)
    np.testing.assert_array_equal(reader.joints("1")[::3, 0], joints[::-2])
    np.save(folder / "KIT/KIT/3/walk_poses.npy", joints[:120])
    with pytest.raises(InvalidClip, match=r"duration_differs: .*120 frames at 20 a second"):
        Babel(one.paths["raw_dir"], joints_dir=folder).joints("1")
    np.save(folder / "KIT/KIT/3/walk_poses.npy", joints[:, :21])
    with pytest.raises(InvalidClip, match=r"wrong_shape: found float32 \[240, 21, 3\]"):
        Babel(one.paths["raw_dir"], joints_dir=folder).joints("1")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"betas": None}, "motion_unreadable: .*betas"),
        ({"gender": None}, "motion_unreadable: .*gender"),
        ({"mocap_framerate": None}, "motion_unreadable: .*mocap_frame_rate"),
        ({"mocap_framerate": np.array(0.0)}, r"motion_unreadable: .*rate=0\.0; expected"),
        ({"mocap_framerate": np.array(-30.0)}, r"motion_unreadable: .*rate=-30\.0; expected"),
        ({"mocap_framerate": np.array(np.nan)}, "motion_unreadable: .*rate=nan; expected"),
        ({"gender": np.array("robot")}, "motion_unreadable: .*gender 'robot', none of"),
        ({"gender": np.array([{}], object)}, "motion_unreadable: .*pickle"),
        ({"poses": np.zeros((9, 60))}, r"wrong_shape: .*poses is \[9, 60\]"),
        ({"poses": np.zeros((9, 52, 3))}, r"wrong_shape: .*poses is float64 \[9, 52, 3\]"),
        ({"poses": np.zeros((9, 156), "U3")}, "wrong_shape: .*poses is <U3"),
        ({"trans": np.zeros((8, 3))}, "wrong_shape: .* 9 frames of poses, 8 of trans"),
        ({"trans": np.zeros((9, 2))}, r"wrong_shape: .*trans is \[9, 2\]"),
        ({"betas": np.zeros((16, 1))}, r"wrong_shape: .*betas is float64 \[16, 1\]"),
        ({"poses": np.full((9, 156), np.nan)}, "not_finite: .*NaN or infinity in poses"),
        ({"trans": np.full((9, 3), np.inf)}, "not_finite: .*NaN or infinity in trans"),
        ({"betas": np.full(16, np.nan)}, "not_finite: .*NaN or infinity in betas"),
    ],
)
def test_bad_motions(one, arrays, message):
    still = {"poses": np.zeros((9, 156)), "trans": np.zeros((9, 3))}
    write_amass(one.motion, 1, 30, **still | arrays)
    with pytest.raises(InvalidClip, match=message):
        one.reader().joints("1")


def test_missing_and_damaged_motions(one):
    data = one.motion.read_bytes()
    one.motion.write_bytes(data[:500])
    with pytest.raises(InvalidClip, match=r"motion_unreadable: KIT/3/walk_poses\.npz is not a"):
        one.reader().joints("1")
    one.motion.unlink()
    with pytest.raises(
        InvalidClip, match=r"motion_missing: no file KIT/KIT/3/walk_poses\.npz or KIT/3/walk_poses"
    ):
        one.reader().joints("1")


def test_a_missing_or_wrong_body_model_is_an_error(one):
    write_amass(one.motion, 2, 30, gender=np.array("neutral"))
    path = one.paths["smplh_dir"] / "neutral" / "model.npz"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"neutral/model\.npz is not a complete .npz"):
        survey(one.reader())
    path.unlink()
    with pytest.raises(ValueError, match=r"no body model .*neutral/model\.npz, which the neutral"):
        survey(one.reader())


def test_body_models_are_read_once(files, monkeypatch):
    calls = []
    read = babel.smplh.SMPLH.read
    monkeypatch.setattr(babel.smplh.SMPLH, "read", lambda path: calls.append(path) or read(path))
    reader = Babel(**files)
    for source in reader.splits()["test"]:
        reader.joints(source)
    assert len(calls) == len(set(calls)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"babel_sid": None}, r"train\.json: sequence '1': \"babel_sid\" is a NoneType"),
        ({"feat_p": 5}, "sequence '1': \"feat_p\" is a int"),
        ({"dur": 0}, "sequence '1': \"dur\" is 0; expected seconds above 0"),
        ({"dur": "12"}, "sequence '1': \"dur\" is a str"),
        ({"seq_ann": []}, "sequence '1': \"seq_ann\" is a list"),
        ({"seq_ann": {}}, "sequence '1', seq_ann: no \"labels\""),
        ({"seq_ann": {"labels": [{}]}}, "sequence '1', seq_ann, label 0: no \"act_cat\""),
        ({"seq_ann": {"labels": [{"act_cat": "walk"}]}}, 'label 0: "act_cat" is a str'),
        ({"seq_ann": {"labels": [{"act_cat": [1]}]}}, r'"act_cat" is \[1\]; expected names'),
        (
            {"frame_ann": {"labels": [{"act_cat": ["walk"], "start_t": 0}]}},
            "sequence '1', frame_ann, label 0: no \"end_t\"",
        ),
        (
            {"frame_ann": {"labels": [{"act_cat": ["walk"], "start_t": None, "end_t": 1}]}},
            'label 0: "start_t" is a NoneType',
        ),
    ],
)
def test_malformed_annotations_are_rejected(one, change, message):
    annotations = {"seq_ann": babel_annotation(babel_label("walk")), "frame_ann": None}
    with pytest.raises(ValueError, match=message):
        one.reader(annotations | change)


def test_annotation_files(one):
    one.reader()
    one.write("train", [1])
    with pytest.raises(ValueError, match=r"train\.json contains a list; expected an obj"):
        Babel(**one.paths)
    one.write("train", {"1": []})
    with pytest.raises(ValueError, match="sequence '1': no \"babel_sid\""):
        Babel(**one.paths)
    one.write("train", {"1": {k: v for k, v in one.entry.items() if k != "dur"}})
    with pytest.raises(ValueError, match="sequence '1': no \"dur\""):
        Babel(**one.paths)
    one.write("train", {"1": one.entry})
    with pytest.raises(ValueError, match="sequence '1': no \"seq_ann\""):
        Babel(**one.paths)
    (one.paths["raw_dir"] / "train.json").write_text('{"1": ')
    with pytest.raises(ValueError, match=r"train\.json is not valid JSON: .*line 1"):
        Babel(**one.paths)
    (one.paths["raw_dir"] / "val.json").unlink()
    with pytest.raises(ValueError, match=r"has no val\.json\. Expected .* https://babel"):
        Babel(**one.paths)


def test_folders(one, tmp_path):
    one.reader()
    raw_dir = one.paths["raw_dir"]
    with pytest.raises(ValueError, match="give --amass_dir and --smplh_dir, or --joints_dir"):
        Babel(raw_dir, amass_dir=one.paths["amass_dir"])
    with pytest.raises(ValueError, match="--joints_dir replaces --amass_dir"):
        Babel(**one.paths, joints_dir=tmp_path)
    for name in one.paths:
        with pytest.raises(ValueError, match=f"--{name}=.*nowhere is not a folder"):
            Babel(**(one.paths | {name: tmp_path / "nowhere"}))
    with pytest.raises(ValueError, match=r"--labels=frames; expected segments or sequence"):
        one.reader(labels="frames")


# Walk and Text's protocol ------------------------------------------------------------------------

# Sequence 1 lasts 360 frames: the first piece is of two categories, the second of three, the third
# of none, and 60 frames remain.
WALK_TURN_SIT = {
    "seq_ann": None,
    "frame_ann": babel_annotation(
        babel_label("walk", "turn", start=0.0, end=4.0),
        babel_label("sit", start=4.0, end=6.0),
        babel_label("transition", start=7.0, end=8.0),
        babel_label("run", start=10.5, end=12.0),
    ),
}


def test_both_protocols_by_hand(one):
    def records(protocol):
        found = survey(one.reader(WALK_TURN_SIT, protocol=protocol))
        (source,) = found.sources
        dropped = [(e["reason"], e["detail"]) for e in found.report()["captions_dropped"]]
        return [(r.frames, r.captions, r.labels) for r in source.records], dropped

    samples, dropped = records("babel")
    walk, turn, sit, run = (one.reader().label_names.index(n) for n in "walk turn sit run".split())
    assert samples == [
        (slice(0, 120), ("walk",), (walk,)),
        (slice(0, 120), ("turn",), (turn,)),
        (slice(120, 180), ("sit",), (sit,)),
        (slice(315, 360), ("run",), (run,)),
    ]
    assert dropped == [("label_unknown", "'transition', seconds 7 to 8: transition")]
    pieces_of, dropped = records("walktext")
    assert pieces_of == [
        (slice(0, 100), ("walk", "turn"), (walk, turn)),
        (slice(100, 200), ("walk", "turn", "sit"), (walk, turn, sit)),
    ]
    assert dropped == [
        ("label_unknown", "frames 200 to 299: transition"),
        ("piece_incomplete", "the last 60 of 360 frames, fewer than the 100 of a piece"),
    ]


def test_pieces_of_labels_without_times(one):
    both = {
        "seq_ann": babel_annotation(babel_label("jump"), babel_label("transition", "wave")),
        "frame_ann": babel_annotation(babel_label("sit", start=4, end=5)),
    }
    pieces_of = one.reader(both, protocol="walktext").captions("1")
    assert [c.texts for c in pieces_of[:1]] == [("sit",)]
    assert [c.detail[-11:] for c in pieces_of[1:3]] == ["no category"] * 2
    whole = one.reader(both, protocol="walktext", labels="sequence").captions("1")
    assert [(c.texts, c.start, c.end) for c in whole[:-1]] == [
        (("jump", "wave"), k / 3, (k + 10) / 3) for k in (0, 10, 20)
    ]
    fewer = one.reader(both | {"frame_ann": None}, protocol="walktext", num_classes=20)
    assert [c.texts for c in fewer.captions("1")[:-1]] == [("jump",)] * 3


def test_pieces_that_cannot_be(one):
    outside = babel_annotation(babel_label("walk", start=0, end=20))
    entries = one.reader({"seq_ann": None, "frame_ann": outside}, protocol="walktext").captions("1")
    assert [c.reason for c in entries] == [
        "span_outside", *["label_unknown"] * 3, "piece_incomplete"
    ]  # fmt: skip
    write_amass(one.motion, 3, 120)
    one.entry["dur"] = 3.0
    with pytest.raises(InvalidClip, match="too_short: 90 frames, fewer than the 100 of a piece"):
        one.reader(protocol="walktext").captions("1")
    with pytest.raises(ValueError, match="--protocol=kit; expected babel or walktext"):
        one.reader(protocol="kit")


def scored(data_dir, name, clips):
    """The results of a made-up model on a prepared dataset.

    clips: for each record, the scores of "walk", "turn" and "sit".
    """
    dataset = Dataset(data_dir, name)
    config = common.base()
    config.update({"task": "labels", "data": {"texts": "words"}})
    names = dataset.metadata.label_names
    # The cosines with unit vectors are in the order of the scores.
    vectors = dict(zip(names, np.eye(len(names))))
    rows = np.zeros((len(clips), len(names)))
    rows[:, [names.index(n) for n in ("walk", "turn", "sit")]] = clips
    return Labels(config).evaluate(Predict(rows, vectors, "cosine"), dataset, "train")


def test_scores_of_both_protocols_by_hand(one, tmp_path):
    """One sequence of two-category pieces, by a model that says "turn", then "sit"."""

    def prepared(protocol):
        one.reader(WALK_TURN_SIT)
        make = lambda: Babel(**one.paths, protocol=protocol, num_classes=22)  # noqa: E731
        prepare(make, tmp_path / "data", protocol, source={"protocol": protocol})

    prepared("babel")
    prepared("walktext")
    report = tmp_path / "data/babel/1.0.0/report.json"
    for _ in range(2):
        with pytest.raises(ValueError, match=r"with protocol=babel, not walktext\. Choose another"):
            prepare(lambda: None, tmp_path / "data", "babel", source={"protocol": "walktext"})
        # Older versions, which had this protocol only, did not name it.
        content = json.loads(report.read_text())
        content["options"].pop("protocol", None)
        report.write_text(json.dumps(content))
        (report.parent / "SHA256SUMS").unlink(missing_ok=True)

    # Samples: walk and turn of frames 0 to 119, sit, run. "turn" is right in one of the first two,
    # whatever the model says; it takes the last for "walk".
    turn, sit = [1, 3, 2], [2, 1, 3]
    results = scored(tmp_path / "data", "babel", [turn, turn, sit, [3, 0, 0]])
    (row,) = results.scores["recognition"].values()
    assert row["protocol"] == "BABEL: one category per sample"
    assert (row["top1"], row["top1_ceiling"], row["clips"]) == (50, 75, 4)
    assert {name: own["top1"] for name, own in row["per_class"].items()} == {
        "walk": 0, "turn": 100, "sit": 100, "run": 0
    }  # fmt: skip
    assert results.tables[0].notes[:2] == [
        "BABEL: one category per sample",
        "2 of 4 samples are clips that occur under several actions, so that one answer a clip "
        "reaches a top-1 of 75.00 at most",
    ]

    # Pieces: {walk, turn} and {walk, turn, sit}. Both answers are among the categories.
    results = scored(tmp_path / "data", "walktext", [turn, sit])
    (row,) = results.scores["recognition"].values()
    assert row["protocol"] == "Walk and Text: any category of a piece"
    assert (row["top1"], row["clips"], "top1_ceiling" in row) == (100, 2, False)
    assert {name: own["clips"] for name, own in row["per_class"].items()} == {
        "walk": 2, "turn": 2, "sit": 1
    }  # fmt: skip
    assert results.tables[0].notes[:2] == [
        "Walk and Text: any category of a piece",
        "2 of 2 clips have several actions; one is recognised if any of them is, and counts in "
        "each of them per class",
    ]
    # The first piece is not of "sit"; its best category, "turn", has rank 2.
    (row,) = scored(tmp_path / "data", "walktext", [sit, sit]).scores["recognition"].values()
    assert (row["top1"], row["top5"]) == (50, 100)
    assert {name: own["top1"] for name, own in row["per_class"].items()} == {
        "walk": 50, "turn": 50, "sit": 100
    }  # fmt: skip


def test_prepared_pieces(one, tmp_path):
    one.reader(WALK_TURN_SIT)
    reader = Babel(**one.paths, protocol="walktext")
    folder = prepare(lambda: reader, tmp_path / "data", "pieces", mirror=True)
    dataset = Dataset(tmp_path / "data", "pieces")
    assert dataset.metadata.protocol == "Walk and Text: any category of a piece"
    split, names = dataset.split("train"), list(dataset.metadata.label_names)
    assert split.ids == ["1#0", "1#1", "M1#0", "M1#1"]
    walk, turn, sit = (names.index(name) for name in ("walk", "turn", "sit"))
    assert split.labels.tolist() == [walk] * 4
    assert split.all_labels.tolist() == [[walk, turn, -1], [walk, turn, sit]] * 2
    assert split.captions == [["walk", "turn"], ["walk", "turn", "sit"]] * 2
    assert split.num_frames.tolist() == [100] * 4
    assert [record["labels"].tolist() for record in split] == [
        [walk, turn], [walk, turn, sit]
    ] * 2  # fmt: skip
    np.testing.assert_array_equal(split[1]["joints"], reader.joints("1")[100:200])
    np.testing.assert_array_equal(split[1]["rotations"], reader.rotations("1")[100:200])
    report = json.loads((folder / "report.json").read_text())
    assert {n: c["train"] for n, c in report["labels"].items() if c["train"]} == {
        "walk": 4, "turn": 4, "sit": 2
    }  # fmt: skip


def test_the_ceiling_of_real_annotations(test_data, one):
    """BABEL's own protocol on 60 sequences of BABEL: most segments have several categories."""
    content = json.loads((test_data / "babel_sample.json").read_text())
    one.reader()
    one.write("extra_train", content)
    one.write("extra_val", {})
    reader = Babel(**one.paths, extra=True)
    samples = [
        (source, caption)
        for source in content
        for caption in reader.captions(source)
        if isinstance(caption, Caption)
    ]

    class Records:
        """What scoring reads of a split: one record a sample."""

        sources = tuple(source for source, _ in samples)
        all_labels = np.array([[caption.label] for _, caption in samples])
        num_frames = np.array([int(30 * (caption.end - caption.start)) for _, caption in samples])

        def __getitem__(self, row):
            caption = samples[row][1]
            return {"span": np.array([caption.start, caption.end], np.float32)}

    # A label occurs once a clip, so that one answer is right in one of its samples.
    clips = collections.Counter((source, c.start, c.end) for source, c in samples)
    assert (len(clips), len(samples)) == (92, 161)
    ceiling, ambiguous = one_answer_ceiling(Records(), np.arange(len(samples)))
    assert ceiling == pytest.approx(100 * 92 / 161)  # 57.1 %
    assert ambiguous == sum(count for count in clips.values() if count > 1)


def test_prepared(files, tmp_path):
    """From published files to records: pieces, labels, rotations and class texts."""
    folder = prepare(lambda: Babel(**files), tmp_path, "babel", mirror=True)
    dataset = Dataset(tmp_path, "babel")
    meta = dataset.metadata
    assert (meta.fps, meta.source_fps, meta.num_rotations) == (30, 30, 24)
    assert len(meta.label_names) == 60
    assert set(dataset.texts) == {"descriptions", "synonyms"}
    assert set(dataset.texts["synonyms"]) == set(meta.label_names)
    reader, skeleton = Babel(**files), meta.skeleton
    split = dataset.split("test")
    names, labels = label_classes(meta, split)
    for i, record in enumerate(split):
        assert record["captions"] == [names[labels[i]]]
        assert record["labels"].tolist() == [labels[i]]
        assert record["fps"] == 30
        start, end = (int(float(seconds) * 30 + 1e-4) for seconds in record["span"])
        raw = record["mirrored_of"] or record["source"]
        joints = reader.joints(raw)[start:end]
        rotations = reader.rotations(raw)[start:end]
        assert len(record["joints"]) == len(record["rotations"]) == len(joints)
        if not record["mirrored_of"]:
            np.testing.assert_array_equal(record["joints"], joints)
            np.testing.assert_array_equal(record["rotations"], rotations)
            continue
        np.testing.assert_array_equal(record["joints"], skeleton.mirrored(joints))
        # The mirrored rotation F R F of the joint on the other side.
        flip = np.diag([-1.0, 1, 1])
        for joint, twin in enumerate([*skeleton.mirror, 23, 22]):
            first, second = record["rotations"][-1, 0, joint].reshape(2, 3)
            a, b = rotations[-1, 0, twin].reshape(2, 3)
            expected = flip @ np.stack([a, b, np.cross(a, b)]) @ flip
            found = np.stack([first, second, np.cross(first, second)])
            np.testing.assert_allclose(found, expected, atol=1e-6)
    report = json.loads((folder / "report.json").read_text())
    assert report["splits"]["test"]["mirrored"] == report["splits"]["test"]["kept"] / 2
    assert {e["reason"] for e in report["captions_dropped"]} <= {"label_unknown", "too_short"}
