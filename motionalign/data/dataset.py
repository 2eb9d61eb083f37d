"""A prepared dataset: its metadata, and the texts and vectors stored with its records.

A prepared dataset is the folder `<data_dir>/<name>/<version>` that `python -m data_prep` writes:
records (data/records.py), `metadata.json`, `report.json`, `class_texts.json` if the classes have
descriptions or synonyms, and `caption_vectors.safetensors` after `data_prep embed`.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from motionalign import digests, reading
from motionalign.config import VERSION_KEY, migrate
from motionalign.conventions import Origin
from motionalign.data.records import PREPARE_AGAIN, Split, read_lines
from motionalign.data.resample import check_fps
from motionalign.files import expand, hold, write_bytes
from motionalign.skeleton import Skeleton, get_skeleton

VERSION = "1.0.0"

CAPTION_VECTORS = "caption_vectors.safetensors"  # written by `data_prep embed`

UNFINISHED_VECTORS = "caption_vectors.unfinished.safetensors"  # of one that was stopped

CLASS_TEXTS = "class_texts.json"  # descriptions and synonyms of the classes

_TEXTS_AGAIN = "Delete it, and add the texts again with `data_prep embed --texts`"

_EMBED_AGAIN = "Delete it and run `data_prep embed` again"


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Properties shared by all records of a prepared dataset (`metadata.json`).

    A record's attributes (gender, clothing, ...) are probabilities [A]. Most attributes only have a
    name for their presence; O of them also have an opposite, a name for their absence: not female
    is male. The positive attributes of a record are therefore described by A + O names, see
    `positive_names`.
    """

    name: str
    skeleton: Skeleton
    patch_size: int | None
    fps: float
    unit_in_metres: float | None
    mean: np.ndarray  # [J, 3] float64, in the units of the joints
    std: np.ndarray  # [J, 3]
    source_fps: float
    label_names: tuple[str, ...] = ()  # the action classes; the index is the label
    attribute_names: tuple[str, ...] = ()  # A names
    attribute_groups: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    attribute_opposites: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # R of `rotations` [T, M, R, 6], those of the joints and then pairs of a left and a right one;
    # 0 if the records have none.
    num_rotations: int = 0
    sensor: str = "optical"  # a key of `conventions.SENSORS`
    accepted: tuple[str, ...] = ()  # of `conventions.REASONS`: what its clips may be
    origin: Origin | None = None  # HumanML3D's convention for the origin; None: not followed
    fingerprint: str | None = None  # of records and metadata; None: prepared before there was one
    protocol: str | None = None  # name of the published protocol that made clips and labels

    def __post_init__(self) -> None:
        """Checks the frame rates and statistics, which may come from a file."""
        for field in ("fps", "source_fps"):
            check_fps(getattr(self, field), f"dataset {self.name!r}: {field}")
        for field in ("mean", "std"):
            if not np.isfinite(getattr(self, field)).all():
                raise ValueError(
                    f"dataset {self.name!r}: the {field} is not finite. Prepare or copy it again"
                )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Metadata":
        """Reads the metadata of a dataset or model stored by this or an older motionalign.

        Raises:
          ValueError: a newer version stored it, or a field is missing or invalid.
        """
        values = migrate_metadata(values)
        reading.check_form(values, _METADATA, "the metadata of a dataset")
        metadata = cls(
            name=values["name"],
            skeleton=Skeleton.from_dict(values["skeleton"]),
            patch_size=values["patch_size"],
            fps=values["fps"],
            unit_in_metres=values["unit_in_metres"],
            mean=np.array(values["mean"]),
            std=np.array(values["std"]),
            source_fps=values["source_fps"],
            label_names=tuple(values["label_names"]),
            attribute_names=tuple(values["attribute_names"]),
            attribute_groups={
                group: tuple(names) for group, names in values["attribute_groups"].items()
            },
            attribute_opposites=values["attribute_opposites"],
            num_rotations=values["num_rotations"],
            sensor=values["sensor"],
            accepted=tuple(values["accepted"]),
            origin=None if values["origin"] is None else Origin.from_json(values["origin"]),
            fingerprint=values["fingerprint"],
            protocol=values["protocol"],
        )
        metadata._check()
        return metadata

    def _check(self) -> None:
        """Checks the consistency of the fields of a file."""
        expected = (self.skeleton.num_joints, 3)
        names = [*self.attribute_names, *self.attribute_opposites.values()]
        grouped = [name for group in self.attribute_groups.values() for name in group]
        holds = {
            "frames per second above 0": self.fps > 0 and self.source_fps > 0,
            "patches of one point or more": self.patch_size is None or self.patch_size > 0,
            "a unit above 0": self.unit_in_metres is None or self.unit_in_metres > 0,
            f"finite mean and std {list(expected)}, std above 0": all(
                value.shape == expected and value.dtype.kind == "f" and np.isfinite(value).all()
                for value in (self.mean, self.std)
            )
            and bool((self.std > 0).all()),
            "distinct names of classes": len({*self.label_names}) == len(self.label_names),
            "distinct names of attributes": len({*names}) == len(names),
            "attributes in its groups and with its opposites": {*self.attribute_names}
            >= {*grouped, *self.attribute_opposites},
        }
        if wrong := [what for what, is_so in holds.items() if not is_so]:
            raise ValueError(f"the metadata of {self.name!r} must have {wrong[0]}")

    def to_json(self) -> dict[str, Any]:
        """The content of metadata.json."""
        return {
            VERSION_KEY: len(METADATA_MIGRATIONS),
            "name": self.name,
            "skeleton": self.skeleton.to_dict(),
            "patch_size": self.patch_size,
            "fps": self.fps,
            "unit_in_metres": self.unit_in_metres,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "source_fps": self.source_fps,
            "label_names": list(self.label_names),
            "attribute_names": list(self.attribute_names),
            "attribute_groups": {k: list(names) for k, names in self.attribute_groups.items()},
            "attribute_opposites": dict(self.attribute_opposites),
            "num_rotations": self.num_rotations,
            "sensor": self.sensor,
            "accepted": list(self.accepted),
            "origin": None if self.origin is None else self.origin.to_json(),
            "fingerprint": self.fingerprint,
            "protocol": self.protocol,
        }

    def differences(self, other: "Metadata") -> list[str]:
        """Names of the fields in which the content of two datasets differs."""
        a, b = (json.loads(json.dumps(each.to_json())) for each in (self, other))
        return [name for name in _FINGERPRINTED if a[name] != b[name]]

    @property
    def positive_names(self) -> tuple[str, ...]:
        """The A + O names that can be positive: the attributes, then the opposites."""
        return self.attribute_names + tuple(self.attribute_opposites.values())

    def positive(self, attributes: np.ndarray) -> np.ndarray:
        """Probabilities [..., A] to bool [..., A + O] in the order of `positive_names`.

        An attribute is positive if its probability is above 0.5, an opposite if its attribute is
        not positive.
        """
        return positive_attributes(attributes, self.attribute_names, self.attribute_opposites)

    def present(self, attributes: np.ndarray) -> np.ndarray:
        """Probabilities [..., A] to bool [..., A]: like `positive`, without the opposites."""
        return self.positive(attributes)[..., : len(self.attribute_names)]

    def attribute_words(self, positive: np.ndarray) -> str:
        """Describes a row of `positive`, bool [A + O]: "male, normal weight, backpack"."""
        return attribute_words(positive, self.attribute_names, self.attribute_opposites)


