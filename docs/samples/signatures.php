<?php
// Check the signature of an ewp/1 request, and sign the answer to it. PHP 8.1 or newer, no extension but the standard ones.
declare(strict_types=1);

const TOLERANCE_SECONDS = 300;
const REQUIRED = ['@method', '@authority', '@path', '@query'];
// Signature-Input: label=("@method" "@path" …);created=…;nonce="…";keyid="…";alg="…", label=…
const INPUT = '/\G([a-z][a-z0-9_-]*)=(\(((?:"[a-z@-]+"(?: "[a-z@-]+")*)?)\)((?:;[a-z]+=(?:\d{1,15}|"[^"\\\\]*"))*))/';
const SIGNATURE = '/\G([a-z][a-z0-9_-]*)=:([A-Za-z0-9+\/]+={0,2}):/';

/** Answer 401 and do nothing. */
final class Refused extends RuntimeException
{
}

/**
 * Return the id of the key that signed; throws Refused.
 *
 * $headers: by lower-case name, several lines of one name joined by ", ". $authority: the Host field. $target: path and query as they
 * stand in the request line ($_SERVER['REQUEST_URI']). $body: file_get_contents('php://input'). $keys: API keys by their id.
 * $useNonce(string $nonce): bool keeps a nonce for ten minutes in one place for all your servers, false if it was there already.
 */
function verify_request(
    string $method,
    string $authority,
    string $target,
    array $headers,
    string $body,
    array $keys,
    int $now,
    callable $useNonce
): string {
    [$path, $query] = array_pad(explode('?', $target, 2), 2, '');
    $values = [
        '@method' => $method,
        '@authority' => preg_replace('/:443$/', '', strtolower($authority)),
        '@path' => $path,
        '@query' => '?' . $query,
        'content-digest' => $headers['content-digest'] ?? '',
    ];
    $required = REQUIRED;
    if ($body !== '') {
        $required[] = 'content-digest';
        $digest = 'sha-256=:' . base64_encode(hash('sha256', $body, true)) . ':';
        if (!hash_equals($digest, $values['content-digest'])) {
            throw new Refused('the body is not the one that was signed');
        }
    }
    $signatures = array_column(members(SIGNATURE, $headers['signature'] ?? ''), 2, 1);
    foreach (members(INPUT, $headers['signature-input'] ?? '') as [, $label, $params, $names, $parameters]) {
        $given = [];
        preg_match_all('/;([a-z]+)=(?:(\d+)|"([^"]*)")/', $parameters, $found, PREG_SET_ORDER);
        foreach ($found as $parameter) {
            $given[$parameter[1]] = $parameter[3] ?? $parameter[2];
        }
        $components = explode(' ', str_replace('"', '', $names));
        $key = $keys[$given['keyid'] ?? ''] ?? null;
        // During a rotation there are two signatures, and perhaps one of them is under a key that you do not know yet.
        if ($key === null || !isset($signatures[$label]) || ($given['alg'] ?? '') !== 'hmac-sha256') {
            continue;
        }
        if (array_diff($required, $components) || count(array_unique($components)) !== count($components)) {
            continue;
        }
        if (($given['nonce'] ?? '') === '' || abs((int) ($given['created'] ?? 0) - $now) > TOLERANCE_SECONDS) {
            continue;
        }
        if (array_diff($components, array_keys($values))) {
            continue;
        }
        $lines = array_map(fn (string $name): string => "\"$name\": {$values[$name]}", $components);
        $lines[] = "\"@signature-params\": $params";
        $expected = hash_hmac('sha256', implode("\n", $lines), $key, true);
        if (!hash_equals($expected, (string) base64_decode($signatures[$label], true))) {
            continue;
        }
        if (!$useNonce($given['nonce'])) {
            throw new Refused('the nonce was used before');
        }
        return $given['keyid'];
    }
    throw new Refused('no signature holds');
}

/** Return the headers to add to an answer; $requestSignature is the request's Signature field as it was received. */
function sign_answer(int $status, string $body, string $requestSignature, string $keyId, string $key, int $now): array
{
    $digest = 'sha-256=:' . base64_encode(hash('sha256', $body, true)) . ':';
    $params = "(\"@status\" \"content-digest\" \"signature\";req);created=$now;keyid=\"$keyId\";alg=\"hmac-sha256\"";
    $base = "\"@status\": $status\n\"content-digest\": $digest\n\"signature\";req: $requestSignature\n\"@signature-params\": $params";
    return [
        'content-digest' => $digest,
        'signature-input' => "sig1=$params",
        'signature' => 'sig1=:' . base64_encode(hash_hmac('sha256', $base, $key, true)) . ':',
    ];
}

/** Return the members of a dictionary field; throws Refused unless the field consists of nothing else. */
function members(string $pattern, string $field): array
{
    $members = [];
    for ($end = 0; $field !== ''; ) {
        if (!preg_match($pattern, $field, $member, 0, $end) || isset($members[$member[1]])) {
            throw new Refused('a signature field is malformed');
        }
        $members[$member[1]] = $member;
        $end += strlen($member[0]);
        if ($end === strlen($field)) {
            break;
        }
        if (!preg_match('/\G[ \t]*,[ \t]*/', $field, $separator, 0, $end)) {
            throw new Refused('a signature field is malformed');
        }
        $end += strlen($separator[0]);
    }
    return array_values($members);
}

// One case a line in, one verdict a line out: how the tests of this sample run it.
if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    $seen = [];
    $useNonce = function (string $nonce) use (&$seen): bool {
        $fresh = !isset($seen[$nonce]);
        $seen[$nonce] = true;
        return $fresh;
    };
    while (($line = fgets(STDIN)) !== false) {
        $one = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
        try {
            $keyId = verify_request(
                $one['method'], $one['authority'], $one['target'], $one['headers'], $one['body'], $one['keys'], $one['now'], $useNonce
            );
            $headers = sign_answer(200, $one['answer'], $one['headers']['signature'], $keyId, $one['keys'][$keyId], $one['now']);
            echo json_encode(['key_id' => $keyId, 'headers' => $headers], JSON_THROW_ON_ERROR), "\n";
        } catch (Refused $refused) {
            echo json_encode(['refused' => $refused->getMessage()], JSON_THROW_ON_ERROR), "\n";
        }
    }
}
