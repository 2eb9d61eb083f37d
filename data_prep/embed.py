"""`python -m data_prep embed`: every distinct text through a frozen sentence encoder."""

import argparse
import pathlib

import numpy as np

from data_prep.class_texts import all_splits, all_texts, class_names, merge, read_texts
from motionalign import files
from motionalign.data.dataset import CAPTION_VECTORS, CLASS_TEXTS, Dataset

SUMMARY = "sentence vectors of captions and classes"
ABOUT = """\
Sentence vectors: every distinct text of a prepared dataset through a frozen sentence encoder.

By the cosine of these vectors training leaves out negatives whose captions say nearly the same, the
all_threshold protocol counts near-duplicates as right, and the dissimilar protocol chooses its
gallery where none was published. With a frozen text tower they are what motions are aligned to.

Texts are the captions of all splits, the names of the classes (actions, attributes, and every set
of attributes that occurs, in words) and what else is said of a class: --texts adds descriptions and
synonyms to <data_dir>/<name>/1.0.0/class_texts.json, from files like those in data_prep/captions or
written by `python -m data_prep describe`. What that file holds already stays; delete it to begin
anew.
Writes <data_dir>/<name>/1.0.0/caption_vectors.safetensors: `vectors` [K, D] float32 as the encoder
gives them, not normalised, `captions` (K lines of UTF-8, sorted), and which encoder it was. Where
the dataset has vectors of the same encoder, only new texts are embedded.

examples:
  python -m data_prep embed --name=humanml3d
  python -m data_prep embed --name=actions --texts descriptions.json synonyms.json
  python -m data_prep embed --name=humanml3d --encoder=sentence-transformers/all-MiniLM-L6-v2 \\
    --readout=mean
"""

ENCODER = "WhereIsAI/UAE-Large-V1"  # of Walk and Text; its first token was trained to be read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m data_prep embed`."""
    parser.add_argument(
        "--data_dir", default="data", help="parent of all prepared datasets (default: %(default)s)"
    )
    parser.add_argument("--name", required=True, help="of the prepared dataset")
    parser.add_argument(
        "--texts",
        nargs="+",
        default=[],
        metavar="FILE",
        help="JSON files of descriptions or synonyms of the dataset's classes, to be added to it",
    )
    parser.add_argument(
        "--encoder",
        help="BERT, DistilBERT, MPNet, RoBERTa, XLM-R or CLIP in Hugging Face's layout: a folder "
        "or a Hub id, optionally @revision (default: that of the vectors there are, else "
        f"{ENCODER})",
    )
    parser.add_argument(
        "--readout",
        choices=("first", "mean", "end"),
        help="first: the first token's output; mean: over all tokens; end: of CLIP, at the end of "
        "the text; the encoder's authors say which it was trained for (default: as the vectors "
        "there are, if they are this encoder's, else first)",
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

    from motionalign.inference.sentence_encoder import SentenceEncoder  # JAX: errors need not wait

    encode = SentenceEncoder(encoder, readout)
    known = {}
    if there and there.fingerprint == encode.fingerprint:
        known = {text: there.vectors[row] for text, row in there.rows.items()}
    elif there:
        print(f"the vectors there are, of {there.encoder}, are replaced")
    new = [text for text in texts if text not in known]
    if new:
        known |= dict(zip(new, encode(new, progress=True), strict=True))
    vectors = np.stack([known[text] for text in texts])
    sha256, readout = encode.fingerprint
    path = dataset.version_dir / CAPTION_VECTORS
    _save(path, texts, vectors, encoder=encoder, sha256=sha256, readout=readout)
    print(
        f"{path}: {len(texts)} texts x {vectors.shape[1]}, {len(new)} of them new; {encoder}, "
        f"readout {readout}"
    )
    if args.texts:  # now that they have vectors
        path = dataset.version_dir / CLASS_TEXTS
        files.write_json(path, class_texts)
        for kind, of_class in class_texts.items():
            print(f"{path}: {sum(map(len, of_class.values()))} {kind} of {len(of_class)} classes")


def _save(path: pathlib.Path, captions: list[str], vectors: np.ndarray, **metadata: str) -> None:
    from safetensors.numpy import save

    assert not any("\n" in caption for caption in captions)
    lines = np.frombuffer("\n".join(captions).encode(), np.uint8)
    # save_file would make a file that nobody but its owner may read.
    files.write_bytes(path, save({"vectors": vectors, "captions": lines}, metadata))
