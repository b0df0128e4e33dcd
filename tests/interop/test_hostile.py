# SPDX-License-Identifier: MPL-2.0
"""10,000 random and mutated messages each against a broker and a worker. Both must go on as if nothing had been.
WEFT_SEED replays a run."""

import os
import random
import socket
import unittest

import mesh
import weft
import zmq
from test_golden import vectors
from weft.link import *

SEED = int(os.environ.get("WEFT_SEED", "20"))
MESSAGES, PER_CONNECTION, GROWTH_KB = 10000, 40, 24 * 1024
UUID = "0b5e7c1a-93d4-4f6e-8a21-6d2f3c4b5a69"


class Thrower:
    """Makes messages from the golden vectors and from nothing."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.good = [frames for _, frames, _, _ in vectors() if sum(map(len, frames)) < 8192]

    def mutated(self, data):
        data, rng = bytearray(data), self.random
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            at = rng.randrange(len(data) + 1)
            how = rng.randrange(6)
            if how == 0 and at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            elif how == 1 and at < len(data):
                data[at] = rng.choice((0, 0x7f, 0x80, 0x90, 0x9f, 0xc0, 0xc1, 0xc4, 0xc6, 0xcf, 0xd9, 0xdb, 0xdd, 0xdf, 0xff))
            elif how == 2:
                del data[at:at + rng.randrange(1, 9)]
            elif how == 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            elif how == 4:
                data[at:at] = data[at:at + rng.randrange(1, 33)]
            else:
                data[at:] = rng.choice(self.good)[0][-rng.randrange(1, 60):]
        return bytes(data[:65536])

    def message(self):
        rng = self.random
        if rng.random() < 0.2:
            return [rng.randbytes(rng.choice((0, 1, 2, 5, 30, 300, 5000))) for _ in range(rng.choice((1, 1, 1, 2, 70)))]
        frames = list(rng.choice(self.good))
        frames[0] = b"".join([frames[0]] + [rng.choice(self.good)[0] for _ in range(rng.choice((0, 0, 1, 3)))])
        if rng.random() < 0.9:
            frames[0] = self.mutated(frames[0])
        if rng.random() < 0.1:
            frames = frames[:rng.randrange(1, len(frames) + 1)] + [b""] * rng.choice((0, 1, 63, 64, 100))
        return frames


def registration():
    out = Outbox()
    out.add(REGISTER, UUID, 1, [["Mine", "1", [["X", 0, "any", "any"]]]], [], 1, {})
    out.add(CREDIT, 0, 5)
    return out.records


class Hostile(mesh.Mesh):
    def setUp(self):
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"  # so that memory tells something
        super().setUp()
        self.worker_ = self.worker()
        self.client = self.keep(weft.Client(self.endpoint))
        self.direct = next(row for row in self.client.workers("Arith"))["endpoints"][0]

    def heard(self, peer, patience_ms):
        """How many records came back; all of them must be good ones."""
        count = 0
        while peer.socket.poll(patience_ms):
            count += len(list(decode(peer.socket.recv_multipart())))
        return count

    def still_fine(self):
        """Asks the worker that we know: hostile ones may have registered Arith as well."""
        for via in ("direct", "broker"):
            self.assertEqual(self.client.call("Arith.Add", [1, 2], via=via, worker=self.worker_.uuid), 3)

    def throw_all(self, endpoint, victim):
        """Over many connections: half greet first, some register as workers do."""
        thrower, thrown, answers, rss = Thrower(SEED), 0, 0, 0
        while thrown < MESSAGES:
            peer = mesh.Peer(endpoint, hello=thrower.random.random() < 0.6, role=thrower.random.choice(("client", "client", "worker", "broker", "?")))
            if peer.records and thrower.random.random() < 0.5:
                peer.records += registration()
            peer.flush()
            peer.socket.sndtimeo = 1000
            try:
                for _ in range(PER_CONNECTION):
                    peer.throw(*thrower.message())
                    answers += self.heard(peer, 0)
            except zmq.Again:
                pass  # it was hung up on: it had registered, and said that it cannot read what it gets
            answers += self.heard(peer, 5)
            thrown += PER_CONNECTION
            peer.socket.linger = 2000
            peer.close()
            self.assertTrue(victim.running(), "gone after %d messages, seed %d: %s" % (thrown, SEED, victim.said()))
            if thrown % 1000 == 0:
                self.still_fine()
            if thrown == 2000:
                rss = victim.rss_kb()
        self.assertGreater(answers, MESSAGES // 50)  # those that came in time; enough to know that it was looked at
        self.assertLess(victim.rss_kb(), rss + GROWTH_KB, "it grew, seed %d" % SEED)

    def test_a_broker_survives_ten_thousand_random_and_mutated_messages(self):
        self.throw_all(self.endpoint, self.broker)
        self.assertEqual(self.broker.stop(), 0, self.broker.said())

    def test_a_worker_survives_ten_thousand_random_and_mutated_messages(self):
        self.throw_all(self.direct, self.worker_)
        malformed = self.client.call("weft.Worker.Stats", worker=self.worker_.uuid)[6]
        self.assertGreater(malformed, MESSAGES // 10)
        self.assertEqual(self.worker_.stop(), 0, self.worker_.said())

    def test_bytes_that_are_not_zmtp_harm_nobody(self):
        rng = random.Random(SEED)
        for endpoint in (self.endpoint, next(e for e in self.worker_.endpoints if e.startswith("tcp://"))):
            host, _, port = endpoint[6:].rpartition(":")
            for size in [1, 10, 64, 1000] * 10:
                with socket.create_connection(("127.0.0.1", int(port))) as stranger:
                    stranger.sendall(rng.choice((b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x01\x7f\x03", b"")) + rng.randbytes(size))
        self.still_fine()

    def test_a_long_routing_id_is_ignored(self):
        """Set by a stranger, against the page."""
        for endpoint in (self.endpoint, self.direct):
            stranger = new_socket(zmq.DEALER)
            self.addCleanup(stranger.close)
            stranger.routing_id = b"x" * 200
            stranger.connect(endpoint)
            out = Outbox()
            out.add(HELLO, "weft", 1, 1, "client", ["msgpack"], "long")
            stranger.send_multipart(out.take())
            self.assertEqual(stranger.poll(300), 0)
        self.still_fine()


if __name__ == "__main__":
    unittest.main()
