"""Runs Python without some packages, as on a machine where they are not installed."""

import subprocess
import sys

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def run_without(packages, code):
    """What the code prints; it must succeed, and say nothing on stderr."""
    command = [sys.executable, "-c", BLOCK.format(packages=tuple(packages)) + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
