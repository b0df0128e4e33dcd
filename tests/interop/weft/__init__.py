# SPDX-License-Identifier: MPL-2.0
"""A small weft client and worker, written from common/PROTOCOL.md alone. Needs python3-zmq and python3-msgpack.

    client = weft.Client("tcp://127.0.0.1:5555")
    client.call("Arith.Add", [2, 3])                    # straight to a worker
    client.call("Arith.Add", [2, 3], via="broker")      # or routed

    def hello(name: str) -> str:
        return "hello, " + name
    weft.Worker("tcp://127.0.0.1:5555", {"Greet": {"Hello": hello}}).run()

Made to be read and to test with: a client belongs to one thread, takes workers in turn, and retries nothing.

wire.py has the records, link.py the connections, client.py and worker.py the two sides."""

from .client import Client
from .link import Error, Link
from .worker import Worker, idempotent