_METADATA = {
    "name": str,
    "skeleton": dict,
    "patch_size": int | None,
    "fps": Any,  # checked by `check_fps`
    "unit_in_metres": float | None,
    "mean": list[list[float]],
    "std": list[list[float]],
    "source_fps": Any,
    "label_names": list[str],
    "attribute_names": list[str],
    "attribute_groups": dict[str, list[str]],
    "attribute_opposites": dict[str, str],
    "num_rotations": int,
    "sensor": str,
    "accepted": list[str],
    "origin": dict[str, float] | None,
    "fingerprint": str | None,
    "protocol": str | None,
}
"""The form of the current version."""


def migrate_whole_skeleton(values: dict[str, Any]) -> dict[str, Any]:
    """Migration 1: stores the full skeleton instead of its name, and adds missing fields.

    Classes, attributes and rotations become required fields. In version 0, shared models stored a
    description of the skeleton next to its name.
    """
    values = {
        "label_names": [],
        "attribute_names": [],
        "attribute_groups": {},
        "attribute_opposites": {},
        "num_rotations": 0,
        **values,
    }
    described = values.pop("skeleton_description", None)
    if described is None:
        return values | {"skeleton": get_skeleton(values["skeleton"]).to_dict()}
    return values | {"skeleton": {"dims": 3, **described}}  # descriptions without dims are 3D


