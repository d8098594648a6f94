"""``load_target``: programs named as people name them, and one clear line for each that is not."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from ncd_formal.errors import InputError, one_line
from ncd_formal.targets import load_target


@pytest.fixture(autouse=True)
def _modules_as_before(tmp_path: Path) -> Iterator[None]:
    """Takes back the modules that a test wrote, so that the next one imports its own."""
    path = list(sys.path)
    yield
    for name, module in list(sys.modules.items()):
        if (file := vars(module).get("__file__")) and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]
    assert sys.path == path, "loading a target must leave the import path as it was"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def call(target: object, *arguments: object) -> object:
    return cast(Callable[..., object], target)(*arguments)


def problem(text: str) -> str:
    """The message for a target that cannot be used, which is always one line."""
    with pytest.raises(InputError) as caught:
        load_target(text)
    message = str(caught.value)
    assert message == one_line(message)
    return message


def test_a_function_in_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "model.py", "def twice(x):\n    return 2 * x\n")
    assert call(load_target(f"{file}:twice"), 21) == 42


def test_a_relative_path_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "model.py", "def twice(x):\n    return 2 * x\n")
    monkeypatch.chdir(tmp_path)
    assert call(load_target("model.py:twice"), 21) == 42


def test_a_name_in_a_module() -> None:
    import math

    assert load_target("math:sqrt") is math.sqrt
    assert load_target("os.path:join") is __import__("os").path.join


def test_a_module_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a_package" / "layers.py", "def twice(x):\n    return 2 * x\n")
    monkeypatch.chdir(tmp_path)
    assert call(load_target("a_package.layers:twice"), 21) == 42


def test_a_dotted_name(tmp_path: Path) -> None:
    file = write(
        tmp_path / "model.py",
        "class Layer:\n    def forward(self, x):\n        return x + 1\n\nlayer = Layer()\n",
    )
    assert call(load_target(f"{file}:layer.forward"), 1) == 2


def test_a_module_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    file = write(tmp_path / "model.py", "import torch\nlinear = torch.nn.Linear(2, 3)\n")
    assert isinstance(load_target(f"{file}:linear"), torch.nn.Linear)


def test_a_file_is_run_once(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "placeholder.py", "")
    file = write(tmp_path / "model.py", "def f(x):\n    return x\n\ndef g(x):\n    return f(x)\n")
    first = load_target(f"{file}:f")
    again = load_target(f"{tmp_path}/elsewhere/../model.py:f")
    assert first is again
    other = load_target(f"{file}:g")
    assert sys.modules[other.__module__].__dict__["f"] is first


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    old = write(tmp_path / "old" / "model.py", "def f():\n    return 'old'\n")
    new = write(tmp_path / "new" / "model.py", "def f():\n    return 'new'\n")
    assert call(load_target(f"{old}:f")) == "old"
    assert call(load_target(f"{new}:f")) == "new"


def test_a_file_imports_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "a_neighbour.py", "def twice(x):\n    return 2 * x\n")
    file = write(tmp_path / "model.py", "from a_neighbour import twice\n")
    assert call(load_target(f"{file}:twice"), 21) == 42


def test_a_file_imports_its_own_neighbours_and_not_another_folders(tmp_path: Path) -> None:
    """Else a change in ``new/layers.py`` would be judged by ``old/layers.py``, and be 'proved'."""
    for version in ("old", "new"):
        write(tmp_path / version / "layers" / "__init__.py", f"def f():\n    return {version!r}\n")
        write(tmp_path / version / "layers" / "more.py", f"def g():\n    return {version!r}\n")
        write(
            tmp_path / version / "model.py",
            "from layers import f\nfrom layers.more import g\n",
        )
        write(tmp_path / version / "other.py", "import layers\nh = layers.f\n")
    for version in ("old", "new"):
        for name in ("f", "g"):
            assert call(load_target(f"{tmp_path}/{version}/model.py:{name}")) == version
        assert call(load_target(f"{tmp_path}/{version}/other.py:h")) == version
    same = load_target(f"{tmp_path}/new/model.py:f"), load_target(f"{tmp_path}/new/other.py:h")
    assert same[0] is same[1], "two files of one folder share its modules"


def test_a_file_whose_name_is_no_identifier(tmp_path: Path) -> None:
    file = write(tmp_path / "my-model 2.py", "def f():\n    return 1\n")
    assert call(load_target(f"{file}:f")) == 1


@pytest.mark.parametrize("text", ["", "model.py", "model.py:", ":f", ":"])
def test_no_program_is_named(text: str) -> None:
    assert "path/to/file.py:name or package.module:name" in problem(text)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    assert problem(f"{tmp_path}/absent.py:f") == f"the file {tmp_path}/absent.py does not exist"


def test_a_file_whose_suffix_was_forgotten(tmp_path: Path) -> None:
    file = write(tmp_path / "model.py", "")
    assert problem(f"{tmp_path}/model:f").endswith(f"did you mean {file}?")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in problem(f"{tmp_path}:f")


def test_a_path_that_the_system_refuses(tmp_path: Path) -> None:
    assert "cannot be read" in problem(f"{tmp_path}/{'a' * 5000}.py:f")


def test_a_module_that_does_not_exist() -> None:
    assert problem("no_such_package.module:f") == (
        "the module no_such_package.module cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_package'"
    )


@pytest.mark.parametrize("text", ["..relative:f", "1st:f", "a b:f", "a-b:f"])
def test_what_is_neither_a_file_nor_a_module(text: str) -> None:
    assert "neither a .py file nor the name of a module" in problem(text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\n1 / 0\n", "ZeroDivisionError: division by zero (line 2)"),
        ("def f(:\n", "SyntaxError: invalid syntax (model.py, line 1)"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0 (line 2)"),
        ("raise BaseException\n", "BaseException (line 1)"),
        ("raise ValueError('two\\nlines')\n", "ValueError: two lines (line 1)"),
        ("def g():\n    f()\n\ng()\n", "NameError: name 'f' is not defined (line 2)"),
        ("import no_such_neighbour\n", "No module named 'no_such_neighbour' (line 1)"),
        ("\0", "source code string cannot contain null bytes"),
    ],
)
def test_a_file_that_raises(tmp_path: Path, source: str, expected: str) -> None:
    file = write(tmp_path / "model.py", source)
    message = problem(f"{file}:f")
    assert message.startswith(f"{file} cannot be imported: ")
    assert expected in message
    write(file, "def f():\n    return 'mended'\n")
    assert call(load_target(f"{file}:f")) == "mended", "a failure is not kept"


def test_an_interrupt_is_no_unusable_input(tmp_path: Path) -> None:
    file = write(tmp_path / "model.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_target(f"{file}:f")


def test_a_name_that_is_missing(tmp_path: Path) -> None:
    file = write(tmp_path / "model.py", "def attention(q):\n    return q\n")
    assert problem(f"{file}:attentoin") == f"{file} has no 'attentoin'; did you mean attention?"
    assert problem(f"{file}:xyz") == f"{file} has no 'xyz'"
    assert problem(f"{file}:attention.more") == f"{file}:attention has no 'more'"


@pytest.mark.parametrize(
    ("source", "kind"),
    [("f = 3", "int"), ("f = [1]", "list"), ("f = None", "NoneType"), ("import math as f", "mod")],
)
def test_what_is_no_program(tmp_path: Path, source: str, kind: str) -> None:
    file = write(tmp_path / "model.py", source)
    message = problem(f"{file}:f")
    assert f"is a {kind}" in message
    assert "a function on tensors, an nn.Module or a morphism" in message


def test_a_class_is_no_program(tmp_path: Path) -> None:
    file = write(tmp_path / "model.py", "class Model: ...\n")
    assert "is a class: name a function or an instance" in problem(f"{file}:Model")


def test_the_message_of_an_input_error_is_one_line() -> None:
    assert str(InputError("q is\n  (2, 3)\tand k is\n(4,)")) == "q is (2, 3) and k is (4,)"
