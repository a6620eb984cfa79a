"""Errors that a person can put right. Their messages are plain sentences that name the remedy."""

from __future__ import annotations


class DataError(ValueError):
    """Something is wrong with the data; the message says what it is, and the remedy."""


class FieldError(ValueError):
    """A value does not fit its field. `field` names it; the message says what is allowed."""

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field = field


class Forbidden(PermissionError):
    """A visitor may not do this to this run."""


class RunError(ValueError):
    """Something is wrong with a run folder; the message says what it is, and the remedy."""


class InUse(RunError):
    """Another process holds the folder's lock."""


class Diverged(ArithmeticError):
    """A term, a loss or the weights are no longer finite numbers. `term` names which."""

    def __init__(self, term: str, step: int):
        super().__init__(
            f"{term} is no longer a number at step {step}. The last good weights are kept. "
            "Try a lower learning rate, clipped gradients, or full precision (fp32)."
        )
        self.term = term
