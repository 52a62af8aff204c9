"""The build: all modules are compiled, or none; what is built and published has what it should."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import changed_since_built
from tests.wheels import SETTINGS

ROOT = Path(__file__).parents[1]
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
RECORD = f"sources{SUFFIX}.sha256"

# What the build of a package consists of, apart from the package.
ABOUT = ["LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.cfg", "setup.py"]


def setup_script() -> dict[str, Any]:
    """What is defined in ``setup.py``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("setuptools.setup", lambda **options: None)
        return runpy.run_path(str(ROOT / "setup.py"))


SETUP = setup_script()
MODULES: list[str] = SETUP["MODULES"]
SOURCES: dict[str, str] = {module: SETUP["source_of"](module) for module in MODULES}
PLACES = {Path("autobahnlike", "_compiled", SETUP["place_of"](module)) for module in MODULES}


class Project:
    """A package with modules of the same names, and nothing in them; so they are quickly compiled.

    Args:
        root: the folder of the project.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ABOUT:
            shutil.copy(ROOT / name, root / name)
        for source in SOURCES.values():
            path = root / source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("nothing = None\n")
            (path.parent / "__init__.py").touch()
        (root / "autobahnlike" / "__init__.py").write_text('__version__ = "1"\n')
        (root / "autobahnlike" / "wire" / "kernel.h").touch()

    def build(self, **environment: str) -> str:
        """Build in place and return what is said; that the build fails is an error."""
        return self.run("setup.py", "build_ext", "--inplace", **environment)

    def run(self, *arguments: str, **environment: str) -> str:
        inherited = {name: value for name, value in os.environ.items() if name != "AUTOBAHNLIKE_PURE"}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=inherited | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def compiled(self) -> set[Path]:
        """The compiled modules for this interpreter, wherever they are."""
        return {path.relative_to(self.root) for path in self.root.rglob(f"*{SUFFIX}")}

    def record(self) -> Path:
        return self.root / "autobahnlike" / "_compiled" / RECORD


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has been built."""
    project = Project(tmp_path_factory.mktemp("project"))
    assert "not compiled" not in project.build()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy of it, in which everything is as old as in the original."""
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True)
    copied = Project.__new__(Project)
    copied.root = tmp_path
    return copied


class TestAllOrNone:
    def test_all_modules_are_put_where_they_are_looked_for(self, built: Project) -> None:
        assert built.compiled() >= PLACES
        assert changed_since_built(built.root) == []

    def test_what_no_longer_compiles_leaves_none(self, project: Project) -> None:
        other = project.root / "autobahnlike" / "_compiled" / "wire" / "kernel.of-another-python.so"
        other.touch()
        source = project.root / SOURCES[MODULES[-1]]
        source.write_text("nothing = 1\n")
        source.with_suffix(".pxd").write_text('cdef extern from "there-is-no-such-file.h":\n    int something\n')
        said = project.build()
        assert f"not compiled (no compiler made {MODULES[-1]})" in said
        assert project.compiled() == set()
        assert not project.record().exists()
        assert other.exists()

    @pytest.mark.parametrize("environment", [{"CC": "false"}, {"CC": "/nowhere/cc"}, {"PATH": "/nowhere"}])
    def test_without_a_compiler_nothing_fails(self, project: Project, environment: dict[str, str]) -> None:
        for source in SOURCES.values():
            (project.root / source).write_text("nothing = 1\n")
        said = project.build(**environment)
        assert "it will run as pure Python" in said
        assert project.compiled() == set()

    def test_without_cython_nothing_fails(self, project: Project) -> None:
        code = "import sys; sys.modules['Cython'] = None; sys.argv = ['setup.py', 'build_ext', '--inplace']; "
        said = project.run("-c", f"{code}exec(open('setup.py').read())")
        assert "not compiled (Cython is not installed): it will run as pure Python" in said
        assert project.compiled() == set()

    def test_what_cython_refuses_is_an_error(self, project: Project) -> None:
        """It would be one on every machine."""
        (project.root / SOURCES[MODULES[0]]).write_text("cdef nonsense(\n")
        with pytest.raises(AssertionError, match="CompileError"):
            project.build()

    def test_modules_that_are_no_more_are_removed(self, project: Project) -> None:
        left_over = project.root / "autobahnlike" / "_compiled" / "wire" / f"former{SUFFIX}"
        left_over.touch()
        assert "not compiled" not in project.build()
        assert not left_over.exists()
        assert project.compiled() >= PLACES


class TestStaleness:
    """What keeps the tests from running against modules that are not made of the sources beside them."""

    @pytest.mark.parametrize("name", [*SOURCES.values(), "setup.py", "autobahnlike/wire/kernel.h"])
    def test_a_source_that_has_changed_is_named(self, project: Project, name: str) -> None:
        path = project.root / name
        path.write_text(path.read_text() + "\n")
        assert changed_since_built(project.root) == [name]

    def test_it_is_the_text_that_counts_not_the_time(self, project: Project) -> None:
        for name in SOURCES.values():
            (project.root / name).touch()
        assert changed_since_built(project.root) == []

    def test_types_that_are_new_or_gone_are_named(self, project: Project) -> None:
        (project.root / "autobahnlike" / "wire" / "output.pxd").touch()
        (project.root / "autobahnlike" / "wire" / "kernel.h").unlink()
        assert changed_since_built(project.root) == ["autobahnlike/wire/kernel.h", "autobahnlike/wire/output.pxd"]

    def test_modules_of_which_nothing_is_known_are_not_trusted(self, project: Project) -> None:
        project.record().unlink()
        assert changed_since_built(project.root) == [f"autobahnlike/_compiled/{RECORD}"]

    @pytest.mark.parametrize(
        ("change", "option", "message"),
        [
            (lambda path: path.write_text("nothing = 1\n"), [], "changed. Rebuild them with"),
            (lambda path: None, ["--speed", "pure"], "would not run at this speed: compiled"),
            (lambda path: None, [], "no tests ran"),
        ],
    )
    def test_no_test_runs_at_a_speed_that_is_not_meant(
        self, project: Project, change: Callable[[Path], object], option: list[str], message: str
    ) -> None:
        shutil.copy(ROOT / "autobahnlike" / "speed.py", project.root / "autobahnlike")
        (project.root / "tests").mkdir()
        shutil.copy(ROOT / "tests" / "conftest.py", project.root / "tests")
        change(project.root / SOURCES[MODULES[-1]])
        with pytest.raises(AssertionError, match=re.escape(message)):
            project.run("-m", "pytest", "tests", *option)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is published of the package as it is, unpacked."""
    directory = tmp_path_factory.mktemp("source")
    copied = directory / "copied"
    ignored = shutil.ignore_patterns(".*cache*", ".git", ".hypothesis", ".tox", ".venv", ".wstest", "build", "reports")
    shutil.copytree(ROOT, copied, ignore=ignored)
    command = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", str(directory), str(copied)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    [archive] = directory.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(directory, filter="data")
    return directory / archive.name.removesuffix(".tar.gz")


