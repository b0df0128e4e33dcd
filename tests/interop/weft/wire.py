# SPDX-License-Identifier: MPL-2.0
"""Records as bytes: common/PROTOCOL.md, sections 2 to 4. Strict, so that tests/golden can be checked with it."""

import re
import struct

import msgpack

HELLO, WELCOME, REFUSED, REQUEST, REPLY, ITEM, CREDIT, CANCEL, REGISTER, BEAT, BEAT_OK, DRAINING, GOODBYE = range(1, 14)
STATUS = """OK CANCELLED APP_ERROR INVALID DEADLINE_EXCEEDED HANDLER_TIMEOUT CONNECT_TIMEOUT NO_SERVICE NO_WORKERS UNIMPLEMENTED
    PERMISSION_DENIED UNAUTHENTICATED OVERLOADED TOO_LARGE DRAINING WORKER_LOST BROKER_LOST SHUTDOWN INTERNAL""".split()
RAN = dict(OK=2, APP_ERROR=2, HANDLER_TIMEOUT=2, CANCELLED=1, DEADLINE_EXCEEDED=1, WORKER_LOST=1, BROKER_LOST=1,
           SHUTDOWN=1, INTERNAL=1)  # "executed by default", the others 0
NO_DEADLINE, INLINE_MAX, NESTING_MAX, ELEMENTS_MAX, FRAMES_MAX = 2**32 - 1, 4096, 16, 65536, 64


class Malformed(ValueError):
    """A record that must be dropped; the text is the fault's class as in tests/golden/README.md."""


# What the fields after the kind must be: a tuple is an array of these and perhaps more, a dict a map with these and other keys.

class Uint: pass
class Body: pass
class Bytes: pass  # bin or str
class Any: pass
class Type: pass  # section 5


TEXTS = {str: str}
LOAD = (Uint, Uint, Uint, Uint)
SERVICES = [(str, str, [(str, Uint, Type, Type)])]
LIMITS = dict(body=Uint, frames=Uint, calls=Uint)
OPTIONS = dict(codec=str, worker=str, key=Bytes, request_key=Bytes, trace=str, meta=TEXTS, priority=int, hops=Uint, credit=Uint)
INFO = dict(executed=Uint, origin=Uint, text=str, code=int, retry_after_ms=Uint, broker_us=Uint, queue_us=Uint, handler_us=Uint)
SHAPES = {
    HELLO: (str, Uint, Uint, str, [str], str, {"uuid": str}), WELCOME: (Uint, str, LIMITS, str, [str]), REFUSED: (Uint, str),
    REQUEST: (Uint, str, Uint, Body, OPTIONS), REPLY: (Uint, Uint, Body, INFO), ITEM: (Uint, Uint, Body),
    CREDIT: (Uint, Uint), CANCEL: (Uint,), BEAT: (Uint, LOAD, {}), BEAT_OK: (Uint, Uint, Uint, [str]),
    REGISTER: (str, Uint, SERVICES, [str], Uint, TEXTS, dict(host=str, pid=Uint, capacity=Uint)), DRAINING: (str, str), GOODBYE: (str,)}
OPTIONAL_LAST = {HELLO, REQUEST, REPLY, REGISTER, BEAT, DRAINING}


def good_type(type, around=(), depth=0):
    if not isinstance(type, list):
        return type in ("bool", "int32", "int64", "uint64", "double", "string", "bytes", "none", "any")
    if depth == 10 or len(type) < 2:
        return False
    if type[0] != "struct":
        return len(type) == 2 and (type[0] == "array" and good_type(type[1], around, depth + 1) or type[0] == "same" and type[1] in around)
    name, fields, types = type[1], [str(field).removesuffix("?") for field in type[2::2]], type[3::2]
    return (len(fields) == len(types) <= 256
            and all(re.fullmatch(r"[A-Za-z0-9._-]{1,63}", str(one)) for one in [name, *fields])
            and all(good_type(one, (*around, name), depth + 1) for one in types))


def check(value, shape, optional=0):
    if isinstance(shape, tuple) and isinstance(value, list):
        if len(value) < len(shape) - optional:
            raise Malformed("missing")
        for one, its in zip(value, shape):
            check(one, its)
    elif isinstance(shape, list) and isinstance(value, list):
        for one in value:
            check(one, shape[0])
    elif isinstance(shape, dict) and isinstance(value, dict) and None not in value:
        for key, one in value.items():
            check(one, shape.get(key, shape.get(str, Any)))
    elif shape is Type and not good_type(value):
        raise Malformed("type")
    elif not (shape in (Any, Type) or shape is str and isinstance(value, str) or shape is Bytes and isinstance(value, (bytes, str))
              or shape is Body and (value is None or isinstance(value, bytes))
              or shape in (int, Uint) and type(value) is int and (shape is int or value >= 0)):
        raise Malformed("type")


