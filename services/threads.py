"""How many threads a matrix product may take."""

from __future__ import annotations

from contextlib import AbstractContextManager


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread: products of tall and thin matrices take longer on several threads than on
    one, by far where others use the cores: 20,000 x 512 into a tree took 1.0 s on one thread and 5.4 s on two
    of a busy machine, most of it waiting for each other.

    Holds for the whole process while it is open.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits
