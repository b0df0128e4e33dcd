# SPDX-License-Identifier: MPL-2.0
"""Keeps the benchmark from rotting: every cell of weft and the limits runs and reports, wrong and lost answers fail the
run, and what is written can be read. Windows are tiny: no word on speed."""

import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import chart
import meter
import peers
import report
import results
import targets

BUILD = os.environ.get("WEFT_BUILD_DIR", "")


class Runs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="weft-bench-test.")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_it(self, *options):
        """Exit code, what it said, and the results."""
        ran = subprocess.run(
            [sys.executable, "-B", os.path.join(HERE, "measure.py"), "--programs", BUILD, "--peers", self.folder,
             "--out", self.folder, "--rounds", "1", "--clients", "4", *options],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        path = os.path.join(self.folder, "results.tsv")
        self.assertTrue(os.path.exists(path), ran.stderr)
        return ran.returncode, ran.stdout + ran.stderr, results.read(path)

    def test_every_cell_reports(self):
        code, said, found = self.run_it("--only", "weft", "--scale", "0.02")
        self.assertEqual(code, 0, said)
        playing = [peer for peer in peers.all_peers(BUILD, self.folder) if not peer.missing and peer.name != "epoll, no RPC"]
        wanted = {(cell.name, peer.group, peer.name) for cell in peers.CELLS for peer in playing if peer.takes_part(cell)}
        self.assertEqual({(row["cell"], row["group"], row["peer"]) for row in found.rows}, wanted)
        for row in found.rows:
            with self.subTest(cell=row["cell"], group=row["group"], peer=row["peer"]):
                self.assertEqual(row["outcome"], "ok")
                self.assertGreater(row["calls"], 0)
                self.assertTrue(0 < row["p50_us"] <= row["p99_us"] <= row["p999_us"], row)
                self.assertGreater(row["client_us"], 0)
                self.assertGreater(row["server_us"], 0)
        for cell in peers.CELLS:
            self.assertIn(cell.title, said)
        for target in targets.TARGETS:
            self.assertIn(target.text, said)

    def test_latency_and_calls_a_second_agree(self):
        """With one outstanding the mean is known, and no median is more than twice the mean; a handler of 20 µs takes its time."""
        _, said, found = self.run_it("--only", "weft", "--cells", "add20/64,add/1", "--scale", "0.2")
        for row in found.rows:
            if row["cell"] == "add/1":
                self.assertLess(row["p50_us"], 2.1e6 / row["calls_s"], said)
            if row["cell"] == "add20/64":
                self.assertLess(row["calls_s"], 55000 * os.cpu_count(), said)
                self.assertGreater(row["server_us"], 10, said)

    def test_a_wrong_answer_fails_the_run(self):
        code, said, found = self.run_it("--only", "weft", "--cells", "add/64", "--scale", "0.04", "--wrong", "1000")
        self.assertEqual(code, 1, said)
        for group in ("direct", "routed"):
            self.assertIn("FAILED: round 1, add/64, %s weft: add: wrong answer" % group, said)
        self.assertEqual({row["peer"] for row in found.failures()}, {"weft", "weft, ipc"})
        self.assertEqual(found.values("direct", peers.LIMIT, "add/64", "calls_s").keys(), {0})
        self.assertEqual(found.facts["command"], "tests/bench/run --only weft --cells add/64 --rounds 1 --scale 0.04")

    def test_no_rounds_and_no_time_are_refused(self):
        for option in ("--rounds", "--scale"):
            ran = subprocess.run([sys.executable, "-B", os.path.join(HERE, "measure.py"), option, "0"], capture_output=True, text=True)
            self.assertEqual(ran.returncode, 2, ran.stderr)
            self.assertIn("--rounds and --clients begin at 1, --scale goes from 0.01 to 100", ran.stderr)

    def loader(self, *lines):
        """A loader in Python, of lines that have the shared memory as `memory` and say by `answered ()` that they had an answer."""
        path = os.path.join(self.folder, "loader.py")
        with open(path, "w") as file:
            file.write("\n".join((
                "import mmap, os, time", "memory = mmap.mmap(int(os.environ['BENCH_METER']), 0)",
                "answered = lambda: os.eventfd_write(int(os.environ['BENCH_ANSWERS']), 1)", *lines)))
        return "%s %s" % (sys.executable, path)

    def failure_of(self, loader):
        meter.PATIENCE_S = 1
        chain = meter.Chain()
        chain.folder, chain.environment = self.folder, dict(os.environ)
        with self.assertRaises(meter.Failed) as failed:
            meter.measure(chain, loader, 1, 0.01, 0.05)
        return str(failed.exception)

    def test_an_answer_that_never_comes_is_a_failure(self):
        self.assertIn("no answer", self.failure_of(self.loader("time.sleep(60)")))

    def test_a_lost_call_is_a_failure(self):
        self.assertIn("calls were lost", self.failure_of(self.loader("answered()", "time.sleep(60)")))

    def test_a_loader_that_dies_is_a_failure_with_its_last_words(self):
        loader = self.loader("answered()", "raise SystemExit('out of luck')")
        self.assertEqual(self.failure_of(loader), "out of luck")

    def test_a_loader_without_calls_is_a_failure(self):
        loader = self.loader("answered()", "while memory[0] != 2: time.sleep(0.01)")
        self.assertEqual(self.failure_of(loader), "no call ended in the window")

    def test_a_server_that_does_not_start_is_a_failure(self):
        chain = meter.Chain("false {at}")
        self.addCleanup(chain.stop)
        with self.assertRaisesRegex(meter.Failed, "false did not get ready"):
            chain.start(self.folder, dict(os.environ))


class Writing(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="weft-bench-test.")
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "file")
        self.sample = results.Results({"processor": "a <small> one", "commit": "c0ffee"})
        self.sample.titles = {"add/1": "add, 1 outstanding", "add/64": "add, 64 outstanding"}
        for round_, speed in enumerate((1.0, 2.0, 1.25)):
            for peer, calls_s, p50_us in ((peers.LIMIT, 1000.0, 10.0), ("weft", 1200.0, 10.2), ("gRPC C++", 300.0, 40.0)):
                for cell in self.sample.titles:
                    numbers = dict.fromkeys(results.NUMBERS, 2.0)
                    self.sample.add(round_, cell, "direct", peer,
                                    {**numbers, "calls_s": calls_s * speed, "p50_us": p50_us / speed})
        self.sample.add(2, "add/64", "direct", "nng", outcome="it fell\tover")

    def test_results_are_read_as_they_were_written(self):
        self.sample.write(self.path)
        again = results.read(self.path)
        self.assertEqual((again.facts, again.titles), (self.sample.facts, self.sample.titles))
        self.assertEqual([{**row, "outcome": row["outcome"].replace("\t", " ")} for row in self.sample.rows], again.rows)

    def test_documents_name_what_measured_them(self):
        self.sample.facts = {"command": "tests/bench/run --rounds 3", **self.sample.facts}
        self.assertEqual(report.facts(self.sample), "Measured by `tests/bench/run --rounds 3`: processor a <small> one, "
                                                    "commit c0ffee, 3 interleaved rounds")
        self.assertEqual(report.facts(self.sample, ("date", "commit")),
                         "Measured by `tests/bench/run --rounds 3`: c0ffee, 3 interleaved rounds")

    def test_a_row_cut_short_is_refused(self):
        self.sample.write(self.path)
        with open(self.path, "a") as file:
            file.write("1\tadd/1\n")
        with self.assertRaisesRegex(ValueError, "2 columns"):
            results.read(self.path)

    def test_ratios_are_taken_within_a_round(self):
        ratios = self.sample.ratios(("direct", "weft", "add/64"), ("direct", peers.LIMIT, "add/64"), "calls_s")
        self.assertEqual([round(ratio, 6) for ratio in ratios], [1.2, 1.2, 1.2])

    def test_targets_are_met_missed_or_not_measured(self):
        verdicts = dict(zip((target.text for target in targets.TARGETS), report.targets(self.sample).splitlines()[1:]))
        for text, verdict in (("direct: a lone call's p50", "met"), ("direct: calls/s, 64 outstanding", "met"),
                              ("direct: calls/s to gRPC C++, 64 outstanding", "missed"),
                              ("routed: calls/s, 64 outstanding", "not measured")):
            self.assertTrue(verdicts[text].endswith("  " + verdict), verdicts[text])

    def test_tables_say_what_was_measured_and_what_failed(self):
        row = next(line for line in report.cells(self.sample).splitlines() if line.startswith("weft"))
        self.assertEqual(row.split()[:6], ["weft", "1.50", "k", "1.20", "k..2.40", "k"])
        self.assertIn("nng", report.cells(self.sample))
        self.assertIn("failed", report.cells(self.sample))

    def test_markdown_has_as_many_columns_in_every_row(self):
        for text in (report.cells(self.sample, True), report.targets(self.sample, True), report.summary(self.sample)):
            table = [line for line in text.splitlines() if line.startswith("|")]
            self.assertGreater(len(table), 4)
            for before, line in zip(table, table[1:]):
                if not line.startswith(("| peer", "| target", "| direct")):
                    self.assertEqual(line.count("|"), before.count("|"), line)

    def test_the_chart_is_svg_with_every_peer_and_finite_places(self):
        root = xml.etree.ElementTree.fromstring(chart.draw(self.sample))
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        for peer in ("weft", "gRPC C++", "nng", "direct"):
            self.assertIn(peer, texts)
        dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
        self.assertEqual(len(dots), 6)  # three peers in two panels: none has the third cell, and nng failed
        width, height = float(root.get("width")), float(root.get("height"))
        for dot in dots:
            self.assertTrue(0 < float(dot.get("cx")) < width and 0 < float(dot.get("cy")) < height)

    def test_a_block_of_a_document_is_replaced_and_nothing_else(self):
        document = "before\n<!-- bench:begin (why) -->\nold\n<!-- bench:end -->\nafter\n"
        with open(self.path, "w") as file:
            file.write(document)
        report.replace_block(self.path, "bench", "new \\1\n")
        with open(self.path) as file:
            self.assertEqual(file.read(), document.replace("old", "new \\1"))
        with self.assertRaisesRegex(ValueError, "not one block"):
            report.replace_block(self.path, "other", "new\n")

    def test_quantiles_are_those_of_the_histogram(self):
        histogram = [0] * meter.BUCKETS
        histogram[100], histogram[128 * 4 + 5], histogram[meter.BUCKETS - 1] = 50, 49, 1
        self.assertEqual(meter.quantile_us(histogram, 0.5), 0.1)
        self.assertEqual(meter.quantile_us(histogram, 0.9), (133 * 8 + 4) / 1000)
        self.assertAlmostEqual(meter.quantile_us(histogram, 1.0), 2**37 / 1000, delta=2**30 / 1000)


if __name__ == "__main__":
    unittest.main()
