"""A shared model whose text encoder is frozen, on a machine with other folders."""

import json
import os
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from small_encoder import with_token, write_encoder

import motionalign
from motionalign import digests
from motionalign.checkpoints.run import RUN_MIGRATIONS, migrate_run, stored_run
from motionalign.checkpoints.shared import Saved, write_shared
from motionalign.convert import main
from motionalign.data.dataset import CaptionVectors, Dataset, write_caption_vectors
from motionalign.inference.sentence_encoder import SentenceEncoder
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.frozen import FrozenWeights
from motionalign.models.network import Network
from motionalign.models.vit import ViTConfig

TEXT = "a person waves with the left hand"  # of the card's example
ID = "me/small-encoder"
COMMIT = "c" * 40


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The encoder as a folder of the user alice."""
    return write_encoder(tmp_path_factory.mktemp("alice") / "encoders" / "small", [TEXT, "jumps"])


@pytest.fixture(scope="module")
def run(encoder, small_dataset, tmp_path_factory):
    """What a run stores that was trained on vectors of the encoder, and its parameters."""
    encode = SentenceEncoder(str(encoder), "mean")
    path = tmp_path_factory.mktemp("vectors") / "caption_vectors.safetensors"
    (sha256, readout), settings = encode.fingerprint, encode.settings
    made = {"encoder": str(encoder), "sha256": sha256, "readout": readout, "settings": settings}
    write_caption_vectors(path, {TEXT: encode([TEXT])[0]}, **made, max_tokens="32")
    vit = ViTConfig(width=8, depth=1, heads=2, mlp_width=16, patch_size=16, max_frames=64)
    config = DualEncoderConfig(motion=vit, text=None, text_head=False, embed_dim=8)
    stored = {
        "kind": "dual_encoder",
        "architecture": config.to_dict(),
        "config": {
            "dtype": "float32",
            "data": {"eval_batch_size": 4, "frame_bucket": 16, "text_bucket": 4},
        },
        "tokenizer": None,
        "trained": None,
        "distance": "cosine",
        "text_encoder": CaptionVectors.read(path).origin,
        "frozen": [],
        "source": None,
        "supervision": None,
        "datasets": {"small": Dataset(small_dataset, "small").metadata.to_json()},
        "step": 3,
        "score": None,
    }
    return stored, jax.jit(lambda: Network(config).init(0))()


RESULTS = {  # as version 0.1 wrote them
    "dataset": "small",
    "split": "test",
    "table": "| R@1 |\n|---|\n| 3.00 / 5.00 |\n\n- trained on label words, mse loss; text encoder "
    "{}, readout mean",
}


def share(run, folder, encoder, encoder_id=None):
    stored, params = run
    saved = Saved(migrate_run(stored_run(stored)), None, None, dict)
    results = RESULTS | {"table": RESULTS["table"].format(encoder)}
    return write_shared(folder, saved, params, results, encoder_id=encoder_id)


@pytest.fixture(scope="module")
def nameless(run, encoder, tmp_path_factory):
    """A folder to share that knows no Hub id of its encoder."""
    return share(run, tmp_path_factory.mktemp("shared") / "waver", encoder)


@pytest.fixture(scope="module")
def named(run, encoder, tmp_path_factory):
    """A folder to share that knows the Hub id."""
    return share(run, tmp_path_factory.mktemp("shared") / "waver", encoder, ID)


def in_hub_cache(cache, encoder, commit=COMMIT):
    """The encoder as the Hub's library keeps it, and as the newest of its repository."""
    repo = cache / f"models--{ID.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True, exist_ok=True)
    (repo / "refs" / "main").write_text(commit)
    return shutil.copytree(encoder, repo / "snapshots" / commit)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty cache of a Hub that does not answer."""
    import huggingface_hub
    from huggingface_hub import constants

    def refused(*args, **kwargs):
        raise ConnectionError("no route to the host")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refused)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked"))
    return tmp_path / "cache"


def example(folder):
    """The Python code of the model card."""
    return re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1]


def vectors_of(code, folder, monkeypatch):
    """Runs the code beside a folder: its variables."""
    monkeypatch.chdir(folder.parent)
    variables = {}
    exec(code, variables)
    assert variables["motion"].shape == (8,)
    return variables["text"]


def expected(encoder):
    vector = SentenceEncoder(str(encoder), "mean")([TEXT])[0]
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("which", ["nameless", "named"])
def test_no_file_has_a_path_of_the_machine(which, request, encoder):
    folder = request.getfixturevalue(which)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md", "SHA256SUMS", "config.json", "datasets.json", "model.safetensors",
    }  # fmt: skip
    for path in folder.iterdir():
        data = path.read_bytes()
        for private in (encoder.parents[1].name, encoder.parent.name, str(encoder), "alice"):
            assert private.encode() not in data, path
        if path.suffix != ".safetensors":
            assert not re.search(rb"(?<![\w/:.])/\w+/\w+", data), path
    stored = json.loads((folder / "config.json").read_text())["text_encoder"]
    name = "small" if which == "nameless" else ID
    card = (folder / "README.md").read_text()
    assert "; text encoder small, readout mean" in card  # of the evaluation, by its folder
    assert f"| text encoder | {name} |" in card
    encode = SentenceEncoder(str(encoder), "mean")
    assert stored == {
        "encoder": name, "source": "", "hub_id": "" if which == "nameless" else ID,
        "readout": "mean", "sha256": encode.fingerprint[0], "settings": encode.settings,
        "max_tokens": 32,
    }  # fmt: skip


def test_the_cards_example_runs_on_another_machine(named, encoder, tmp_path):
    """To the letter, in a process of its own, with the encoder in the Hub's cache only."""
    shutil.copytree(named, tmp_path / "bob" / "waver")
    in_hub_cache(tmp_path / "cache", encoder)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_ENDPOINT": "http://127.0.0.1:9",  # where nothing answers
        "PYTHONPATH": os.getcwd(),
    }
    code = example(named) + "\nprint(text.tolist())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "bob", env=environment, capture_output=True,
        encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected(encoder), atol=1e-6)


