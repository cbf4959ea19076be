"""Lines of text for people."""

from __future__ import annotations

import pytest

from jobstate.cli.view.text import (
    UNLIMITED,
    Cell,
    Column,
    cell_width,
    first_line,
    hanging,
    plural,
    printable,
    table,
    truncated,
    wrapped,
)

HEAD = [Column("ID"), Column("KIND", 2), Column("DESCRIPTOR", 3)]
ROWS = [[Cell("1"), Cell("k" * 30), Cell("d" * 50)], [Cell("12345"), Cell("k"), Cell("d")]]


@pytest.mark.parametrize("width", [30, 40, 60, 100, 200, UNLIMITED])
def test_a_grid_is_as_wide_as_it_needs_and_may_be_and_never_cuts_what_has_no_share(width: int) -> None:
    lines = list(table(HEAD, ROWS, width))
    needed = len("12345") + 2 + 30 + 2 + 50
    assert max(map(len, lines)) == min(width, needed)
    assert [line.split()[0] for line in lines] == ["ID", "1", "12345"]
    assert all(line == line.rstrip() for line in lines)


def test_columns_that_need_little_leave_the_rest_to_the_others() -> None:
    small = [[Cell("1"), Cell("load"), Cell("d" * 50)]]
    assert list(table(HEAD, small, 40))[1] == "1   load  " + "d" * 29 + "…"


def test_numbers_stand_below_each_other() -> None:
    lines = list(table([Column("FILES", right=True)], [[Cell("1")], [Cell("1,000,000")]], 80))
    assert lines == ["    FILES", "        1", "1,000,000"]


def test_wide_letters_take_two_cells() -> None:
    assert (cell_width("abc"), cell_width("抽出")) == (3, 4)
    assert truncated("抽出抽出", 5) == "抽出…"
    assert wrapped("抽出抽出", 5) == ["抽出", "抽出"]


def test_text_from_elsewhere_commands_no_terminal_and_breaks_no_line() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed\ud800") == "a\\x1b[2Jb\\nc\\u202ed\\ud800"
    assert printable("plain ü 抽出 🚀") == "plain ü 抽出 🚀"
    assert wrapped("a\n\x1bb", 80) == ["a", "\\x1bb"]
    assert hanging("why: ", "a\nb", 80) == "why: a\\nb"
    assert list(table([Column("X")], [[Cell("a\r\nb")]], 80)) == ["X", "a\\r\\nb"]


def test_lines_are_folded_between_words_and_words_only_where_they_are_too_long() -> None:
    assert wrapped("one two three", 9) == ["one two", "three"]
    assert wrapped("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert wrapped("a abcdefghij", 6) == ["a", "abcdef", "ghij"]
    assert wrapped("", 5) == [""]
    assert hanging("12: ", "one two three", 12) == "12: one two\n    three"


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 40])
def test_folding_loses_nothing_and_ends(width: int) -> None:
    text = "  some words and averylongwordthatdoesnotfit抽出抽出 end "
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert width < 2 or max(map(cell_width, lines)) <= width


def test_the_headline_of_a_text_says_that_there_is_more() -> None:
    assert [first_line(text) for text in ("one", "one\ntwo", "\none\n", "")] == ["one", "one …", "one", ""]


def test_things_are_counted_as_people_count() -> None:
    assert [plural(number, "job") for number in (0, 1, 2, 3000)] == ["0 jobs", "1 job", "2 jobs", "3,000 jobs"]
