"""Tables written to files, and read as the source `tabular` reads them."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from pyarrow import feather
from tests.settings import preprocess

from hourglass.sources import SOURCES

TYPED = (".parquet", ".arrow")  # formats that say what a column holds
NAMED = (".csv", *TYPED)  # formats whose columns have names and any type


def write(path, **columns):
    """Writes columns in the format of the suffix: write(path, a=[1, 2], city=["Bern", None])."""
    table = pa.table(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        for i, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
        pc.write_csv(table, path, pc.WriteOptions(quoting_style="needed"))
    elif path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        feather.write_feather(table, path)
    return path


def tabular(path, **changes):
    """The source, with changes to section preprocess."""
    return SOURCES.load("tabular")(preprocess(source="tabular", **changes), path)


def values(source):
    """All rows, shape (N, F)."""
    return np.concatenate([chunk.values_NF for chunk in source.chunks()])


def beside(source, what):
    """All labels, groups, times or weights, such as `beside(source, "label_N")`."""
    return np.concatenate([getattr(chunk, what) for chunk in source.chunks()])
