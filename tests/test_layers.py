"""Who may import whom, read from the sources, imports inside functions included."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOPS = ("s2e", "envs", "pretrain", "rl", "benchmarks", "assets", "tools", "experiments")
OUTSIDE = ("tools", "experiments")

# Rooms import from their own line and from those above it. A room that is not here has no layer
# yet: give it one.
LAYERS = (
    ("s2e.assets",),
    ("s2e.core",),
    ("s2e.video", "s2e.video.readers"),
    ("s2e.policy", "s2e.planner"),
    ("s2e.envs.geometry",),
    ("s2e.envs.robots", "s2e.envs.people", "s2e.envs.raster"),
    ("s2e.envs.splats", "s2e.envs.splats.formats"),
    ("s2e.envs.streets", "s2e.envs.scenes"),
    ("s2e.envs",),
    ("s2e.envs.expert",),
    ("s2e.envs.scan", "s2e.envs.scan.ground", "s2e.envs.scan.photos", "s2e.envs.record"),
    ("s2e.pretrain", "s2e.rl"),
    ("s2e.benchmarks", "s2e.benchmarks.speed", "s2e.benchmarks.view"),
    ("tools", "tools.social", "tools.urban", "experiments"),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
ONE = {"s2e.video.readers": "s2e.video"}
"""Rooms that are one subject: they may import each other."""
DOORS = ("s2e", "s2e.start")
"""What users come in by: everybody may ask for the version, and they lead everywhere."""

LATE = {
    "s2e.__init__": "`import s2e` loads no torch",
    "s2e.core.errors": "a command that only refuses loads no torch",
    "s2e.core.run": "TensorBoard takes a second, and rank 0 alone needs it",
    "s2e.planner.scorer": "an extra, in a process of its own",
    "s2e.policy.encoder": "each backbone comes with the package of its own",
    "s2e.policy.graphs": "onnx is for those who write graphs",
    "s2e.envs.render": "the CUDA backend, where it is asked for",
    "s2e.envs.splats.gsplat_backend": "an extra",
    "s2e.benchmarks.view.command": "--help answers without the extra view",
    "s2e.benchmarks.view.shapes": "an extra",
    "s2e.benchmarks.speed.crowd": "for a picture",
}
"""Modules with imports inside functions, and why; beside them the modules of options, which answer
`--help` before anything heavy is loaded, the readers, each with a library of an extra, and what is
outside the wheel."""


def sources():
    """Name to path of every module."""
    found = {}
    for top in TOPS:
        for path in (ROOT / top).rglob("*.py"):
            inside = path.relative_to(ROOT)
            if not any((ROOT / folder).is_symlink() for folder in inside.parents):
                name = ".".join(inside.with_suffix("").parts)
                found[name if top in ("s2e", *OUTSIDE) else f"s2e.{name}"] = path
    return found


MODULES = sources()


def room(module):
    return module.rpartition(".")[0] or module


def imports(path):
    """(module, whether it stands at the top) of each import of ours, and of all others."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: a relative import"
            full = (f"{node.module}.{a.name}" for a in node.names)
            names = [n if n in MODULES or f"{n}.__init__" in MODULES else node.module for n in full]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            module = f"{name}.__init__" if f"{name}.__init__" in MODULES else name
            yield module, any(node is n for n in tree.body)


def arrows():
    """Room to the rooms that it imports from, with one pair of modules for each."""
    found = defaultdict(dict)
    for module, path in MODULES.items():
        if module.removesuffix(".__init__") not in DOORS:
            for other, _ in imports(path):
                if other in MODULES and other.removesuffix(".__init__") not in DOORS:
                    found[room(module)].setdefault(room(other), (module, other))
    return found


def test_rooms_import_from_their_own_layer_and_those_below():
    found = arrows()
    assert len(MODULES) > 150 and len(found) > 15
    unknown = {room(m) for m in MODULES} - set(LEVEL) - {"s2e"}
    assert not unknown, f"no layer: {unknown}"
    up = [pair for a, to in found.items() for b, pair in to.items() if LEVEL[b] > LEVEL[a]]
    assert not up


def test_no_circle_of_rooms():
    after = defaultdict(set)
    for a, to in arrows().items():
        after[ONE.get(a, a)] |= {ONE.get(b, b) for b in to} - {ONE.get(a, a)}
    done = set()

    def visit(at, way):
        assert at not in way, f"a circle: {' -> '.join([*way[way.index(at) :], at])}"
        if at not in done:
            for b in sorted(after[at]):
                visit(b, [*way, at])
            done.add(at)

    for start in sorted(after):
        visit(start, [])


def test_nobody_imports_what_is_outside_the_wheel():
    for module, path in MODULES.items():
        top = module.partition(".")[0]
        used = {other.partition(".")[0] for other, _ in imports(path)} & set(OUTSIDE)
        assert used <= {top}, f"{module} imports {used}"


def test_imports_inside_functions_have_a_reason():
    late = {
        module
        for module, path in MODULES.items()
        if not all(top for _, top in imports(path)) and module.partition(".")[0] not in OUTSIDE
    }
    late = {m for m in late if not m.startswith("s2e.video.readers.")}
    late -= {m for m in late if m.rpartition(".")[2] in ("args", "export_args")}
    late -= {"s2e.envs.scan.command"}  # a union of subcommands is its options
    assert late == set(LATE), late ^ set(LATE)


def test_no_test_imports_from_another_test():
    """What several share is in plain modules beside them."""
    found = []
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            found += [(path.name, n) for n in names if n.rpartition(".")[2].startswith("test_")]
    assert not found
