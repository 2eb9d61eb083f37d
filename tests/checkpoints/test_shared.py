"""Folders to share: content, results and errors."""

import json
import shutil

import numpy as np
import pytest
from bodies import body
from runs import assert_same_bits, tiny_config

import motionalign
from motionalign import digests, evaluate
from motionalign.checkpoints import shared as shared_module
from motionalign.checkpoints.run import RUN_MIGRATIONS
from motionalign.checkpoints.shared import open_saved, push_to_hub
from motionalign.convert import main
from motionalign.inference.folder import encode_folder


def joints(count=3):
    return [body(40 + i, seed=i) for i in range(count)]


def test_a_shared_folder_computes_the_same(trained, shared):
    ours, theirs = motionalign.load(trained), motionalign.load(shared)
    assert_same_bits(ours.params, theirs.params)
    captions = ["a person waves", "someone walks"]
    np.testing.assert_array_equal(ours.encode_text(captions), theirs.encode_text(captions))
    clips = joints()
    np.testing.assert_array_equal(ours.encode_motion(clips, 20), theirs.encode_motion(clips, 20))
    assert ours.metadata().to_json() == theirs.metadata().to_json()
    assert_same_bits(motionalign.from_pretrained(shared).params, ours.params)


def test_content_of_a_shared_folder(shared, trained):
    names = {path.name for path in shared.iterdir()}
    assert names == {
        "README.md", "SHA256SUMS", "config.json", "datasets.json", "model.safetensors",
        "tokenizer.json",
    }  # fmt: skip
    datasets = json.loads((shared / "datasets.json").read_text())
    assert datasets["small"]["skeleton"]["joint_names"][0] == "pelvis"
    # No path of this machine.
    assert str(trained.parent) not in (shared / "config.json").read_text()
    assert (shared / "model.safetensors").stat().st_mode & 0o044 == 0o044


def test_evaluation_and_encoding_of_a_shared_folder(shared, trained, small_dataset, tmp_path):
    config = tiny_config(small_dataset)
    results = evaluate.evaluate_checkpoint(config, shared, tmp_path / "results")
    expected = json.loads((trained / "metrics.json").read_text())
    assert results["small"]["all"] == expected["all"]
    (tmp_path / "clips").mkdir()
    for i, clip in enumerate(joints()):
        np.save(tmp_path / "clips" / f"{i}.npy", clip)
    encode_folder(shared, tmp_path / "clips", tmp_path / "out.npz", fps=20)
    assert np.load(tmp_path / "out.npz")["embeddings"].shape == (3, 8)


def test_loading_from_the_hub_cache(shared, tmp_path, monkeypatch):
    """A Hub id is read through huggingface_hub: here from its cache, offline."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    repo = tmp_path / "models--me--waver"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("c" * 40)
    shutil.copytree(shared, repo / "snapshots" / ("c" * 40))
    assert_same_bits(motionalign.load("me/waver").params, motionalign.load(shared).params)
    with pytest.raises(
        ValueError, match=r"me/other is not a local folder and cannot be loaded from"
    ):
        motionalign.load("me/other")


def test_pushing(shared, monkeypatch):
    import huggingface_hub

    calls = []

    class Api:
        def create_repo(self, repo, **options):
            calls.append((repo, options))

        def upload_folder(self, repo_id, folder_path):
            calls.append((repo_id, folder_path))
            return f"https://huggingface.co/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert push_to_hub(shared, "me/waver").endswith("me/waver")
    options = {"private": True, "exist_ok": True}
    assert calls == [("me/waver", options), ("me/waver", str(shared))]


def test_pushing_without_network(shared, monkeypatch):
    class ConnectError(Exception):
        """An error of the library's transport."""

    def fail(*args, **options):
        raise ConnectError("no route to the host")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", fail)
    with pytest.raises(ValueError, match=r"cannot be pushed to me/x: no route .* your login"):
        push_to_hub(shared, "me/x")


