"""Caption vectors: every distinct caption of a prepared dataset through a frozen sentence encoder.

By the cosine of these vectors training leaves out negatives whose captions say nearly the same, the
all_threshold protocol counts near-duplicates as right, and the dissimilar protocol chooses its
gallery where none was published.
Writes <data_dir>/<name>/1.0.0/caption_vectors.safetensors: `vectors` [K, D] float32 as the encoder
gives them, not normalised, `captions` (K lines of UTF-8, sorted), and which encoder it was.

examples:
  python -m data_prep embed --name=humanml3d
  python -m data_prep embed --name=humanml3d --encoder=WhereIsAI/UAE-Large-V1 --readout=first
  python -m data_prep embed --name=humanml3d --encoder=sentence-transformers/all-mpnet-base-v2
"""

import argparse
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

BATCH_SIZE = 64
BUCKET = 16  # token lengths are rounded up to a multiple, so that few shapes are compiled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m data_prep embed`."""
    parser.add_argument(
        "--data_dir", default="data", help="parent of all prepared datasets (default: %(default)s)"
    )
    parser.add_argument("--name", required=True, help="of the prepared dataset")
    parser.add_argument(
        "--encoder",
        default="sentence-transformers/all-MiniLM-L6-v2",
        help="BERT, DistilBERT, MPNet or CLIP in Hugging Face's layout: a folder or a Hub id, "
        "optionally @revision (default: %(default)s)",
    )
    parser.add_argument(
        "--readout",
        choices=("first", "mean", "end"),
        default="mean",
        help="first: the first token's output; mean: over all tokens (default: %(default)s); end: "
        "of CLIP, at the end of the text; the encoder's authors say which it was trained for",
    )


def run(args: argparse.Namespace) -> None:
    """Embeds the captions of the dataset that the flags name."""
    from motionalign import records

    version_dir = records.Dataset(args.data_dir, args.name).version_dir
    splits = sorted(path.stem.removeprefix("index-") for path in version_dir.glob("index-*.npz"))
    captions = sorted(
        {
            caption
            for split in splits
            for clip in records.Split(version_dir, split).captions
            for caption in clip
        }
    )
    vectors, sha256 = encode(captions, args.encoder, args.readout, progress=True)
    path = version_dir / records.CAPTION_VECTORS
    partial = path.with_suffix(".partial")
    _save(partial, captions, vectors, encoder=args.encoder, sha256=sha256, readout=args.readout)
    os.replace(partial, path)
    print(f"{path}: {len(captions)} captions x {vectors.shape[1]}, {args.encoder}, {args.readout}")


def encode(
    captions: Sequence[str], encoder: str, readout: str, progress: bool = False
) -> tuple[np.ndarray, str]:
    """Vectors of sentences, as `encoder` gives them.

    Args:
      captions: K sentences.
      encoder: a folder or Hub id of a text encoder in Hugging Face's layout.
      readout: "first" or "mean".
      progress: shows a bar.

    Returns:
      [K, D] float32, and the SHA-256 of the encoder's weights.
    """
    import jax
    from flax import nnx
    from tqdm import tqdm

    from motionalign.models import pretrained
    from motionalign.models.dual_encoder import text_tower
    from motionalign.text import Tokenizer

    source = pretrained.Source(encoder)
    family, config = text_tower(source, readout=readout)
    graphdef, params = nnx.split(nnx.eval_shape(lambda: family.module(config, rngs=nnx.Rngs(0))))
    params = pretrained.load(params, source, family.key_map())
    tokenizer = Tokenizer.from_source(encoder, config.max_positions)
    ids, mask = tokenizer.encode(captions)

    @jax.jit
    def forward(params, ids, mask):
        # Accelerators multiply float32 with fewer bits by default; these vectors are kept.
        with jax.default_matmul_precision("highest"):
            return nnx.merge(graphdef, params)(ids, mask)

    lengths = mask.sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    vectors = np.zeros((len(captions), config.width), np.float32)
    with tqdm(total=len(captions), desc="captions", disable=not progress) as bar:
        for start in range(0, len(captions), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            length = min(-(-lengths[rows[-1]] // BUCKET) * BUCKET, config.max_positions)
            shape = (BATCH_SIZE, length)
            batch = (_fitted(ids[rows], shape), _fitted(mask[rows], shape))
            vectors[rows] = np.asarray(forward(params, *batch))[: len(rows)]
            bar.update(len(rows))
    return vectors, _sha256(source.weights())


def _fitted(x: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """`x` cut and zero-padded to `shape`; what is cut are columns of padding."""
    out = np.zeros(shape, x.dtype)
    rows, columns = x.shape[0], min(x.shape[1], shape[1])
    out[:rows, :columns] = x[:, :columns]
    return out


def _sha256(paths) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _save(path: pathlib.Path, captions: list[str], vectors: np.ndarray, **metadata: str) -> None:
    from safetensors.numpy import save

    assert not any("\n" in caption for caption in captions)
    lines = np.frombuffer("\n".join(captions).encode(), np.uint8)
    # save_file would make a file that nobody but its owner may read.
    path.write_bytes(save({"vectors": vectors, "captions": lines}, metadata))
