"""What a user can mend: told in one line, with exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """One line: what happened with the value, what is accepted, what to do."""


def unknown(kind: str, name: str, accepted: Iterable[str], advice: str = "") -> UserError:
    """The error for a wrong name, with the nearest right ones, or all of them if none is near.

    Example: `unknown("model", "lenet", ["lenet5", "mlp"])` says «no model 'lenet'; did you mean lenet5?»
    """
    names = list(accepted)
    near = get_close_matches(name, names, n=3, cutoff=0.5) or [other for other in names if name and name in other][:3]
    hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(names)}"
    return UserError(f"no {kind} '{name}'; {hint}{' ' + advice if advice else ''}")
