# SPDX-License-Identifier: MPL-2.0
"""Python that was written from PROTOCOL.md alone, against the C broker and C workers; both ways round, and by hand."""

import os
import subprocess
import threading
import time
import unittest

import mesh
import weft
from mesh import await_
from weft.link import *

UUID = "0b5e7c1a-93d4-4f6e-8a21-6d2f3c4b5a69"
GREET = [["Greet", "1", [["Hello", 1, ["struct", "Hello", "name", "string"], "string"]]]]


def packed(value):
    return encode("msgpack", value)


def add(a: int, b: int) -> int:
    return a + b


def hello(name: str) -> str:
    return "hello, " + name


def echo(data: bytes) -> bytes:
    return data


def sleep(ms: int) -> int:
    time.sleep(ms / 1000)
    return ms


def fail(code: int):
    raise weft.Error("APP_ERROR", "as you wish", code=code)


def count(count: int, size: int):
    for number in range(count):
        yield [number, bytes(size)]


SERVICES = {"Py": {"Count": count, "Add": weft.idempotent(add), "Hello": hello, "Echo": echo, "Sleep": sleep, "Fail": fail}}


class Calls(mesh.Mesh):
    """The Python client calls the C worker, direct and routed."""

    def setUp(self):
        super().setUp()
        self.log = os.path.join(self.folder, "executions")
        self.c_worker = self.worker(env={"WEFT_TEST_LOG": self.log})
        self.client = self.keep(weft.Client(self.endpoint))

    def killer(self, process):
        """A thread that kills the process once a Count call runs."""
        def kill():
            await_("a handler runs", lambda: os.path.exists(self.log))
            process.popen.kill()
        thread = threading.Thread(target=kill)
        thread.start()
        self.addCleanup(thread.join)

    def both(self):
        for via in ("direct", "broker"):
            with self.subTest(via):
                yield via

    def fails(self, status, method, args=None, **how):
        with self.assertRaises(weft.Error) as caught:
            self.client.call(method, args, **how)
        self.assertEqual(caught.exception.status, status, caught.exception)
        return caught.exception

    def test_g1_a_client_needs_only_the_brokers_address(self):
        for via in self.both():
            self.assertEqual(self.client.call("Arith.Add", [2, 3], via=via), 5)
            self.assertEqual(self.client.call("Arith.Multiply", {"b": 6, "a": -7, "colour": "red"}, via=via), -42)

    def test_g2_the_port_in_the_list_is_the_one_bound(self):
        row, = self.client.workers("Arith")
        self.assertEqual(row["uuid"], self.c_worker.uuid)
        tcp = [endpoint for endpoint in self.c_worker.endpoints if endpoint.startswith("tcp://")]
        self.assertEqual({endpoint.rpartition(":")[2] for endpoint in tcp},
                         {endpoint.rpartition(":")[2] for endpoint in row["endpoints"] if endpoint.startswith("tcp://")})
        self.assertNotIn("*", "".join(row["endpoints"]))
        self.assertNotIn(":0", [endpoint[-2:] for endpoint in row["endpoints"]])

    def test_n6_many_requests_in_one_message_each_get_their_reply(self):
        for via in self.both():
            outcomes = self.client.call_many([("Arith.Add", [i, i * i]) for i in range(500)], via=via)
            self.assertEqual(outcomes, [i + i * i for i in range(500)])

    def test_s6_a_reply_has_the_id_of_its_request_and_ids_may_be_compact(self):
        for endpoint in (self.endpoint, self.client.workers("Arith")[0]["endpoints"][0]):
            peer = self.peer(endpoint)
            peer.flush()
            peer.throw(b"\x95\x04\xce\x00\x01\x86\xa0\xa9Arith.Add\xcd\x13\x88\xc4\x03\x92\x02\x03"
                       b"\x95\x04\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa9Arith.Add\xce\x00\x00\x13\x88\xc4\x03\x92\x04\x05")
            replies = peer.replies(2)
            self.assertEqual(replies[100000][:2], (0, b"\x05"))
            self.assertEqual(replies[2**64 - 1][:2], (0, b"\x09"))

    def test_s5_large_bodies_travel_as_attachments_both_ways(self):
        for via in self.both():
            bodies = [bytes([i]) * size for i, size in enumerate((0, 1, 4000, 4093, 4094, 4097, 5000, 70000, 1 << 20))]
            outcomes = self.client.call_many([("Echo.Echo", body) for body in bodies], via=via)
            self.assertEqual([weft.Error if isinstance(one, weft.Error) else len(one) for one in outcomes], list(map(len, bodies)), outcomes[0])
            self.assertTrue(outcomes == bodies)

    def test_n4_attached_and_embedded_bodies_mix_in_one_message(self):
        peer = self.peer()
        for id, size in ((1, 5000), (2, 3), (3, 6000), (4, 0), (5, 7000)):
            peer.add(REQUEST, id, "Echo.Echo", 5000, packed(bytes([id]) * size))
        peer.flush()
        for id, (status, body, _) in peer.replies(5).items():
            self.assertEqual((status, decoded("msgpack", body)), (0, bytes([id]) * {1: 5000, 2: 3, 3: 6000, 4: 0, 5: 7000}[id]))

    def test_s3_json_for_a_connection_or_for_one_call(self):
        json_client = self.keep(weft.Client(self.endpoint, codec="json"))
        for via in self.both():
            self.assertEqual(json_client.call("Arith.Add", {"a": 2, "b": 3}, via=via), 5)
            self.assertEqual(json_client.call("Arith.Add", [2, 4], via=via), 6)
            self.assertEqual(self.client.call("Arith.Add", {"a": 2, "b": 5}, via=via, codec="json"), 7)
            shape = {"title": "T", "points": [{"x": 1.5, "y": -2}], "colour": 7}
            self.assertEqual(json_client.call("Echo.Shape", shape, via=via), shape)
            self.assertEqual(self.client.call("Echo.Shape", shape, via=via), ["T", [[1.5, -2.0]], 7])
            self.assertEqual(self.client.call("Echo.Echo", b"\0raw", via=via, codec="raw"), b"\0raw")
        self.assertIn("workers", json_client.call("weft.Registry.List", {"service": "Arith"}, via="broker"))

    def test_s3_an_unknown_codec_is_refused_with_the_known_ones(self):
        for endpoint in (self.endpoint, self.client.workers("Arith")[0]["endpoints"][0]):
            status, text = self.peer(endpoint, codecs=["xml"]).say(REQUEST, 1, "Arith.Add", 1000, packed([1, 2])).hear(REFUSED)[:2]
            self.assertEqual(status, INVALID)
            for word in ("xml", "msgpack", "json", "raw"):
                self.assertIn(word, text)
            welcome = self.peer(endpoint, codecs=["xml", "json", "msgpack"]).say(CANCEL, 1).hear(WELCOME)
            self.assertEqual(welcome[1], "json")
        for via in self.both():
            error = self.client.call_many([("Arith.Add", [1, 2])], via=via, codec="msgpack")[0]
            self.assertEqual(error, 3)

    def test_n8_an_error_is_that_calls_only(self):
        for via in self.both():
            good, bad, late = self.client.call_many([("Arith.Divide", [6, 3]), ("Arith.Divide", [1, 0]), ("Arith.Divide", [8, 2])], via=via)
            self.assertEqual((good, late), (2, 4))
            self.assertEqual((bad.status, bad.code, bad.text, bad.executed), ("APP_ERROR", 33, "division by zero", 2))

    def test_n9_a_body_that_does_not_fit_is_invalid_and_names_the_field(self):
        for via in self.both():
            for args in ([1], [1, "two"], {"a": 1}, "text", [1, 2.5], [2**63, 1]):
                error = self.fails("INVALID", "Arith.Add", args, via=via)
                self.assertEqual(error.executed, 0)
                self.assertTrue(error.text)
            self.assertEqual(self.client.call("Arith.Add", [1, 2, "from the future"], via=via), 3)

    def test_n15_unknown_service_and_method_each_have_their_error(self):
        self.assertIn("Nobody", self.fails("NO_SERVICE", "Nobody.Home", via="broker").text)
        for via in self.both():
            self.assertIn("Arith", self.fails("UNIMPLEMENTED", "Arith.Subtract", [1, 2], via=via).text)
        self.assertEqual(self.client.call("Arith.Add", [1, 2], via="broker"), 3)

    def test_n14_a_method_without_a_dot_is_ill_formed(self):
        for endpoint in (self.endpoint, self.client.workers("Arith")[0]["endpoints"][0]):
            peer = self.peer(endpoint)
            for id, method in enumerate(("Add", "", ".", "Arith.", ".Add", "Ar ith.Add", "Arith..Add", "A" * 64 + ".Add", "Arith.Add\0"), 1):
                peer.add(REQUEST, id, method, 1000, packed([1, 2]))
            for status, _, info in peer.say(REQUEST, 99, "Arith.Add", 1000, packed([1, 2])).replies(10).values():
                self.assertTrue(status == 0 or status == INVALID and "ill-formed" in info["text"], (status, info))

    def test_s11_a_call_ends_at_its_deadline(self):
        for via in self.both():
            start = time.monotonic()
            error = self.fails("DEADLINE_EXCEEDED", "Slow.Sleep", [30000], timeout=0.2, via=via)
            self.assertLess(time.monotonic() - start, 10)
            self.assertEqual(error.executed, 1)

    def test_s11_the_broker_answers_when_time_is_up(self):
        peer, start = self.peer(), time.monotonic()
        status, _, info = peer.say(REQUEST, 1, "Slow.Hang", 150, packed([15000])).replies(1)[1]
        self.assertEqual((STATUS[status], info.get("executed", 1)), ("DEADLINE_EXCEEDED", 1))
        self.assertTrue(0.14 < time.monotonic() - start < 10)

    def test_expired_work_never_starts(self):
        for via, endpoint in (("broker", self.endpoint), ("direct", self.client.workers("Count")[0]["endpoints"][0])):
            before = self.client.call("Count.Next", ["t", 0], via=via)
            status, _, info = self.peer(endpoint).say(REQUEST, 1, "Count.Next", 0, packed(["t", 0])).replies(1)[1]
            self.assertEqual((STATUS[status], info.get("executed", 1)), ("DEADLINE_EXCEEDED", 0))
            self.assertEqual(self.client.call("Count.Next", ["t", 0], via=via), before + 1)

    def test_cancel_ends_a_call_early(self):
        for endpoint in (self.endpoint, self.client.workers("Slow")[0]["endpoints"][0]):
            peer, start = self.peer(endpoint), time.monotonic()
            peer.say(REQUEST, 1, "Slow.Sleep", 15000, packed([10000])).hear(WELCOME)
            status, _, info = peer.say(CANCEL, 77).say(CANCEL, 1).replies(1)[1]
            self.assertIn(STATUS[status], ("CANCELLED", "APP_ERROR"), info)
            self.assertLess(time.monotonic() - start, 5)
            self.assertEqual(peer.say(REQUEST, 2, "Arith.Add", 5000, packed([1, 2])).replies(1)[2][0], 0)

    def test_n10_a_killed_worker_ends_its_calls_as_lost(self):
        for via in ("broker", "direct"):
            worker = self.c_worker if via == "broker" else self.worker(env={"WEFT_TEST_LOG": self.log})
            if via == "direct":
                os.remove(self.log)
            self.killer(worker)
            start = time.monotonic()
            error = self.fails("WORKER_LOST", "Count.Next", ["t", 15000], via=via, timeout=20, worker=worker.uuid)
            self.assertEqual(error.executed, 1)
            self.assertLess(time.monotonic() - start, 10)
            await_("it is not listed", lambda: worker.uuid not in [row["uuid"] for row in self.client.workers("Slow")])
        self.assertEqual(self.fails("NO_WORKERS", "Slow.Hang", [1], via="broker").executed, 0)

    def test_n10_a_killed_broker_ends_its_calls_as_lost(self):
        self.killer(self.broker)
        self.assertEqual(self.fails("BROKER_LOST", "Count.Next", ["t", 15000], via="broker", timeout=20).executed, 1)

    def test_a_request_key_brings_the_first_reply_again(self):
        for via in self.both():
            how = {"via": via, "worker": self.c_worker.uuid, "request_key": "work " + via}
            first = self.client.call("Count.Next", ["k", 0], **how)
            self.assertEqual(self.client.call("Count.Next", ["k", 0], **how), first)
            self.assertEqual(self.client.call("Count.Next", ["k", 0], **{**how, "request_key": how["request_key"].encode()}), first)
            self.assertEqual(self.fails("INVALID", "Count.Next", ["other", 0], **how).executed, 0)
            self.assertEqual(self.fails("INVALID", "Count.Next", ["k", 0], **{**how, "request_key": 256 * "k"}).executed, 0)
            self.assertNotEqual(self.client.call("Count.Next", ["k", 0], **{**how, "request_key": ""}), first)

    def test_streams_of_a_c_worker(self):
        for via in ("direct", "broker"):
            args = {"count": 500, "pad": 3, "gap_ms": 0, "tag": ""}
            self.assertEqual([item[0] for item in self.client.stream("Stream.Count", args, via=via)], list(range(500)))
            self.assertEqual([len(item[1]) for item in self.client.stream("Stream.Count", {**args, "count": 5, "pad": 50000}, via=via, window=1)], [50000] * 5)
            with self.assertRaises(weft.Error) as failed:
                for item in self.client.stream("Stream.Fail", {**args, "count": 2}, via=via):
                    last = item
            self.assertEqual((last[0], failed.exception.status, failed.exception.code), (1, "APP_ERROR", 7))
            with self.assertRaises(weft.Error) as invalid:
                self.client.call("Stream.Count", args, via=via)
            self.assertEqual((invalid.exception.status, invalid.exception.executed), ("INVALID", 0))

    def test_a_stream_is_cancelled_when_its_reader_stops(self):
        for via in ("direct", "broker"):
            for item in self.client.stream("Stream.Once", {"count": -1, "pad": 0, "gap_ms": 0, "tag": "left-" + via}, via=via):
                break
            await_("the handler is told", lambda: os.path.exists(self.log) and "left-%s CANCELLED" % via in open(self.log).read())

    def test_weft_worker_is_at_every_worker(self):
        for via in self.both():
            uuid, age_ms = self.client.call("weft.Worker.Ping", via=via, worker=self.c_worker.uuid)[:2]
            self.assertEqual(uuid, self.c_worker.uuid)
            self.assertGreaterEqual(age_ms, 0)
            stats = self.client.call("weft.Worker.Stats", via=via, worker=self.c_worker.uuid)
            names = [row[0] for row in stats[7]]
            self.assertEqual(names, sorted(names))
            self.assertIn("Arith.Add", names)
            services, = self.client.call("weft.Worker.Describe", via=via, worker=self.c_worker.uuid)
            self.assertIn("Arith", [row[0] for row in services])
            self.assertIn("Ping", self.fails("UNIMPLEMENTED", "weft.Worker.Pong", via=via, worker=self.c_worker.uuid).text)


