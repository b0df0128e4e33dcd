# SPDX-License-Identifier: MPL-2.0
"""The golden vectors, read with the Python side; tests/golden/README.md explains their format."""

import os
import subprocess
import unittest

from weft import wire

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
NAMES = "UNKNOWN HELLO WELCOME REFUSED REQUEST REPLY ITEM CREDIT CANCEL REGISTER BEAT BEAT_OK DRAINING GOODBYE".split()
FIELDS = {  # the page's names, as the vectors use them
    wire.HELLO: "magic lowest highest role codecs name", wire.WELCOME: "version codec limits server brokers", wire.REFUSED: "status text",
    wire.REQUEST: "id method remaining_ms body", wire.REPLY: "id status body", wire.ITEM: "id index body", wire.CREDIT: "id n", wire.CANCEL: "id",
    wire.REGISTER: "uuid incarnation services endpoints cores labels", wire.BEAT: "sequence load",
    wire.BEAT_OK: "sequence next_ms ttl_ms brokers", wire.DRAINING: "text worker", wire.GOODBYE: "text"}
LOAD = "in_flight capacity oldest_ms progress".split()


def vectors():
    """Each as (name, frames, exact, meaning)."""
    for file in sorted(os.listdir(GOLDEN)):
        if file.endswith(".txt") and file != "bodies.txt":
            with open(os.path.join(GOLDEN, file), encoding="ascii") as lines:
                for block in lines.read().split("\n\n"):
                    block = [line for line in block.splitlines() if not line.startswith("#")]
                    if block:
                        yield read(block)


def read(block):
    name, frames, exact, meaning = block[0].split()[1], [b""], False, []
    for line in block[1:]:
        word, _, rest = line.partition(" ")
        if word == "frame":
            frames[0] += b"".join(run(token) for token in rest.split())
        elif word == "attach":
            frames.append(run(rest))
        elif word == "exact":
            exact = True
        else:
            meaning.append(line)
    return name, frames, exact, meaning


def run(token):
    count, star, byte = token.partition("*")
    return bytes.fromhex(byte) * int(count) if star else bytes.fromhex(token)


def shown(value, attached=False):
    if isinstance(value, str):
        return '"%s"' % value
    if isinstance(value, bytes):
        text = "%d*%02x" % (len(value), value[0]) if len(value) >= 64 and len(set(value)) == 1 else value.hex() or "-"
        return text + " attached" * attached
    if isinstance(value, list):
        return "[%s]" % ",".join(map(shown, value))
    if isinstance(value, dict):
        return "{%s}" % ",".join("%s:%s" % (shown(k), shown(v)) for k, v in value.items())
    return str(value)


def meaning_of(record, attachments):
    kind, fields = record[0], record[1:]
    if kind not in FIELDS:
        return ["UNKNOWN kind=%d" % kind]
    pairs = list(zip(FIELDS[kind].split(), fields))
    known = wire.SHAPES[kind][-1] if isinstance(wire.SHAPES[kind][-1], dict) and kind in wire.OPTIONAL_LAST else {}
    last = fields[len(pairs)] if len(fields) > len(pairs) and known else {}
    out = [NAMES[kind]]
    for name, value in pairs:
        if name == "limits":
            out += ["%s=%s" % (key, value[key]) for key in wire.LIMITS]
        elif name == "load":
            out += ["%s=%s" % pair for pair in zip(LOAD, value)]
        elif name not in ("magic", "services"):
            value = 18 if name == "status" and value > 18 else value
            out.append("%s=%s" % (name, shown(value, value in attachments if name == "body" else False)))
    for key in known:
        if last.get(key) not in (None, "", b"", {}) and (key in ("executed", "origin", "priority") or last[key] != 0):
            value = last[key].encode() if key in ("key", "request_key") and isinstance(last[key], str) else last[key]
            out.append("%s=%s" % (key, shown(value)))
    lines = [" ".join(out)]
    for name, version, methods in (service[:3] for service in fields[2] if kind == wire.REGISTER) if kind == wire.REGISTER else ():
        lines.append(' SERVICE name="%s" version="%s"' % (name, version))
        for name, flags, arguments, reply in (method[:4] for method in methods):
            lines.append('  METHOD name="%s" flags=%d arguments=%s reply=%s'
                         % (name, flags, wire.msgpack.packb(arguments).hex(), wire.msgpack.packb(reply).hex()))
    return lines


class Golden(unittest.TestCase):
    def test_n4_vectors_mean_what_they_say(self):
        count = 0
        for name, frames, _, meaning in vectors():
            with self.subTest(name):
                lines = []
                try:
                    for record in wire.decode(frames):
                        lines += meaning_of(record, frames[1:])
                except wire.Malformed as fault:
                    lines.append("FAULT " + str(fault))
                self.assertEqual(lines, meaning)
            count += 1
        self.assertGreater(count, 100)

    def test_writer_makes_the_exact_ones(self):
        """Not those whose bodies are at odds with the 4,096 rule, which a sender should follow but need not."""
        for name, frames, exact, _ in vectors():
            if exact and all(len(frame) > wire.INLINE_MAX for frame in frames[1:]):
                with self.subTest(name):
                    out = wire.Outbox()
                    for record in wire.decode(frames):
                        out.add(*record)
                    self.assertEqual([frame.hex() for frame in out.take()], [frame.hex() for frame in frames])

    def test_make_would_write_the_same(self):
        subprocess.run([os.path.join(GOLDEN, "make"), "--check"], check=True)


if __name__ == "__main__":
    unittest.main()
