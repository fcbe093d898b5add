"""The error of the embedded stack."""


class StackError(Exception):
    """A part of the stack could not be started or stopped.

    The message is for the person at the terminal: which part, what was tried, what happened, where the log
    is and what to do next.
    """
