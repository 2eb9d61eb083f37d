"""The model card: README.md of a shared model."""

import re
from collections.abc import Mapping
from typing import Any

from motionalign.data.dataset import Metadata, encoder_name, possible_hub_id
from motionalign.models import motion_language
from motionalign.models.architectures import architecture_of
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.report import tables


def model_card(name: str, run: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    """Writes the README.md of a shared model: description, usage, results.

    Args:
      name: name of the folder.
      run: metadata stored with the parameters, without paths.
      results: content of a metrics.json; None: not evaluated.
    """
    front = ["---", "library_name: motionalign"]
    front += ["tags: [motion-retrieval, human-motion, jax]", "---"]
    lines = [*front, "", f"# {name}", "", _about(run), "", *_usage(name, run), "", *_facts(run)]
    return "\n".join([*lines, "", "## Results", "", *_results(results)]) + "\n"


def _about(run: Mapping[str, Any]) -> str:
    """What the model does, in a sentence."""
    if run["kind"] == motion_language.TOKENIZER_KIND:
        return "Writes 3D human motion as sentences of tokens, for language models to read."
    if run["kind"] == motion_language.KIND:
        return "Recognises 3D human motion: a language model reads it as a sentence and names it."
    if run["architecture"]["classifier"]:
        return "Recognises 3D human motion."
    return (
        "Embeds 3D human motion and language in one space, to search and recognise motion by text."
    )


def _usage(name: str, run: Mapping[str, Any]) -> list[str]:
    """The code example of a model card."""
    architecture = architecture_of(run["kind"]).config.from_dict(run["architecture"])
    representation = architecture.representation(run["config"]["data"]["frame_bucket"])
    read, shape = representation.raw_field, representation.raw_shape
    if not isinstance(architecture, DualEncoderConfig):
        return _usage_of_tokens(name, run, shape)
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


def _usage_of_tokens(name: str, run: Mapping[str, Any], shape: str) -> list[str]:
    """The code example of a model of motion tokens."""
    if run["kind"] == motion_language.TOKENIZER_KIND:
        given, frozen = "", None
        last = ["model.sentence(joints, fps=30)  # a token for every few frames of each person"]
    else:
        frozen = next((t for t in run["frozen"] if t["under"] == motion_language.TOWER), None)
        given = ""
        if frozen and not possible_hub_id(frozen["source"]):
            given = f', language_model="{frozen["source"]}"'
        last = [
            'names = ["walk", "sit down", "wave"]  # any names, also of actions not trained on',
            "print(model.recognise(joints, names, fps=30))  # the best first",
        ]
    return [
        "```python",
        "import motionalign",
        "",
        f'model = motionalign.load("{name}"{given})  # this folder, or its Hub id',
        "joints = model.example_clip()  # a made-up clip; put yours in its place",
        f"# {shape}, in metres and Y up unless you say otherwise",
        *last,
        "```",
        *(_about_language_model(frozen) if frozen else []),
    ]


def _about_language_model(frozen: Mapping[str, Any]) -> list[str]:
    """How the frozen language model, which is not in the folder, is found."""
    name = frozen["source"]
    if frozen["seed"] is not None:
        return ["", f"The language model is that of {name} with random weights, as a control."]
    where = (
        f"is [{name}](https://huggingface.co/{name.partition('@')[0]}) on the Hugging Face Hub, "
        "from where loading downloads it. To use a copy, give its folder: "
        "`motionalign.load(..., language_model=FOLDER)`"
        if possible_hub_id(name)
        else f"was given to training as `{name}`; its id on the Hub is not recorded. The argument "
        "`language_model` is its path on your machine, or its id on the Hub"
    )
    return [
        "",
        "The language model is frozen and not part of this folder, which has the motion tokenizer "
        f"and the adapters. It {where}. Its files are verified: other weights are an error.",
        "",
        f"    SHA-256 of its weights   {frozen['sha256']}",
    ]


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
    dual = architecture_of(run["kind"]).config is DualEncoderConfig
    lines = ["| | |", "|---|---|", *(_dual_encoder(run) if dual else _motion_tokens(run))]
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


def _dual_encoder(run: Mapping[str, Any]) -> list[str]:
    """The rows of a model that embeds or classifies."""
    architecture, frozen = run["architecture"], run["text_encoder"]
    text, classifier = architecture["text"], architecture["classifier"]
    encoder = _sizes(text) if text else frozen["encoder"] if frozen else "none"
    embedding = (
        f"| embedding | {architecture['embed_dim']} dimensions, compared by "
        f"{run['distance'] or 'cosine'} distance |"
    )
    return [
        f"| motion encoder | {_sizes(architecture['motion'])} |",
        f"| text encoder | {encoder} |",
        f"| classes | {len(classifier['names'])} |" if classifier else embedding,
    ]


def _motion_tokens(run: Mapping[str, Any]) -> list[str]:
    """The rows of a motion tokenizer, or of a language model with one."""
    architecture = architecture_of(run["kind"]).config.from_dict(run["architecture"])
    language = isinstance(architecture, motion_language.MotionLanguageConfig)
    tokenizer = architecture.tokenizer if language else architecture
    quantizer, bodies = tokenizer.quantizer, tokenizer.bodies
    words = (
        f"{quantizer.codes} {quantizer.kind} codes"
        if quantizer.has_codes
        else "continuous features"
    )
    persons = "1 person" if bodies.persons == 1 else f"up to {bodies.persons} persons"
    lines = [
        f"| motion tokens | {words} of width {quantizer.width}; {tokenizer.tokens} a person, "
        f"{persons}, {bodies.joints} joints |"
    ]
    if language:
        llama, lora = architecture.llama, architecture.llama.lora
        trained = f"adapters of rank {lora.rank}, alpha {lora.alpha:g}" if lora else "all of it"
        lines += [
            f"| language model | LLaMA, {llama.depth} layers of width {llama.width} |",
            f"| trained | {trained} |",
        ]
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
