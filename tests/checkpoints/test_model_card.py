"""The model card of a shared folder."""

import json
import re
import shutil

from motionalign import digests
from motionalign.convert import main


def test_the_card_shows_the_scores(shared, trained):
    card = (shared / "README.md").read_text()
    results = json.loads((trained / "metrics.json").read_text())
    assert f"{results['all']['t2m']['R@10']:.2f}" in card
    assert "small, split test" in card


def test_the_card_describes_the_model(shared):
    card = (shared / "README.md").read_text()
    for line in (
        "# waver",
        'model = motionalign.load("waver")  # this folder, or its Hub id',
        "motion = model.encode_motion(joints, fps=30)  # [frames, joints, 3]",
        'text = model.encode_text("a person waves with the left hand")',
        "| motion encoder | vit, 1 layers of width 16 |",
        "| text encoder | bert, 1 layers of width 16 |",
        "| embedding | 8 dimensions, compared by cosine distance |",
        "| trained on | small: skeleton smpl22, 20 frames a second, coordinates of 1 m |",
    ):
        assert line in card.splitlines(), line
    assert "| checkpoint | step 4, validation score " in card


def test_the_example_of_the_card_runs(shared, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (shared / "README.md").read_text(), re.S)[1]
    monkeypatch.chdir(shared.parent)
    exec(code, found := {})
    assert found["motion"].shape == found["text"].shape == (8,)


def test_the_latest_checkpoint_is_shared_too(trained, tmp_path):
    """It has no score."""
    main(["share", str(trained / "checkpoints"), str(tmp_path / "out")])
    assert "| checkpoint | step 4 |" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_shows_no_other_checkpoints_scores(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.json"
    with digests.recording(metrics):
        metrics.write_text(json.dumps({**json.loads(metrics.read_text()), "step": 3}))
    main(["share", str(tmp_path / "run"), str(tmp_path / "out")])
    assert "Not evaluated yet" in (tmp_path / "out" / "README.md").read_text()
