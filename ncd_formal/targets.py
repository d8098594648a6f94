"""Finds the program that a user names: ``path/to/file.py:name`` or ``package.module:name``."""

import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from ncd_formal.errors import InputError, one_line

# Files that were loaded, by resolved path: a file is run once, however often it is named.
_loaded: dict[Path, ModuleType] = {}

# The neighbours that a file imported, by module name, and the folder that they came from.
_neighbours: dict[str, Path] = {}


def load_target(text: str) -> object:
    """Loads the function, module or morphism that ``text`` names.

    What stands before the last colon is a file if it ends in ``.py`` or holds a path separator,
    and else the dotted name of a module, which may lie in the current folder.  What stands after
    it may be dotted too.  Loading a file twice gives the same objects; while it runs, its folder
    can be imported from, as when Python runs it.

    Raises:
        InputError: there is no colon; the file or module does not exist or cannot be imported;
            it has no such name; or what it names is no program, that is, neither callable nor a
            morphism, or a class rather than an instance of it.
    """
    place, colon, name = text.rpartition(":")
    if not (colon and place and name):
        raise InputError(
            f"{text!r} names no program: write path/to/file.py:name or package.module:name"
        )
    module = _load_file(Path(place)) if _is_path(place) else _load_module(place)
    return _as_program(text, _look_up(place, module, name))


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place


def _load_file(path: Path) -> ModuleType:
    """Runs a Python file as a module, once.

    Raises:
        InputError: it does not exist, is a folder, or raises while it runs.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a Python file")
        if not path.is_file():
            with_suffix = path.with_name(f"{path.name}.py")
            hint = f"; did you mean {with_suffix}?" if with_suffix.is_file() else ""
            raise InputError(f"the file {path} does not exist{hint}")
        resolved = path.resolve()
    except OSError as error:  # a name too long, or a folder that must not be entered
        raise InputError(f"the file {path} cannot be read: {error.strerror}") from error
    if resolved in _loaded:
        return _loaded[resolved]

    # The name is derived from the path, so that it is the same in every process, and two files
    # called model.py do not meet.  torch.export and dataclasses look modules up by this name.
    stem = re.sub(r"\W", "_", resolved.stem)
    digest = hashlib.sha256(str(resolved).encode("utf-8", "surrogateescape")).hexdigest()
    name = f"_ncd_target_{stem}_{digest[:12]}"
    loader = SourceFileLoader(name, str(resolved))
    spec = importlib.util.spec_from_file_location(name, resolved, loader=loader)
    if spec is None:  # only for a location that is no path
        raise InputError(f"the file {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _neighbours_of(resolved.parent):
            loader.exec_module(module)
    except KeyboardInterrupt:
        del sys.modules[name]
        raise
    except BaseException as error:  # a program may raise anything, SystemExit included
        del sys.modules[name]
        raise InputError(f"{path} cannot be imported: {_describe(error, resolved)}") from error
    _loaded[resolved] = module
    return module


def _load_module(name: str) -> ModuleType:
    """Imports a module by its dotted name, from the current folder first.

    Raises:
        InputError: it cannot be found, or raises while it is imported.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"{name!r} is neither a .py file nor the name of a module")
    try:
        with _importable(Path.cwd()):
            return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as above
        raise InputError(f"the module {name} cannot be imported: {_describe(error)}") from error


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Puts a folder first on the import path, and takes it off again."""
    entry = str(folder)
    sys.path.insert(0, entry)
    # Finders remember which files a folder holds; one written a moment ago must be seen.
    importlib.invalidate_caches()
    try:
        yield
    finally:
        # By value, once: the program may have changed the path, or even the list.
        if entry in sys.path:
            sys.path.remove(entry)


@contextmanager
def _neighbours_of(folder: Path) -> Iterator[None]:
    """Lets a file import its neighbours, and only its own.

    ``old/model.py`` and ``new/model.py`` may both import a ``layers`` that stands beside them.
    Python keeps modules by name alone, so the second would silently be given the first one's
    layers, and the two would be compared as if they shared them.  Neighbours from another folder
    are therefore set aside where this folder has a module of that name too.
    """
    for name, home in list(_neighbours.items()):
        if home != folder and _stands_in(folder, name):
            sys.modules.pop(name, None)
            del _neighbours[name]
    before = set(sys.modules)
    try:
        with _importable(folder):
            yield
    finally:
        for name in set(sys.modules) - before:
            # Not getattr: a lazy module may load itself, or raise, when it is asked.
            file = getattr(sys.modules[name], "__dict__", {}).get("__file__")
            if (
                isinstance(file, str)
                and Path(file).resolve().is_relative_to(folder)
                and _stands_in(folder, name)  # and not in an environment below the folder
            ):
                _neighbours[name] = folder


def _stands_in(folder: Path, module: str) -> bool:
    root = module.partition(".")[0]
    return (folder / root).is_dir() or (folder / f"{root}.py").is_file()


def _look_up(place: str, module: ModuleType, name: str) -> object:
    """Follows a dotted name from a module.

    Raises:
        InputError: there is no such name; names that are nearly it are suggested.
    """
    found: object = module
    seen = place
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [other for other in dir(found) if not other.startswith("_")]
            near = difflib.get_close_matches(part, names)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InputError(f"{seen} has no {part!r}{hint}") from None
        seen = f"{seen}:{part}" if seen == place else f"{seen}.{part}"
    return found


def _as_program(text: str, found: object) -> object:
    """Gives back what is a program.

    Raises:
        InputError: it is a class, or neither callable nor a morphism.
    """
    if isinstance(found, type):
        raise InputError(
            f"{text} is a class: name a function or an instance, such as model = {found.__name__}()"
        )
    if callable(found) or _is_morphism(found):
        return found
    raise InputError(
        f"{text} is a {type(found).__name__}: "
        "a program is a function on tensors, an nn.Module or a morphism"
    )


def _is_morphism(found: object) -> bool:
    # Whoever made a morphism has imported its class: nothing needs to be loaded to recognise one.
    classes = getattr(sys.modules.get("ncd_formal.morphisms"), "Morphism", ())
    return isinstance(found, classes)


def _describe(error: BaseException, file: Path | None = None) -> str:
    """Says in one line what went wrong, and on which line of the file where that is known."""
    place = ""
    if not isinstance(error, SyntaxError):  # whose message says it already
        step = error.__traceback__
        while step is not None:
            if file is not None and step.tb_frame.f_code.co_filename == str(file):
                place = f" (line {step.tb_lineno})"
            step = step.tb_next
    message = one_line(error)
    return f"{type(error).__name__}{': ' if message else ''}{message}{place}"
