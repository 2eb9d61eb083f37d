"""Instructions to a language model that reads motions: the text around a sentence of motion tokens.

An instruction has `{motion}` where the motion tokens are, and may have `{names}` before it, where
the names of all classes are listed. What follows the instruction is the answer. LLM-AR publishes no
instruction; these are ours.
"""

INSTRUCTIONS = {
    "plain": "A person's movement:{motion} This action is called",
    "listed": (
        "Actions: {names}.\nBelow is a movement of a human body, written in motion tokens. Which "
        "of the actions above does it show best?\nMovement:{motion}\nAction:"
    ),
}
"""Instructions by value of config.model.language.instruction."""

BETWEEN = " and"  # separates the persons of a clip; ours


def parts_of(instruction: str, names: tuple[str, ...] = ()) -> tuple[str, str]:
    """The text before and after the motion.

    Args:
      instruction: a key of `INSTRUCTIONS`, or a text with {motion}.
      names: the names of the classes, for {names}.

    Raises:
      ValueError: it is neither, or {motion} does not occur exactly once, or {names} after it.
    """
    text = INSTRUCTIONS.get(instruction, instruction)
    if text.count("{motion}") != 1:
        raise ValueError(
            f"model.language.instruction={instruction!r}; expected one of "
            f"{', '.join(INSTRUCTIONS)}, or a text that contains {{motion}} once, where the motion "
            "tokens are"
        )
    before, after = text.split("{motion}")
    if after != after.rstrip():
        raise ValueError(
            f"model.language.instruction ends with {after[-1]!r}: end it with a word or a sign, "
            "since the names that follow bring their own space"
        )
    if "{names}" in after:
        raise ValueError(
            "model.language.instruction lists {names} after {motion}; put them before it, so that "
            "all clips share what comes first"
        )
    return before.replace("{names}", ", ".join(names)), after


def lists_names(instruction: str) -> bool:
    """Whether an instruction lists the names of the classes."""
    return "{names}" in INSTRUCTIONS.get(instruction, instruction)
