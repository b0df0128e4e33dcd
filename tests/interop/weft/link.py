# SPDX-License-Identifier: MPL-2.0
"""Connections, the codecs of bodies, and how a call fails."""

import itertools
import json

import msgpack
import zmq

from .wire import *

INVALID, NO_WORKERS = STATUS.index("INVALID"), STATUS.index("NO_WORKERS")
CODECS = {"msgpack": (lambda x: msgpack.packb(x, use_bin_type=True), lambda b: msgpack.unpackb(b, raw=False)),
          "json": (lambda x: json.dumps(x).encode(), json.loads), "raw": (bytes, bytes)}


def encode(codec, value):
    return b"" if value is None else CODECS[codec][0](value)


def decoded(codec, body):
    return CODECS[codec][1](body) if body else None


class Error(Exception):
    """How a call failed: the status's name, text, executed (0 no, 1 maybe, 2 yes), origin, the application's own code."""

    def __init__(self, status, text="", executed=None, code=0, origin=None, **info):
        self.status = status if status in STATUS else STATUS[status] if status < len(STATUS) else "INTERNAL"
        self.text, self.code, self.origin, self.info = text, code, origin, info
        self.executed = RAN.get(self.status, 0) if executed is None else executed
        super().__init__("%s: %s" % (self.status, text))


def new_socket(kind):
    socket = zmq.Context.instance().socket(kind)
    socket.linger, socket.heartbeat_ivl, socket.heartbeat_timeout = 0, 1000, 3000
    return socket


class Link(Outbox):
    """A connection to a broker or worker. HELLO leaves with the first message. When `lost`, make another."""

    def __init__(self, endpoint, role="client", codecs=("msgpack",), name="python", options=None, versions=(1, 1), hello=True):
        super().__init__()
        self.socket = new_socket(zmq.DEALER)
        self.socket.reconnect_ivl = -1
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
        self.socket.connect(endpoint)
        self.codec, self.lost, self.welcome, self.ids, self.late = codecs[0], False, None, itertools.count(1), 0
        if hello:
            self.add(HELLO, "weft", *versions, role, list(codecs), name, *([options] if options else []))

    def flush(self):
        if self.records:
            try:
                self.socket.send_multipart(self.take(), zmq.DONTWAIT)
            except zmq.Again:  # nobody is there, or nobody reads
                self.lost = True

    def receive(self, timeout):
        """The next message's records; [] when none came within `timeout` seconds or the peer is gone."""
        poller, records = zmq.Poller(), []
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.monitor, zmq.POLLIN)
        ready = dict(poller.poll(max(0, timeout) * 1000))
        if self.socket not in ready:
            self.lost = self.lost or self.monitor in ready
            return []
        try:
            for record in decode(self.socket.recv_multipart()):
                if record[0] == WELCOME:
                    self.welcome, self.codec = record[1:], record[2]
                elif record[0] in (DRAINING, GOODBYE) or record[0] == REFUSED and not self.welcome:
                    self.lost = True  # not for new requests
                records.append(record)
        except Malformed as fault:
            self.add(REFUSED, INVALID, "malformed record: %s" % fault)
        return records

    def close(self):
        """Says goodbye, if there is still somebody to hear it."""
        if self.socket.closed:
            return
        self.add(GOODBYE, "done")
        self.flush()
        self.socket.linger = 200
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()
