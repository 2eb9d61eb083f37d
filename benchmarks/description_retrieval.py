"""How well descriptions of classes are told apart by a sentence encoder; no motions are involved.

  python -m benchmarks.description_retrieval --encoder=FOLDER data_prep/captions/babel60.json
  python -m benchmarks.description_retrieval --encoder=FOLDER before.json after.json --confusions

A model that is trained on descriptions can distinguish two classes only as far as the vectors of
their descriptions differ. For each file of class texts, the table says how many of its descriptions
find their own class, in percent, in three ways. All compare unit vectors by their cosine:

  leave one out  among the mean vectors of the classes' descriptions; the description itself is left
                 out of the mean of its class.
  nearest        the class of the most similar other description.

`--confusions` lists, for each class, where its descriptions go instead.
"""

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from motionalign import reading
from motionalign.inference.sentence_encoder import READOUT, SentenceEncoder, stated_readout
from motionalign.inference.similarity import cosine_similarity


class Found(NamedTuple):
    """The class that each of N descriptions finds, as indices [N], in three ways."""

    label: np.ndarray
    left_out: np.ndarray
    nearest: np.ndarray


def find(labels: np.ndarray, descriptions: np.ndarray, classes: np.ndarray) -> Found:
    """Finds the class of each description.

    Args:
      labels: [K, D], the vectors of the names of K classes.
      descriptions: [N, D], the vectors of descriptions.
      classes: [N], the class of each description; every class has at least two.

    Returns:
      The classes found; of equally similar ones the first.
    """
    assert np.bincount(classes, minlength=len(labels)).min() >= 2
    unit = descriptions / np.linalg.norm(descriptions, axis=1, keepdims=True)
    sums = np.zeros((len(labels), unit.shape[1]))
    np.add.at(sums, classes, unit)

    # The direction of a sum is that of the mean.
    own = np.arange(len(unit)), classes
    to_means = cosine_similarity(unit, sums)  # [N, K]
    rest = sums[classes] - unit
    to_means[own] = (rest * unit).sum(axis=1) / np.linalg.norm(rest, axis=1)

    to_others = cosine_similarity(unit, unit)  # [N, N]
    np.fill_diagonal(to_others, -np.inf)
    return Found(
        label=cosine_similarity(unit, labels).argmax(axis=1),
        left_out=to_means.argmax(axis=1),
        nearest=classes[to_others.argmax(axis=1)],
    )


def read_descriptions(path: pathlib.Path) -> dict[str, list[str]]:
    """Reads the descriptions of each class of a file like data_prep/captions/babel60.json.

    Raises:
      ValueError: the file has another form, or fewer than two descriptions of a class.
    """
    content = reading.read_json(path, {"classes": dict[str, dict[str, Any]]})
    texts = {name: texts.get("descriptions") for name, texts in content["classes"].items()}
    reading.check_form(texts, dict[str, list[str]], f"{path}: descriptions")
    few = [name for name, each in texts.items() if len(each) < 2]
    if few or not texts:
        raise ValueError(
            f"{path} has fewer than two descriptions of {few or 'any class'}; leaving one out "
            "needs at least two of each"
        )
    return texts


def confusions(found: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> list[str]:
    """One line for each class with a description that finds another one."""
    lines = []
    for index, name in enumerate(names):
        wrong = [names[other] for other in found[classes == index] if other != index]
        if wrong:
            lines.append(f"{name}: {', '.join(wrong)}")
    return lines


def measure(
    texts: Mapping[str, Sequence[str]], encoder: SentenceEncoder
) -> tuple[Found, np.ndarray]:
    """The classes found by the descriptions of `texts`, and their own classes [N]."""
    classes = np.repeat(np.arange(len(texts)), [len(each) for each in texts.values()])
    vectors = encoder([*texts, *(text for each in texts.values() for text in each)])
    return find(vectors[: len(texts)], vectors[len(texts) :], classes), classes


def main() -> None:
    """Prints a row for each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="files of class texts")
    parser.add_argument("--encoder", required=True, help="folder or Hub id of a sentence encoder")
    parser.add_argument(
        "--readout",
        choices=("first", "mean", "end"),
        help="how token outputs are pooled (default: as the encoder's files state, else first)",
    )
    parser.add_argument("--confusions", action="store_true", help="list what is found instead")
    args = parser.parse_args()
    readout = args.readout or stated_readout(args.encoder).readout or READOUT
    encoder = SentenceEncoder(args.encoder, readout)
    print("| descriptions | classes | texts | words each | own label | leave one out | nearest |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    listed = []
    for path in args.files:
        texts = read_descriptions(path)
        found, classes = measure(texts, encoder)
        words = np.mean([len(text.split()) for each in texts.values() for text in each])
        shares = " | ".join(f"{100 * np.mean(each == classes):.1f}" for each in found)
        print(f"| {path} | {len(texts)} | {len(classes)} | {words:.0f} | {shares} |")
        for kind, each in zip(("own label", "leave one out", "nearest"), found, strict=True):
            listed += [f"\n{path}, {kind}:", *confusions(each, classes, [*texts])]
    if args.confusions:
        print("\n".join(listed))


if __name__ == "__main__":
    main()