def test_the_cards_example_is_given_the_folder_where_no_id_is_known(
    nameless, encoder, tmp_path, monkeypatch, hub_cache
):
    shutil.copytree(nameless, tmp_path / "bob" / "waver")
    code = example(nameless)
    assert 'motionalign.load("waver", text_encoder="small")' in code
    assert "`text_encoder` is the path of its folder" in (nameless / "README.md").read_text()
    shutil.copytree(encoder, tmp_path / "bob" / "small")  # beside it, to the letter
    found = vectors_of(code, tmp_path / "bob" / "waver", monkeypatch)
    np.testing.assert_allclose(found, expected(encoder), atol=1e-6)
    shutil.move(tmp_path / "bob" / "small", tmp_path / "elsewhere")
    code = code.replace('"small"', repr(str(tmp_path / "elsewhere")))
    found = vectors_of(code, tmp_path / "bob" / "waver", monkeypatch)
    np.testing.assert_allclose(found, expected(encoder), atol=1e-6)


def test_a_later_commit_with_the_same_files(run, encoder, tmp_path, monkeypatch, hub_cache):
    folder = share(run, tmp_path / "waver", encoder, f"{ID}@{'a' * 40}")
    in_hub_cache(hub_cache, encoder, "b" * 40)
    found = vectors_of(example(folder), folder, monkeypatch)
    np.testing.assert_allclose(found, expected(encoder), atol=1e-6)


def test_an_encoder_that_is_not_found_is_said_at_once(named, nameless, hub_cache):
    """In one line that says what to do."""
    message = (
        rf"trained with the text encoder {ID}, which cannot be found \({ID} is not a local folder "
        r"and cannot be loaded from the Hugging Face Hub \(no answer: no route to the host\)\). "
        r"Give its location: motionalign.load\(\.\.\., text_encoder=FOLDER_OR_HUB_ID\)$"
    )
    with pytest.raises(ValueError, match=message):
        motionalign.load(named).encode_text(TEXT)
    message = r"text encoder small, which cannot be found \(its Hub id is not recorded\). Give its"
    with pytest.raises(ValueError, match=message):
        motionalign.load(nameless).encode_text(TEXT)
    motionalign.load(nameless).encode_motion(motionalign.load(nameless).example_clip(), fps=30)


