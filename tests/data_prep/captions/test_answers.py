"""Which answers of a language model can be used."""

import pytest
from chat_server import PROSE

from data_prep.captions.answers import Answer, fault, longest


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"text": "The person walks."}, None),
        ({"text": "Sorry-looking and bent, the person walks."}, "a refusal"),  # false positive
        ({"text": "I’m unable to do that"}, "a refusal"),
        ({"text": "As an AI, I walk."}, "a refusal"),
        ({"text": "x", "refusal": True}, "a refusal"),
        ({"text": "x", "finish_reason": "content_filter"}, "a refusal"),
        ({"text": " \n"}, "empty"),
        ({"text": "\ufeff"}, "empty"),
        ({"text": "The person wa", "finish_reason": "length"}, "cut off"),
        ({"text": "", "finish_reason": "length"}, "cut off"),  # thoughts took all tokens
        ({"text": "", "finish_reason": "tool_calls"}, "a tool call in place of a text"),
        ({"text": "<think>I am sorry</think> The person walks."}, None),
        ({"text": "<thinking>\nno\n</thinking>\n"}, "empty"),
        ({"text": "<think> The person"}, "cut off"),
        ({"text": "Line one.\r\n\tLine two."}, None),
        ({"text": "A naïve café-goer läuft 👩‍🦽 — “slowly”…"}, None),
        ({"text": "a\x7fb"}, "not text: it holds the character U+007F"),
        ({"text": "\ue000 walks"}, "not text: it holds the character U+E000"),
        ({"text": "<!DOCTYPE html><p>x"}, "a page of HTML or XML"),
        ({"text": "<b>The person</b> walks."}, None),
        ({"text": '["walks", "runs"]'}, "JSON in place of a text"),
        ({"text": "[The person walks.]"}, None),
        ({"text": "1234"}, "without a letter"),
        ({"text": "Человек идёт вперёд."}, "not in Latin letters, as the prompt is"),
        ({"text": "The person walks (идёт)."}, None),
        ({"text": "x", "wrong": "that"}, "that"),
    ],
)
def test_faults(answer, expected):
    assert fault(Answer(**{"finish_reason": "stop", **answer})) == expected


def test_labels_in_another_script_may_be_described_in_it():
    assert fault(Answer("Человек идёт."), "Describe: идти") is None


def test_the_longest_answer():
    assert fault(Answer("w" * longest(300)), max_tokens=300) is None
    found = fault(Answer("w" * (longest(300) + 1)), max_tokens=300)
    assert found == "4,801 characters long, where 300 tokens have at most 4,800"
    assert longest(1) == longest(16)  # a single token may be a long word


def test_words_are_the_text_without_what_surrounds_it():
    assert Answer(f"\ufeff<think>a\nb</think>\n {PROSE}\n").words == PROSE
