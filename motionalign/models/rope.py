"""Rotary position embedding (Su et al., 2021) and its scaling to longer texts."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motionalign import reading
from motionalign.models import layers


@dataclasses.dataclass(frozen=True)
class RopeScaling(layers.Config):
    """How the frequencies differ from the published base^(-2i/d).

    The fields after `factor` are those of one kind; the others ignore them. Names and formulas are
    those of Hugging Face's `rope_scaling`.

    Attributes:
      kind: "linear" (Chen et al., 2023): all frequencies are divided by `factor`. "dynamic" (NTK):
        the base grows with texts longer than the model's context; up to it, nothing changes.
        "llama3" (LLaMA 3.1): low frequencies are divided, high ones kept. "yarn" (Peng et al.,
        2023): a ramp between divided and kept frequencies, and longer queries and keys.
      factor: ratio of the new context to the original one.
      original_positions: context of the pretraining, in tokens (llama3, yarn).
      low_freq_factor: wavelengths above original_positions / this are divided (llama3).
      high_freq_factor: wavelengths below original_positions / this are kept (llama3).
      beta_fast: dimensions with more rotations than this in the original context are kept (yarn).
      beta_slow: dimensions with fewer rotations than this are divided (yarn).
      attention_factor: factor of rotated queries and keys (yarn); None: 0.1 ln(factor) + 1.
      truncate: whether the ends of the ramp are rounded to whole dimensions (yarn).
    """

    kind: str
    factor: float
    original_positions: int | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        """Raises a ValueError for an unknown kind and for values that it cannot have."""
        layers.check_types(RopeScaling, vars(self))
        layers.check_choice(self.kind, ("linear", "dynamic", "llama3", "yarn"), "RopeScaling.kind")
        if self.factor < 1:
            raise ValueError(f"RopeScaling.factor is {self.factor}; it must be at least 1")
        if self.kind in ("llama3", "yarn") and (self.original_positions or 0) < 1:
            raise ValueError(
                f"RopeScaling.original_positions is {self.original_positions}; kind={self.kind!r} "
                "needs the context length of the pretraining"
            )
        if self.kind == "llama3" and not 0 < self.low_freq_factor < self.high_freq_factor:
            raise ValueError(
                f"RopeScaling.low_freq_factor is {self.low_freq_factor}; it must be above 0 and "
                f"below high_freq_factor, {self.high_freq_factor}"
            )
        if self.kind == "yarn" and not 0 < self.beta_slow < self.beta_fast:
            raise ValueError(
                f"RopeScaling.beta_slow is {self.beta_slow}; it must be above 0 and below "
                f"beta_fast, {self.beta_fast}"
            )


def frequencies(width: int, base: float, scaling: RopeScaling | None) -> tuple[np.ndarray, float]:
    """The angles by which one position rotates, [width / 2] float32, and the factor of the result.

    They are computed in float32, as the published models compute them.
    """
    powers = np.float32(base) ** (np.arange(0, width, 2, dtype=np.float32) / np.float32(width))
    angles = 1 / powers
    if scaling is None or scaling.kind == "dynamic":  # the base is kept within the context
        return angles, 1.0
    if scaling.kind == "linear":
        return angles / np.float32(scaling.factor), 1.0
    if scaling.kind == "llama3":
        return _llama3(angles, scaling), 1.0
    return _yarn(powers, width, base, scaling)


def _llama3(angles: np.ndarray, scaling: RopeScaling) -> np.ndarray:
    """The frequencies of LLaMA 3.1."""
    assert scaling.original_positions is not None
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    rotations = scaling.original_positions * angles / (2 * math.pi)  # in the original context
    kept = np.clip((rotations - low) / (high - low), 0, 1)
    return ((1 - kept) * angles / scaling.factor + kept * angles).astype(np.float32)


def _yarn(
    powers: np.ndarray, width: int, base: float, scaling: RopeScaling
) -> tuple[np.ndarray, float]:
    """The frequencies and the factor of YaRN; `powers`: [width / 2], inverse frequencies."""
    original = scaling.original_positions
    assert original is not None

    def dimension(rotations: float) -> float:
        """The (fractional) dimension that rotates so often in the original context."""
        wavelength = original / (rotations * 2 * math.pi)
        return width * math.log(wavelength) / (2 * math.log(base))

    first, last = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    last += 0.001 * (first == last)
    divided = np.clip((np.arange(width // 2) - first) / (last - first), 0, 1)
    angles = divided / (scaling.factor * powers) + (1 - divided) / powers
    factor = scaling.attention_factor
    if factor is None:
        factor = 0.1 * math.log(scaling.factor) + 1
    return angles.astype(np.float32), factor


def rotation(
    positions: jax.Array, width: int, base: float, scaling: RopeScaling | None
) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines [B, L, width / 2] float32 of the angles at positions [B, L]."""
    angles, factor = frequencies(width, base, scaling)
    turned = positions.astype(jnp.float32)[..., None] * angles
    return jnp.cos(turned) * factor, jnp.sin(turned) * factor


