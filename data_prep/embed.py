"""`python -m data_prep embed`: embeds every distinct text with a frozen sentence encoder."""

import argparse
import pathlib
import time
from collections.abc import Callable, Mapping

import numpy as np

from data_prep.class_texts import all_splits, all_texts, class_names, merge, read_texts
from motionalign import commands, digests, files
from motionalign.data.dataset import (
    CAPTION_VECTORS,
    CLASS_TEXTS,
    UNFINISHED_VECTORS,
    VERSION,
    CaptionVectors,
    Dataset,
    check_hub_id,
    hold_dataset,
    write_caption_vectors,
)

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
normalised, `captions` (K lines of UTF-8, sorted), and of the encoder its folder or Hub id, the
hashes of its files, its readout and the number of tokens that it reads.

The readout is the one that the encoder's files for sentence-transformers state
(1_Pooling/config.json). Without these files it is `first`. Where they state something that is not
computed here (pooling by the maximum, a Dense module), --readout is required. A Normalize module
changes the length of vectors only; vectors are stored as they are pooled.

Only texts are embedded that have no vector by the same encoder (weights, config, tokenizer and
readout) yet, in this dataset or another one in the same <data_dir>. A run that is stopped keeps its
vectors; the same command continues it.

examples:
  python -m data_prep embed --name=humanml3d
  python -m data_prep embed --name=actions --texts descriptions.json synonyms.json
  python -m data_prep embed --name=humanml3d --encoder=sentence-transformers/all-MiniLM-L6-v2
  python -m data_prep embed --name=humanml3d --encoder=models/minilm \\
    --encoder_id=sentence-transformers/all-MiniLM-L6-v2
