"""The inference service beside FastAPI, LitServe and ONNX Runtime alone: python -m tests.serve.bench."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.errors import UserError
from app.progress import duration
from tests.runtimes.environments import Unreachable
from tests.serve.bench.load import LoadFailed, require_tools
from tests.serve.bench.material import LENET, MOBILENET, Network, find_network
from tests.serve.bench.measure import measure_load, measure_memory, measure_start
from tests.serve.bench.plan import ASKED, REMEMBERED, SHAPES, STARTED, TIMED, load_goals, memory_goals
from tests.serve.bench.report import Report
from tests.serve.bench.servers import KEYS, RIVALS, Unready

PARTS = {"lenet": LENET, "mobilenet": MOBILENET}
START_ROUNDS = 5


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m tests.serve.bench", description=__doc__)
    parser.add_argument("--lenet", metavar="RELEASE", help="LeNet-5; default: one is trained on the digits, once")
    parser.add_argument("--mobilenet", metavar="RELEASE", help="MobileNet at 224 x 224; default: one is made, once")
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N", help="over all servers; default: %(default)s")
    parser.add_argument("--seconds", type=_positive, default=2, metavar="S", help="of load a round; default: %(default)s")
    parser.add_argument("--only", choices=(*PARTS, "memory", "start"), help="a part of it")
    parser.add_argument("--servers", nargs="+", choices=KEYS, default=list(KEYS), help="some of them; default: all")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every round there")
    return parser.parse_args(arguments)


def benchmark(given: argparse.Namespace) -> Report:
    """Measures what is asked for. A server that fails is told, and the others go on where they can."""
    report = Report(given.rounds, given.seconds)
    wanted = [given.only] if given.only else [*PARTS, "memory", "start"]
    RIVALS.python()  # installed before anything is timed
    titles = [title for key, title in PARTS.items() if key in wanted or {"memory", "start"} & set(wanted)]
    networks = {title: find_network(title, vars(given)[key], say) for key, title in PARTS.items() if title in titles}
    for key in PARTS:
        if key in wanted:
            _load(report, networks[PARTS[key]], given)
    if "memory" in wanted:
        _memory(report, networks, given)
    if "start" in wanted:
        for title, network in networks.items():
            kinds = [kind for kind in STARTED if kind.key in given.servers]
            report.starts[title] = measure_start(network, kinds, START_ROUNDS, say)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; 1 if a server failed, whatever the goals say, which depend on the machine."""
    given = parse(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # or the servers would be left, asleep
    began = time.monotonic()
    try:
        require_tools()
        report = benchmark(given)
    except (UserError, Unreachable) as error:
        print(error, file=sys.stderr)
        return 2
    except (Unready, LoadFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was kept", file=sys.stderr)
        return 130
    say(f"took {duration(time.monotonic() - began)}")
    print(report.to_markdown())
    if given.json:
        given.json.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    return 1 if report.to_json()["failures"] else 0


def _load(report: Report, network: Network, given: argparse.Namespace) -> None:
    asked = [(kind, title) for kind, title in ASKED[network.title] if kind.key in given.servers]
    measured = measure_load(network, asked, TIMED[network.title], SHAPES[network.title], given.rounds, given.seconds, say)
    report.measured.append(measured)
    report.goals += load_goals(measured)


def _memory(report: Report, networks: dict[str, Network], given: argparse.Namespace) -> None:
    for title, kind, case in REMEMBERED:
        if kind.key in given.servers:
            try:
                found = measure_memory(networks[title], kind, case, given.seconds + 1, say)
            except (Unready, LoadFailed) as error:
                report.failures.append(f"memory, {title}, {case}, {kind.title}: {error}")
                continue
            report.memories.append((title, kind, case, found))
            report.goals += memory_goals(title, kind, case, found)


def say(line: str) -> None:
    """Progress, on stderr, so that the tables can be piped."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
