"""The pure parts of the benchmark: what it reads, counts and divides."""

import json
import socket
import sys
import threading
import time

import numpy as np
import pytest

from tests.serve.bench import __main__ as bench
from tests.serve.bench import processes
from tests.serve.bench.figures import Goal, paired_ratio, turns
from tests.serve.bench.load import LoadFailed, due_times, open_loop, parse_wrk
from tests.serve.bench.processes import PROC, Tree, parse_stat
from tests.serve.bench.questions import LENGTH, picture, tensor_as_bytes, tensor_as_json

linux = pytest.mark.skipif(not (PROC / "self" / "stat").exists(), reason="CPU time and memory are counted as Linux tells them")
IMAGE = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
EXPECTED = np.array([0.1, 0.7, 0.2], np.float32)
WRK = """Running 2s test @ http://127.0.0.1:9101/infer
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.11ms    3.02ms  40.11ms   80.00%
Requests/sec:   5606.19
{"requests": 11240, "microseconds": 2004930, "refused": 0, "broken": 0, "p50": 10364, "p99": 18453}
"""


def test_what_wrk_tells_is_read():
    told = parse_wrk(WRK)
    assert (told.requests, told.seconds, told.p50_seconds, told.p99_seconds) == (11240, 2.00493, 0.010364, 0.018453)


@pytest.mark.parametrize("wrong", [('"refused": 0', '"refused": 3'), ('"broken": 0', '"broken": 1'), ("11240", "0")])
def test_a_load_with_errors_is_no_figure(wrong):
    with pytest.raises(LoadFailed, match="answer"):
        parse_wrk(WRK.replace(*wrong))


def test_wrk_without_figures_is_told():
    with pytest.raises(LoadFailed, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_process_with_brackets_in_its_name_is_read():
    fields = ["S", "7", "70", "71", *["0"] * 7, "100", "20", "3", "4", "20", "0"]  # utime, stime, cutime, cstime
    process = parse_stat(f"4711 (a (b) c d) {' '.join(fields)}")
    assert (process.number, process.ended, process.session, process.ticks) == (4711, False, 71, 127)


@linux
def test_the_cpu_time_of_children_counts_while_they_live_and_after(tmp_path):
    spin = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    ended, living = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])\n", f"{spin}time.sleep(60)"
    parent = f"{ended}subprocess.Popen([sys.executable, '-c', {living!r}]); open('started', 'w'); import time; time.sleep(60)"
    tree = Tree([sys.executable, "-c", parent], tmp_path / "log", tmp_path)
    try:
        wait_until(lambda: tree.cpu_seconds() >= 0.6)
        assert tree.running() == 2
    finally:
        tree.stop()
    assert tree.running() == 0


@linux
def test_processes_that_ignore_the_request_to_end_are_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    stubborn = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); open('deaf', 'w'); time.sleep(60)"
    )
    tree = Tree([sys.executable, "-c", stubborn], tmp_path / "log", tmp_path)
    wait_until((tmp_path / "deaf").exists)
    tree.stop()
    wait_until(lambda: tree.running() == 0)


@linux
def test_memory_that_processes_share_counts_once(tmp_path):
    size = 50_000_000
    forks = f"import os, time; held = b'1' * {size}; os.fork(); time.sleep(60)"
    tree = Tree([sys.executable, "-c", forks], tmp_path / "log", tmp_path)
    try:
        wait_until(lambda: tree.memory_bytes()[0] > 2 * size)
        resident, once = tree.memory_bytes()
        assert resident > 2 * size
        assert size < once < 1.5 * size
    finally:
        tree.stop()


@linux
def test_a_process_alone_has_the_memory_that_is_resident(tmp_path):
    tree = Tree([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", tmp_path)
    try:
        wait_until(lambda: tree.memory_bytes()[0] > 5e6)
        time.sleep(0.3)  # until it is started
        resident, once = tree.memory_bytes()
        assert once == pytest.approx(resident, rel=0.02)  # whatever else on the machine maps the same libraries
    finally:
        tree.stop()


@linux
def test_a_paused_server_does_nothing_until_it_is_resumed(tmp_path):
    tree = Tree([sys.executable, "-c", "while True: pass"], tmp_path / "log", tmp_path)
    try:
        wait_until(lambda: tree.cpu_seconds() > 0.1)
        tree.pause()
        time.sleep(0.1)  # for a signal to arrive
        before = tree.cpu_seconds()
        time.sleep(0.3)
        assert tree.cpu_seconds() == before
        tree.resume()
        wait_until(lambda: tree.cpu_seconds() > before)
    finally:
        tree.stop()


def test_ratios_are_of_the_same_round():
    assert paired_ratio([1, 10, 3], [2, 20, 3]) == 0.5  # the second round was ten times as slow for both
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1, 2], [1])


