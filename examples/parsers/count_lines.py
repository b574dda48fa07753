"""A parser in Python: counts the records of a submission and checks their reporting month.

    parselog run --parser 'python3 examples/parsers/count_lines.py {file}' FILE

It logs with Python's own `logging`, as one JSON object per line, and writes its result to
PARSELOG_RESULT. It needs nothing beyond the standard library.
"""

import collections
import json
import logging
import os
import re
import sys

# What parselog knows by name; anything else that is given as `extra` is kept as context.
EXTRA = ("record", "category", "record_type", "item", "field", "month", "case")


class JsonLines(logging.Formatter):
    def format(self, event):
        line = {"level": event.levelname, "message": event.getMessage(), "logger": event.name}
        line |= {name: getattr(event, name) for name in EXTRA if hasattr(event, name)}
        if event.exc_info:
            line["exception"] = self.formatException(event.exc_info)
        return json.dumps(line)


handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(JsonLines())
logging.basicConfig(level=os.environ.get("PARSELOG_LEVEL", "INFO"), handlers=[handler])
log = logging.getLogger("count_lines")


def main(path):
    created = collections.Counter()
    total = wrong = 0
    with open(path, encoding="utf-8", errors="replace") as submission:
        for number, line in enumerate(submission, start=1):
            if line.startswith(("HEADER", "TRAILER")) or not line.strip():
                continue
            total += 1
            record_type, month = line[:2], line[2:8]
            if re.fullmatch(r"\d{4}(0[1-9]|1[0-2])", month):
                created[record_type] += 1
                continue
            wrong += 1
            about = {"record": number, "category": 7, "field": "RPT_MONTH_YEAR"}
            if re.fullmatch(r"[A-Z]\d", record_type):  # anything else may be somebody's data
                about["record_type"] = record_type
            log.error("the reporting month is not a year and a month", extra=about)
    if total == 0:
        log.error("the file holds no record", extra={"category": 1})
    log.info("%d records read, %d accepted", total, total - wrong)

    if not created:
        summary = "Rejected"
    else:
        summary = "Partially Accepted with Errors" if wrong else "Accepted"
    result = {"summary": summary, "records_in_file": total, "created_by_type": created}
    with open(os.environ["PARSELOG_RESULT"], "w", encoding="utf-8") as out:
        json.dump(result, out)


if __name__ == "__main__":
    main(sys.argv[1])
