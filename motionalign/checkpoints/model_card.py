"""The model card: README.md of a shared model."""

import re
from collections.abc import Mapping
from typing import Any

from motionalign.data.dataset import Metadata, encoder_name
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.families import representation_of
from motionalign.report import tables


def model_card(name: str, run: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    """Writes the README.md of a shared model: description, usage, results.

    Args:
      name: name of the folder.
      run: metadata stored with the parameters, without paths.
      results: content of a metrics.json; None: not evaluated.
    """
    classifier = run["architecture"]["classifier"]
    about = (
        "Recognises 3D human motion."
        if classifier
        else "Embeds 3D human motion and language in one space, to search and recognise motion by "
        "text."
    )
    front = ["---", "library_name: motionalign"]
    front += ["tags: [motion-retrieval, human-motion, jax]", "---"]
    lines = [*front, "", f"# {name}", "", about, "", *_usage(name, run), "", *_facts(run)]
    return "\n".join([*lines, "", "## Results", "", *_results(results)]) + "\n"


def _usage(name: str, run: Mapping[str, Any]) -> list[str]:
    """The code example of a model card."""
    architecture = DualEncoderConfig.from_dict(run["architecture"])
    representation = representation_of(architecture.motion, run["config"]["data"]["frame_bucket"])
    read, shape = representation.raw_field, representation.raw_shape
    frozen = run["text_encoder"]
    given = "" if not frozen or frozen["hub_id"] else f', text_encoder="{frozen["encoder"]}"'
    lines = [
        "```python",
        "import motionalign",
        "",
        f'model = motionalign.load("{name}"{given})  # this folder, or its Hub id',
        f"{read} = model.example_clip()  # a made-up clip; put yours in its place",
        f"motion = model.encode_motion({read}, fps=30)  # {shape}",
    ]
    if architecture.text is not None or frozen:
        lines.append('text = model.encode_text("a person waves with the left hand")')
    if architecture.classifier:
        lines[-1] = f"model.class_names, model.classify({read}, fps=30)  # {shape}"
    return [*lines, "```", *(_about_encoder(frozen) if frozen else [])]


def _about_encoder(frozen: Mapping[str, Any]) -> list[str]:
    """How the frozen text encoder, which is not in the folder, is found."""
    hub_id, name = frozen["hub_id"], frozen["encoder"]
    if hub_id:
        where = (
            f"is [{name}](https://huggingface.co/{name.partition('@')[0]}) on the Hugging Face "
            "Hub, from where the first text downloads it, unless the Hub's cache on your machine "
            "has it. To use a copy in a folder, give that: "
            "`motionalign.load(..., text_encoder=FOLDER)`"
        )
    else:
        where = (
            f"was given to training as a folder `{name}`; its id on the Hub is not recorded. The "
            "argument `text_encoder` is the path of its folder on your machine, or its id on the "
            "Hub"
        )
    return [
        "",
        f"The text encoder is frozen and not part of this folder. It {where}. Its files are "
        "verified: another encoder is an error.",
        "",
        f"    readout                  {frozen['readout']}",
        f"    SHA-256 of its weights   {frozen['sha256']}",
    ]


def _facts(run: Mapping[str, Any]) -> list[str]:
    """The table of a model's properties."""
    architecture, frozen = run["architecture"], run["text_encoder"]
    text, classifier = architecture["text"], architecture["classifier"]
    encoder = _sizes(text) if text else frozen["encoder"] if frozen else "none"
    lines = ["| | |", "|---|---|"]
    lines.append(f"| motion encoder | {_sizes(architecture['motion'])} |")
    lines.append(f"| text encoder | {encoder} |")
    if classifier:
        lines.append(f"| classes | {len(classifier['names'])} |")
    else:
        lines.append(
            f"| embedding | {architecture['embed_dim']} dimensions, compared by "
            f"{run['distance'] or 'cosine'} distance |"
        )
    if source := run["source"]:
        lines.append(f"| converted from | {source['file']} ({source['format']}) |")
    elif run["score"] is not None:
        lines.append(f"| checkpoint | step {run['step']}, validation score {run['score']:.2f} |")
    else:
        lines.append(f"| checkpoint | step {run['step']} |")
    for dataset, values in run["datasets"].items():
        metadata = Metadata.from_json(values)
        unit = metadata.unit_in_metres
        unit = "of unknown unit" if unit is None else f"of {unit:g} m"
        lines.append(
            f"| trained on | {dataset}: skeleton {metadata.skeleton.name}, {metadata.fps:g} frames "
            f"a second, coordinates {unit} |"
        )
    return lines


def _sizes(encoder: Mapping[str, Any]) -> str:
    """Describes the size of an encoder; not all have a depth."""
    layers = f"{encoder['depth']} layers of " if "depth" in encoder else ""
    return f"{encoder['family']}, {layers}width {encoder['width']}"


def _results(results: Mapping[str, Any] | None) -> list[str]:
    if results is None:
        return ["Not evaluated yet."]
    # Results for classes contain their table; for captions it is made from the scores.
    table = results["table"] if "table" in results else tables.format_table(results)
    return [f"{results['dataset']}, split {results['split']}:", "", _without_paths(table)]


def _without_paths(table: str) -> str:
    """A table whose notes name encoders by the names of their folders; older ones state paths."""

    def name(found: re.Match) -> str:
        return f"encoder {encoder_name(found[1])}, readout"

    return re.sub(r"\bencoder ([^\n]+?), readout\b", name, table)
