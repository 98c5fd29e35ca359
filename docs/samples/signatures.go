// Check the signature of an ewp/1 request, and sign the answer to it. Go 1.21 or newer, standard library alone.
package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const toleranceSeconds = 300

var (
	required = []string{"@method", "@authority", "@path", "@query"}
	// Signature-Input: label=("@method" "@path" …);created=…;nonce="…";keyid="…";alg="…", label=…
	inputMember     = regexp.MustCompile(`^([a-z][a-z0-9_-]*)=(\(((?:"[a-z@-]+"(?: "[a-z@-]+")*)?)\)((?:;[a-z]+=(?:[0-9]{1,15}|"[^"\\]*"))*))`)
	signatureMember = regexp.MustCompile(`^([a-z][a-z0-9_-]*)=:([A-Za-z0-9+/]+={0,2}):`)
	separator       = regexp.MustCompile(`^[ \t]*,[ \t]*`)
	parameter       = regexp.MustCompile(`;([a-z]+)=(?:([0-9]+)|"([^"]*)")`)
	digestField     = regexp.MustCompile(`^sha-256=:([A-Za-z0-9+/]{43}=):$`)
)

// Request is what is verified. Headers are by lower-case name, several lines of one name joined by ", ". Authority is the Host
// field, Target path and query as they stand in the request line (r.RequestURI), Body the bytes as they came.
type Request struct {
	Method    string            `json:"method"`
	Authority string            `json:"authority"`
	Target    string            `json:"target"`
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body"`
}

// VerifyRequest returns the id of the key that signed. On an error, answer 401 and do nothing.
//
// keys are API keys by their id. useNonce keeps a nonce for ten minutes in one place for all your servers, and returns false if it
// was there already.
func VerifyRequest(request Request, keys map[string]string, now int64, useNonce func(string) bool) (string, error) {
	path, query, _ := strings.Cut(request.Target, "?")
	values := map[string]string{
		"@method":        request.Method,
		"@authority":     strings.TrimSuffix(strings.ToLower(request.Authority), ":443"),
		"@path":          path,
		"@query":         "?" + query,
		"content-digest": request.Headers["content-digest"],
	}
	demanded := slices.Clone(required)
	if request.Body != "" {
		demanded = append(demanded, "content-digest")
		sum := sha256.Sum256([]byte(request.Body))
		found := digestField.FindStringSubmatch(values["content-digest"])
		if found == nil || found[1] != base64.StdEncoding.EncodeToString(sum[:]) {
			return "", errors.New("the body is not the one that was signed")
		}
	}
	inputs, err := members(inputMember, request.Headers["signature-input"])
	if err != nil {
		return "", err
	}
	shown, err := members(signatureMember, request.Headers["signature"])
	if err != nil {
		return "", err
	}
	signatures := map[string]string{}
	for _, member := range shown {
		signatures[member[1]] = member[2]
	}
	for _, input := range inputs {
		given := map[string]string{}
		for _, found := range parameter.FindAllStringSubmatch(input[4], -1) {
			given[found[1]] = found[2] + found[3]
		}
		key, known := keys[given["keyid"]]
		signature, signed := signatures[input[1]]
		// During a rotation there are two signatures, and perhaps one of them is under a key that you do not know yet.
		if !known || !signed || given["alg"] != "hmac-sha256" || given["nonce"] == "" {
			continue
		}
		created, err := strconv.ParseInt(given["created"], 10, 64)
		if err != nil || created-now > toleranceSeconds || now-created > toleranceSeconds {
			continue
		}
		base, complete := signatureBase(strings.Fields(strings.ReplaceAll(input[3], `"`, "")), demanded, values)
		decoded, err := base64.StdEncoding.DecodeString(signature)
		if !complete || err != nil || subtle.ConstantTimeCompare(decoded, mac(key, base+`"@signature-params": `+input[2])) != 1 {
			continue
		}
		if !useNonce(given["nonce"]) {
			return "", errors.New("the nonce was used before")
		}
		return given["keyid"], nil
	}
	return "", errors.New("no signature holds")
}

// SignAnswer returns the headers to add to an answer; requestSignature is the request's Signature field as it was received.
func SignAnswer(status int, body, requestSignature, keyID, key string, now int64) map[string]string {
	sum := sha256.Sum256([]byte(body))
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	params := fmt.Sprintf(`("@status" "content-digest" "signature";req);created=%d;keyid="%s";alg="hmac-sha256"`, now, keyID)
	base := fmt.Sprintf("\"@status\": %d\n\"content-digest\": %s\n\"signature\";req: %s\n\"@signature-params\": %s",
		status, digest, requestSignature, params)
	return map[string]string{
		"content-digest":  digest,
		"signature-input": "sig1=" + params,
		"signature":       "sig1=:" + base64.StdEncoding.EncodeToString(mac(key, base)) + ":",
	}
}

func signatureBase(components, demanded []string, values map[string]string) (string, bool) {
	for _, name := range demanded {
		if !slices.Contains(components, name) {
			return "", false
		}
	}
	var base strings.Builder
	for number, name := range components {
		value, known := values[name]
		if !known || slices.Contains(components[:number], name) {
			return "", false
		}
		fmt.Fprintf(&base, "\"%s\": %s\n", name, value)
	}
	return base.String(), true
}

func mac(key, base string) []byte {
	hash := hmac.New(sha256.New, []byte(key))
	hash.Write([]byte(base))
	return hash.Sum(nil)
}

// members returns the members of a dictionary field, and an error unless the field consists of nothing else.
func members(pattern *regexp.Regexp, field string) ([][]string, error) {
	malformed := errors.New("a signature field is malformed")
	var found [][]string
	labels := map[string]bool{}
	for field != "" {
		member := pattern.FindStringSubmatch(field)
		if member == nil || labels[member[1]] {
			return nil, malformed
		}
		labels[member[1]] = true
		found = append(found, member)
		field = field[len(member[0]):]
		if between := separator.FindString(field); between != "" && len(between) < len(field) {
			field = field[len(between):]
		} else if field != "" {
			return nil, malformed
		}
	}
	return found, nil
}

// One case a line in, one verdict a line out: how the tests of this sample run it.
func main() {
	seen := map[string]bool{}
	useNonce := func(nonce string) bool {
		fresh := !seen[nonce]
		seen[nonce] = true
		return fresh
	}
	lines := bufio.NewScanner(os.Stdin)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var one struct {
			Request
			Keys   map[string]string `json:"keys"`
			Now    int64             `json:"now"`
			Answer string            `json:"answer"`
		}
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			panic(err)
		}
		keyID, err := VerifyRequest(one.Request, one.Keys, one.Now, useNonce)
		if err != nil {
			_ = output.Encode(map[string]string{"refused": err.Error()})
			continue
		}
		headers := SignAnswer(200, one.Answer, one.Headers["signature"], keyID, one.Keys[keyID], one.Now)
		_ = output.Encode(map[string]any{"key_id": keyID, "headers": headers})
	}
}
