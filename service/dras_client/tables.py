"""The tables of a result as pandas frames. Pandas is an extra, and is loaded when a table is asked for."""

from typing import TYPE_CHECKING, BinaryIO

from dras_client.errors import ExtraMissing, UnexpectedAnswer

if TYPE_CHECKING:
    from pandas import DataFrame

REGIONS, PATCHES = "regions.csv", "patches.csv"
_FLAG = "valid"


def read_table(file: BinaryIO) -> "DataFrame":
    """Read a CSV; an empty cell is NaN, each digit of a number is kept. Raises ExtraMissing, UnexpectedAnswer."""
    check_pandas()
    import pandas as pd  # noqa: PLC0415 - see the top

    try:
        table = pd.read_csv(file, engine="python")  # whose floats are Python's: exact
    except ValueError as error:  # pandas' own errors are of this kind
        raise UnexpectedAnswer("The table is no CSV.") from error
    if _FLAG in table:
        table[_FLAG] = table[_FLAG].astype(bool)  # written as 1 and 0
    return table


def check_pandas() -> None:
    """Check that tables can be read, before one is fetched. Raises ExtraMissing."""
    try:
        import pandas as pd  # noqa: F401, PLC0415 - see the top
    except ImportError as error:
        raise ExtraMissing(
            "Tables need pandas, which is not installed: pip install 'dras[tables]'."
        ) from error
