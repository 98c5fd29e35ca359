"""Which lane a webhook belongs to. Pure."""

import zlib
from uuid import UUID

LANE_COUNT = 64


def lane_of(webhook_id: UUID) -> int:
    """Return the lane, 0 to 63: a hash of the id, so that webhooks spread evenly and never move."""
    return zlib.crc32(webhook_id.bytes) % LANE_COUNT
