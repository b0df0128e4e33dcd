# SPDX-License-Identifier: MPL-2.0
"""The client: finds workers at the broker's registry, calls them straight or through the broker."""

import itertools
import time

from .link import *

WORKER_ROW = "uuid incarnation services endpoints cores capacity in_flight state name host pid age_ms".split()


class Client:
    def __init__(self, broker, codec="msgpack", name="python"):
        self.broker, self.codec, self.name = broker, codec, name
        self.links, self.turns = {}, itertools.count()

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

    def workers(self, service=None, timeout=5.0):
        """The live workers (of a service), as dicts."""
        rows, more = [], True
        while more:
            after = rows[-1][0] if rows else None
            reply = self.call("weft.Registry.List", {"service": service, "services_after": "~", "workers_after": after}, timeout, "broker", codec="msgpack")
            rows += reply[2]
            more = reply[3:4] == [True]
        return [dict(zip(WORKER_ROW, row)) for row in rows]

    def call(self, method, args=None, timeout=5.0, via="direct", worker=None, **options):
        """The result of one call; raises Error. `worker`: only this one, by UUID."""
        outcome = self.call_many([(method, args)], timeout, via, worker, **options)[0]
        if isinstance(outcome, Error):
            raise outcome
        return outcome

    def call_many(self, calls, timeout=5.0, via="direct", worker=None, **options):
        """Makes all calls, [(method, args)…], in one message to one peer; their results or Errors in the same order."""
        deadline = time.monotonic() + timeout
        link, lost, options = self.route(calls[0][0], timeout, via, worker, options)
        codec, outcomes, open_ = options.get("codec", self.codec), [None] * len(calls), {}
        for i, (method, args) in enumerate(calls):
            id = next(link.ids)
            open_[id] = i
            link.add(REQUEST, id, method, max(0, int((deadline - time.monotonic()) * 1000)), encode(codec, args), *([options] if options else []))
        link.flush()
        while open_:
            records = link.receive(deadline - time.monotonic())
            for kind, *fields in records:
                if kind == REPLY and fields[0] in open_:
                    outcomes[open_.pop(fields[0])] = self.outcome(codec, *fields[1:])
                elif kind == REPLY:
                    link.late += 1
                elif kind == REFUSED:
                    return [Error(*fields[:2]) if outcome is None else outcome for outcome in outcomes]
            if not records and open_:
                for id in open_:
                    outcomes[open_[id]] = Error(lost if link.lost else "DEADLINE_EXCEEDED", "no answer to %s" % calls[open_[id]][0])
                    link.add(CANCEL, id)
                link.flush()
                break
        return outcomes

    def route(self, method, timeout, via, worker, options):
        """Whom to ask: the connection, the status if it breaks, and the options to send."""
        if via == "broker":
            return self.link(self.broker), "BROKER_LOST", {**options, "worker": worker} if worker else options
        service = method.rpartition(".")[0]
        rows = [row for row in self.workers(None if worker else service, timeout)
                if row["endpoints"] and row["state"] not in ("draining", "gone") and worker in (None, row["uuid"])]
        if not rows:
            raise Error("NO_WORKERS", "nobody serves %s directly" % service)
        row = rows[next(self.turns) % len(rows)]
        return self.link(row["endpoints"][0], row["uuid"]), "WORKER_LOST", options

    @staticmethod
    def outcome(codec, status, body, info={}, *later):
        return decoded(codec, body) if status == 0 else Error(status, **info)

    def stream(self, method, args=None, timeout=None, via="direct", worker=None, window=64, **options):
        """Yields the items of a stream; raises Error when it ends otherwise than OK. Asks for more when half the window was taken. `timeout`:
        in seconds, for all of it. One at a time: between two items nothing else is read from that connection."""
        deadline = None if timeout is None else time.monotonic() + timeout
        link, lost, options = self.route(method, 5.0, via, worker, {**options, "credit": window})
        codec, id, index, credit = options.get("codec", self.codec), next(link.ids), 0, window  # an item may use more than there is
        link.add(REQUEST, id, method, NO_DEADLINE if timeout is None else int(timeout * 1000), encode(codec, args), options)
        link.flush()
        try:
            while True:
                records = link.receive(1.0 if deadline is None else deadline - time.monotonic())
                for kind, *fields in records:
                    if kind == ITEM and fields[0] == id:
                        if fields[1] != index or credit <= 0:
                            raise Error("INTERNAL", "item %d came instead of item %d" % (fields[1], index))
                        index += 1
                        credit -= item_credits(fields[2])
                        yield decoded(codec, fields[2])
                        if credit <= window // 2:
                            link.add(CREDIT, id, window - credit)
                            credit = window
                            link.flush()
                    elif kind == REPLY and fields[0] == id:
                        id = None
                        if isinstance(end := self.outcome(codec, *fields[1:]), Error):
                            raise end
                        return
                if not records and (link.lost or deadline is not None and time.monotonic() >= deadline):
                    raise Error(lost if link.lost else "DEADLINE_EXCEEDED", "after %d items" % index)
        finally:
            if id:
                link.add(CANCEL, id)
                link.flush()

    def watch(self, service, timeout=5.0):
        """Yields (full, rows) whenever the workers of a service change, until nothing did for `timeout` seconds. A list that comes
        in parts is yielded when it is whole, with what changed meanwhile."""
        listed, revision = {}, 0
        link = self.link(self.broker)
        mine = next(link.ids)
        link.add(REQUEST, mine, "weft.Registry.Watch", NO_DEADLINE, encode("msgpack", [service]), {"codec": "msgpack"})
        link.flush()
        try:
            while records := link.receive(timeout):
                for kind, *fields in records:
                    if kind == ITEM and fields[0] == mine:
                        now, previous, full, rows, _, *more = decoded("msgpack", fields[2])
                        if previous != revision:
                            raise Error("INTERNAL", "a change was missed")
                        rows, revision = [dict(zip(WORKER_ROW, row)) for row in rows], now
                        if listed is None:
                            yield full, rows
                            continue
                        listed.update((row["uuid"], row) for row in rows)
                        if full and more[:1] != [True]:
                            whole, listed = [row for row in listed.values() if row["state"] != "gone"], None
                            yield True, whole
                    elif kind == REPLY and fields[0] == mine:
                        raise self.outcome("msgpack", *fields[1:]) or Error("CANCELLED")
        finally:
            link.add(CANCEL, mine)
            link.flush()