_SYNTHETIC_ORIGIN = Origin(origin=0.01, floor=0.01, facing=10.0)  # its clips are slightly turned


def migrate_conventions(values: dict[str, Any]) -> dict[str, Any]:
    """Migration 2: adds the sensor, the accepted findings and the convention for the origin.

    Of older datasets, those with SMPL's joints in metres follow HumanML3D's convention, except
    those with rotations (BABEL), whose joints are computed from AMASS.
    """
    in_metres = values["skeleton"]["name"] == "smpl22" and values["unit_in_metres"] == 1
    follows = in_metres and not values["num_rotations"]
    synthetic = values["name"] == "synthetic"
    origin = (_SYNTHETIC_ORIGIN if synthetic else Origin()).to_json() if follows else None
    return values | {"sensor": "optical", "accepted": [], "origin": origin}


def migrate_fingerprint(values: dict[str, Any]) -> dict[str, Any]:
    """Migration 3: says that there is no fingerprint."""
    return {"fingerprint": None, **values}


def migrate_protocol(values: dict[str, Any]) -> dict[str, Any]:
    """Migration 4: names the protocol of datasets with labels.

    Of the older ones, those with rotations are BABEL's; the protocol of others is unknown.
    """
    is_babel = values["num_rotations"] and values["label_names"]
    return {"protocol": "BABEL: one category per sample" if is_babel else None, **values}


METADATA_MIGRATIONS: tuple[Callable[[dict], dict], ...] = (
    migrate_whole_skeleton,
    migrate_conventions,
    migrate_fingerprint,
    migrate_protocol,
)
"""Migration n converts stored metadata from version n - 1 to version n."""


