"""Instructions: the text around the motion."""

import pytest

from motionalign.models.instructions import INSTRUCTIONS, lists_names, parts_of


def test_the_text_before_and_after_the_motion():
    assert parts_of("Of {names}, {motion} is", ("walk", "sit")) == ("Of walk, sit, ", " is")
    assert parts_of("{motion} is") == ("", " is")
    for name, text in INSTRUCTIONS.items():
        assert parts_of(name) == parts_of(text)
        assert lists_names(name) == ("{names}" in text)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("Name this action:", r"contains \{motion\} once"),
        ("{motion} or {motion}:", r"contains \{motion\} once"),
        ("plian", "expected one of plain, listed"),
        ("{motion} is ", "ends with ' '"),
        ("{motion} is\n", r"ends with '\\n'"),
        ("{motion} of {names}:", "put them before it"),
    ],
)
def test_instructions_that_cannot_be_followed(instruction, message):
    with pytest.raises(ValueError, match=message):
        parts_of(instruction)
