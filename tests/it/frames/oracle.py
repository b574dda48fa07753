"""Pickles values that people log, and says what each of them is: `oracle.py SEED COUNT`.

Each line: a pickle in hex, and what a reader must make of it as JSON, or `null` if nobody says. It runs under
CPython 3.6 and later.
"""

import collections
import datetime
import decimal
import enum
import io
import json
import pathlib
import pickle
import random
import resource
import struct
import sys
import uuid

try:
    import zoneinfo

    BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
except Exception:  # Older than 3.9, or without the zones' files.
    BERLIN = None


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Thing(object):
    def __init__(self, value):
        self.value = value


class ParseError(Exception):
    pass


Point = collections.namedtuple("Point", "x y")

chance = random.Random(int(sys.argv[1]))


def text():
    letters = "aé\u4e2d\U0001f600\n\t\\'\"\x00\x1b\u202e\ud800\udc80 %"
    return "".join(chance.choice(letters) for _ in range(chance.randrange(12)))


def plain_text():
    return "".join(chance.choice("abc xyz-é") for _ in range(chance.randrange(1, 9)))


def whole():
    return chance.choice([0, 1, -1, 255, 256, 65535, 65536, 2**31, -(2**31), 2**63, -(2**63), 2**64, 2**127, 10**300]) + (
        chance.randrange(-300, 300)
    )


def moment():
    zones = [None, datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=chance.randrange(-12, 13), minutes=30))]
    zone = chance.choice(zones + [BERLIN] * (BERLIN is not None))
    micros = chance.choice([0, 1, 999999, chance.randrange(10**6)])
    return datetime.datetime(chance.randrange(1, 9999), chance.randrange(1, 13), chance.randrange(1, 29), 23, 59, 5, micros, zone)


def error():
    kinds = [
        lambda: ValueError(plain_text()),
        lambda: KeyError(plain_text()),
        lambda: ValueError(),
        lambda: ValueError(plain_text(), 3, None),
        lambda: ParseError(plain_text()),
        lambda: FileNotFoundError(2, "No such file or directory", "/a/b"),
        lambda: PermissionError(13, "Permission denied"),
        lambda: StopIteration(),
        lambda: UnicodeError(plain_text()),
    ]
    return chance.choice(kinds)()


