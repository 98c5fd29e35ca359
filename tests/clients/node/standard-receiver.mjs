// The published packages `standardwebhooks` and `svix` verify `v1`. Neither knows `v1a`: that is verified by `@noble/ed25519`.
// REQUESTS names a file of [{headers, body (base64), secret, publicKey}]; printed is [{standardwebhooks, svix, v1a}] for each.
import * as ed25519 from '@noble/ed25519'
import { readFileSync } from 'node:fs'
import * as standardwebhooks from 'standardwebhooks'
import * as svix from 'svix'

function accepts(Webhook, { headers, body, secret }) {
  try {
    new Webhook(secret).verify(Buffer.from(body, 'base64').toString('utf8'), headers)
    return true
  } catch {
    return false
  }
}

async function verifiesAsymmetric({ headers, body, publicKey }) {
  const key = Buffer.from(publicKey.replace('whpk_', ''), 'base64')
  const head = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`)
  const signed = Buffer.concat([head, Buffer.from(body, 'base64')])
  for (const entry of headers['webhook-signature'].split(' ')) {
    const [version, signature] = entry.split(',')
    if (version === 'v1a' && (await ed25519.verifyAsync(Buffer.from(signature, 'base64'), signed, key))) return true
  }
  return false
}

const requests = JSON.parse(readFileSync(process.env.REQUESTS, 'utf8'))
const told = requests.map(async (request) => ({
  standardwebhooks: accepts(standardwebhooks.Webhook, request),
  svix: accepts(svix.Webhook, request),
  v1a: await verifiesAsymmetric(request),
}))
console.log(JSON.stringify(await Promise.all(told)))
