"""The blocks of docs/INTAKE.md, for whoever runs them as they stand, at another host and port."""

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "INTAKE.md"


def block(title: str, host: str, port: object, number: int = 0) -> str:
    """The block of this number below a title of the page."""
    section = PAGE.read_text().split(f"\n### {title}\n")[1].split("\n### ")[0]
    text = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)[number]
    return re.sub(r"9020|8005", str(port), text).replace("127.0.0.1", host)
