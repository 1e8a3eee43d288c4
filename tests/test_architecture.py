"""The house as docs/design.md draws it: who may import whom."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for folder in ("app", "models")
    for file in sorted((ROOT / folder).rglob("*.py"))
}
HEAVY = {"tensorflow", "keras", "jax"}
# Each may import those to its left, and its own.
LAYERS = (
    ("app.errors", "app.config", "app.release", "app.images", "app.metrics", "app.answers", "app.objectives", "app.deploy",
     "app.runners", "app.draw", "app.tables", "app.progress", "app.style"),
    ("app.runs",),
    ("app.data",),
    ("app.train",),
    ("app.evaluate", "app.predict"),
    ("app.export", "app.serve", "app.report", "app.explain", "app.bench", "app.repository", "app.demo"),
    ("app.flags",),
    ("app.commands",),
    ("app.cli",),
    ("app.__main__",),
)  # fmt: skip
SIBLINGS = LAYERS[5]
TENSORFLOW = ("app.train.devices", "app.runners.saved_model", "app.export", "models.gather")


def imports(module: str, *, at_import: bool = False) -> set[str]:
    """What a module imports: modules of ours by their full names, others too. `at_import`: not what functions import."""
    found = set()
    for node in walk(ast.parse(FILES[module].read_text()), at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & set(FILES)
            found |= inside or {node.module}
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func) and isinstance(node.args[0], ast.Constant):
            found.add(node.args[0].value)
    return found


def walk(node: ast.AST, at_import: bool):
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if at_import and typing:
            for other in child.orelse:
                yield other
                yield from walk(other, at_import)
        elif not (at_import and later):
            yield child
            yield from walk(child, at_import)


def closure(module: str) -> set[str]:
    """All that is imported when a module is, packages around it included."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        parents = {name.rsplit(".", depth)[0] for depth in range(name.count(".") + 1)}
        for one in parents - found:
            found.add(one)
            if one in FILES:
                waiting += imports(one, at_import=True)
    return found


def place(module: str) -> int:
    places = [i for i, layer in enumerate(LAYERS) for name in layer if module == name or module.startswith(f"{name}.")]
    assert len(places) == 1, f"{module} has no place in the house"
    return places[0]


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("models")])
def test_networks_know_nothing_of_the_app(module):
    found = imports(module)
    assert tops(found) - {"tensorflow"} <= {"models", "numpy", "keras"} | sys.stdlib_module_names
    if not module.startswith("models.layers."):  # their classes need Keras' own; what needs a layer imports it late
        assert not tops(closure(module)) & HEAVY, "keras comes through models.lazy, layers through models.layers"


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("app.")])
def test_imports_go_one_way(module):
    for other in imports(module):
        if other in FILES and other.startswith("app."):
            assert place(other) <= place(module), f"{module} imports {other}"


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith(SIBLINGS)])
def test_siblings_do_not_import_each_other(module):
    own = next(name for name in SIBLINGS if module.startswith(name))
    assert not [other for other in imports(module) if other.startswith(SIBLINGS) and not other.startswith(own)]


@pytest.mark.parametrize("module", FILES)
def test_few_parts_name_tensorflow(module):
    if not module.startswith(TENSORFLOW):
        assert "tensorflow" not in tops(imports(module))


def test_the_manifest_needs_the_standard_library_alone():
    assert tops(imports("app.release") - {"app.errors"}) <= sys.stdlib_module_names
    assert tops(imports("app.errors")) <= sys.stdlib_module_names


@pytest.mark.parametrize(
    "module",
    ["app.answers", "app.metrics", "app.images", "app.objectives", "app.runners.onnx", "app.runners.litert", "app.predict.ask"],
)
def test_using_a_release_needs_no_framework(module):
    assert not tops(closure(module)) & HEAVY


def test_the_commands_start_without_anything_heavy():
    assert not tops(closure("app.__main__")) & (HEAVY | {"numpy", "PIL", "sklearn", "matplotlib", "onnxruntime"})


@pytest.mark.parametrize("module", FILES)
def test_every_module_says_what_it_is(module):
    assert ast.get_docstring(ast.parse(FILES[module].read_text()))


@pytest.mark.parametrize("module", FILES)
def test_a_file_has_one_subject(module):
    assert len(FILES[module].read_text().splitlines()) <= 320
