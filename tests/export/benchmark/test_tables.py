"""Tables of text: marks of the best, order of names, and Markdown that holds names as they are."""

from __future__ import annotations

from ugrn.export.benchmark.tables import Grid, best_of, cells_of, in_order, plain, to_markdown


def test_the_best_is_judged_as_it_is_shown() -> None:
    assert best_of([0.7004, 0.6996, 0.6]) == [True, True, False]
    assert best_of([0.7, None, 0.6], lowest=True) == [False, False, True]
    assert best_of([None, None]) == [False, False]


def test_known_names_come_first_and_each_once() -> None:
    assert in_order(["b", "x", "a", "x"], ("a", "b", "c")) == ["a", "b", "x"]


def test_markdown_holds_names_as_they_are() -> None:
    assert plain("a|b\n<i>* & c") == "a\\|b &lt;i>\\* &amp; c"
    grid = Grid(("a|b", "n"), ((("x",), ((("1", True), ("2", False)),)), (("y",), cells_of("–"))))
    assert to_markdown(grid) == "| a\\|b | n |\n| --- | --- |\n| x | **1** / 2 |\n| y | – |"
    assert to_markdown(Grid(("a",), ())) == "No results."
