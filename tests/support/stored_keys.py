"""A stored key for tests that judge or remember one."""

from credentials.verification.judgement import StoredKey
from shared.typeids import new_id

STORED_KEY = StoredKey(
    key_id=new_id(),
    version=1,
    tenant_id=new_id(),
    tenant_suspended=False,
    legacy_signatures=False,
    kind="secret",
    environment="live",
    name="key",
    scopes=("events:publish",),
    roles=("support",),
    own_role_scopes=(),
    allowed_networks=(),
    revoked=False,
    expires_at=None,
    version_ends_at=None,
    pepper_id="p1",
)
