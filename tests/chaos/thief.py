# SPDX-License-Identifier: MPL-2.0
"""A broker's door that steals beats: what a worker says goes through but for its beats, as long as a file is there. The
connection itself is fine, so neither TCP nor the transport's own heartbeat notices anything.

    thief.py PORT HOST PORT FILE        listens at 127.0.0.1 and says "ready"; the other port is the broker's
"""

import os
import socket
import sys
import threading

GREETING = 64           # ZMTP's first bytes
MORE, LONG, COMMAND = 1, 2, 4
BEAT = 10               # PROTOCOL.md


def is_beat(frame):
    return len(frame) > 1 and frame[0] & 0xf0 == 0x90 and frame[1] == BEAT


class Reader:
    """The frames of one direction, each with its header."""

    def __init__(self, end):
        self.end, self.bytes = end, b""

    def take(self, size):
        while len(self.bytes) < size:
            new = self.end.recv(65536)
            if not new:
                raise ConnectionError
            self.bytes += new
        taken, self.bytes = self.bytes[:size], self.bytes[size:]
        return taken

    def frame(self):
        flags = self.take(1)
        size = self.take(8 if flags[0] & LONG else 1)
        return flags[0], flags + size, self.take(int.from_bytes(size, "big"))


def steal(worker, broker, path):
    reader = Reader(worker)
    for _ in range(GREETING):  # each end waits for parts of the other's
        broker.sendall(reader.take(1))
    first, stolen = True, False
    while True:
        flags, header, body = reader.frame()
        if flags & COMMAND:
            broker.sendall(header + body)
            continue
        if first:  # with what the worker says in the same message, which nobody misses
            stolen = is_beat(body) and os.path.exists(path)
        first = not flags & MORE
        if not stolen:
            broker.sendall(header + body)


def pass_on(broker, worker):
    while True:
        new = broker.recv(65536)
        if not new:
            raise ConnectionError
        worker.sendall(new)


def until_the_end(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        pass
    for end in arguments[:2]:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main():
    port, host, broker_port, path = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    door = socket.create_server(("127.0.0.1", port))
    print("ready", flush=True)
    while True:
        worker, _ = door.accept()
        broker = socket.create_connection((host, broker_port))
        for end in (worker, broker):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=until_the_end, args=(steal, worker, broker, path), daemon=True).start()
        threading.Thread(target=until_the_end, args=(pass_on, broker, worker), daemon=True).start()


if __name__ == "__main__":
    main()
