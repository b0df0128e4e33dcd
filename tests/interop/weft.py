# SPDX-License-Identifier: MPL-2.0
"""A small weft client and worker, written from common/PROTOCOL.md alone. Needs python3-zmq and python3-msgpack.

    client = weft.Client("tcp://127.0.0.1:5555")
    client.call("Arith.Add", [2, 3])                    # straight to a worker
    client.call("Arith.Add", [2, 3], via="broker")      # or routed

    def hello(name: str) -> str:
        return "hello, " + name
    weft.Worker("tcp://127.0.0.1:5555", {"Greet": {"Hello": hello}}).run()

Meant to be read and to test with; one thread per client, no retries, no balancing but round robin."""

import inspect, itertools, json, os, queue, struct, threading, time, uuid
from concurrent.futures import ThreadPoolExecutor

import msgpack
import zmq

HELLO, WELCOME, REFUSED, REQUEST, REPLY, ITEM, CREDIT, CANCEL, REGISTER, BEAT, BEAT_OK, DRAINING, GOODBYE = range(1, 14)
STATUS = ("OK CANCELLED APP_ERROR INVALID DEADLINE_EXCEEDED HANDLER_TIMEOUT CONNECT_TIMEOUT NO_SERVICE NO_WORKERS UNIMPLEMENTED PERMISSION_DENIED "
          "UNAUTHENTICATED OVERLOADED TOO_LARGE DRAINING WORKER_LOST BROKER_LOST SHUTDOWN INTERNAL").split()
EXECUTED = dict(OK=2, APP_ERROR=2, HANDLER_TIMEOUT=2, CANCELLED=1, DEADLINE_EXCEEDED=1, WORKER_LOST=1, BROKER_LOST=1, SHUTDOWN=1, INTERNAL=1)
CODECS = {"msgpack": (lambda x: msgpack.packb(x, use_bin_type=True), lambda b: msgpack.unpackb(b, raw=False)),
          "json": (lambda x: json.dumps(x).encode(), lambda b: json.loads(b) if b else None), "raw": (bytes, bytes)}
NO_DEADLINE, INLINE_MAX, NESTING_MAX, ELEMENTS_MAX, FRAMES_MAX = 2**32 - 1, 4096, 16, 65536, 64


class Error(Exception):
    """How a call failed: status and its name, text, executed (0 no, 1 maybe, 2 yes), the application's code."""

    def __init__(self, status, text="", executed=None, code=0):
        self.status = status if status in STATUS else STATUS[status] if status < len(STATUS) else "INTERNAL"
        self.text, self.code = text, code
        self.executed = EXECUTED.get(self.status, 0) if executed is None else executed
        super().__init__("%s: %s" % (self.status, text))


class Malformed(ValueError):
    """A record that must be dropped; its text is the fault's class in tests/golden/README.md."""


# Reading. Sizes are checked before msgpack sees a byte, so that no count makes it allocate.

SCALARS = {0xc0: 0, 0xc2: 0, 0xc3: 0, 0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8,
           0xd4: 2, 0xd5: 3, 0xd6: 5, 0xd7: 9, 0xd8: 17}
SIZED = {0xc4: (1, 0), 0xc5: (2, 0), 0xc6: (4, 0), 0xd9: (1, 0), 0xda: (2, 0), 0xdb: (4, 0), 0xc7: (1, 1), 0xc8: (2, 1), 0xc9: (4, 1)}
COUNTED = {0xdc: (2, 1), 0xdd: (4, 1), 0xde: (2, 2), 0xdf: (4, 2)}


def measure(data, at):
    """Where the record that begins at `at` ends."""
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
        width, unit = COUNTED.get(code, (0, 2 if code < 0x90 else 1 if code < 0xa0 else 0))
        count = code & 15 if width == 0 else int.from_bytes(data[at:at + width], "big")
        if code in SIZED:
            width, extra = SIZED[code]
            at += int.from_bytes(data[at:at + width], "big") + extra
        elif 0xa0 <= code <= 0xbf:
            at += code & 31
        at += width + SCALARS.get(code, 0)
        if at > len(data):
            raise Malformed("truncated")
        if code in COUNTED or 0x80 <= code <= 0x9f:
            if count * unit > len(data) - at:
                raise Malformed("count")
            if len(pending) > NESTING_MAX + 1:
                raise Malformed("nesting")
            elements = elements + count * unit if len(pending) > 2 else 0 if len(pending) == 1 else count * unit
            if elements > ELEMENTS_MAX:
                raise Malformed("elements")
            pending.append(count * unit)
    return at


