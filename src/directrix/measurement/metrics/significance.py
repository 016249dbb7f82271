"""Whether a difference between counts is more than chance."""

from __future__ import annotations

from math import comb


def fisher_test(more: int, fewer: int, n: int) -> float:
    """Chance of at least this large a difference were both shares of n the same (Fisher's exact test, one-sided)."""
    total = more + fewer
    ways = [comb(n, k) * comb(n, total - k) for k in range(max(0, total - n), min(n, total) + 1)]
    first = max(0, total - n)
    return sum(ways[more - first :]) / sum(ways)


def sign_test(successes: int, n: int) -> float:
    """Chance of at least this many successes in n were both outcomes equally likely (one-sided sign test)."""
    return sum(comb(n, k) for k in range(successes, n + 1)) / 2**n
