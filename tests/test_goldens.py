"""Published parity without any reference data: against the goldens that tests/golden holds.

The published PyTorch code computed them with random weights; see tests/golden/README.md.
"""

import json
import pathlib

import jax
import numpy as np
import pytest
from flax import nnx
from runs import params, tiny_config
from safetensors.numpy import load_file

import motionalign
from motionalign import losses, train
from motionalign.configs import finetune
from motionalign.conventions import REASONS
from motionalign.convert import main
from motionalign.data.tokenizer import train_wordpiece
from motionalign.inference.similarity import cosine_similarity
from motionalign.models.weights import keymap
from motionalign.patches import motion_patches
from motionalign.report.page import same_caption
from motionalign.skeleton import SKELETONS
from motionalign.tasks.captions import run_protocols, small_batch_metrics

GOLDEN = pathlib.Path(__file__).parent / "golden"


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def weights(name):
    """The path of a published state dict."""
    return GOLDEN / f"{name}.safetensors"


def run(function, module, *args):
    """`function(module, *args)`, compiled."""
    graphdef, state = nnx.split(module)
    return jax.jit(lambda state, *args: function(nnx.merge(graphdef, state), *args))(state, *args)


def bound(folder):
    model = motionalign.load(folder)
    return model.encoder.network.bind(model.params)


def motion_features(module, clips):
    return module.motion_encoder(clips).pooled


def text_features(module, ids, mask):
    return module.text_encoder(ids, mask).pooled


def encode_motion(module, clips):
    return module.encode_motion(clips)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def assert_close(ours, theirs):
    # Near enough that another epsilon of a norm is seen.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def assert_same_tensors(folder, published):
    """An exported folder has the published tensors, in their dtypes, bit for bit."""
    exported, expected = load_file(folder / "model.safetensors"), load_file(published)
    assert exported.keys() == expected.keys()
    for key, tensor in expected.items():
        assert exported[key].dtype == tensor.dtype, key
        np.testing.assert_array_equal(exported[key], tensor, err_msg=key)


def test_goldens_are_small_and_hold_nothing_but_numbers_and_strings():
    readme = (GOLDEN / "README.md").read_text("utf-8")
    paths = sorted(path for path in GOLDEN.iterdir() if path.suffix in (".npz", ".safetensors"))
    assert len(paths) == 9 and sum(path.stat().st_size for path in paths) < 1_500_000
    for path in paths:
        assert path.stat().st_size < 300_000 and f"{path.stem}." in readme
        arrays = load_file(path) if path.suffix == ".safetensors" else golden(path.stem)
        assert arrays and all(array.dtype.kind in "fiU" for array in arrays.values())
    others = {path.name for path in GOLDEN.iterdir() if path.is_file()} - {p.name for p in paths}
    assert others == {"README.md", "make_goldens.py", "motionpatches_clip_text_config.json"}


