// oauth4webapi against a running credentials service: discovery, token, introspection, JWT validation, revocation, errors.
// ISSUER, CLIENT_ID and CLIENT_SECRET come from the environment; what happened is printed as one JSON object.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'

const { ISSUER, CLIENT_ID, CLIENT_SECRET } = process.env
const options = { [oauth.allowInsecureRequests]: true } // the service is on loopback
const client = { client_id: CLIENT_ID }
const issuer = new URL(ISSUER)

const server = await oauth
  .discoveryRequest(issuer, { ...options, algorithm: 'oauth2' })
  .then((response) => oauth.processDiscoveryResponse(issuer, response))

const ways = { basic: oauth.ClientSecretBasic(CLIENT_SECRET), post: oauth.ClientSecretPost(CLIENT_SECRET) }
const told = {}
for (const [way, authentication] of Object.entries(ways)) {
  const granted = await oauth
    .clientCredentialsGrantRequest(server, client, authentication, { scope: 'events:read' }, options)
    .then((response) => oauth.processClientCredentialsResponse(server, client, response))
  assert.equal(granted.scope, 'events:read')
  assert.ok(granted.expires_in <= 300)

  const request = new Request('https://api.example/', { headers: { authorization: `Bearer ${granted.access_token}` } })
  const claims = await oauth.validateJwtAccessToken(server, request, 'causeway', {
    ...options,
    signingAlgorithms: server.access_token_signing_alg_values_supported,
  })
  assert.equal(claims.client_id, CLIENT_ID)
  await assert.rejects(oauth.validateJwtAccessToken(server, request, 'somebody-else', options))

  const isActive = async () =>
    (
      await oauth
        .introspectionRequest(server, client, authentication, granted.access_token, options)
        .then((response) => oauth.processIntrospectionResponse(server, client, response))
    ).active
  assert.equal(await isActive(), true)
  await oauth
    .revocationRequest(server, client, authentication, granted.access_token, options)
    .then((response) => oauth.processRevocationResponse(response))
  assert.equal(await isActive(), false)
  told[way] = { claims, jti: claims.jti }
}

const fails = async (authentication, parameters, check) => {
  const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, options)
  await assert.rejects(oauth.processClientCredentialsResponse(server, client, response), check)
}
await fails(ways.basic, { scope: 'transfers:create' }, (error) => {
  assert.equal(error.constructor, oauth.ResponseBodyError)
  assert.deepEqual([error.error, error.status], ['invalid_scope', 400])
  return true
})
await fails(oauth.ClientSecretBasic('wrong'), {}, (error) => {
  assert.equal(error.constructor, oauth.WWWAuthenticateChallengeError)
  assert.deepEqual([error.cause[0].scheme, error.status], ['basic', 401])
  return true
})
console.log(JSON.stringify(told))
