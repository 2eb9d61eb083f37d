"""Evaluation of a trained model on a split of every dataset."""

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from motionalign import digests, sharding
from motionalign.checkpoints.resume import is_other_data
from motionalign.checkpoints.run import SERIES, find, load_run
from motionalign.checkpoints.workdir import is_run_of, log_results
from motionalign.checkpoints.writers import check_writers
from motionalign.config import migrate_config, stored_form
from motionalign.data.batches import parse_mixture
from motionalign.data.dataset import Dataset
from motionalign.files import check_place, expand, write_csv, write_json, write_text
from motionalign.inference.encoder import Predictor
from motionalign.inference.model import Model, load
from motionalign.inference.reference import reading_of
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_language import MotionLanguageConfig
from motionalign.models.motion_tokenizer import MotionTokenizerConfig
from motionalign.report.page import Gallery as Gallery
from motionalign.report.page import same_caption as same_caption
from motionalign.report.page import write_page as write_page
from motionalign.report.plots import write_picture
from motionalign.report.tables import DIRECTIONS as DIRECTIONS
from motionalign.report.tables import PROTOCOLS as PROTOCOLS
from motionalign.report.tables import format_table as format_table
from motionalign.report.tables import format_tables
from motionalign.tasks.captions import dissimilar_subset as dissimilar_subset
from motionalign.tasks.captions import run_protocols as run_protocols
from motionalign.tasks.captions import score_protocols as score_protocols
from motionalign.tasks.captions import selection_score as selection_score
from motionalign.tasks.captions import small_batch_metrics as small_batch_metrics
from motionalign.tasks.registry import TASKS
from motionalign.tasks.schema import schema
from motionalign.tasks.task import Results, Task
from motionalign.tasks.tokens import sentence_table, tokenize, tokenizer_config

# Scalars to print after an epoch; a task with none of these prints all of its scalars.
SHOWN = ("t2m/R@1", "t2m/R@10", "top1", "top5", "ap", "f1", "ndcg@1", "ndcg@5")


def _say_nothing(text: str) -> None:
    pass


def evaluate_checkpoint(
    config: ConfigDict,
    path: str | pathlib.Path,
    output: str | pathlib.Path,
    split: str | None = None,
    say: Callable[[str], None] = _say_nothing,
    language_model: str | None = None,
) -> dict:
    """Scores a checkpoint on a split of every dataset that the config names.

    Args:
      config: config of the evaluation: `data` names the datasets, `eval` and `task` the scores. The
        model itself comes from the checkpoint.
      path: a workdir or checkpoint folder, possibly copied from elsewhere.
      output: folder for the results. evaluation/<dataset>-<split>/ receives metrics.json, a CSV
        file with every query or clip, pictures and the page of examples, index.html. The
        metrics.json of the first dataset's test split is also written to `output` itself, unless
        this is a further evaluation (`is_further`). If `output` is the run of the checkpoint,
        scores of the test split also go to the writers that config.log_to names, as test/<score>
        and test_<dataset>/<score>.
      split: name of the split; `config.data.test_split` by default.
      say: receives the results as text, dataset by dataset; called on process 0 only.
      language_model: as of `motionalign.load`.

    Returns:
      {dataset: content of its metrics.json}: "dataset", "split", "step", and the task's scores.
    """
    schema().check_values(config)  # fields that nothing reads do no harm in an evaluation
    split = split or config.data.test_split
    model = _model(config, path, language_model)
    task, output = TASKS[config.task](config), expand(output)
    all_results, test_scalars = {}, {}
    if logged := is_run_of(output, path):
        check_writers(config.log_to)
    say = say if jax.process_index() == 0 else _say_nothing
    for dataset in _checked_datasets(config, model, task):
        name, step = dataset.name, model.run["step"]
        say(f"\n{name}, split {split}, checkpoint of step {step}\n{about_data(model, dataset)}")
        results = task.evaluate(_predictor_for(model, dataset), dataset, split)
        scores = {"dataset": name, "split": split, "step": step, **results.scores}
        all_results[name] = scores
        if jax.process_index() != 0:
            continue
        say(format_tables(results.tables))
        folder = output / "evaluation" / f"{name}-{split}{_suffix(model, task)}"
        record = scores | {"evaluated": evaluated(model, task, dataset, split)}
        say("\n" + write_results(folder, record, results))
        if split != config.data.test_split:
            continue
        if len(all_results) == 1:
            path = output / "metrics.json"
            if is_further(path, model, task, scores, run=logged):
                say(f"{path} keeps the results of the run; these are in {folder}")
            else:
                write_scores(path, record, results.unasked)
        prefix = "test" if len(all_results) == 1 else f"test_{name}"
        test_scalars |= {f"{prefix}/{n}": value for n, value in results.scalars.items()}
    if logged and test_scalars:
        log_results(output, config.log_to, stored_form(config), model.run["step"], test_scalars)
    return all_results


