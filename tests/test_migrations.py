"""What version 0.1.0 wrote is read, resumed, evaluated and shared; each migration by itself.

legacy/v0.1.tar.xz holds prepared datasets, half-finished runs and shared models, with what that
version went on to compute; legacy/make_legacy.py makes it with the code of that version.
"""

import copy
import json
import pathlib
import shutil
import tarfile

import jax
import numpy as np
import pytest
from runs import params

import motionalign
from motionalign import convert, evaluate, train
from motionalign.checkpoints.run import LATEST, RUN_MIGRATIONS, find, migrate_run
from motionalign.config import MIGRATIONS, migrate, migrate_config, stored_form
from motionalign.conventions import Origin
from motionalign.data.batches import parse_mixture
from motionalign.data.dataset import (
    METADATA_MIGRATIONS,
    VECTOR_MIGRATIONS,
    Dataset,
    Metadata,
    migrate_metadata,
)
from motionalign.data.records import INDEX_MIGRATIONS, Split
from motionalign.data.representation import Patches
from motionalign.inference.encoder import unit
from motionalign.skeleton import SKELETONS
from motionalign.tasks.schema import schema

ARCHIVE = pathlib.Path(__file__).parent / "legacy" / "v0.1.tar.xz"
DATASET_OF = {"clips": "clips", "gait": "gait", "classes": "gait"}
TEXTS = ["a person walks", "someone waves"]

each_run = pytest.mark.parametrize("name", DATASET_OF)


@pytest.fixture(scope="module")
def legacy(tmp_path_factory):
    """The archive, unpacked; to be read, not changed."""
    folder = tmp_path_factory.mktemp("v0.1")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def finish(legacy, tmp_path_factory):
    """A function from the name of a run to a copy of its workdir, trained to the end."""
    folder = tmp_path_factory.mktemp("finished")

    def finish(name):
        workdir = folder / name
        if not workdir.exists():
            shutil.copytree(legacy / f"run-{name}", workdir)
            assert train.train(config_of(legacy, name), workdir) == "finished"
        return workdir

    return finish


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def config_of(legacy, name):
    """The config of a stored run, migrated; what else is changed is free to."""
    fields = schema()
    config = fields.base()
    config.update(migrate_config(read(legacy / f"run-{name}" / "config.json"), fields))
    config.data.data_dir = str(legacy / "data")
    # A batch of two clips does not divide over all devices of the tests.
    config.mesh.data, config.mesh.model = 1, len(jax.devices())
    return config.lock()


def expected(legacy, name):
    """The arrays that version 0.1.0 came to."""
    with np.load(legacy / f"expected-{name}.npz") as arrays:
        return dict(arrays)


def assert_like(found, wanted):
    """Two trees of JSON agree, numbers within a millionth."""
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            assert_like(found[key], wanted[key])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for each in zip(found, wanted):
            assert_like(*each)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, abs=1e-6)
    else:
        assert found == wanted


def without_cuts(scores):
    """Scores without the counts of what is cut, which version 0.1.0 did not give."""
    notes = [cut["note"] for cut in scores.get("cut", {}).values()]
    rest = {key: value for key, value in scores.items() if key != "cut"}
    for note in notes if "table" in rest else ():
        assert f"\n- {note}" in rest["table"]
        rest["table"] = rest["table"].replace(f"\n- {note}", "")
    return rest


def test_the_archive_is_small_and_names_no_machine(legacy):
    assert ARCHIVE.stat().st_size < 500_000
    committed = list(legacy.rglob("commit_success.txt"))
    assert len(committed) > 20
    for path in committed:
        assert path.read_text().startswith("Checkpoint commit was successful to run-")


