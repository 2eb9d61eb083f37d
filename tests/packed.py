"""The packed labelled sets of the reference data, in plain NumPy."""

import numpy as np


def clip(test_data, name, file):
    """Positions [T, P, J, 3] in metres of a clip, and its labels."""
    with np.load(test_data / "actions" / f"{name}.npz") as stored:
        arrays = dict(stored)
    index = arrays["files"].tolist().index(file)
    start, end = np.r_[0, np.cumsum(arrays["lengths"])][index : index + 2]
    label = {each: arrays[f"{each}s"][index].item() for each in ("subject", "view", "trial")}
    label["class"] = arrays["class_names"][arrays["labels"][index]].item()
    if name == "nw_ucla":
        label["class"] = label["class"].replace("_", " ")
    return arrays["positions_int16"][start:end] * float(arrays["scale"]), label