class Connections(mesh.Mesh):
    """What is said by hand on one connection, to the broker and to a worker."""

    def setUp(self):
        super().setUp()
        self.c_worker = self.worker()
        self.both = (self.endpoint, self.keep(weft.Client(self.endpoint)).workers("Arith")[0]["endpoints"][0])

    def still_fine(self, peer):
        id = next(peer.ids) + 10**6
        self.assertEqual(peer.say(REQUEST, id, "Arith.Add", 5000, packed([2, 3])).replies(1)[id][:2], (0, b"\x05"))

    def test_n11_welcome_says_version_codec_limits_and_who(self):
        for endpoint, server in zip(self.both, (self.broker.uuid, self.c_worker.uuid)):
            version, codec, limits, uuid, brokers = self.peer(endpoint).say(CANCEL, 1).hear(WELCOME)[:5]
            self.assertEqual((version, codec, uuid, brokers), (1, "msgpack", server, []))
            self.assertEqual((limits["body"], limits["frames"]), (16 << 20, 64))
            self.assertGreater(limits["calls"], 0)

    def test_n11_a_peer_that_speaks_something_else_is_refused_clearly(self):
        for endpoint in self.both:
            status, text = self.peer(endpoint, versions=(2, 9)).say(REQUEST, 1, "Arith.Add", 9000, packed([1, 2])).hear(REFUSED)[:2]
            self.assertEqual(status, INVALID)
            self.assertIn("version", text)
            self.assertIn("1", text)
            self.assertEqual(self.peer(endpoint, versions=(1, 9)).say(CANCEL, 1).hear(WELCOME)[0], 1)
            magic = self.peer(endpoint, hello=False).say(HELLO, "smtp", 1, 1, "client", ["msgpack"], "x")
            self.assertIn("weft", magic.hear(REFUSED)[1])

    def test_n11_a_record_before_hello_is_refused_and_hello_may_follow(self):
        for endpoint in self.both:
            peer = self.peer(endpoint, hello=False).say(REQUEST, 1, "Arith.Add", 1000, packed([1, 2]))
            self.assertEqual(peer.hear(REFUSED)[:2], [INVALID, "say HELLO first"])
            peer.say(HELLO, "weft", 1, 1, "client", ["msgpack"], "late").hear(WELCOME)
            self.still_fine(peer)

    def test_a_worker_that_is_not_meant_refuses(self):
        status, text = self.peer(self.both[1], options={"uuid": UUID}).say(CANCEL, 1).hear(REFUSED)[:2]
        self.assertEqual(STATUS[status], "NO_WORKERS")
        self.still_fine(self.peer(self.both[1], options={"uuid": self.c_worker.uuid}))

    def test_unknown_kinds_fields_and_options_are_passed_over(self):
        for endpoint in self.both:
            peer = self.peer(endpoint).say(99, "what", [1, {"a": None}]).say(0).say(CANCEL, 5, "more")
            peer.say(REQUEST, 1, "Arith.Add", 5000, packed([2, 3]), {"colour": {"deep": [1]}, "trace": "00-0-0-0"}, "more", [1])
            kind = peer.hear(REPLY, REFUSED)
            self.assertEqual(kind[:3], [1, 0, b"\x05"])
            self.still_fine(peer)

    def test_g9_malformed_records_are_refused_and_the_connection_goes_on(self):
        good = Outbox()
        good.add(REQUEST, 7, "Arith.Add", 5000, packed([3, 4]))
        for endpoint in self.both:
            peer = self.peer(endpoint).say(CANCEL, 1)
            peer.hear(WELCOME)
            for bad in (b"", b"\xc1", b"\x90", b"\x04", b"GET / HTTP/1.1\r\n\r\n", b"\xdd\x7f\xff\xff\xff", b"\x92\x63" + b"\x91" * 17 + b"\x90",
                        b"\x91\xa7REQUEST", b"\x92\x08\xa17", good.records[:-1], b"\x92\x04\x05", b"\x95\x04\x07\xa9Arith.Add\x01\xc0"):
                status, text = peer.throw(bad).hear(REFUSED, REPLY)[:2]
                self.assertEqual(status, INVALID, bad)
                self.assertTrue(text and "\n" not in text, text)
            peer.throw(good.records + b"\x92\x08\xa17" + good.records)  # the first stands, the third is dropped
            self.assertEqual([peer.hear(REPLY, REFUSED)[0] for _ in range(2)].count(7), 1)
            self.still_fine(peer)

    def test_n11_too_many_frames_are_refused(self):
        for endpoint in self.both:
            peer = self.peer(endpoint).say(CANCEL, 1)
            peer.throw(*[b"\x92\x08\x07"] * 200)
            self.assertEqual(peer.hear(REFUSED)[0], INVALID)
            self.still_fine(peer)

    def test_n7_replies_that_nobody_asked_for_are_dropped(self):
        for endpoint in self.both:
            peer = self.peer(endpoint).say(REPLY, 12345, 0, b"\x01").say(ITEM, 1, 0, b"\x01").say(CREDIT, 44, 5)
            self.still_fine(peer)

    def test_s4_a_worker_serves_until_the_client_closes(self):
        for endpoint in self.both:
            peer = self.peer(endpoint)
            for _ in range(100):
                self.still_fine(peer)


