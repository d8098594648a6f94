"""The command line: ``ncd prove``, ``derive``, ``cost``, ``check`` and ``doctor``.

Results go to standard output and nothing else does: what a program under test prints while it is
loaded goes to standard error, with progress and logs.  Nothing heavy is imported until a command
needs it.

Exit codes: 0 it holds, 1 refuted or failed, 2 wrong usage or unusable input, 3 undecided, 130
interrupted.  Whatever goes wrong is said in one line on standard error.
"""

import io
import json
import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ncd_formal import __version__
from ncd_formal.errors import InputError, one_line
from ncd_formal.outputs import PendingFile, PendingFolder
from ncd_formal.report import plain, result, save, writer_for
from ncd_formal.targets import load_target

if TYPE_CHECKING:
    from rich.status import Status

    from ncd_formal.certificate import CheckReport
    from ncd_formal.coq.kernel import Acceptance
    from ncd_formal.derivation import Costed, Refined, RegimeMap
    from ncd_formal.equivalence import Verdict

HOLDS, FAILED, UNUSABLE, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 130

_EXIT_OF_STATUS = {"proved": HOLDS, "refuted": FAILED, "undecided": UNDECIDED}

app = typer.Typer(
    help="Proves deep-learning programs equal, and derives fast kernels from their definitions.",
    epilog="Exit codes: 0 it holds, 1 refuted or failed, 2 wrong usage, 3 undecided. "
    "NCD_TRACEBACK=1 shows where an unexpected error comes from.",
    add_completion=False,
    rich_markup_mode=None,
)

_Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
_Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="path/to/file.py:name or package.module:name")
]
_Hardware = Annotated[
    str,
    typer.Option(
        "--hardware",
        metavar="NAME",
        help="A machine by name, the path of its file, or a number of values on chip.",
    ),
]
_SizesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--size", metavar="NAME=NUMBER", help="A size to plan for, as in n=4096. Repeatable."
    ),
]
_Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=SHAPE",
        help="The shape of an input, as in 'q=b h n d' or 'mask=b 1 n m : bool'. Repeatable.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ncd_formal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None: ...


@app.command()
def prove(
    left: Annotated[
        str, typer.Argument(metavar="LEFT", help="path/to/file.py:name or package.module:name")
    ],
    right: Annotated[str, typer.Argument(metavar="RIGHT", help="The other program.")],
    inputs: _Inputs = None,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            "--assume",
            metavar="CONDITION",
            help="What may be taken for granted, as in 'n >= 1'. Repeatable.",
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            metavar="NAME=EXPRESSION",
            help="A parameter of one side by those of the other. Repeatable.",
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", metavar="FILE", help="Where to write the certificate of a proof."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Where to write a report: a .html or a .json file."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="When to give up.")
    ] = 60.0,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="Laws of your own, used without a proof."),
    ] = None,
    conditions: Annotated[
        bool,
        typer.Option(
            "--conditions/--no-conditions",
            help="Whether to look for conditions on inputs, such as a key in every row.",
        ),
    ] = True,
    as_json: _Json = False,
) -> int:
    """Decide whether two programs are one function.

    They are compared for every size and over the real numbers.  The answer is proved (exit code
    0), refuted by a counterexample (1), or undecided (3).
    """
    shapes = _pairs("--input", "NAME=SHAPE", inputs)
    expressions = _pairs("--parameter", "NAME=EXPRESSION", parameters)
    if not (math.isfinite(timeout) and timeout > 0):
        raise InputError(f"--timeout wants a positive number of seconds; got {timeout}")
    own = _text_of(rules) if rules else ""
    if report:
        writer_for(report)
    with ExitStack() as outputs:
        pending = outputs.enter_context(PendingFile(certificate)) if certificate else None
        reported = outputs.enter_context(PendingFile(report)) if report else None
        with _progress(f"proving {left} = {right}"):
            programs = load_target(left), load_target(right)
            from ncd_formal.equivalence import prove as decide

            verdict = decide(
                *programs,
                inputs=shapes,
                assume=tuple(assume or ()),
                parameters=expressions,
                timeout=timeout,
                rules=own,
                find_conditions=conditions,
            )
        exit_code = _EXIT_OF_STATUS[verdict.status]
        if as_json:
            _print_json(verdict.to_json())
        else:
            print(_verdict_text(verdict))
        if pending and verdict.certificate:
            pending.write(verdict.certificate.save)
            _log(f"wrote {certificate}")
        elif pending:
            _log(f"{certificate} was not written: there is no proof")
        if reported:
            saved = str(certificate) if certificate and verdict.certificate else ""
            found = result(
                verdict, f"{left} = {right}", shapes, assume or (), expressions, timeout, saved
            )
            reported.write(lambda place: save([found], place))
            _log(f"wrote {report}")
    return exit_code


