# SPDX-License-Identifier: MPL-2.0
"""The worker: registers, beats, serves calls from the broker and from direct callers, drains."""

import inspect
import itertools
import json
import os
import queue
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import zmq

from .link import *

TYPES = {int: "int64", float: "double", bool: "bool", str: "string", bytes: "bytes", None: "none"}


def method_row(name, function):
    """A method as REGISTER wants it: a function's parameters are the fields of its argument's struct."""
    signature = inspect.signature(function)
    fields = [(p.name + "?" * (p.default is not p.empty), TYPES.get(p.annotation, "any")) for p in signature.parameters.values()]
    flags = getattr(function, "weft_flags", 0) | 4 * inspect.isgeneratorfunction(function)
    return [name, flags, ["struct", name, *itertools.chain(*fields)], TYPES.get(signature.return_annotation, "any")]


def idempotent(function):
    """Marks a method that may as well run twice."""
    function.weft_flags = 1
    return function


class Worker:
    """Serves {"Service": {"Method": function}}, at an endpoint of its own and through the broker."""

    def __init__(self, broker, services, name="python", bind="tcp://127.0.0.1:*", threads=4, codecs=("msgpack", "json")):
        self.broker, self.services, self.name, self.threads, self.codecs = broker, services, name, threads, codecs
        self.uuid, self.incarnation, self.started, self.error = str(uuid.uuid4()), 0, time.monotonic(), None
        self.router = new_socket(zmq.ROUTER)
        self.router.router_mandatory = 1
        self.router.bind(bind)
        self.endpoint = self.router.last_endpoint.decode().replace("0.0.0.0", "*")
        self.methods = {"%s.%s" % (s, m): f for s, table in services.items() for m, f in table.items()}
        self.methods["weft.Worker.Ping"] = lambda: [self.uuid, int((time.monotonic() - self.started) * 1000)]
        self.link, self.peers = None, {}  # the broker; direct callers: routing id → [outbox, codec]
        self.pool, self.open, self.finished = ThreadPoolExecutor(threads), {}, 0
        self.done, self.registered, self.draining = queue.SimpleQueue(), threading.Event(), False
        self.wake_read, self.wake_write = os.pipe()
        self.credits, self.change = {}, threading.Condition()  # of streams, None: cancelled

    def start(self, timeout=5.0):
        """Runs in the background; returns once the broker has acknowledged the registration, or raises its refusal."""
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        if not self.registered.wait(timeout) or self.error:
            raise self.error or Error("CONNECT_TIMEOUT", self.broker)
        return self

    def stop(self):
        """Has it hand back what has not begun, finish the rest and say goodbye."""
        self.wake(None)
        if self.thread is not threading.current_thread():
            self.thread.join()

    def run(self):
        while not self.error and not (self.draining and not self.open and (not self.peers or time.monotonic() >= self.beat_at)):
            if self.link is None or self.link.lost:
                self.connect()
            self.turn()
        self.say_all(GOODBYE, "done")
        self.flush()
        self.pool.shutdown()
        self.router.close(200)
        self.link.close()

    def connect(self):
        if self.link:
            self.link.close()
            time.sleep(0.1)
        self.incarnation += 1
        self.sequence, self.tries, self.beat_at = 0, 0, time.monotonic() + 1
        self.link = Link(self.broker, "worker", self.codecs, self.name)
        self.register()

    def register(self):
        services = [[s, "1", [method_row(m, f) for m, f in table.items()]] for s, table in self.services.items()]
        self.link.add(REGISTER, self.uuid, self.incarnation, services, [self.endpoint], os.cpu_count(), {},
                      {"host": os.uname().nodename, "pid": os.getpid(), "capacity": self.threads})
        self.link.add(CREDIT, 0, 0 if self.draining else 2 * self.threads)

    def turn(self):
        """Sends what waits, then waits for messages, for calls that end, and for the time to beat."""
        self.flush()
        poller = zmq.Poller()
        for one in (self.link.socket, self.link.monitor, self.router, self.wake_read):
            poller.register(one, zmq.POLLIN)
        ready = dict(poller.poll(max(0, self.beat_at - time.monotonic()) * 1000))
        if self.wake_read in ready:
            os.read(self.wake_read, 4096)
            while not self.done.empty():
                self.finish(self.done.get())
        if self.router in ready:
            id, *frames = self.router.recv_multipart()
            peer = self.peers.setdefault(id, [Outbox(), None])
            try:
                for kind, *fields in decode(frames):
                    self.handle(kind, fields, peer)
                    if kind == GOODBYE:
                        self.peers.pop(id, None)
            except Malformed as fault:
                peer[0].add(REFUSED, INVALID, "malformed record: %s" % fault)
        for kind, *fields in self.link.receive(0):
            self.handle(kind, fields, [self.link, self.link.codec])
        if time.monotonic() >= self.beat_at and not self.draining:
            self.beat()

    def beat(self):
        """Sends the next beat, or the last one again when it was not answered; after three tries, gives the broker up."""
        self.sequence, self.tries = self.sequence + (self.tries == 0), self.tries + 1
        if self.tries > 3:
            self.link.lost = True
        elif self.sequence:
            self.link.add(BEAT, self.sequence, [len(self.open), self.threads, 0, self.finished])
        self.beat_at = time.monotonic() + 1

    def handle(self, kind, fields, peer):
        out, codec = peer
        if kind == HELLO:
            self.hello(peer, *fields[:7])
        elif codec is None and kind in SHAPES:
            out.add(REFUSED, INVALID, "say HELLO first")
        elif kind == REQUEST:
            self.request(out, codec, *fields[:5])
        elif kind in (CREDIT, CANCEL) and (out, fields[0]) in self.credits:
            with self.change:  # a stream that was cancelled gets none any more
                had = self.credits[out, fields[0]]
                self.credits[out, fields[0]] = None if kind == CANCEL or had is None else had + fields[1]
                self.change.notify_all()
        elif kind == CANCEL and (out, fields[0]) in self.open and self.open[out, fields[0]].cancel():
            self.reply(out, fields[0], Error("CANCELLED", "not begun", 0))
        elif kind == BEAT_OK and out is self.link:
            self.tries, self.beat_at = 0, time.monotonic() + fields[1] / 1000
            self.registered.set()
        elif kind == REFUSED and out is self.link and self.sequence == 0:
            self.error = Error(*fields[:2])  # the registration
            self.registered.set()
        elif kind == REFUSED and out is self.link and fields[0] == NO_WORKERS:
            self.link.lost = True  # it does not know us any more
        elif kind == DRAINING and out is self.link:
            self.link.lost = len(fields) < 2  # a broker that stops; with our UUID it is an order
            self.finish(None if fields[1:2] == [self.uuid] else ())

    def hello(self, peer, magic, lowest, highest, role, codecs, name, options={}):
        known = [codec for codec in codecs if codec in self.codecs]
        if magic != "weft":
            peer[0].add(REFUSED, INVALID, 'not weft: "%s"' % magic)
        elif not lowest <= 1 <= highest:
            peer[0].add(REFUSED, INVALID, "unknown version; known: 1")
        elif not known:
            peer[0].add(REFUSED, INVALID, "unknown codec %s; known: %s" % (json.dumps(codecs)[1:-1], ", ".join(self.codecs)))
        elif options.get("uuid", self.uuid) != self.uuid:
            peer[0].add(REFUSED, NO_WORKERS, "I am %s" % self.uuid)
        else:
            peer[1] = known[0]
            peer[0].add(WELCOME, 1, known[0], {"body": 2**24, "frames": FRAMES_MAX, "calls": 1000}, self.uuid, [])

    def request(self, out, codec, id, method, remaining_ms, body, options={}):
        codec = options.get("codec", codec)
        if self.draining:
            self.reply(out, id, Error("DRAINING", "going away"))
        elif method not in self.methods:
            self.reply(out, id, Error("UNIMPLEMENTED", "no method %s; known: %s" % (method, ", ".join(sorted(self.methods)))))
        elif codec not in CODECS:
            self.reply(out, id, Error("INVALID", 'unknown codec "%s"; known: %s' % (codec, ", ".join(CODECS))))
        elif inspect.isgeneratorfunction(self.methods[method]) != ("credit" in options):
            self.reply(out, id, Error("INVALID", "%s is %s stream" % (method, "no" if "credit" in options else "a"), 0))
        else:
            if "credit" in options:
                self.credits[out, id] = options["credit"]
            call = self.open[out, id] = self.pool.submit(self.serve, self.methods[method], codec, body, time.monotonic() + remaining_ms / 1000, (out, id))
            call.add_done_callback(lambda call: self.wake((out, id, call)))

    def send_items(self, codec, items, key, expires):
        """Runs on the pool: the items of a stream, as its caller asks for them; then an empty body."""
        for index, item in enumerate(items):
            with self.change:
                while (credit := self.credits[key]) is not None and credit <= 0 and time.monotonic() < expires and not self.draining:
                    self.change.wait(1)
                if credit is None or credit <= 0:
                    return Error("CANCELLED" if credit is None else "DRAINING" if self.draining else "DEADLINE_EXCEEDED", "after %d items" % index, 1)
                body = encode(codec, item)
                self.credits[key] -= item_credits(body)
            self.wake((*key, (index, body)))
        return b""

    def serve(self, function, codec, body, expires, key):
        """Runs on the pool: the body of the reply, or an Error."""
        if time.monotonic() >= expires:
            return Error("DEADLINE_EXCEEDED", "expired before it began", 0)
        try:
            args, signature = decoded(codec, body), inspect.signature(function)
            names = list(signature.parameters)
            args = dict(zip(names, args)) if isinstance(args, list) else args or {}
            call = signature.bind(**{key: value for key, value in args.items() if key in names})
        except (TypeError, ValueError, AttributeError) as wrong:
            return Error("INVALID", "reading body: %s" % wrong)
        try:
            result = function(*call.args, **call.kwargs)
            return self.send_items(codec, result, key, expires) if inspect.isgenerator(result) else encode(codec, result)
        except Error as error:
            return error
        except Exception as error:
            return Error("APP_ERROR", "%s: %s" % (type(error).__name__, error))

    def wake(self, what):
        self.done.put(what)
        os.write(self.wake_write, b"x")

    def finish(self, what):
        """Answers a call that ended; None begins the drain."""
        if what:
            out, id, call = what
            if isinstance(call, tuple):
                out.add(ITEM, id, *call)
            elif self.open.get((out, id)) is call and not call.cancelled():
                self.finished += 1
                self.reply(out, id, call.result())
        elif what is None and not self.draining:
            self.draining, self.beat_at = True, time.monotonic() + 1  # so long for direct callers to say goodbye
            self.say_all(DRAINING, "told to stop")
            for (out, id), call in list(self.open.items()):
                if call.cancel():
                    self.reply(out, id, Error("DRAINING", "not begun"))

    def reply(self, out, id, result):
        self.open.pop((out, id), None)
        self.credits.pop((out, id), None)
        if not isinstance(result, Error):
            return out.add(REPLY, id, 0, result)
        info = dict(executed=result.executed, origin=3 if result.status == "APP_ERROR" else 2, text=result.text, code=result.code)
        out.add(REPLY, id, STATUS.index(result.status), b"", {key: value for key, value in info.items() if value != "" and (key, value) != ("code", 0)})

    def say_all(self, kind, text):
        for out in [self.link] * (kind == DRAINING) + [out for out, codec in self.peers.values() if codec]:
            out.add(kind, text)

    def flush(self):
        self.link.flush()
        for id, (out, _) in list(self.peers.items()):
            if out.records:
                try:
                    self.router.send_multipart([id, *out.take()], zmq.DONTWAIT)
                except zmq.ZMQError:
                    del self.peers[id]  # it is gone