def _model(config: ConfigDict, path: str | pathlib.Path, language_model: str | None) -> Model:
    """The model of a checkpoint on the devices of the config; arguments as above."""
    mesh = sharding.make_mesh(config.mesh.data, config.mesh.model)
    series = SERIES[config.eval.checkpoint]
    return load(path, series, mesh, config.data, language_model=language_model)


def tokenize_checkpoint(
    config: ConfigDict,
    path: str | pathlib.Path,
    output: str | pathlib.Path,
    split: str | None = None,
    language_model: str | None = None,
) -> str:
    """Writes the sentences of a dataset's clips: JSON lines as of `tokens.TokenizedSplit.lines`.

    Args:
      config: `data` names the dataset; the model comes from the checkpoint.
      path: the run, checkpoint or shared folder of a motion tokenizer, or of a language model that
        reads motion tokens.
      output: the .jsonl to write.
      split: name of the split; None: all that the dataset has.
      language_model: as of `motionalign.load`.

    Returns:
      What was written, with statistics of the sentences, in words.

    Raises:
      ValueError: the model writes no sentences, it does not fit the dataset, or `output` has
        another ending.
    """
    check_place(output, "--output")
    if pathlib.Path(output).suffix != ".jsonl":
        raise ValueError(f"--output={output}: expected a name that ends in .jsonl")
    model = _model(config, path, language_model)
    codes = _codes_of(model, path)
    names = parse_mixture(config.data.datasets)
    if len(names) != 1:
        raise ValueError(
            f"config.data.datasets={config.data.datasets} names {len(names)} datasets; choose one "
            "by --config.data.datasets=NAME"
        )
    dataset = Dataset(config.data.data_dir, *names)
    model.encoder.representation.check(dataset.metadata)
    indices = sorted(dataset.version_dir.glob("index-*.npz"))
    there = [split] if split else [each.stem.removeprefix("index-") for each in indices]
    predict = _predictor_for(model, dataset)
    splits = [dataset.split(name) for name in there]  # a wrong name is found before the work
    written = [tokenize(predict, dataset, each) for each in splits]
    lines = [line for each in written for line in each.lines(dataset)]
    if jax.process_index() == 0:
        write_text(output, "".join(f"{line}\n" for line in lines))
    table = sentence_table(written, codes, list(predict.about.values()))
    return (
        f"{about_data(model, dataset)}{table.markdown()}\n\n"
        f"{len(lines)} clips of {dataset.name} → {output}"
    )


def _codes_of(model: Model, path: str | pathlib.Path) -> int:
    """Number of codes of the motion tokenizer in a model; a ValueError if it has none."""
    config = model.encoder.network.config
    if not isinstance(config, MotionTokenizerConfig | MotionLanguageConfig):
        raise ValueError(
            f"{path} is a {model.run['kind']}, which writes no sentences: --mode=tokenize needs a "
            "motion tokenizer (config.model.kind=motion_tokenizer) or a language model that reads "
            "its tokens (language_model)"
        )
    found = tokenizer_config(config)
    if not found.quantizer.has_codes:
        raise ValueError(
            f"{path} has continuous features instead of codes "
            "(config.model.tokenizer.quantizer=none), so there are no sentences"
        )
    return found.quantizer.codes


def _checked_datasets(config: ConfigDict, model: Model, task: Task) -> list[Dataset]:
    """The datasets to score, all checked before the first is scored."""
    datasets = [Dataset(config.data.data_dir, n) for n in parse_mixture(config.data.datasets)]
    for dataset in datasets:
        check_fit(model, dataset, task)
    return datasets


