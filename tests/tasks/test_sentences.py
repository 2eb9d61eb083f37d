"""Names ranked by a language model: scores by hand on a predictor whose scores are known."""

import dataclasses

import numpy as np
import pytest
from stand_ins import Split, metadata

from motionalign.tasks.schema import schema
from motionalign.tasks.sentences import Sentences, chosen_length

NAMES = ("go", "sit", "run far", "hop")  # "hop" has no training clip
TOKENS = {"go": 1, "sit": 1, "run far": 3, "hop": 2, "": 1}
SPLITS = {"train": [0, 1, 2, 1], "val": [0, 1], "test": [0, 0, 1, 2], "unseen": [3, 3, 3]}

# Mean log-probabilities of a token, for each clip of a split, in the order of NAMES.
MEANS = {
    "val": [[-1, -2, -4, -5], [-2, -1, -4, -0.5]],
    "test": [[-1, -2, -4, -5], [-3, -2, -4, -5], [-3, -1, -2, -0.1], [-3, -4, -2, -5]],
    "unseen": [[-1, -2, -3, -0.4], [-1, -2, -3, -4], [-3, -3, -3, -0.2]],
}


@dataclasses.dataclass(eq=False)
class SomeData:
    splits: dict
    metadata: object
    name: str = "mine"
    version_dir: str = "data/mine"
    asked: list = dataclasses.field(default_factory=list)

    def split(self, name):
        self.asked.append(name)
        return self.splits[name]


class Words:
    """A tokenizer whose names have the numbers of tokens of TOKENS; ids are of characters."""

    max_tokens, bos, add_bos = 8, None, False

    def truncated(self, texts):
        return {}

    def encode(self, texts):
        count = max(TOKENS[text] for text in texts)
        mask = np.arange(count) < np.array([[TOKENS[text]] for text in texts])
        self.asked = list(texts)
        return np.where(mask, 1, 0).astype(np.int32), mask

    def ids(self, text, special=False, start=False):
        return list(map(ord, text))

    def text(self, ids):
        return "".join(map(chr, ids))


@dataclasses.dataclass
class Config:
    instruction: str = "plain"
    ends: tuple = (0,)
    before: tuple = ()
    prompt_tokens: int = 5

    @property
    def llama(self):
        return dataclasses.make_dataclass("Llama", [("context", int)])(1000)


class Predict:
    """Sums of log-probabilities are MEANS times the number of tokens."""

    def __init__(self, means=MEANS, said=("hop", "Go", "fly"), trained=None, instruction="plain"):
        self.means, self.said, self.trained = means, said, trained
        config = Config(instruction)
        self.network = dataclasses.make_dataclass("Network", [("config", Config)])(config)
        self.tokenizer = Words()
        self.befores, self.about = [], {}

    def outputs(self, method, dataset, split, rows, *args):
        if method == "answer":
            self.befores.append(args[0])
            told = [[*map(ord, self.said[i % len(self.said)]), 0] for i in range(len(rows))]
            longest = max(map(len, told))
            mask = np.array([[i < len(row) for i in range(longest)] for row in told])
            return np.array([row + [0] * (longest - len(row)) for row in told]), mask
        assert method == "scores"
        names = self.tokenizer.asked
        columns = [NAMES.index(name) for name in names]
        lengths = np.array([TOKENS[name] for name in names])
        means = np.asarray(self.means[split.name], np.float32)
        return means[np.asarray(rows)][:, columns] * lengths


@pytest.fixture
def task():
    return Sentences(schema().base())


def data(splits=SPLITS, names=NAMES):
    each = {name: Split(labels, name=name) for name, labels in splits.items()}
    return SomeData(each, metadata(label_names=names))


def test_validation_ranks_the_names_of_training_by_both_normalisations(task):
    score, scalars = task.validate(Predict(), data(), "val")
    assert score == scalars["top1"] == 100  # "hop" is not among the names
    assert scalars["loss"] == 1  # of the right names, a token
    # By the sum, "run far" loses to shorter names.
    longer = {"val": [[-3, -4, -1.2, -9], [-3, -9, -1.2, -9]]}
    splits = SPLITS | {"val": [2, 2]}
    score, scalars = task.validate(Predict(longer), data(splits), "val")
    assert (scalars["top1_sum"], scalars["top1_mean"], score) == (0, 100, 100)
    assert chosen_length(scalars) == {"length": "mean"}
    broken = {"val": [[np.nan] * 4] * 2}
    assert np.isnan(task.validate(Predict(broken), data(), "val")[0])


