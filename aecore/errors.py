"""The errors that a person can mend. Their messages are plain sentences which name the remedy."""

from __future__ import annotations


class DataError(ValueError):
    """Something is wrong with the data; the message says what, and the remedy."""


class FieldError(ValueError):
    """A value does not fit its field. `field` names it; the message says what is allowed."""

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field = field


class Forbidden(PermissionError):
    """This visitor may not do that to this run; the message is a plain sentence."""


class RunError(ValueError):
    """A run folder is not as it should be; the message says what, and the remedy."""


class InUse(RunError):
    """Another process holds the folder's lock."""


class Diverged(ArithmeticError):
    """A term or a gradient is no longer a number. `term` names it."""

    def __init__(self, term: str, step: int):
        super().__init__(
            f"{term} is no longer a number at step {step}. The last good weights are kept. "
            "Try a lower learning rate, clipped gradients, or full precision (fp32)."
        )
        self.term = term
