"""The strict loader and its sources."""

import json
import logging
import types

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from safetensors.numpy import save_file

from motionalign.models import vit_weights
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import LINEAR, SAME, KeyMap
from motionalign.models.weights.load import load_weights
from motionalign.models.weights.source import Source

KEY_MAP = KeyMap(
    prefix=r"base\.",
    rules=(
        *keymap.linear(r"layer\.(\d+)", r"blocks/\1"),
        (r"scale", "scale", SAME),
    ),
    excused=(r"head\..*",),
    fresh=(r"norm/.*",),
)
TENSORS = {
    "base.layer.0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "base.layer.0.bias": np.arange(2, dtype=np.float32),
    "base.scale": np.float32([5]),
    "head.weight": np.ones((9, 9), np.float32),
}


def parameters():
    shapes = {"blocks/0/kernel": (3, 2), "blocks/0/bias": (2,), "scale": (1,), "norm/bias": (4,)}
    return {path: np.full(shape, -1.0, np.float32) for path, shape in shapes.items()}


def save(folder, tensors):
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    return Source(folder)


def test_loads_with_and_without_the_prefix(tmp_path):
    for name, prefix in (("with", "base."), ("without", "")):
        tensors = {key.replace("base.", prefix): value for key, value in TENSORS.items()}
        loaded = load_weights(parameters(), save(tmp_path / name, tensors), KEY_MAP)
        np.testing.assert_array_equal(loaded["blocks/0/kernel"], TENSORS["base.layer.0.weight"].T)
        np.testing.assert_array_equal(loaded["blocks/0/bias"], [0, 1])
        np.testing.assert_array_equal(loaded["scale"], [5])
        np.testing.assert_array_equal(loaded["norm/bias"], -1)


def test_every_mismatch_is_in_one_error(tmp_path):
    tensors = {
        "base.layer.0.weight": np.ones((3, 2), np.float32),  # transposed
        "layer.0.weight": np.ones((2, 3), np.float32),  # a second one for the same parameter
        "base.layer.7.bias": np.ones(2, np.float32),  # a block that we do not have
        "other": np.ones(1, np.float32),
        "head.weight": np.ones(1, np.float32),
    }
    with pytest.raises(ValueError, match="do not fit the model: 6 mismatches") as error:
        load_weights(parameters(), save(tmp_path / "bad", tensors), KEY_MAP)
    lines = [" ".join(line.split()) for line in str(error.value).split("\n")[1:]]
    assert sorted(lines) == [
        "duplicate base.layer.0.weight and layer.0.weight both fill blocks/0/kernel",
        "missing nothing fills blocks/0/bias [2]",
        "missing nothing fills scale [1]",
        "unexpected base.layer.7.bias [2]",
        "unexpected other [1]",
        "wrong shape base.layer.0.weight [3, 2], expected [2, 3] for blocks/0/kernel [3, 2]",
    ]


def test_a_long_list_of_mismatches_is_counted(tmp_path):
    """Ten lines, of every kind."""
    tensors = {f"other.{i}": np.ones(1, np.float32) for i in range(196)}
    tensors["scale"] = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="do not fit the model: 199 mismatches:") as error:
        load_weights(parameters(), save(tmp_path, tensors), KEY_MAP)
    lines = str(error.value).split("\n  ")[1:]
    assert len(lines) == 11
    assert lines[-1] == "... and 189 more"
    assert sum(line.startswith("unexpected ") for line in lines) == 7
    for kind in ("wrong shape scale", "missing     nothing fills blocks/0/kernel"):
        assert sum(line.startswith(kind) for line in lines) == 1
    with pytest.raises(ValueError, match=r"no name for o/0, o/1, .*, o/9, \.\.\. and 20 more$"):
        keymap.export({f"o/{i}": np.ones(1) for i in range(30)}, KEY_MAP)
    assert keymap.some_of(["a"] * 10) == ["a"] * 10


WRAPPERS = ["module.", "model.", "model.module.", "_orig_mod.", "module._orig_mod.", "net.encoder."]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("base", ["base.", ""])
def test_names_that_a_wrapper_has_changed(tmp_path, wrapper, base):
    tensors = {wrapper + key.replace("base.", base): value for key, value in TENSORS.items()}
    loaded = load_weights(parameters(), save(tmp_path, tensors), KEY_MAP)
    np.testing.assert_array_equal(loaded["blocks/0/kernel"], TENSORS["base.layer.0.weight"].T)
    np.testing.assert_array_equal(loaded["scale"], [5])


def test_a_compiled_part(tmp_path):
    tensors = {key.replace("layer.0.", "layer.0._orig_mod."): x for key, x in TENSORS.items()}
    loaded = load_weights(parameters(), save(tmp_path, tensors), KEY_MAP)
    np.testing.assert_array_equal(loaded["blocks/0/bias"], [0, 1])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"layer._orig_mod.0.bias": "layer.0.bias"}, "two tensors of the same name layer.0.bias"),
        ({"module.layer.0.bias": "layer.0.bias"}, r"unexpected  module\.layer\.0\.bias \[2\]"),
        ({"base.layer.0.bias": "layer.0.bias"}, "both fill blocks/0/bias"),
    ],
)
def test_two_spellings_of_a_name_are_an_error(tmp_path, more, message):
    tensors = {key.removeprefix("base."): value for key, value in TENSORS.items()}
    tensors |= {new: tensors[old] for new, old in more.items()}
    with pytest.raises(ValueError, match=message):
        load_weights(parameters(), save(tmp_path, tensors), KEY_MAP)


