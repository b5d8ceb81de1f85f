"""What the user can set right, and what the user asked for."""


class UserError(Exception):
    """A wrong option, key or path: one sentence that names it and what would be right (exit status 2)."""


class Interrupted(Exception):  # noqa: N818  (nothing is wrong)
    """The run was asked to stop, by the signal `number`: one sentence that says what is done and how to go on."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number