class Uint: pass
class Body: pass
class Bytes: pass  # bin or str
class Any: pass


TEXTS = {str: str}
METHODS = [(str, Uint, Any, Any)]
OPTIONS = dict(codec=str, worker=str, key=Bytes, request_key=Bytes, trace=str, meta=TEXTS, priority=int, hops=Uint)
INFO = dict(executed=Uint, origin=Uint, text=str, code=int, retry_after_ms=Uint, broker_us=Uint, queue_us=Uint, handler_us=Uint)
SHAPES = {  # the fields after the kind; a tuple is an array of these and perhaps more, a dict a map with these and other keys
    HELLO: (str, Uint, Uint, str, [str], str, {"uuid": str}), WELCOME: (Uint, str, dict(body=Uint, frames=Uint, calls=Uint), str, [str]),
    REFUSED: (Uint, str), REQUEST: (Uint, str, Uint, Body, OPTIONS), REPLY: (Uint, Uint, Body, INFO), ITEM: (Uint, Uint, Body),
    CREDIT: (Uint, Uint), CANCEL: (Uint,), BEAT: (Uint, (Uint, Uint, Uint, Uint), {}), BEAT_OK: (Uint, Uint, Uint, [str]),
    REGISTER: (str, Uint, [(str, str, METHODS)], [str], Uint, TEXTS, dict(host=str, pid=Uint, capacity=Uint)), DRAINING: (str,), GOODBYE: (str,)}
OPTIONAL_LAST = {HELLO, REQUEST, REPLY, REGISTER, BEAT}


def check(value, shape, optional=0):
    if isinstance(shape, tuple):
        if not isinstance(value, list):
            raise Malformed("type")
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
    elif not (shape is Any or shape is str and isinstance(value, str) or shape is Bytes and isinstance(value, (bytes, str))
              or shape is Body and (value is None or isinstance(value, bytes))
              or shape in (int, Uint) and type(value) is int and (shape is int or value >= 0)):
        raise Malformed("type")


def decode(frames):
    """Yields the records of a message as lists, kind first, attached bodies put in. Raises Malformed after the good ones."""
    data, attachments, at = frames[0], iter(frames[1:]), 0
    if not data or len(frames) > FRAMES_MAX:
        raise Malformed("frames" if data else "empty")
    while at < len(data):
        if not (0x90 <= data[at] <= 0x9f or data[at] in (0xdc, 0xdd)):
            raise Malformed("byte" if data[at] == 0xc1 else "array")
        end = measure(data, at)
        record = msgpack.unpackb(data[at:end], raw=False, unicode_errors="surrogateescape", strict_map_key=False,
                                 object_pairs_hook=lambda pairs: {k if isinstance(k, str) else None: v for k, v in pairs})
        at = end
        if not record:
            raise Malformed("missing")
        if type(record[0]) is not int or record[0] < 0:
            raise Malformed("kind")
        shape = SHAPES.get(record[0], ())
        check(record[1:], shape, record[0] in OPTIONAL_LAST)
        if record[0] == REQUEST and record[3] > NO_DEADLINE:
            raise Malformed("type")
        if Body in shape and record[shape.index(Body) + 1] is None:
            record[shape.index(Body) + 1] = body = next(attachments, None)
            if body is None:
                raise Malformed("attachment")
        yield record


# Writing.