# Sizes are measured before msgpack sees a byte, so that no count makes it allocate and no depth makes it recurse.

FIXED = {0xc0: 0, 0xc2: 0, 0xc3: 0, 0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8,
         0xd4: 2, 0xd5: 3, 0xd6: 5, 0xd7: 9, 0xd8: 17}  # code → bytes that follow
SIZED = {0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4}  # code → width of the size
COUNTED = {0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4}  # code → width of the count


def measure(data, at):
    """Where the value that begins at `at` ends."""
    pending, elements = [1], 0  # values still to come at each depth
    while pending:
        if pending[-1] == 0:
            pending.pop()
            continue
        pending[-1] -= 1
        if at >= len(data):
            raise Malformed("truncated")
        code, at = data[at], at + 1
        if code == 0xc1:
            raise Malformed("byte")
        if 0x80 <= code <= 0x9f or code in COUNTED:
            width = COUNTED.get(code, 0)
            count = int.from_bytes(data[at:at + width], "big") if width else code & 15
            count *= 2 if code in (0xde, 0xdf) or code < 0x90 else 1
            at += width
            if at > len(data):
                raise Malformed("truncated")
            if count > len(data) - at:
                raise Malformed("count")
            if len(pending) > NESTING_MAX:
                raise Malformed("nesting")
            elements += count
            if elements > ELEMENTS_MAX:
                raise Malformed("elements")
            pending.append(count)
        elif code in SIZED:
            at += SIZED[code] + int.from_bytes(data[at:at + SIZED[code]], "big") + (0xc7 <= code <= 0xc9)
        elif 0xa0 <= code <= 0xbf:
            at += code & 31
        else:
            at += FIXED.get(code, 0)
        if at > len(data):
            raise Malformed("truncated")
    return at


def head(data, at):
    """The number of elements of the array that begins at `at`, and where the first is."""
    if data[at] == 0xc1:
        raise Malformed("byte")
    width = {0xdc: 2, 0xdd: 4}.get(data[at], 0)
    if not width and not 0x90 <= data[at] <= 0x9f:
        raise Malformed("array")
    if at + 1 + width > len(data):
        raise Malformed("truncated")
    count, at = int.from_bytes(data[at + 1:at + 1 + width], "big") if width else data[at] & 15, at + 1 + width
    if count > len(data) - at:
        raise Malformed("count")
    return count, at


def item_credits(body):
    """What an ITEM with this body takes."""
    return 1 + len(body) // 16384


def text_keys(pairs):
    return {key if isinstance(key, str) else None: value for key, value in pairs}


def decode(frames):
    """Yields the records of a message as lists, kind first, attached bodies put in. Raises Malformed after the good ones."""
    data, attachments, at = frames[0], iter(frames[1:]), 0
    if not data or len(frames) > FRAMES_MAX:
        raise Malformed("frames" if data else "empty")
    while at < len(data):
        record = []
        count, at = head(data, at)
        for _ in range(count):
            end = measure(data, at)
            record.append(msgpack.unpackb(data[at:end], raw=False, unicode_errors="surrogateescape", strict_map_key=False,
                                          object_pairs_hook=text_keys))
            at = end
        if not record:
            raise Malformed("missing")
        if type(record[0]) is not int or record[0] < 0:
            raise Malformed("kind")
        shape = SHAPES.get(record[0], ())
        check(record[1:], shape, record[0] in OPTIONAL_LAST)
        if record[0] == REQUEST and (record[1] == 0 or record[3] > NO_DEADLINE):
            raise Malformed("type")
        if Body in shape and record[shape.index(Body) + 1] is None:
            record[shape.index(Body) + 1] = body = next(attachments, None)
            if body is None:
                raise Malformed("attachment")
        yield record


class Outbox:
    """What waits for one peer: it leaves as one message."""

    def __init__(self):
        self.records, self.attachments = b"", []

    def add(self, kind, *fields):
        out = [bytes([0x91 + len(fields), kind])]
        for position, field in enumerate(fields):
            if isinstance(field, bytes) and len(field) > INLINE_MAX:
                self.attachments.append(field)
                field = None
            if position == 0 and kind in (REQUEST, REPLY, ITEM, CREDIT, CANCEL):
                out.append(struct.pack(">BQ", 0xcf, field))
            elif position == 2 and kind == REQUEST:
                out.append(struct.pack(">BI", 0xce, field))
            else:
                out.append(msgpack.packb(field, use_bin_type=True))
        self.records += b"".join(out)

    def take(self):
        frames, self.records, self.attachments = [self.records, *self.attachments], b"", []
        return frames
