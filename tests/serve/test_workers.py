"""Several processes behind one port: they are one service, though one of them dies."""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from contextlib import contextmanager

import numpy as np
import pytest

from app.errors import UserError
from app.serve.line import Line
from app.serve.peers import Fellows
from app.serve.questions import OPEN_QUESTIONS, Questions, Worker
from app.serve.settings import Settings
from app.serve.statistics import Statistics
from app.serve.workers import shared
from tests.serve import clients
from tests.serve.clients import Caller, Process, ended, limited, numbers, raw, tensor, together, until, written
from tests.serve.tiny import SHAPE, expected, write_tiny

INFER = "/v2/models/tiny/infer"
IMAGE = np.arange(48).reshape(1, *SHAPE)
BODY, HEADERS = tensor(IMAGE)
WORK = 200  # a run of some milliseconds, in a slot
PATIENCE_SECONDS = 3.0
# In place of one process; the command's flags do not reach this patience.
SUPERVISED = clients.LIMITED.replace(
    "run(settings, listener, Peers(), say)",
    f"""from app.serve import workers
workers.END_SECONDS = 1.0
workers.Supervisor(settings, listener, say, patience_seconds={PATIENCE_SECONDS}).run()""",
)


@pytest.fixture
def pair(start, tmp_path):
    """A service of two processes."""
    write_tiny(tmp_path / "exported", work=WORK)
    started = start(tmp_path / "exported", "--workers", 2, "--poll-seconds", 0, "--drain-seconds", 0.5)
    started.workers = lambda: sorted(workers(started))
    return started


@contextmanager
def impatient(folder, monkeypatch, **settings):
    """Two processes whose supervisor waits for no answer, and for no end, as long as the command's does."""
    monkeypatch.setattr(clients, "LIMITED", SUPERVISED)
    write_tiny(folder / "exported", work=WORK)
    with limited(folder / "exported", folder=folder, settings={"workers": 2} | settings) as server:
        yield server


def workers(server):
    """The numbers of the processes that answer."""
    found = []
    for number in Process(server.process.pid).children:
        with open(f"/proc/{number}/cmdline", "rb") as file:
            if b"spawn_main" in file.read():
                found.append(number)
    return found


def is_right(answer):
    return answer.status == 200 and np.array_equal(numbers(answer), expected(IMAGE))


def asked(server, method, path, times=20):
    """The statuses on as many new connections, which are both processes' turn."""
    return [server.ask(method, path).status for _ in range(times)]


def test_a_process_that_is_killed_is_replaced_and_meanwhile_none_is_ready(pair):
    first, second = pair.workers()
    assert asked(pair, "GET", "/v2/health/ready") == [200] * 20
    os.kill(second, signal.SIGKILL)
    until(lambda: not Process(second).lives)
    until(lambda: pair.get("/v2/health/ready").status == 503)
    answer = pair.post(INFER, BODY, **HEADERS)  # the other answers all the same; the new one says when to come again
    assert is_right(answer) or (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert set(asked(pair, "GET", "/v2/health/live")) == {200}
    until(lambda: pair.get("/v2/health/ready").status == 200)
    assert len(pair.workers()) == 2
    assert first in pair.workers()
    assert second not in pair.workers()
    assert [line["exit_code"] for line in pair.lines() if "exit_code" in line] == [-signal.SIGKILL]
    assert pair.stop() == 0


def test_the_processes_count_together(pair):
    for _ in range(40):
        assert is_right(pair.post(INFER, BODY, **HEADERS))
    for _ in range(5):  # whichever is asked
        [row] = pair.get("/v2/models/tiny/stats").json()["model_stats"]
        assert (row["inference_count"], row["inference_stats"]["success"]["count"]) == (40, 40)
        assert 'convoy_requests_total{model="tiny",status="200",version="1"} 40.0' in pair.get("/metrics").body.decode()


def test_loading_and_unloading_reach_every_process_and_the_next_one_too(pair):
    assert pair.post("/v2/repository/models/tiny/unload").status == 200
    assert set(asked(pair, "POST", INFER)) == {503}
    killed = pair.workers()[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(set(pair.workers()) - {killed}) == 2)
    until(lambda: pair.get("/v2/health/ready").status == 200)
    assert set(asked(pair, "POST", INFER)) == {503}
    assert pair.post("/v2/repository/models/tiny/load").status == 200
    assert all(is_right(pair.post(INFER, BODY, **HEADERS)) for _ in range(20))


def test_a_process_that_dies_while_it_is_asked_is_not_waited_for(pair):
    stopped = pair.workers()[0]
    os.kill(stopped, signal.SIGSTOP)

    async def story():
        callers = [Caller(pair.port) for _ in range(6)]
        tasks = [asyncio.ensure_future(caller.ask("GET", "/metrics")) for caller in callers]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in tasks)
        os.kill(stopped, signal.SIGKILL)
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(story())
    statuses = [one if isinstance(one, Exception) else one.status for one in found]
    # What waited at the dead process itself is lost with it; all else is answered.
    assert all(status == 200 or isinstance(status, OSError) for status in statuses)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("whom", ["supervisor", "all"])