# Datasets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "skeleton"), [("clips", "smpl22"), ("gait", "coco18")])
def test_metadata_of_prepared_datasets(legacy, name, skeleton):
    dataset = Dataset(legacy / "data", name)
    metadata, stored = dataset.metadata, read(dataset.version_dir / "metadata.json")
    assert stored["skeleton"] == skeleton
    assert metadata.skeleton == SKELETONS[skeleton]
    for field in ("name", "patch_size", "fps", "unit_in_metres", "source_fps", "num_rotations"):
        assert getattr(metadata, field) == stored[field], field
    for field in ("mean", "std"):
        np.testing.assert_array_equal(getattr(metadata, field), stored[field])
    for field in ("label_names", "attribute_names"):
        assert list(getattr(metadata, field)) == stored[field], field
    groups = {group: list(names) for group, names in metadata.attribute_groups.items()}
    assert groups == stored["attribute_groups"]
    assert metadata.attribute_opposites == stored["attribute_opposites"]


@pytest.mark.parametrize("name", ["clips", "gait"])
def test_records_of_prepared_datasets(legacy, name):
    dataset = Dataset(legacy / "data", name)
    metadata = dataset.metadata
    counted = read(dataset.version_dir / "report.json")["splits"]
    assert sum(split["records"] for split in counted.values()) > 20
    for split_name, count in counted.items():
        split = dataset.split(split_name)
        assert len(split) == count["records"]
        assert split.attributes.shape == (len(split), len(metadata.attribute_names))
        assert split.ids == sorted(split.ids)
        for row, record in enumerate(split):
            assert (record["id"], record["captions"]) == (split.ids[row], split.captions[row])
            frames = split.num_frames[row]
            assert record["joints"].shape == (frames, 1, metadata.skeleton.num_joints, 3)
            np.testing.assert_array_equal(record.get("attributes", []), split.attributes[row])


def test_patches_are_made_as_they_were(legacy):
    dataset = Dataset(legacy / "data", "clips")
    representation = Patches(patch_size=8, max_frames=48)
    representation.check(dataset.metadata)
    for record in dataset.split("test"):
        patches = representation.prepare(record["joints"][:, 0], 20, dataset.metadata)
        np.testing.assert_array_equal(patches, record["patches"][:, 0])


def test_vectors_of_texts(legacy):
    assert Dataset(legacy / "data", "clips").caption_vectors is None
    dataset = Dataset(legacy / "data", "gait")
    vectors = dataset.require_caption_vectors()
    known = {"encoder": "nowhere/encoder", "readout": "mean", "sha256": "0" * 64}
    assert vectors.origin.items() >= known.items()
    positive = dataset.metadata.positive(dataset.split("train").attributes)
    words = [dataset.metadata.attribute_words(row) for row in positive]
    assert vectors[words].shape == (len(words), 6)


# Runs --------------------------------------------------------------------------------------------


@each_run
def test_a_half_finished_run_ends_where_it_would_have(legacy, finish, name):
    workdir = finish(name)
    before, after = params(legacy / f"run-{name}"), params(workdir)
    wanted = {
        path.removeprefix("params/"): value
        for path, value in expected(legacy, name).items()
        if path.startswith("params/")
    }
    assert after.keys() == before.keys() == wanted.keys()
    for path, value in wanted.items():
        # A key's bias moves all scores of a query alike: its gradient is rounding, which Adam makes
        # steps of, and these differ from machine to machine.
        atol = 1e-3 if path.endswith("attention/key/bias") else 1e-5
        np.testing.assert_allclose(after[path], value, rtol=0, atol=atol, err_msg=path)
    assert max(np.abs(after[path] - before[path]).max() for path in after) > 1e-3
    steps = [json.loads(line)["step"] for line in (workdir / "metrics.jsonl").open()]
    assert sorted(set(range(1, steps[-1] + 1)) - set(steps)) == []
    assert find(workdir, LATEST).name == str(steps[-1])


@each_run
def test_a_resumed_run_stores_what_todays_code_does(legacy, finish, name):
    workdir = finish(name)
    config = read(workdir / "config.json")
    assert config == stored_form(config_of(legacy, name))
    assert config["format_version"] == len(MIGRATIONS)
    run = read(find(workdir, LATEST) / "run" / "metadata")
    assert run["format_version"] == len(RUN_MIGRATIONS)
    dataset = Dataset(legacy / "data", DATASET_OF[name])
    stored = dataset.metadata.to_json() | {"fingerprint": dataset.fingerprint}
    assert run["datasets"] == {dataset.name: stored}
    assert run["supervision"].keys() == {dataset.name}