def test_every_candidate_has_its_turn_in_every_round():
    assert turns(3, 3) == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


@pytest.mark.parametrize(
    ("value", "at_most", "met"), [(0.3, True, True), (0.4, True, False), (0.4, False, True), (0.3, False, False)]
)
def test_a_goal_is_met_on_its_side_of_the_bound(value, at_most, met):
    assert Goal("", value, 1 / 3, at_most).met is met


def test_times_are_random_with_the_wanted_rate_and_the_same_again():
    due = due_times(1000, 4, seed=1)
    gaps = np.diff(due)
    assert due == due_times(1000, 4, seed=1) != due_times(1000, 4, seed=2)
    assert len(due) == pytest.approx(4000, rel=0.1)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # as of an exponential distribution
    assert 0 < due[0] < due[-1] < 4


def test_waiting_for_an_answer_before_counts_as_latency():
    """One connection, answers after 0.1 s, three requests due at once: the third is answered after 0.3 s."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok", delay=0.1) as address:
        told = open_loop(address, "/", tensor_as_json(IMAGE, EXPECTED), [0.0, 0.0, 0.0], connections=1)
    assert len(told.latencies) == 3
    for number, seconds in enumerate(told.latencies, 1):
        assert seconds >= 0.1 * number
    assert told.percentile(0.5) == told.latencies[1]
    assert told.percentile(0.99) == told.latencies[2]


def test_an_answer_in_two_parts_is_one_answer():
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n", b"\r\nbody", delay=0.01) as address:
        assert len(open_loop(address, "/", tensor_as_json(IMAGE, EXPECTED), [0.0, 0.1], connections=2).latencies) == 2


def test_an_answer_that_is_an_error_is_no_figure():
    with (
        answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b"", delay=0) as address,
        pytest.raises(LoadFailed, match="503"),
    ):
        open_loop(address, "/", tensor_as_json(IMAGE, EXPECTED), [0.0], connections=1)


def test_a_binary_question_has_its_numbers_after_its_head():
    question = tensor_as_bytes(IMAGE, EXPECTED)
    length = int(dict(question.headers)[LENGTH])
    head = json.loads(question.body[:length])
    assert np.array_equal(np.frombuffer(question.body[length:], "<f4"), IMAGE.ravel())
    assert head["inputs"][0]["parameters"]["binary_data_size"] == len(question.body) - length == 48


def test_right_answers_are_taken_in_every_form():
    told = json.dumps(
        {"outputs": [{"name": "probabilities", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 0.7, 0.2]}]}
    ).encode()
    assert tensor_as_json(IMAGE, EXPECTED).check(200, {}, told) is None
    assert tensor_as_bytes(IMAGE, EXPECTED).check(200, {LENGTH.lower(): "2"}, b"{}" + EXPECTED.tobytes()) is None
    labels = json.dumps({"labels": [{"label": "b", "probability": 0.7}, {"label": "c", "probability": 0.2}]}).encode()
    assert picture(b"\x89PNG", ["a", "b", "c"], EXPECTED).check(200, {}, labels) is None


@pytest.mark.parametrize(
    ("status", "data", "reason"),
    [
        (200, [0.7, 0.1, 0.2], "class 0, and not class 1"),
        (200, [0.1, 0.6, 0.3], "class 1 at 0.6000, and not 0.7000"),
        (200, [], "ValueError"),
        (503, [0.1, 0.7, 0.2], "status 503"),
    ],
)
def test_wrong_answers_are_found(status, data, reason):
    body = json.dumps({"outputs": [{"data": data}]}).encode()
    assert reason in (tensor_as_json(IMAGE, EXPECTED).check(status, {}, body) or "")


def test_what_to_install_is_told_where_wrk_is_missing(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert bench.main(["--only", "lenet"]) == 2
    told = capsys.readouterr().err
    assert "wrk" in told
    assert "apt-get install wrk" in told
    assert len(told.splitlines()) == 1


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class answering:
    """Answers every request on every connection with two parts, a while apart."""

    def __init__(self, first, second, delay):
        self.parts, self.delay = (first, second), delay
        self.listening = socket.create_server(("127.0.0.1", 0))

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self.listening.getsockname()

    def __exit__(self, *error):
        self.listening.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        while b"inputs" in connection.recv(65536):
            connection.sendall(self.parts[0])
            time.sleep(self.delay)
            connection.sendall(self.parts[1])
