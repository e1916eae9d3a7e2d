"""Restricted likelihood of models with random intercepts, by sparse penalized least squares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, sparse
from scipy.sparse import linalg

from .checks import Numbers

#: Steps of the search after which it counts as not converged.
STEPS = 500
#: Between these logarithms are the standard deviations of random effects, in units of the residual one.
SMALL, LARGE = -7.0, 7.0


@dataclass(frozen=True)
class Fit:
    """`coefficients` of fixed effects with their `covariance`; `variances` of random ones, then residual."""

    coefficients: Numbers
    covariance: Any
    variances: Numbers
    converged: bool


def fit(design: Numbers, random: Sequence[Any], values: Numbers) -> Fit:
    """Fit a model with crossed or nested random intercepts (Bates, Maechler, Bolker & Walker 2015).

    `random` has the number of its level for each value, one array per random effect. The search is over the
    standard deviations of random effects in units of the residual one. Raises `ValueError` if fixed effects
    cannot be told apart, or random ones cannot be told from the residual.
    """
    n, width = design.shape
    if np.linalg.matrix_rank(design) < width:
        raise ValueError("some fixed effects follow from others")
    parts = [sparse.csc_array((np.ones(n), (np.arange(n), levels))) for levels in random]
    if any(part.shape[1] >= n for part in parts):
        raise ValueError("a random effect has a level for each value")
    levels = sparse.hstack(parts, format="csc")
    sizes = [part.shape[1] for part in parts]
    cross, with_fixed, with_values = levels.T @ levels, levels.T @ design, levels.T @ values
    fixed, fixed_values, squares = design.T @ design, design.T @ values, float(values @ values)
    identity = sparse.eye_array(sum(sizes), format="csc")

    def solve(spreads: Numbers) -> tuple[float, Numbers, Numbers, float]:
        """The deviance at these spreads; the coefficients, their information, and the residual variance."""
        scale = sparse.diags_array(np.repeat(spreads, sizes), format="csc")
        system = (scale @ cross @ scale + identity).tocsc()
        factor = linalg.splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        right = np.column_stack((scale @ with_fixed, scale @ with_values))
        solved = factor.solve(right)
        information = fixed - right[:, :-1].T @ solved[:, :-1]
        coefficients = np.linalg.solve(information, fixed_values - right[:, :-1].T @ solved[:, -1])
        left = squares - float(right[:, -1] @ solved[:, -1])
        left -= float(coefficients @ (fixed_values - right[:, :-1].T @ solved[:, -1]))
        residual = max(left, 1e-12 * squares) / (n - width)
        deviance = float(np.log(np.abs(factor.U.diagonal())).sum())
        deviance += float(np.linalg.slogdet(information)[1]) + (n - width) * math.log(residual)
        return deviance, coefficients, information, residual

    # The search is over logarithms, which suits spreads of any size; a spread of 0 is tried at the end.
    found = optimize.minimize(
        lambda logs: solve(np.exp(logs))[0], np.zeros(len(parts)), method="Nelder-Mead",
        bounds=[(SMALL, LARGE)] * len(parts),
        options={"maxiter": STEPS, "xatol": 1e-4, "fatol": 1e-6},
    )  # fmt: skip
    spreads = np.exp(found.x)
    for place in range(len(parts)):
        without = spreads.copy()
        without[place] = 0.0
        if solve(without)[0] <= solve(spreads)[0] + 1e-6:
            spreads = without
    _, coefficients, information, residual = solve(spreads)
    covariance = residual * np.linalg.inv(information)
    variances = np.append(spreads**2 * residual, residual)
    converged = bool(found.success) and float(found.x.max()) < LARGE - 0.1
    return Fit(coefficients, covariance, variances, converged)
