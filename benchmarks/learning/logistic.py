"""Is services/taggers/logistic.py worth its lines? The same tags fitted by it, by scikit-learn and by scipy.

    python -m benchmarks.learning.logistic [--rows 20000] [--dim 512] [--tags 50] [--c 1.0]

Each solver runs in a process of its own on the same unit vectors, made by a seed: first all tags, as a
training does, then one tag on a few hundred rows, as the server does after each answer of a person. Printed
are seconds (the median of three for the single tag), the memory above that of the data, and the objective
that is left: |w|^2 / 2 + c * the sum of log(1 + exp(-y m)), over the mean of the tags, in float64.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.threads import one_blas_thread

Floats = NDArray[np.float32]
Solver = Callable[[Floats, NDArray[np.bool_], float], tuple[Floats, Floats]]
SERVED = 400
"""Rows of the refit of a single tag."""


def ours(x: Floats, targets: NDArray[np.bool_], c: float) -> tuple[Floats, Floats]:
    from vitrine.services.taggers.logistic import fit_logistic

    return fit_logistic(x, targets, None, c)


def scikit_learn(x: Floats, targets: NDArray[np.bool_], c: float) -> tuple[Floats, Floats]:
    from sklearn.linear_model import LogisticRegression

    models = [LogisticRegression(C=c, max_iter=2_000).fit(x, column) for column in targets.T]
    return np.concatenate([model.coef_ for model in models]), np.concatenate([m.intercept_ for m in models])


def scipy(x: Floats, targets: NDArray[np.bool_], c: float) -> tuple[Floats, Floats]:
    from scipy.optimize import minimize

    def objective(point: NDArray[np.float64], signs: Floats) -> tuple[float, NDArray[np.float64]]:
        weight, bias = point[:-1].astype(np.float32), np.float32(point[-1])
        margins = signs * (x @ weight + bias)
        pull = -c * signs / (1 + np.exp(np.minimum(margins, 80)))
        gradient = np.append(point[:-1] + pull @ x, pull.sum())
        return float(point[:-1] @ point[:-1] / 2 + c * np.logaddexp(0, -margins).sum()), gradient

    found = []
    for column in targets.T:
        signs = np.where(column, 1, -1).astype(np.float32)
        options = {"maxiter": 2_000, "maxfun": 4_000, "gtol": 1e-3, "ftol": 1e-9}
        start = np.zeros(x.shape[1] + 1)
        found.append(minimize(objective, start, (signs,), "L-BFGS-B", jac=True, options=options).x)
    return np.array(found)[:, :-1], np.array(found)[:, -1]


SOLVERS: dict[str, Solver] = {"ours": ours, "scikit-learn": scikit_learn, "scipy": scipy}


def examples(rows: int, dim: int, tags: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return unit vectors around a few hundred centres, and tags that follow directions, on 1 to 30 of 100
    rows."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((300, dim), dtype=np.float32)
    x = centres[random.integers(0, 300, rows)] + random.standard_normal((rows, dim), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    margins = x @ random.standard_normal((dim, tags), dtype=np.float32)
    margins += 0.5 * random.standard_normal(margins.shape, dtype=np.float32)
    shares = np.geomspace(0.01, 0.3, tags)
    return x, np.stack([m > np.quantile(m, 1 - share) for m, share in zip(margins.T, shares, strict=True)], 1)


def left(x: Floats, targets: NDArray[np.bool_], c: float, found: tuple[Floats, Floats]) -> float:
    """Return the objective that is left, a mean over the tags."""
    weights, biases = (np.asarray(part, np.float64) for part in found)
    total = 0.0
    for tag in range(targets.shape[1]):
        margins = np.where(targets[:, tag], 1, -1) * (x @ weights[tag] + biases[tag])
        total += weights[tag] @ weights[tag] / 2 + c * np.logaddexp(0, -margins).sum()
    return float(total / targets.shape[1])


def measure(name: str, rows: int, dim: int, tags: int, c: float) -> dict[str, Any]:
    """Fit by one solver, once it has fitted a few rows: what it imports is not counted."""
    solve = SOLVERS[name]
    x, targets = examples(rows, dim, tags)
    solve(x[:SERVED], targets[:SERVED, -1:], c)
    single = []
    for _ in range(3):
        started = time.perf_counter()
        solve(x[:SERVED], targets[:SERVED, -1:], c)
        single.append(time.perf_counter() - started)
    before, started = _peak(), time.perf_counter()
    found = solve(x, targets, c)
    seconds = time.perf_counter() - started
    return {
        "solver": name,
        "seconds": round(seconds, 2),
        "megabytes": _peak() - before,
        "objective": round(left(x, targets, c, found), 4),
        "one tag, ms": round(1e3 * statistics.median(single), 1),
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--tags", type=int, default=50)
    parser.add_argument("--c", type=float, default=1.0)
    parser.add_argument("--solver", choices=SOLVERS, help="only this one, in this process")
    given = parser.parse_args()
    if given.solver:
        with one_blas_thread():
            print(json.dumps(measure(given.solver, given.rows, given.dim, given.tags, given.c)))
        return
    for name in SOLVERS:
        command = [sys.executable, "-m", "benchmarks.learning.logistic", *sys.argv[1:], "--solver", name]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
