"""The direction of imports: wire <- websocket <- {twisted, asyncio} <- asgi, and the edges never import each other.

``backplane``, ``app`` and ``gateway`` stand on ASGI and not on us: on any server, and on any loop.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "autobahnlike"

# Layer: (the layers it may import besides itself, what it may not import of the rest of the world).
NOT_FOR_WIRE = frozenset(
    {"asyncio", "logging", "random", "secrets", "select", "selectors", "socket", "ssl", "threading", "time", "twisted"}
    | {"txaio", "uvloop", "zope"}
)
LOOPS = frozenset({"asyncio", "twisted", "uvloop"})
BUT_ASYNCIO = frozenset({"twisted", "txaio", "uvloop", "zope"})
BELOW_THE_EDGES = frozenset({"exception", "speed", "wire", "websocket"})
UP_TO_THE_EDGES = BELOW_THE_EDGES | {"", "logs", "twisted", "asyncio"}
OF_APPLICATIONS = frozenset({"app", "backplane", "gateway", "demo", "testing"})
EVERYTHING = UP_TO_THE_EDGES | OF_APPLICATIONS | {"asgi", "awsproxy", "monitoring", "cli"}
LAYERS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "": (frozenset({"exception"}), LOOPS | {"zope", "txaio"}),
    "exception": (frozenset(), NOT_FOR_WIRE),
    "logs": (frozenset(), LOOPS | {"zope", "txaio"}),
    "speed": (frozenset(), NOT_FOR_WIRE),
    "wire": (frozenset({"exception", "speed"}), NOT_FOR_WIRE),
    "websocket": (frozenset({"", "exception", "speed", "wire"}), LOOPS | {"socket", "ssl", "txaio"}),
    "twisted": (BELOW_THE_EDGES | {""}, frozenset()),
    "asyncio": (BELOW_THE_EDGES | {""}, frozenset({"twisted"})),
    "asgi": (UP_TO_THE_EDGES, frozenset()),
    # The transports to Redis are of one loop each, and loaded when that is known.
    "backplane": (frozenset({"exception"}), frozenset({"txaio", "uvloop", "zope"})),
    # The latter two not before they are asked for: see LAZILY.
    "app": (
        frozenset({"", "exception", "backplane", "asgi", "testing"}),
        frozenset({"twisted", "txaio", "uvloop", "zope"}),
    ),
    # Of app how it waits and runs coroutines.
    "gateway": (frozenset({"", "exception", "logs", "backplane", "app"}), BUT_ASYNCIO),
    # Of asgi what counts, and of the others nothing: it looks at what somebody else has loaded.
    "monitoring": (frozenset({"asgi"}), LOOPS | {"starlette", "txaio", "zope"}),
    # On asyncio, beside whatever drives the gateway; of asgi how to listen, and to say what went wrong.
    "awsproxy": (frozenset({"exception", "asgi"}), BUT_ASYNCIO),
    "demo": (frozenset({"app"}), LOOPS),
    "testing": (EVERYTHING - {"awsproxy", "cli", "demo"}, frozenset()),
    "cli": (EVERYTHING, frozenset()),
    "__main__": (frozenset({"cli"}), LOOPS),
}
# What a layer imports within functions only.
LAZILY = {"app": frozenset({"asgi", "testing", "asyncio"})}
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    return [*module.split("."), ""][1]


def imports_of(path: Path) -> set[str]:
    """Every module that a file names in an import statement, wherever in the file."""
    return imports_in(ast.parse(path.read_text()), path)


def imports_in(tree: ast.AST, path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            found |= {submodule_or_self(node.module, alias.name) for alias in node.names}
    return found


def imports_when_loaded(path: Path) -> set[str]:
    """Every module that a file names in an import statement outside of functions, and not for types only."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.FunctionDef | ast.AsyncFunctionDef) and (
            not isinstance(node, ast.If) or ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            node.body = [ast.Pass()]
    return imports_in(tree, path)


def submodule_or_self(module: str, name: str) -> str:
    base = ROOT.joinpath(*module.split("."))
    is_module = (base / name).is_dir() or (base / f"{name}.py").exists()
    return f"{module}.{name}" if module.startswith(PACKAGE) and is_module else module


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_downwards(path: Path) -> None:
    layer = layer_of(module_name(path))
    assert layer in LAYERS, "a new layer: say in LAYERS what it may import"
    allowed, forbidden = LAYERS[layer]
    for imported in imports_of(path):
        if imported.split(".")[0] == PACKAGE:
            assert layer_of(imported) in allowed | {layer}, f"{layer or PACKAGE} imports {imported}"
        else:
            assert imported.split(".")[0] not in forbidden, f"{layer or PACKAGE} imports {imported}"


@pytest.mark.parametrize("path", [path for path in MODULES if layer_of(module_name(path)) in LAZILY], ids=module_name)
def test_what_is_needed_by_some_is_imported_when_it_is_needed(path: Path) -> None:
    lazily = LAZILY[layer_of(module_name(path))]
    for imported in imports_when_loaded(path):
        inner = layer_of(imported) if imported.split(".")[0] == PACKAGE else imported.split(".")[0]
        assert inner not in lazily, f"{imported} is imported although nobody asks for it"


