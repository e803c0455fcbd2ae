package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/nsnet/nsnet/topology"
)

// authorize finds the Authorization that a registry asks for in its refusal; empty: there is none to give.
func (c *Client) authorize(ctx context.Context, r topology.Reference, refusal *response) (string, error) {
	var creds *Credentials
	if c.Credentials != nil {
		var err error
		// The image may not need what a helper cannot tell: it is asked for as nobody.
		if creds, err = c.Credentials(ctx, r.Registry); err != nil && !errors.Is(err, ErrHelper) {
			return "", fmt.Errorf("look for credentials of %s: %w", r.Registry, err)
		}
	}
	basic := ""
	if creds != nil && creds.User != "" {
		basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(creds.User+":"+creds.Password))
	}
	for _, challenge := range refusal.header["www-authenticate"] {
		scheme, params := parseChallenge(challenge)
		switch {
		case strings.EqualFold(scheme, "basic"):
			return basic, nil
		case strings.EqualFold(scheme, "bearer") && params["realm"] != "":
			return c.token(ctx, r, refusal.url, params, creds, basic)
		}
	}
	return "", nil
}

// token asks the server that the registry names for a token: with a password by GET, with an identity token by the POST
// of OAuth2 (distribution's documentation, spec/auth/oauth).
func (c *Client) token(ctx context.Context, r topology.Reference, registry *url.URL, params map[string]string, creds *Credentials, basic string) (string, error) {
	u, err := url.Parse(params["realm"])
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%w: tokens from %q", ErrAnswer, params["realm"])
	}
	if u.Scheme != "https" && !plainly(registry, u) {
		return "", fmt.Errorf("%w: tokens from %s, which is not https", ErrRefused, plainURL(u))
	}
	q := u.Query()
	if params["service"] != "" {
		q.Set("service", params["service"])
	}
	// What is asked for is ours to say, and not the registry's.
	q.Set("scope", "repository:"+r.Repository+":pull")
	var res *response
	if creds != nil && creds.IdentityToken != "" {
		q.Set("grant_type", "refresh_token")
		q.Set("refresh_token", creds.IdentityToken)
		q.Set("client_id", "nsnet")
		u.RawQuery = ""
		// Once: a redirect would be given the token.
		res, err = c.patiently(ctx, func() (*response, error) { return c.once(ctx, &request{url: u, form: q.Encode()}) })
	} else {
		u.RawQuery = q.Encode()
		var header [][2]string
		if basic != "" {
			header = append(header, [2]string{"Authorization", basic})
		}
		res, err = c.patiently(ctx, func() (*response, error) { return c.get(ctx, u, header) })
	}
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	defer res.body.Close()
	if busy(res.status) {
		return "", fmt.Errorf("get a token: %w", res.failure(detailOf(res)))
	}
	if res.status != 200 {
		return "", c.denied(ctx, r, fmt.Sprintf("no token from %s: status %d%s", plainURL(u), res.status, detailOf(res)))
	}
	var answer struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	b, err := io.ReadAll(io.LimitReader(res.body, 1<<20))
	if err == nil {
		err = json.Unmarshal(b, &answer)
	}
	if err != nil {
		return "", fmt.Errorf("%w: a token from %s: %w", ErrAnswer, plainURL(u), err)
	}
	if answer.Token == "" {
		answer.Token = answer.Access
	}
	if answer.Token == "" {
		return "", fmt.Errorf("%w: no token in the answer of %s", ErrAnswer, plainURL(u))
	}
	return "Bearer " + answer.Token, nil
}

// parseChallenge understands SCHEME key="value",key=value. RFC 9110 section 11.2.
func parseChallenge(s string) (scheme string, params map[string]string) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	params = map[string]string{}
	for rest != "" {
		key, after, ok := strings.Cut(strings.TrimLeft(rest, ", \t"), "=")
		if !ok {
			break
		}
		var value string
		if strings.HasPrefix(after, `"`) {
			value, rest, _ = strings.Cut(after[1:], `"`)
		} else {
			value, rest, _ = strings.Cut(after, ",")
		}
		params[strings.ToLower(strings.TrimSpace(key))] = value
	}
	return scheme, params
}
