// openid-client against a running credentials service, with jose as the resource server: the same steps as oauth4webapi.mjs.
import assert from 'node:assert/strict'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as openid from 'openid-client'

const { ISSUER, CLIENT_ID, CLIENT_SECRET } = process.env

const told = {}
for (const [way, authentication] of Object.entries({
  basic: openid.ClientSecretBasic(CLIENT_SECRET),
  post: openid.ClientSecretPost(CLIENT_SECRET),
})) {
  const configuration = await openid.discovery(new URL(ISSUER), CLIENT_ID, undefined, authentication, {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests], // the service is on loopback
  })
  const granted = await openid.clientCredentialsGrant(configuration, { scope: 'events:read' })
  assert.equal(granted.scope, 'events:read')
  assert.ok(granted.expiresIn() <= 300)

  const metadata = configuration.serverMetadata()
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
  const expected = { issuer: metadata.issuer, audience: 'causeway', typ: 'at+jwt', algorithms: ['ES256'] }
  const { payload } = await jwtVerify(granted.access_token, keys, expected)
  assert.equal(payload.sub, CLIENT_ID)
  await assert.rejects(jwtVerify(granted.access_token, keys, { ...expected, algorithms: ['RS256'] }))

  assert.equal((await openid.tokenIntrospection(configuration, granted.access_token)).active, true)
  await openid.tokenRevocation(configuration, granted.access_token)
  assert.equal((await openid.tokenIntrospection(configuration, granted.access_token)).active, false)

  await assert.rejects(openid.clientCredentialsGrant(configuration, { scope: 'transfers:create' }), (error) => {
    assert.equal(error.error, 'invalid_scope')
    return true
  })
  told[way] = { claims: payload, jti: payload.jti }
}
console.log(JSON.stringify(told))
