"""From the dispatches of a schedule to files: a Triton file for each, and one that runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ncd_formal.derivation.dispatches import Dispatch
from ncd_formal.frontends.shapes import Declaration
from ncd_formal.realize.symbols import Names
from ncd_formal.realize.triton_source import identifier, kernel_source

_RUNNER = '''\
"""{name}, in {count} dispatches.

Derived by ncd_formal; regenerate it rather than edit it.  What one dispatch makes is stored in the
type of the inputs, and read by those after it: in float16, a long sum may overflow there.

{given}
"""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def _kernel(file, name):
    spec = spec_from_file_location(file, Path(__file__).with_name(f"{{file}}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


{loads}


def {name}({arguments}):
    """{name} of {arguments}, by the kernels beside this file."""
{calls}
'''


def unfused_source(
    dispatches: Sequence[Dispatch],
    inputs: Mapping[str, Declaration],
    conditions: Sequence[str] = (),
) -> dict[str, str]:
    """The files ``dispatch_1.py`` … and ``kernel.py``, which runs them, by name.

    Errors: NotEmitted, an InputError, for what no kernel is written for yet.
    """
    files: dict[str, str] = {}
    loads, calls = [], []
    *_, last = dispatches
    names = Names({"Path", "_kernel"})
    called = {each: names.fresh(identifier(each)) for each in inputs}
    for number, each in enumerate(dispatches, 1):
        file = f"dispatch_{number}"
        stated = conditions if each is last else ()
        files[f"{file}.py"] = kernel_source(
            each.makes, each.form, each.inputs, (*stated, *each.given)
        )
        loads.append(f'_{file} = _kernel("{file}", "{identifier(each.makes)}")')
        call = f"_{file}({', '.join(called[name] for name in each.inputs)})"
        if each is not last:
            called[each.makes] = names.fresh(identifier(each.makes))
        calls.append(f"    {'return' if each is last else f'{called[each.makes]} ='} {call}")
    files["kernel.py"] = _RUNNER.format(
        name=identifier(last.makes),
        count=len(dispatches),
        given="\n".join(dict.fromkeys(line for each in dispatches for line in each.given)),
        loads="\n".join(loads),
        arguments=", ".join(called[name] for name in inputs),
        calls="\n".join(calls),
    )
    return files
