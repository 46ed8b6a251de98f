"""Modules of the page by themselves: which images are chosen, and how they are written as CSV."""

from __future__ import annotations

import csv
import itertools
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright and a Chromium")


def test_words_that_a_spreadsheet_would_run_are_made_plain(page: Any) -> None:
    rows = page.evaluate(
        "async () => (await import('./csv.js')).csv({ids: ['a'], answers: [], problems: [], columns:"
        " [{key: 'label:x', title: 'x, \"y\"', kind: 'category', classes: ['=1+1', 'b'], values: [0]}]}, [0], [])"
    )
    assert list(csv.reader(rows.removeprefix("\ufeff").splitlines())) == [
        ["row", "image_id", 'x, "y"'],
        ["0", "a", "'=1+1"],
    ]


def test_choosing_among_numbers_and_words(page: Any) -> None:
    """Filters by a number, by words, by what is not known; the orders of a number; classes of several labels."""
    rows = page.evaluate("""async () => {
      const { passing, shown, judgeAll } = await import('./choose.js');
      const table = { ids: ['a', 'b', 'c', 'd'], problems: [], columns: [
        { key: 'age', title: 'age', kind: 'number', values: [40, null, 60, 50] },
        { key: 'site', title: 'site', kind: 'category', classes: ['x', 'y'], values: [0, 1, null, 1] }],
        answers: [{ key: 'k', run: 0, evaluation: 'e', title: 't', kind: 'number', values: [0.5, null, 0.9, 0.1] },
          { key: 'm', run: 0, evaluation: 'e', title: 't', kind: 'classes', several: true, classes: ['p', 'q'],
            scores: [[0.9, 0.2, 0.7, null], [0.1, 0.6, 0.4, null]], truth: [[1, 1, 0, null], [0, null, 1, null]] }] };
      const state = { answer: 0, klass: -1, threshold: 0.5, verdict: 'all', order: 'worst', categories: new Map(),
        ranges: new Map(), scores: null, onlySelected: false, selected: new Set() };
      const now = () => {
        const judged = judgeAll(table, state);
        return shown(passing(table, judged, state), judged, state);
      };
      const found = [now()];
      state.order = 'highest'; found.push(now());
      state.order = 'stored'; state.ranges.set('age', [45, Infinity]); found.push(now());
      state.categories.set('site', new Set([null])); found.push(now());
      state.categories.clear(); state.ranges.clear(); state.scores = [0.3, 0.6]; found.push(now());
      state.scores = null; state.answer = 1; state.klass = 0; state.verdict = 'missed'; found.push(now());
      state.verdict = 'false-alarm'; found.push(now());
      state.klass = 1; state.verdict = 'missed'; found.push(now());
      return found;
    }""")
    assert rows == [[3, 0, 2, 1], [2, 0, 3, 1], [2, 3], [2], [0], [1], [2], [2]]


def test_borders_are_closed_lines_around_parts(page: Any) -> None:
    """A square with a hole, and a pixel that touches it by a corner: as long as all edges, each corner where it is."""
    image = ["1110", "1010", "1110", "0001"]
    values = [255 * int(one) for line in image for one in line]
    lines = page.evaluate("async values => (await import('./paint.js')).borders(values, 4, 4)", values)
    assert all(line[0] == line[-1] for line in lines)
    steps = [abs(one - other) for line in lines for one, other in itertools.pairwise(line)]
    assert set(steps) <= {1, 5}
    assert len(steps) == 12 + 4 + 4


def test_a_label_that_is_not_known_is_no_no(page: Any) -> None:
    said = page.evaluate("""async () => {
      const { truthWords } = await import('./judge.js');
      const { csv } = await import('./csv.js');
      const answer = { key: 'k', run: 0, evaluation: 'e', title: 't', notes: [], kind: 'classes', several: true,
        classes: ['a', 'b'], scores: [[0.1], [0.2]], truth: [[0], [null]] };
      return [truthWords(answer, 0), csv({ ids: ['i'], columns: [], answers: [answer], problems: [] }, [0], ['run'])];
    }""")
    assert said[0] == "none; not known: b"
    header, row = csv.reader(said[1].removeprefix("\ufeff").splitlines())
    assert dict(zip(header, row, strict=True)) == {
        "row": "0", "image_id": "i", "run e truth a": "0", "run e truth b": "", "run e a": "0.1", "run e b": "0.2",
    }  # fmt: skip