def test_the_choice_of_several_datasets_is_by_the_mean_of_their_accuracies():
    scalars = {"val/top1_sum": 80.0, "val/top1_mean": 70.0}
    assert chosen_length(scalars) == {"length": "sum"}
    more = {"val_other/top1_sum": 10.0, "val_other/top1_mean": 30.0}
    assert chosen_length(scalars | more) == {"length": "mean"}
    assert chosen_length({"val/top1": 3.0}) == {}


def test_seen_names_first_then_all(task):
    results = task.evaluate(Predict(), data(), "test")
    rows = results.scores["recognition"]
    assert list(rows) == ["seen names", "all names"]
    assert (rows["seen names"]["top1"], rows["seen names"]["classes"]) == (50, 3)
    assert rows["all names"]["top1"] == 25  # the third clip is a "hop" by its scores
    assert "seen_and_unseen" not in results.scores
    assert set(results.pictures) == {"confusion-seen-names", "confusion-all-names"}
    assert results.scores["length"] == "sum"


def test_unseen_names_and_the_harmonic_mean(task):
    results = task.evaluate(Predict(), data(), "unseen")
    rows = results.scores["recognition"]
    assert list(rows) == ["unseen names", "all names"]
    assert rows["unseen names"]["top1"] == 100
    assert rows["all names"]["top1"] == pytest.approx(200 / 3)  # clips 0 and 2, of 3, by the sum
    both = results.scores["seen_and_unseen"]
    assert (both["seen"], both["unseen"]) == (25, pytest.approx(200 / 3))
    assert both["harmonic_mean"] == pytest.approx(2 * 25 * (200 / 3) / (25 + 200 / 3))
    nothing = {**MEANS, "unseen": [[0, 0, 0, -9]] * 3, "test": [[-9, -9, -9, 0]] * 4}
    assert task.evaluate(Predict(nothing), data(), "unseen").scores["seen_and_unseen"] == {
        "seen": 0.0, "unseen": 0.0, "harmonic_mean": 0.0,
    }  # fmt: skip


def test_the_validation_split_has_no_harmonic_mean(task):
    assert "seen_and_unseen" not in task.evaluate(Predict(), data(), "val").scores


def test_answers_in_free_text(task):
    free = task.evaluate(Predict(), data(), "unseen").scores["free_text"]
    assert free == {
        "top1": pytest.approx(100 / 3), "names": pytest.approx(200 / 3),
        "examples": ["Go", "fly", "hop"],
    }  # fmt: skip


def test_an_instruction_lists_the_names_that_are_asked(task):
    predict = Predict(instruction="{names}:{motion}!")
    task.evaluate(predict, data(), "unseen")
    assert predict.tokenizer.text(predict.befores[0]) == "hop:"
    task.evaluate(predict, data(), "test")
    assert predict.tokenizer.text(predict.befores[1]) == "go, sit, run far:"
    predict = Predict()
    task.evaluate(predict, data(), "test")
    assert predict.befores == [None]


def test_the_recorded_choice_needs_no_validation_and_validation_no_test(task):
    dataset = data()
    results = task.evaluate(Predict(trained={"length": "mean"}), dataset, "test")
    assert results.scores["length"] == "mean"
    assert "val" not in dataset.asked
    dataset = data()
    task.validate(Predict(), dataset, "val")
    assert set(dataset.asked) == {"train", "val"}


def test_without_unseen_classes_there_is_one_table(task):
    splits = {**SPLITS, "train": [0, 1, 2, 3]}
    rows = task.evaluate(Predict(), data(splits), "test").scores["recognition"]
    assert list(rows) == ["names"]


def test_classes_are_those_with_training_clips(task):
    assert task.classes([data()]).names == ("go", "sit", "run far")


def test_data_that_cannot_be_asked_about(task):
    splits = {**SPLITS, "test": [0, 3, 1, 1]}
    with pytest.raises(ValueError, match="they need a split each"):
        task.evaluate(Predict(), data(splits), "test")
    with pytest.raises(ValueError, match="1 clips are of classes that no training clip has"):
        task.validate(Predict(), data({**SPLITS, "val": [0, 3]}), "val")
    with pytest.raises(ValueError, match="1 of the 4 classes have an empty name"):
        task.classes([data(names=("go", "", "run far", "hop"))])
    with pytest.raises(ValueError, match="dataset 'mine' has no labels"):
        task.check(data(names=()), "test", False, False)