def test_another_encoder_is_named_with_the_models(named, encoder, tmp_path, hub_cache):
    other = write_encoder(tmp_path / "other", [TEXT, "jumps", "swims"])
    message = rf"the text encoder {ID} \(SHA-256 .*\); {other} has other weights"
    with pytest.raises(ValueError, match=message):
        motionalign.load(named, text_encoder=str(other)).encode_text(TEXT)
    in_hub_cache(hub_cache, other)
    with pytest.raises(ValueError, match=rf"{ID} \(SHA-256 .*\); {ID} has other weights"):
        motionalign.load(named).encode_text(TEXT)
    cased = shutil.copytree(encoder, tmp_path / "cased")
    with_token(cased, "jumps", 3)
    with pytest.raises(ValueError, match=rf"{ID}; {cased} has the same weights, but another tok"):
        motionalign.load(named, text_encoder=str(cased)).encode_text(TEXT)


def test_a_shared_folder_of_before(nameless, encoder, tmp_path, recwarn):
    """It has the name of the folder, and no hash of the tokenizer."""
    folder = shutil.copytree(nameless, tmp_path / "old")
    path = folder / "config.json"
    stored = json.loads(path.read_text())
    kept = ("encoder", "readout", "sha256")
    stored["text_encoder"] = {name: stored["text_encoder"][name] for name in kept}
    stored["format_version"] = RUN_MIGRATIONS.index(migrate_run.__globals__["migrate_text_encoder"])
    (folder / digests.NAME).unlink()
    path.write_text(json.dumps(stored))
    model = motionalign.load(folder, text_encoder=str(encoder))
    assert not recwarn
    with pytest.warns(UserWarning, match="records the weights of its text encoder small only: tha"):
        found = model.encode_text(TEXT)
    np.testing.assert_allclose(found, expected(encoder), atol=1e-6)
    again = model.save_pretrained(tmp_path / "again", encoder_id=ID)
    assert json.loads((again / "config.json").read_text())["text_encoder"]["hub_id"] == ID


def test_the_hub_id_is_added_by_command(nameless, named, shared, tmp_path, capsys):
    main(["share", str(nameless), str(tmp_path / "a")])
    assert "share again with --encoder_id=OWNER/NAME" in capsys.readouterr().out
    main(["share", str(nameless), str(tmp_path / "b"), f"--encoder_id={ID}"])
    assert "--encoder_id" not in capsys.readouterr().out
    assert example(tmp_path / "b").replace('"b"', '"waver"') == example(named)
    for folder, given, message in (
        (named, "me/another", f"me/another is given, but the text encoder is {ID}"),
        (nameless, "not an id", "'not an id' is not a Hub id; expected owner/name"),
        (shared, ID, "given for a frozen text encoder, but the model has its own text encoder"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(["share", str(folder), str(tmp_path / "c"), f"--encoder_id={given}"])
    assert not (tmp_path / "c").exists()


def test_a_frozen_tower_is_found_elsewhere(run, encoder, tmp_path, hub_cache):
    """Its parameters are read from its source, of which a shared folder has the name."""
    from motionalign.models import bert
    from motionalign.models.families import text_tower
    from motionalign.models.weights.source import Source

    _, text = text_tower(Source(encoder), readout="mean")
    assert isinstance(text, bert.BertConfig)
    architecture = {**run[0]["architecture"], "text": {"family": "bert", **text.to_dict()}}
    config = DualEncoderConfig.from_dict({**architecture, "text_head": True, "max_tokens": 32})
    tower = FrozenWeights.of("text_encoder", str(encoder), "float32")
    network = Network(config, frozen=(tower,))
    stored = {
        **run[0], "architecture": config.to_dict(), "frozen": [tower.to_dict()],
        "text_encoder": None, "tokenizer": (encoder / "tokenizer.json").read_text(),
    }  # fmt: skip
    folder = share((stored, jax.jit(lambda: network.init(0))()), tmp_path / "waver", "x/y")
    assert json.loads((folder / "config.json").read_text())["frozen"][0]["source"] == "small"
    with pytest.raises(ValueError, match=r"cannot be found.*motionalign.load\(..., text_encoder="):
        motionalign.load(folder)
    moved = shutil.copytree(encoder, tmp_path / "moved")
    assert motionalign.load(folder, text_encoder=str(moved)).encode_text(TEXT).shape == (8,)