def rotate(x: jax.Array, cosines: jax.Array, sines: jax.Array) -> jax.Array:
    """Rotates x [B, L, H, d] by angles [B, L, d / 2] in float32, and returns the dtype of `x`.

    Pairs are (i, i + d / 2), as in Hugging Face's models, not (2i, 2i + 1) as in Meta's files.
    """
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cosines, sines = cosines[:, :, None], sines[:, :, None]
    turned = (first * cosines - second * sines, second * cosines + first * sines)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


_FIELDS = {  # of config.json → ours
    "factor": "factor",
    "original_max_position_embeddings": "original_positions",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "beta_fast": "beta_fast",
    "beta_slow": "beta_slow",
    "attention_factor": "attention_factor",
    "truncate": "truncate",
}
_KINDS = {  # the fields of each kind
    "linear": ("factor",),
    "dynamic": ("factor", "original_max_position_embeddings"),
    "llama3": (
        "factor",
        "original_max_position_embeddings",
        "low_freq_factor",
        "high_freq_factor",
    ),
    "yarn": (
        "factor",
        "original_max_position_embeddings",
        "beta_fast",
        "beta_slow",
        "attention_factor",
        "mscale",
        "mscale_all_dim",
        "truncate",
    ),
}


def from_hf(
    source: Mapping[str, Any], max_positions: int, default_base: float = 10_000.0
) -> tuple[float, RopeScaling | None]:
    """The base and the scaling that a config.json states.

    Args:
      source: content of the config.json: `rope_theta` and `rope_scaling`, or, as transformers 5
        writes them, both in `rope_parameters`.
      max_positions: context of the model.
      default_base: the base if none is stated.

    Raises:
      ValueError: names a field that is missing or unknown or has an unsupported value.
    """
    name = "rope_parameters" if source.get("rope_parameters") else "rope_scaling"
    stated = source.get(name) or {}
    reading.check_form(stated, dict, name)
    given = {key: value for key, value in stated.items() if value is not None}
    base = given.pop("rope_theta", source.get("rope_theta"))
    base = default_base if base is None else base
    reading.check_form(base, float, "rope_theta")
    kinds = [given.pop(key) for key in ("rope_type", "type") if key in given] or ["default"]
    if len(kinds) == 2 and kinds[0] != kinds[1]:
        raise ValueError(f"{name} has rope_type {kinds[0]!r} and type {kinds[1]!r}")
    layers.check_choice(kinds[0], ("default", *_KINDS), f"the rope_type of {name}")
    layers.check_choice(
        given.pop("partial_rotary_factor", 1.0), (1.0,), f"partial_rotary_factor of {name}"
    )
    layers.check_keys(given, _KINDS.get(kinds[0], ()), f"{name} of type {kinds[0]}")
    if kinds[0] == "default":
        return float(base), None
    return float(base), _scaling(kinds[0], given, source, max_positions, name)


def _scaling(
    kind: str, given: dict[str, Any], source: Mapping[str, Any], max_positions: int, name: str
) -> RopeScaling:
    """The scaling of this kind, from the fields that `name` of a config.json states."""
    missing = {"factor", "low_freq_factor", "high_freq_factor"} & set(_KINDS[kind]) - set(given)
    if kind in ("llama3", "yarn"):
        original = source.get("original_max_position_embeddings")  # takes precedence
        original = original or given.get("original_max_position_embeddings") or max_positions
        reading.check_form(original, int, f"{name}: original_max_position_embeddings")
        given["original_max_position_embeddings"] = original
        if kind == "yarn" and "factor" in missing:
            given["factor"] = max(1.0, max_positions / original)
            missing = set()
    if missing:
        raise ValueError(f"{name} of type {kind} lacks {', '.join(sorted(missing))}")
    scales = [given.pop(key, None) for key in ("mscale", "mscale_all_dim")]
    if all(scales) and "attention_factor" not in given:
        reading.check_form(scales, list[float], f"{name}: mscale and mscale_all_dim")
        log = 0.1 * math.log(max(1.0, given["factor"]))
        given["attention_factor"] = (scales[0] * log + 1) / (scales[1] * log + 1)
    return RopeScaling(kind, **{_FIELDS[key]: value for key, value in given.items()})
