"""The one exception that a user is meant to read."""


class UserError(Exception):
    """A mistake that the user can mend. Its text is one sentence: what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2.
    """
