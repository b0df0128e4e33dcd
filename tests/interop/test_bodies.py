# SPDX-License-Identifier: MPL-2.0
"""The golden vectors of bodies, read by types as PROTOCOL.md, section 5, says; tests/golden/README.md explains their format."""

import base64
import json
import os
import unittest

import msgpack

RANGES = {"int32": (-2**31, 2**31), "int64": (-2**63, 2**63), "uint64": (0, 2**64)}
BODIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "bodies.txt")


class Invalid(ValueError):
    pass


def need(condition):
    if not condition:
        raise Invalid


class Map(list):
    """The pairs of a MessagePack map or JSON object, as they came."""


def depth(value):
    return 1 + max(map(depth, [x for pair in value for x in pair] if isinstance(value, Map) else value), default=0) if isinstance(value, list) else 0


def from_msgpack(body, type_):
    if not body and may_be_empty(type_):
        return fit(None if type_ == "none" else [], type_, bytes)
    try:
        value = msgpack.unpackb(body, raw=False, strict_map_key=False, object_pairs_hook=Map)
    except Exception:
        raise Invalid
    need(depth(value) <= 16)
    return fit(value, type_, bytes)


def from_json(text, type_):
    if not text and may_be_empty(type_):
        return fit(None if type_ == "none" else [], type_, bytes)
    def members(pairs):
        need(len({key for key, _ in pairs}) == len(pairs))
        return Map(pairs)
    def no_constant(_):
        raise Invalid
    try:
        value = json.loads(text, object_pairs_hook=members, parse_constant=no_constant)
    except ValueError:
        raise Invalid
    need(depth(value) <= 16)
    return fit(value, type_, str)


def may_be_empty(type_):
    return type_ == "none" or type_[0] == "struct" and all(field.endswith("?") for field in type_[2::2])


def fit(value, type_, bytes_as, around=()):
    """The value as plain Python: structs as dicts without what is absent, doubles as floats. Raises Invalid."""
    kind = type_ if isinstance(type_, str) else type_[0]
    if kind == "none":
        need(value is None or value == [] and bytes_as is bytes)
        return None
    elif kind == "bool":
        need(isinstance(value, bool))
    elif kind in RANGES:
        need(type(value) is int and RANGES[kind][0] <= value < RANGES[kind][1])
    elif kind == "double":
        need(type(value) in (int, float))
        return float(value)
    elif kind == "string":
        need(isinstance(value, str) and "\0" not in value and not any(0xd800 <= ord(c) < 0xe000 for c in value))
    elif kind == "bytes":
        need(isinstance(value, bytes_as))
        return value if bytes_as is bytes else from_base64(value)
    elif kind == "any":
        return {key: fit(one, "any", bytes_as) for key, one in value} if isinstance(value, Map) else \
            [fit(one, "any", bytes_as) for one in value] if isinstance(value, list) else value
    elif kind == "array":
        need(isinstance(value, list) and not isinstance(value, Map))
        return [fit(one, type_[1], bytes_as, around) for one in value]
    elif kind == "same":
        return fit(value, next(outer for outer in reversed(around) if outer[1] == type_[1]), bytes_as, around)
    else:
        return fit_struct(value, type_, bytes_as, (*around, type_))
    return value


def fit_struct(value, type_, bytes_as, around):
    need(isinstance(value, list))
    names = [field.removesuffix("?") for field in type_[2::2]]
    given = [(key, one) for key, one in value if key in names] if isinstance(value, Map) else list(zip(names, value))
    need(len(dict(given)) == len(given))
    found = {}
    for field, its in zip(type_[2::2], type_[3::2]):
        name, one = field.removesuffix("?"), dict(given).get(field.removesuffix("?"))
        if not (field.endswith("?") and one is None):
            need(name in dict(given))
            found[name] = fit(one, its, bytes_as, around)
    return found


def from_base64(text):
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise Invalid
    need(base64.b64encode(value).decode() == text)
    return value


class Bodies(unittest.TestCase):
    def test_bodies_mean_what_the_vectors_say(self):
        count = 0
        with open(BODIES, encoding="utf-8") as lines:
            for line in lines:
                word, _, rest = line.rstrip("\n").partition(" ")
                with self.subTest(line):
                    if word == "type":
                        type_ = json.loads(rest.partition(" ")[2])
                        self.assertEqual(msgpack.packb(type_).hex(), rest.partition(" ")[0])
                    elif word == "msgpack":
                        value = from_msgpack(bytes.fromhex(rest.strip("-")), type_)
                    elif word in ("json", "also-json"):
                        self.assertEqual(repr(from_json(rest, type_)), repr(value))
                    elif word == "also-msgpack":
                        self.assertEqual(repr(from_msgpack(bytes.fromhex(rest.strip("-")), type_)), repr(value))
                    elif word == "bad-msgpack":
                        self.assertRaises(Invalid, from_msgpack, bytes.fromhex(rest.strip("-")), type_)
                    elif word == "bad-json":
                        self.assertRaises(Invalid, from_json, rest, type_)
                count += 1
        self.assertGreater(count, 150)


if __name__ == "__main__":
    unittest.main()
