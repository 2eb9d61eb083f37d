"""Prepares a dataset from a reader: statistics, a TFDS builder, and an atomic swap into place.

Everything is written to the scratch folder `<data_dir>/.<name>.incomplete` first and renamed when
complete, so that the dataset in place is always complete. The scratch folder is removed on failure.
If a killed run leaves one behind, the next run restores the dataset that was being replaced and
removes the folder. One process at a time prepares or embeds a dataset, from the survey on.

Imports TensorFlow through tensorflow_datasets; nothing outside `data_prep` does.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import writer
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from data_prep.class_texts import all_texts
from data_prep.readers import InvalidClip, Reader
from data_prep.survey import Source, Survey, survey
from motionalign import digests, files, reading
from motionalign.data import records
from motionalign.data.dataset import (
    CAPTION_VECTORS,
    CLASS_TEXTS,
    UNFINISHED_VECTORS,
    VERSION,
    CaptionVectors,
    Dataset,
    Metadata,
    fingerprint_of,
    hold_dataset,
)
from motionalign.data.resample import resample
from motionalign.patches import motion_patches

CAPTIONS = "captions.csv"  # in the dataset's folder: the captions that the reader has made


def prepare(
    make_reader: Callable[[], Reader],
    data_dir: str | pathlib.Path,
    name: str,
    *,
    patch_size: int = 16,
    min_frames: int = 2,
    mirror: bool = False,
    accept: Collection[str] = (),
    overwrite: bool = False,
    source: dict | None = None,
    paths: Collection[str] = ("raw_dir",),
    say: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Prepares `<data_dir>/<name>/<version>` and returns its path; an existing dataset is kept.

    Args:
      make_reader: creates the reader; called only if there is something to prepare.
      data_dir: parent of all prepared datasets.
      name: name of the prepared dataset: lower-case letters, digits and underscores.
      patch_size: N, points for each of the five body parts.
      min_frames: clips with fewer frames, at the source's frame rate and after cutting, are
        dropped.
      accept: findings of `conventions.REASONS` for which clips are not dropped, besides those that
        the reader accepts.
      mirror: also writes the mirror image of every kept source, as `M<name>`.
      overwrite: replaces an existing dataset. Its class texts are kept if the reader has none, and
        its caption vectors are kept if they cover all texts of the new dataset.
      source: further options that determine the content, such as a seed; stored in report.json.
      paths: the keys of `source` that are paths. Whether such an option is given determines the
        content, its value does not, since a folder may be moved; that another path is given while
        the first one still exists is an error. "raw_dir" is always given.
      say: receives the messages for the user, such as the account of all clips.

    Raises:
      ValueError: `data_dir`, `name` or `min_frames` is invalid, the existing dataset was prepared
        with other options, or `survey` raises one. Nothing has been written then.
      files.InUse: another process prepares or embeds the dataset.
    """
    final, scratch = _places(data_dir, name)
    own = {"patch_size": patch_size, "min_frames": min_frames, "mirror": mirror}
    options = _options(own, accept, source)
    if final.exists() and not overwrite and not scratch.exists():  # data_dir may be read-only
        say(_check_same_options(final, options, paths))
        return final
    # Before the survey, so that no other process writes this dataset while it is read.
    with hold_dataset(data_dir, name, "preparing") as no_locks, _scratch(final, scratch):
        if final.exists() and not overwrite:
            say(_check_same_options(final, options, paths))
            return final
        reader = make_reader()
        for note in filter(None, (no_locks, *reader.notes)):
            say(note)
        found = survey(reader, min_frames, mirror, accept)
        folder = _write(reader, found, name, patch_size, options, scratch)
        notes = _put_in_place(folder, final, scratch)
    for line in (found.table(), *notes, f"prepared {final}"):
        say(line)
    return final


def _options(own: dict, accept: Collection[str], source: dict | None) -> dict:
    """The options for report.json; a ValueError if one of them is invalid."""
    if own["min_frames"] < 1:
        raise ValueError(f"--min_frames={own['min_frames']}; expected at least 1")
    return own | ({"accept": sorted(accept)} if accept else {}) | (source or {})