@app.command()
def derive(
    target: _Target,
    inputs: _Inputs = None,
    hardware: _Hardware = "h100",
    sizes: _SizesOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Where to write the kernel and its certificate."
        ),
    ] = None,
    expand: Annotated[
        bool,
        typer.Option(
            "--expand", help="Write out products of sums for fewer passes; they may cancel."
        ),
    ] = False,
    parts: Annotated[
        bool,
        typer.Option(
            "--parts", help="Cut the streamed axis in parts: split-K, and split-KV in decoding."
        ),
    ] = False,
    as_json: _Json = False,
) -> int:
    """Derive a fast kernel from a definition.

    It is streamed and tiled for the machine, proved equal to the program, and written in Triton.
    """
    shapes = _pairs("--input", "NAME=SHAPE", inputs)
    numbers = _sizes(sizes)
    with ExitStack() as outputs:
        pending = outputs.enter_context(PendingFolder(out)) if out else None
        with _progress(f"deriving {target}"):
            program = load_target(target)
            from ncd_formal.derivation import derive as plan

            asked = {"expand": expand, "parts": parts}
            options: Any = {name: True for name, wanted in asked.items() if wanted}
            derivation = plan(
                program, shapes, hardware=_machine(hardware), sizes=numbers or None, **options
            )
        if as_json:
            _print_json(derivation.to_json())
        else:
            print(derivation.explain().rstrip())
        if pending:
            for file in pending.write(derivation.save):
                _log(f"wrote {file}")
    return HOLDS


@app.command()
def cost(
    target: _Target,
    inputs: _Inputs = None,
    hardware: _Hardware = "h100",
    sizes: _SizesOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.svg", help="Where to draw the roofline, or the map."),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="SIZES",
            help="Which way wins where, over one or two sizes: n,d or n=256..65536,d=16..1024.",
        ),
    ] = None,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine", help="Lay the loop out in registers and matrix instructions instead."
        ),
    ] = False,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="NAME=TYPE", help="With --refine, an input's type. Repeatable."
        ),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option("--block", min=1, help="With --refine, the streamed indices of a step."),
    ] = None,
    as_json: _Json = False,
) -> int:
    """Say what a program moves, holds and computes, and what binds.

    Formulas hold for all sizes, each with where it is the least; with sizes, tiles and times are
    those of the machine.  With --map, the ways to run it are compared instead; with --refine, its
    loop is laid out on the machine, and --plot draws which unit is busy when.
    """
    shapes = _pairs("--input", "NAME=SHAPE", inputs)
    numbers = _sizes(sizes)
    grid = _ranges(over) if over is not None else None
    if refine and grid:
        raise InputError("--map and --refine are two questions: ask one")
    if (types or block) and not refine:
        raise InputError("--type and --block go with --refine")
    kinds = _pairs("--type", "NAME=TYPE", types)
    if plot and not (numbers or grid or refine):
        raise InputError("--plot needs sizes: give them with --size")
    with ExitStack() as outputs:
        pending = outputs.enter_context(PendingFile(plot)) if plot else None
        with _progress(f"costing {target}"):
            program = load_target(target)
            where = _machine(hardware)
            if refine:
                found, text = _laid_out(program, shapes, where, numbers, kinds, block)
            else:
                found, text = _costed(program, shapes, where, numbers, grid, bool(plot))
        if as_json:
            _print_json(found.to_json())
        else:
            print(found.explain())
        if pending:
            pending.write(lambda place: place.write_text(text, encoding="utf-8"))
            _log(f"wrote {plot}")
    return HOLDS