def test_a_resumed_run_keeps_its_config(legacy, tmp_path):
    workdir = shutil.copytree(legacy / "run-gait", tmp_path / "run")
    config = config_of(legacy, "gait")
    with config.unlocked():
        config.log_steps = 3  # free to change
        config.optim.weight_decay = 0.2
    with pytest.raises(ValueError, match=r":\n  optim\.weight_decay: 0\.1 before, 0\.2 now$"):
        train.train(config, workdir)


def test_fields_that_nothing_reads_are_reset(legacy):
    """They are refused today; a classifier of version 0.1.0 was stored with some."""
    stored = read(legacy / "run-classes" / "config.json")
    before = copy.deepcopy(stored)
    fields = schema()
    with pytest.raises(ValueError, match=r"config\.loss\.mask_negatives is True, but nothing rea"):
        fields.validate(stored)
    migrated = migrate_config(stored, fields)
    fields.validate(migrated)
    assert stored == before
    for name in ("loss.mask_negatives", "loss.mask_threshold", "model.text.family",
                 "model.head_dropout"):  # fmt: skip
        old, new = fields.values(stored)[name], fields.values(migrated)[name]
        assert old != new == fields.fields[name].default
    changed = fields.differences(migrated, stored)
    added = {"optim.decayed", "model.kind"}  # by migrations 4 and 6
    assert {line.partition(":")[0] for line in changed} == set(fields.unread(stored)) | added


# Notes that version 0.1.0 wrote into metrics.json, and their current wording.
REWORDED = {
    "one query a clip; any item with the same caption is right": (
        "one query per clip; items with the same caption count as correct"
    ),
    "no published subset, and no": "no published subset and no",
    "no caption vectors beside the dataset; `python -m data_prep embed` makes them": (
        "no caption vectors in the dataset; `python -m data_prep embed` computes them"
    ),
    "positive at 0.5 or above; the mean is over": "predicted positive at 0.5 or above; mean over",
    "random = its exact expectation": "random = exact expectation of a random ranking",
    "gain 1 where the clip": "gain 1 if the clip",
    "left out, for no query": "left out, because no query",
}


def reworded(path):
    """The content of a JSON file of version 0.1.0, with the current wording of its notes."""
    text = path.read_text("utf-8")
    for old, new in REWORDED.items():
        text = text.replace(old, new)
    return json.loads(text)


@each_run
def test_scores_are_those_of_before(legacy, finish, name, tmp_path):
    results = evaluate.evaluate_checkpoint(config_of(legacy, name), finish(name), tmp_path)
    scores = reworded(legacy / f"expected-{name}.json")
    (found,) = results.values()
    assert_like({name: without_cuts(each) for name, each in results.items()},
                {DATASET_OF[name]: scores})  # fmt: skip
    written = read(tmp_path / "metrics.json")
    assert len(written.pop("evaluated")) == 16  # which version 0.1.0 did not write
    assert_like(without_cuts(written), scores)
    assert ("cut" in found) == (name != "clips")  # only encoders over frames cut these clips


# Models ------------------------------------------------------------------------------------------


def clips_of(legacy, name):
    """The clips of the test split, and their rate."""
    dataset = Dataset(legacy / "data", DATASET_OF[name])
    clips = [record["joints"][:, 0] for record in dataset.split("test")]
    return clips, dataset.metadata.fps


@each_run
@pytest.mark.parametrize("of", ["the resumed run", "the shared folder"])
def test_a_model_computes_what_it_did(legacy, finish, name, of):
    model = motionalign.load(finish(name) if of == "the resumed run" else legacy / f"shared-{name}")
    wanted = expected(legacy, name)
    encode = model.classify if model.class_names else model.encode_motion
    # Version 0.1 did not move clips to the origin.
    found = encode(*clips_of(legacy, name), canonical="never")
    np.testing.assert_allclose(found, wanted["motion"], atol=1e-5)
    if "text" in wanted:
        np.testing.assert_allclose(model.encode_text(TEXTS), wanted["text"], atol=1e-5)
    dataset = Dataset(legacy / "data", DATASET_OF[name])
    # The best checkpoint may be one that version 0.1 saved, without a fingerprint.
    fingerprint = model.metadata().fingerprint
    assert fingerprint in (None, dataset.fingerprint)
    assert model.metadata().to_json() == dataset.metadata.to_json() | {"fingerprint": fingerprint}


