"""Suggests the next commands for a prepared dataset, printed at the end of data preparation."""

import pathlib
import shlex

from motionalign.data.dataset import Dataset

# Configs that train on sentence vectors: the dataset must be embedded first.
_ON_VECTORS = ("babel60_gaitformer", "densegait_gaitformer", "mocap_actions")

# The default dataset of a config whose name differs from that of its reader.
_DATASETS = {"mocap_actions": "actions", "mocap_small": "mocap"}

# The sentence encoder that mocap_actions is tuned for.
_MINILM = " --encoder=sentence-transformers/all-MiniLM-L6-v2 --readout=mean"


def next_commands(dataset: Dataset, config: str, default_name: str) -> str:
    """The next commands: inspecting the dataset, embedding its texts if needed, training.

    Args:
      dataset: the prepared dataset.
      config: the shipped config of its reader. If the dataset has labels or attributes and `config`
        does not train on them, mocap_actions is suggested instead.
      default_name: the default dataset of `config`.
    """
    metadata = dataset.metadata
    labelled = metadata.label_names or metadata.attribute_names
    if labelled and config not in _ON_VECTORS:
        config = "mocap_actions"
    elif config == "humanml3d_vit" and dataset.name != default_name:  # a library of one's own
        config = "mocap_small"
    default_name = _DATASETS.get(config, default_name)
    argument = "" if metadata.label_names or config != "mocap_actions" else ":attributes"
    where = _option("--data_dir", dataset.version_dir.parents[1], "data")
    lines = ["", "Next:", f"  python -m data_prep show --name={dataset.name}{where}"]
    if metadata.skeleton.dims == 2 and config not in _ON_VECTORS:
        return "\n".join(lines)  # no shipped config trains on captions of keypoints
    if config in _ON_VECTORS and dataset.caption_vectors is None:
        encoder = _MINILM if config == "mocap_actions" else ""
        lines.append(f"  python -m data_prep embed --name={dataset.name}{where}{encoder}")
    lines.append(
        f"  python -m motionalign train --config=configs/{config}.py{argument}"
        + _option("--config.data.datasets", dataset.name, default_name)
        + _option("--config.data.data_dir", dataset.version_dir.parents[1], "data")
    )
    return "\n".join(lines)


def _option(name: str, value: str | pathlib.Path, default: str) -> str:
    return "" if str(value) == default else f" {name}={shlex.quote(str(value))}"
