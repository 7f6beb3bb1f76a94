"""A report's files: the same for every report, each written whole or not at all."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from federation.errors import OutsideError
from federation.files import write_whole
from reports.document import Writable

if TYPE_CHECKING:
    import pandas as pd

# what a format needs beyond this package
_NEEDED = {"pdf": "WeasyPrint and Pango", "parquet": "pyarrow (fairlead[exchange])"}


def write(report: Writable, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write `folder`/NAME.FORMAT, and a file NAME-TABLE.FORMAT for each further table of CSV and Parquet.

    Formats are html, pdf, md, csv, parquet and json.
    The folder is made if need be. Raises OutsideError where something can't be written or isn't installed;
    then what was written before it stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutsideError(f"{folder}: the folder can't be made: {error.strerror}") from error
    written = []
    for form in formats:
        for stem, make in _files(report, form):
            try:
                data = make()
            except (ImportError, OSError) as error:
                if form not in _NEEDED:
                    raise
                raise OutsideError(
                    f"--format {form}: it needs {_NEEDED[form]}, which is not installed: {error}"
                ) from error
            path = folder / f"{stem}.{form}"
            write_whole(path, data)
            written.append(path)
    return written


def _files(report: Writable, form: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if form in ("csv", "parquet"):
        table: Callable[[pd.DataFrame], bytes] = csv if form == "csv" else parquet
        for number, (name, frame) in enumerate(report.frames().items()):
            yield (f"{report.name}-{name}" if number else report.name), partial(table, frame)
        return
    makers: dict[str, Callable[[], bytes]] = {
        "html": lambda: report.page(printed=False).encode(),
        "pdf": lambda: pdf(report.page(printed=True)),
        "md": lambda: report.markdown().encode(),
        # json takes seconds to indent ten thousand paths; what is not finite becomes null
        "json": lambda: msgspec.json.format(msgspec.json.encode(report.json(), enc_hook=_plain), indent=1),
    }
    yield report.name, makers[form]


def csv(frame: pd.DataFrame) -> bytes:
    return str(frame.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ")).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream, index=False)
    return stream.getvalue()


def pdf(page: str) -> bytes:
    """A page in its own print style, A4: text stays text, and tables flow from page to page.

    By WeasyPrint: pages drawn by matplotlib are pictures, and can do neither.
    """
    from weasyprint import HTML

    # it has opinions on style sheets that are for screens
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    found: bytes = HTML(string=page, url_fetcher=_nothing).write_pdf()
    return found


def _nothing(url: str, *_: Any, **__: Any) -> Any:
    """A report fetches nothing."""
    raise ValueError(f"{url}: a report fetches nothing")


def _plain(value: Any) -> Any:
    """A number of numpy's as one of Python's."""
    return value.item()
