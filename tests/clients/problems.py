"""Reads the folder of problems as docs/PROBLEMS.md says, and prints what it read as JSON.

problems.py duckdb N   runs the SQL of the page's section in the current folder, with N as the reparse that it names: a
                       line for each block with its rows
problems.py pyarrow    runs the first block of the page's section in the current folder
problems.py s3 BUCKET ENDPOINT
                       runs the second one on this bucket; region and credentials are in the environment

The latter two print one line with the sum of the problems, the runs, and the names of the columns.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "PROBLEMS.md"


def blocks(title: str, language: str) -> list[str]:
    """The blocks of a section of the page."""
    section = PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def duckdb_rows(reparse: str) -> None:
    import duckdb

    database = duckdb.connect()
    for block in blocks("DuckDB", "sql"):
        answer = database.execute(block.replace("new.reparse = 2", f"new.reparse = {int(reparse)}"))
        columns = [column[0] for column in answer.description]
        rows = [dict(zip(columns, row)) for row in answer.fetchall()]
        print(json.dumps(rows, default=str))


def pyarrow_sum(block: str) -> None:
    import pyarrow.compute

    names: dict = {}
    exec(block, names)
    table = names["table"]
    problems = pyarrow.compute.sum(table["problems"]).as_py()
    runs = sorted(set(table["run"].to_pylist()))
    years = sorted(set(table["year"].to_pylist()))
    print(json.dumps({"problems": problems, "runs": runs, "columns": table.column_names, "years": years}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["duckdb", reparse]:
            duckdb_rows(reparse)
        case ["pyarrow"]:
            pyarrow_sum(blocks("pyarrow", "python")[0])
        case ["s3", bucket, endpoint]:
            block = blocks("pyarrow", "python")[1].replace('"submissions/', f'"{bucket}/')
            pyarrow_sum(block.replace("S3FileSystem()", f"S3FileSystem(endpoint_override={endpoint!r})"))
        case _:
            sys.exit(__doc__)
