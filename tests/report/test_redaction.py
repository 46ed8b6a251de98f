from __future__ import annotations

import pytest

from vesalius.report.redaction import command_without_folders, without_names


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("3 images have no row in labels.csv (first: DOE_JOHN (1).png)", "3 images have no row in labels.csv"),
        (
            "2 duplicates differ, for example a b/DOE JOHN.dcm; see duplicates.csv",
            "2 duplicates differ; see duplicates.csv",
        ),
        ("DOE JOHN.png: not named CHNCXR_0 or _1", "a file: not named CHNCXR_0 or _1"),
        ("table passed over: /home/doe/JOHN DOE.csv: no column", "table passed over: (a path, left out)"),
        ("table passed over: C:\\scans\\DOE", "table passed over: (a path, left out)"),
        ("PATIENT7/IM0001 has no slices", "a file has no slices"),
        ("DOE.DCM has no slices", "a file has no slices"),
        ("class equals source: each class comes from other hospitals", None),
        ("60 of 200 images have no known patient; each file counts as a patient of its own", None),
    ],
)
def test_counts_and_sense_stay_and_names_go(said: str, shown: str | None) -> None:
    assert without_names(said) == (shown or said)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("vesalius pretrain a/b --data /x/me@work/store", "vesalius pretrain a/b --data store"),
        ("vesalius pretrain conf/doe.yaml --out runs/doe/1/", "vesalius pretrain doe.yaml --out 1"),
        (
            "vesalius pretrain a/b --set backbone.weights=/p=q/w.pth",
            "vesalius pretrain a/b --set backbone.weights=w.pth",
        ),
        (r"vesalius pretrain a/b --data 'C:\Users\Jane Doe\s'", "vesalius pretrain a/b --data s"),
        ("vesalius pretrain 'open /home/jane/x", "vesalius pretrain 'open x"),
    ],
)
def test_commands_keep_the_recipe_and_lose_folders(typed: str, shown: str) -> None:
    assert command_without_folders(typed, recipe="a/b") == shown
