# SPDX-License-Identifier: MPL-2.0
"""What weft means to reach: each target a ratio within one round, of weft to the limit or to a peer."""

from results import middle
from peers import LIMIT, QUIET

GRPC, GO, NATS, NATS_BUFFERED = "gRPC C++", "Go net/rpc", "NATS, at once", "NATS, buffered"


class Target:
    def __init__(self, text, over, under, column, at_least=None, at_most=None):
        self.text, self.over, self.under, self.column = text, over, under, column
        self.at_least, self.at_most = at_least, at_most

    def wanted(self):
        return "≥ %g ×" % self.at_least if self.at_least is not None else "≤ %g ×" % self.at_most

    def judge(self, results):
        """(median, least, greatest, met), or None if it was not measured."""
        ratios = results.ratios(self.over, self.under, self.column)
        if not ratios:
            return None
        ratio, least, greatest = middle(ratios)
        met = ratio >= self.at_least if self.at_least is not None else ratio <= self.at_most
        return ratio, least, greatest, met


def _of_limit(group, text, cell, column, peer="weft", **bound):
    return Target("%s: %s" % (group, text), (group, peer, cell), (group, LIMIT, cell), column, **bound)


def _group(group, p50, at_64, at_1024, cpu_64, cpu_1024, threads):
    of_limit = lambda *args, **bound: _of_limit(group, *args, **bound)
    quiet = lambda cell: Target("%s: p99 beside a slow call, %s outstanding, to p99 without" % (group, cell.split("/")[1]),
                                (group, "weft", cell), (group, QUIET, cell), "p99_us", at_most=2)
    return [
        of_limit("a lone call's p50", "add/1", "p50_us", at_most=p50),
        of_limit("calls/s, 64 outstanding", "add/64", "calls_s", at_least=at_64),
        of_limit("calls/s, 1024 outstanding", "add/1024", "calls_s", at_least=at_1024),
        of_limit("CPU a call, 64 outstanding", "add/64", "cpu_us", at_most=cpu_64),
        of_limit("CPU a call, 1024 outstanding", "add/1024", "cpu_us", at_most=cpu_1024),
        of_limit("echo of 64 KiB, 64 outstanding, calls/s", "echo64k/64", "calls_s", at_least=1.0),
        of_limit("8 threads with 8 calls each on one client, calls/s", "add/8x8", "calls_s", at_least=threads),
        of_limit("handler of 20 µs, 64 outstanding, calls/s, to one thread that runs them inline", "add20/64", "calls_s",
                 at_least=1.7),
        quiet("slow/1"),
        quiet("slow/64"),
    ]


def _peer(text, group, cell, column, other, **bound):
    return Target("%s: %s" % (group, text), (group, "weft", cell), (group, other, cell), column, **bound)


TARGETS = _group("direct", 1.05, 1.15, 2, 0.9, 0.45, 0.6)
TARGETS.insert(1, _of_limit("direct", "a lone call's p50, ipc chosen by itself, to the limit over tcp", "add/1", "p50_us",
                            peer="weft, ipc", at_most=0.95))
TARGETS += _group("routed", 1.05, 1.3, 2, 0.8, 0.5, 0.7)
TARGETS += [
    _peer("calls/s to gRPC C++, 64 outstanding", "direct", "add/64", "calls_s", GRPC, at_least=6),
    _peer("calls/s to Go net/rpc, 64 outstanding", "direct", "add/64", "calls_s", GO, at_least=6),
    _peer("calls/s to gRPC C++, 1024 outstanding", "direct", "add/1024", "calls_s", GRPC, at_least=15),
    _peer("calls/s to Go net/rpc, 1024 outstanding", "direct", "add/1024", "calls_s", GO, at_least=15),
    _peer("calls/s to NATS sent at once, 64 outstanding", "routed", "add/64", "calls_s", NATS, at_least=5),
    _peer("calls/s to NATS buffered, 1024 outstanding", "routed", "add/1024", "calls_s", NATS_BUFFERED, at_least=3),
    _peer("beyond: a lone call's p50 to NATS sent at once", "routed", "add/1", "p50_us", NATS, at_most=1),
    _peer("beyond: a lone call's p50 to Go net/rpc", "direct", "add/1", "p50_us", GO, at_most=1),
]