def test_the_way_to_the_module_of_a_model(legacy):
    model = motionalign.load(legacy / "shared-clips")
    clips, fps = clips_of(legacy, "clips")
    representation = model.encoder.representation
    batch = representation.stack(
        [model.prepare(clip, fps, canonical="never") for clip in clips], padded=48
    )
    module = model.encoder.network.bind(model.params)
    vectors = unit(np.asarray(module.encode_motion(batch["patches"], batch["num_frames"])))
    np.testing.assert_allclose(vectors, expected(legacy, "clips")["motion"], atol=1e-5)


@each_run
def test_a_run_of_before_is_shared(legacy, name, tmp_path):
    """Without going on with it."""
    workdir, folder = legacy / f"run-{name}", tmp_path / "shared"
    convert.main(["share", str(workdir), str(folder)])
    ours, theirs = motionalign.load(folder), motionalign.load(workdir)
    assert ours.params.keys() == theirs.params.keys()
    clips, fps = clips_of(legacy, name)
    encode = "classify" if ours.class_names else "encode_motion"
    np.testing.assert_array_equal(
        getattr(ours, encode)(clips, fps), getattr(theirs, encode)(clips, fps)
    )
    assert read(folder / "config.json")["format_version"] == len(RUN_MIGRATIONS)


@each_run
def test_a_shared_folder_of_before_is_shared_again(legacy, name, tmp_path):
    before = legacy / f"shared-{name}"
    motionalign.load(before).save_pretrained(tmp_path / "again")
    for file in ("model.safetensors", "tokenizer.json"):
        if (before / file).is_file():
            assert (tmp_path / "again" / file).read_bytes() == (before / file).read_bytes()
    table = "| trained on |"
    lines = [
        [line for line in (folder / "README.md").read_text().splitlines() if table in line]
        for folder in (before, tmp_path / "again")
    ]
    assert lines[0] == lines[1] != []


# Newer files -------------------------------------------------------------------------------------


def set_version(path, version):
    path.write_text(json.dumps(read(path) | {"format_version": version}))


@pytest.fixture
def editable(legacy, tmp_path):
    """A copy of the archive's content that a test may modify."""
    return shutil.copytree(legacy, tmp_path / "v0.1")


def test_a_newer_config_is_refused(legacy, editable):
    set_version(editable / "run-clips" / "config.json", 99)
    message = (
        "the config of the run is of version 99, written by a newer motionalign; this one reads up "
        f"to version {len(MIGRATIONS)}"
    )
    with pytest.raises(ValueError, match=message):
        train.train(config_of(legacy, "clips"), editable / "run-clips")


@pytest.mark.parametrize(
    ("file", "opened"),
    [
        ("run-clips/best/6/run/metadata", "run-clips"),
        ("shared-clips/config.json", "shared-clips"),
    ],
)
def test_a_newer_model_is_refused(editable, file, opened):
    set_version(editable / file, len(RUN_MIGRATIONS) + 1)
    with pytest.raises(ValueError, match=r"the model is of version 6, written by a newer motional"):
        motionalign.load(editable / opened)


def test_newer_metadata_are_refused(editable):
    set_version(editable / "data" / "gait" / "1.0.0" / "metadata.json", 7)
    with pytest.raises(ValueError, match=r"the metadata of a dataset is of version 7, written by"):
        Dataset(editable / "data", "gait")
    path = editable / "shared-gait" / "datasets.json"
    path.write_text(json.dumps({"gait": read(path)["gait"] | {"format_version": 7}}))
    with pytest.raises(ValueError, match=r"the metadata of a dataset is of version 7, written by"):
        motionalign.load(editable / "shared-gait")


def test_a_newer_index_is_refused(editable):
    folder = editable / "data" / "gait" / "1.0.0"
    with np.load(folder / "index-val.npz") as index:
        np.savez(folder / "index-val.npz", format_version=np.array(5), **index)
    with pytest.raises(ValueError, match=r"index-val\.npz is of version 5, written by a newer"):
        Split(folder, "val")


