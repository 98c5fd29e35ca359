"""A shorter way for well-formed questions: siblings wait for their answers, thousands a second."""

from typing import Any, ClassVar

from fastapi import Response

from credentials.verification.schemas import VerifyRequest
from shared.access import require_platform
from shared.quick_route import QuickBodyRoute
from shared.request_body import StrictRequest

VERIFIER = require_platform("credentials:verify")
"""The dependency of the question: its caller."""


class QuestionRoute(QuickBodyRoute):
    """The route of an endpoint that takes ``(request, asked, caller)``."""

    MODEL = VerifyRequest
    CALLER: ClassVar[Any] = VERIFIER

    async def answer(self, call: StrictRequest, wanted: Any, caller: Any) -> Response:
        """Ask the endpoint itself."""
        answer: Response = await self.endpoint(call, wanted, caller)
        return answer
