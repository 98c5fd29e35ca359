"""What publishing can raise; the tree stands in the package's docstring."""

from collections.abc import Mapping, Sequence


class PublishError(Exception):
    """An event was not published, as far as is known."""


class EventRefusedError(PublishError):
    """The dispatcher refused it and would again. ``code`` is the problem's code, ``errors`` its pointers and details."""

    def __init__(self, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = list(errors)


class PublisherUnavailableError(PublishError):
    """It may or may not have been accepted. The same event may be sent again at any time: its id makes that harmless.

    ``code`` is stable: the kind of failure, or ``http_<status>``. ``may_pass``: the same request may succeed soon; otherwise
    somebody has to mend something first, such as the key.
    """

    def __init__(self, code: str, *, may_pass: bool = True, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"the dispatcher is not known to have taken it: {code}")
        self.code = code
        self.may_pass = may_pass
        self.retry_after_seconds = retry_after_seconds
