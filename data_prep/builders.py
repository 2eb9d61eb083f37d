"""From a reader to a prepared dataset: statistics, a TFDS builder, the swap into place.

All is written to `<data_dir>/.<name>.incomplete` first and renamed when complete, so that whatever
stands in place is whole. That folder is removed when anything goes wrong; what a killed run left of
it, the next run removes, having put back the dataset it was replacing.

Imports TensorFlow, by way of tensorflow_datasets; nothing outside `data_prep` does.
"""

import contextlib
import fcntl
import json
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
from motionalign import files
from motionalign.data import records
from motionalign.data.dataset import (
    CAPTION_VECTORS,
    CLASS_TEXTS,
    VERSION,
    CaptionVectors,
    Dataset,
    Metadata,
)
from motionalign.data.resample import resample
from motionalign.patches import motion_patches


def prepare(
    make_reader: Callable[[], Reader],
    data_dir: str | pathlib.Path,
    name: str,
    *,
    patch_size: int = 16,
    min_frames: int = 2,
    mirror: bool = False,
    overwrite: bool = False,
    source: dict | None = None,
    paths: Collection[str] = ("raw_dir",),
    say: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Prepares `<data_dir>/<name>/<version>` and returns it; one that is there is kept.

    Args:
      make_reader: gives the source; called only if there is something to prepare.
      data_dir: parent of all prepared datasets.
      name: of the prepared dataset; lower case, digits, underscores.
      patch_size: N, points for each of the five body parts.
      min_frames: shorter clips are dropped, counted at the source's rate after cutting.
      mirror: also writes every kept source's mirror image, as `M<name>`.
      overwrite: replaces a dataset that is there. Its class texts are kept if the reader has none,
        and its caption vectors if they cover all texts of the new one.
      source: what else decides the content, such as a seed; kept in report.json.
      paths: what of `source` says where files lie. Whether one is given decides the content; where
        it is does not, since a folder may move. "raw_dir" is always given.
      say: is told what the user is to know, such as the account of all clips.

    Raises:
      ValueError: `data_dir`, `name` or `min_frames` is unusable; the dataset that is there was
        prepared with other options; all that `survey` raises. Nothing has been written then.
    """
    final, scratch = _places(data_dir, name)
    if min_frames < 1:
        raise ValueError(f"--min_frames={min_frames}: a clip has at least 1 frame")
    options = {"patch_size": patch_size, "min_frames": min_frames, "mirror": mirror}
    options |= source or {}
    if scratch.exists():  # left by a killed run, or in use by one at work
        with _alone(scratch):
            _put_back(final, scratch)
    if final.exists() and not overwrite:
        say(_check_same_options(final, options, paths))
        return final
    reader = make_reader()
    for note in reader.notes:
        say(note)
    found = survey(reader, min_frames, mirror)
    with _alone(scratch), _restoring(final, scratch):
        folder = _write(reader, found, name, patch_size, options, scratch)
        notes = _put_in_place(folder, final, scratch)
    for line in (found.table(), *notes, f"prepared {final}"):
        say(line)
    return final


def _places(data_dir: str | pathlib.Path, name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """Where the dataset is to stand, and the scratch folder; a ValueError for names of no use."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError(f"--name={name}: use a-z, 0-9 and _, beginning with a letter")
    data_dir = pathlib.Path(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise ValueError(f"--data_dir={data_dir} is a file; name a folder, which may be a new one")
    return data_dir / name / VERSION, data_dir / f".{name}.incomplete"


_REPLACED = "replaced"  # where the dataset that is being replaced waits, in the scratch folder


@contextlib.contextmanager
def _alone(scratch: pathlib.Path) -> Generator[None]:
    """A scratch folder for one run at a time; removed at the end, whatever comes."""
    scratch.mkdir(parents=True, exist_ok=True)
    handle = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lifts it from a killed run
    except BlockingIOError:
        os.close(handle)
        raise ValueError(f"{scratch} is in use: another run prepares this dataset") from None
    try:
        yield
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(handle)


def _put_back(final: pathlib.Path, scratch: pathlib.Path) -> None:
    """Undoes the first half of a swap that has no second: the old dataset stands in place again."""
    if (scratch / _REPLACED).exists() and not final.exists():
        (scratch / _REPLACED).rename(final)


@contextlib.contextmanager
def _restoring(final: pathlib.Path, scratch: pathlib.Path) -> Generator[None]:
    """Whatever goes wrong inside, an interrupt too, the old dataset stands in place again."""
    try:
        yield
    except BaseException:
        _put_back(final, scratch)
        raise


def _put_in_place(folder: pathlib.Path, final: pathlib.Path, scratch: pathlib.Path) -> list[str]:
    """Makes `folder`, a whole dataset, the one in place; what to tell the user of its texts."""
    notes = []
    if final.exists():
        notes = _carry_over_texts(final, folder)
        final.rename(scratch / _REPLACED)
    else:
        final.parent.mkdir(exist_ok=True)
    folder.rename(final)
    return notes


def _check_same_options(final: pathlib.Path, options: dict, paths: Collection[str]) -> str:
    """Says that a dataset is there; raises ValueError if it was prepared with other options."""
    was = json.loads((final / "report.json").read_text(encoding="utf-8")).get("options", {})
    differ = [
        f"{key}={was[key]}, not {options[key]}"
        for key in options
        if key in was and key not in paths and was[key] != options[key]
    ]
    for path in paths:
        if path != "raw_dir" and (path in was) != (path in options):
            differ.append(f"--{path}" if path in was else f"no --{path}")
    if differ:
        raise ValueError(
            f"{final} was prepared with {'; '.join(differ)}. Give it another --name, or --overwrite"
        )
    origin = f" from {was['raw_dir']}" if "raw_dir" in was else ""
    return f"{final} is prepared already{origin} and stays as it is; --overwrite prepares it anew"


def _carry_over_texts(old: pathlib.Path, new: pathlib.Path) -> list[str]:
    """Copies class texts and caption vectors, which depend on words only; what to tell the user."""
    if (old / CLASS_TEXTS).exists() and not (new / CLASS_TEXTS).exists():
        _copy(old / CLASS_TEXTS, new / CLASS_TEXTS)
    path = old / CAPTION_VECTORS
    if not path.exists():
        return []
    dataset = Dataset(new.parents[1], new.parent.name)
    if all_texts(dataset) <= CaptionVectors.read(path).rows.keys():
        _copy(path, new / path.name)
        return ["the caption vectors are kept: they cover every text"]
    return ["the texts changed, so their vectors are gone: run `data_prep embed` again"]


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    with files.replacing(target) as partial:
        shutil.copyfile(source, partial)


def _write(
    reader: Reader,
    found: Survey,
    name: str,
    patch_size: int,
    options: dict,
    scratch: pathlib.Path,
) -> pathlib.Path:
    """Writes the whole dataset into a folder of `scratch`, and returns that."""
    mean, std = statistics(
        lambda: (source.joints(reader) for source in _by_id(found.of_split("train")))
    )
    if reader.skeleton.dims == 3:  # in 2D there are no patches
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
    )
    folder = _write_records(reader, found, metadata, scratch)
    files.write_json(folder / "metadata.json", metadata.to_json(), indent=1)
    report = {**found.report(), "options": options}
    files.write_json(folder / "report.json", report, indent=1)
    if class_texts := reader.class_texts():
        files.write_json(folder / CLASS_TEXTS, class_texts, indent=1)
    if dissimilar := reader.dissimilar_test():
        files.write_text(folder / "dissimilar-test.txt", "\n".join(dissimilar) + "\n")
    for split in found.listed:
        if found.of_split(split):
            records.write_index(folder, split)
    return folder


def _drop_far(reader: Reader, found: Survey, mean: np.ndarray, std: np.ndarray) -> None:
    """Drops the sources whose z-scores float16 cannot hold.

    None of them is in train, so mean and deviation stay: among n values none lies more than
    sqrt(n - 1) deviations from their mean, and n would have to be four thousand million.
    """
    far = {}
    for source in found.sources:
        if source.split != "train":
            furthest = np.abs((source.joints(reader) - mean) / std).max()
            if furthest >= np.finfo(np.float16).max:
                far.setdefault((source.raw, source.split), furthest)  # a twin comes second
    for (raw, split), furthest in far.items():
        detail = (
            f"a coordinate lies {furthest:.3g} standard deviations from the mean of train, which "
            "overflows float16. Is the clip in other units?"
        )
        found.drop(raw, split, InvalidClip("not_finite", detail))


def statistics(clips: Callable[[], Iterable[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of every joint coordinate over all frames.

    Frames are added up one by one, in float64 and in the order of `clips`, which makes the result
    bit for bit that of `np.concatenate(clips).mean(0)` and `.std(0)` without holding them all. A
    coordinate that is the same in every frame gets deviation 1: its z-score is then 0, and if it
    moves in another split it does so in the source's units.

    Args:
      clips: makes an iterator over [T, M, J, C] arrays; called twice.

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
    """[T, M, J, C] -> [T * M, J * C] float64."""
    return clip.reshape(-1, clip.shape[-2] * clip.shape[-1]).astype(np.float64)


def _add_up(total: np.ndarray | float, rows: np.ndarray) -> np.ndarray:
    """`total` plus each row in turn (NumPy adds along the first axis strictly in order)."""
    first = np.broadcast_to(total, rows.shape[1:])[None]
    return np.add.reduce(np.concatenate([first, rows]), axis=0)


class _CanonicalWriter(writer.ExampleWriter):
    """Writes each example with its fields sorted by name.

    A serialised protobuf map is otherwise in an order that changes from process to process, and
    the same clips would give other bytes each time.
    """

    def write(self, path: Any, examples: Iterable[Any]) -> Any:
        example: Any = tf_example_pb2.Example  # ty: ignore[missing-attribute]  (made at run time)
        canonical = (
            (key, example.FromString(data).SerializeToString(deterministic=True))
            for key, data in examples
        )
        return super().write(path, canonical)


class MotionDataset(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the surveyed sources of a reader as TFRecord, one example a record.

    `_examples` depends on one source and nothing else, so a dataset too large for one machine
    becomes `beam.Create(sources) | beam.FlatMap(self._examples)`.
    """

    VERSION = tfds.core.Version(VERSION)
    # Where TFDS would look for download checksums; we have none, and finding it needs the package
    # importlib_resources, which tensorflow_datasets 4.9.10 imports without requiring it.
    code_path = None
    pkg_dir_path = pathlib.Path(__file__).parent

    def __init__(
        self, reader: Reader, found: Survey, metadata: Metadata, data_dir: pathlib.Path
    ) -> None:
        """`found`: what the survey keeps of `reader`; `metadata`: of the dataset to be written."""
        self.name = metadata.name
        self._reader = reader
        self._found = found
        self._metadata = metadata
        super().__init__(data_dir=data_dir)

    def _example_writer(self) -> writer.ExampleWriter:
        return _CanonicalWriter(self.info.file_format)

    def _log_download_bytes(self) -> None:
        """Says nothing: nothing is downloaded, and the folder named would be the scratch folder."""

    def _log_download_done(self) -> None:
        """Likewise."""

    def _info(self) -> tfds.core.DatasetInfo:
        features, raw_bytes = tfds.features, tfds.features.Encoding.BYTES
        joints, points = self._metadata.skeleton.num_joints, 5 * self._metadata.patch_size

        def tensor(shape: tuple[int | None, ...], dtype: type[np.generic]) -> tfds.features.Tensor:
            # BYTES: two unknown dimensions need it, and it decodes four times as fast.
            return features.Tensor(shape=shape, dtype=dtype, encoding=raw_bytes)

        meta = self._metadata
        fields = {
            "id": features.Text(),
            "source": features.Text(),
            "mirrored_of": features.Text(),
            "first_line": np.int32,
            "span": features.Tensor(shape=(2,), dtype=np.float32),  # seconds
            "captions": features.Sequence(features.Text()),
            "labels": features.Sequence(np.int64),  # none or one
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
        return tfds.core.DatasetInfo(
            builder=self,
            description="3D human motion with captions, as joints and as motion patches.",
            features=features.FeaturesDict(fields),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        # TFDS refuses a split without examples: one that kept nothing is left out.
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
            # Between two 6D rotations a straight line leaves the rotations.
            assert meta.source_fps == meta.fps, (meta.source_fps, meta.fps)
            rotations = source.rotations(self._reader)
            assert len(rotations) == len(joints), source.id
        for record in source.records:
            cut = resample(joints[record.frames], meta.source_fps, meta.fps)
            example = {
                "id": record.id,
                "source": source.id,
                "mirrored_of": source.mirrored_of,
                "first_line": record.first_line,
                "span": np.array(record.span, np.float32),
                "captions": list(record.captions),
                "labels": [] if record.label is None else [record.label],
                "joints": cut,
                "fps": np.float32(meta.fps),
                **of_source,
            }
            if meta.skeleton.dims == 3:
                patches = motion_patches(cut, meta.skeleton, meta.mean, meta.std, meta.patch_size)
                # _drop_far made sure of it.
                assert np.abs(patches).max() < np.finfo(np.float16).max, record.id
                example["patches"] = patches.astype(np.float16)
            if meta.num_rotations:
                example["rotations"] = rotations[record.frames]
            yield record.id, example


def _write_records(
    reader: Reader, found: Survey, metadata: Metadata, scratch: pathlib.Path
) -> pathlib.Path:
    """Runs the TFDS builder inside `scratch`; the folder it made."""
    tfds.disable_progress_bar()  # ours know their totals
    builder = MotionDataset(reader, found, metadata, scratch)
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config, file_format="tfrecord")
    return pathlib.Path(builder.data_dir)


def _by_id(sources: list[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: source.id)
