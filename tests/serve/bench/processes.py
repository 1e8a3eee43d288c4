"""A server's processes, all of them: their CPU time and memory as Linux counts them; pausing and ending them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")  # of a second
STOP_SECONDS = 1.0  # LitServe does not end by itself
IDLE_SHARE = 0.3  # of a core, that a server without requests may use; one of LitServe polls its queue
PAUSE_SECONDS, SETTLE_SECONDS = 0.1, 3.0


@dataclass(frozen=True)
class Process:
    """What `/proc/PID/stat` says of a process.

    Args:
        ended: only its figures are left, until its parent asks for them.
        ticks: of CPU time, its own in all threads, and that of children that ended.
    """

    number: int
    ended: bool
    session: int
    ticks: int


def parse_stat(text: str) -> Process:
    """A process from the line of its `stat`.

    Source: proc_pid_stat(5): 1 pid, 2 name, 3 state, 6 session, 14 to 17 utime, stime, cutime, cstime.
    """
    number, rest = text.split(" ", 1)
    fields = rest.rsplit(")", 1)[1].split()  # the name may hold spaces and brackets; field 3 is the first after it
    return Process(int(number), fields[0] == "Z", int(fields[3]), sum(map(int, fields[11:15])))


def session_processes(leader: int) -> Iterator[Process]:
    """The living processes of a session: what its leader started, and what these did."""
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                process = parse_stat((folder / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue
            if process.session == leader:
                yield process


def machine_seconds() -> float:
    """CPU seconds that the whole machine has worked since it started."""
    user, nice, system, _, _, interrupts, soft, *_ = map(int, (PROC / "stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + interrupts + soft) / TICKS


class Tree:
    """A command in a session of its own, with all that it starts.

    Args:
        log: a file for what it prints.
    """

    def __init__(self, command: Sequence[str], log: Path, folder: Path, changes: Mapping[str, str] | None = None) -> None:
        self.log = log
        self.started = time.perf_counter()
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                list(command),
                start_new_session=True,
                cwd=folder,
                env=os.environ | (changes or {}),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def alive(self) -> bool:
        """Whether the first of them is."""
        return self.process.poll() is None

    def running(self) -> int:
        """How many of them have not ended."""
        return sum(not process.ended for process in session_processes(self.process.pid))

    def cpu_seconds(self) -> float:
        """User and system time so far. Grows only: what a child used is its parent's once it ended."""
        return sum(process.ticks for process in session_processes(self.process.pid)) / TICKS

    def memory_bytes(self) -> tuple[int, int]:
        """Resident memory, where pages that processes share count for each; and where they count once.

        Once: what is in no file as Linux divides it between processes (Pss); of files, as mapped libraries, what the process
        has that maps most. Their Pss would be less the more others on this machine have the same libraries open.
        Source: proc_pid_smaps_rollup(5).
        """
        resident = own = 0
        files = [0]
        for process in session_processes(self.process.pid):
            try:
                text = (PROC / str(process.number) / "smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines()[1:]}
            resident += sizes["Rss"]
            own += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
            files.append(sizes["Rss"] - sizes["Anonymous"] - sizes["Pss_Shmem"])
        return resident, own + max(files)

    def settle(self) -> None:
        """Waits until they have done what is left of requests whose senders are gone."""
        end = time.monotonic() + SETTLE_SECONDS
        before = self.cpu_seconds()
        while time.monotonic() < end:
            time.sleep(PAUSE_SECONDS)
            now = self.cpu_seconds()
            if now - before <= IDLE_SHARE * PAUSE_SECONDS:
                return
            before = now

    def pause(self) -> None:
        """Stands still, so that the others can be measured."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Goes on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends all of them, by force what does not end by itself."""
        self.resume()
        self._signal(signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while self.running() and time.monotonic() < end:
            self.process.poll()
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for process in session_processes(self.process.pid):
            try:
                os.kill(process.number, number)
            except ProcessLookupError:
                continue
