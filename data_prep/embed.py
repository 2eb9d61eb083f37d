"""`python -m data_prep embed`: embeds every distinct text with a frozen sentence encoder."""

import argparse
import pathlib

import numpy as np

from data_prep.class_texts import all_splits, all_texts, class_names, merge, read_texts
from motionalign import commands, digests, files
from motionalign.data.dataset import CAPTION_VECTORS, CLASS_TEXTS, Dataset

SUMMARY = "sentence vectors of captions and classes"
ABOUT = """\
Embeds every distinct text of a prepared dataset with a frozen sentence encoder.

The cosine similarity of these vectors is used in training, to mask negatives with nearly equivalent
captions; by the all_threshold protocol, to count near-duplicates as correct; and by the dissimilar
protocol, to choose its gallery if none was published. With a frozen text tower, motions are aligned
with these vectors.

The texts are the captions of all splits, the names of the classes (actions, attributes, and every
set of attributes that occurs, in words), and descriptions and synonyms of classes. --texts adds
descriptions and synonyms to <data_dir>/<name>/1.0.0/class_texts.json, from files like those in
data_prep/captions or from the output of `python -m data_prep describe`. The existing content of
class_texts.json is kept; delete the file to start over.
Writes <data_dir>/<name>/1.0.0/caption_vectors.safetensors: `vectors` [K, D] float32, not
normalised, `captions` (K lines of UTF-8, sorted), and the encoder's name, hashes and readout.
If the dataset has vectors by the same encoder (weights, config, tokenizer and readout), only new
texts are embedded.

examples:
  python -m data_prep embed --name=humanml3d
  python -m data_prep embed --name=actions --texts descriptions.json synonyms.json
  python -m data_prep embed --name=humanml3d --encoder=sentence-transformers/all-MiniLM-L6-v2 \\
    --readout=mean
"""

ENCODER = "WhereIsAI/UAE-Large-V1"  # as in Walk and Text; trained with first-token pooling


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m data_prep embed`."""
    parser.add_argument(
        "--data_dir", default="data", help="parent of all prepared datasets (default: %(default)s)"
    )
    parser.add_argument("--name", required=True, help="name of the prepared dataset")
    parser.add_argument(
        "--texts",
        nargs="+",
        default=[],
        metavar="FILE",
        help="JSON files of descriptions or synonyms of the dataset's classes, to add to it",
    )
    parser.add_argument(
        "--encoder",
        help="BERT, DistilBERT, MPNet, RoBERTa, XLM-R or CLIP in Hugging Face's layout: a folder "
        "or a Hub id, optionally with @revision (default: the encoder of the existing vectors, "
        f"else {ENCODER})",
    )
    parser.add_argument(
        "--readout",
        choices=("first", "mean", "end"),
        help="how token outputs are pooled to a vector. first: the first token; mean: the mean of "
        "all tokens; end: the end-of-text token, for CLIP. Choose the pooling that the encoder was "
        "trained with (default: that of the existing vectors if they are by this encoder, else "
        "first)",
    )


def run(args: argparse.Namespace) -> None:
    """Embeds the texts of the dataset that the flags name."""
    dataset = Dataset(args.data_dir, args.name)
    names = class_names(dataset.metadata, all_splits(dataset)) if args.texts else ()
    class_texts = merge([dataset.texts, *(read_texts(path, names, print) for path in args.texts)])
    texts = sorted(all_texts(dataset, class_texts))
    there = dataset.caption_vectors
    encoder = args.encoder or (there.source if there else ENCODER)
    as_there = there is not None and encoder == there.source
    readout = args.readout or (there.fingerprint[1] if as_there else "first")

    with commands.importing():  # JAX; the errors above need not wait
        from motionalign.inference.sentence_encoder import SentenceEncoder

    encode = SentenceEncoder(encoder, readout)
    known = {}
    made_as = (encode.settings, encode.fingerprint)
    if there and (there.settings, there.fingerprint) == made_as:
        known = {text: there.vectors[row] for text, row in there.rows.items()}
    elif there:
        same = there.fingerprint == encode.fingerprint
        why = ": their tokenizer or config is another one, or not recorded" if same else ""
        print(f"replacing the existing vectors, by {there.encoder}{why}")
    new = [text for text in texts if text not in known]
    if new:
        known |= dict(zip(new, encode(new, progress=True), strict=True))
        if cut := encode.cut(new):
            print(f"warning: {cut.note}")
    vectors = np.stack([known[text] for text in texts])
    sha256, readout = encode.fingerprint
    path = dataset.version_dir / CAPTION_VECTORS
    made_by = {"encoder": encoder, "sha256": sha256, "readout": readout}
    _save(path, texts, vectors, **made_by, settings=encode.settings)
    print(
        f"{path}: {len(texts)} texts x {vectors.shape[1]}, {len(new)} of them new; {encoder}, "
        f"readout {readout}"
    )
    if args.texts:  # now that they have vectors
        path = dataset.version_dir / CLASS_TEXTS
        with digests.recording(path):
            files.write_json(path, class_texts)
        for kind, of_class in class_texts.items():
            print(f"{path}: {sum(map(len, of_class.values()))} {kind} for {len(of_class)} classes")


def _save(path: pathlib.Path, captions: list[str], vectors: np.ndarray, **metadata: str) -> None:
    from safetensors.numpy import save

    assert not any("\n" in caption for caption in captions)
    lines = np.frombuffer("\n".join(captions).encode(), np.uint8)
    # Not save_file, which creates a file that only its owner can read.
    with digests.recording(path):
        files.write_bytes(path, save({"vectors": vectors, "captions": lines}, metadata))
