"""What a command ends with when it cannot do what was asked."""


class CommandError(Exception):
    """One line that says what is wrong; `hint` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
