"""motionalign.checkpoints.model_card."""

from collections.abc import Mapping
from typing import Any

from motionalign.report import tables


def model_card(name: str, run: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    """README.md of a shared model: what it is, how to use it, how it scores."""

    architecture = run["architecture"]
    motion, text = architecture["motion"], architecture["text"]
    sizes = "{family}, {depth} layers of width {width}"
    read = ("joints", "[frames, joints, 3]")
    if motion.get("channels") == 6:
        read = ("rotations", f"6D, [frames, {motion['joints']}, 6]")
    lines = [
        "---",
        "library_name: motionalign",
        "tags: [motion-retrieval, human-motion, jax]",
        "---",
        "",
        f"# {name}",
        "",
        "Recognises 3D human motion."
        if architecture.get("classifier")
        else "Puts 3D human motion and language in one space, to search and recognise motion by "
        "words.",
        "",
        "```python",
        "import motionalign",
        "",
        f'model = motionalign.load("{name}")  # this folder, or its Hub id',
        f"motion = model.encode_motion({read[0]}, fps=30)  # {read[1]}",
    ]
    frozen = run.get("text_encoder")
    if text is not None or frozen:
        lines.append('text = model.encode_text("a person waves with the left hand")')
    if classifier := architecture.get("classifier"):
        lines[-1] = f"model.class_names, model.classify({read[0]}, fps=30)  # {read[1]}"
    lines += [
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| motion encoder | {sizes.format(**motion)} |",
        "| text encoder | "
        + (sizes.format(**text) if text else frozen["encoder"] if frozen else "none")
        + " |",
        f"| classes | {len(classifier['names'])} |"
        if classifier
        else f"| embedding | {architecture['embed_dim']} numbers, compared by the "
        f"{run.get('distance', 'cosine')} distance |",
    ]
    if source := run.get("source"):
        lines.append(f"| converted from | {source['file']} ({source['format']}) |")
    elif run.get("score") is not None:
        lines.append(f"| checkpoint | step {run['step']}, validation score {run['score']:.2f} |")
    else:
        lines.append(f"| checkpoint | step {run['step']} |")
    for dataset, values in run["datasets"].items():
        unit = values["unit_in_metres"]
        unit = "of unknown unit" if unit is None else f"of {unit:g} m"
        lines.append(
            f"| trained on | {dataset}: skeleton {values['skeleton']}, {values['fps']:g} frames a "
            f"second, coordinates {unit} |"
        )
    lines += ["", "## Results", ""]
    if results is None:
        lines.append("Not evaluated yet.")
    else:
        lines.append(f"{results.get('dataset')}, split {results.get('split')}:")
        # Of classes the table is there; of captions it is made of the scores.
        lines += ["", results.get("table") or tables.format_table(results)]
    return "\n".join(lines) + "\n"