def test_what_is_removed_from_names():
    def names(*keys, known=None):
        return list(keymap.unwrapped(keys, known).values())

    assert names("module.a.x", "module.b.x") == ["a.x", "b.x"]
    assert names("model.module.a.x", "model.module.b") == ["a.x", "b"]
    assert names("module.a.x", "b.x") == ["module.a.x", "b.x"]  # not all have it
    assert names("model.a.x", "model.a.y") == ["x", "y"]
    known = {"a.x", "x"}.__contains__
    assert names("model.a.x", "model.a.y", known=known) == ["a.x", "a.y"]
    assert names("a.x", "a.y", known=known) == ["a.x", "a.y"]  # an own name of the model
    assert names("model.c.x", "model.c.z", known=set().__contains__) == ["model.c.x", "model.c.z"]
    assert names() == []


def test_only_the_parameters_below_a_path(tmp_path):
    params = {"tower": parameters(), "tower_head": {"scale": np.zeros(1, np.float32)}}
    loaded = load_weights(params, save(tmp_path / "a", TENSORS), KEY_MAP, under="tower")
    np.testing.assert_array_equal(loaded["tower"]["scale"], [5])
    np.testing.assert_array_equal(loaded["tower_head"]["scale"], [0])


def test_values_take_the_dtype_and_sharding_of_the_parameters(tmp_path):
    mesh = jax.make_mesh((2,), ("model",), devices=jax.devices()[:2])
    sharding = NamedSharding(mesh, PartitionSpec(None, "model"))
    params = parameters()
    params["blocks/0/kernel"] = jax.ShapeDtypeStruct((3, 2), jnp.float32, sharding=sharding)
    params["scale"] = jax.ShapeDtypeStruct((1,), jnp.bfloat16)
    tensors = {key: value.astype(ml_dtypes.bfloat16) for key, value in TENSORS.items()}
    loaded = load_weights(params, save(tmp_path / "a", tensors), KEY_MAP)
    assert loaded["blocks/0/kernel"].sharding == sharding
    assert loaded["blocks/0/kernel"].dtype == jnp.float32
    assert loaded["scale"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(loaded["blocks/0/kernel"], TENSORS["base.layer.0.weight"].T)


def save_sharded(folder):
    shards = [dict(list(TENSORS.items())[:2]), dict(list(TENSORS.items())[2:])]
    weight_map = {}
    for i, tensors in enumerate(shards):
        name = f"model-{i + 1:05}-of-00002.safetensors"
        save_file(tensors, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_sharded_safetensors(tmp_path):
    save_sharded(tmp_path)
    loaded = load_weights(parameters(), Source(tmp_path), KEY_MAP)
    np.testing.assert_array_equal(loaded["scale"], [5])

    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has no model-00002-of-00002.safetensors"):
        load_weights(parameters(), Source(tmp_path), KEY_MAP)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "index.json is not valid JSON"), ("{}", "index.json lacks 'weight_map'")],
)
def test_a_damaged_index(tmp_path, content, message):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        Source(tmp_path).weights()


def test_a_config_that_lacks_a_size(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match=r"config.json lacks 'hidden_size'"):
        vit_weights.config_from(Source(tmp_path))


@pytest.mark.parametrize("size", [4, 100, -8])
def test_truncated_safetensors(tmp_path, size):
    path = save(tmp_path, TENSORS).require("model.safetensors")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        load_weights(parameters(), Source(tmp_path), KEY_MAP)


@pytest.mark.parametrize("name", ["model.safetensors", "a.npz"])
@pytest.mark.parametrize("use", [Source.shapes, lambda source: source.sha256])
def test_a_pointer_of_git_lfs_in_place_of_weights(tmp_path, name, use):
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    source = Source(path if name == "a.npz" else tmp_path)
    with pytest.raises(ValueError, match=rf"{path} is a pointer of Git LFS, .*`git lfs pull`"):
        use(source)


def test_a_folder_without_weights_or_config(tmp_path):
    with pytest.raises(ValueError, match=r"neither model.safetensors nor"):
        Source(tmp_path).weights()
    with pytest.raises(ValueError, match=r"has no config.json"):
        Source(tmp_path).config()


@pytest.mark.parametrize("name", ["./models/vit", "/no/such/folder", "a/b/c", ""])
def test_neither_a_folder_nor_a_hub_id(name):
    with pytest.raises(ValueError, match="neither an existing folder or file nor"):
        Source(name)