# Each migration by itself -------------------------------------------------------------------------


def test_migrations_run_from_the_stored_version_on():
    steps = [lambda stored, n=n: stored | {"done": [*stored["done"], n]} for n in (1, 2, 3)]
    for version, done in ((None, [1, 2, 3]), (0, [1, 2, 3]), (1, [2, 3]), (3, [])):
        stored = {"done": []} | ({} if version is None else {"format_version": version})
        before = copy.deepcopy(stored)
        assert migrate(stored, steps, "it") == {"done": done}
        assert stored == before
    with pytest.raises(ValueError, match="it is of version 4, written by a newer motionalign; thi"):
        migrate({"format_version": 4, "done": []}, steps, "it")


def test_config_1_says_what_was_not_yet_a_field():
    """Runs of before there were classes, encoders over frames, layer decay or fine-tuning."""
    stored = {
        "seed": 3,
        "data": {"datasets": "kit_ml", "step": 4},
        "model": {"motion": {"size": "Ti"}, "text": {"family": "bert"}},
        "optim": {"groups": {"all": {"match": ".*", "lr": 0.1}}},
    }
    before = copy.deepcopy(stored)
    migrated = MIGRATIONS[0](stored, schema())
    assert stored == before
    assert migrated == {
        "seed": 3,
        "task": "captions",
        "data": {
            "datasets": "kit_ml",
            "texts": "words",
            "sampling": "conseq",
            "step": 4,  # what is there stays
            "augment": {
                "crop": 0, "paces": [1.0], "squeeze": 0.0, "mirror": 0.0, "reverse": 0.0,
                "joint_noise": 0.0, "point_noise": 0.0,
            },
        },
        "model": {
            "motion": {
                "size": "Ti", "family": "vit", "input": "joints", "root": True,
                "final_norm": "fresh",
            },
            "text": {"family": "bert"},
            "weights": None,
        },
        "loss": {"kind": "contrastive", "margin": 10.0},
        "optim": {"groups": {"all": {"match": ".*", "lr": 0.1, "layer_decay": 1.0}}},
    }  # fmt: skip


def test_config_1_takes_the_oldest_configs_to_todays_fields():
    """Without those fields, what is left is read as if they had their defaults."""
    fields = schema()
    stored = json.loads(fields.base().to_json())
    oldest = copy.deepcopy(stored)
    for section, names in (
        (oldest, ("task", "log_to")),
        (oldest["data"], ("texts", "sampling", "step", "augment")),
        (oldest["model"], ("weights",)),
        (oldest["model"]["motion"], ("family", "input", "root", "final_norm")),
        (oldest["loss"], ("kind", "margin")),
        *((group, ("layer_decay",)) for group in oldest["optim"]["groups"].values()),
    ):
        for name in names:
            del section[name]
    assert migrate_config(oldest, fields) == stored


def test_config_2_resets_what_nothing_reads():
    fields = schema()
    config = fields.base()
    config.update({"loss": {"kind": "contrastive", "margin": 3.0}, "model": {"embed_dim": 64}})
    config.data.augment.mirror = 0.5  # of encoders over frames, and this one is a ViT
    stored = json.loads(config.to_json())
    before = copy.deepcopy(stored)
    migrated = MIGRATIONS[1](stored, fields)
    assert stored == before
    assert migrated["loss"]["margin"] == 10.0
    assert migrated["data"]["augment"]["mirror"] == 0.0
    assert migrated["model"]["embed_dim"] == 64  # which is read
    fields.validate(migrated)


def test_config_3_logs_to_tensorboard():
    fields = schema()
    stored = json.loads(fields.base().to_json())
    older = {name: value for name, value in stored.items() if name != "log_to"}
    assert MIGRATIONS[2](older, fields) == stored
    assert stored["log_to"] == ["tensorboard"]


