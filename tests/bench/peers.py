# SPDX-License-Identifier: MPL-2.0
"""Who is measured, and at what: the peers and the cells."""

import os
import shutil

from meter import Chain

LIMIT = "raw libzmq (limit)"
CLIENTS = 100


class Cell:
    """One piece of work in one shape. `word` asks weft's loader for something that only it has."""

    def __init__(self, name, title, outstanding, window_s=1.0, clients=1, word="", handler_us=0, quick=False):
        self.name, self.title, self.outstanding, self.window_s, self.clients = name, title, outstanding, window_s, clients
        self.word, self.handler_us, self.quick = word, handler_us, quick
        self.echo = {"echo1k": 1024, "echo64k": 65536}.get(name.split("/")[0], 0)
        self.warm_s = 0.3 if clients == 1 else 0.5


def _plain_cells():
    cells = []
    for work, title in (("add", "add"), ("echo1k", "echo of 1 KiB"), ("echo64k", "echo of 64 KiB")):
        add = work == "add"
        cells += [
            Cell(work + "/1", title + ", 1 outstanding", 1, 1.5 if add else 0.8, quick=add),
            Cell(work + "/64", title + ", 64 outstanding", 64, 1.5 if add else 0.8, quick=True),
            Cell(work + "/512", title + ", 512 outstanding", 512, 1.0 if add else 0.8),
        ]
        if add:
            cells.append(Cell("add/1024", "add, 1024 outstanding", 1024, 1.5, quick=True))
        cells.append(Cell(work + "/clients", "%s, %d clients with 1 outstanding each" % (title, CLIENTS), 1, 1.0,
                          clients=CLIENTS, quick=add))
    return cells


CELLS = _plain_cells() + [
    Cell("add/8x8", "add, 8 threads with 8 outstanding each on one client (limit: one thread with 64)", 64,
         word="threads", quick=True),
    Cell("add/window", "add, one thread with 64 handles that it waits for in order (limit: as it comes)", 64,
         word="window", quick=True),
    Cell("add20/64", "add with a handler of 20 µs, 64 outstanding (limit: run by the one thread that reads)", 64,
         handler_us=20, quick=True),
    Cell("slow/1", "add, 1 outstanding, while a call of 100 ms is always under way", 1, word="slow", quick=True),
    Cell("slow/64", "add, 64 outstanding, while a call of 100 ms is always under way", 64, word="slow", quick=True),
]


class Peer:
    """`client` is the loader's command; `{options}` in it are those of the cell. `cells` are the ones it takes part in;
    without, all that need nothing special. `handler_chain` serves the cells with a handler that takes time."""

    def __init__(self, group, name, chain, client, cells=None, words=None, handler_chain=None, missing=""):
        self.group, self.name, self.chain, self.client = group, name, chain, client
        self.cells, self.words, self.handler_chain, self.missing = cells, words, handler_chain, missing

    def takes_part(self, cell):
        if self.cells is not None:
            return cell.name in self.cells
        if cell.handler_us:
            return self.handler_chain is not None
        return not cell.word or self.words is not None

    def chain_for(self, cell):
        return self.handler_chain if cell.handler_us else self.chain

    def command(self, cell):
        options = ["--outstanding %d" % cell.outstanding]
        if cell.echo:
            options.append("--echo %d" % cell.echo)
        if self.words:
            quiet = cell.word == "slow" and self.name == QUIET
            options.append("--option " + ",".join(self.words + ([cell.word] if cell.word and not quiet else [])))
        return self.client.replace("{options}", " ".join(options))


QUIET = "weft, nothing slow"
SLOW_CELLS = {"slow/1", "slow/64"}


def _has(*words):
    return all(shutil.which(word) for word in words)


def all_peers(programs, peers, wrong_each=0):
    """The peers, with the programs of weft's build folder `programs` and the peers' own `peers`."""
    weft, zmq = os.path.join(programs, "tests/bench/bench_weft"), os.path.join(programs, "tests/bench/bench_zmq")
    broker = os.path.join(programs, "weft-broker") + " --bind tcp://{at}"
    wrong = " --wrong %d" % wrong_each if wrong_each else ""
    tcp = " tcp://{at}"

    def mesh(options=""):
        return Chain(broker, weft + options + wrong + " worker" + tcp)

    mesh_tcp, mesh_own = mesh(" --option tcp://127.0.0.1:*"), mesh()
    mesh_handler = mesh(" --option tcp://127.0.0.1:* --handler 20")
    call_weft, call_zmq = weft + " {options} client" + tcp, zmq + " {options} client" + tcp

    def raw(handler=""):
        return Chain(zmq + handler + " server" + tcp)

    def raw_routed(handler=""):
        return Chain(zmq + " broker" + tcp, zmq + handler + " worker" + tcp)

    def limit(group, chain, handler_chain):
        cells = {cell.name for cell in CELLS} - SLOW_CELLS
        return Peer(group, LIMIT, chain, call_zmq, cells=cells, handler_chain=handler_chain)

    def other(group, name, program, address, needs, server_options="", client_options="", before=(), cells=None):
        path = os.path.join(peers, program)
        chain = Chain(*before, "%s%s server %s" % (path, server_options, address))
        missing = "" if _has(path, *(command.split()[0] for command in before)) else needs
        return Peer(group, name, chain, "%s%s {options} client %s" % (path, client_options, address), cells, missing=missing)

    def nats(name, options):
        server = "nats-server -a 127.0.0.1 -p {port}"
        return other("routed", name, "bench_nats", "nats://{at}", "nats-server and libnats-dev", options, options,
                     before=(server,))

    adds = {"add/1", "add/64", "add/512", "add/1024", "add/clients"}
    return [
        limit("direct", raw(), raw(" --handler 20")),
        Peer("direct", "weft", mesh_tcp, call_weft, words=["direct"], handler_chain=mesh_handler),
        Peer("direct", "weft, ipc", mesh_own, call_weft, words=["direct"],
             cells={"add/1", "add/64", "add/1024", "echo64k/64"}),
        Peer("direct", QUIET, mesh_tcp, call_weft, words=["direct"], cells=SLOW_CELLS),
        other("direct", "epoll, no RPC", "bench_epoll", "{at}", "a C compiler", cells=adds),
        other("direct", "czmq", "bench_czmq", "tcp://{at}", "libczmq-dev and libmsgpack-dev", cells=adds),
        other("direct", "nng", "bench_nng", "tcp://{at}", "libnng-dev"),
        other("direct", "gRPC C++", "bench_grpc", "{at}", "g++, libgrpc++-dev, protobuf-compiler and protobuf-compiler-grpc"),
        other("direct", "Go net/rpc", "bench_netrpc", "{at}", "golang-go"),
        other("direct", "Cap'n Proto", "bench_capnp", "{at}", "g++, libcapnp-dev and capnproto"),
        limit("routed", raw_routed(), raw_routed(" --handler 20")),
        Peer("routed", "weft", mesh_tcp, call_weft, words=["broker"], handler_chain=mesh_handler),
        Peer("routed", QUIET, mesh_tcp, call_weft, words=["broker"], cells=SLOW_CELLS),
        nats("NATS, at once", " --option asap"),
        nats("NATS, buffered", ""),
    ]