def about_data(model: Model, dataset: Dataset) -> str:
    """A paragraph for the user if a dataset is not, or may not be, what a model was trained on.

    Empty otherwise, and for a converted model, whose training data are not known here.
    """
    if model.run["source"] is not None:
        return ""
    trained = model.datasets.get(dataset.name)
    if trained is None:
        known = [each.fingerprint for each in model.datasets.values() if each.fingerprint]
        if known and dataset.fingerprint in known:
            return ""
        others = ", ".join(model.datasets)
        return f"The model was not trained on dataset {dataset.name!r} but on {others}.\n"
    if differs := is_other_data(dataset, trained):
        return (
            f"Dataset {dataset.name!r} is not the data that the model was trained on: {differs}.\n"
        )
    if trained.fingerprint is None:
        return (
            f"The model has stored no fingerprint: that dataset {dataset.name!r} holds the clips "
            "that it was trained on could not be verified, only its statistics and classes.\n"
        )
    return ""


def _predictor_for(model: Model, dataset: Dataset) -> Predictor:
    """A model as tasks see it, which reads a dataset as inference/reference.py says."""
    reading = reading_of(model.datasets, dataset, model.encoder.representation)
    return predictor(model, reading.prepare, reading.about)


def predictor(
    model: Model, prepare: Callable | None = None, about: Mapping[str, str] | None = None
) -> Predictor:
    """A model as tasks see it; `prepare` and `about` as in `Predictor`."""
    return Predictor(
        model.encoder, model.arrays, model.distance, model.run["trained"], prepare, progress=True,
        fps=model.metadata().fps, about=about,
    )  # fmt: skip


def write_results(folder: pathlib.Path, scores: dict, results: Results) -> str:
    """Writes metrics.json, CSV files, pictures and page into a folder; returns where they are."""
    kept = write_scores(folder / "metrics.json", scores, results.unasked)
    for name, records in results.records.items():
        write_csv(folder / f"{name}.csv", records.head, records.rows)
    for name, image in results.pictures.items():
        write_picture(folder / f"{name}.png", image)
    where = []
    if kept:
        where.append(
            f"{folder / 'metrics.json'} keeps the scores of {', '.join(kept)}, of an earlier "
            "evaluation of this model on this data"
        )
    if results.page:
        where.append(f"Page of examples: {results.page(folder)}")
    if results.pictures:
        where.append(f"Pictures: {', '.join(f'{folder / name}.png' for name in results.pictures)}")
    return "\n".join(where) or f"Scores: {folder / 'metrics.json'}"


def write_scores(path: pathlib.Path, scores: dict, unasked: Sequence[str] = ()) -> list[str]:
    """Writes a metrics.json, and keeps scores in it that the evaluation was not asked for.

    Args:
      path: the file, which may exist.
      scores: its new content.
      unasked: names of scores that the task can compute, but was not asked for. They are kept if
        the file is about the same model and data; a file of version 0.1, which has no field
        "evaluated", if its dataset, split and step agree.

    Returns:
      The names of the scores that are kept.
    """
    before = _results_in(path)
    about = ("dataset", "split", "step", "evaluated")
    if any(before[name] != scores[name] for name in about if name in before and name in scores):
        before = {}
    kept = {name: before[name] for name in unasked if name in before}
    reasons = before["left_out"] if before else {}
    left_out = {name: reasons[name] for name in unasked if name in reasons}
    if "left_out" in scores:
        left_out |= scores["left_out"]
    with digests.recording(path):
        write_json(path, scores | kept | ({"left_out": left_out} if left_out else {}))
    return list(kept)


def is_further(path: pathlib.Path, model: Model, task: Task, scores: dict, run: bool) -> bool:
    """Whether scores must not replace those in the metrics.json of a folder of results.

    The file is about the model's first training dataset and its own task. In the folder of a run,
    it is also about the run's test split and the checkpoint that the run selects.

    Args:
      path: the file, which may exist.
      model: the model that is evaluated.
      task: the task it is evaluated by.
      scores: the new scores, with "dataset", "split" and "step".
      run: whether the file is in the folder of the run that trained the model.
    """
    before = _results_in(path)
    if not before:
        return False
    own = not _suffix(model, task)
    same_place = all(before[name] == scores[name] for name in ("dataset", "split"))
    main = scores["dataset"] == next(iter(model.run["datasets"]))
    if run:
        stored = migrate_config(digests.read_json(path.with_name("config.json")), schema())
        selected = load_run(find(path.parent, SERIES[stored["eval"]["checkpoint"]]))["step"]
        own = own and scores["step"] in (selected, before["step"])
        main = main and scores["split"] == stored["data"]["test_split"]
    return not (own and (same_place or main))


def _results_in(path: pathlib.Path) -> dict:
    """The content of a metrics.json; empty if there is none that can be read."""
    try:
        content = dict(digests.read_json(path)) if path.is_file() else {}
    except (ValueError, TypeError):
        return {}
    return content and {"left_out": {}, "step": None, **content}


