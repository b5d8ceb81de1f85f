"""What the user can set right."""


class UserError(Exception):
    """A wrong option, key or path: one sentence that names it and what would be right (exit status 2)."""