def test_a_signal_ends_all_of_them_and_loses_nothing(pair, number, whom):
    everybody = [pair.process.pid, *Process(pair.process.pid).children]
    half = written("POST", INFER, BODY, **HEADERS)
    uploads = [raw(pair.port, half[:-20]) for _ in range(8)]
    waiting = [raw(pair.port, half) for _ in range(16)]
    for one in everybody if whom == "all" else everybody[:1]:  # a terminal and systemd tell every process
        os.kill(one, number)
    time.sleep(0.2)
    for connection in uploads:
        connection.sendall(half[-20:])
    said = [ended(connection) for connection in [*uploads, *waiting]]
    assert pair.process.wait(20) == 0
    assert [one[:13] for one in said] == [b"HTTP/1.1 200 "] * 24
    until(lambda: not any(Process(one).lives for one in everybody))


def test_metrics_that_are_asked_for_at_the_end_do_not_hold_it(pair):
    upload = raw(pair.port, written("POST", INFER, BODY, **HEADERS)[:-20])
    asking = [raw(pair.port, written("GET", "/metrics")[:-2]) for _ in range(8)]
    pair.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    for connection in asking:
        connection.sendall(b"\r\n")
    upload.sendall(written("POST", INFER, BODY, **HEADERS)[-20:])
    began = time.monotonic()
    assert pair.process.wait(40) == 0
    assert time.monotonic() - began < 15  # an answer that never comes would be waited for twice as long
    assert ended(upload).startswith(b"HTTP/1.1 200 ")


def test_a_second_signal_ends_all_of_them_at_once(pair):
    everybody = [pair.process.pid, *Process(pair.process.pid).children]
    upload = raw(pair.port, written("POST", INFER, BODY, **HEADERS)[:-20])
    pair.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert pair.process.poll() is None
    began = time.monotonic()
    pair.process.send_signal(signal.SIGTERM)
    pair.process.wait(20)
    print(f"\nended {time.monotonic() - began:.2f} s after the second SIGTERM")
    assert b" 408 " not in ended(upload)  # the first one alone would have waited until the upload was too slow
    until(lambda: not any(Process(one).lives for one in everybody))


def test_processes_whose_supervisor_is_killed_end_too(pair):
    everybody = Process(pair.process.pid).children
    waiting = [raw(pair.port, written("POST", INFER, BODY, **HEADERS)) for _ in range(16)]
    pair.process.kill()
    assert [ended(connection)[:13] for connection in waiting] == [b"HTTP/1.1 200 "] * 16
    until(lambda: not any(Process(one).lives for one in everybody))
    pair.process.wait(20)


def test_a_process_that_dies_while_it_is_told_to_end_is_not_started_again(pair):
    first, second = pair.workers()
    uploads = []
    for _ in range(16):  # which hold the other one
        uploads.append(raw(pair.port, written("POST", INFER, BODY, **HEADERS)[:-20]))
        time.sleep(0.02)
    os.kill(first, signal.SIGKILL)
    pair.process.send_signal(signal.SIGTERM)
    assert pair.process.wait(20) == 0
    for connection in uploads:
        connection.close()
    assert not Process(second).lives


@pytest.mark.slow
def test_a_process_killed_again_and_again_under_load_costs_its_own_requests_alone(pair):
    lost, right = [], []

    async def story():
        over = asyncio.Event()

        async def client(_):
            while not over.is_set():
                caller = Caller(pair.port)
                try:
                    right.append(is_right(await caller.ask("POST", INFER, BODY, **HEADERS)))
                except OSError:
                    lost.append(1)
                caller.close()

        clients = asyncio.ensure_future(together(8, client))
        for _ in range(5):
            await asyncio.sleep(0.5)
            os.kill(pair.workers()[0], signal.SIGKILL)
            while (await Caller(pair.port).ask("GET", "/v2/health/ready")).status == 200:
                await asyncio.sleep(0.02)
            while len(pair.workers()) < 2 or pair.get("/v2/health/ready").status != 200:
                await asyncio.sleep(0.1)
        over.set()
        await clients

    asyncio.run(story())
    print(f"\n{len(right)} answers, {len(lost)} requests lost with five processes")
    assert all(right)
    assert len(lost) <= 5 * 8