class Outbox:
    """What waits for one peer: it leaves as one message."""

    def __init__(self):
        self.records, self.attachments = b"", []

    def add(self, kind, *fields):
        packer, out = msgpack.Packer(use_bin_type=True), [bytes([0x91 + len(fields), kind])]
        for position, field in enumerate(fields):
            if isinstance(field, bytes) and len(field) > INLINE_MAX:
                self.attachments.append(field)
                field = None
            if position == 0 and kind in (REQUEST, REPLY, ITEM, CREDIT, CANCEL):
                out.append(struct.pack(">BQ", 0xcf, field))
            elif position == 2 and kind == REQUEST:
                out.append(struct.pack(">BI", 0xce, field))
            else:
                out.append(packer.pack(field))
        self.records += b"".join(out)

    def take(self):
        frames, self.records, self.attachments = [self.records, *self.attachments], b"", []
        return frames


def heartbeats(socket):
    socket.linger, socket.heartbeat_ivl, socket.heartbeat_timeout = 0, 1000, 3000
    return socket


class Link(Outbox):
    """A connection to a broker or worker: HELLO goes out with its first message. It is used once; `lost` tells when to make another."""

    def __init__(self, endpoint, role="client", codecs=("msgpack",), name="python", options=None, versions=(1, 1)):
        super().__init__()
        self.socket = heartbeats(zmq.Context.instance().socket(zmq.DEALER))
        self.socket.reconnect_ivl = -1
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
        self.socket.connect(endpoint)
        self.codec, self.lost, self.welcome, self.ids, self.late = codecs[0], False, None, itertools.count(1), 0
        self.add(HELLO, "weft", *versions, role, list(codecs), name, *([options] if options else []))

    def flush(self):
        if self.records:
            self.socket.send_multipart(self.take())

    def receive(self, timeout):
        """The next message's records; [] when none came within `timeout` seconds or the link was lost."""
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.monitor, zmq.POLLIN)
        ready = dict(poller.poll(max(0, timeout) * 1000))
        if self.socket not in ready:
            self.lost = self.lost or self.monitor in ready
            return []
        records = list(decode(self.socket.recv_multipart()))
        for record in records:
            if record[0] == WELCOME:
                self.welcome, self.codec = record, record[2]
        return records

    def close(self):
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)


# Client.

SERVICE_ROW = "name version workers capacity in_flight queued".split()
WORKER_ROW = "uuid incarnation services endpoints cores capacity in_flight state name host pid age_ms".split()