def _costed(
    program: object,
    shapes: dict[str, str],
    hardware: str | dict[str, int],
    numbers: dict[str, int],
    grid: dict[str, list[int]] | None,
    drawn: bool,
) -> "tuple[Costed | RegimeMap | Refined, str]":
    """The cost of a program or its map, and the drawing of it where one is wanted."""
    if grid is not None:
        from ncd_formal.derivation import compare
        from ncd_formal.derivation.map_drawing import drawing as map_drawing

        compared = compare(program, grid, shapes, hardware=hardware, sizes=numbers or None)
        return compared, map_drawing(compared) if drawn else ""
    from ncd_formal.derivation import estimate

    costed = estimate(program, shapes, hardware=hardware, sizes=numbers or None)
    if not drawn:
        return costed, ""
    from ncd_formal.derivation.roofline import drawing

    return costed, drawing(costed)


def _laid_out(
    program: object,
    shapes: dict[str, str],
    hardware: str | dict[str, int],
    numbers: dict[str, int],
    types: dict[str, str],
    block: int | None,
) -> "tuple[Costed | RegimeMap | Refined, str]":
    """The loop of a program on a machine, and the drawing of it."""
    from ncd_formal.derivation import lay_out
    from ncd_formal.derivation.overlap_chart import drawing

    found = lay_out(program, shapes, hardware, numbers, types, block)
    return found, drawing(found)


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(metavar="CERTIFICATE", help="A file that ncd prove or derive wrote.")
    ],
    left: Annotated[
        str | None, typer.Option("--left", metavar="LEFT", help="What it must be about.")
    ] = None,
    right: Annotated[
        str | None, typer.Option("--right", metavar="RIGHT", help="The other program.")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="Laws that it may use without a proof."),
    ] = None,
    coq: Annotated[
        bool, typer.Option("--coq", help="Have Coq's kernel check it as a theorem too.")
    ] = False,
    coq_file: Annotated[
        Path | None,
        typer.Option("--coq-file", metavar="FILE", help="Write the theorem as a Coq file."),
    ] = None,
    as_json: _Json = False,
) -> int:
    """Check a certificate, step by step.

    With --left and --right, also that it is about these two programs.  With --coq, Coq proves it
    again from its own axioms of the real numbers; the first time compiles the theory.
    """
    if (left is None) != (right is None):
        raise InputError("--left and --right go together: a certificate is about two programs")
    vouched = _text_of(rules) if rules else ""
    with ExitStack() as stack:
        written = stack.enter_context(PendingFile(coq_file)) if coq_file else None
        stack.enter_context(_progress(f"checking {path}"))
        from ncd_formal.certificate import Certificate, CertificateError

        certificate = Certificate.load(path)
        report: CheckReport | None = None
        accepted: Acceptance | None = None
        reason = ""
        try:
            report = certificate.check(vouched)
            if left is not None and right is not None:
                programs = load_target(left), load_target(right)
                from ncd_formal.equivalence import confirm

                confirm(certificate, *programs)
        except CertificateError as error:
            reason = one_line(error)
        if written and not reason:
            from ncd_formal.coq.kernel import coq_text

            text = coq_text(certificate)
            written.write(lambda place: place.write_text(text, encoding="utf-8"))
        if coq and not reason:
            from ncd_formal.coq.kernel import accept

            accepted = accept(certificate, plain=True)
            reason = "" if accepted.accepted else f"Coq rejects it: {accepted.reason}"
    holds = report is not None and not reason
    if as_json:
        said = {} if accepted is None else {"coq": asdict(accepted)}
        _print_json({"holds": holds, "reason": reason, **_report_fields(report), **said})
    elif report is None or reason:
        print(f"does not hold: {reason}")
    else:
        print(_report_text(report))
        if left is not None:
            print(f"about: {left} = {right}")
        if accepted is not None:
            given = f", given {', '.join(accepted.given)}" if accepted.given else ""
            print(f"Coq {accepted.coq} accepts it as a theorem{given} ({accepted.seconds:.1f} s)")
    return HOLDS if holds else FAILED