def evaluated(model: Model, task: Task, dataset: Dataset, split: str) -> str:
    """Identifies what is evaluated: the model, the task, and the clips of the split."""
    metadata = dataset.metadata.to_json()
    content = [model.run, task.name, metadata, list(dataset.split(split).ids)]
    # Scores of version 0.1 on other datasets were of motions that were read in another way.
    content += reading_of(model.datasets, dataset, model.encoder.representation).about.values()
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _suffix(model: Model, task: Task) -> str:
    """The end of the folder's name for a task that the model was not trained for."""
    trained = model.run["trained"]
    return f"-{task.name}" if trained and trained["task"] != task.name else ""


def check_fit(model: Model, dataset: Dataset, task: Task) -> None:
    """Raises a ValueError if a model cannot be scored on a dataset, before anything is encoded.

    Args:
      model: the model to score.
      dataset: the dataset to score it on.
      task: the task to score it by.
    """
    config = model.encoder.network.config
    if model.run["kind"] != task.kind:
        fit = [name for name, each in TASKS.items() if each.kind == model.run["kind"]]
        raise ValueError(
            f"config.task={task.name!r} evaluates a {task.kind}, but the model is a "
            f"{model.run['kind']}: set config.task to {' or '.join(fit)}"
        )
    if not isinstance(config, DualEncoderConfig):
        model.encoder.representation.check(dataset.metadata)
        return
    if config.classifier and config.classifier.exclusive != task.exclusive:
        own = next(
            name for name, each in TASKS.items() if each.exclusive == config.classifier.exclusive
        )
        raise ValueError(
            f"the model classifies {own}, but config.task is {task.name!r}: set config.task to the "
            "task of the model"
        )
    if config.text is None and not (task.has_classes and config.class_names):
        _check_frozen_text(model, dataset)
    model.encoder.representation.check(dataset.metadata)


def _check_frozen_text(model: Model, dataset: Dataset) -> None:
    """Raises a ValueError if the text vectors of a dataset are not those a model was trained on."""
    trained = model.run["text_encoder"]
    if trained is None:
        raise ValueError("the model has no text encoder: retrieval by text cannot be scored")
    there = dataset.require_caption_vectors()
    if not there.are_by(trained):
        where = trained["source"] or trained["hub_id"] or "FOLDER_OR_HUB_ID"
        raise ValueError(
            f"the model was trained with text vectors of {trained['encoder']}, readout "
            f"{trained['readout']}; dataset {dataset.name!r} has vectors of {there.encoder}. Run "
            f"`python -m data_prep embed --name={dataset.name} --encoder={where} "
            f"--readout={trained['readout']}`"
        )


def own_preparation(model: Model, dataset: Dataset) -> Callable[[np.ndarray], np.ndarray] | None:
    """How a model prepares its input from a dataset's joints; None if prepared records fit it.

    inference/reference.py says whose statistics and conventions count.
    """
    return reading_of(model.datasets, dataset, model.encoder.representation).prepare


def validate_all(
    task: Task,
    predict: Predictor,
    datasets: Sequence[Dataset],
    split: str,
    loss: Callable[[Predictor, Dataset, str], float | None] | None = None,
) -> tuple[float, dict[str, float], str]:
    """Scores a split of every dataset and averages the selection scores.

    Args:
      task: the task to score by.
      predict: the model.
      datasets: the datasets to score.
      split: name of the split.
      loss: function to the loss on a split of a dataset, logged as `loss` with the scores; see
        `ValidationLoss`.

    Returns:
      The selection score, the scalars to log, and a summary of the first dataset's scores to print.
      NaN, no scalars and no summary if the embeddings are not finite.
    """
    scores, scalars, words = [], {}, ""
    for dataset in datasets:
        score, found = task.validate(predict, dataset, split)
        if np.isnan(score):
            return float("nan"), {}, ""
        scores.append(score)
        prefix = "val" if dataset is datasets[0] else f"val_{dataset.name}"
        shown = [name for name in found if name in SHOWN] or list(found)
        value = loss(predict, dataset, split) if loss else None
        if value is not None:
            found, shown = {**found, "loss": value}, [*shown, "loss"]
        scalars |= {f"{prefix}/{name}": value for name, value in found.items()}
        words = words or ", ".join(f"{n.replace('/', ' ')} {found[n]:.2f}" for n in shown)
    return float(np.mean(scores)), scalars, words
