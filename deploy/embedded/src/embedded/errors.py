"""What stops the stack from starting, said so that a newcomer can act on it."""


class StackError(RuntimeError):
    """The stack cannot run. The message is complete: it is shown without a traceback."""


class PortInUseError(StackError):
    """A port that the plan fixes belongs to another program."""


class SettingError(StackError):
    """An environment variable has a value that cannot be used."""


class ProcessEndedError(StackError):
    """A process ended where it should have gone on."""
