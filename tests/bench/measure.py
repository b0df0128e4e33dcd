# SPDX-License-Identifier: MPL-2.0
"""Runs the rounds and reports. tests/bench/run builds everything first and then starts this; see there for options."""

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import chart
import machine
import meter
import peers
import report
import results as results_

HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
QUICK_SCALE = 0.3


def _arguments(words):
    parser = argparse.ArgumentParser(prog="tests/bench/run", add_help=False)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--scale", type=float)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--cells", default="")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--out")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--from", dest="source")
    parser.add_argument("--programs", default=os.path.join(HOUSE, "build/release"))
    parser.add_argument("--peers", default=os.path.join(HOUSE, "build/bench"))
    parser.add_argument("--clients", type=int, default=peers.CLIENTS)
    parser.add_argument("--wrong", type=int, default=0)
    options = parser.parse_args(words)
    options.command = _command(options)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.scale is None:
        options.scale = QUICK_SCALE if options.quick else 1.0
    if options.rounds < 1 or not 0.01 <= options.scale <= 100 or options.clients < 1:
        parser.error("--rounds and --clients begin at 1, --scale goes from 0.01 to 100")
    return options


def _command(options):
    """What measures the same again, as it was asked for."""
    words = ["tests/bench/run"] + ["--quick"] * options.quick
    for name in ("only", "cells", "rounds", "scale"):
        value = getattr(options, name)
        if value:
            words += ["--" + name, shlex.quote("%g" % value if isinstance(value, float) else str(value))]
    return " ".join(words)


def _chosen_cells(options):
    names = [name for name in options.cells.split(",") if name]
    every = [cell.name for cell in peers.CELLS]
    wanted = set(every if not names else ())
    for name in names:
        found = [name] if name in every else [cell for cell in every if name in cell]
        if not found:
            sys.exit("bench: no cell has '%s' in its name; there are %s" % (name, " ".join(every)))
        wanted.update(found)
    cells = [cell for cell in peers.CELLS if cell.name in wanted]
    return [cell for cell in cells if cell.quick or names or not options.quick]


def _chosen_peers(options):
    every = peers.all_peers(options.programs, options.peers, options.wrong)
    names = [name.lower() for name in options.only.split(",") if name]
    unknown = [name for name in names if not any(name in peer.name.lower() for peer in every)]
    if unknown:
        sys.exit("bench: no peer has '%s' in its name; there are: %s" % (
            unknown[0], "; ".join(dict.fromkeys(peer.name for peer in every))))
    chosen = [peer for peer in every
              if peer.name == peers.LIMIT or not names or any(name in peer.name.lower() for name in names)]
    for peer in chosen:
        if peer.missing:
            print("%s: left out, it needs %s" % (peer.name, peer.missing), file=sys.stderr)
    return [peer for peer in chosen if not peer.missing]


def _chains(chosen, cells):
    chains = [peer.chain_for(cell) for peer in chosen for cell in cells if peer.takes_part(cell)]
    return list(dict.fromkeys(chains))


def _measure(peer, cell, options):
    """Columns and "ok", or None and what failed. A chain that failed is started again: the next one finds it well."""
    chain = peer.chain_for(cell)
    try:
        if not chain.processes:
            chain.restart()
        clients = options.clients if cell.clients > 1 else 1
        warm_s = cell.warm_s * min(1.0, options.scale * 2)
        return meter.measure(chain, peer.command(cell), clients, warm_s, cell.window_s * options.scale), results_.OK
    except meter.Failed as failed:
        chain.stop()
        return None, str(failed)


def _round(number, chosen, cells, options, results):
    """Each cell runs every peer once before the next cell; every other round in the opposite order."""
    for cell in cells:
        playing = [peer for peer in chosen if peer.takes_part(cell)]
        for peer in playing if number % 2 == 0 else reversed(playing):
            numbers, outcome = _measure(peer, cell, options)
            results.add(number, cell.name, peer.group, peer.name, numbers, outcome)
            said = "%s calls/s" % report.short(numbers["calls_s"]) if numbers else "FAILED: " + outcome
            print("round %d  %-14s %-7s %-20s %s" % (number + 1, cell.name, peer.group, peer.name, said),
                  file=sys.stderr, flush=True)


def _run(options):
    cells, chosen = _chosen_cells(options), _chosen_peers(options)
    results = results_.Results({"command": options.command, **machine.facts(HOUSE)})
    results.titles = {cell.name: cell.title for cell in cells}
    seconds = options.rounds * sum(cell.window_s * options.scale + cell.warm_s * min(1.0, options.scale * 2) + 0.25
                                   for cell in cells for peer in chosen if peer.takes_part(cell))
    print("rounds: %d; cells: %d; about %.1f minutes" % (options.rounds, len(cells), seconds / 60), file=sys.stderr)
    folder = tempfile.mkdtemp(prefix="weft-bench.")
    environment = {**os.environ, "TMPDIR": folder, "XDG_RUNTIME_DIR": folder}
    chains = _chains(chosen, cells)
    try:
        for number in range(options.rounds):
            for chain in chains:
                try:
                    chain.start(folder, environment)
                except meter.Failed as failed:  # it is tried again, and named, where it is measured
                    print("bench: %s" % failed, file=sys.stderr)
                    chain.stop()
            _round(number, chosen, cells, options, results)
            for chain in chains:
                chain.stop()
    finally:
        for chain in chains:
            chain.stop()
        shutil.rmtree(folder, ignore_errors=True)
    # In the order of the peers, whichever round came in which.
    order = {(peer.group, peer.name): index for index, peer in enumerate(chosen)}
    results.rows.sort(key=lambda row: (row["round"], list(results.titles).index(row["cell"]), order[row["group"], row["peer"]]))
    return results


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


def _update_documents(results):
    tables = "%s.\n\n%s\n%s" % (
        report.facts(results), report.targets(results, markdown=True), report.cells(results, markdown=True))
    report.replace_block(os.path.join(HERE, "RESULTS.md"), "bench", tables)
    report.replace_block(os.path.join(HOUSE, "README.md"), "bench",
                         "%s\n%s.\n" % (report.summary(results), report.facts(results, ("date", "processor"))))


def _keep(results, options):
    folder = HERE if options.update else options.out or os.path.dirname(os.path.join(options.peers, ""))
    os.makedirs(folder, exist_ok=True)
    results.write(os.path.join(folder, "results.tsv"))
    _write(os.path.join(folder, "chart.svg"), chart.draw(results))
    if options.update:
        _update_documents(results)
    print("results.tsv and chart.svg are in %s" % folder, file=sys.stderr)


def main():
    options = _arguments(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start = time.monotonic()
    try:
        results = results_.read(options.source) if options.source else _run(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError) as error:
        sys.exit("bench: %s" % error)
    print(report.cells(results, options.markdown))
    print(report.targets(results, options.markdown))
    failures = results.failures()
    for row in failures:
        print("FAILED: round %d, %s, %s %s: %s" % (row["round"] + 1, row["cell"], row["group"], row["peer"], row["outcome"]),
              file=sys.stderr)
    if failures and options.update:
        sys.exit("bench: nothing updated, because something failed")
    _keep(results, options)
    if not options.source:
        print("took %.1f minutes" % ((time.monotonic() - start) / 60), file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
