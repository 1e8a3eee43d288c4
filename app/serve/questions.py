"""What serving processes ask each other: passed on, gathered, and kept where it concerns processes to come."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from app.serve.line import Line
from app.serve.statistics import total

IMPORT_SECONDS = 60.0  # that a new process may take before it hears anything
OPEN_QUESTIONS = 8  # to one process; for further ones its last counts have to do
Rows = list[tuple[str, str, dict[str, Any]]]  # name, version, and what they counted


@dataclass(eq=False)
class Worker:
    """A process and the way to it.

    Args:
        silent: seconds since something was heard of it.
        prompted: whether it was asked something since, to hear whether it still answers.
        counts: its last statistics.
    """

    process: Any
    line: Line
    since: float
    silent: float = -IMPORT_SECONDS
    prompted: bool = False
    counts: Rows = field(default_factory=list)


@dataclass
class _Question:
    """What is gathered for a process that asked.

    Args:
        asker: nobody, where the supervisor wants to know.
        number: the asker's own.
        missing: processes that have not answered yet.
    """

    asker: Worker | None
    number: int
    action: str
    name: str
    missing: set[int] = field(default_factory=set)
    answers: list[Any] = field(default_factory=list)


class Questions:
    """Knows who was asked what.

    Args:
        workers: those that live; looked at, never changed.
    """

    def __init__(self, workers: dict[int, Worker]) -> None:
        self._workers = workers
        self.unloaded: set[str] = set()  # names
        self._open: dict[int, _Question] = {}
        self._numbers = count()
        self._buried: dict[tuple[str, str], dict[str, Any]] = {}  # what the dead had counted, by name and version

    def ask(self, asker: Worker | None, number: int, action: str, name: str, whom: list[int]) -> None:
        """Asks processes, and has the asker told when the last of them has answered."""
        key, question = next(self._numbers), _Question(asker, number, action, name)
        for other in whom:
            if action == "statistics" and sum(other in one.missing for one in self._open.values()) >= OPEN_QUESTIONS:
                question.answers.append(self._workers[other].counts)
            else:
                self._put(key, question, other)
        self._open[key] = question
        self._settle(key)

    def join(self, number: int) -> None:
        """Asks a new process too what it was not told when it was started."""
        for key, question in self._open.items():
            if question.action != "statistics":
                self._put(key, question, number)

    def bury(self, number: int, worker: Worker) -> None:
        """Waits no more for a process that died, and keeps what it counted: counters must not fall.

        What it counted after it was asked last is lost.
        """
        for name, version, counts in worker.counts:
            known = self._buried.get((name, version))
            self._buried[name, version] = total([known, counts] if known else [counts]).to_json()
        for key in list(self._open):
            self.answered(key, number, [])

    def _put(self, key: int, question: _Question, number: int) -> None:
        question.missing.add(number)
        self._workers[number].line.say("do", key, question.action, question.name)

    def answered(self, key: int, number: int, answers: list[Any]) -> None:
        """Takes what a process answers: one thing, or nothing where it died."""
        question = self._open.get(key)
        if question is None or number not in question.missing:
            return
        if question.action == "statistics" and answers:
            if isinstance(answers[0], list):  # it did not fail
                self._workers[number].counts = answers[0]
            answers = [self._workers[number].counts]
        question.missing.discard(number)
        question.answers += answers
        self._settle(key)

    def _settle(self, key: int) -> None:
        """Tells the asker, if all answers are in."""
        question = self._open[key]
        if question.missing:
            return
        del self._open[key]
        answers, name = question.answers, question.name
        if question.action == "statistics":
            answers.append([(*version, counts) for version, counts in self._buried.items()])
        elif answers and not any(answers):  # nobody refused
            if question.action == "unload":
                self.unloaded.add(name)
            else:
                self.unloaded.discard(name)
        if question.asker:
            question.asker.line.say("answers", question.number, answers)