class Registry(mesh.Mesh):
    """The registry: what a worker says to it, and what it tells clients. Workers here are spoken by hand."""

    def registered(self, uuid=UUID, incarnation=1, services=GREET, endpoints=("tcp://127.0.0.1:45678",), credit=10):
        worker = self.peer(role="worker")
        worker.add(REGISTER, uuid, incarnation, services, list(endpoints), 2, {}, {"host": "h", "pid": 1, "capacity": 4})
        worker.say(CREDIT, 0, credit)
        self.answer = worker.hear(BEAT_OK, REFUSED)
        return worker

    def refused(self, **how):
        self.registered(**how)
        self.assertEqual(len(self.answer), 2, "not refused: %s" % self.answer)
        return self.answer[1]

    def setUp(self):
        super().setUp()
        self.client = self.keep(weft.Client(self.endpoint))

    def uuids(self, service="Greet"):
        try:
            return [row["uuid"] for row in self.client.workers(service)]
        except weft.Error as error:
            self.assertIn(error.status, ("NO_SERVICE", "NO_WORKERS"))
            return []

    def test_g3_registering_is_the_first_beat_and_is_acknowledged(self):
        self.registered()
        sequence, next_ms, ttl_ms, brokers = self.answer[:4]
        self.assertEqual((sequence, next_ms, ttl_ms, brokers), (0, 3000, 10000, []))
        self.assertEqual(self.uuids(), [UUID])

    def test_g5_beats_are_answered_in_order(self):
        worker = self.registered()
        for sequence in range(1, 5):
            self.assertEqual(worker.say(BEAT, sequence, [0, 4, 0, sequence]).hear(BEAT_OK)[0], sequence)

    def test_g6_an_unknown_worker_that_beats_is_told_to_register(self):
        worker = self.peer(role="worker").say(BEAT, 7, [0, 1, 0, 0])
        self.assertEqual(STATUS[worker.hear(REFUSED)[0]], "NO_WORKERS")
        worker.say(REGISTER, UUID, 1, GREET, [], 1, {}).hear(BEAT_OK)
        self.assertEqual(self.uuids(), [UUID])

    def test_g8_empty_or_wrong_registrations_are_refused_clearly(self):
        def service(name="A", method="B", type="any"):
            return [[name, "1", [[method, 0, type, "any"]]]]
        self.assertIn("service", self.refused(services=[]))
        self.assertIn("service", self.refused(services=service(name="")))
        self.assertIn("method", self.refused(services=service(method="")))
        self.assertIn("sp ace", self.refused(services=service(name="sp ace")))
        self.assertIn("weft", self.refused(services=service(name="weft.Registry")))
        self.assertIn("A", self.refused(services=service() + service()))
        self.assertIn("type", self.refused(services=service(type="complex")))
        self.assertIn("endpoint", self.refused(endpoints=[""]))
        self.assertIn("pgm://", self.refused(endpoints=["pgm://127.0.0.1:5"]))
        self.assertIn("uuid", self.refused(uuid="").lower())
        self.assertIn("uuid", self.refused(uuid="me").lower())
        self.assertEqual(self.uuids("A"), [])
        self.registered()
        self.assertEqual(len(self.answer), 4)

    def test_g8_a_refused_registration_leaves_the_connection_usable(self):
        worker = self.peer(role="worker").say(REGISTER, UUID, 1, [], [], 1, {})
        worker.hear(REFUSED)
        worker.say(REGISTER, UUID, 1, GREET, [], 1, {}).hear(BEAT_OK)
        self.assertEqual(self.uuids(), [UUID])

    def test_g9_an_unknown_registry_request_is_refused_with_the_known_ones(self):
        with self.assertRaises(weft.Error) as caught:
            self.client.call("weft.Registry.Destroy", via="broker")
        self.assertEqual(caught.exception.status, "UNIMPLEMENTED")
        for name in ("List", "Describe", "Watch", "Drain"):
            self.assertIn(name, caught.exception.text)
        self.assertGreaterEqual(len(self.client.call("weft.Registry.List", [], via="broker")), 3)

    def test_g7_the_list_is_sorted_and_holds_only_the_living(self):
        uuids = ["%08x-0000-4000-8000-000000000000" % (i * 2654435761 % 2**32) for i in range(1, 9)]
        workers = [self.registered(uuid) for uuid in uuids]
        self.assertEqual(self.uuids(), sorted(uuids))
        workers[3].say(GOODBYE, "off")
        workers[5].close()
        left = sorted(set(uuids) - {uuids[3], uuids[5]})
        await_("the two are gone", lambda: self.uuids() == left)
        services = self.client.call("weft.Registry.List", [], via="broker")[1]
        self.assertEqual([row[:3] for row in services], [["Greet", "1", 6]])

    def test_h8_a_client_sees_only_what_it_asked_for(self):
        self.registered()
        self.registered(UUID.replace("0b", "1b"), services=[["Other", "1", [["X", 0, "any", "any"]]]])
        self.assertEqual(len(self.uuids()), 1)
        self.assertEqual(len(self.client.workers()), 2)
        with self.assertRaises(weft.Error) as caught:
            self.client.workers("Never")
        self.assertEqual(caught.exception.status, "NO_SERVICE")

    def test_h11_describe_gives_services_with_types_and_one_workers_definition(self):
        self.registered()
        services, workers = self.client.call("weft.Registry.Describe", ["Greet"], via="broker")[:2]
        self.assertEqual(services, [["Greet", "1", [["Hello", True, False, False, ["struct", "Hello", "name", "string"], "string"]]]])
        _, workers = self.client.call("weft.Registry.Describe", {"name": UUID}, via="broker")[:2]
        self.assertEqual([row[:6] for row in workers], [[UUID, 1, ["Greet"], ["tcp://127.0.0.1:45678"], 2, 4]])

    def test_incarnation_lower_is_refused_and_higher_replaces(self):
        old = self.registered(incarnation=5)
        self.assertIn("incarnation", self.refused(incarnation=4))
        self.assertEqual([row["incarnation"] for row in self.client.workers("Greet")], [5])
        new = self.registered(incarnation=6, endpoints=["tcp://127.0.0.1:45679"])
        self.assertEqual([(row["incarnation"], row["endpoints"]) for row in self.client.workers("Greet")], [(6, ["tcp://127.0.0.1:45679"])])
        self.assertEqual(STATUS[old.say(BEAT, 9, [0, 1, 0, 0]).hear(REFUSED)[0]], "NO_WORKERS")
        old.close()
        new.say(BEAT, 1, [0, 1, 0, 0]).hear(BEAT_OK)
        self.assertEqual(self.uuids(), [UUID])

    def test_h7_a_watch_is_told_of_joins_and_leaves(self):
        watcher = self.peer()
        watcher.say(REQUEST, 1, "weft.Registry.Watch", NO_DEADLINE, packed(["Greet"]))
        def item():
            id, index, body = watcher.hear(ITEM)[:3]
            revision, previous, full, workers, methods = decoded("msgpack", body)[:5]
            return index, revision, previous, full, [(row[0], row[7]) for row in workers], methods
        index, first, _, full, rows, methods = item()
        self.assertEqual((index, full, rows, methods), (0, True, [], []))
        worker = self.registered()
        index, second, previous, full, rows, methods = item()
        self.assertEqual((index, previous, rows, methods), (1, first, [(UUID, "alive")], [["Hello", 1]]))
        worker.say(DRAINING, "going")
        index, third, previous, full, rows, _ = item()
        self.assertEqual((previous, full, rows), (second, False, [(UUID, "draining")]))
        worker.say(GOODBYE, "gone")
        index, _, previous, full, rows, _ = item()
        self.assertEqual((index, previous, full, rows), (3, third, False, [(UUID, "gone")]))
        status = watcher.say(CANCEL, 1).replies(1)[1][0]
        self.assertEqual(STATUS[status], "CANCELLED")

    def test_h6_a_long_list_comes_in_parts_and_on_pages(self):
        services = [["Greet", "1", GREET[0][2]]] + [["S%d" % i, "1", []] for i in range(255)]
        uuids = ["0b5e7c1a-93d4-4f6e-8a21-%012x" % i for i in range(140)]
        workers = [self.registered(uuid=uuid, services=services) for uuid in uuids]
        watcher, parts, listed = self.peer(), 0, []
        watcher.say(REQUEST, 1, "weft.Registry.Watch", NO_DEADLINE, packed(["Greet"]))
        more = [True]
        while more == [True]:
            revision, _, full, rows, methods, *more = decoded("msgpack", watcher.hear(ITEM)[2])
            self.assertTrue(full)
            parts, listed = parts + 1, listed + [row[0] for row in rows]
        self.assertGreater(parts, 2)
        self.assertEqual((sorted(listed), methods), (uuids, [["Hello", 1]]))
        full, rows = next(self.client.watch("Greet"))
        self.assertEqual((full, len(rows)), (True, 140))
        self.assertEqual(self.uuids(), uuids)
        first = self.client.call("weft.Registry.List", ["Greet"], via="broker")
        self.assertEqual(first[3:4], [True])
        for worker in workers:
            worker.close()

    def test_h7_a_killed_worker_leaves_the_watch_at_once(self):
        worker, events = self.worker(), self.client.watch("Arith", timeout=5)
        full, rows = next(events)
        self.assertEqual((full, [row["uuid"] for row in rows]), (True, [worker.uuid]))
        start = time.monotonic()
        worker.kill()
        for full, rows in events:
            if [row["state"] for row in rows] == ["gone"]:
                break
        self.assertLess(time.monotonic() - start, 2)
        events.close()

    def test_window_a_worker_gets_no_more_than_it_asked_for(self):
        worker = self.registered(credit=2)
        caller = self.peer()
        for id in range(1, 6):
            caller.add(REQUEST, id, "Greet.Hello", 10000, packed(["x"]))
        caller.flush()
        held = [worker.hear(REQUEST)[0] for _ in range(2)]
        self.assertEqual(worker.receive(0.2), [])
        for _ in range(3):
            worker.say(REPLY, held.pop(0), 0, packed("y"))
            held.append(worker.hear(REQUEST)[0])
        self.assertEqual(worker.receive(0.1), [])
        worker.say(CREDIT, 0, 0)
        for id in held:
            worker.say(REPLY, id, 0, packed("y"))
        self.assertEqual({status for status, _, _ in caller.replies(5).values()}, {0})
        caller.say(REQUEST, 9, "Greet.Hello", 10000, packed(["x"]))
        self.assertEqual(worker.receive(0.2), [])
        worker.say(CREDIT, 0, 1).hear(REQUEST)

    def test_n7_forged_double_and_late_replies_reach_nobody(self):
        worker, thief = self.registered(), self.registered(UUID.replace("0b", "1b"), services=[["Thief", "1", [["X", 0, "any", "any"]]]])
        caller = self.peer().say(REQUEST, 1, "Greet.Hello", 10000, packed(["x"]))
        id, method, remaining_ms = worker.hear(REQUEST)[:3]
        self.assertEqual(method, "Greet.Hello")
        self.assertTrue(0 < remaining_ms <= 10000)
        for forged in (id, id ^ 1, id + 2**32, 1, 2**64 - 1):
            thief.say(REPLY, forged, 0, packed("stolen"))
        for forged in (id ^ 1, id + 2**32, id + 2**63 if id < 2**63 else id - 2**63):
            worker.say(REPLY, forged, 0, packed("wrong"))
        thief.say(BEAT, 1, [0, 1, 0, 0]).hear(BEAT_OK)
        worker.say(REPLY, id, 0, packed("right")).say(REPLY, id, 0, packed("again"))
        self.assertEqual(caller.replies(1)[1][:2], (0, packed("right")))
        worker.say(BEAT, 1, [0, 1, 0, 0]).hear(BEAT_OK)
        self.assertEqual(caller.receive(0.2), [])
        caller.say(REQUEST, 2, "Greet.Hello", 100, packed(["x"]))
        late = worker.hear(REQUEST)[0]
        self.assertEqual(STATUS[caller.replies(1)[2][0]], "DEADLINE_EXCEEDED")
        worker.say(REPLY, late, 0, packed("late"))
        caller.say(REQUEST, 3, "Greet.Hello", 5000, packed(["x"]))
        worker.say(REPLY, worker.hear(REQUEST)[0], 0, packed("third"))
        self.assertEqual(caller.replies(1)[3][:2], (0, packed("third")))

    def test_a_caller_that_leaves_has_its_calls_cancelled(self):
        worker, caller = self.registered(), mesh.Peer(self.endpoint)
        caller.say(REQUEST, 1, "Greet.Hello", 10000, packed(["x"]))
        id = worker.hear(REQUEST)[0]
        caller.close()
        self.assertEqual(worker.hear(CANCEL)[0], id)

    def test_options_pass_through_the_broker(self):
        worker = self.registered()
        meta = {"tenant": "blue"}
        caller = self.peer().say(REQUEST, 1, "Greet.Hello", 10000, packed(["x"]), {"meta": meta, "trace": "00-aa-bb-01", "worker": UUID, "key": b"k"})
        id, _, _, body, options = worker.hear(REQUEST)[:5]
        self.assertEqual((body, options["meta"], options["trace"]), (packed(["x"]), meta, "00-aa-bb-01"))
        worker.say(REPLY, id, 2, packed("part"), {"text": "no", "code": -7, "colour": "red"})
        status, body, info = caller.replies(1)[1]
        self.assertEqual((STATUS[status], body, info["text"], info["code"]), ("APP_ERROR", packed("part"), "no", -7))

    def test_a_forwarded_request_names_its_codec_if_it_is_not_the_workers(self):
        worker = self.registered()
        caller = self.peer(codecs=["json"]).say(REQUEST, 1, "Greet.Hello", 10000, b'["x"]')
        id, _, _, body, options = worker.hear(REQUEST)[:5]
        self.assertEqual((body, options), (b'["x"]', {"codec": "json"}))
        worker.say(REPLY, id, 0, b'"hello"')
        self.assertEqual(caller.replies(1)[1][:2], (0, b'"hello"'))


