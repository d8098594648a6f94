"""Judge what a kernel computed in floating point against what its definition means.

Three rules, each sharp where the others are blind:

1. *componentwise*: every element lies within a bound derived from the operations that the algorithm
   must perform, in any order; a correct kernel cannot fail it;
2. *root mean square*: over many elements, the error is of the size that unavoidable roundings
   make typical.  For a 16-bit result that is 1.25 times the error of an ideal algorithm, exact but
   for the roundings that no algorithm avoids: a correct kernel measures 0.97 to 1.02 of it, one
   that keeps scores, the sum of the weights or the accumulator in 16 bits 1.4 and more.  For a
   float32 result it is the bound of rule 1 with n roundings counted as √n, since signs vary;
3. *log-sum-exp*: the fold's other component, which is held in float32 whatever the inputs are, and
   so betrays a wrong constant that hides below 16-bit rounding.

Roundings are counted in ε = 2⁻²³, one unit in the last place of float32: round to nearest errs
half as much, but tensor cores truncate when they add.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Accuracy", "SoftmaxContraction", "gamma", "judge"]

EPSILON = 2.0**-23
"""Relative error of one float32 operation, rounded or truncated."""

RMS_LIMIT = 1.25
"""How much worse than ideal the root mean square of a 16-bit result's errors may be."""

RMS_ELEMENTS = 2048
"""How many elements make a root mean square a statistic."""


def gamma(operations: float) -> float:
    """γₙ = nε / (1 − nε): the relative error that n roundings in succession can reach.

    Raises ``ValueError`` for so many operations that nothing is certain any more.
    """
    if operations * EPSILON >= 1:
        raise ValueError(f"{operations} float32 operations in succession have no error bound")
    return operations * EPSILON / (1 - operations * EPSILON)


def wander(operations: float) -> float:
    """√n ε: the relative error that n roundings of independent signs reach typically."""
    return math.sqrt(operations) * EPSILON


def unit_roundoff(dtype: torch.dtype) -> float:
    """Relative error of rounding to nearest in ``dtype``."""
    return torch.finfo(dtype).eps / 2