@pytest.fixture
def offline_hub(tmp_path, monkeypatch):
    """The Hub's cache without network; returns the folder of a/b at revision v1."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--a--b"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/v1").write_text("c" * 40)
    snapshot = repo / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    return snapshot


@pytest.mark.parametrize("use", [Source.config, Source.weights])
def test_hub_id_without_network(offline_hub, use):
    with pytest.raises(ValueError, match=r"put config.json, .*huggingface.co/a/b into a folder"):
        use(Source("a/b@v1"))


def test_one_line_says_that_the_hub_does_not_answer(offline_hub, monkeypatch, caplog):
    """The library repeats a request for half a minute and warns of each."""
    import huggingface_hub

    def without_answer(*args, **kwargs):
        for i in range(5):
            logging.getLogger("huggingface_hub.utils._http").warning("Retrying in %ds", i)
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", without_answer)
    handlers = logging.getLogger("huggingface_hub").handlers[:]
    with pytest.raises(ValueError, match="cannot be loaded from the Hugging Face Hub"):
        Source("a/b").config()
    assert caplog.messages == ["a/b: no answer from the Hub yet; trying again for half a minute"]
    assert logging.getLogger("huggingface_hub").handlers == handlers


@pytest.fixture
def unanswering_hub(offline_hub, monkeypatch):
    """The same Hub, which is not known to be offline and does not answer."""
    import huggingface_hub
    from huggingface_hub import constants

    asked = []

    def refused(url, **kwargs):
        asked.append(url)
        raise ConnectionError("no route to the host")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refused)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("waits"))
    return offline_hub, asked


def test_the_cache_of_a_hub_that_does_not_answer_is_used_at_once(unanswering_hub):
    folder, asked = unanswering_hub
    (folder / "config.json").write_text('{"model_type": "x"}')
    source = Source("a/b@v1")
    assert source.config() == {"model_type": "x"}
    reason = r"a/b@v1 is not a local folder and .* \(no answer: no route to the host\). Without"
    with pytest.raises(ValueError, match=reason):
        source.file("tokenizer.json")
    (absent := folder.parents[1] / ".no_exist" / folder.name).mkdir(parents=True)
    (absent / "tokenizer.json").touch()
    assert source.file("tokenizer.json") is None  # known from an earlier request
    assert len(asked) == 1
    assert Source(f"a/b@{'c' * 40}").config() == {"model_type": "x"}
    assert len(asked) == 1  # a commit does not change


def test_a_hub_that_answers_is_asked(offline_hub, monkeypatch):
    import huggingface_hub
    from huggingface_hub import constants

    def answers(url, **kwargs):
        response = types.SimpleNamespace(headers={}, request=None)
        raise huggingface_hub.errors.HfHubHTTPError("404", response=response)

    path = offline_hub / "config.json"
    path.write_text('{"model_type": "x"}')
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", answers)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(path))
    assert Source("a/b").config() == {"model_type": "x"}


def test_only_the_cache(unanswering_hub):
    folder, asked = unanswering_hub
    (folder / "config.json").write_text('{"model_type": "x"}')
    source = Source("a/b@v1", cached=True)
    assert source.config() == {"model_type": "x"}
    assert source.file("tokenizer.json") is None
    assert Source("a/c", cached=True).file("config.json") is None
    assert not asked


def test_the_hub_id_of_files(offline_hub, tmp_path):
    (offline_hub / "config.json").write_text("{}")
    commit = "c" * 40
    assert Source("a/b@v1").hub_id == f"a/b@{commit}"
    assert Source(offline_hub).hub_id == f"a/b@{commit}"
    (tmp_path / "link").symlink_to(offline_hub)
    assert Source(tmp_path / "link").hub_id == f"a/b@{commit}"
    save(offline_hub, TENSORS)
    assert Source(offline_hub / "model.safetensors").hub_id == f"a/b@{commit}"
    (tmp_path / "own").mkdir()
    # The name of what it was fine-tuned from, as all-MiniLM-L6-v2 has it.
    (tmp_path / "own/config.json").write_text('{"_name_or_path": "nreimers/MiniLM-L6-H384"}')
    assert Source(tmp_path / "own").hub_id == ""


@pytest.mark.parametrize("sharded", [True, False])
def test_hub_id_from_the_cache(offline_hub, sharded):
    (offline_hub / "config.json").write_text('{"model_type": "x"}')
    if sharded:
        save_sharded(offline_hub)
    else:
        save(offline_hub, TENSORS)
    source = Source("a/b@v1")
    assert source.config() == {"model_type": "x"}
    loaded = load_weights(parameters(), source, KEY_MAP)
    np.testing.assert_array_equal(loaded["scale"], [5])


def test_transforms_check_what_they_reshape():
    assert keymap.HEADS_IN.source_shape((12, 3, 4)) == (12, 12)
    assert keymap.HEADS_OUT.source_shape((3, 4, 10)) == (10, 12)
    assert keymap.PATCHES.source_shape((768, 8)) == (8, 3, 16, 16)
    assert LINEAR.source_shape((3, 2)) == (2, 3)
    kernel = np.arange(768 * 8).reshape(8, 3, 16, 16)
    ours = keymap.PATCHES.apply(kernel, (768, 8)).reshape(16, 16, 3, 8)
    assert ours[5, 7, 2, 1] == kernel[1, 2, 5, 7]  # frame 5, point 7, z
