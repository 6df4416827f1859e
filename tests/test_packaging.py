import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from s2e.envs.scenes.files import SUITES

ROOT = Path(__file__).parents[1]
FOLDERS = ("envs", "rl", "pretrain", "benchmarks", "assets")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_package_list_is_the_folders():
    listed = PROJECT["tool"]["setuptools"]["packages"]
    places = PROJECT["tool"]["setuptools"]["package-dir"]
    assert places == {"s2e": "s2e"} | {f"s2e.{n}": n for n in FOLDERS}
    found = {"s2e"} | {f"s2e.{n}" for n in FOLDERS}
    for top, name in (("s2e", "s2e"), *((n, f"s2e.{n}") for n in FOLDERS)):
        for path in (ROOT / top).rglob("__init__.py"):
            inside = path.parent.relative_to(ROOT / top)
            if top == "s2e" and inside.parts[:1] and inside.parts[0] in FOLDERS:
                continue
            found.add(".".join((name, *inside.parts)))
    assert sorted(listed) == sorted(found)


def test_links_lead_to_the_folders():
    for name in FOLDERS:
        link = ROOT / "s2e" / name
        assert link.is_symlink() and str(link.readlink()) == f"../{name}"


def test_nobody_imports_by_folder_name():
    pattern = re.compile(rf"^\s*(?:from|import)\s+(?:{'|'.join(FOLDERS)})\b", re.MULTILINE)
    sources = [
        p
        for name in ("s2e", "tests", *FOLDERS)
        for p in (ROOT / name).rglob("*.py")
        if not p.is_symlink()
    ]
    assert len(sources) > 40
    assert not [str(p) for p in sources if pattern.search(p.read_text())]


@pytest.mark.slow
def test_wheel_has_one_name(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {n.split("/")[0] for n in names if not n.split("/")[0].endswith(".dist-info")}
    assert top == {"s2e"}
    scene = ("scene.json", "episodes.json", "splats.spz", "occupancy.npz")
    shipped = (f"s2e/assets/{name}/{file}" for name in SUITES["gs_urban"] for file in scene)
    templates = ("policy/card.md", "benchmarks/report.html", "benchmarks/view/keys.html")
    for needed in ("s2e/rl/train.py", "s2e/envs/worlds.py", "s2e/assets/objects.npz", *shipped):
        assert needed in names
    assert {f"s2e/{name}" for name in templates} <= set(names)