class Client:
    def __init__(self, broker, codec="msgpack", name="python"):
        self.endpoint, self.codec, self.name = broker, codec, name
        self.links, self.turn = {}, itertools.count()

    def close(self):
        while self.links:
            self.links.popitem()[1].close()

    def link(self, endpoint, worker=None):
        """The connection to an endpoint, made when there is none or it was lost."""
        if endpoint in self.links and self.links[endpoint].lost:
            self.links.pop(endpoint).close()
        if endpoint not in self.links:
            self.links[endpoint] = Link(endpoint, "client", [self.codec], self.name, {"uuid": worker} if worker else None)
        return self.links[endpoint]

    def workers(self, service, timeout=5.0):
        """The live workers of a service, as dicts."""
        rows = self.call("weft.Registry.List", [service], timeout, "broker")[2] if self.codec == "msgpack" else \
            self.call("weft.Registry.List", {"service": service}, timeout, "broker")["workers"]
        return [dict(zip(WORKER_ROW, row)) if isinstance(row, list) else row for row in rows]

    def call(self, method, args=None, timeout=5.0, via="direct", worker=None, **options):
        """The result of one call; raises Error. `worker`: only this one, by UUID."""
        outcome = self.call_many([(method, args)], timeout, via, worker, **options)[0]
        if isinstance(outcome, Error):
            raise outcome
        return outcome

    def call_many(self, calls, timeout=5.0, via="direct", worker=None, **options):
        """Makes all calls, [(method, args)…], in one message; their results or Errors in the same order. Direct ones all go to one worker."""
        deadline = time.monotonic() + timeout
        if via == "direct":
            rows = [row for row in self.workers(calls[0][0].rpartition(".")[0], timeout)
                    if row["endpoints"] and row["state"] in ("alive", "suspect") and worker in (None, row["uuid"])]
            if not rows:
                return [Error("NO_WORKERS", "nobody serves it directly")] * len(calls)
            row = rows[next(self.turn) % len(rows)]
            link, lost = self.link(row["endpoints"][0], row["uuid"]), "WORKER_LOST"
        else:
            link, lost = self.link(self.endpoint), "BROKER_LOST"
            options.update({"worker": worker} if worker else {})
        codec = options.get("codec", self.codec)
        slots, outcomes = {}, [None] * len(calls)
        for i, (method, args) in enumerate(calls):
            slots[next(link.ids)] = i
            body = b"" if args is None else CODECS[codec][0](args)
            link.add(REQUEST, max(slots), method, max(0, int((deadline - time.monotonic()) * 1000)), body, *([options] if options else []))
        link.flush()
        while slots:
            records = link.receive(deadline - time.monotonic())
            for kind, *fields in records:
                if kind == REFUSED:
                    link.lost = link.lost or link.welcome is None
                    return [Error(*fields[:2]) if one is None else one for one in outcomes]
                if kind == REPLY and fields[0] in slots:
                    info = fields[3] if len(fields) > 3 else {}
                    outcomes[slots.pop(fields[0])] = (CODECS[codec][1](fields[2]) if fields[2] else None) if fields[1] == 0 else \
                        Error(fields[1], info.get("text", ""), info.get("executed"), info.get("code", 0))
                elif kind == REPLY:
                    link.late += 1
            if not records and slots:
                for id in slots:
                    outcomes[slots[id]] = Error(lost if link.lost else "DEADLINE_EXCEEDED", "no answer in %g s" % timeout)
                    link.add(CANCEL, id)
                link.flush()
                break
        return outcomes

    def watch(self, service, timeout=5.0):
        """Yields (full, rows) whenever the workers of a service change; ends when nothing changed for `timeout` seconds."""
        link = self.link(self.endpoint)
        id = next(link.ids)
        link.add(REQUEST, id, "weft.Registry.Watch", NO_DEADLINE, CODECS["msgpack"][0]([service]), {"codec": "msgpack"})
        link.flush()
        try:
            while records := link.receive(timeout):
                for kind, *fields in records:
                    if kind == ITEM and fields[0] == id:
                        _, _, full, rows = CODECS["msgpack"][1](fields[2])[:4]
                        yield full, [dict(zip(WORKER_ROW, row)) for row in rows]
                    elif kind == REFUSED or kind == REPLY and fields[0] == id:
                        raise Error(fields[0] if kind == REFUSED else fields[1], str(fields[-1]))
        finally:
            link.add(CANCEL, id)
            link.flush()


# Worker.

TYPES = {int: "int64", float: "double", bool: "bool", str: "string", bytes: "bytes", None: "none", inspect.Parameter.empty: "any"}


def idempotent(function):
    """Marks a method that may be run twice."""
    function.weft_flags = 1
    return function


def describe(name, function):
    """A method's row in REGISTER: its parameters are the struct of its arguments."""
    signature = inspect.signature(function)
    fields = [[p.name, TYPES.get(p.annotation, "any")] + [True] * (p.default is not p.empty) for p in signature.parameters.values()]
    return [name, getattr(function, "weft_flags", 0), ["struct", name, fields], TYPES.get(signature.return_annotation, "any")]