class PythonWorker(mesh.Mesh):
    """The Python worker serves everybody."""

    def setUp(self):
        super().setUp()
        self.served = weft.Worker(self.endpoint, SERVICES).start()
        self.client = self.keep(weft.Client(self.endpoint))
        self.addCleanup(lambda: self.served.thread.is_alive() and self.served.stop())

    def test_g1_python_calls_python_direct_and_routed(self):
        for via in ("direct", "broker"):
            self.assertEqual(self.client.call("Py.Add", [2, 3], via=via), 5)
            self.assertEqual(self.client.call_many([("Py.Add", [i, i]) for i in range(300)], via=via), [2 * i for i in range(300)])
            self.assertEqual(self.client.call("Py.Hello", {"name": "you"}, via=via, codec="json"), "hello, you")
            self.assertEqual(self.client.call("Py.Echo", [b"z" * 100000], via=via), b"z" * 100000)

    def test_streams_of_a_python_worker(self):
        for via in ("direct", "broker"):
            self.assertEqual([item[0] for item in self.client.stream("Py.Count", [300, 10], via=via)], list(range(300)))
            self.assertEqual([len(item[1]) for item in self.client.stream("Py.Count", [4, 20000], via=via, window=2)], [20000] * 4)
            self.assertEqual(self.weft("call", "Py.Count", '{"count": 100, "size": 0}', "--via", via),
                             "\n".join('[%d,""]' % number for number in range(100)))
            with self.assertRaises(weft.Error) as invalid:
                self.client.call("Py.Count", [1, 1], via=via)
            self.assertEqual((invalid.exception.status, invalid.exception.executed), ("INVALID", 0))

    def test_n8_errors_of_a_python_worker(self):
        for via in ("direct", "broker"):
            for method, args, status, executed in (("Py.Fail", [7], "APP_ERROR", 2), ("Py.Nope", [], "UNIMPLEMENTED", 0),
                                                   ("Py.Add", [1], "INVALID", 0), ("Py.Add", ["a", 1], "APP_ERROR", 2)):
                with self.assertRaises(weft.Error) as caught:
                    self.client.call(method, args, via=via)
                self.assertEqual((caught.exception.status, caught.exception.executed), (status, executed), caught.exception)
            with self.assertRaises(weft.Error) as caught:
                self.client.call("Py.Sleep", [2000], timeout=0.2, via=via)
            self.assertEqual(caught.exception.status, "DEADLINE_EXCEEDED")

    def weft(self, *args, code=0):
        done = subprocess.run([mesh.program("weft"), "-b", self.endpoint, *args], capture_output=True, text=True, timeout=mesh.PATIENCE)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.strip()

    def test_g1_the_c_client_calls_the_python_worker(self):
        for via in ("direct", "broker"):
            self.assertEqual(self.weft("call", "Py.Add", '{"a": 20, "b": 22}', "--via", via), "42")
            self.assertEqual(self.weft("call", "Py.Hello", '{"name": "C"}', "--via", via), '"hello, C"')
            self.weft("call", "Py.Fail", '{"code": 9}', "--via", via, code=6)

    def test_h11_the_c_cli_sees_the_python_worker(self):
        self.assertIn("Py", self.weft("ls"))
        self.assertIn(self.served.uuid, self.weft("ls", "Py"))
        self.assertIn("Hello", self.weft("describe", "Py"))

    def test_g6_it_registers_again_after_a_broker_restart(self):
        before = self.client.workers("Py")[0]["incarnation"]
        self.broker.kill()
        self.broker = self.start("weft-broker", "--bind", self.endpoint)
        def again():
            try:
                return self.client.workers("Py", timeout=1)
            except weft.Error:
                return None
        row, = await_("it is back", again)
        self.assertEqual(row["uuid"], self.served.uuid)
        self.assertGreater(row["incarnation"], before)
        self.assertEqual(self.client.call("Py.Add", [2, 3], via="broker"), 5)

    def test_drain_finishes_what_has_begun_and_hands_back_the_rest(self):
        caller = self.peer()
        for id in range(1, 21):
            caller.add(REQUEST, id, "Py.Sleep", 10000, packed([300]))
        caller.flush()
        await_("some run", lambda: self.served.open)
        self.served.stop()
        outcomes = [(STATUS[status], info.get("executed", RAN.get(STATUS[status], 0))) for status, _, info in caller.replies(20).values()]
        self.assertGreaterEqual(outcomes.count(("OK", 2)), 1)
        self.assertEqual({one for one in outcomes if one[0] != "OK"} - {("DRAINING", 0), ("NO_WORKERS", 0), ("DEADLINE_EXCEEDED", 0)}, set())

    def test_a_drain_order_reaches_the_worker(self):
        self.client.call("weft.Registry.Drain", [self.served.uuid], via="broker")
        self.served.thread.join(mesh.PATIENCE)
        self.assertFalse(self.served.thread.is_alive())
        with self.assertRaises(weft.Error) as caught:
            self.client.call("Py.Add", [1, 2], via="broker")
        self.assertEqual(caught.exception.status, "NO_WORKERS")

    def test_g12_two_workers_of_two_languages_share_the_work(self):
        other = weft.Worker(self.endpoint, {"Py": {"Add": add, "Who": lambda: "other"}}).start()
        self.addCleanup(other.stop)
        self.assertEqual(len(self.client.workers("Py")), 2)
        for via in ("direct", "broker"):
            self.assertEqual([self.client.call("Py.Add", [i, 1], via=via) for i in range(10)], list(range(1, 11)))
        self.assertGreater(self.served.finished, 0)
        self.assertGreater(other.finished, 0)


if __name__ == "__main__":
    unittest.main()