def migrate_metadata(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Converts stored metadata to the current version; metadata without a version is version 0.

    Models store the metadata of their datasets; this migrates them too.
    """
    migrated = migrate(stored, METADATA_MIGRATIONS, "the metadata of a dataset")
    return {VERSION_KEY: len(METADATA_MIGRATIONS), **migrated}


# What a fingerprint covers apart from the records. Fixed: fields that are added later stay out, so
# that a fingerprint computed for an older dataset remains valid.
_FINGERPRINTED = (
    "skeleton",
    "patch_size",
    "fps",
    "unit_in_metres",
    "mean",
    "std",
    "source_fps",
    "label_names",
    "attribute_names",
    "attribute_groups",
    "attribute_opposites",
    "num_rotations",
)


def fingerprint_of(version_dir: pathlib.Path, metadata: Metadata) -> str:
    """Computes the fingerprint of a prepared dataset: a SHA-256 in hexadecimal.

    Equal content gives equal fingerprints, whatever the name, folder or date; the texts of classes
    and the caption vectors, which `data_prep embed` adds, are not part of it.

    Args:
      version_dir: folder of the dataset, with its records and indices.
      metadata: its metadata.
    """
    stored = metadata.to_json()
    known = json.dumps([stored[name] for name in _FINGERPRINTED], sort_keys=True)
    found = hashlib.sha256(known.encode())
    for path in sorted(version_dir.glob("index-*.npz")):
        name = path.stem.removeprefix("index-")
        found.update(f"\n{name}\n".encode() + Split(version_dir, name).digest())
    return found.hexdigest()


def read_metadata(values: Any, where: pathlib.Path | str) -> Metadata:
    """`Metadata.from_json` of a file's content; errors start with `where`."""
    try:
        return Metadata.from_json(values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def positive_attributes(
    attributes: np.ndarray, names: Sequence[str], opposites: Mapping[str, str]
) -> np.ndarray:
    """Probabilities [..., A] to bool [..., A + O]: see `Metadata.positive`."""
    present = np.asarray(attributes) > 0.5
    absent = ~present[..., [names.index(name) for name in opposites]]
    return np.concatenate([present, absent], axis=-1)


def attribute_words(
    positive: np.ndarray, names: Sequence[str], opposites: Mapping[str, str]
) -> str:
    """Joins the positive names of one row [A + O]; an opposite takes the place of its attribute.

    Returns "no attribute" if none is positive.
    """
    is_positive = dict(zip([*names, *opposites.values()], positive, strict=True))
    in_order = [word for name in names for word in (name, opposites.get(name)) if word]
    return ", ".join(word for word in in_order if is_positive[word]) or "no attribute"


@dataclasses.dataclass(frozen=True)
class CaptionVectors:
    """Sentence vectors by a frozen encoder, one row per distinct text, not normalised.

    Attributes:
      encoder: the encoder's name and readout, for tables; no path of this machine.
      fingerprint: the SHA-256 of the encoder's weights, and the readout. Vectors are comparable if
        these are equal.
      rows: {text: row of `vectors`}.
      vectors: [K, D] float32.
      source: the folder or Hub id from which the encoder was loaded.
      settings: SHA-256 of the encoder's tokenizer and config; "" in files of older versions.
      hub_id: where the encoder is on the Hub, owner/name or owner/name@commit; "" if not known.
      max_tokens: the number of tokens to which texts were truncated; None in older files.
    """

    encoder: str
    fingerprint: tuple[str, str]
    rows: dict[str, int]
    vectors: np.ndarray
    source: str = ""
    settings: str = ""
    hub_id: str = ""
    max_tokens: int | None = None

    @property
    def origin(self) -> dict[str, Any]:
        """What a run stores in order to encode further texts with the same encoder."""
        sha256, readout = self.fingerprint
        return {
            "encoder": encoder_name(self.source, self.hub_id),
            "source": self.source,
            "hub_id": self.hub_id,
            "readout": readout,
            "sha256": sha256,
            "settings": self.settings,
            "max_tokens": self.max_tokens,
        }

    def are_by(self, trained: Mapping[str, Any]) -> bool:
        """Whether they are by the encoder of an `origin`, as far as both record it."""
        known = self.settings and trained["settings"]
        same = self.fingerprint == (trained["sha256"], trained["readout"])
        return same and (not known or self.settings == trained["settings"])

    @classmethod
    def read(cls, path: pathlib.Path, finite: bool = True) -> "CaptionVectors":
        """Reads the file that `data_prep embed` writes.

        Args:
          path: the file.
          finite: whether all vectors have to be finite.

        Raises:
          ValueError: the file is damaged, or a vector is not finite.
        """
        digests.check(path.parent, (path.name,), _EMBED_AGAIN)
        with digests.advising(_EMBED_AGAIN):
            file = reading.Tensors(path)
            made_by = _made_by(file.metadata, path)
            captions, vectors = read_lines(file.read("captions"), path), file.read("vectors")
            _check_vectors(captions, vectors, path, finite)
        return cls(
            encoder=f"{encoder_name(made_by['encoder'], made_by['hub_id'])}, readout "
            f"{made_by['readout']}",
            fingerprint=(made_by["sha256"], made_by["readout"]),
            rows={caption: row for row, caption in enumerate(captions)},
            vectors=vectors,
            source=made_by["encoder"],
            settings=made_by["settings"],
            hub_id=made_by["hub_id"],
            max_tokens=int(made_by["max_tokens"]) if made_by["max_tokens"] else None,
        )

    def __getitem__(self, captions: Sequence[str]) -> np.ndarray:
        """The vectors [len(captions), D] of some captions."""
        return self.vectors[[self.rows[caption] for caption in captions]]


def _made_by(header: Mapping[str, str], path: pathlib.Path) -> dict[str, str]:
    """The encoder in the header of a file of vectors, in today's form."""
    where = f"{path}: its header"
    stored: dict[str, Any] = dict(header)
    if (version := stored.get(VERSION_KEY, "0")).isdecimal():  # headers hold texts only
        stored[VERSION_KEY] = int(version)
    made_by = migrate(stored, VECTOR_MIGRATIONS, where)
    names = ("encoder", "sha256", "readout", "settings", "hub_id", "max_tokens")
    reading.check_form(made_by, dict.fromkeys(names, str), where)
    if not re.fullmatch(r"\d{0,9}", made_by["max_tokens"]):
        raise ValueError(f"{where}: max_tokens is {made_by['max_tokens']!r}; expected a number")
    return made_by


def migrate_encoder(made_by: dict[str, Any]) -> dict[str, Any]:
    """Migration 1: what older files do not say about the encoder of their vectors."""
    hub_id = older_hub_id(made_by["encoder"])
    return {"settings": "", "hub_id": hub_id, "max_tokens": "", **made_by}


VECTOR_MIGRATIONS: tuple[Callable[[dict], dict], ...] = (migrate_encoder,)
"""Migration n converts the header of a file of vectors from version n - 1 to version n."""


def possible_hub_id(source: str) -> str:
    """The source of an encoder if it has the form owner/name[@revision], else ""."""
    return source if re.fullmatch(r"\w[\w.-]*/[\w.-]+(@[\w./-]+)?", source) else ""


def older_hub_id(source: str) -> str:
    """The Hub id of an encoder of which an older version stored only the source; "" if unknown.

    A relative path of one folder in another has the same form; it is told by the folder, if it is
    still there.
    """
    return "" if pathlib.Path(source).exists() else possible_hub_id(source)


def check_hub_id(hub_id: str, known: str = "") -> None:
    """Raises a ValueError unless a user's Hub id has the form of one and is that of `known`."""
    if possible_hub_id(hub_id) != hub_id:
        raise ValueError(f"{hub_id!r} is not a Hub id; expected owner/name or owner/name@revision")
    if known and known.partition("@")[0] != hub_id.partition("@")[0]:
        raise ValueError(f"the Hub id {hub_id} is given, but the text encoder is {known}")


def encoder_name(source: str, hub_id: str = "") -> str:
    """The name of an encoder without a path of this machine: of the Hub, else of its folder."""
    if hub_id := hub_id or possible_hub_id(source):
        return re.sub("@[0-9a-f]{40}$", "", hub_id)
    return re.split(r"[/\\]", source.rstrip("/\\"))[-1] or source  # of whatever system


def _check_vectors(
    captions: list[str], vectors: np.ndarray, path: pathlib.Path, finite: bool
) -> None:
    """Checks the form of a file's vectors, and that they are finite if `finite`."""
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise ValueError(
            f"{path}: its vectors are {vectors.dtype} {list(vectors.shape)}; expected [K, D]"
        )
    if len(captions) != len(vectors):
        raise ValueError(f"{path}: {len(captions)} captions, but {len(vectors)} vectors")
    if finite and len(wrong := np.flatnonzero(~np.isfinite(vectors).all(axis=1))):
        raise ValueError(
            f"{path}: {len(wrong)} of {len(vectors)} vectors are not finite, for example that of "
            f"{captions[wrong[0]]!r}"
        )


def write_caption_vectors(path: pathlib.Path, known: Mapping[str, np.ndarray], **made: str) -> None:
    """Writes the file that `CaptionVectors.read` reads; equal content gives equal bytes.

    Args:
      path: the file.
      known: {text: vector [D]} in float32; the texts have no line breaks.
      made: "encoder" (its folder or Hub id), "sha256" and "readout" of the encoder; "settings",
        "hub_id" and "max_tokens" if they are known.
    """
    from safetensors.numpy import save

    texts = sorted(known)
    assert not any("\n" in text for text in texts)
    lines = np.frombuffer("\n".join(texts).encode(), np.uint8)
    vectors = np.stack([known[text] for text in texts])
    unknown = dict.fromkeys(("settings", "hub_id", "max_tokens"), "")
    made = {VERSION_KEY: str(len(VECTOR_MIGRATIONS)), **unknown, **made}
    data = save({"vectors": vectors, "captions": lines}, made)
    # The library writes `made` in the order of a hash map that differs from run to run. Sorted, the
    # header keeps its length.
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":"))
    header = header.encode().ljust(size)
    with digests.recording(path):
        # Not save_file, which creates a file that only its owner can read.
        write_bytes(path, len(header).to_bytes(8, "little") + header + data[8 + size :])


