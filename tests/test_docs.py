"""What the documentation is checked by, and the pages that are made: they find what is wrong."""

import re
import tomllib

import check_links
import jax.numpy as jnp
import numpy as np
import pytest
import site_hooks

from data_prep import readers
from data_prep.readers import InvalidClip
from motionalign import losses
from motionalign.config import Field
from motionalign.data import dataset
from motionalign.formats import FORMATS
from motionalign.models import motion_transformer
from motionalign.models.dual_encoder import Outputs
from motionalign.tasks import objectives
from motionalign.tasks.schema import schema


def test_links_of_the_repository():
    """Without the site, which scripts/test.sh builds."""
    files = [check_links.ROOT / name for name in check_links.markdown_files()]
    assert len(files) > 10
    assert [line for path in files for line in check_links.check_file(path)] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](there.md)", None),
        ("[a](there.md#two-words)", None),
        ("[a](there.md#two-words-1) and [b](#here)", None),
        ("[a](absent.md)", "there is no"),
        ("[a](there.md#three)", "has no heading #three"),
        ("[a](#three)", "has no heading #three"),
        ('<img src="absent.png">', "there is no"),
        ("```\n[a](absent.md)\n```", None),
        ("`[a](absent.md)` is how a link is written", None),
        ("[a](https://example.com/absent.md)", None),
    ],
)
def test_a_broken_link_is_found(tmp_path, monkeypatch, text, wrong):
    monkeypatch.setattr(check_links, "ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# Two `words`\n\n## Two words\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n{text}\n")
    broken = check_links.check_file(page)
    assert len(broken) == (wrong is not None)
    if wrong:
        assert broken[0].startswith("page.md:3: ")
        assert wrong in broken[0]


def test_a_broken_link_of_the_site_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="x"></h1><a href="b.html#y"></a><a href="#x"></a><a href="https://example.com"></a>'
    )
    assert check_links.check_site(tmp_path)[0].endswith("b.html#y: there is no such file")
    (tmp_path / "b.html").write_text('<a href="a.html#x"></a><img src="c.png">')
    assert [line.rpartition(": ")[2] for line in check_links.check_site(tmp_path)] == [
        "there is no such anchor",
        "there is no such file",
    ]
    (tmp_path / "b.html").write_text('<h2 id="y"></h2>')
    assert check_links.check_site(tmp_path) == []
    assert "holds no page" in check_links.check_site(tmp_path / "empty")[0]


def test_links_of_the_repository_lead_to_pages():
    text = "[a](docs/structure.md) [b](#below) [c](CHANGELOG.md#x) [d](https://example.com)"
    assert site_hooks.relinked(text, "CONTRIBUTING.md") == (
        "[a](structure.md) [b](#below) [c](changelog.md#x) [d](https://example.com)"
    )
    text = "[a](../../CONTRIBUTING.md#y) [b](config.md) [c](../images/imports.svg)"
    assert site_hooks.relinked(text, "docs/reference/index.md") == (
        "[a](../contributing.md#y) [b](config.md) [c](../images/imports.svg)"
    )


def test_the_config_page_has_every_field():
    page = site_hooks.config_page()
    for name, field in schema().fields.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert field.meaning.replace("|", "\\|") in row
        assert row.replace("\\|", "").count("|") == 7
    step = next(line for line in page.splitlines() if line.startswith("| `data.step` |"))
    assert "`data.sampling` is `conseq`" in step
    assert "## model.motion" in page