def test_config_4_scores_classes_and_decays_as_before():
    fields = schema()
    for task, then in (("labels", "mean_score"), ("captions", "mean_vector")):
        config = fields.base()
        config.task = task
        stored = json.loads(config.to_json())
        older = copy.deepcopy(stored)
        del older["eval"]["class_scores"], older["optim"]["decayed"]
        migrated = MIGRATIONS[3](older, fields)
        assert (migrated["eval"].pop("class_scores"), migrated["optim"]["decayed"]) == (
            then,  # captions have no classes: the default, since a field that is not read has it
            "kernels",
        )
        del stored["eval"]["class_scores"]
        assert migrated == stored


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a", "a"),
        ("a:2", "a:2"),
        ("a:2,b", "a:2,b"),
        ("a:1,b:1", "a:1,b:1"),
        ("a,b", "a:1,b:1"),
        (" a , b,c", "a:1,b:1,c:1"),
    ],
)
def test_config_5_writes_out_equal_weights(before, after):
    fields = schema()
    config = fields.base()
    config.data.datasets = before
    stored = json.loads(config.to_json())
    untouched = copy.deepcopy(stored)
    migrated = MIGRATIONS[4](stored, fields)
    assert stored == untouched
    assert migrated["data"]["datasets"] == after
    before, after = parse_mixture(before), parse_mixture(after)
    assert after == {name: weight or 1.0 for name, weight in before.items()}
    config.data.datasets = after = "a,b"  # today's is left as it is
    assert migrate_config(stored_form(config), fields)["data"]["datasets"] == after


def test_older_runs_kept_all_that_their_backward_passes_needed():
    fields = schema()
    stored = json.loads(fields.base().to_json())
    older = stored | {"model": {k: v for k, v in stored["model"].items() if k != "remat"}}
    assert MIGRATIONS[6](older, fields) == stored
    assert stored["model"]["remat"] == "none"


def test_a_config_of_today_is_not_migrated():
    fields = schema()
    config = fields.base()
    config.loss.margin = 3.0
    assert migrate_config(stored_form(config), fields)["loss"]["margin"] == 3.0


@pytest.mark.parametrize(
    ("motion", "says"),
    [
        ({"width": 8}, {"width": 8, "family": "vit"}),
        ({"family": "clip"}, {"family": "clip"}),
        (
            {"family": "motion_transformer", "channels": 3},
            {"family": "motion_transformer", "channels": 3, "input": "joints"},
        ),
        (
            {"family": "motion_transformer", "channels": 6},
            {"family": "motion_transformer", "channels": 6, "input": "rotations"},
        ),
    ],
)
def test_run_1_says_what_was_left_unsaid(motion, says):
    stored = {
        "architecture": {"motion": motion, "text": None, "embed_dim": 4},
        "config": {"dtype": "float32"},
        "tokenizer": None,
        "step": 9,
    }
    before = copy.deepcopy(stored)
    migrated = migrate_run(stored)
    assert stored == before
    assert migrated == {
        "kind": "dual_encoder",
        "architecture": {
            "motion": says, "text": None, "embed_dim": 4, "gait_head": None, "classifier": None,
        },
        "config": {"dtype": "float32"},
        "tokenizer": None,
        "step": 9,
        "score": None,
        "distance": None,
        "text_encoder": None,
        "trained": None,
        "source": None,
        "frozen": [],
        "supervision": None,  # of migration 2
        "datasets": {},
    }  # fmt: skip


def test_run_1_keeps_what_was_said_and_migrates_datasets():
    stored = {
        "architecture": {"motion": {"family": "vit"}, "text": None, "classifier": {"names": ["a"]}},
        "config": {},
        "tokenizer": "{}",
        "step": 9,
        "score": 3.5,
        "distance": "euclidean",
        "text_encoder": {"encoder": "x", "readout": "mean", "sha256": "0"},
        "trained": {"task": "captions", "loss": "contrastive", "texts": "words"},
        "source": {"format": "walktext"},
        "datasets": {"kit": OLD_METADATA},
    }
    migrated = migrate_run(stored)
    assert migrated["architecture"]["classifier"] == {"names": ["a"]}
    for name in ("score", "distance", "source", "tokenizer"):
        assert migrated[name] == stored[name]
    assert RUN_MIGRATIONS[0](stored)["text_encoder"] == stored["text_encoder"]
    # Captions had no kind of their own: the field said that of class texts, unread.
    assert migrated["trained"] == stored["trained"] | {"texts": "captions"}
    assert migrated["datasets"] == {"kit": migrate_metadata(OLD_METADATA)}