def hold_dataset(
    data_dir: str | pathlib.Path, name: str, doing: str
) -> contextlib.AbstractContextManager[str | None]:
    """Lets one process at a time change a dataset; see `files.hold`."""
    lock = expand(data_dir) / f".{name}.motionalign-lock"
    return hold(lock, f"{doing} dataset {name!r}")


def _how_to_prepare(name: str, data_dir: str | pathlib.Path) -> str:
    """The instructions for preparing a dataset, for an error message."""
    if name == "synthetic":
        return f"Make it with\n  python -m data_prep synthetic --data_dir={data_dir}"
    if name in _PUBLISHED:
        get, command = f"Get {name} from {_PUBLISHED[name]}, then run", name
    else:
        get = "Convert its clips to HumanML3D's layout, then run"
        command = f"humanml3d --name={name}"
    return (
        f"{get}\n  python -m data_prep {command} --data_dir={data_dir} --raw_dir=FOLDER\n"
        f"(`python -m data_prep {command.split()[0]} --help` lists the files expected in FOLDER"
        + (", and --amass_dir and --smplh_dir, also required)" if name == "babel" else ")")
    )


_PUBLISHED = {
    **dict.fromkeys(("humanml3d", "kit_ml"), "https://github.com/EricGuo5513/HumanML3D"),
    "babel": "https://babel.is.tue.mpg.de",
    "densegait": "https://github.com/cosmaadrian/gaitformer",
}