def test_a_process_that_is_stopped_is_replaced_and_its_questions_are_answered(tmp_path, monkeypatch):
    with impatient(tmp_path, monkeypatch) as server:
        stopped, other = workers(server)
        os.kill(stopped, signal.SIGSTOP)

        async def client(_):
            caller = Caller(server.port)
            return [(await caller.ask("GET", "/metrics")).status for _ in range(45)]

        assert asyncio.run(together(20, client)) == [[200] * 45] * 20  # more than a pipe holds
        until(lambda: not Process(stopped).lives)
        until(lambda: len(workers(server)) == 2 and server.get("/v2/health/ready").status == 200)
        assert other in workers(server)
        events = [line["event"] for line in server.lines()]
        assert events.count("a process does not answer and is killed") == 1
        assert server.stop() == 0


def test_a_stopped_process_does_not_hold_the_end_and_draining_has_its_time(tmp_path, monkeypatch):
    with impatient(tmp_path, monkeypatch, drain_seconds=4.0) as server:
        everybody = workers(server)
        os.kill(everybody[0], signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(2.0)  # twice what processes have after they drained
        assert is_right(server.post(INFER, BODY, **HEADERS))
        assert server.process.wait(20) == 0
        until(lambda: not any(Process(one).lives for one in everybody))


@pytest.mark.slow
def test_a_service_that_is_stopped_and_goes_on_kills_nobody(tmp_path, monkeypatch):
    with impatient(tmp_path, monkeypatch) as server:
        before = sorted(workers(server))
        everybody = [server.process.pid, *before]
        for one in everybody:
            os.kill(one, signal.SIGSTOP)
        time.sleep(2 * PATIENCE_SECONDS)
        for one in everybody:
            os.kill(one, signal.SIGCONT)
        time.sleep(2 * PATIENCE_SECONDS)  # those that have nothing to say are asked, and answer
        assert sorted(workers(server)) == before


def test_what_a_process_counted_stays_when_it_dies(pair):
    for _ in range(40):
        assert is_right(pair.post(INFER, BODY, **HEADERS))
    counted = 'convoy_requests_total{model="tiny",status="200",version="1"} 40.0'
    assert counted in pair.get("/metrics").body.decode()
    for killed in pair.workers():
        os.kill(killed, signal.SIGKILL)
        until(lambda killed=killed: killed not in pair.workers() and len(pair.workers()) == 2)
        until(lambda: pair.get("/v2/health/ready").status == 200)
        assert counted in pair.get("/metrics").body.decode()


def test_a_name_whose_unload_was_refused_is_served_by_the_next_process(pair, tmp_path):
    assert pair.post("/v2/repository/models/later/unload").status == 404
    write_tiny(tmp_path / "exported", name="later")
    killed = pair.workers()[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in pair.workers() and len(pair.workers()) == 2)
    until(lambda: pair.get("/v2/health/ready").status == 200)
    pair.process.send_signal(signal.SIGHUP)  # the other one has not seen it yet
    until(lambda: all(is_right(pair.post("/v2/models/later/infer", BODY, **HEADERS)) for _ in range(20)), 10)


class Said(list):
    """Takes the place of a line, and keeps what is said."""

    def say(self, *message):
        self.append(message)


def asked_together(count=2):
    """Questions among processes that say nothing by themselves."""
    living = {number: Worker(None, Said(), 0.0) for number in range(count)}
    return Questions(living), living


def rows(requests, name="tiny"):
    return [(name, "1", Statistics(requests=requests).to_json())]


def requests(said):
    """What the counts of an answer add up to."""
    kind, _, answers = said
    assert kind == "answers"
    return sum(counts["requests"] for one in answers for _, _, counts in one)


def test_names_count_as_unloaded_once_all_processes_did_it():
    questions, living = asked_together()
    key = iter(range(9))

    def everybody(action, *answers):
        questions.ask(living[0], 7, action, "tiny", [0, 1])
        number = next(key)
        for one, answer in enumerate(answers):
            before = set(questions.unloaded)
            questions.answered(number, one, [answer])
            assert one == len(answers) - 1 or questions.unloaded == before
        assert living[0].line[-1] == ("answers", 7, list(answers))
        return questions.unloaded

    assert everybody("unload", None, (404, "there is none")) == set()
    assert everybody("unload", None, None) == {"tiny"}
    assert everybody("load", (400, "it was altered"), None) == {"tiny"}
    assert everybody("load", None, None) == set()


def test_a_process_that_starts_meanwhile_is_asked_too_and_one_that_asked_and_died_is_not_told():
    questions, living = asked_together()
    questions.ask(living[0], 7, "unload", "tiny", [0, 1])
    dead = living.pop(0)
    questions.bury(0, dead)
    living[0] = Worker(None, Said(), 0.0)
    questions.join(0)
    assert living[0].line == [("do", 0, "unload", "tiny")]
    questions.answered(0, 1, [None])
    assert questions.unloaded == set()
    questions.answered(0, 0, [None])
    assert questions.unloaded == {"tiny"}
    assert living[0].line == [("do", 0, "unload", "tiny")]


def test_a_process_with_many_open_questions_is_counted_as_it_said_last():
    questions, living = asked_together()
    questions.ask(living[0], 0, "statistics", "", [0, 1])
    questions.answered(0, 0, [rows(1)])
    questions.answered(0, 1, [rows(10)])
    assert requests(living[0].line[-1]) == 11
    for number in range(1, OPEN_QUESTIONS + 4):
        questions.ask(living[0], number, "statistics", "", [0, 1])
        questions.answered(number, 0, [rows(2)])
    assert len([one for one in living[1].line if one[0] == "do"]) == 1 + OPEN_QUESTIONS
    assert requests(living[0].line[-1]) == 12
    questions.ask(living[0], 99, "unload", "tiny", [0, 1])
    assert living[1].line[-1][2:] == ("unload", "tiny"), "what changes something reaches everybody"
    questions.answered(1, 1, [(500, "it failed")])
    assert requests(living[0].line[-1]) == 12


def test_counts_of_the_dead_stay_whatever_is_loaded_or_unloaded():
    questions, living = asked_together()
    questions.ask(None, 0, "statistics", "", [0, 1])
    questions.answered(0, 0, [rows(1)])
    questions.answered(0, 1, [rows(10) + rows(5, "left")])
    questions.bury(1, living.pop(1))
    keys = iter(range(1, 9))

    def now():
        questions.ask(living[0], 0, "statistics", "", [0])
        questions.answered(next(keys), 0, [rows(2)])
        return requests(living[0].line[-1])

    assert now() == 17
    questions.ask(living[0], 0, "load", "tiny", [0])
    questions.answered(next(keys), 0, [None])
    assert now() == 17


def test_a_process_that_fails_to_answer_says_so():
    async def story():
        ours, theirs = multiprocessing.Pipe()
        fellows = Fellows(0, theirs, [0], frozenset())

        async def answer(action, name):
            raise OSError("the disk")

        fellows.answer = answer
        fellows.listen(lambda: None, lambda: None)
        ours.send(("do", 5, "unload", "tiny"))
        await asyncio.sleep(0.05)
        assert not ours.poll(), "it is told when everything is loaded"
        fellows.ready()
        await asyncio.sleep(0.05)
        assert ours.poll()
        assert ours.recv() == ("did", 5, (500, "a process failed; its log says how"))
        asyncio.get_running_loop().remove_reader(theirs.fileno())
        ours.close()
        theirs.close()

    asyncio.run(story())


def test_a_line_waits_for_nobody():
    ours, theirs = multiprocessing.Pipe()
    rung = []
    line = Line(ours, lambda: rung.append(1))
    line.say("much", bytes(10**7))
    line.say("more")
    os.write(theirs.fileno(), b"\0\0")  # the beginning of a message
    assert [theirs.recv()[0], theirs.recv()[0]] == ["much", "more"]
    assert not line.heard
    os.write(theirs.fileno(), b"\0\0")  # it was an empty one, so nothing can be read in it
    theirs.close()
    line.end()
    assert not line.heard


def test_a_port_of_grpc_is_not_shared_with_another_service():
    assert shared(Settings((), grpc_port=None)) == (Settings((), grpc_port=None), None)
    settings, holder = shared(Settings((), grpc_port=0))
    with holder:
        with pytest.raises(UserError, match=f"--host 127.0.0.1 --grpc-port {settings.grpc_port} cannot be listened at"):
            shared(settings)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", settings.grpc_port))
    again, holder = shared(settings)
    with holder, socket.socket() as process:
        process.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        process.bind(("127.0.0.1", again.grpc_port))
        process.listen()
        holder.close()
        with pytest.raises(UserError, match="cannot be listened at"):
            shared(settings)
