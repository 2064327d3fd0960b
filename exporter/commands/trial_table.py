"""Trials as a table, for a person at a terminal or for grep, and the progress bar until it is there."""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from exporter.commands.trials import Trial
from exporter.model import State

_NAME, _URL, _NOTE = "name", "URL", "denied, or error"
_HEADS = (_NAME, _URL, "user", "state", "version", "limit", _NOTE)
_FOLDING = (_NAME, _URL, "user", _NOTE)
_LEAST_NOTE = 30  # columns of a terminal that the note needs to stand beside the rest
_NEVER_FOLD = 1_000_000
_NOTHING = "-"
_COLORS = {State.OK: "green", State.AT_LIMIT: "yellow", State.LOADING: "yellow"}

_Row = Mapping[str, Text]


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal (stderr) until the block ends; the block calls what it gets for each step."""
    columns = (TextColumn("Trying servers"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def print_table(trials: Sequence[Trial]) -> None:
    """Print a table on stdout that fits the terminal; where that is none, one line for each trial.

    A terminal that is too narrow for the notes, or for the URLs too, gets them in a second table.
    """
    rows = [_row(trial) for trial in trials]
    if not sys.stdout.isatty():
        _print_lines(_table(rows, _HEADS))
        return
    console = Console(force_terminal=True)
    unlimited = console.options.update(max_width=_NEVER_FOLD)
    left = console.width - console.measure(_table(rows, _HEADS[:-1]), options=unlimited).maximum
    if left >= _LEAST_NOTE:
        console.print(_table(rows, _HEADS, folding=(_NOTE,)))
        return
    below = (_URL, _NOTE) if left < 0 else (_NOTE,)
    console.print(_table(rows, [head for head in _HEADS if head not in below]))
    if details := list(_joined(rows, below)):
        heads = (_NAME, ", ".join(below))
        console.print()
        console.print(_table(details, heads, folding=heads))


def _print_lines(table: Table) -> None:
    """Print without colours, and without the blanks that fill up the last column."""
    console = Console(force_terminal=False, width=_NEVER_FOLD)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _row(trial: Trial) -> _Row:
    limit = str(trial.limit) if trial.limit is not None else ""
    url, state = str(trial.target.access.url), trial.state
    texts = (trial.target.name, url, trial.user, state, trial.version, limit, trial.note)
    row = {head: _cell(text) for head, text in zip(_HEADS, texts, strict=True)}
    row["state"].stylize(_COLORS.get(state, "red"))
    return row


def _cell(text: str) -> Text:
    """Make a cell of one line and, for awk, at least one word; what looks like markup of rich stays text."""
    return Text("".join(each if each.isprintable() else "?" for each in text) or _NOTHING)


def _joined(rows: Iterable[_Row], heads: Sequence[str]) -> Iterator[_Row]:
    """Put what a row says under some heads into one cell, a line each; leave out rows that say nothing."""
    for row in rows:
        said = [row[head] for head in heads if row[head].plain != _NOTHING]
        if said:
            yield {_NAME: row[_NAME], ", ".join(heads): Text("\n").join(said)}


def _table(rows: Iterable[_Row], heads: Sequence[str], *, folding: Collection[str] = _FOLDING) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head not in folding)
    for row in rows:
        table.add_row(*(row[head] for head in heads))
    return table