def smallest(dtype: torch.dtype) -> float:
    """Absolute error of rounding in ``dtype`` next to 0, where float32 may lack subnormals."""
    info = torch.finfo(dtype)
    return max(info.smallest_normal * info.eps / 2, torch.finfo(torch.float32).smallest_normal)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How a result fares under each rule, as a fraction of what the rule allows; 1 is the limit.

    A rule that does not apply (no log-sum-exp given, too few elements or too many bits for
    statistics) is ``None``.  A NaN where the definition has a number, or a number where the
    definition is undefined, counts as infinitely wrong.
    """

    componentwise: float
    root_mean_square: float | None = None
    log_sum_exp: float | None = None

    @property
    def acceptable(self) -> bool:
        """Whether every rule that applies is kept."""
        measures = (self.componentwise, self.root_mean_square, self.log_sum_exp)
        return all(measure is None or measure <= 1 for measure in measures)

    def __str__(self) -> str:
        measures = {
            "componentwise": self.componentwise,
            "root mean square": self.root_mean_square,
            "log-sum-exp": self.log_sum_exp,
        }
        shown = (f"{name} {x:.3g}" for name, x in measures.items() if x is not None)
        return f"{'within' if self.acceptable else 'BEYOND'} the limits: {', '.join(shown)}"


def _worst(result: Tensor, exact: Tensor, allowed: Tensor) -> float:
    """The largest |result − exact| / allowed; infinite where only one of them is NaN."""
    if result.shape != exact.shape:
        raise ValueError(f"shape {tuple(result.shape)} instead of {tuple(exact.shape)}")
    error = (result.double() - exact).abs() / allowed
    error = error.masked_fill(result == exact, 0.0)  # 0 / 0 and ∞ − ∞
    error = error.masked_fill(result.isnan() & exact.isnan(), 0.0).nan_to_num(nan=math.inf)
    return float(error.max()) if error.numel() else 0.0


def judge(result: Tensor, exact: Tensor, bound: Tensor, typical: Tensor | None = None) -> Accuracy:
    """Rules 1 and 2 for any definition, all shapes alike.

    ``exact`` is the definition's value in float64, ``bound`` the largest error of each element, and
    ``typical`` an error of typical size.  Raises ``ValueError`` when the shapes differ.
    """
    componentwise = _worst(result, exact, bound)
    known = exact.isfinite()
    if typical is None or int(known.sum()) < RMS_ELEMENTS:
        return Accuracy(componentwise)
    error, allowed = (
        float(x[known].square().mean().sqrt()) for x in (result.double() - exact, typical)
    )
    # Where nothing is rounded (a single weight, which is 1), nothing may err.
    return Accuracy(componentwise, error / allowed if allowed else math.inf if error else 0.0)


@dataclass(frozen=True, eq=False)
class SoftmaxContraction:
    """o = Σₓ pₓ vₓ with p the softmax of the scores sₓ = scale · ⟨q, kₓ⟩: a mean weighted by exp.

    Shapes: ``query`` (…, H, M, D), ``key`` (…, G, N, D), ``value`` (…, G, N, E), where each of the
    G heads serves H/G queries' heads.  ``scale`` is 1/√D unless given.  ``is_causal`` admits x ≤ m
    to row m, and ``mask`` (broadcast to (…, H, M, N)) the x where it is true.  A row that admits
    nothing is undefined: NaN.

    ``operand_error`` is the relative error with which the kernel's dots read their float32
    operands: 0 for true float32, 2⁻¹⁰ for TF32.

    **The bound.**  Let aₓ = scale · Σₑ |qₑ kₓₑ| and μ = maxₓ sₓ.  However the fold is cut into
    blocks, the kernel's weight of x is that of the definition times exp(δₓ)(1 + θ).

    * δₓ collects what is added to the exponent.  The D products and sums of the dot and the scaling
      err by (D + 4)ε aₓ.  The maximum that is subtracted need not be exact, for it cancels in the
      quotient; only rounding at the subtractions counts.  Along the running maximum they
      telescope, and 2ε(|sₓ| + |μ|) covers them all: |δₓ| ≤ Δₓ = γ(D + 4) aₓ + 2γ(1)(|sₓ| + |μ|).
    * θ collects the factors: N additions, and in each of at most ⌈N/16⌉ blocks one rescaling, with
      an exponential of error 2ε and one product.

    In the quotient the weights meet their own sum l̂.  With G = Σₓ pₓ exp(Δₓ), but for the factors
    l/l̂ ≤ 1 / Σₓ pₓ exp(−Δₓ) ≤ G, by Cauchy's inequality.  With ρ for the factors of numerator,
    denominator and quotient, and one rounding u of the weights before the second dot,

        |ô − o| ≤ Σₓ pₓ |vₓ| (exp(Δₓ) G (1 + ρ)(1 + u) − 1) + 2τ Σₓ|vₓ| + u |ô| + τ,

    where τ is what a weight or a result loses when it is too small for its type: a weight is
    rounded, or flushed with its block at a rescaling, and l ≥ 1, so its losses count at most twice.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scale: float | None = None
    is_causal: bool = False
    mask: Tensor | None = None
    operand_error: float = 0.0

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.query.shape[-1]) if self.scale is None else self.scale

    @cached_property
    def _operands(self) -> tuple[Tensor, Tensor, Tensor]:
        """The inputs in float64, each key and value head once per query head."""
        q, k, v = self.query.double(), self.key.double(), self.value.double()
        if q.dim() > 2 and q.shape[-3] != k.shape[-3]:
            k, v = (x.repeat_interleave(q.shape[-3] // k.shape[-3], dim=-3) for x in (k, v))
        return q, k, v

    @cached_property
    def _admitted(self) -> Tensor:
        rows, columns = self.query.shape[-2], self.key.shape[-2]
        admitted = torch.ones(rows, columns, dtype=torch.bool, device=self.query.device)
        if self.is_causal:
            admitted = admitted.tril()
        return admitted if self.mask is None else admitted & self.mask

    @cached_property
    def _magnitudes(self) -> Tensor:
        """aₓ, of which the rounding errors of a score are fractions."""
        q, k, _ = self._operands
        return q.abs() @ k.abs().mT * abs(self._scale)

    @cached_property
    def _scores(self) -> Tensor:
        q, k, _ = self._operands
        return (q @ k.mT * self._scale).masked_fill(~self._admitted, -math.inf)

    @cached_property
    def _shifted(self) -> tuple[Tensor, Tensor, Tensor]:
        """exp(s − μ), its sum and μ; a row without scores has sum 0."""
        # amax refuses an empty axis: one column of −∞ changes no maximum.
        padded = torch.nn.functional.pad(self._scores, (0, 1), value=-math.inf)
        maximum = padded.amax(-1, keepdim=True)
        weights = torch.exp(self._scores - maximum.masked_fill(maximum.isneginf(), 0.0))
        return weights, weights.sum(-1, keepdim=True), maximum

    @cached_property
    def exact(self) -> Tensor:
        """The definition in float64, on the inputs as they were rounded."""
        weights, total, _ = self._shifted
        return (weights / total).matmul(self._operands[2]).masked_fill(total == 0, math.nan)

    @cached_property
    def log_sum_exp(self) -> Tensor:
        """log Σₓ exp(sₓ) in float64; −∞ for a row that admits nothing."""
        _, total, maximum = self._shifted
        return (maximum + torch.log(total)).squeeze(-1)

    @cached_property
    def ideal(self) -> Tensor:
        """The definition with two roundings: of the weights before they meet v, of the result."""
        dtype = self.query.dtype
        weights, total, _ = self._shifted
        return (weights.to(dtype).double() @ self._operands[2] / total).to(dtype)

    @cached_property
    def bound(self) -> Tensor:
        """How much each element of a correct kernel's result may err at most."""
        return self._error(gamma)

    @cached_property
    def typical(self) -> Tensor:
        """An error of the size that rule 2 grants a correct kernel's result."""
        if self.query.dtype.itemsize == 2:
            return RMS_LIMIT * (self.ideal.double() - self.exact)
        return self._error(wander)

    def _error(self, roundings: Callable[[float], float]) -> Tensor:
        """The bound above, with n successive roundings counted as ``roundings(n)``."""
        weights, total, maximum = self._shifted
        values = self._operands[2].abs()
        keys, width = self.key.shape[-2:]
        u, lost = unit_roundoff(self.query.dtype), smallest(self.query.dtype)

        misread = (1 + self.operand_error) ** 2
        exponent = (roundings(width + 4) + misread - 1) * self._magnitudes
        exponent += 2 * roundings(1) * (self._scores.abs() + maximum.abs())
        steps = 2 * (keys + 3 * math.ceil(keys / 16)) + 16
        factors = (1 + roundings(steps)) * (1 + u) * misread
        true = weights / total
        grown = (true * torch.exp(exponent)).masked_fill(~self._admitted, 0.0)
        error = (grown * grown.sum(-1, keepdim=True) * factors - true) @ values
        error += 2 * lost * (self._admitted.double() @ values)
        return error + u * (self.exact.abs() + error) + lost

    @cached_property
    def log_sum_exp_tolerance(self) -> Tensor:
        """How much a correct kernel's log-sum-exp errs at most, its roundings' signs being mixed.

        An error of the score sₓ counts by its weight pₓ; then come the sum of N weights, and the
        few operations by which the maximum enters and leaves the exponents.
        """
        weights, total, maximum = self._shifted
        keys, width = self.key.shape[-2:]
        size = (weights / total * self._magnitudes).sum(-1)
        allowed = (wander(width) + 2 * self.operand_error) * size + wander(keys)
        return allowed + 4 * EPSILON * (maximum.squeeze(-1).abs() + 1)

    def judge(self, result: Tensor, log_sum_exp: Tensor | None = None) -> Accuracy:
        """All three rules; ``log_sum_exp`` (…, H, M) is what the kernel reports of it, if it does.

        Raises ``ValueError`` when a shape or the type of the result is not that of the definition.
        """
        if result.dtype != self.query.dtype:
            raise ValueError(f"the result is {result.dtype}, the inputs are {self.query.dtype}")
        accuracy = judge(result, self.exact, self.bound, self.typical)
        if log_sum_exp is None:
            return accuracy
        worst = _worst(log_sum_exp, self.log_sum_exp, self.log_sum_exp_tolerance)
        return replace(accuracy, log_sum_exp=worst)
