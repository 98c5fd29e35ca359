// Check the signature of an ewp/1 request, and sign the answer to it. Node.js 18 or newer, nothing to install.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createInterface } from "node:readline";

const TOLERANCE_SECONDS = 300;
const REQUIRED = ["@method", "@authority", "@path", "@query"];
// Signature-Input: label=("@method" "@path" …);created=…;nonce="…";keyid="…";alg="…", label=…
const INPUT = /([a-z][a-z0-9_-]*)=(\(((?:"[a-z@-]+"(?: "[a-z@-]+")*)?)\)((?:;[a-z]+=(?:\d{1,15}|"[^"\\]*"))*))/y;
const SIGNATURE = /([a-z][a-z0-9_-]*)=:([A-Za-z0-9+/]+={0,2}):/y;
const PARAMETER = /;([a-z]+)=(?:(\d+)|"([^"]*)")/g;
const DIGEST = /^sha-256=:([A-Za-z0-9+/]{43}=):$/;

/** Answer 401 and do nothing. */
export class Refused extends Error {}

/**
 * Return the id of the key that signed; throws Refused.
 *
 * headers: by lower-case name, several lines of one name joined by ", ". authority: the Host field. target: path and query as they
 * stand in the request line (req.url). body: a Buffer of the bytes as they came. keys: API keys by their id. useNonce(nonce): keeps
 * a nonce for ten minutes in one place for all your servers, and returns false if it was there already.
 */
export function verifyRequest({ method, authority, target, headers, body, keys, now, useNonce }) {
  const [path, ...rest] = target.split("?");
  const values = {
    "@method": method,
    "@authority": authority.toLowerCase().replace(/:443$/, ""),
    "@path": path,
    "@query": "?" + rest.join("?"),
    "content-digest": headers["content-digest"] ?? "",
  };
  const required = [...REQUIRED];
  if (body.length > 0) {
    required.push("content-digest");
    const found = DIGEST.exec(values["content-digest"]);
    if (!found || found[1] !== createHash("sha256").update(body).digest("base64")) {
      throw new Refused("the body is not the one that was signed");
    }
  }
  const signatures = new Map(members(SIGNATURE, headers["signature"] ?? ""));
  for (const [label, params, names, parameters] of members(INPUT, headers["signature-input"] ?? "")) {
    const given = {};
    for (const [, name, number, text] of parameters.matchAll(PARAMETER)) given[name] = number ?? text;
    const components = names.split(" ").map((name) => name.replaceAll('"', ""));
    const key = Object.hasOwn(keys, given.keyid ?? "") ? keys[given.keyid] : undefined;
    // During a rotation there are two signatures, and perhaps one of them is under a key that you do not know yet.
    if (key === undefined || !signatures.has(label) || given.alg !== "hmac-sha256") continue;
    if (new Set(components).size !== components.length) continue;
    if (!required.every((name) => components.includes(name))) continue;
    if (!given.nonce || !(Math.abs(Number(given.created ?? 0) - now) <= TOLERANCE_SECONDS)) continue;
    if (!components.every((name) => Object.hasOwn(values, name))) continue;
    const lines = components.map((name) => `"${name}": ${values[name]}`);
    const expected = hmac(key, [...lines, `"@signature-params": ${params}`].join("\n"));
    const shown = Buffer.from(signatures.get(label), "base64");
    if (shown.length !== expected.length || !timingSafeEqual(shown, expected)) continue;
    if (!useNonce(given.nonce)) throw new Refused("the nonce was used before");
    return given.keyid;
  }
  throw new Refused("no signature holds");
}

/** Return the headers to add to an answer; requestSignature is the request's Signature field as it was received. */
export function signAnswer({ status, body, requestSignature, keyId, key, now }) {
  const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  const params = `("@status" "content-digest" "signature";req);created=${now};keyid="${keyId}";alg="hmac-sha256"`;
  const base = [
    `"@status": ${status}`,
    `"content-digest": ${digest}`,
    `"signature";req: ${requestSignature}`,
    `"@signature-params": ${params}`,
  ].join("\n");
  return {
    "content-digest": digest,
    "signature-input": `sig1=${params}`,
    signature: `sig1=:${hmac(key, base).toString("base64")}:`,
  };
}

function hmac(key, base) {
  return createHmac("sha256", Buffer.from(key, "utf8")).update(base, "utf8").digest();
}

/** Return the members of a dictionary field; throws Refused unless the field consists of nothing else. */
function members(pattern, field) {
  const found = [];
  for (let end = 0; field !== ""; ) {
    pattern.lastIndex = end;
    const member = pattern.exec(field);
    if (!member) throw new Refused("a signature field is malformed");
    found.push(member.slice(1));
    end += member[0].length;
    if (end === field.length) break;
    const separator = /^[ \t]*,[ \t]*/.exec(field.slice(end));
    if (!separator) throw new Refused("a signature field is malformed");
    end += separator[0].length;
  }
  if (new Set(found.map(([label]) => label)).size !== found.length) throw new Refused("a label occurs twice");
  return found;
}

// One case a line in, one verdict a line out: how the tests of this sample run it.
if (process.argv[1]?.endsWith("signatures.mjs")) {
  const seen = new Set();
  const useNonce = (nonce) => !seen.has(nonce) && Boolean(seen.add(nonce));
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    try {
      const keyId = verifyRequest({ ...request, body: Buffer.from(request.body), useNonce });
      const headers = signAnswer({
        status: 200,
        body: Buffer.from(request.answer),
        requestSignature: request.headers.signature,
        keyId,
        key: request.keys[keyId],
        now: request.now,
      });
      console.log(JSON.stringify({ key_id: keyId, headers }));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      console.log(JSON.stringify({ refused: error.message }));
    }
  }
}
