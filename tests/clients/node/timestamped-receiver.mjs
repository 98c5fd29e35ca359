// A receiver of signatures `t=<unix s>,s=<hex>` over `t.body`, several `s=` allowed, tolerance 300 s; Node's standard library alone.
// REQUESTS names a file of [{headers, body (base64), secret, header}]; printed is true or false for each.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'

function verifies({ headers, body, secret, header }) {
  const pairs = (headers[header.toLowerCase()] ?? '').split(',').map((part) => part.split('='))
  const time = pairs.find(([key]) => key === 't')?.[1]
  if (!time || Math.abs(Date.now() / 1000 - Number(time)) > 300) return false
  const expected = createHmac('sha256', secret).update(`${time}.`).update(Buffer.from(body, 'base64')).digest()
  return pairs
    .filter(([key]) => key === 's')
    .map(([, hex]) => Buffer.from(hex, 'hex'))
    .some((sent) => sent.length === expected.length && timingSafeEqual(sent, expected))
}

console.log(JSON.stringify(JSON.parse(readFileSync(process.env.REQUESTS, 'utf8')).map(verifies)))