@pytest.mark.parametrize(
    ("source", "hub_id", "name"),
    [
        ("me/encoder@v1", "me/encoder@v1", "me/encoder@v1"),
        ("/home/alice/models/mini", "", "mini"),
        ("../models/mini/", "", "mini"),
        (r"C:\Users\alice\mini", "", "mini"),
        ("mini", "", "mini"),
    ],
)
def test_run_3_says_what_is_known_of_a_frozen_text_encoder(source, hub_id, name):
    assert len(RUN_MIGRATIONS) == 5
    before = {"encoder": source, "readout": "mean", "sha256": "0"}
    migrated = RUN_MIGRATIONS[2]({"text_encoder": before})["text_encoder"]
    assert migrated == before | {
        "encoder": name, "source": source, "hub_id": hub_id, "settings": "", "max_tokens": None,
    }  # fmt: skip
    assert before["encoder"] == source
    later = RUN_MIGRATIONS[2]({"text_encoder": before | {"settings": "1"}})
    assert later["text_encoder"]["settings"] == "1"
    assert RUN_MIGRATIONS[2]({"text_encoder": None}) == {"text_encoder": None}


def test_older_models_and_runs_are_dual_encoders(legacy):
    assert RUN_MIGRATIONS[3]({"step": 1}) == {"kind": "dual_encoder", "step": 1}
    stored = read(legacy / "run-clips" / "config.json")
    assert "kind" not in stored["model"]
    assert migrate_config(stored, schema())["model"]["kind"] == "dual_encoder"


def test_run_5_refuses_tokens_of_places():
    assert RUN_MIGRATIONS[4]({"kind": "dual_encoder"}) == {"kind": "dual_encoder"}
    for kind in ("motion_tokenizer", "language_model"):
        stored = {"format_version": 4, "kind": kind, "step": 1}
        with pytest.raises(ValueError, match=rf"this {kind.replace('_', ' ')} is of a development"):
            migrate_run(stored)


def test_a_folder_is_no_hub_id(tmp_path, monkeypatch):
    """A relative path of two parts has the form of an id."""
    (tmp_path / "models" / "mini").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for source, hub_id in (("models/mini", ""), ("models/other", "models/other")):
        before = {"encoder": source, "readout": "mean", "sha256": "0"}
        assert VECTOR_MIGRATIONS[0](before)["hub_id"] == hub_id
        assert RUN_MIGRATIONS[2]({"text_encoder": before})["text_encoder"]["hub_id"] == hub_id


def test_vectors_1_say_what_is_known_of_their_encoder(legacy):
    before = {"encoder": "me/encoder", "readout": "mean", "sha256": "0"}
    assert len(VECTOR_MIGRATIONS) == 1
    unknown = {"settings": "", "max_tokens": "", "hub_id": "me/encoder"}
    assert VECTOR_MIGRATIONS[0](before) == before | unknown
    found = VECTOR_MIGRATIONS[0](before | {"encoder": "/home/alice/mini", "settings": "1"})
    assert (found["hub_id"], found["settings"]) == ("", "1")
    origin = Dataset(legacy / "data", "gait").require_caption_vectors().origin
    assert origin == {
        "encoder": "nowhere/encoder", "source": "nowhere/encoder", "hub_id": "nowhere/encoder",
        "readout": "mean", "sha256": "0" * 64, "settings": "", "max_tokens": None,
    }  # fmt: skip


OLD_METADATA = {
    "name": "kit",
    "skeleton": "kit21",
    "patch_size": 16,
    "fps": 20.0,
    "unit_in_metres": 0.001,
    "mean": [[0.0] * 3] * 21,
    "std": [[1.0] * 3] * 21,
    "source_fps": 12.5,
}


SMPL_STATISTICS = {"mean": [[0.0] * 3] * 22, "std": [[1.0] * 3] * 22}