def _places(data_dir: str | pathlib.Path, name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """The folder of the dataset and the scratch folder; a ValueError for invalid names."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError(f"--name={name}: use a-z, 0-9 and _, starting with a letter")
    data_dir = pathlib.Path(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise ValueError(f"--data_dir={data_dir} is a file; name a folder, new or existing")
    if not (data_dir / name / VERSION).exists():
        files.check_place(data_dir / name, f"--data_dir={data_dir}")
    return data_dir / name / VERSION, data_dir / f".{name}.incomplete"


# Folder in the scratch folder that holds the dataset being replaced; no dataset has such a name.
_REPLACED = ".replaced"


@contextlib.contextmanager
def _scratch(final: pathlib.Path, scratch: pathlib.Path) -> Generator[None]:
    """Cleans up what a killed run left in the scratch folder, and removes the folder at the end.

    In both cases a dataset that was being replaced is moved back into place first, unless the new
    one is there.
    """
    _clean_up(final, scratch)
    try:
        yield
    finally:
        _clean_up(final, scratch)


def _clean_up(final: pathlib.Path, scratch: pathlib.Path) -> None:
    # Older versions named the folder "replaced", like the parent of a new dataset of that name.
    for replaced in (scratch / _REPLACED, scratch / "replaced"):
        if (replaced / "metadata.json").exists() and not final.exists():
            replaced.rename(final)
    shutil.rmtree(scratch, ignore_errors=True)


def _put_in_place(folder: pathlib.Path, final: pathlib.Path, scratch: pathlib.Path) -> list[str]:
    """Moves `folder`, a complete dataset, into place; returns messages about its texts."""
    notes = []
    if final.exists():
        notes = _carry_over_texts(final, folder)
        final.rename(scratch / _REPLACED)
    else:
        final.parent.mkdir(exist_ok=True)
    folder.rename(final)
    if (table := final / CAPTIONS).exists():
        notes.append(f"all captions are in {table}: correct a copy, and give it as --captions")
    return notes


# Options that came later, with what was done before there were any.
_BEFORE = {"protocol": "babel"}


def _check_same_options(final: pathlib.Path, options: dict, paths: Collection[str]) -> str:
    """A message that the dataset exists; a ValueError if it was prepared with other options."""
    path = final / "report.json"
    was = digests.read_json(path, records.PREPARE_AGAIN, dict).get("options", {})
    reading.check_form(was, dict, f"{path}: options")
    was = _BEFORE | was
    differ = [
        f"{key}={was[key]}, not {options[key]}"
        for key in options
        if key in was and key not in paths and was[key] != options[key]
    ]
    for path in paths:
        if path != "raw_dir" and (path in was) != (path in options):
            differ.append(f"--{path}" if path in was else f"no --{path}")
        elif path in was and path in options and _are_two(was[path], options[path]):
            differ.append(f"--{path}={was[path]}, not {options[path]}")
    if differ:
        raise ValueError(
            f"{final} was prepared with {'; '.join(differ)}. Choose another --name, or --overwrite"
        )
    origin = f" from {was['raw_dir']}" if "raw_dir" in was else ""
    return f"{final} is already prepared{origin} and is kept; --overwrite prepares it again"


def _are_two(before: str, now: str) -> bool:
    """Whether both paths exist and differ; otherwise the first one may have been moved."""
    return os.path.exists(before) and os.path.exists(now) and not os.path.samefile(before, now)


def _carry_over_texts(old: pathlib.Path, new: pathlib.Path) -> list[str]:
    """Copies class texts and caption vectors to the new dataset; returns messages for the user."""
    if (old / CLASS_TEXTS).exists() and not (new / CLASS_TEXTS).exists():
        _copy(old / CLASS_TEXTS, new / CLASS_TEXTS)
    if (old / UNFINISHED_VECTORS).exists():
        _copy(old / UNFINISHED_VECTORS, new / UNFINISHED_VECTORS)
    path = old / CAPTION_VECTORS
    if not path.exists():
        return []
    dataset = Dataset(new.parents[1], new.parent.name)
    if all_texts(dataset) <= CaptionVectors.read(path).rows.keys():
        _copy(path, new / path.name)
        return ["the caption vectors are kept: they cover every text"]
    _copy(path, new / UNFINISHED_VECTORS)
    return ["the texts changed: run `data_prep embed` again, which embeds the new ones only"]


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    with digests.recording(target), files.replacing(target) as partial:
        shutil.copyfile(source, partial)


def _write(
    reader: Reader,
    found: Survey,
    name: str,
    patch_size: int,
    options: dict,
    scratch: pathlib.Path,
) -> pathlib.Path:
    """Writes the complete dataset to a folder in `scratch`, and returns that folder."""
    mean, std = statistics(
        lambda: (source.joints(reader) for source in _by_id(found.of_split("train")))
    )
    if reader.skeleton.dims == 3:  # 2D datasets have no patches
        _drop_far(reader, found, mean, std)
    metadata = Metadata(
        name=name,
        skeleton=reader.skeleton,
        patch_size=patch_size,
        fps=reader.fps,
        unit_in_metres=reader.unit_in_metres,
        mean=mean,
        std=std,
        source_fps=reader.source_fps,
        label_names=reader.label_names,
        attribute_names=reader.attribute_names,
        attribute_groups=dict(reader.attribute_groups),
        attribute_opposites=dict(reader.attribute_opposites),
        num_rotations=reader.num_rotations,
        sensor=reader.sensor,
        accepted=found.census.accept,
        protocol=reader.protocol,
        origin=found.census.origin,
    )
    folder = _write_records(reader, found, metadata, scratch)
    for split in found.listed:
        if found.of_split(split):
            records.write_index(folder, split)
    metadata = dataclasses.replace(metadata, fingerprint=fingerprint_of(folder, metadata))
    files.write_json(folder / "metadata.json", metadata.to_json(), indent=1)
    report = {**found.report(), "options": options}
    files.write_json(folder / "report.json", report, indent=1)
    if class_texts := reader.class_texts():
        files.write_json(folder / CLASS_TEXTS, class_texts, indent=1)
    if captions := reader.caption_table():
        files.write_csv(folder / CAPTIONS, captions[0], captions[1:])
    if dissimilar := reader.dissimilar_test():
        files.write_text(folder / "dissimilar-test.txt", "\n".join(dissimilar) + "\n")
    digests.write(folder)
    return folder


def _drop_far(reader: Reader, found: Survey, mean: np.ndarray, std: np.ndarray) -> None:
    """Drops the sources whose z-scores overflow float16.

    Only val and test are checked, so dropping does not change the statistics. The train split
    cannot contain such values: among n values, none is more than sqrt(n - 1) standard deviations
    from their mean, so an overflow takes more than four billion frames.
    """
    far = {}
    for source in found.sources:
        if source.split != "train":
            furthest = np.abs((source.joints(reader) - mean) / std).max()
            if furthest >= np.finfo(np.float16).max:
                far.setdefault((source.raw, source.split), furthest)  # mirrored twins come second
    for (raw, split), furthest in far.items():
        detail = (
            f"a coordinate lies {furthest:.3g} standard deviations from the mean of train, which "
            "overflows float16. Is the clip in other units?"
        )
        found.drop(raw, split, InvalidClip("not_finite", detail))


def statistics(clips: Callable[[], Iterable[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of every joint coordinate over all frames.

    Of several persons, frames in which one is absent (zeros) do not count for that one.

    Frames are summed one by one, in float64 and in the order of `clips`. The result equals that of
    `np.concatenate(clips).mean(0)` and `.std(0)` bit for bit, without holding all clips in memory.
    A coordinate that is constant over all frames gets standard deviation 1: its z-scores are 0 in
    these frames, and offsets in the source's units in other splits.

    Args:
      clips: returns an iterable over [T, M, J, C] arrays; called twice.

    Returns:
      mean and std, each [J, C] float64.
    """
    count, total, low, high = 0, 0.0, np.inf, -np.inf
    for clip in clips():
        frames = _frames(clip)
        count += len(frames)
        total = _add_up(total, frames)
        low = np.minimum(low, frames.min(0))
        high = np.maximum(high, frames.max(0))
    mean: Any = total / count
    squares: Any = 0.0
    for clip in clips():
        squares = _add_up(squares, np.square(_frames(clip) - mean))
    std = np.where(low == high, 1.0, np.sqrt(squares / count))
    shape = clip.shape[-2:]
    return mean.reshape(shape), std.reshape(shape)


def _frames(clip: np.ndarray) -> np.ndarray:
    """[T, M, J, C] -> [T * M, J * C] float64, without the frames of persons who are absent.

    A single person is never absent.
    """
    frames = clip.reshape(-1, clip.shape[-2] * clip.shape[-1]).astype(np.float64)
    return frames if clip.shape[-3] == 1 else frames[frames.any(axis=1)]


def _resampled(joints: np.ndarray, source_fps: float, fps: float) -> np.ndarray:
    """Joints [T, M, J, C] at another rate; persons are absent next to frames in which they are."""
    cut = resample(joints, source_fps, fps)
    if joints.shape[1] == 1 or source_fps == fps:
        return cut
    there = np.asarray(joints.any(axis=(2, 3), keepdims=True), np.float32)
    return np.where(resample(there, source_fps, fps) < 1 - 1e-6, np.float32(0), cut)


def _add_up(total: np.ndarray | float, rows: np.ndarray) -> np.ndarray:
    """Adds the rows to `total` one by one (NumPy reduces the first axis strictly in order)."""
    first = np.broadcast_to(total, rows.shape[1:])[None]
    return np.add.reduce(np.concatenate([first, rows]), axis=0)


class _CanonicalWriter(writer.ExampleWriter):
    """Writes each example with its fields sorted by name.

    The order of a serialised protobuf map otherwise differs between processes, so that the same
    clips would yield different files.
    """

    def write(self, path: Any, examples: Iterable[Any]) -> Any:
        example: Any = tf_example_pb2.Example  # ty: ignore[missing-attribute]  (made at run time)
        canonical = (
            (key, example.FromString(data).SerializeToString(deterministic=True))
            for key, data in examples
        )
        return super().write(path, canonical)


class _OwnInfo(tfds.core.DatasetInfo):
    """The description of a dataset that TFDS does not know."""

    def initialize_from_bucket(self) -> None:
        """Looks nothing up among TFDS's own datasets, which leaves an empty temporary folder."""


class MotionDataset(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the surveyed sources of a reader as TFRecord, one example per record.

    `_examples` depends on a single source only, so a dataset too large for one machine can be
    written with `beam.Create(sources) | beam.FlatMap(self._examples)`.
    """

    VERSION = tfds.core.Version(VERSION)
    # TFDS looks for download checksums here; we have none. Unset, tensorflow_datasets 4.9.10 would
    # import the package importlib_resources, which it does not require.
    code_path = None
    pkg_dir_path = pathlib.Path(__file__).parent

    def __init__(
        self, reader: Reader, found: Survey, metadata: Metadata, data_dir: pathlib.Path
    ) -> None:
        """`found`: the survey of `reader`; `metadata`: that of the dataset to write."""
        self.name = metadata.name
        self._reader = reader
        self._found = found
        self._metadata = metadata
        super().__init__(data_dir=data_dir)

    def _example_writer(self) -> writer.ExampleWriter:
        return _CanonicalWriter(self.info.file_format)

    def _log_download_bytes(self) -> None:
        """Logs nothing: nothing is downloaded, and the message would name the scratch folder."""

    def _log_download_done(self) -> None:
        """Logs nothing, for the same reason."""

    def _info(self) -> tfds.core.DatasetInfo:
        features, raw_bytes = tfds.features, tfds.features.Encoding.BYTES
        joints, points = self._metadata.skeleton.num_joints, 5 * self._metadata.patch_size

        def tensor(shape: tuple[int | None, ...], dtype: type[np.generic]) -> tfds.features.Tensor:
            # BYTES: required for two unknown dimensions, and decodes four times as fast.
            return features.Tensor(shape=shape, dtype=dtype, encoding=raw_bytes)

        meta = self._metadata
        fields = {
            "id": features.Text(),
            "source": features.Text(),
            "mirrored_of": features.Text(),
            "first_line": np.int32,
            "span": features.Tensor(shape=(2,), dtype=np.float32),  # seconds
            "captions": features.Sequence(features.Text()),
            "labels": features.Sequence(np.int64),  # mostly none or one
            "joints": tensor((None, None, joints, 3), np.float32),  # [T, M, J, C]
            "fps": np.float32,
        }
        if meta.skeleton.dims == 3:
            fields["patches"] = tensor((None, None, points, 3), np.float16)  # [T, M, 5N, 3]
        if meta.num_rotations:
            fields["rotations"] = tensor((None, None, meta.num_rotations, 6), np.float32)
        if meta.attribute_names:
            shape = (len(meta.attribute_names),)
            fields["attributes"] = features.Tensor(shape=shape, dtype=np.float32)
        return _OwnInfo(
            builder=self,
            description="3D human motion with captions, as joints and as motion patches.",
            features=features.FeaturesDict(fields),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        # TFDS rejects a split without examples, so empty splits are left out.
        return {
            split: self._generate_examples(_by_id(sources))
            for split in self._found.listed
            if (sources := self._found.of_split(split))
        }

    def _generate_examples(self, sources: list[Source]) -> Iterator[tuple[str, dict]]:
        for source in tqdm(
            sources, desc=f"writing {sources[0].split}", unit=" clips", disable=None
        ):
            yield from self._examples(source)

    def _examples(self, source: Source) -> Iterator[tuple[str, dict]]:
        meta = self._metadata
        joints = source.joints(self._reader)
        of_source = {}
        if meta.attribute_names:
            of_source["attributes"] = source.attributes(self._reader).astype(np.float32)
        if meta.num_rotations:
            # 6D rotations cannot be interpolated linearly, so they must not need resampling.
            assert meta.source_fps == meta.fps, (meta.source_fps, meta.fps)
            rotations = source.rotations(self._reader)
            assert len(rotations) == len(joints), source.id
        for record in source.records:
            cut = _resampled(joints[record.frames], meta.source_fps, meta.fps)
            example = {
                "id": record.id,
                "source": source.id,
                "mirrored_of": source.mirrored_of,
                "first_line": record.first_line,
                "span": np.array(record.span, np.float32),
                "captions": list(record.captions),
                "labels": list(record.labels),
                "joints": cut,
                "fps": np.float32(meta.fps),
                **of_source,
            }
            if meta.skeleton.dims == 3:
                patches = motion_patches(cut, meta.skeleton, meta.mean, meta.std, meta.patch_size)
                # Guaranteed by _drop_far.
                assert np.abs(patches).max() < np.finfo(np.float16).max, record.id
                example["patches"] = patches.astype(np.float16)
            if meta.num_rotations:
                example["rotations"] = rotations[record.frames]
            yield record.id, example


def _write_records(
    reader: Reader, found: Survey, metadata: Metadata, scratch: pathlib.Path
) -> pathlib.Path:
    """Runs the TFDS builder inside `scratch` and returns the folder that it wrote."""
    tfds.disable_progress_bar()  # our own bars know their totals
    builder = MotionDataset(reader, found, metadata, scratch)
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config, file_format="tfrecord")
    return pathlib.Path(builder.data_dir)


def _by_id(sources: list[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: source.id)
