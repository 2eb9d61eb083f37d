import pytest

from data_prep.captions.from_names import FILE_WORDS, caption_of, words_of


@pytest.mark.parametrize(
    ("path", "caption"),
    [
        ("Walk_Happy_001_FW", "walk happy"),
        ("dances/salsa_12", "salsa dances"),
        ("dances/latin/salsa 03", "salsa latin dances"),
        ("sitToStand-2024-03-01", "sit to stand"),
        ("walking/old_man_v2_final", "old man walking"),
        ("walk/walk_01", "walk"),
        ("CMU/12/12_01_walk", "walk"),
        ("subject_3/actor12_jump&kick (3)", "jump kick"),
        ("KICK_FW", "kick"),
        ("RUN", "run"),
        ("läufer_Übung", "läufer übung"),
        ("跳ぶ_01", "跳ぶ"),
        ("Kick_R", "kick"),
        ("walk_walk", "walk"),
        ("01/01_01", ""),
        ("mocap/Take 2024-01-05 final", ""),
        ("Copy of Walk_01", "walk"),
        ("Copy (2) of Walk_01", "walk"),
        ("copy_of_jump", "jump"),
        ("Walk_01 - Copy", "walk"),
        ("photocopy of a page", "photocopy of page"),
    ],
)
def test_names_as_captions(path, caption):
    assert caption_of(path.split("/")) == caption


def test_a_named_take_stands_for_its_file():
    assert caption_of(["rigs", "hero_v2"], "Armature|Wave_01") == "wave rigs"
    assert caption_of(["rigs", "hero_v2"], "Take 001") == "hero rigs"


def test_of_mirrored_files_left_and_right_are_exchanged():
    assert caption_of(["turn_left_mirror"]) == "turn right"
    assert caption_of(["wave_right_mirrored_02"]) == "wave left"
    assert caption_of(["look_in_mirror_left"]) == "look in mirror left"


def test_words_about_files_are_left_out_as_whole_words_only():
    assert "take" in FILE_WORDS
    assert words_of("take_cover") == ["cover"]
    assert words_of("mistaken") == ["mistaken"]
    assert words_of("setting_sun") == ["setting", "sun"]
