"""Names that differ by spelling only; lines of the table."""

from data_prep.findings import Finding, alike


def test_names_that_differ_by_spelling_only():
    actions = ["walk", "sit down", "jump", "\u8d70\u308b", "!", "?"]
    spellings = [*actions, "Walk", "WALK ", "sit-down", "sitdown"]
    (found,) = alike("labels_alike", spellings)
    assert found.count == 6
    assert found.entries == ["'walk', 'Walk', 'WALK '", "'sit down', 'sit-down', 'sitdown'"]
    assert alike("labels_alike", actions) == []


def test_thirty_labels_of_ten_actions():
    actions = [f"action {chr(97 + i)}" for i in range(10)]
    labels = [form(action) for action in actions for form in (str.lower, str.upper, str.title)]
    (found,) = alike("labels_alike", labels)
    assert (found.count, len(found.entries)) == (30, 10)
    line = found.line()
    assert line.startswith("      30 labels_alike: labels that differ by case, spaces or ")
    assert line.endswith("; 'action c', 'ACTION C', 'Action C'; ...")


def test_the_report_has_all_entries():
    found = Finding("file_unlisted", 5, list("abcde"))
    assert found.to_json()["entries"] == list("abcde")
    assert found.line().endswith(": a; b; c; ...")