@pytest.mark.parametrize("path", [path for path in MODULES if layer_of(module_name(path)) in ("wire", "exception")])
def test_wire_needs_the_standard_library_only(path: Path) -> None:
    tops = {imported.split(".")[0] for imported in imports_of(path)}
    assert tops - {PACKAGE} <= sys.stdlib_module_names


def loaded_by(statements: str, *flags: str) -> set[str]:
    """The names in ``sys.modules`` of a new process after some statements."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{statements}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def tops(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def test_wire_loads_nothing_of_a_loop_a_socket_or_a_log() -> None:
    wire = [name for name in map(module_name, MODULES) if layer_of(name) == "wire"]
    assert len(wire) > 1
    # -S: without site-packages, and without what .pth files there may load.
    loaded = loaded_by("\n".join(f"import {name}" for name in wire), "-I", "-S")
    assert set(wire) <= loaded
    assert not tops(loaded) & (NOT_FOR_WIRE - {"time"})


def test_the_asyncio_edge_loads_no_twisted() -> None:
    loaded = loaded_by("import autobahnlike.asyncio.websocket")
    assert "autobahnlike.asyncio.websocket" in loaded
    assert "twisted" not in tops(loaded)
    assert not [name for name in loaded if name.startswith("autobahnlike.twisted")]


def test_the_twisted_edge_installs_no_reactor_and_loads_nothing_of_the_asyncio_edge() -> None:
    loaded = loaded_by("import autobahnlike.twisted.websocket")
    assert "autobahnlike.twisted.websocket" in loaded
    assert "twisted.internet.reactor" not in loaded
    assert "uvloop" not in loaded
    assert not [name for name in loaded if name.startswith("autobahnlike.asyncio")]


def test_serving_on_asyncio_loads_no_twisted() -> None:
    loaded = loaded_by("import autobahnlike.asgi.asyncio, autobahnlike.asgi.runner, autobahnlike.asgi.run_asyncio")
    assert "autobahnlike.asgi.asyncio" in loaded
    assert "twisted" not in tops(loaded)
    assert not [name for name in loaded if name.startswith("autobahnlike.twisted")]


def test_serving_on_twisted_installs_no_reactor_and_loads_nothing_of_the_asyncio_edge() -> None:
    loaded = loaded_by("import autobahnlike.asgi.twisted, autobahnlike.asgi.runner, autobahnlike.asgi.run_twisted")
    assert "autobahnlike.asgi.twisted" in loaded
    assert "twisted.internet.reactor" not in loaded
    assert "uvloop" not in loaded
    assert not [name for name in loaded if name.startswith("autobahnlike.asyncio")]


def test_serving_is_a_function_whoever_has_imported_what() -> None:
    """A module of the same name would hide it."""
    loaded_by("import autobahnlike.asgi.runner; from autobahnlike.asgi import run; assert run.__name__ == 'run'")


def test_applications_load_nothing_of_ours_but_themselves() -> None:
    loaded = loaded_by("import autobahnlike.app")
    assert "autobahnlike.app" in loaded
    assert {layer_of(name) for name in loaded if name.startswith(f"{PACKAGE}.")} <= {"app", "backplane", "exception"}
    assert not tops(loaded) & {"h11", "twisted", "txaio", "uvloop"}


def test_gateways_load_nothing_of_ours_but_applications_and_no_loop() -> None:
    loaded = loaded_by("import autobahnlike.gateway, autobahnlike.backplane")
    assert "autobahnlike.gateway.application" in loaded
    assert {layer_of(name) for name in loaded if name.startswith(f"{PACKAGE}.")} <= {
        "app",
        "backplane",
        "exception",
        "gateway",
        "logs",
    }
    assert not tops(loaded) & {"boto3", "botocore", "chalice", "h11", "hiredis", "twisted", "txaio", "uvloop"}


def test_monitoring_loads_no_loop_and_no_client_of_prometheus_before_it_is_asked_for_metrics() -> None:
    loaded = loaded_by("import autobahnlike.monitoring")
    assert "autobahnlike.monitoring.monitor" in loaded
    assert {layer_of(name) for name in loaded if name.startswith(f"{PACKAGE}.")} <= {
        "asgi",
        "exception",
        "monitoring",
        "speed",
        "wire",
    }
    assert not tops(loaded) & {"asyncio", "h11", "prometheus_client", "starlette", "twisted", "txaio", "uvloop", "zope"}


@pytest.mark.parametrize("edge", ["twisted", "asyncio"])
def test_an_edge_makes_no_event_loop_when_imported(edge: str) -> None:
    refuse = "import asyncio.base_events as base; base.BaseEventLoop.__init__ = None"
    assert f"autobahnlike.{edge}.websocket" in loaded_by(f"{refuse}; import autobahnlike.{edge}.websocket")


def test_both_edges_load_in_one_process_in_either_order() -> None:
    edges = ["autobahnlike.twisted.websocket", "autobahnlike.asyncio.websocket"]
    for order in (edges, edges[::-1]):
        assert set(edges) <= loaded_by(f"import {', '.join(order)}")