def leaf():
    kinds = [
        lambda: None,
        lambda: chance.random() < 0.5,
        whole,
        lambda: struct.unpack(">d", struct.pack(">Q", chance.getrandbits(64)))[0],
        lambda: chance.choice([0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan")]),
        text,
        lambda: text() * chance.randrange(60),
        lambda: bytes(chance.getrandbits(8) for _ in range(chance.randrange(9))),
        lambda: bytearray(b"ab\xff'"),
        moment,
        lambda: moment().date(),
        lambda: moment().timetz(),
        lambda: datetime.timedelta(chance.randrange(-3, 3), chance.randrange(86400), chance.choice([0, 7])),
        lambda: datetime.timezone.utc,
        lambda: decimal.Decimal(chance.choice(["1.50", "-0", "1E+9", "NaN", "Infinity"])),
        lambda: uuid.UUID(int=chance.getrandbits(128) >> chance.choice([0, 64, 100])),
        lambda: chance.choice([pathlib.PurePosixPath("/a/b c"), pathlib.PurePosixPath("a/b"), pathlib.PurePosixPath()]),
        lambda: chance.choice(list(Color)),
        error,
        lambda: Thing(1),
        lambda: Point(1, 2),
        lambda: chance.choice([int, Thing, datetime.date]),
    ]
    return chance.choice(kinds)()


def value(depth):
    if depth == 0 or chance.random() < 0.5:
        return leaf()
    some = range(chance.randrange(5))
    kinds = [
        lambda: [value(depth - 1) for _ in some],
        lambda: tuple(value(depth - 1) for _ in some),
        lambda: {text(): value(depth - 1) for _ in some},
        lambda: {chance.choice([None, True, 7, text()]): value(depth - 1) for _ in some},
        lambda: {chance.randrange(99) for _ in some},
        lambda: frozenset(text() for _ in some),
        lambda: collections.OrderedDict((text(), value(depth - 1)) for _ in some),
        lambda: collections.defaultdict(list, {text(): value(depth - 1) for _ in some}),
        lambda: collections.Counter(plain_text()),
        lambda: collections.deque([value(depth - 1) for _ in some]),
        lambda: [leaf()] * 3,
    ]
    return chance.choice(kinds)()


def shown(string):
    return "".join("\\u{%x}" % ord(c) if 0xD800 <= ord(c) < 0xE000 else c for c in string)


def shown_bytes(data):
    named = {0x5C: "\\\\", 0x27: "\\'", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
    return "b'%s'" % "".join(named.get(b) or (chr(b) if 32 <= b < 127 else "\\x%02x" % b) for b in data)


def class_name(kind):
    return "%s.%s" % (kind.__module__, kind.__name__)


def key(name):
    return name if isinstance(name, str) else str(name)


def is_inert(it):
    """Whether the value consists of nothing but what every language has."""
    if isinstance(it, dict):
        return all((k is None or isinstance(k, (str, int))) and is_inert(v) for k, v in it.items())
    if isinstance(it, (list, tuple)):
        return all(map(is_inert, it))
    return it is None or isinstance(it, (bool, int, float, str, bytes))


def said(it, around=()):
    """What a reader must make of it."""
    if isinstance(it, (list, tuple, dict)) and any(it is outer for outer in around):
        return {"list": "[...]", "tuple": "[...]", "dict": "{...}"}[type(it).__name__]
    around = around + (it,)
    kind = type(it)
    if it is None or kind is bool:
        return it
    if kind is int:
        return it if -(2**63) <= it < 2**64 else str(it)
    if kind is float:
        special = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
        return special.get(str(it)) or {"float": struct.pack(">d", it).hex()}
    if kind is str:
        return shown(it)
    if kind in (bytes, bytearray):
        return shown_bytes(it)
    if isinstance(it, datetime.datetime):
        named = BERLIN is not None and it.tzinfo is BERLIN
        return it.replace(tzinfo=None).isoformat() + "[Europe/Berlin]" if named else it.isoformat()
    if isinstance(it, datetime.time):
        named = BERLIN is not None and it.tzinfo is BERLIN
        return it.replace(tzinfo=None).isoformat() + "[Europe/Berlin]" if named else it.isoformat()
    if isinstance(it, datetime.date):
        return it.isoformat()
    if isinstance(it, enum.Enum):
        by_value = "%s.Color(%r)" % (Color.__module__, it.value)
        return by_value if b"getattr" not in pickle.dumps(it, 4) else "%s.Color.%s" % (Color.__module__, it.name)
    if isinstance(it, BaseException):
        name = kind.__name__ if kind.__module__ == "builtins" else class_name(kind)
        words = shown(str(it))
        return "%s: %s" % (name, words) if words else name
    if isinstance(it, (datetime.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath, datetime.timezone)):
        return str(it)
    if isinstance(it, Point) or kind is Thing:
        return "<%s>" % class_name(kind)
    if kind is type or isinstance(it, type):
        return "<%s>" % class_name(it)
    if isinstance(it, dict):
        return {shown(key(k)): said(v, around) for k, v in it.items()}
    if isinstance(it, (list, tuple, set, frozenset, collections.deque)):
        return [said(part, around) for part in it]
    raise TypeError(kind)


class Inert(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError("a name")

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("a reference")


def line(data, expected):
    print(data.hex(), json.dumps(expected))


def collides(it):
    if isinstance(it, dict):
        return len({shown(key(k)) for k in it}) < len(it) or any(map(collides, it.values()))
    return isinstance(it, (list, tuple, set, frozenset, collections.deque)) and any(map(collides, it))


def mutate(data):
    data = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data))
        how = chance.randrange(3)
        if how == 0:
            data[at] = chance.getrandbits(8)
        elif how == 1:
            del data[at]
        else:
            data.insert(at, chance.choice(b"()[]{}.012NIKMJLGXVUSTBCaedlstuqrhgjpcRbio\x80\x85\x86\x87\x88\x89\x8a\x94"))
        if not data:
            return b"."
    return bytes(data)


resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for _ in range(int(sys.argv[2])):
    record = {"msg": text(), "levelname": "INFO", "extra": value(3)}
    if collides(record):
        continue
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(record, protocol)
        line(data, said(record))
        data = mutate(data)
        try:
            read = Inert(io.BytesIO(data)).load()
            if type(read) is dict and is_inert(read) and not collides(read):
                line(data, said(read))
            else:
                line(data, None)
        except Exception:
            line(data, None)
