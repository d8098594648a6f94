"""The command line: exit codes, what goes to which stream, and one clear line for wrong use.

``prove``, ``derive`` and the checker are stood in for here: what they find is tested with them.
"""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ncd_formal import __version__
from ncd_formal.cli import main
from ncd_formal.doctor import Finding, State
from ncd_formal.errors import InputError

ROOT = Path(__file__).parents[1]

# Named by the contract as slow to load, or not always installed.
HEAVY = ("torch", "triton", "egglog", "z3")


@dataclass
class Outcome:
    """What a run of the command line did."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of a run that went wrong."""
        assert self.out == ""
        assert self.err.count("\n") == 1
        assert self.err.startswith("ncd: ")
        return self.err.removeprefix("ncd: ").rstrip("\n")


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return run


def spawn(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """Starts the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ncd_formal.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class StandInCertificateError(Exception):
    """A certificate that does not hold."""


StandInCertificateError.__module__ = "ncd_formal.certificate"


@dataclass
class StandInReport:
    steps: int = 41
    lemmas: int = 7
    rules: tuple[str, ...] = ("sum-split", "exp-add")
    conditions: tuple[str, ...] = ("n >= 1",)
    unproved: tuple[str, ...] = ()


@dataclass
class StandInCertificate:
    """Saves itself as its own text; loads anything but the word "damaged"."""

    text: str = "a proof\n"
    fails: str = ""

    @classmethod
    def load(cls, path: Path) -> "StandInCertificate":
        text = path.read_text(encoding="utf-8") if path.is_file() else "damaged"
        if text == "damaged":
            raise InputError(f"the certificate {path} is damaged")
        return cls(text, text.partition("fails: ")[2])

    def save(self, path: Path) -> None:
        path.write_text(self.text, encoding="utf-8")

    def check(self, rules: str = "") -> StandInReport:
        if self.fails:
            raise StandInCertificateError(self.fails)
        return StandInReport()


@dataclass
class StandInCounterexample:
    script: str = "import torch\nprint('differs')\n"


@dataclass
class StandInVerdict:
    status: str = "proved"
    certificate: StandInCertificate | None = field(default_factory=StandInCertificate)
    counterexample: StandInCounterexample | None = None

    def explain(self) -> str:
        return f"{self.status}: ∀ n ≥ 1\n"

    def to_json(self) -> dict[str, Any]:
        return {"status": self.status, "sizes": {"n": 1}, "inputs": {"q": [float("-inf"), 0.5]}}


class StandInDerivation:
    def explain(self) -> str:
        return "two steps\n"

    def to_json(self) -> dict[str, Any]:
        return {"steps": ["stream m", "group n"]}

    def save(self, folder: Path) -> None:
        (folder / "kernel.py").write_text("kernel\n", encoding="utf-8")
        (folder / "proof").mkdir()
        (folder / "proof" / "certificate.json").write_text("{}\n", encoding="utf-8")


class StandInCosted:
    def explain(self) -> str:
        return "H = 3"

    def to_json(self) -> dict[str, object]:
        return {"transfers": 3}


class Stage:
    """The modules that the command line calls, replaced; remembers how they were called."""

    def __init__(self) -> None:
        self.verdict = StandInVerdict()
        self.calls: list[dict[str, Any]] = []
        self.error: BaseException | None = None
        self.during: Callable[[], None] = lambda: None

    def _work(self, **arguments: Any) -> None:
        self.calls.append(arguments)
        self.during()
        if self.error is not None:
            raise self.error

    def prove(
        self,
        left: object,
        right: object,
        inputs: Mapping[str, str],
        assume: Sequence[str] = (),
        parameters: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        rules: str = "",
        find_conditions: bool = True,
    ) -> StandInVerdict:
        self._work(
            left=left,
            right=right,
            inputs=inputs,
            assume=assume,
            parameters=parameters,
            timeout=timeout,
            rules=rules,
            find_conditions=find_conditions,
        )
        return self.verdict

    def derive(
        self,
        target: object,
        inputs: Mapping[str, str],
        hardware: str = "h100",
        sizes: Mapping[str, int] | None = None,
    ) -> StandInDerivation:
        self._work(target=target, inputs=inputs, hardware=hardware, sizes=sizes)
        return StandInDerivation()

    def estimate(
        self,
        target: object,
        inputs: Mapping[str, str],
        hardware: object = "h100",
        sizes: Mapping[str, int] | None = None,
    ) -> StandInCosted:
        self._work(target=target, inputs=inputs, hardware=hardware, sizes=sizes)
        return StandInCosted()

    def confirm(self, certificate: object, left: object, right: object) -> None:
        self._work(certificate=certificate, left=left, right=right)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    members: dict[str, dict[str, object]] = {
        "equivalence": {"prove": stage.prove, "confirm": stage.confirm},
        "derivation": {"derive": stage.derive, "estimate": stage.estimate},
        "derivation.roofline": {"drawing": lambda found: "<svg/>"},
        "certificate": {
            "Certificate": StandInCertificate,
            "CertificateError": StandInCertificateError,
        },
    }
    for name, values in members.items():
        module = ModuleType(f"ncd_formal.{name}")
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return stage


@pytest.fixture
def program(tmp_path: Path) -> str:
    file = tmp_path / "model.py"
    file.write_text("print('loading')\ndef f(q):\n    return q\nnumber = 3\n", encoding="utf-8")
    return f"{file}:f"


# What each command answers


@pytest.mark.parametrize("status, code", [("proved", 0), ("refuted", 1), ("undecided", 3)])
def test_the_exit_code_of_prove_is_the_verdict(
    run: Run, stage: Stage, program: str, status: str, code: int
) -> None:
    stage.verdict.status = status
    outcome = run("prove", program, program)
    assert outcome.code == code
    assert outcome.out == f"{status}: ∀ n ≥ 1\n"


def test_prove_is_given_what_the_options_say(run: Run, stage: Stage, program: str) -> None:
    run(
        *("prove", program, program, "--input", "q=b h n d", "--input", " mask = b 1 n m : bool"),
        *("--assume", "n >= 1", "--assume", "n == m", "--timeout", "2.5"),
        *("--parameter", "layer.weight=a * weight", "--input", "scalar=", "--no-conditions"),
    )
    (call,) = stage.calls
    assert call["left"] is call["right"]
    assert call["inputs"] == {"q": "b h n d", "mask": "b 1 n m : bool", "scalar": ""}
    assert call["assume"] == ("n >= 1", "n == m")
    assert call["parameters"] == {"layer.weight": "a * weight"}
    assert call["timeout"] == 2.5 and call["find_conditions"] is False


def test_a_refutation_shows_a_script(run: Run, stage: Stage, program: str) -> None:
    stage.verdict = StandInVerdict("refuted", None, StandInCounterexample())
    assert "import torch\nprint('differs')\n" in run("prove", program, program).out


def test_derive_is_given_what_the_options_say(run: Run, stage: Stage, program: str) -> None:
    options = ("--input", "q=n d", "--size", "n=4096", "--size", "d=64", "--hardware", "h200")
    outcome = run("derive", program, *options)
    assert (outcome.code, outcome.out) == (0, "two steps\n")
    (call,) = stage.calls
    assert call["inputs"] == {"q": "n d"}
    assert (call["hardware"], call["sizes"]) == ("h200", {"n": 4096, "d": 64})


def test_cost_is_given_what_the_options_say(run: Run, stage: Stage, program: str) -> None:
    options = ("--input", "q=n d", "--size", "n=4096", "--hardware", "h200")
    outcome = run("cost", program, *options)
    assert (outcome.code, outcome.out) == (0, "H = 3\n")
    (call,) = stage.calls
    assert call["inputs"] == {"q": "n d"}
    assert (call["hardware"], call["sizes"]) == ("h200", {"n": 4096})
    outcome = run("cost", program, "--hardware", "131072", "--json")
    assert json.loads(outcome.out) == {"transfers": 3}
    assert stage.calls[1]["hardware"] == {"memory": 131072}


def test_cost_draws_only_with_sizes(run: Run, stage: Stage, program: str, tmp_path: Path) -> None:
    outcome = run("cost", program, "--plot", tmp_path / "roof.svg")
    assert outcome.code == 2
    assert outcome.complaint == "--plot needs sizes: give them with --size"
    assert not stage.calls
    outcome = run("cost", program, "--plot", tmp_path / "roof.svg", "--size", "n=4")
    assert outcome.code == 0
    assert (tmp_path / "roof.svg").read_text(encoding="utf-8") == "<svg/>"


def test_derive_writes_a_folder(run: Run, stage: Stage, program: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "attention"
    outcome = run("derive", program, "--out", folder)
    assert outcome.code == 0
    assert (folder / "kernel.py").read_text() == "kernel\n"
    assert f"ncd: wrote {folder}/kernel.py\n" in outcome.err
    (folder / "kernel.py").write_text("old")
    (folder / "mine.txt").write_text("kept")
    assert run("derive", program, "--out", folder).code == 0
    assert sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*")) == [
        "kernel.py",
        "mine.txt",
        "proof",
        "proof/certificate.json",
    ]
    assert (folder / "kernel.py").read_text() == "kernel\n"


def test_check_says_what_holds(run: Run, stage: Stage, tmp_path: Path, program: str) -> None:
    file = tmp_path / "proof.json"
    file.write_text("a proof")
    outcome = run("check", file)
    assert outcome.code == 0
    assert outcome.out == (
        "holds: 41 steps, 7 lemmas\nrules: sum-split, exp-add\nconditions: n >= 1\n"
    )
    assert not stage.calls
    outcome = run("check", file, "--left", program, "--right", program)
    assert outcome.code == 0
    assert outcome.out.endswith(f"about: {program} = {program}\n")
    assert len(stage.calls) == 1


def test_check_says_what_does_not_hold(run: Run, stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    file.write_text("fails: step 3 is no instance\nof its rule")
    outcome = run("check", file)
    assert (outcome.code, outcome.err) == (1, "")
    assert outcome.out == "does not hold: step 3 is no instance of its rule\n"


def test_a_certificate_about_other_programs(
    run: Run, stage: Stage, tmp_path: Path, program: str
) -> None:
    file = tmp_path / "proof.json"
    file.write_text("a proof")
    stage.error = StandInCertificateError("it is about other programs")
    outcome = run("check", file, "--left", program, "--right", program)
    assert outcome.code == 1
    assert outcome.out == "does not hold: it is about other programs\n"


def test_doctor_examines_this_installation(run: Run) -> None:
    outcome = run("doctor", "--json")
    result = json.loads(outcome.out)
    assert result["version"] == __version__
    assert outcome.code == (0 if result["healthy"] else 1)
    findings = result["findings"]
    assert findings["python"]["state"] == findings["egglog"]["state"] == "ok"
    assert {"numpy", "z3-solver", "torch", "triton", "gpu", "rules", "coq", "interpreter"} < set(
        findings
    )


def test_doctor_lists_operators(run: Run) -> None:
    outcome = run("doctor", "--ops", "--json")
    assert outcome.code == 0
    listed = json.loads(outcome.out)
    states = {name: row["state"] for name, row in listed["operators"].items()}
    assert states["aten.softmax.int"] == states["aten._assert_async.msg"] == "known"
    assert states["aten.topk.default"] == states["aten.asin.default"] == "opaque"
    assert states["aten.rand.default"] == states["aten.nonzero.default"] == "refused"
    assert sum(listed["counts"].values()) == len(states)
    plain = run("doctor", "--ops")
    assert "refused  aten.rand.default" in plain.out
    assert "draws random numbers" in plain.out
    assert "opaque for a step" in plain.out


@pytest.mark.parametrize("state, code", [("ok", 0), ("missing", 0), ("broken", 1)])
def test_doctor_fails_on_what_is_broken(
    run: Run, monkeypatch: pytest.MonkeyPatch, state: State, code: int
) -> None:
    findings = [Finding("numpy", "ok", "2.4.6"), Finding("triton", state, "as it is")]
    monkeypatch.setattr("ncd_formal.doctor.examine", lambda: iter(findings))
    outcome = run("doctor")
    assert outcome.code == code
    assert outcome.out.splitlines()[0] == f"ncd_formal {__version__}"
    assert outcome.out.splitlines()[2].split() == [state, "triton", "as", "it", "is"]


def test_version(run: Run) -> None:
    outcome = run("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"ncd_formal {__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["prove"], ["derive"], ["check"], ["doctor"]])
def test_help(run: Run, command: list[str]) -> None:
    outcome = run(*command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Usage: ncd")


# Streams


@pytest.mark.parametrize(
    "arguments",
    [["prove", "PROGRAM", "PROGRAM"], ["derive", "PROGRAM"], ["check", "CERTIFICATE"]],
    ids=lambda arguments: arguments[0],
)
def test_json_is_all_that_standard_output_holds(
    run: Run, stage: Stage, program: str, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "proof.json").write_text("a proof")
    names = {"PROGRAM": program, "CERTIFICATE": tmp_path / "proof.json"}
    stage.during = lambda: print("the program prints while it is traced")
    outcome = run(*(names.get(argument, argument) for argument in arguments), "--json")
    assert outcome.code == 0
    value = json.loads(outcome.out, parse_constant=pytest.fail)
    assert isinstance(value, dict)
    if arguments[0] == "prove":
        assert value["inputs"] == {"q": ["-inf", 0.5]}, "JSON has no infinities"
        assert outcome.err == "loading\nthe program prints while it is traced\n"


def test_a_rejected_certificate_as_json(run: Run, stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    file.write_text("fails: step 3")
    outcome = run("check", file, "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out) == {"holds": False, "reason": "step 3"}


def test_warnings_are_shown_and_progress_only_on_a_terminal(
    run: Run, stage: Stage, program: str
) -> None:
    import logging

    def work() -> None:
        logging.getLogger("ncd_formal.egraph").info("saturating")
        logging.getLogger("ncd_formal.egraph").warning("an opaque\noperator")

    stage.during = work
    outcome = run("prove", program, program)
    assert outcome.err == "loading\nncd: an opaque operator\n"
    assert not logging.getLogger("ncd_formal").handlers


def on_a_terminal(*arguments: object, **environment: str) -> str:
    """What the command line writes to standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ncd_formal.cli", *map(str, arguments)],
        cwd=ROOT,
        env={"PATH": os.defpath, "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    written = bytearray()
    try:
        while piece := os.read(ours, 4096):
            written += piece
    except OSError:  # how Linux reports that nobody writes to it any more
        pass
    finally:
        os.close(ours)
        process.wait(timeout=60)
    return written.decode()


def test_a_terminal_shows_progress(tmp_path: Path) -> None:
    file = tmp_path / "slow.py"
    file.write_text("import time; time.sleep(0.5); raise ValueError('after a while')")
    colourful = on_a_terminal("prove", f"{file}:f", f"{file}:f")
    assert "proving" in colourful
    assert "after a while" in colourful
    plain = on_a_terminal("prove", f"{file}:f", f"{file}:f", NO_COLOR="1")
    assert "proving" in plain
    assert "\x1b[3" in colourful, "colours"
    assert "\x1b[3" not in plain, "no colours"


def test_a_reader_that_leaves_is_no_error() -> None:
    process = spawn("--version")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=60)


def test_signs_that_a_terminal_does_not_know(program: str) -> None:
    process = spawn("prove", f"{program}_ℝ", program, PYTHONIOENCODING="ascii")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in err


# Wrong use: exit code 2, one clear line


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "Missing command (see ncd --help)"),
        (["prov"], "No such command 'prov'"),
        (["prove"], "Missing argument 'LEFT' (see ncd prove --help)"),
        (["prove", "a.py:f"], "Missing argument 'RIGHT'"),
        (["prove", "a.py:f", "b.py:g", "c.py:h"], "c.py:h"),
        (["prove", "a.py:f", "b.py:g", "--inptu", "x"], "--inptu"),
        (["prove", "a.py:f", "b.py:g", "--input"], "--input"),
        (["prove", "a.py:f", "b.py:g", "--input", "x"], "--input wants NAME=SHAPE; got 'x'"),
        (["prove", "a.py:f", "b.py:g", "--input", "=n"], "--input wants NAME=SHAPE; got '=n'"),
        (
            ["prove", "a.py:f", "b.py:g", "--input", "x=n", "--input", "x=m"],
            "--input gives x twice",
        ),
        (["prove", "a.py:f", "b.py:g", "--parameter", "w"], "--parameter wants NAME=EXPRESSION"),
        (["prove", "a.py:f", "b.py:g", "--timeout", "soon"], "--timeout"),
        (["prove", "a.py:f", "b.py:g", "--timeout", "0"], "a positive number of seconds"),
        (["prove", "a.py:f", "b.py:g", "--timeout", "-1"], "a positive number of seconds"),
        (["prove", "a.py:f", "b.py:g", "--timeout", "nan"], "a positive number of seconds"),
        (["prove", "a.py:f", "b.py:g", "--timeout", "inf"], "a positive number of seconds"),
        (["prove", "absent.py:f", "absent.py:g"], "the file absent.py does not exist"),
        (["prove", "absent", "absent"], "'absent' names no program"),
        (["prove", "absent_module:f", "absent_module:g"], "cannot be imported"),
        (["derive"], "Missing argument 'TARGET'"),
        (["derive", "absent.py:f"], "the file absent.py does not exist"),
        (["derive", "absent.py:f", "--size", "n"], "--size wants NAME=NUMBER; got 'n'"),
        (["derive", "absent.py:f", "--size", "n=many"], "--size wants a whole number for n"),
        (["derive", "absent.py:f", "--size", "n=-1"], "--size wants a whole number for n"),
        (["derive", "absent.py:f", "--size", "n=1.5"], "--size wants a whole number for n"),
        (["derive", "absent.py:f", "--size", "n=²"], "--size wants a whole number for n"),
        (["check"], "Missing argument 'CERTIFICATE'"),
        (["check", "absent.json"], "the certificate absent.json is damaged"),
        (["check", "absent.json", "--left", "a.py:f"], "--left and --right go together"),
        (["check", "absent.json", "--right", "a.py:f"], "--left and --right go together"),
        (["doctor", "more"], "more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use(
    run: Run,
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(*arguments)
    assert outcome.code == 2
    assert expected in outcome.complaint


def test_a_name_that_is_no_program(run: Run, stage: Stage, program: str) -> None:
    for name in ("number", "absent"):
        outcome = run("prove", program, program.replace(":f", f":{name}"))
        assert outcome.code == 2
        assert name in outcome.err.splitlines()[-1]


@pytest.mark.parametrize("command", ["prove", "derive"])
def test_what_the_library_cannot_use(run: Run, stage: Stage, program: str, command: str) -> None:
    run(
        command, program, *([program] if command == "prove" else [])
    )  # loads the file, which prints
    stage.error = InputError("the input q has no shape:\n give --input q=…")
    outcome = run(command, program, *([program] if command == "prove" else []))
    assert outcome.code == 2
    assert outcome.complaint == "the input q has no shape: give --input q=…"


def test_a_damaged_certificate(run: Run, stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    file.write_text("damaged")
    outcome = run("check", file)
    assert outcome.code == 2
    assert outcome.complaint == f"the certificate {file} is damaged"


def test_a_real_process_ends_the_same_way() -> None:
    process = spawn("prove", "absent.py:f", "absent.py:g")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == "ncd: the file absent.py does not exist\n"


# What goes wrong inside


def test_an_unexpected_error_is_one_line(
    run: Run, stage: Stage, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("prove", program, program)
    stage.error = ZeroDivisionError("two\nlines")
    monkeypatch.delenv("NCD_TRACEBACK", raising=False)
    outcome = run("prove", program, program)
    assert outcome.code == 1
    assert outcome.complaint.startswith("unexpected ZeroDivisionError: two lines")
    monkeypatch.setenv("NCD_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["prove", program, program])


def test_what_the_package_itself_raises_is_a_failure(run: Run, stage: Stage, program: str) -> None:
    run("derive", program)
    stage.error = StandInCertificateError("no streamed form was found")
    outcome = run("derive", program)
    assert outcome.code == 1
    assert outcome.complaint == "no streamed form was found"


def test_an_interrupt(run: Run, stage: Stage, program: str, tmp_path: Path) -> None:
    run("prove", program, program)
    stage.error = KeyboardInterrupt()
    outcome = run("prove", program, program, "--certificate", tmp_path / "proof.json")
    assert outcome.code == 130
    assert outcome.complaint == "interrupted"
    assert [file.name for file in tmp_path.glob("*") if file.is_file()] == ["model.py"]


def test_an_interrupt_of_a_real_process(tmp_path: Path) -> None:
    file = tmp_path / "slow.py"
    file.write_text("import sys, time\nprint('ready', file=sys.stderr)\ntime.sleep(60)\n")
    # A job in the background of a shell hands down that interrupts are ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = spawn("prove", f"{file}:f", f"{file}:f", PYTHONUNBUFFERED="1")
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "ncd: interrupted\n")


# Certificates and folders are written whole, and bad places are known before the work


def test_a_certificate_is_written(run: Run, stage: Stage, program: str, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    file.write_text("an older proof")
    outcome = run("prove", program, program, "--certificate", file)
    assert outcome.code == 0
    assert file.read_text() == "a proof\n"
    assert outcome.err.splitlines()[-1] == f"ncd: wrote {file}"
    assert sorted(file.name for file in tmp_path.glob("*.json")) == ["proof.json"]


def test_a_certificate_is_written_through_a_link(
    run: Run, stage: Stage, program: str, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    file = tmp_path / "real" / "proof.json"
    link = tmp_path / "link.json"
    link.symlink_to(file)
    assert run("prove", program, program, "--certificate", link).code == 0
    assert link.is_symlink()
    assert file.read_text() == "a proof\n"


@pytest.mark.parametrize("problem", ["refuted", "undecided", "InputError", "bug", "cut short"])
def test_a_run_without_a_proof_leaves_an_existing_certificate(
    run: Run, stage: Stage, program: str, tmp_path: Path, problem: str
) -> None:
    file = tmp_path / "proof.json"
    file.write_text("an older proof")
    if problem in ("refuted", "undecided"):
        stage.verdict = StandInVerdict(problem, certificate=None)
    else:
        stage.error = {
            "InputError": InputError("no shape"),
            "bug": RuntimeError("a bug"),
            "cut short": KeyboardInterrupt(),
        }[problem]
    outcome = run("prove", program, program, "--certificate", file)
    assert outcome.code != 0
    assert file.read_text() == "an older proof"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "model.py",
        "proof.json",
    ]
    if problem == "refuted":
        assert outcome.err.endswith(f"ncd: {file} was not written: there is no proof\n")


def test_a_certificate_that_cannot_be_saved(
    run: Run, stage: Stage, program: str, tmp_path: Path
) -> None:
    class Unsaveable(StandInCertificate):
        def save(self, path: Path) -> None:
            path.write_text("half")
            raise OSError(28, "No space left on device")

    file = tmp_path / "proof.json"
    file.write_text("an older proof")
    stage.verdict = StandInVerdict(certificate=Unsaveable())
    outcome = run("prove", program, program, "--certificate", file)
    assert outcome.code == 2
    assert outcome.out == "proved: ∀ n ≥ 1\n", "the answer itself is not lost"
    assert outcome.err.endswith(f"ncd: {file} cannot be written: No space left on device\n")
    assert file.read_text() == "an older proof"
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["proof.json"]


@pytest.mark.parametrize(
    "place, expected",
    [
        ("", "is a folder"),
        ("absent/proof.json", "does not exist"),
        ("model.py/proof.json", "does not exist"),
        ("pipe", "is not a regular file"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_place_where_no_certificate_can_be_written_is_known_first(
    run: Run, stage: Stage, program: str, tmp_path: Path, place: str, expected: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    outcome = run("prove", program, program, "--certificate", tmp_path / place)
    assert outcome.code == 2
    assert expected in outcome.complaint
    assert not stage.calls


@pytest.mark.parametrize(
    "place, expected",
    [("model.py", "is a file"), ("model.py/more", "cannot be written"), ("a" * 300, "too long")],
)
def test_a_place_where_no_folder_can_be_written_is_known_first(
    run: Run, stage: Stage, program: str, tmp_path: Path, place: str, expected: str
) -> None:
    outcome = run("derive", program, "--out", tmp_path / place)
    assert outcome.code == 2
    assert expected in outcome.complaint
    assert not stage.calls


def test_a_folder_that_takes_no_files_is_known_first(run: Run, stage: Stage, program: str) -> None:
    closed = Path("/proc")  # to root too
    assert run("prove", program, program, "--certificate", closed / "proof.json").code == 2
    assert run("derive", program, "--out", closed / "attention").code == 2
    assert not stage.calls


def test_a_derivation_that_fails_leaves_no_folder(
    run: Run, stage: Stage, program: str, tmp_path: Path
) -> None:
    stage.error = RuntimeError("a bug")
    assert run("derive", program, "--out", tmp_path / "new" / "attention").code == 1
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    assert run("derive", program, "--out", tmp_path / "old").code == 1
    assert list((tmp_path / "old").iterdir()) == []


# Imports


@pytest.mark.parametrize("module", ["ncd_formal", "ncd_formal.cli"])
def test_nothing_heavy_is_imported(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {set(HEAVY)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_the_package_is_imported_at_once() -> None:
    """At most 100 ms more than Python itself takes, in a fresh process; the best of several."""

    def best(code: str) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    best("import ncd_formal")  # writes the byte code
    assert best("import ncd_formal") - best("pass") <= 0.1


def test_public_names_are_found_when_they_are_used() -> None:
    import ncd_formal

    assert ncd_formal.InputError is InputError
    assert {"prove", "derive", "Certificate"} <= set(dir(ncd_formal))
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = ncd_formal.absent
