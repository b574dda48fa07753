"""A straightforward Python reader, to measure the built-in parser against.

Reads the same schema file, slices every field of every record into a dictionary, runs the checks of
the required fields that are filled, and the rules between the fields of one record. It knows nothing
of the header, of cases and of duplicates, so it does less.

Usage: reader.py SCHEMA SECTION FILE; prints lines, problems and seconds of processor time.
"""

import sys
import time
import tomllib


def number(text):
    try:
        return int(text)
    except ValueError:
        return None


def one(words, is_number):
    """Compiles one check; returns the function and the words behind it."""
    if words[0] == "int":
        inner, rest = one(words[1:], True)
        return lambda value: (n := number(value)) is not None and inner(n), rest
    word, rest = words[0], words[1:]
    if ".." in word:
        least, most = map(int, word.split(".."))
        return lambda value: least <= value <= most, rest
    if word in (">", ">="):
        least = int(rest[0]) + (word == ">")
        return lambda value: value >= least, rest[1:]
    if word == "not" and rest[0] == "repeated":
        return lambda value: value is None or len(set(value)) > 1, rest[1:]
    if word in ("=", "in", "!=", "not"):
        listed = []
        rest = rest[1:] if word == "not" else rest
        while rest and rest[0] != "or":
            listed.append(rest[0].strip("'"))
            rest = rest[1:]
        options = {int(item) for item in listed} if is_number else set(listed)
        if word in ("=", "in"):
            return lambda value: value in options, rest
        return lambda value: value not in options, rest
    if word == "number":
        return lambda value: value.strip().isdigit(), rest
    if word == "digits":
        count = int(rest[0])
        return lambda value: sum(c.isdigit() for c in str(value)) == count, rest[1:]
    if word == "year":
        year = int(rest[1])
        return lambda value: (n := number(str(value)[:4])) is not None and n > year, rest[2:]
    if word == "month":
        return lambda value: number(str(value)[4:6]) in range(1, 13), rest
    if word == "day":
        return lambda value: number(str(value)[6:]) in range(1, 32), rest
    if word == "filled":
        return lambda value: True, rest
    if word == "blank":
        return lambda value: value.isspace(), rest
    if word == "alphanumeric":
        return lambda value: value.isalnum(), rest
    raise ValueError(word)


def compile_check(text, is_number):
    words, tests = text.split(), []
    while words:
        test, words = one(words, is_number)
        tests.append(test)
        words = words[1:]
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def condition(words, types):
    """Compiles a field and its check; returns the function and the words behind it."""
    name, words = words[0], words[1:]
    until = next((n for n, word in enumerate(words) if word in ("and", "then")), len(words))
    if words[0] == "age":
        return lambda record: False, words[until:]
    check = compile_check(" ".join(words[:until]), types[name])

    def holds(record):
        value = record[name]
        try:
            return check(value)
        except (TypeError, AttributeError):
            return False

    return holds, words[until:]


def compile_rule(text, types):
    words = text.split()
    if words[0] == "sum":
        parts, least = words[1:-2], int(words[-1])
        return lambda record: sum(record[part] or 0 for part in parts) > least
    if words[1:3] == ["=", "sum"]:
        return lambda record: record[words[0]] == sum(record[part] or 0 for part in words[3:])
    when = []
    while words and words[0] in ("if", "and"):
        holds, words = condition(words[1:], types)
        when.append(holds)
    must, _ = condition(words[1:], types)
    return lambda record: not all(holds(record) for holds in when) or must(record)


def rules(record):
    types = {field["name"]: field["type"] == "number" for field in record["fields"]}
    return [(text, compile_rule(text, types)) for text in record.get("rules", [])]


def compile_precheck(text):
    words = text.split()
    if words[:2] == ["length", ">="]:
        return lambda line: len(line) >= int(words[2])
    if words[1:2] in (["filled"], ["filled,"]):
        start, end = map(int, words[0].split("-"))
        return lambda line: len(line) >= end and line[start:end].strip(" 0") != ""
    return lambda line: True


def segments(record):
    """The pre-checks and fields of each record that a line holds."""
    for block in range(record.get("blocks", 1)):
        texts = record["later"]["prechecks"] if block and "later" in record else record["prechecks"]
        prechecks, fields = [compile_precheck(text) for text in texts], []
        for field in record["fields"]:
            start, end = map(int, field["at"].split("-"))
            shift = block * record.get("block_width", 0) if field.get("block") else 0
            is_number = field["type"] == "number"
            checks = [compile_check(text, is_number) for text in field.get("checks", [])]
            fields.append((field["name"], start + shift, end + shift, is_number, field.get("required"), checks))
        yield prechecks, fields


def main(schema_path, section_code, path):
    with open(schema_path, "rb") as file:
        schema = tomllib.load(file)
    section = next(s for s in schema["section"] if s["code"] == section_code)
    records = [record for record in schema["record"] if record["type"] in section["records"]]
    layouts = {record["type"]: (list(segments(record)), rules(record)) for record in records}
    started, lines, problems = time.process_time(), 0, []
    with open(path, encoding="utf-8") as file:
        for row, line in enumerate(file, 1):
            line = line.rstrip("\r\n")
            lines += 1
            records, rules_of_record = layouts.get(line[:2], ((), ()))
            for prechecks, fields in records:
                if not all(precheck(line) for precheck in prechecks):
                    continue
                record = {}
                for name, start, end, is_number, required, checks in fields:
                    text = line[start:end]
                    filled = len(text) == end - start and text.strip(" ") and text.strip("#") and text.strip("_")
                    value = (number(text) if is_number else text) if filled else None
                    record[name] = value
                    if not required:
                        continue
                    if value is None:
                        problems.append((row, name, "is required and blank"))
                        continue
                    for check in checks:
                        if not check(value):
                            problems.append((row, name, "is not allowed"))
                for text, rule in rules_of_record:
                    if not rule(record):
                        problems.append((row, text, "is broken"))
    print(lines, len(problems), time.process_time() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