class TestWhatIsPublished:
    def test_the_source_has_what_it_is_built_from(self, source: Path) -> None:
        for end in ("py", "pyx", "pxd", "h"):
            expected = {path.relative_to(ROOT) for path in (ROOT / "autobahnlike").rglob(f"*.{end}")}
            assert {path.relative_to(source) for path in (source / "autobahnlike").rglob(f"*.{end}")} == expected
        assert all((source / name).exists() for name in [*ABOUT, "autobahnlike/py.typed", "tests/conftest.py"])

    def test_the_source_has_nothing_that_was_built(self, source: Path) -> None:
        assert not [
            path
            for path in source.rglob("*")
            if path.suffix in (".so", ".pyd", ".pyc", ".o", ".c") and "benchmarks" not in path.parts
        ]

    def test_a_wheel_without_compiled_modules_is_for_every_machine(self, source: Path, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(source)]
        subprocess.run(command, env=os.environ | {"AUTOBAHNLIKE_PURE": "1"}, stdout=subprocess.DEVNULL, check=True)
        [wheel] = tmp_path.glob("*.whl")
        assert wheel.name.endswith("-py3-none-any.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
        expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "autobahnlike").rglob("*.py")}
        pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "autobahnlike" / "demo").glob("*/*.*")}
        expected |= {page for page in pages if not page.endswith(".pyc")}
        assert names == expected | {"autobahnlike/py.typed", "twisted/plugins/autobahnlike_plugin.py"}


class TestWheels:
    @pytest.mark.parametrize(
        ("system", "ends"),
        [
            ("linux", ["manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"]),
            ("macos", ["macosx_x86_64", "macosx_arm64"]),
            ("windows", ["win_amd64", "win_arm64"]),
        ],
    )
    def test_there_is_one_for_each_interpreter_and_platform(self, system: str, ends: list[str]) -> None:
        command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", system]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        pythons = ["cp311", "cp312", "cp313", "cp314", "cp314t"]
        assert sorted(done.stdout.split()) == sorted(f"{python}-{end}" for python in pythons for end in ends)

    def test_each_is_tested_to_be_compiled(self) -> None:
        """``tests.wheels`` runs these commands."""
        files = [word for command in SETTINGS["test-command"] for word in command.split() if word.startswith("tests/")]
        assert files
        assert all((ROOT / name).exists() for name in files)
        assert [command for command in SETTINGS["test-command"] if "pytest --speed compiled" in command]

    def test_the_workflow_builds_all_of_them(self) -> None:
        workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "wheels.yml").read_text())
        compiled, universal = (workflow["jobs"][name] for name in ("compiled", "universal"))
        machines = [(each["platform"], each["arch"]) for each in compiled["strategy"]["matrix"]["include"]]
        assert machines == [
            (system, arch) for system in ("linux", "macos", "windows") for arch in SETTINGS[system]["archs"]
        ]
        commands = [step.get("run", "") for step in compiled["steps"]]
        assert any(
            "-m cibuildwheel --platform ${{ matrix.platform }} --archs ${{ matrix.arch }}" in one for one in commands
        )
        steps = {step.get("run"): step.get("env") for step in universal["steps"]}
        assert steps["python -m build --sdist"] is None
        assert steps["python -m build --wheel"] == {"AUTOBAHNLIKE_PURE": "1"}


class TestDeclarations:
    def test_the_modules_do_not_bring_the_lock_back(self) -> None:
        assert SETUP["DIRECTIVES"]["freethreading_compatible"] is True

    def test_no_module_keeps_what_changes(self) -> None:
        """No variable of C at the top of a module, but constants."""
        variable = re.compile(
            r"^cdef (?!class|enum|extern|inline|packed|struct|union)[\w ]+ \*?([a-z_]+)(\s*=.*)?$", re.MULTILINE
        )
        for path in [*(ROOT / "autobahnlike").rglob("*.pyx"), *(ROOT / "autobahnlike").rglob("*.pxd")]:
            assert not variable.search(path.read_text()), path
