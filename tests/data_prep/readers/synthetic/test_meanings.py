"""Captions of meanings."""

from data_prep.readers.synthetic.body import SIDES
from data_prep.readers.synthetic.catalogue import all_meanings
from data_prep.readers.synthetic.meanings import _inflect


def test_every_verb_is_inflected_as_in_english():
    verbs = {
        word.lstrip("*")
        for meaning in all_meanings()
        for act in meaning.acts
        for phrase in act.verbs
        for i, word in enumerate(phrase.split())
        if i == 0 or word.startswith("*")
    }
    doubled = set("clap get hop jog put run side-step sit squat step".split())
    without_e = set(
        "balance circle come give hide lunge make move raise rise rotate salute take wave".split()
    )
    with_es = set("arch crouch dash do flex go march punch push reach stretch touch".split())
    assert doubled | without_e | with_es <= verbs
    for verb in verbs:
        stem = verb + verb[-1] if verb in doubled else verb[:-1] if verb in without_e else verb
        assert _inflect(verb, "ing") == stem + "ing"
        assert _inflect(verb, "s") == verb + ("es" if verb in with_es else "s")


def test_captions_name_no_side_that_is_not_in_the_meaning(clips):
    both = ("twists", "lunges", "sway", "punches", "swing", "bend", "reach", "pose-", "balance")
    for clip in clips:
        if any(word in clip.meaning for word in both) or " then " in clip.meaning:
            continue
        for caption in clip.captions:
            for side in SIDES:
                named = side in caption.split()
                assert not named or side in clip.meaning, (caption, clip.meaning)


def test_first_captions_state_every_fact(clips):
    """The first caption contains one of the words for each fact."""
    acts = {meaning.key: meaning.acts for meaning in all_meanings()}
    for clip in clips:
        for act in acts[clip.meaning]:
            for alternatives in act.phrases:
                assert any(words in clip.captions[0] for words in alternatives), clip.captions[0]
