"""What a person reads when a column can't be used: place, value, remedy."""

from collections.abc import Sequence

from hourglass.catalog import column_names, counted
from hourglass.errors import ColumnsError, DataError
from hourglass.sources._texts import hint, shortened, yaml, yaml_list

Cell = tuple[str, str, str]  # column, place, text


def text_among_numbers(
    where: str, cells: Sequence[Cell], decimal: str = ".", *, levels: bool = True
) -> ColumnsError:
    """Columns of numbers that hold a text, each with its first one.

    Args:
        where: Of the columns.
        cells: The texts.
        decimal: Sign before the fraction of the file's numbers.
        levels: Whether the columns may hold levels.
    """
    name, place, text = cells[0]
    names = [column for column, _, _ in cells]
    also = f" Texts among numbers are also in: {column_names(names[1:])}." if names[1:] else ""
    meant = hint(text, decimal)  # then it is a number, and stands for no gap
    key = f"params.yaml: preprocess.missing_values: {yaml_list([text])}"
    ways = [] if meant else [f"if it stands for a gap, add it to {key}"]
    if levels:
        where_else = "preprocess.kinds" if ways else "params.yaml: preprocess.kinds"
        kinds = f"{where_else}: {{{yaml(name)}: categorical}}"
        ways.append(f"if the column holds levels, say so in {kinds}")
    leave = f"leave the column out (preprocess.drop: {yaml_list(names)})"
    ways.append(f"{'else ' if ways else ''}mend the text, or {leave}")
    ways[0] = ways[0][0].upper() + ways[0][1:]
    return ColumnsError(
        f"{where}: column {name!r}, {place}: {shortened(text)!r} is text among numbers. {meant}"
        f"{'; '.join(ways)}.{also}",
        names,
    )


def two_decimal_signs(
    where: str, name: str, comma: tuple[str, str], point: tuple[str, str]
) -> ColumnsError:
    """A column that holds numbers with a comma and numbers with a point, each as place and text."""
    (at, with_comma), (there, with_point) = comma, point
    return ColumnsError(
        f"{where}: column {name!r} holds {shortened(with_comma)!r} ({at}) and "
        f"{shortened(with_point)!r} ({there}): is the comma or the point the decimal sign? Write "
        "all numbers of the file alike, thousands without a separator, or leave the column out "
        f"(params.yaml: preprocess.drop: {yaml_list([name])})",
        [name],
    )


def numbers_as_text(where: str, cell: Cell, decimal: str = ".") -> ColumnsError:
    """A column of texts that are all meant as numbers."""
    name, place, text = cell
    return ColumnsError(
        f"{where}: column {name!r}, {place}: the number {shortened(text)!r} is written as text. "
        f"{hint(text, decimal)}Save the column as numbers; if it holds levels, say so in "
        f"params.yaml: preprocess.kinds: {{{yaml(name)}: categorical}}; or leave it out "
        f"(preprocess.drop: {yaml_list([name])})",
        [name],
    )


def with_unit(where: str, cell: Cell, unit: str) -> ColumnsError:
    """A column of numbers with a unit behind them."""
    name, place, text = cell
    return ColumnsError(
        f"{where}: column {name!r}, {place}: {shortened(text)!r} is a number with a unit. Take "
        f"{unit!r} out of all its cells (name it in the header, if you like); if the column holds "
        f"levels, say so in params.yaml: preprocess.kinds: {{{yaml(name)}: categorical}}; or leave "
        f"it out (preprocess.drop: {yaml_list([name])})",
        [name],
    )


def dates(where: str, cells: Sequence[Cell], readable: Sequence[str]) -> ColumnsError:
    """Columns of dates or times, each with its first one.

    Args:
        where: Of the columns.
        cells: The texts.
        readable: Columns that preprocess.time takes: no times of day, no durations.
    """
    name, place, text = cells[0]
    names = [column for column, _, _ in cells]
    also = f" Dates or times are also in: {column_names(names[1:])}." if names[1:] else ""
    choice = "save it as a number, such as hours or days"
    if name in readable:
        choice = "name it in preprocess.time if rows are to be split by it"
    return ColumnsError(
        f"{where}: column {name!r}, {place}: {shortened(text)!r} is a date or time, and an "
        "autoencoder needs numbers or levels. Leave the column out (params.yaml: preprocess.drop: "
        f"{yaml_list(names)}), or {choice}.{also}",
        names,
    )


def day_or_month(where: str, cell: Cell) -> DataError:
    """A column of dates with slashes none of which tells whether the day stands first."""
    name, place, text = cell
    return DataError(
        f"{where}: column {name!r} (preprocess.time), {place}: is {shortened(text)!r} day/month or "
        "month/day? No row tells: none has a number above 12 there. Write dates as 2024-05-31 or "
        "31.05.2024"
    )


def no_levels(
    where: str, names: Sequence[str], count: int, rows: int, texts: Sequence[str], limit: str
) -> ColumnsError:
    """Columns that hold almost as many texts as rows.

    Args:
        where: Of the columns.
        names: The columns.
        count: Levels of the first.
        rows: Rows that were looked at and are no gaps.
        texts: Some of its levels.
        limit: What is allowed, as a clause.
    """
    shown = ", ".join(repr(shortened(text)) for text in texts)
    also = f" The same holds for: {column_names(names[1:])}." if names[1:] else ""
    return ColumnsError(
        f"{where}: column {names[0]!r} holds {counted(count, 'different value')} in "
        f"{counted(rows, 'row')} (such as {shown}): an identifier or free text is no "
        f"feature, {limit}. Leave the column out (params.yaml: preprocess.drop: "
        f"{yaml_list(names)}), or name it in preprocess.label or preprocess.group if it is one."
        f"{also}",
        names,
    )
