"""Sizes rounded up, so that few shapes occur and each occurs again."""


def rounded_up(n: int, step: int) -> int:
    """`n`, or the next multiple of `step` above it."""
    return n + -n % step


def recurring_count(n: int) -> int:
    """How many members to give a batch of `n`: up to 3 as many, then in steps of 2 and of 4."""
    return rounded_up(n, 1 if n < 4 else 2 if n < 8 else 4)