def test_older_metadata_get_the_whole_skeleton_and_conventions():
    before = copy.deepcopy(OLD_METADATA)
    assert len(METADATA_MIGRATIONS) == 4
    migrated = migrate_metadata(OLD_METADATA)
    assert migrated == OLD_METADATA | {
        "format_version": 4,
        "sensor": "optical",
        "accepted": [],
        "origin": None,
        "fingerprint": None,
        "protocol": None,
        "skeleton": SKELETONS["kit21"].to_dict(),
        "label_names": [],
        "attribute_names": [],
        "attribute_groups": {},
        "attribute_opposites": {},
        "num_rotations": 0,
    }
    assert before == OLD_METADATA
    assert migrate_metadata(migrated) == migrated == Metadata.from_json(migrated).to_json()
    named = {"label_names": ["walk"], "num_rotations": 21}
    assert migrate_metadata(OLD_METADATA | named).items() >= named.items()
    with pytest.raises(
        ValueError, match="unknown skeleton 'smpl24'; known: coco18, kinect20, kit21"
    ):
        migrate_metadata(OLD_METADATA | {"skeleton": "smpl24"})


def test_which_older_datasets_have_the_origin_of_humanml3d():
    smpl = OLD_METADATA | {"skeleton": "smpl22", "unit_in_metres": 1.0, "name": "humanml3d"}
    assert Metadata.from_json(smpl | SMPL_STATISTICS).origin == Origin()
    slightly_turned = Metadata.from_json(smpl | SMPL_STATISTICS | {"name": "synthetic"}).origin
    assert slightly_turned is not None and slightly_turned.facing == 10
    for other in ({"unit_in_metres": None}, {"num_rotations": 24}):
        assert Metadata.from_json(smpl | SMPL_STATISTICS | other).origin is None


def test_metadata_1_of_shared_models_had_a_description():
    described = SKELETONS["kit21"].to_dict()
    migrated = migrate_metadata(OLD_METADATA | {"skeleton_description": described})
    assert migrated["skeleton"] == described
    assert "skeleton_description" not in migrated


def test_metadata_3_has_no_fingerprint():
    migrated = METADATA_MIGRATIONS[2](OLD_METADATA)
    assert migrated == OLD_METADATA | {"fingerprint": None}
    assert METADATA_MIGRATIONS[2]({"fingerprint": "ab"}) == {"fingerprint": "ab"}


def test_index_1_has_columns_of_classes():
    stored = {"num_records": np.array(3), "ids": np.zeros(5, np.uint8)}
    migrated = INDEX_MIGRATIONS[0](stored)
    assert set(stored) == {"num_records", "ids"}
    assert migrated["labels"].tolist() == [-1, -1, -1]
    assert (migrated["labels"].dtype, migrated["attributes"].shape) == (np.int64, (3, 0))
    labels = np.array([2, 0, 1])
    assert INDEX_MIGRATIONS[0](stored | {"labels": labels})["labels"] is labels


def test_index_2_has_a_column_of_further_labels():
    stored = {"num_records": np.array(3), "labels": np.array([2, 0, 1])}
    assert len(INDEX_MIGRATIONS) == 2
    migrated = INDEX_MIGRATIONS[1](stored)
    assert migrated["labels"] is stored["labels"]
    assert (migrated["more_labels"].shape, migrated["more_labels"].dtype) == ((3, 0), np.int64)
    more = np.array([[1], [-1], [0]])
    assert INDEX_MIGRATIONS[1](stored | {"more_labels": more})["more_labels"] is more


def test_metadata_4_names_the_protocol():
    """Of older datasets with labels, those with rotations are BABEL's."""
    labelled = {"label_names": ["walk"], "num_rotations": 22}
    (migrate,) = [each for each in METADATA_MIGRATIONS if "protocol" in each.__name__]
    assert migrate(labelled) == labelled | {"protocol": "BABEL: one category per sample"}
    assert migrate(labelled | {"num_rotations": 0})["protocol"] is None
    assert migrate(labelled | {"label_names": []})["protocol"] is None
    assert migrate(labelled | {"protocol": "other"})["protocol"] == "other"