class Dataset:
    """A prepared dataset: its metadata, its splits and, once embedded, its caption vectors."""

    def __init__(self, data_dir: str | pathlib.Path, name: str) -> None:
        self.name = name
        data_dir = expand(data_dir)
        self.version_dir = data_dir / name / VERSION
        path = self.version_dir / "metadata.json"
        if not path.is_file():
            places = data_dir.glob(f"*/{VERSION}/metadata.json")
            there = sorted(place.parents[1].name for place in places)
            raise ValueError(
                f"dataset {name!r} is not prepared: {path} does not exist. "
                + (f"Prepared in {data_dir}: {', '.join(there)}. " if there else "")
                + _how_to_prepare(name, data_dir)
            )
        stored = digests.read_json(path, PREPARE_AGAIN)
        with digests.advising(PREPARE_AGAIN):
            self.metadata = read_metadata(stored, path)

    @functools.cached_property
    def fingerprint(self) -> str:
        """The fingerprint of metadata.json; of an older dataset, computed from its files."""
        return self.metadata.fingerprint or fingerprint_of(self.version_dir, self.metadata)

    def split(self, split: str) -> "Split":
        """Opens a split; a ValueError lists the existing ones, or says what is damaged."""
        opened, metadata = Split(self.version_dir, split), self.metadata
        classes, attributes = len(metadata.label_names), len(metadata.attribute_names)
        others = attributes and opened.attributes.shape[1] != attributes
        if others or opened.all_labels.max(initial=-1) >= classes:
            raise ValueError(
                f"{self.version_dir}: index-{split}.npz has other classes or attributes than "
                "metadata.json. Prepare the dataset again with --overwrite"
            )
        return opened

    @functools.cached_property
    def texts(self) -> dict[str, dict[str, list[str]]]:
        """Texts of the classes: {"descriptions": {class: [texts]}, "synonyms": {...}}.

        Empty if the dataset has none.
        """
        path = self.version_dir / CLASS_TEXTS
        form = dict[str, dict[str, list[str]]]
        return digests.read_json(path, _TEXTS_AGAIN, form) if reading.is_there(path) else {}

    @functools.cached_property
    def caption_vectors(self) -> CaptionVectors | None:
        """Sentence vectors of all texts of the dataset; None before `data_prep embed`."""
        path = self.version_dir / CAPTION_VECTORS
        return CaptionVectors.read(path) if reading.is_there(path) else None

    def require_caption_vectors(self) -> CaptionVectors:
        """`caption_vectors`; if missing, a ValueError says how to create them."""
        if self.caption_vectors is None:
            raise ValueError(
                f"dataset {self.name!r} has no caption vectors. Create them with\n  python -m "
                f"data_prep embed --data_dir={self.version_dir.parents[1]} --name={self.name}"
            )
        return self.caption_vectors