def test_sharing_by_command(trained, tmp_path, capsys, monkeypatch):
    main(["share", str(trained), str(tmp_path / "out")])
    assert "motionalign.load(" in capsys.readouterr().out
    monkeypatch.setattr(
        shared_module, "push_to_hub", lambda folder, repo, private: f"{repo} {private}"
    )
    main(["push", str(tmp_path / "out"), "me/waver"])
    assert capsys.readouterr().out == "me/waver True\n"
    with pytest.raises(SystemExit, match="already exists"):
        main(["share", str(trained), str(tmp_path / "out")])


def test_a_failure_leaves_nothing_behind(trained, tmp_path, monkeypatch):
    def fail(*args):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(shared_module, "model_card", fail)
    with pytest.raises(RuntimeError):
        motionalign.load(trained).save_pretrained(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_misspelled_folders_are_not_hub_ids(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match=r"no checkpoint at .*runs/quikstart"):
        open_saved("runs/quikstart")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = r"put config.json, datasets.json, model.safetensors and tokenizer.json from"
    with pytest.raises(ValueError, match=message):
        open_saved("me/model@refs/pr/1")


def test_a_model_from_before_families_had_names(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "old")
    (path,) = (tmp_path / "old" / "best").glob("*/run/metadata")
    run = json.loads(path.read_text())
    assert run["architecture"]["motion"].pop("family") == "vit"
    assert run.pop("format_version") == len(RUN_MIGRATIONS)
    path.write_text(json.dumps(run))
    (path.parents[1] / digests.NAME).unlink()
    main(["share", str(tmp_path / "old"), str(tmp_path / "out")])
    assert_same_bits(motionalign.load(tmp_path / "out").params, motionalign.load(trained).params)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("model.safetensors", lambda x: x[:-9], "is not a complete safetensors file"),
        ("config.json", lambda x: x[:40], "config.json is not valid JSON"),
        (
            "config.json",
            lambda x: x.replace(b'"motionalign"', b'"vit"'),
            "config.json has model_type .vit.",
        ),
        (
            "datasets.json",
            lambda x: x.replace(b"pelvis", b"head"),
            "copy/datasets.json: small: skeleton 'smpl22' must have joints with distinct names",
        ),
        (
            "datasets.json",
            lambda x: x.replace(b'"mirror"', b'"mirrors"'),
            "copy/datasets.json: small: a skeleton must have the fields .*; mirror is missing or "
            "unknown",
        ),
        ("config.json", lambda x: x.replace(b'"depth": 1', b'"depth": 2', 1), "do not fit the mod"),
        ("tokenizer.json", None, "has no tokenizer.json"),
    ],
)
def test_a_damaged_shared_folder(shared, tmp_path, name, spoil, message):
    folder = tmp_path / "copy"
    shutil.copytree(shared, folder)
    if spoil is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(spoil((folder / name).read_bytes()))
        with pytest.raises(ValueError, match=f"{folder / name} is damaged: its content is not"):
            motionalign.load(folder)
    (folder / digests.NAME).unlink()  # a folder of an older version
    with pytest.raises(ValueError, match=message):
        motionalign.load(folder)


def test_the_stored_skeleton_is_used(shared, tmp_path):
    """A model stores its own joints, whatever the code defines under the skeleton's name."""
    folder = shutil.copytree(shared, tmp_path / "copy")
    path = folder / "datasets.json"
    (folder / digests.NAME).unlink()
    path.write_bytes(path.read_bytes().replace(b"pelvis", b"hips"))
    model = motionalign.load(folder)
    assert model.metadata().skeleton.joint_names[0] == "hips"
    np.testing.assert_array_equal(
        model.encode_motion(joints(), 20), motionalign.load(shared).encode_motion(joints(), 20)
    )


def test_a_converted_model_is_shared_with_all_its_tensors(test_data, tmp_path):
    golden = str(test_data / "golden" / "walktext_encoder.pt")
    flags = ["--skeleton=coco18", "--motion_heads=4", "--fps=30"]
    main(["walktext", golden, str(tmp_path / "ours"), *flags])
    main(["share", str(tmp_path / "ours"), str(tmp_path / "shared")])
    for name in ("ours", "shared"):
        main(["export", str(tmp_path / name), str(tmp_path / f"from-{name}")])
    a, b = ((tmp_path / f"from-{name}/model.safetensors") for name in ("ours", "shared"))
    assert a.read_bytes() == b.read_bytes()