@app.command()
def doctor(
    operators: Annotated[
        bool,
        typer.Option(
            "--ops", help="List PyTorch's operators instead: known, opaque or refused, and why."
        ),
    ] = False,
    as_json: _Json = False,
) -> int:
    """Say what is installed, and whether it works."""
    if operators:
        return _list_operators(as_json)
    from ncd_formal.doctor import Finding, examine

    findings: list[Finding] = []
    with _progress("examining the installation"):
        for finding in examine():
            logging.getLogger("ncd_formal").info("looked at %s", finding.name)
            findings.append(finding)
    healthy = all(finding.state != "broken" for finding in findings)
    if as_json:
        rows = {
            finding.name: {"state": finding.state, "detail": finding.detail} for finding in findings
        }
        _print_json({"healthy": healthy, "version": __version__, "findings": rows})
    else:
        print(f"ncd_formal {__version__}")
        for finding in findings:
            print(f"{finding.state:<8} {finding.name:<12} {finding.detail}")
    return HOLDS if healthy else FAILED


def _list_operators(as_json: bool) -> int:
    with _progress("reading the table of operators"):
        try:
            from ncd_formal.frontends.coverage import coverage
        except ImportError:
            raise InputError("operators are PyTorch's: pip install 'ncd_formal[torch]'") from None
        rows = coverage()
    counts = Counter(row.state for row in rows)
    if as_json:
        listed = {row.name: {"state": row.state, "detail": row.detail} for row in rows}
        _print_json({"version": __version__, "counts": counts, "operators": listed})
    else:
        width = max(len(row.name) for row in rows)
        for row in rows:
            print(f"{row.state:<8} {row.name:<{width}} {row.detail}")
        print(", ".join(f"{number} {state}" for state, number in counts.items()))
    return HOLDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives back its exit code.

    What goes wrong is reported and not raised, unless NCD_TRACEBACK asks for an unexpected error.

    Args:
        arguments: what follows the name of the program; by default, the process's own.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Results hold mathematics; a terminal that cannot show a sign must not end the run.
            stream.reconfigure(errors="backslashreplace")
    try:
        command = typer.main.get_command(app)
        given = None if arguments is None else list(arguments)
        code = command.main(args=given, prog_name="ncd", standalone_mode=False)
        sys.stdout.flush()
    except InputError as error:
        _log(error)
        return UNUSABLE
    except BrokenPipeError:
        return _reader_is_gone()
    except SystemExit as error:  # how typer reports a reader that is gone
        return error.code if isinstance(error.code, int) else FAILED
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        return _report_error(error)
    if code == INTERRUPTED:
        _log("interrupted")
    return code if isinstance(code, int) else HOLDS


def _report_error(error: Exception) -> int:
    """Says what went wrong in one line; gives back the exit code."""
    usage = getattr(error, "format_message", None)
    if usage is not None:
        # A usage error, whose class typer keeps to itself.
        context = getattr(error, "ctx", None)
        where = getattr(context, "command_path", "ncd")
        _log(f"{one_line(usage()).rstrip('.')} (see {where} --help)")
        return UNUSABLE
    if os.environ.get("NCD_TRACEBACK"):
        raise error
    if type(error).__module__.startswith("ncd_formal."):
        _log(error)
    else:
        _log(
            f"unexpected {type(error).__name__}: {error} "
            "(NCD_TRACEBACK=1 shows where it comes from)"
        )
    return FAILED