class Worker:
    """Serves {"Service": {"Method": function}}: directly at an endpoint of its own and through the broker."""

    def __init__(self, broker, services, name="python", bind="tcp://127.0.0.1:*", threads=4, codecs=("msgpack", "json")):
        self.broker, self.services, self.name, self.codecs, self.threads = broker, services, name, codecs, threads
        self.uuid, self.incarnation, self.stopping, self.error = str(uuid.uuid4()), 0, False, None
        self.registered = threading.Event()
        self.router = heartbeats(zmq.Context.instance().socket(zmq.ROUTER))
        self.router.router_mandatory = 1
        self.router.bind(bind)
        self.endpoint = self.router.last_endpoint.decode().replace("0.0.0.0", "*")
        self.methods = {"%s.%s" % (s, m): f for s, table in services.items() for m, f in table.items()}
        self.methods["weft.Worker.Ping"] = lambda: [self.uuid, 0]
        self.pool, self.done, self.open, self.finished = ThreadPoolExecutor(threads), queue.SimpleQueue(), {}, 0
        self.wake_read, self.wake_write = os.pipe()

    def start(self, timeout=5.0):
        """Runs in the background; returns once the broker has acknowledged the registration."""
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        if not self.registered.wait(timeout) or self.error:
            raise self.error or Error("CONNECT_TIMEOUT", self.broker)
        return self

    def stop(self):
        """Takes no more, finishes what has begun, says goodbye."""
        self.stopping = True
        os.write(self.wake_write, b"x")
        self.thread.join()

    def run(self):
        self.peers, self.link = {}, None  # of the router: routing id → [outbox, codec]
        while not (self.stopping and not self.open):
            if self.link is None or self.link.lost:
                self.connect()
            self.turn()
        self.say_all(GOODBYE, "done")
        self.flush()
        self.pool.shutdown()
        self.router.close(1000)
        self.link.socket.linger = 1000
        self.link.close()

    def connect(self):
        if self.link:
            self.link.close()
            time.sleep(0.1)
        self.incarnation += 1
        self.sequence, self.answered, self.beat_at = 0, False, time.monotonic() + 3
        self.link = Link(self.broker, "worker", self.codecs, self.name)
        services = [[s, "1", [describe(m, f) for m, f in table.items()]] for s, table in self.services.items()]
        self.link.add(REGISTER, self.uuid, self.incarnation, services, [self.endpoint], os.cpu_count(), {},
                      {"host": os.uname().nodename, "pid": os.getpid(), "capacity": self.threads})
        self.link.add(CREDIT, 0, 0 if self.stopping else 2 * self.threads)

    def turn(self):
        """One turn: sends what waits, then waits for messages, finished calls and the time of the next beat."""
        self.flush()
        poller = zmq.Poller()
        for one in (self.link.socket, self.link.monitor, self.router, self.wake_read):
            poller.register(one, zmq.POLLIN)
        ready = dict(poller.poll(max(0, self.beat_at - time.monotonic()) * 1000))
        if self.wake_read in ready:
            os.read(self.wake_read, 4096)
            self.finish()
        if self.router in ready:
            peer, *frames = self.router.recv_multipart()
            self.take(frames, self.peers.setdefault(peer, [Outbox(), None]))
        if self.link.socket in ready:
            self.take(self.link.socket.recv_multipart(), [self.link, self.link.codec])
        elif self.link.monitor in ready:
            self.link.lost = True
        if time.monotonic() >= self.beat_at:
            self.beat()

    def beat(self):
        self.link.lost = not self.answered  # the last one was not answered: connect anew
        self.sequence, self.answered, self.beat_at = self.sequence + 1, False, time.monotonic() + 3
        self.link.add(BEAT, self.sequence, [len(self.open), self.threads, 0, self.finished])

    def take(self, frames, peer):
        try:
            for record in decode(frames):
                self.handle(record[0], record[1:], peer)
        except Malformed as fault:
            peer[0].add(REFUSED, STATUS.index("INVALID"), "malformed record: %s" % fault)

    def handle(self, kind, fields, peer):
        out, codec = peer
        if kind == HELLO:
            known = [c for c in fields[4] if c in self.codecs]
            wrong = ((3, 'not weft: "%s"' % fields[0]) if fields[0] != "weft" else
                     (3, "unknown version; known: 1") if not fields[1] <= 1 <= fields[2] else
                     (3, "unknown codec %s; known: %s" % (", ".join('"%s"' % c for c in fields[4]), ", ".join(self.codecs))) if not known else
                     (8, "not that worker, but " + self.uuid) if (fields[6:] or [{}])[0].get("uuid", self.uuid) != self.uuid else None)
            if wrong:
                return out.add(REFUSED, *wrong)
            peer[1] = known[0]
            out.add(WELCOME, 1, known[0], {"body": 2**24, "frames": 64, "calls": 1000}, self.uuid, [])
        elif kind == WELCOME and out is self.link:
            out.codec = peer[1] = fields[1]
        elif kind == BEAT_OK and out is self.link:
            self.answered, self.beat_at = True, time.monotonic() + fields[1] / 1000
            self.registered.set()
        elif kind == REFUSED:
            if out is self.link and not self.registered.is_set():
                self.error, self.stopping = Error(*fields[:2]), True
                self.registered.set()
            elif out is self.link and fields[0] == STATUS.index("NO_WORKERS"):
                self.link.lost = True  # the broker does not know us: register again
        elif codec is None and kind in SHAPES:
            out.add(REFUSED, 3, "say HELLO first")
        elif kind == REQUEST:
            self.request(out, codec, *fields[:4], (fields[4:] or [{}])[0])
        elif kind == CANCEL and (out, fields[0]) in self.open and self.open[out, fields[0]].cancel():
            self.reply(out, fields[0], Error("CANCELLED", "not begun", 0))
        elif kind == DRAINING and out is self.link:
            pass

    def request(self, out, codec, id, method, remaining_ms, body, options):
        codec, expires = options.get("codec", codec), time.monotonic() + remaining_ms / 1000
        if self.stopping:
            return self.reply(out, id, Error("DRAINING", "going away"))
        if method not in self.methods:
            return self.reply(out, id, Error("UNIMPLEMENTED", "no method %s; known: %s" % (method, ", ".join(sorted(self.methods)))))
        if codec not in CODECS:
            return self.reply(out, id, Error("INVALID", 'unknown codec "%s"; known: %s' % (codec, ", ".join(CODECS))))
        call = self.open[out, id] = self.pool.submit(self.serve, self.methods[method], codec, body, expires)
        call.add_done_callback(lambda call: (self.done.put((out, id, call)), os.write(self.wake_write, b"x")))

    def serve(self, function, codec, body, expires):
        """Runs on the pool: the body of the reply, or an Error."""
        if time.monotonic() >= expires:
            return Error("DEADLINE_EXCEEDED", "expired before it began", 0)
        try:
            args = CODECS[codec][1](body) if body else None
            known = inspect.signature(function).parameters
            call = inspect.signature(function).bind(*args[:len(known)]) if isinstance(args, list) else \
                inspect.signature(function).bind(**{k: v for k, v in (args or {}).items() if k in known})
        except (TypeError, ValueError, AttributeError) as wrong:
            return Error("INVALID", "reading body: %s" % wrong)
        try:
            result = function(*call.args, **call.kwargs)
            return b"" if result is None else CODECS[codec][0](result)
        except Error as error:
            return error
        except Exception as error:
            return Error("APP_ERROR", "%s: %s" % (type(error).__name__, error))

    def finish(self):
        """Answers the calls that ended, and when stopping those that have not begun."""
        if self.stopping and self.link.records == b"" and not self.link.lost:
            self.say_all(DRAINING, "told to stop")
            for (out, id), call in list(self.open.items()):
                if call.cancel():
                    self.reply(out, id, Error("DRAINING", "not begun"))
        while not self.done.empty():
            out, id, call = self.done.get()
            if self.open.pop((out, id), None) and not call.cancelled():
                self.finished += 1
                self.reply(out, id, call.result())

    def reply(self, out, id, result):
        self.open.pop((out, id), None)
        if not isinstance(result, Error):
            return out.add(REPLY, id, 0, result)
        info = {"executed": result.executed, "origin": 3 if result.status == "APP_ERROR" else 2, "text": result.text}
        out.add(REPLY, id, STATUS.index(result.status), b"", dict(info, code=result.code) if result.code else info)

    def say_all(self, kind, text):
        for out in [self.link] + [out for out, codec in self.peers.values() if codec]:
            out.add(kind, text)

    def flush(self):
        self.link.flush()
        for peer, (out, _) in list(self.peers.items()):
            if out.records:
                try:
                    self.router.send_multipart([peer, *out.take()], zmq.DONTWAIT)
                except zmq.ZMQError:  # it is gone
                    del self.peers[peer]
