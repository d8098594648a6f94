"""From the dispatches of a schedule to files: a Triton file for each, and one that runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from ncd_formal.derivation.dispatches import Dispatch
from ncd_formal.frontends.shapes import Declaration
from ncd_formal.realize.symbols import Names
from ncd_formal.realize.triton_source import broken, identifier, kernel_source, wrapped

_RUNNER = '''\
"""{name}, in {count} dispatches.

Derived by ncd_formal; regenerate it rather than edit it.  What one dispatch makes is stored in
float32, where long sums have room, and read by those after it.

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


def {name}({arguments}{options}):
    """{name} of {arguments}, by the kernels beside this file.{said}"""
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
    names = Names({"Path", "_kernel", "parts"})
    called = {each: names.fresh(identifier(each)) for each in inputs}
    stored: set[str] = set()
    typed = next((called[n] for n, d in inputs.items() if d.kind == "real"), "")
    parts = any(each.form.part for each in dispatches)
    for number, each in enumerate(dispatches, 1):
        file = f"dispatch_{number}"
        stated = (*(conditions if each is last else ()), *each.given)
        files[f"{file}.py"] = kernel_source(
            each.makes, each.form, each.inputs, stated, each.writes, stored
        )
        loads.append(f'_{file} = _kernel("{file}", "{identifier(each.makes)}")')
        arguments = [called[name] for name in each.inputs]
        arguments += ["parts=parts"] if each.form.part else []
        arguments += [f"dtype={typed}.dtype"] if each is last and typed else []
        called |= {name: names.fresh(identifier(name)) for name in each.writes}
        stored |= each.writes.keys()
        made = ", ".join(called[name] for name in each.writes)
        calls.append(f"    {f'{made} =' if made else 'return'} _{file}({', '.join(arguments)})")
    files["kernel.py"] = _RUNNER.format(
        name=identifier(last.makes),
        count=len(dispatches),
        given="\n".join(wrapped(*dict.fromkeys(chain.from_iterable(d.given for d in dispatches)))),
        loads="\n".join(loads),
        arguments=", ".join(called[name] for name in inputs),
        options=", parts=None" * parts,
        said="\n\n    ``parts`` is how many there are at most.\n    " * parts,
        calls="\n".join(chain.from_iterable(map(broken, calls))),
    )
    return files