"""

SAVE_SECONDS = 60.0  # after which new vectors are stored, in case the process is killed

MadeAs = tuple[str, tuple[str, str]]  # settings and fingerprint of an encoder

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
        "--encoder_id",
        metavar="OWNER/NAME",
        help="the Hub id of an encoder that is given as a folder, by which a model that is trained "
        "on its vectors finds it on other machines (default: known if the folder is in the Hub's "
        "cache, or recorded with the existing vectors)",
    )
    parser.add_argument(
        "--readout",
        choices=("first", "mean", "end"),
        help="how token outputs are pooled to a vector. first: the first token; mean: the mean of "
        "all tokens; end: the end-of-text token, for CLIP (default: that of the existing vectors "
        "if they are by this encoder, else the one that the encoder's 1_Pooling/config.json "
        "states, else first)",
    )


def run(args: argparse.Namespace) -> None:
    """Embeds the texts of the dataset that the flags name."""
    with hold_dataset(args.data_dir, args.name, "embedding") as no_locks:
        if no_locks:
            print(no_locks)
        _embed(Dataset(args.data_dir, args.name), args, print)


def _embed(dataset: Dataset, args: argparse.Namespace, say: Callable[[str], None]) -> None:
    names = class_names(dataset.metadata, all_splits(dataset)) if args.texts else ()
    class_texts = merge([dataset.texts, *(read_texts(path, names, say) for path in args.texts)])
    texts = sorted(all_texts(dataset, class_texts))
    there = dataset.caption_vectors
    encoder = _absolute(args.encoder or (there.source if there else ENCODER))
    before = there.fingerprint[1] if there and encoder == _absolute(there.source) else None
    if args.encoder_id:
        check_hub_id(args.encoder_id)

    with commands.importing():  # JAX; the errors above need not wait
        from motionalign.inference.sentence_encoder import SentenceEncoder

    encode = SentenceEncoder(encoder, _readout(encoder, args.readout, before, say))
    made_as = (encode.settings, encode.fingerprint)
    if there and (there.settings, there.fingerprint) != made_as:
        same = there.fingerprint == encode.fingerprint
        why = ": their tokenizer or config is another one, or not recorded" if same else ""
        say(f"replacing the existing vectors, by {there.encoder}{why}")
    known = _known(dataset, made_as, texts, say)
    new = [text for text in texts if text not in known]
    sha256, readout = encode.fingerprint
    made = {
        "encoder": encoder,
        "sha256": sha256,
        "readout": readout,
        "settings": encode.settings,
        "hub_id": _hub_id(encode.hub_id, args.encoder_id, there, sha256),
        "max_tokens": str(encode.max_tokens),
    }
    path = dataset.version_dir / CAPTION_VECTORS
    unfinished = path.with_name(UNFINISHED_VECTORS)
    with _Kept(unfinished, known, made, say) as kept:
        if new:
            known |= dict(zip(new, encode(new, progress=True, keep=kept.add), strict=True))
            if cut := encode.cut(new):
                say(f"warning: {cut.note}")
        known = {text: known[text] for text in texts}
        write_caption_vectors(path, known, **made)
    digests.remove(unfinished)
    say(
        f"{path}: {len(texts)} texts x {len(known[texts[0]])}, {len(new)} of them new; {encoder}, "
        f"readout {readout}, at most {encode.max_tokens} tokens"
    )
    if args.texts:  # now that they have vectors
        path = dataset.version_dir / CLASS_TEXTS
        with digests.recording(path):
            files.write_json(path, class_texts)
        for kind, of_class in class_texts.items():
            say(f"{path}: {sum(map(len, of_class.values()))} {kind} for {len(of_class)} classes")


def _absolute(source: str) -> str:
    """The source of an encoder as it is stored: a folder by its absolute path."""
    folder = files.expand(source)
    return str(folder.absolute()) if folder.is_dir() else source


def _readout(
    encoder: str, given: str | None, before: str | None, say: Callable[[str], None]
) -> str:
    """The readout of an encoder: as given, as of its existing vectors, as its files state.

    Raises:
      ValueError: its files state something that is not computed here, and no readout is given.
    """
    from motionalign.inference.sentence_encoder import READOUT, stated_readout

    stated, asked = stated_readout(encoder), given or before
    if stated.other and asked is None:
        raise ValueError(
            f"{encoder} states {stated.other}, which is not computed here. Choose another encoder, "
            "or a --readout of its token outputs"
        )
    if stated.unknown:
        say(stated.unknown)
    if asked and (stated.other or stated.readout not in (None, asked)):
        whose = "--readout" if given else "of the existing vectors"
        say(
            f"warning: readout {asked} ({whose}) is not what {encoder} states: "
            f"{stated.other or f'readout {stated.readout}'}"
        )
    return asked or stated.readout or READOUT


def _hub_id(found: str, given: str | None, there: CaptionVectors | None, sha256: str) -> str:
    """The Hub id of an encoder, as far as it is known.

    Args:
      found: where its files are from; "" if that is not known.
      given: by the user.
      there: the existing vectors, which are by the same encoder if its weights are the same.
      sha256: of its weights.

    Raises:
      ValueError: the one that is given is not that of the files.
    """
    if given:
        check_hub_id(given, found)
    if not found and there and there.fingerprint[0] == sha256:
        found = there.hub_id
    same = given is None or given == found.partition("@")[0]  # the commit says more
    return found if same else given


def _known(
    dataset: Dataset, made_as: MadeAs, texts: list[str], say: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """{text: vector} of the texts that the same encoder has encoded before.

    They are looked for in the dataset, in what a run that was stopped left, and then in the other
    datasets beside it. `say` receives how many come from elsewhere.
    """
    data_dir = dataset.version_dir.parents[1]
    own = [dataset.version_dir / CAPTION_VECTORS, dataset.version_dir / UNFINISHED_VECTORS]
    others = sorted(data_dir.glob(f"[!.]*/{VERSION}/{CAPTION_VECTORS}"))
    known: dict[str, np.ndarray] = {}
    for path in dict.fromkeys([*own, *others]):
        missing = [text for text in texts if text not in known]
        if not missing or not path.is_file():
            continue
        found = _vectors_at(path, made_as, missing, say)
        known |= found
        if found and path != own[0]:
            say(f"{len(found)} vectors are taken from {path}")
    return known


def _vectors_at(
    path: pathlib.Path, made_as: MadeAs, texts: list[str], say: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """The finite vectors of some texts in a file, if it is by the same encoder."""
    try:
        there = CaptionVectors.read(path, finite=False)
    except Exception as error:  # whatever is wrong with it: its vectors can be computed again
        say(f"{path} is not used, since it cannot be read: {error}")
        return {}
    if (there.settings, there.fingerprint) != made_as:
        return {}
    rows = {text: there.vectors[there.rows[text]] for text in texts if text in there.rows}
    return {text: vector for text, vector in rows.items() if np.isfinite(vector).all()}


class _Kept:
    """A context that keeps vectors in a file as they come, unless it ends without an exception.

    They are written every `SAVE_SECONDS`, and when the process is stopped.
    """

    def __init__(
        self,
        path: pathlib.Path,
        known: Mapping[str, np.ndarray],
        made: dict[str, str],
        say: Callable[[str], None],
    ) -> None:
        """`known`: vectors {text: [D]} to keep with the new ones; `made`: their encoder."""
        self._path, self._made, self._say = path, made, say
        self._vectors = dict(known)
        self._saved, self._changed = time.monotonic(), False

    def __enter__(self) -> "_Kept":
        return self

    def add(self, texts: list[str], vectors: np.ndarray) -> None:
        """Keeps the vectors [B, D] of B texts."""
        pairs = zip(texts, vectors, strict=True)
        self._vectors |= {text: vector for text, vector in pairs if np.isfinite(vector).all()}
        self._changed = True
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        write_caption_vectors(self._path, self._vectors, **self._made)
        self._saved, self._changed = time.monotonic(), False

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind and self._changed and self._vectors:
            self._save()
            self._say(f"{len(self._vectors)} vectors are kept: the same command goes on from there")
