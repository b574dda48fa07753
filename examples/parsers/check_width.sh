#!/bin/sh
# A parser in POSIX shell: every record must be as wide as the first of its type.
#
#   parselog run --parser 'sh examples/parsers/check_width.sh {file}' FILE
#
# Each problem is one JSON line with a category, so that it is counted; the outcome follows from the
# count. No value of the file is printed, only numbers and record types.
set -eu

echo "checking the widths of section $PARSELOG_SECTION, fiscal year $PARSELOG_FISCAL_YEAR"
LC_ALL=C awk '
    { sub(/\r$/, "") }
    /^(HEADER|TRAILER)/ || $0 == "" { next }
    {
        type = substr($0, 1, 2)
        if (type !~ /^[A-Z][0-9]$/) {
            printf "{\"level\":\"error\",\"category\":7,\"record\":%d,\"message\":\"the line starts with no record type\"}\n", NR
        } else if (!(type in width)) {
            width[type] = length($0)
        } else if (width[type] != length($0)) {
            printf "{\"level\":\"error\",\"category\":7,\"record\":%d,\"record_type\":\"%s\",\"message\":\"the record is %d characters wide, the first of its type %d\"}\n", NR, type, length($0), width[type]
        }
    }
    END { for (type in width) printf "%s records are %d characters wide\n", type, width[type] }
' "$1"
