"""Sentence vectors of a prepared dataset, and its class texts."""

import argparse
import json
import os

import numpy as np
import pytest
from small_encoder import with_token, write_encoder

from data_prep import embed
from data_prep.__main__ import main
from motionalign import digests
from motionalign.data import dataset as dataset_module
from motionalign.data.cuts import cut_clips
from motionalign.data.dataset import (
    CAPTION_VECTORS,
    CLASS_TEXTS,
    UNFINISHED_VECTORS,
    VERSION,
    CaptionVectors,
    Dataset,
    Metadata,
    hold_dataset,
    write_caption_vectors,
)
from motionalign.files import InUse
from motionalign.inference import sentence_encoder
from motionalign.inference.sentence_encoder import Stated
from motionalign.skeleton import SKELETONS

CAPTIONS = {
    "train": [["a person walks", "someone is walking slowly to the left and then stops to look"]],
    "test": [["a person walks"], ["a person waves “hello”", "jumps"]],
}
ATTRIBUTES = {"train": [[0.9, 0.2]], "test": [[0.1, 0.2], [0.1, 0.8]]}
SETS = {"female", "male", "male, backpack"}  # in words; two are also attributes
NAMES = {"walk", "go up", "backpack"} | SETS
EVERY_CAPTION = {c for split in CAPTIONS.values() for clip in split for c in clip}


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A stub dataset with what `embed` reads."""
    metadata = Metadata(
        "tiny", SKELETONS["smpl22"], 16, 20.0, 1.0, np.zeros((22, 3)), np.ones((22, 3)), 20.0,
        label_names=("walk", "go up"),
        attribute_names=("female", "backpack"),
        attribute_opposites={"female": "male"},
    )  # fmt: skip
    version_dir = tmp_path / "tiny" / VERSION
    version_dir.mkdir(parents=True)
    (version_dir / "metadata.json").write_text(json.dumps(metadata.to_json()))

    class Split:
        def __init__(self, folder, split):
            assert folder == version_dir
            self.captions = CAPTIONS[split]
            self.attributes = np.array(ATTRIBUTES[split], np.float32)
            self.labels = np.full(len(self.attributes), -1)
            self.all_labels = self.labels[:, None]

    for split in CAPTIONS:
        (version_dir / f"index-{split}.npz").touch()
    monkeypatch.setattr(dataset_module, "Split", Split)
    return version_dir


@pytest.fixture
def quick(monkeypatch):
    """Replaces the encoder by one that encodes text lengths; returns the texts it is given.

    It is stopped at the text `stop_at` of the returned list.
    """

    class Asked(list):
        stop_at = None

    asked = Asked()

    class Encoder:
        settings, hub_id, max_tokens = "the only one", "", 9

        def __init__(self, encoder, readout):
            self.fingerprint = (encoder, readout)

        def cut(self, texts):
            return None

        def __call__(self, texts, progress, keep):
            vectors = []
            for text in texts:  # batches of one
                asked.append(text)
                if text == asked.stop_at:
                    raise KeyboardInterrupt
                vectors.append(np.array([len(text), 1], np.float32))
                keep([text], np.stack(vectors[-1:]))
            return np.stack(vectors)

    monkeypatch.setattr(sentence_encoder, "SentenceEncoder", Encoder)
    monkeypatch.setattr(sentence_encoder, "stated_readout", lambda encoder: Stated())
    return asked


def run(dataset, *flags):
    data_dir = dataset.parents[1]
    parser = argparse.ArgumentParser()
    embed.add_arguments(parser)
    embed.run(parser.parse_args([f"--data_dir={data_dir}", "--name=tiny", *flags]))
    return Dataset(data_dir, "tiny")


def test_vectors_are_the_output_of_the_encoder(dataset, minilm):
    flags = f"--encoder={minilm}", "--readout=mean"
    written = run(dataset, *flags).require_caption_vectors()
    captions = sorted(EVERY_CAPTION | NAMES)
    assert list(written.rows) == captions
    encoder = sentence_encoder.SentenceEncoder(str(minilm), "mean")
    np.testing.assert_array_equal(written[captions], encoder(captions))
    assert written.encoder == f"{minilm.name}, readout mean"  # no path, as tables are shared
    assert (written.source, written.hub_id, written.max_tokens) == (str(minilm), "", 512)
    assert written.fingerprint == encoder.fingerprint
    assert not list(dataset.glob("*.partial*"))
    umask = os.umask(0o022)
    os.umask(umask)
    mode = (dataset / "caption_vectors.safetensors").stat().st_mode & 0o777
    assert mode == 0o666 & ~umask  # like any file, not readable by the owner only


def test_texts_that_the_encoder_cuts_are_counted(dataset, quick, monkeypatch, capsys):
    def cut(self, texts):
        return cut_clips(texts, list(map(len, texts)), 30, "the rest is ignored")

    monkeypatch.setattr(sentence_encoder.SentenceEncoder, "cut", cut)
    run(dataset)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "longer" in line]
    assert line.startswith(f"warning: 1 of {len(EVERY_CAPTION | NAMES)} clips is longer than 30 ")
    run(dataset)  # nothing new
    assert "longer" not in capsys.readouterr().out


def test_the_default_encoder_is_that_of_the_paper(dataset, quick):
    assert run(dataset).caption_vectors.encoder == "WhereIsAI/UAE-Large-V1, readout first"


def test_the_encoder_of_existing_vectors_is_the_default(dataset, quick, capsys):
    first = run(dataset, "--encoder=a", "--readout=mean")
    assert first.caption_vectors.encoder == "a, readout mean"
    assert run(dataset).caption_vectors.encoder == "a, readout mean"
    assert run(dataset, "--encoder=a").caption_vectors.encoder == "a, readout mean"
    assert "replacing" not in capsys.readouterr().out
    # The readout of one encoder is no default for another.
    assert run(dataset, "--encoder=b").caption_vectors.encoder == "b, readout first"
    assert "replacing the existing vectors, by a, readout mean" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stated", "flags", "readout", "said"),
    [
        (Stated("mean"), (), "mean", ""),
        (Stated("mean"), ("--readout=mean",), "mean", ""),
        (
            Stated("mean"), ("--readout=first",), "first",
            "warning: readout first (--readout) is not what a states: readout mean",
        ),
        (Stated(), (), "first", ""),
        (Stated(unknown="the Hub is down"), (), "first", "the Hub is down"),
        (
            Stated(other="pooling by max_tokens"), ("--readout=mean",), "mean",
            "readout mean (--readout) is not what a states: pooling by max_tokens",
        ),
    ],
)  # fmt: skip
def test_the_readout_is_the_encoders_own(
    dataset, quick, monkeypatch, capsys, stated, flags, readout, said
):
    monkeypatch.setattr(sentence_encoder, "stated_readout", lambda encoder: stated)
    found = run(dataset, "--encoder=a", *flags).caption_vectors
    assert found.fingerprint == ("a", readout)
    printed = capsys.readouterr().out
    assert said in printed
    assert ("warning" in printed) == ("is not what" in said)


def test_a_readout_that_is_not_computed_is_refused(dataset, quick, monkeypatch):
    dense = Stated(other="the module Dense of its modules.json")
    monkeypatch.setattr(sentence_encoder, "stated_readout", lambda encoder: dense)
    message = "a states the module Dense of its modules.json, which is not computed here. Choose"
    with pytest.raises(ValueError, match=message):
        run(dataset, "--encoder=a")
    assert not (dataset / CAPTION_VECTORS).exists()


def test_existing_vectors_keep_their_readout(dataset, quick, monkeypatch, capsys):
    run(dataset, "--encoder=a")
    monkeypatch.setattr(sentence_encoder, "stated_readout", lambda encoder: Stated("mean"))
    assert run(dataset).caption_vectors.fingerprint == ("a", "first")
    message = "readout first (of the existing vectors) is not what a states: readout mean"
    assert message in capsys.readouterr().out
    assert run(dataset, "--readout=mean").caption_vectors.fingerprint == ("a", "mean")


def test_the_hub_id_of_the_encoder_is_recorded(dataset, quick, monkeypatch):
    def ids(*flags):
        found = run(dataset, *flags).caption_vectors
        return found.hub_id, found.encoder

    assert ids("--encoder=a") == ("", "a, readout first")
    given = ("me/encoder", "me/encoder, readout first")
    assert ids("--encoder_id=me/encoder") == given
    assert ids() == given  # stays with the vectors
    assert ids("--encoder=b") == ("", "b, readout first")
    commit = "c" * 40
    in_cache = f"me/encoder@{commit}"
    monkeypatch.setattr(sentence_encoder.SentenceEncoder, "hub_id", in_cache)
    pinned = (f"me/encoder@{commit}", "me/encoder, readout first")
    assert ids("--encoder=b") == pinned
    assert ids("--encoder_id=me/encoder") == pinned
    for wrong, message in (
        ("me/other", f"me/other is given, but the text encoder is me/encoder@{commit}"),
        ("encoder", "'encoder' is not a Hub id; expected owner/name"),
    ):
        with pytest.raises(ValueError, match=message):
            run(dataset, f"--encoder_id={wrong}")


def test_the_path_of_a_folder_is_stored_absolute(dataset, tmp_path, monkeypatch):
    write_encoder(tmp_path / "models" / "small", sorted(EVERY_CAPTION | NAMES))
    monkeypatch.chdir(tmp_path)
    found = run(dataset, "--encoder=models/small").caption_vectors
    assert found.source == str(tmp_path / "models" / "small")
    assert (found.encoder, found.max_tokens) == ("small, readout first", 32)
    monkeypatch.chdir(tmp_path / "models")
    assert run(dataset).caption_vectors.origin == found.origin


def test_only_new_texts_are_embedded(dataset, quick, tmp_path):
    before = run(dataset, "--encoder=a").caption_vectors
    quick.clear()
    path = write(tmp_path, "a.json", shipped(walk={"synonyms": ["stroll", "jumps"]}))
    after = run(dataset, "--texts", path).caption_vectors
    assert quick == ["stroll"]  # a caption is "jumps"
    assert list(after.rows) == sorted([*before.rows, "stroll"])
    np.testing.assert_array_equal(after[list(before.rows)], before.vectors)
    quick.clear()
    run(dataset)
    assert quick == []
    run(dataset, "--encoder=b")  # other weights: embeds everything again
    assert quick == list(after.rows)


def test_texts_are_added_only_with_their_vectors(dataset, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    path = write(tmp_path, "a.json", shipped(walk={"synonyms": ["stroll"]}))
    with pytest.raises(ValueError, match="valid: 'bert'"):
        run(dataset, f"--encoder={tmp_path}", "--texts", path)
    assert not (dataset / CLASS_TEXTS).exists()


def test_unknown_encoder(dataset, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="is 'llama'; valid: 'bert', 'distilbert'"):
        run(dataset, f"--encoder={tmp_path}")
    assert not (dataset / "caption_vectors.safetensors").exists()


def test_a_killed_run_leaves_nothing(dataset, quick, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    before = sorted(path.name for path in dataset.iterdir())
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run(dataset)
    assert sorted(path.name for path in dataset.iterdir()) == before


def test_another_tokenizer_replaces_all_vectors(dataset, tmp_path, capsys):
    """Weights and readout are the same; the vectors are not."""
    folder = write_encoder(tmp_path / "encoder", sorted(EVERY_CAPTION | NAMES))
    flags = f"--encoder={folder}", "--readout=mean"
    before = run(dataset, *flags).caption_vectors
    swapped = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    with_token(folder, "walk", swapped["jumps"])
    with_token(folder, "jumps", swapped["walk"])
    capsys.readouterr()
    after = run(dataset, *flags).caption_vectors
    assert "their tokenizer or config is another one" in capsys.readouterr().out
    assert after.fingerprint == before.fingerprint
    assert after.settings != before.settings
    np.testing.assert_array_equal(after[["walk"]], before[["jumps"]])
    np.testing.assert_array_equal(after[["jumps"]], before[["walk"]])
    run(dataset, *flags)
    assert f"{len(after.rows)} texts x 8, 0 of them new" in capsys.readouterr().out


def test_vectors_of_an_older_version_are_replaced(dataset, quick, capsys):
    """Their file does not record the tokenizer."""
    there = run(dataset, "--encoder=a").caption_vectors
    (dataset / "SHA256SUMS").unlink()
    made_by = {"encoder": "a", "sha256": "a", "readout": "first"}
    known = dict(zip(there.rows, there.vectors, strict=True))
    write_caption_vectors(dataset / CAPTION_VECTORS, known, **made_by)
    assert Dataset(dataset.parents[1], "tiny").caption_vectors.settings == ""
    quick.clear()
    assert run(dataset).caption_vectors.settings == "the only one"
    assert quick == list(there.rows)
    assert "tokenizer or config is another one, or not recorded" in capsys.readouterr().out


def test_a_token_beyond_the_embedding_table_stores_nothing(dataset, tmp_path):
    folder = write_encoder(tmp_path / "encoder", sorted(EVERY_CAPTION | NAMES))
    with_token(folder, "jumps", 5000)
    with pytest.raises(ValueError, match="has the token 'jumps' with id 5000"):
        run(dataset, f"--encoder={folder}")
    assert not (dataset / CAPTION_VECTORS).exists()


@pytest.mark.parametrize("every", [60.0, 0.0])
def test_a_run_that_is_stopped_keeps_its_vectors(dataset, quick, monkeypatch, capsys, every):
    """By an exception, and (stored each time) by a kill."""
    monkeypatch.setattr(embed, "SAVE_SECONDS", every)
    texts = sorted(EVERY_CAPTION | NAMES)
    quick.stop_at = texts[4]
    if every == 0.0:
        monkeypatch.setattr(embed._Kept, "__exit__", lambda *args: None)  # as after SIGKILL
    with pytest.raises(KeyboardInterrupt):
        run(dataset, "--encoder=a")
    assert not (dataset / CAPTION_VECTORS).exists()
    quick.clear()
    quick.stop_at = None
    written = run(dataset, "--encoder=a").caption_vectors
    assert quick == texts[4:]
    assert f"4 vectors are taken from {dataset / UNFINISHED_VECTORS}" in capsys.readouterr().out
    assert list(written.rows) == texts
    np.testing.assert_array_equal(written.vectors[:, 0], [len(text) for text in texts])
    assert not (dataset / UNFINISHED_VECTORS).exists()
    digests.check(dataset)
    assert UNFINISHED_VECTORS not in digests.stored(dataset)


def test_vectors_of_a_run_that_was_stopped_are_those_of_its_encoder(dataset, quick):
    quick.stop_at = "jumps"
    with pytest.raises(KeyboardInterrupt):
        run(dataset, "--encoder=a")
    quick.clear()
    quick.stop_at = None
    run(dataset, "--encoder=b")
    assert quick == sorted(EVERY_CAPTION | NAMES)


def test_vectors_of_another_dataset_are_found(dataset, quick, capsys):
    def other(name, encoder, **vectors):
        path = dataset.parents[1] / name / VERSION / CAPTION_VECTORS
        path.parent.mkdir(parents=True)
        known = {text: np.float32(value) for text, value in vectors.items()}
        made = {"encoder": encoder, "sha256": encoder, "readout": "first"}
        write_caption_vectors(path, known, **made, settings="the only one")
        return path

    other("another_encoder", "b", jumps=[7, 7])
    path = other("same_encoder", "a", jumps=[8, 8], swims=[8, 8], walk=[np.nan, 8])
    damaged = other("damaged", "a", jumps=[9, 9])
    damaged.write_bytes(damaged.read_bytes()[:20])
    written = run(dataset, "--encoder=a").caption_vectors
    assert written[["jumps"]].tolist() == [[8, 8]]
    assert written[["walk"]].tolist() == [[4, 1]]
    assert "swims" not in written.rows
    assert "jumps" not in quick
    said = capsys.readouterr().out
    assert f"1 vectors are taken from {path}" in said
    assert f"{damaged} is not used, since it cannot be read" in said


def test_the_same_vectors_give_the_same_bytes(tmp_path):
    """The header was in the order of a hash map."""
    known = {"waves": np.float32([1, 2]), "jumps “high”": np.float32([3, 4])}
    made = {"encoder": "a “b”", "sha256": "0", "readout": "mean"}
    for i in range(8):
        write_caption_vectors(tmp_path / str(i), known, **made)
    assert len({(tmp_path / str(i)).read_bytes() for i in range(8)}) == 1
    written = CaptionVectors.read(tmp_path / "0")
    assert (written.source, written.fingerprint) == ("a “b”", ("0", "mean"))
    np.testing.assert_array_equal(written[list(known)], [[1, 2], [3, 4]])


def test_a_dataset_is_embedded_by_one_process(dataset, quick):
    who = "embedding dataset 'tiny' is under way already, by process "
    with hold_dataset(dataset.parents[1], "tiny", "preparing"), pytest.raises(InUse, match=who):
        run(dataset)
    run(dataset)


# --------------------------------------------------------------------------- texts of classes


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def shipped(**classes):
    return {"about": "", "prompt": "", "classes": classes}


def test_texts_are_added_and_embedded(dataset, quick, tmp_path, capsys):
    contents = [
        shipped(walk={"descriptions": ["steps"], "synonyms": ["stroll"]}),
        {"kind": "action", "answers": {"walk": ["strides \n on", "steps"]}},
        {"kind": "synonym", "answers": {"go up": ["rise"]}},
        {"kind": "appearance", "answers": {"male, backpack": ["a man"]}},
    ]
    files = [write(tmp_path, f"{i}.json", content) for i, content in enumerate(contents)]
    first = run(dataset, "--texts", *files[:2])
    expected = {"descriptions": {"walk": ["steps", "strides on"]}, "synonyms": {"walk": ["stroll"]}}
    assert first.texts == expected
    second = run(dataset, "--texts", *files)  # existing texts are kept, without duplicates
    expected["descriptions"]["male, backpack"] = ["a man"]
    expected["synonyms"]["go up"] = ["rise"]
    assert second.texts == expected
    printed = capsys.readouterr().out
    assert "3 descriptions for 2 classes" in printed
    assert "ignored" not in printed
    everything = EVERY_CAPTION | NAMES | {"steps", "strides on", "stroll", "rise", "a man"}
    assert list(second.require_caption_vectors().rows) == sorted(everything)

    path = dataset / CLASS_TEXTS
    before = path.read_bytes()
    again = run(dataset)  # existing class texts are embedded without --texts too
    assert again.require_caption_vectors().rows.keys() == everything
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        (["walk"], "has neither the form of .*babel60.json nor .*describe` writes"),
        ({"answers": {"walk": ["a"]}}, "has neither the form of"),
        ({"kind": "action", "answers": {"walk": "a"}}, "has neither the form of"),
        ({"kind": "action", "answers": {"walk": [1]}}, "has neither the form of"),
        (shipped(walk=["a"]), "has neither the form of"),
        (
            shipped(fly={"synonyms": ["soar"]}),
            r"has texts of 'fly', none of which is a class .* Valid classes are its actions, "
            r"its attributes, .*: 'backpack', 'female', 'go up', 'male', 'male, backpack', 'walk'$",
        ),
    ],
)  # fmt: skip
def test_invalid_texts_are_rejected(dataset, quick, tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"--texts=.*texts.json {message}"):
        run(dataset, "--texts", write(tmp_path, "texts.json", content))
    assert not (dataset / CLASS_TEXTS).exists()
    assert not (dataset / CAPTION_VECTORS).exists()


def test_a_dataset_without_classes(dataset, quick):
    path = dataset / "metadata.json"
    without = {"label_names": [], "attribute_names": [], "attribute_opposites": {}}
    path.write_text(json.dumps(json.loads(path.read_text()) | without))
    written = run(dataset)
    assert written.require_caption_vectors().rows.keys() == EVERY_CAPTION
    assert not (dataset / CLASS_TEXTS).exists()


def test_unknown_classes_are_named(dataset, quick, tmp_path, capsys):
    path = write(tmp_path, "a.json", shipped(walk={"synonyms": ["a"]}, fly={"synonyms": ["soar"]}))
    assert run(dataset, "--texts", path).texts["synonyms"] == {"walk": ["a"]}
    assert f"{path}: ignored texts of unknown classes: 'fly'" in capsys.readouterr().out


def test_from_the_command_line(dataset, quick, tmp_path):
    path = write(tmp_path, "a.json", shipped(fly={"synonyms": ["soar"]}))
    with pytest.raises(SystemExit, match=r"data_prep: --texts=.* none of which is a class"):
        main(["embed", f"--data_dir={tmp_path}", "--name=tiny", "--texts", path])
