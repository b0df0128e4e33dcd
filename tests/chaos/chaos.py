# SPDX-License-Identifier: MPL-2.0
"""Runs rows, so many times each, and prints the table. `run` starts it, in namespaces of its own."""

import argparse
import collections
import os
import sys
import time

import history
import rows
import stage

COLUMNS = ("row", "fault", "how", "runs", "calls", "outcomes", "noticed_ms", "bound_ms", "void", "lost", "wrong")
SHOWN_MAX = 12  # of what was wrong in one run


class Total:
    """What all runs of a row add up to."""

    def __init__(self, row):
        self.row = row
        self.runs = self.calls = self.lost = self.wrong = self.void = 0
        self.items = self.hedged = 0
        self.outcomes = collections.Counter()
        self.noticed_ms = []
        self.missing = None  # what the machine lacks

    def add(self, case):
        self.runs += 1
        self.calls += len(case.history.calls)
        self.items += sum(call.items() for call in case.history.calls)
        self.hedged += case.history.hedged
        self.lost += case.history.lost
        self.wrong += len(case.history.wrong)
        self.void += bool(case.void)
        self.outcomes += case.history.outcomes()
        self.noticed_ms += case.noticed_ms

    def good(self):
        return not self.missing and self.runs > 0 and not (self.lost or self.wrong or self.void)

    def words(self):
        outcomes = " ".join("%s:%d" % pair for pair in self.outcomes.most_common())
        return (self.row.key, self.row.fault, self.row.how, self.runs, self.calls, self.missing or outcomes,
                "%.0f" % max(self.noticed_ms) if self.noticed_ms else "-",
                "-" if self.row.bound_ms is None else self.row.bound_ms, self.void, self.lost, self.wrong)


def run_once(row, net, options, turn):
    mesh = stage.Mesh(net, options.build)
    case = rows.Case(row, mesh, turn)
    try:
        row.function(case)
        case.history.judge()
        case.need(len(case.history.calls) >= row.calls_min,
                  "%d calls, fewer than %d" % (len(case.history.calls), row.calls_min))
    except stage.Broken as error:
        case.history.say_wrong(str(error))
        for process in mesh.processes:
            if not process.killed and not process.running():
                said = process.said().strip().splitlines()
                case.history.say_wrong("%s ended with %s: %s" % (process.name, process.popen.returncode,
                                                                 said[-1] if said else ""))
    finally:
        bad = case.history.wrong or case.void
        mesh.clean(options.keep if bad else None)
    return case


def run_row(row, net, options):
    total = Total(row)
    start = time.monotonic()
    for turn in range(options.times):
        try:
            case = run_once(row, net, options, turn)
        except stage.Unavailable as error:
            total.missing = "not run: " + str(error)
            break
        total.add(case)
        for text in case.void:
            stage.complain("%s, run %d: void: %s" % (row.key, turn + 1, text))
        for text in case.history.wrong[:SHOWN_MAX]:
            stage.complain("%s, run %d: %s" % (row.key, turn + 1, text))
        if len(case.history.wrong) > SHOWN_MAX:
            stage.complain("%s, run %d: ... and %d more" % (row.key, turn + 1, len(case.history.wrong) - SHOWN_MAX))
    stage.complain("%s: %d runs, %d calls, %d items of streams, %d second attempts, %.0f s%s" % (
        row.key, total.runs, total.calls, total.items, total.hedged, time.monotonic() - start,
        "" if total.good() else ": NOT GOOD"))
    return total


def print_table(totals):
    lines = [COLUMNS] + [tuple(str(word) for word in total.words()) for total in totals]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())


def parse():
    parser = argparse.ArgumentParser(prog="tests/chaos/run", description="Breaks a real mesh in every way the table of "
                                     "faults knows, and holds what happened to every call against what must be true.")
    parser.add_argument("--only", metavar="ROW", action="append", default=[], help="only this row; repeatable")
    parser.add_argument("--times", type=int, default=20, metavar="N", help="repetitions of each row (20)")
    parser.add_argument("--tsv", metavar="FILE", help="writes the table there, too")
    parser.add_argument("--keep", metavar="FOLDER", help="copies the logs of runs that were not good there")
    parser.add_argument("--build", metavar="FOLDER", required=True, help="a build of weft")
    parser.add_argument("--list", action="store_true", help="prints the rows")
    options = parser.parse_args()
    known = [row.key for row in rows.ROWS]
    for key in options.only:
        if key not in known:
            parser.error("no row %s; there are %s" % (key, " ".join(known)))
    if options.times < 1:
        parser.error("--times must be at least 1")
    return options


def main():
    options = parse()
    wanted = [row for row in rows.ROWS if not options.only or row.key in options.only]
    if options.list:
        for row in wanted:
            print("%-14s %s (%s)" % (row.key, row.fault, row.how))
        return 0
    net = stage.Net()
    totals = [run_row(row, net, options) for row in wanted]
    print_table(totals)
    if options.tsv:
        with open(options.tsv, "w") as file:
            for words in [COLUMNS] + [total.words() for total in totals]:
                file.write("\t".join(str(word) for word in words) + "\n")
    bad = [total.row.key for total in totals if not total.good() and not total.missing]
    missing = [total.row.key for total in totals if total.missing]
    if missing:
        print("not run here: " + " ".join(missing))
    if bad:
        print("NOT GOOD: " + " ".join(bad))
    return 1 if bad else 77 if missing and len(missing) == len(totals) else 0


if __name__ == "__main__":
    sys.exit(main())
