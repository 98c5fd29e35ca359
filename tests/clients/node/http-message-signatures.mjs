// RFC 9421 as another program understands it. CASES, from the environment, are messages that we signed; for each one this says
// whether it holds and whether it still does when altered, and signs the same message itself. Printed as one JSON object.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { createSigner, createVerifier, httpbis } from 'http-message-signatures'

const { hmac, ed25519, cases } = JSON.parse(process.env.CASES)
const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(ed25519.seed, 'base64')])
const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
const keys = {
  [hmac.id]: { alg: 'hmac-sha256', sign: Buffer.from(hmac.secret), verify: Buffer.from(hmac.secret) },
  [ed25519.id]: { alg: 'ed25519', sign: privateKey, verify: createPublicKey(privateKey) },
}
const requestFields = ['@method', '@authority', '@path', '@query']
const responseFields = ['@status', 'content-digest', '"signature";req']

const keyLookup = async ({ keyid }) => {
  const key = keys[keyid]
  return key && { id: keyid, algs: [key.alg], verify: createVerifier(key.verify, key.alg) }
}
const holds = async (message, request) =>
  httpbis.verifyMessage({ keyLookup, all: true, requiredFields: request ? ['@status'] : requestFields }, message, request)
const altered = (headers) => ({ ...headers, 'content-digest': 'sha-256=:AAAA:' })
const sign = async (keyid, fields, params, paramValues, message, request) => {
  const key = { id: keyid, alg: keys[keyid].alg, sign: createSigner(keys[keyid].sign, keys[keyid].alg, keyid).sign }
  return (await httpbis.signMessage({ key, fields, params, paramValues, name: 'other' }, message, request)).headers
}

const told = []
for (const { keyid, request, response, created } of cases) {
  const unsigned = ({ signature, 'signature-input': input, ...headers }) => headers
  const paramValues = { created: new Date(created * 1000), nonce: `theirs-${keyid}-${told.length}` }
  const withBody = 'content-digest' in request.headers
  const covered = withBody ? [...requestFields, 'content-digest'] : requestFields
  const ownRequest = { ...request, headers: unsigned(request.headers) }
  const signedRequest = await sign(keyid, covered, ['created', 'nonce', 'keyid', 'alg'], paramValues, ownRequest)
  told.push({
    request: await holds(request),
    alteredRequest: await holds({ ...request, url: `${request.url}x` }),
    response: await holds(response, request),
    alteredResponse: await holds({ ...response, headers: altered(response.headers) }, request),
    otherRequest: await holds(response, { ...request, headers: { ...request.headers, signature: 'sig1=:AAAA:' } }),
    signedRequest,
    signedResponse: await sign(
      keyid, responseFields, ['created', 'keyid', 'alg'], paramValues,
      { ...response, headers: unsigned(response.headers) }, { ...request, headers: signedRequest },
    ),
  })
}
console.log(JSON.stringify(told))