def test_the_table_of_motion_formats():
    """Every format with its suffixes and its extra, which the extra `formats` includes."""
    page = (check_links.ROOT / "docs" / "formats.md").read_text("utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    table = {row[0].removeprefix("| "): row[1:] for row in rows}
    assert table.keys() >= FORMATS.keys()
    extras = tomllib.loads((check_links.ROOT / "pyproject.toml").read_text("utf-8"))
    extras = extras["project"]["optional-dependencies"]
    for name, each in FORMATS.items():
        suffixes, needs = table[name][:2]
        for suffix in each.frames or each.suffixes:
            assert suffix in suffixes, name
        assert ("extra" in needs) == (each.extra is not None), name
        if each.extra is not None:
            assert f"`{each.extra}`" in needs
            assert f"motionalign[{each.extra}]" in extras["formats"]


# The examples of CONTRIBUTING.md -----------------------------------------------------------------


def example(begins: str, *modules, **names) -> dict:
    """What a block of CONTRIBUTING.md defines, beside what modules import and these names."""
    text = (check_links.ROOT / "CONTRIBUTING.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if block.startswith(begins)]
    names = {name: value for each in modules for name, value in vars(each).items()} | names
    exec(block, names)
    return names


def test_the_example_of_an_objective(monkeypatch):
    import torch

    huber = example("def huber", losses, optax=objectives.optax)["huber"]
    monkeypatch.setattr(losses, "huber", huber, raising=False)
    made = example("class Huber", objectives, Field=Field)["Huber"]
    monkeypatch.setitem(objectives.OBJECTIVES, "huber", made)
    config = schema().base()
    config.update(
        {"loss": {"kind": "huber", "delta": 0.5}, "model": {"text": {"family": "frozen"}}}
    )
    schema().validate(config)
    motion, text = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    objective = made(config.loss, has_classes=True)
    outputs = Outputs(jnp.asarray(motion), jnp.asarray(text), jnp.float32(1.0))
    loss, rest, scalars = objective.loss(outputs, {"a": 1}, {}, None)
    expected = torch.nn.functional.huber_loss(*map(torch.from_numpy, (motion, text)), delta=0.5)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert (rest, scalars) == ({"a": 1}, {})


def test_the_example_of_a_motion_encoder():
    from motionalign.models import family

    made = example(
        "@dataclasses.dataclass(frozen=True)\nclass PoolingConfig", family, motion_transformer
    )
    variant = made["FAMILY"].variants["pooling"]
    inputs = family.Inputs(joints=22)
    config = variant.build({"width": 8}, {"max_frames": 40}, inputs)
    assert config == made["PoolingConfig"](joints=22, channels=3, width=8, frames=40)
    assert made["FAMILY"].representation(config, 1).max_frames == 40
    pooling = made["Pooling"](config, rngs=motion_transformer.nnx.Rngs(0))
    joints = jnp.ones((2, 40, 22, 3))
    tokens, mask, pooled = pooling(joints)
    assert (tokens.shape, mask.shape, pooled.shape) == ((2, 40, 8), (2, 40), (2, 8))


def test_the_example_of_a_reader(tmp_path):
    from data_prep.readers import densegait

    made = example("class Treadmill", readers, densegait)
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.txt").write_text(f"{split}_walk absent")
    np.save(tmp_path / "val_walk.npy", np.zeros((7, 22, 3)))
    parser = densegait.argparse.ArgumentParser()
    made["COMMAND"].add_options(parser)
    args = parser.parse_args([f"--raw_dir={tmp_path}"])
    assert made["COMMAND"].source(args) == {"raw_dir": str(tmp_path)}
    reader = made["COMMAND"].make(args)
    assert reader.splits()["val"] == ["val_walk", "absent"]
    assert reader.joints("val_walk").shape == (7, 1, 22, 3)
    assert [caption.is_whole for caption in reader.captions("val_walk")] == [True]
    with pytest.raises(InvalidClip, match="motion_missing"):
        reader.joints("absent")
    with pytest.raises(ValueError, match="is not a folder"):
        made["Treadmill"](tmp_path / "elsewhere")


def test_the_example_of_a_motion_format(tmp_path):
    from motionalign.formats import format as format_
    from motionalign.formats import motion, text

    made = example("def read(", format_, motion, text=text, np=np)
    (tmp_path / "a.sticks").write_text("Hips Head\n0 90 0 0 170 0\n0 91 0 0 171 0\n")
    (found,) = made["read"](tmp_path / "a.sticks", format_.Options())
    assert (found.name, found.format, found.joint_names) == ("a", "sticks", ("Hips", "Head"))
    np.testing.assert_array_equal(found.positions[1, 0], [[0, 91, 0], [0, 171, 0]])
    (tmp_path / "a.sticks").write_text("Hips Head\n0 90 0 0 170 0\n0 91 0\n")
    with pytest.raises(ValueError, match=r"line 3: another number of values; expected 6, 3 a"):
        made["read"](tmp_path / "a.sticks", format_.Options())


def test_the_example_of_a_migration():
    made = example("def migrate_unit", dataset)
    assert made["METADATA_MIGRATIONS"][:-1] == dataset.METADATA_MIGRATIONS
    assert made["migrate_unit"]({"unit_in_metres": 1.0}) == {"unit_in_metres": 1.0, "unit": "metre"}