def _reader_is_gone() -> int:
    """Ends quietly after ``ncd … | head``; Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _log(message: object) -> None:
    print(f"ncd: {one_line(message)}", file=sys.stderr)


def _pairs(option: str, form: str, values: Iterable[str] | None) -> dict[str, str]:
    """Reads the values of a repeatable option of the form ``NAME=…``.

    Raises:
        InputError: a value without a name or ``=``, or a name that is given twice.
    """
    pairs: dict[str, str] = {}
    for value in values or ():
        name, equals, rest = (part.strip() for part in value.partition("="))
        if not (name and equals):
            raise InputError(f"{option} wants {form}; got {value!r}")
        if name in pairs:
            raise InputError(f"{option} gives {name} twice")
        pairs[name] = rest
    return pairs


def _text_of(path: Path) -> str:
    """Reads a text file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text in UTF-8") from None


def _sizes(values: Iterable[str] | None) -> dict[str, int]:
    """Reads ``--size``.

    Raises:
        InputError: a number that is none, or negative.
    """
    sizes: dict[str, int] = {}
    for name, text in _pairs("--size", "NAME=NUMBER", values).items():
        if not (text.isascii() and text.isdigit()):
            raise InputError(f"--size wants a whole number for {name}, as in n=4096; got {text!r}")
        sizes[name] = int(text)
    return sizes


def _ranges(text: str) -> dict[str, list[int]]:
    """Reads ``--map``: sizes, each with its doublings from a number to another.

    Raises:
        InputError: a range that is none.
    """
    ranges: dict[str, list[int]] = {}
    for part in text.split(","):
        name, given, numbers = (each.strip() for each in part.partition("="))
        low, _, high = numbers.partition("..") if given else ("64", "", "16384")
        whole = all(end.isascii() and end.isdigit() for end in (low, high))
        if not name or not whole or not 0 < int(low) <= int(high) or name in ranges:
            raise InputError(f"--map wants sizes such as n,d or n=256..65536; got {text!r}")
        ranges[name] = [int(low) << k for k in range((int(high) // int(low)).bit_length())]
    return ranges


def _machine(hardware: str) -> str | dict[str, int]:
    """What ``--hardware`` names: a number is the two-level model with so many values on chip."""
    if hardware.isascii() and hardware.isdigit():
        return {"memory": int(hardware)}
    return hardware


def _verdict_text(verdict: "Verdict") -> str:
    text = verdict.explain().rstrip()
    script = verdict.counterexample.script.strip() if verdict.counterexample else ""
    if script and script not in text:
        text += f"\n\nA PyTorch script that shows it:\n\n{script}"
    return text


def _report_text(report: "CheckReport") -> str:
    return "\n".join(
        (
            f"holds: {report.steps} steps, {report.lemmas} lemmas",
            f"rules: {', '.join(report.rules) or 'none'}",
            *([f"UNPROVED rules: {', '.join(report.unproved)}"] if report.unproved else []),
            f"conditions: {', '.join(report.conditions) or 'none'}",
        )
    )


def _report_fields(report: "CheckReport | None") -> dict[str, object]:
    if report is None:
        return {}
    return {
        "steps": report.steps,
        "lemmas": report.lemmas,
        "rules": list(report.rules),
        "unproved": list(report.unproved),
        "conditions": list(report.conditions),
    }


def _print_json(value: object) -> None:
    print(json.dumps(plain(value), indent=2, allow_nan=False))


@contextmanager
def _progress(task: str) -> Iterator[None]:
    """Shows on a terminal that work goes on, and keeps standard output free for the result.

    What the package logs as information becomes the text beside the spinner; warnings are
    printed.  Where standard error is no terminal, there is no spinner.
    """
    logger = logging.getLogger("ncd_formal")
    level = logger.level
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))
        status = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.text import Text

            status = stack.enter_context(Console(stderr=True).status(Text(task)))
        handler = _Progress(task, status)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)


class _Progress(logging.Handler):
    """Shows log records beside a spinner, if there is one."""

    def __init__(self, task: str, status: "Status | None") -> None:
        super().__init__()
        self._task = task
        self._status = status

    def emit(self, record: logging.LogRecord) -> None:
        message = one_line(record.getMessage())
        if record.levelno >= logging.WARNING:
            _log(message)
        elif self._status is not None:
            from rich.text import Text

            self._status.update(Text(f"{self._task}: {message}"))


if __name__ == "__main__":
    sys.exit(main())
