"""Only the compiled modules; everything else about the package stands in setup.cfg.

Each is compiled from the Python source that would otherwise run, with the types of the ``.pxd`` file beside it, and
goes to ``autobahnlike/_compiled``, where ``autobahnlike.speed`` finds it. Without a compiler there are none.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = Path("autobahnlike")
FOLDER = "_compiled"

KERNEL = "autobahnlike.wire.kernel"

# Their second source is not Python.
WRITTEN_TWICE = [KERNEL]
if sys.platform != "win32":
    WRITTEN_TWICE.append("autobahnlike.websocket.direct")

MODULES = [
    *WRITTEN_TWICE,
    "autobahnlike.wire.output",
    "autobahnlike.wire.messages",
    "autobahnlike.wire.keepalive",
    "autobahnlike.wire.delivery",
    "autobahnlike.wire.headers",
    "autobahnlike.wire.http11",
    "autobahnlike.wire.handshake",
    "autobahnlike.wire.opening",
    "autobahnlike.wire.connection",
    "autobahnlike.websocket.prepared",
    "autobahnlike.websocket.session",
    "autobahnlike.websocket.server",
    "autobahnlike.websocket.channel",
]

DIRECTIVES = {
    "language_level": "3",
    # Annotations are for readers and mypy; C types stand in the .pxd files.
    "annotation_typing": False,
    "wraparound": False,
    # Nobody pickles a connection.
    "auto_pickle": False,
    # Nothing is shared but what never changes; a connection belongs to one thread, as without this.
    "freethreading_compatible": True,
    # Not "subinterpreters_compatible": that needs CYTHON_USE_MODULE_STATE and CYTHON_USE_TYPE_SPECS, with which a
    # message costs 70 to 90 % more, in every interpreter. Subinterpreters run the source in Python: autobahnlike.speed.
}

# With debug information the modules are five times as large. Only the kernel's loops gain from more than -O2.
UNIX_ARGUMENTS = ["-g0", "-O2"]
UNIX_KERNEL_ARGUMENTS = ["-g0", "-O3"]

# The end of the names of extension modules for this interpreter; those of others may stand beside them.
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX")


def source_of(module: str) -> str:
    """Return the path of what a module is compiled from."""
    return module.replace(".", "/") + (".pyx" if module in WRITTEN_TWICE else ".py")


def place_of(module: str) -> Path:
    """Return where in FOLDER a compiled module is."""
    _, *parts = module.split(".")
    return Path(*parts).with_suffix(SUFFIX)


def extensions() -> list[Extension]:
    """Return the modules to compile: none if AUTOBAHNLIKE_PURE says so while building."""
    if os.environ.get("AUTOBAHNLIKE_PURE", "0") not in ("", "0"):
        return []
    depends = ["setup.py", str(PACKAGE / "wire" / "kernel.h")]
    return [Extension(name, [source_of(name)], depends=depends, optional=True) for name in MODULES]


def record_sources(path: Path) -> None:
    """Write from what the modules are made, as ``sha256sum`` does, for whoever wants to know whether it still is so."""
    types = [found for suffix in ("pyx", "pxd", "h") for found in PACKAGE.rglob(f"*.{suffix}")]
    sources = sorted({Path("setup.py"), *map(Path, map(source_of, MODULES)), *types})
    lines = [f"{hashlib.sha256(source.read_bytes()).hexdigest()}  {source.as_posix()}\n" for source in sources]
    path.write_text("".join(lines), encoding="utf-8")


class BuildCompiled(build_ext):
    """Puts the modules aside, and is content with none: half of them would be a third speed that nobody tests."""

    def get_ext_fullname(self, ext_name: str) -> str:
        """Say where a module goes, as a dotted name."""
        package, _, rest = super().get_ext_fullname(ext_name).partition(".")
        return f"{package}.{FOLDER}.{rest}"

    def finalize_options(self) -> None:
        """Use all processors."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        """Build all modules, or none."""
        self.built: set[str] = set()
        if not self.translate():
            self.give_up("Cython is not installed")
            return
        for folder in self.folders():
            for name in MODULES:
                (folder / place_of(name)).parent.mkdir(parents=True, exist_ok=True)
        super().run()
        if self.built != set(MODULES):
            self.give_up(f"no compiler made {', '.join(sorted(set(MODULES) - self.built))}")
            return
        self.remove_others(self.built)
        if self.inplace:
            record_sources(PACKAGE / FOLDER / f"sources{SUFFIX}.sha256")

    def translate(self) -> bool:
        """Make C of the sources; False if there is no Cython. What Cython refuses is an error, here and everywhere."""
        try:
            from Cython.Build import cythonize
        except ImportError:
            return False
        c_files = [Path("build", "cython", source_of(name)).with_suffix(".c") for name in MODULES]
        changed = Path("setup.py").stat().st_mtime
        force = self.force or any(path.exists() and path.stat().st_mtime < changed for path in c_files)
        modules = [Extension(name, [source_of(name)]) for name in MODULES]
        translated = cythonize(
            modules, build_dir="build/cython", compiler_directives=DIRECTIVES, include_path=["."], force=force
        )
        sources = {module.name: module.sources for module in translated}
        for extension in self.extensions:
            extension.sources = sources[extension.name]
        return True

    def build_extensions(self) -> None:
        """Choose the arguments, now that it is known for which compiler."""
        if self.compiler.compiler_type != "msvc":
            for extension in self.extensions:
                extension.extra_compile_args = UNIX_KERNEL_ARGUMENTS if extension.name == KERNEL else UNIX_ARGUMENTS
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        """Build a module, and remember that it was."""
        super().build_extension(ext)
        self.built.add(ext.name)

    def folders(self) -> list[Path]:
        """Where the modules of this build are put."""
        folders = [Path(self.build_lib, PACKAGE, FOLDER)]
        return [*folders, PACKAGE / FOLDER] if self.inplace else folders

    def remove_others(self, modules: Iterable[str]) -> None:
        """Remove what earlier builds for this interpreter left, but not these modules."""
        for folder in self.folders():
            kept = {folder / place_of(module) for module in modules}
            for path in [*folder.rglob(f"*{SUFFIX}"), folder / f"sources{SUFFIX}.sha256"]:
                if path not in kept:
                    path.unlink(missing_ok=True)

    def give_up(self, reason: str) -> None:
        """Leave a package without compiled modules, and say so."""
        self.remove_others(())
        self.warn(f"autobahnlike is not compiled ({reason}): it will run as pure Python, correctly but slower")


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildCompiled})
