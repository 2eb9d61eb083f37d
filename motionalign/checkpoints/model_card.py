"""The model card: README.md of a shared model."""

from collections.abc import Mapping
from typing import Any

from motionalign.data.dataset import Metadata
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.families import representation_of
from motionalign.report import tables


def model_card(name: str, run: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    """Writes the README.md of a shared model: description, usage, results.

    Args:
      name: name of the folder.
      run: metadata stored with the parameters.
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
    lines = [
        "```python",
        "import motionalign",
        "",
        f'model = motionalign.load("{name}")  # this folder, or its Hub id',
        f"motion = model.encode_motion({read}, fps=30)  # {shape}",
    ]
    if architecture.text is not None or run["text_encoder"]:
        lines.append('text = model.encode_text("a person waves with the left hand")')
    if architecture.classifier:
        lines[-1] = f"model.class_names, model.classify({read}, fps=30)  # {shape}"
    return [*lines, "```"]


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
    return [f"{results['dataset']}, split {results['split']}:", "", table]
