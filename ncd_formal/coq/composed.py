"""A proof made of proofs as a Coq file: each part's certificate, the steps, and the theorem."""

from __future__ import annotations

from ncd_formal.composition import Composition, kind_of
from ncd_formal.coq.export import HEADER, INPUT_KINDS, Export, comment, laws_text
from ncd_formal.coq.table import Law, translate


def export(composition: Composition) -> str:
    """The Coq file of a composition: at all sizes, both programs make the same arrays.

    Errors: InputError where it rests on an unproved law about a function known by its name.
    """
    shared: dict[str, dict[str, int]] = {"size": {}, "function": {}, "operator": {}}
    rules = {rule.name: rule for part in composition.parts for rule in part.rules}
    own = [translate(rule) for rule in rules.values()]
    texts, inputs = [], list[dict[str, int]]()
    for number, part in enumerate(composition.parts):
        made = Export(part, shared)
        kind, form = kind_of(part)
        goal = part.goals[0]
        texts.append(made.proof_text(f"part{number}"))
        nodes = " ".join(str(made.node(t)) for t in (goal.left, goal.right, form))
        dimensions = "; ".join(
            f"[{'; '.join(str(made.name('axis', axis)) for axis in axes)}]" for axes in goal.layout
        )
        texts.append(
            f"Definition part{number} : part := Part part{number}_context part{number}_nodes\n"
            f"  part{number}_hypotheses part{number}_lemmas {nodes} {INPUT_KINDS[kind]}\n"
            f"  [{dimensions}].\n"
        )
        inputs.append(made.names["input"])
    known = {name: number for number, name in enumerate(composition.context.inputs, 1)}
    steps = []
    for step in composition.steps:
        reads = "; ".join(
            f"({inputs[step.part][name]}, FromInput {known[source]})"
            if isinstance(source, str)
            else f"({inputs[step.part][name]}, FromStep {source}%nat)"
            for name, source in step.reads.items()
            if name in inputs[step.part]
        )
        steps.append(f"Step {step.part}%nat (map_of [{reads}])")
    kinds = "; ".join(
        f"({known[name]}, {INPUT_KINDS[kind]})" for name, kind in composition.context.inputs.items()
    )
    parts = "; ".join(f"part{number}" for number in range(len(composition.parts)))
    names = "\n".join(f"   input {number}: {comment(name)}" for name, number in known.items())
    listed = ";\n  ".join(steps)
    return f"""(* A proof by ncd_formal that two programs make the same arrays, step by step.

{names} *)

{HEADER}From Ncd Require Import Composition.
{laws_text("certificate", own)}
{"".join(texts)}
Definition parts : list part := [{parts}].
Definition inputs : input_kinds := map_of [{kinds}].
Definition steps : list step := [
  {listed}].
{_theorem(own, bool(composition.hypotheses))}"""


def _theorem(own: list[Law], supposes: bool) -> str:
    """Both programs make the same arrays; what parts suppose of the inputs is a premise."""
    premises = "".join(f"law_sound law_{law.identifier} -> " for law in own)
    supposed = "  all_supposed parts M steps ->\n" if supposes else ""
    # Where nothing is supposed, that holds by computation.
    trivial = "" if supposes else "\n  3: apply nothing_supposed; vm_cast_no_check (eq_refl true)."
    return f"""
Theorem certificate : {premises}forall M,
  (forall p, In p parts -> sizes_ok M (context_of p)) ->
  (forall x is, of_kind (find ExtendedInput inputs x) (input M x is)) ->
{supposed}  run_steps left_node parts M [] steps = run_steps right_node parts M [] steps.
Proof.
  intros. apply (composition_sound certificate_laws parts inputs steps).
  1: apply Forall_app; split; [exact table_sound | repeat (constructor; try assumption)].
  1: vm_cast_no_check (eq_refl true).{trivial}
  all: assumption.
Qed.
"""
