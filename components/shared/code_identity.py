"""What a step's code does, as a hash in its cache key: changed logic runs the step again, a changed comment does not.

The hash follows the imports of a module inside the project, and those of a model outside of it to its own package and
its neighbours, so nobody keeps a list of what a step uses. It is taken of the syntax trees without comments,
docstrings, blank space and the wording of log messages, and is the same on all versions of Python that the project runs
on.
"""

import ast
import functools
import hashlib
import importlib.abc
import importlib.util
import pathlib
import sys
import sysconfig
from collections.abc import Iterator, Sequence

PROJECT = "components"  # the package whose modules are followed
RESOURCES = (".j2", ".css", ".js")  # files beside a module that are part of what its step writes
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LOGGERS = {"logging", "LOGGER"}
ROOT = pathlib.Path(__file__).parents[2]
# where packages are installed: what lies beside a module there does not belong to it
INSTALLED = {pathlib.Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")}


class CodeChangedError(RuntimeError):
    """The code was edited while this process runs, and what it would run is not what was hashed."""


@functools.cache
def code_identity(*modules: str) -> str:
    """Hashes what the code of some modules does, with all modules of the project that they import.

    Args:
      *modules: dotted names, for example `components.trainer.executor`. They are found, not imported.

    Returns:
      16 hexadecimal digits of a SHA-256.

    Raises:
      ModuleNotFoundError: there is no such module.
    """
    return identity_below(ROOT, modules)


def check_identity(identity: str, *modules: str) -> None:
    """Checks that a worker process, which imports the code anew, runs what another process has hashed.

    Args:
      identity: what `code_identity` has returned there.
      *modules: dotted names.

    Raises:
      CodeChangedError: the worker has other code.
    """
    if code_identity(*modules) != identity:
        raise CodeChangedError(f"the code of {', '.join(modules)} was edited while this step runs; run again")


def identity_below(root: pathlib.Path, modules: Sequence[str]) -> str:
    """Hashes what the code of some modules does, in a copy of the project; see `code_identity`.

    Args:
      root: directory that holds the package `components`.
      modules: dotted names.
    """
    files = modules_used(root, modules)
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0{behavior(_read(path).decode())}\0".encode())
    for folder in sorted({path.parent for path in files.values()}):
        for file in sorted(folder.iterdir()):
            if file.suffix in RESOURCES:
                digest.update(f"{file.name}\0".encode() + _read(file))
    return digest.hexdigest()[:16]


def modules_used(root: pathlib.Path, modules: Sequence[str]) -> dict[str, pathlib.Path]:
    """Module -> file, of some modules and of all modules of the project that they import.

    Raises:
      ModuleNotFoundError: there is no such module.
    """
    files: dict[str, pathlib.Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in files:
            continue
        path = _file_of(root, name)
        if path is None:
            raise ModuleNotFoundError(f"no module {name}")
        files[name] = path
        parent = name.rpartition(".")[0]
        waiting += [parent] if parent else []  # a package's own code runs before its modules
        package = name if path.name == "__init__.py" else parent
        followed = {PROJECT, package.partition(".")[0]} | _neighbors(name, path)
        for imported in _imports(_read(path).decode(), package):
            if imported.partition(".")[0] not in followed:
                continue
            # `from a import b` names a module of the package, or something in it
            waiting += [imported] if _file_of(root, imported) else []
    return files


def _neighbors(name: str, path: pathlib.Path) -> set[str]:
    """The modules and packages beside the top level of a module that is neither the project's nor installed."""
    if name.partition(".")[0] == PROJECT:
        return set()
    is_package = path.name == "__init__.py"
    folder = path.parents[name.count(".") + is_package]
    if folder.resolve() in INSTALLED:
        return set()
    return {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}


def _read(path: pathlib.Path) -> bytes:
    """The content of a source file: of this project, as it was when this process began."""
    return _SOURCES[path] if path in _SOURCES else path.read_bytes()


@functools.lru_cache(maxsize=1024)
def behavior(source: str) -> str:
    r"""Serializes a module's syntax tree without what does not change its behavior.

    >>> behavior("def f():\n    'Returns one.'\n    return 1  # one") == behavior("def f(): return 1")
    True
    """
    return "".join(_serialize(_Strip().visit(ast.parse(source))))


class _Strip(ast.NodeTransformer):
    """Removes strings that stand alone, as docstrings do, type-checking imports, and the wording of log messages."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if _is_type_checking(node) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in LOG_METHODS:
            owner = function.value
            if isinstance(owner, ast.Name) and owner.id in LOGGERS:
                node.args = [_without_wording(argument) for argument in node.args]
        return self.generic_visit(node)


def _without_wording(node: ast.expr) -> ast.expr:
    """A log call's argument; the wording of a text is empty, what is formatted into an f-string stays."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ast.Constant("")
    if isinstance(node, ast.JoinedStr):
        node.values = [part for part in node.values if not isinstance(part, ast.Constant)]
    return node


def _is_type_checking(node: ast.If) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", None)
    return name == "TYPE_CHECKING"


def _serialize(node: object) -> Iterator[str]:
    """A syntax tree as text; unlike `ast.dump` without fields that are empty, which differ between versions."""
    if isinstance(node, ast.AST):
        yield f"{type(node).__name__}("
        for name, value in ast.iter_fields(node):
            if value is None or value == [] or name in ("ctx", "kind", "type_comment"):
                continue
            yield f"{name}="
            yield from _serialize(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for element in node:
            yield from _serialize(element)
            yield ","
        yield "]"
    else:
        yield repr(node)


@functools.lru_cache(maxsize=1024)
def _imports(source: str, package: str) -> tuple[str, ...]:
    """Names that a module imports anywhere, also inside functions.

    Args:
      source: the module's code.
      package: the dotted name of the package that it is in, or that it is; "" for a module without a package.
    """
    names: list[str] = []
    for node in ast.walk(_Strip().visit(ast.parse(source))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _file_of(root: pathlib.Path, name: str) -> pathlib.Path | None:
    """The file of a module, or of a package's `__init__`; None if there is no such module."""
    package, *parts = name.split(".")
    place = root / package
    if package != PROJECT:  # a model, say, that a user has added
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return None
        place = pathlib.Path(spec.origin).parent if spec.submodule_search_locations else pathlib.Path(spec.origin)
    place = place.joinpath(*parts)
    candidates = (place, place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


class _Guard(importlib.abc.MetaPathFinder):
    """Refuses to import code that was edited since this process began: its results would go under the old identity."""

    def find_spec(self, fullname, path=None, target=None) -> None:
        """Finds nothing, and so leaves the import to the finders that come after it.

        Raises:
          CodeChangedError: the module's file is not what it was.
        """
        if fullname.startswith(f"{PROJECT}.") and fullname not in sys.modules:
            file = _file_of(ROOT, fullname)
            if file in _SOURCES and file.read_bytes() != _SOURCES[file]:
                raise CodeChangedError(f"{file} was edited while this process runs; run again")


# taken before any other module of the project is imported, see `components`
_SOURCES = {
    file: file.read_bytes() for file in (ROOT / PROJECT).rglob("*") if file.suffix == ".py" or file.suffix in RESOURCES
}
sys.meta_path.insert(0, _Guard())