# Patches, positions ------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", range(2))
@pytest.mark.parametrize("skeleton", ["smpl22", "kit21"])
def test_motion_patches(skeleton, clip):
    arrays = golden("motion_patches")
    joints = arrays[f"{skeleton}_{clip}_joints"]
    statistics = (arrays[f"{skeleton}_{name}"] for name in ("mean", "std"))
    ours = motion_patches(joints, SKELETONS[skeleton], *statistics)
    assert ours.shape == (len(joints), 80, 3)
    np.testing.assert_allclose(ours, arrays[f"{skeleton}_{clip}_patches"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("columns", [5, 10])
def test_resized_positions_equal_timm(columns):
    arrays = golden("pos_embed_resize")
    resized = keymap.resize_positions(arrays["pos_embed_14x14"][0], (14, 14), (14, columns))
    np.testing.assert_allclose(resized, arrays[f"resized_14x{columns}"][0], rtol=0, atol=1e-5)


# Retrieval ---------------------------------------------------------------------------------------


def scores(lines):
    """What the published scripts print, as {"t2m": {name: text}, "m2t": ...}."""
    found = {"t2m": {}, "m2t": {}}
    for line in lines:
        name, value = line.split(": ")
        way, _, what, *_ = name.split("_")
        found[way]["MedR" if what == "median" else what.replace("top", "R@")] = value
    return found


def test_retrieval_over_all():
    arrays = golden("retrieval")
    captions = arrays["captions"].tolist()
    assert len(set(captions)) < len(captions)
    results = run_protocols(arrays["motion"], arrays["text"], captions, protocols=["all"])
    published = scores(arrays["all"])
    for way in ("t2m", "m2t"):
        ours = {name: f"{value:.2f}" for name, value in results["all"][way].items()}
        assert ours == published[way] and len(ours) == 6


def test_retrieval_in_small_batches():
    arrays = golden("retrieval")
    relevant = same_caption(arrays["captions"].tolist())
    similarity = cosine_similarity(arrays["text"], arrays["motion"])
    ours = small_batch_metrics(similarity, relevant, np.arange(len(relevant)))
    published = scores(arrays["small_batches"])
    for way in ("t2m", "m2t"):
        assert set(ours[way]) == set(published[way]) and len(ours[way]) == 6
        for name, value in ours[way].items():
            np.testing.assert_allclose(value, float(published[way][name]), rtol=1e-12)


# Motion Patches ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def motionpatches(tmp_path_factory):
    """The published ClipModel, converted by command with the statistics of the patches' golden."""
    folder = tmp_path_factory.mktemp("motionpatches")
    arrays = golden("motion_patches")
    for name in ("mean", "std"):
        np.save(folder / f"{name}.npy", arrays[f"smpl22_{name}"])
    captions = ["a person walks", "someone waves twice"]
    (folder / "tokenizer.json").write_text(train_wordpiece(captions, 60))
    flags = [f"--{name}={folder / name}.npy" for name in ("mean", "std")]
    flags += ["--motion_heads=4", f"--tokenizer={folder}"]
    flags += [f"--text_config={GOLDEN / 'motionpatches_clip_text_config.json'}"]
    main(["motionpatches", str(weights("motionpatches_clip")), str(folder / "ours"), *flags])
    return folder / "ours"


def test_motion_patches_model(motionpatches):
    model, arrays = bound(motionpatches), golden("motionpatches_clip")
    patches = arrays["motion"].astype(np.float32).transpose(0, 2, 3, 1)  # [4, 224, 80, 3]
    ids, mask = arrays["input_ids"].astype(np.int32), arrays["attention_mask"].astype(bool)
    assert not mask.all()
    assert_close(run(motion_features, model, patches), arrays["motion_features"])
    assert_close(run(text_features, model, ids, mask), arrays["text_features"])
    inputs = {"patches": patches, "num_frames": None, "input_ids": ids, "text_mask": mask}
    motion, text, scale = run(lambda model, inputs: model(inputs), model, inputs)
    assert_close(motion, arrays["motion_projected"])
    assert_close(text, arrays["text_projected"])
    assert_close(unit(motion), arrays["motion_embeds"])
    assert_close(unit(text), arrays["text_embeds"])
    loss = losses.info_nce(motion, text, scale)
    assert_close(loss, arrays["loss"])


def test_motion_patches_model_from_joints(motionpatches):
    """Whole clips: the published data set's patches, filled up with zeros, and the model."""
    joints, arrays = golden("motion_patches"), golden("motionpatches_clip")
    clips = [joints[f"smpl22_{clip}_joints"] for clip in range(2)]
    statistics = [joints[f"smpl22_{name}"] for name in ("mean", "std")]
    patches = np.zeros((2, 224, 80, 3), np.float32)
    for row, clip in zip(patches, clips):
        row[: len(clip)] = motion_patches(clip, SKELETONS["smpl22"], *statistics)
    ours = run(encode_motion, bound(motionpatches), patches)
    assert_close(ours, arrays["smpl22_projected"])
    model = motionalign.load(motionpatches)
    np.testing.assert_array_equal(model.metadata().mean, statistics[0])
    # Prepared patches are float16.
    as_they_are = {"canonical": "never", "accept": list(REASONS)}  # random joints
    ours = model.encode_motion(clips, fps=20, normalize=False, **as_they_are)
    np.testing.assert_allclose(ours, arrays["smpl22_projected"], atol=5e-4)


def test_motion_patches_there_and_back_bit_for_bit(motionpatches, tmp_path):
    main(["export", str(motionpatches), str(tmp_path / "out")])
    published = weights("motionpatches_clip")
    assert load_file(published)["logit_scale"].dtype == np.float64
    assert_same_tensors(tmp_path / "out", published)


def test_training_goes_on_from_motion_patches(motionpatches, small_dataset, tmp_path):
    config, tiny = finetune.get_config(str(motionpatches)), tiny_config(small_dataset, epochs=1)
    with config.unlocked():
        for name in ("data_dir", "batch_size", "eval_batch_size", "text_bucket"):
            config.data[name] = tiny.data[name]
        config.data.datasets, config.epochs = "small", 1
    assert train.train(config, tmp_path / "on") == "finished"
    before, after = motionalign.load(motionpatches).params, params(tmp_path / "on")
    steps = {path: np.abs(after[path] - before[path]).max() for path in before}
    assert after["text_encoder/tokens"].shape == (80, 16)  # more rows than the tokenizer has tokens
    assert 0 < max(steps.values()) < 5e-3  # it went on, and did not begin anew
    assert all(step > 0 for path, step in steps.items() if path.endswith("kernel"))


# Walk and Text, GaitFormer -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def walktext(tmp_path_factory):
    """The published motion encoder and head, converted by command."""
    out = tmp_path_factory.mktemp("walktext") / "ours"
    main(["walktext", str(weights("walktext")), str(out), "--skeleton=coco18", "--motion_heads=4"])
    return out


def test_walk_and_text(walktext):
    model, arrays = bound(walktext), golden("walktext")
    joints = arrays["x"].transpose(0, 3, 1, 2)  # [3, 60, 18, 3]
    assert_close(run(motion_features, model, joints), arrays["mu"])
    assert_close(run(encode_motion, model, joints), arrays["projected"])
    moved = joints - joints[:, :1, :1]  # a prepared clip begins at the origin
    ours = motionalign.load(walktext).encode_motion(list(joints), fps=30, normalize=False)
    assert_close(ours, run(encode_motion, model, moved))


def test_walk_and_text_there_and_back_bit_for_bit(walktext, tmp_path):
    """Of a shared folder too: what no computation uses is kept."""
    main(["share", str(walktext), str(tmp_path / "shared")])
    for folder in (walktext, tmp_path / "shared"):
        main(["export", str(folder), str(tmp_path / f"from-{folder.name}")])
        assert_same_tensors(tmp_path / f"from-{folder.name}", weights("walktext"))
    assert {"encoder.muQuery", "encoder.sequence_pos_encoder.pe"} < set(
        load_file(weights("walktext"))
    )


def test_gaitformer(tmp_path):
    names = [f"attribute {i}" for i in range(42)]
    (tmp_path / "names.json").write_text(json.dumps(names))
    flags = ["--motion_heads=4", "--fps=24", f"--attributes={tmp_path / 'names.json'}"]
    main(["gaitformer", str(weights("gaitformer")), str(tmp_path / "ours"), *flags])
    model, arrays = bound(tmp_path / "ours"), golden("gaitformer")
    joints = arrays["image"][..., 0].transpose(0, 2, 3, 1)  # [3, 30, 18, 3]
    features = run(motion_features, model, joints)
    logits = run(lambda model, x: model.motion_head.attribute_logits(x), model, features)
    assert_close(jax.nn.sigmoid(logits), arrays["appearance"])
    embedding = run(encode_motion, model, joints)
    assert_close(unit(embedding), arrays["representation"])
    projection = run(lambda model, x: model.motion_head.project(x), model, embedding)
    assert_close(unit(projection), arrays["projection"])
    main(["export", str(tmp_path / "ours"), str(tmp_path / "out")])
    assert_same_tensors(tmp_path / "out", weights("gaitformer"))
