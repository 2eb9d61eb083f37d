"""What to do about each reason for dropping a clip."""

from collections.abc import Mapping, Sequence

# One sentence per reason of `readers.REASONS`. A reader whose format needs another one has it in
# its own `advice`.
ADVICE = {
    "duplicate_id": "List every name once, in one of the split files.",
    "motion_missing": "Check that the given folders are right and that everything was unpacked.",
    "motion_unreadable": "Unpack or copy the files again, or save the arrays again with "
    "numpy.save; archives, pickled objects and text files are not read.",
    "wrong_shape": "Convert the arrays and save them with numpy.save; motionalign/skeleton.py has "
    "the names and the order of the joints.",
    "wrong_body_model": "Give the archives of SMPL-H instead.",
    "duration_differs": "The files are not those that were annotated, or state a wrong frame rate: "
    "use the archives that the annotations were made for.",
    "not_finite": "Find out which step of the conversion makes NaN or infinity, and repair or "
    "leave out these frames.",
    "too_short": "If clips are meant to be this short, lower --min_frames.",
    "text_missing": "Every name in the split files needs a text file; check that the texts were "
    "unpacked, and that their names are those of the motions.",
    "text_malformed": "Each line must be caption#tokens#start#end, like a person waves##0#0.",
    "caption_empty": "Write a caption, or take the names out of the split files.",
    "span_outside": "Times are seconds, not frames; check them, and the frame rate of the motions.",
    "label_missing": "Add a row with the label, or take the names out of the split files.",
    "label_unknown": "Check the spelling of the labels, or use more classes.",
    "not_human": "`python -m data_prep inspect FILE` shows what was found; if it is a body, name "
    "its joints with --skeleton=FILE.json.",
    "two_dimensional": "Keep keypoints in 2D with --joints=native, in a dataset of their own.",
    "no_rate": "Give the rate at which these files were recorded, such as --fps=30 or --fps=120.",
    "skeleton_differs": "Prepare each skeleton as a dataset of its own, or all of them as SMPL's "
    "22 joints: --joints=smpl22.",
    "skeleton_incomplete": "Name the joints that were not found in a skeleton file "
    "(--skeleton=FILE.json), or keep the joints of the files: --joints=native.",
    "no_body": "Nothing: nobody was found in these recordings.",
    "left_out": "Nothing: the publishers ask to leave these recordings out.",
    "row_missing": "Add rows of these files to the table of captions, or leave them out.",
    "piece_incomplete": "Nothing: the protocol leaves these frames out.",
    "attributes_malformed": "Fill in the cells; probabilities are numbers from 0 to 1.",
    "zeros": "Leave out the frames in which the body was not tracked, or fill them in.",
    "frozen": "Leave out the stretch in which nothing moves, or --accept=frozen.",
    "order_implausible": "Declare the order of the joints with --order, or the sensor of shaking "
    "joints with --sensor=depth.",
    "unit_implausible": "Declare the unit with --unit, or --accept=unit_implausible for bodies "
    "that are meant to be so large or small.",
    "axis_implausible": "Declare the axis that points up with --up, or --accept=axis_implausible "
    "for bodies that never stand.",
    "handedness": "Exchange left and right, or negate the axis that is mirrored. Swapping y and z "
    "without negating one of them mirrors the body: use --up=z instead.",
}

# The same for readers without options that declare the conventions of their files.
UNDECLARED = {
    "order_implausible": "Put the joints in the order of motionalign/skeleton.py.",
    "unit_implausible": "Convert the joints to the unit that this command reads.",
    "axis_implausible": "Turn the joints so that y points up.",
    "handedness": "Exchange left and right, or negate the axis that is mirrored.",
}

_EXTENSIONS = (".npy", ".txt")


def advice_on(reason: str, names: Sequence[str], of_reader: Mapping[str, str]) -> str:
    """What to do about clips that were dropped for one reason.

    Args:
      reason: a key of `ADVICE`.
      names: the clips.
      of_reader: the advice of the reader, {reason: sentence}, which comes first.
    """
    named = [name for name in names if name.endswith(_EXTENSIONS)]
    if reason in ("motion_missing", "text_missing") and named:
        bare = named[0].rpartition(".")[0]
        return f"Names in the split files must have no extension: {bare}, not {named[0]}."
    return of_reader.get(reason, ADVICE[reason])
