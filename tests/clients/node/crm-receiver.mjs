// A receiver of the CRM's older webhooks, written from the CRM's own description alone and with Node's standard library.
// REQUESTS names a file of [{headers, body (base64), secret, form, name}]; printed is [{function, node} or {refused}] for each.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'

const TYPES = {
  withdrawal: 'withdrawal',
  propTrading: 'prop_trading',
  propTradingLive: 'prop_trading_live_step',
  transfer: 'transfer',
  kyc: 'kyc',
}

function receive({ headers, body, secret, form, name }) {
  const bytes = Buffer.from(body, 'base64')
  const hex = createHmac('sha256', secret).update(bytes).digest('hex')
  const expected = Buffer.from(form === 'prefixed' ? `sha256=${hex}` : hex)
  const sent = Buffer.from(headers['x-crm-signature'] ?? '')
  if (sent.length !== expected.length || !timingSafeEqual(sent, expected)) return { refused: 'signature' }
  const { source, target, version, data, ...others } = JSON.parse(bytes.toString('utf8'))
  if (Object.keys(others).length || version !== '1.0.0' || target.name !== name) return { refused: 'envelope' }
  const slug = /^crm\.webhooks\.requests\.(\w+)\.(?:approve\.node\.([1-9]|10)|reject)$/.exec(source.event)
  if (!slug || source.service !== 'requests') return { refused: 'source' }
  const [, fn, node] = slug
  if (source.group !== `crm.webhooks.groups.requests.${fn}`) return { refused: 'group' }
  if (data.type !== TYPES[fn] || data.status !== (node ? 'approved' : 'rejected')) return { refused: 'data' }
  if (!/^[a-z0-9]{8}$/.test(data.id) || !/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(data.request_time)) {
    return { refused: 'fields' }
  }
  return { function: fn, node: node ? Number(node) : null }
}

console.log(JSON.stringify(JSON.parse(readFileSync(process.env.REQUESTS, 'utf8')).map(receive)))
