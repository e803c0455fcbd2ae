package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/nsnet/nsnet/topology"
)

// authorize finds the Authorization that a registry asks for in its refusal; empty: there is none to give.
func (c *Client) authorize(ctx context.Context, r topology.Reference, refusal *response) (string, error) {
	var creds *Credentials
	if c.Credentials != nil {
		var err error
		// A helper may keep what this image does not need: it is asked for as nobody.
		if creds, err = c.Credentials(r.Registry); err != nil && !errors.Is(err, ErrHelper) {
			return "", fmt.Errorf("look for credentials of %s: %w", r.Registry, err)
		}
	}
	basic := ""
	if creds != nil {
		basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(creds.User+":"+creds.Password))
	}
	for _, challenge := range refusal.header["www-authenticate"] {
		scheme, params := parseChallenge(challenge)
		switch {
		case strings.EqualFold(scheme, "basic"):
			return basic, nil
		case strings.EqualFold(scheme, "bearer") && params["realm"] != "":
			return c.token(ctx, r, refusal.url, params, basic)
		}
	}
	return "", nil
}

// token asks the server that the registry names for a token.
func (c *Client) token(ctx context.Context, r topology.Reference, registry *url.URL, params map[string]string, basic string) (string, error) {
	u, err := url.Parse(params["realm"])
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%w: tokens from %q", ErrAnswer, params["realm"])
	}
	if u.Scheme != "https" && (!loopback(registry) || !loopback(u)) {
		return "", fmt.Errorf("%w: tokens from %s, which is not https", ErrRefused, plainURL(u))
	}
	q := u.Query()
	if params["service"] != "" {
		q.Set("service", params["service"])
	}
	// What is asked for is ours to say, and not the registry's.
	q.Set("scope", "repository:"+r.Repository+":pull")
	u.RawQuery = q.Encode()
	var header [][2]string
	if basic != "" {
		header = append(header, [2]string{"Authorization", basic})
	}
	res, err := c.get(ctx, u, header)
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	defer res.body.Close()
	if res.status != 200 {
		return "", c.denied(r, fmt.Sprintf("no token from %s: status %d%s", plainURL(u), res.status, detailOf(res)))
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

// ErrHelper is a configuration that keeps passwords where only another program gets them.
var ErrHelper = errors.New("its password is kept by a credential helper, and nsnet starts no programs")

// DockerCredentials finds credentials as Docker's client keeps them: in $DOCKER_CONFIG/config.json, or ~/.docker/config.json.
func DockerCredentials(registry string) (*Credentials, error) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, nil //nolint:nilnil,nilerr // nobody's: no credentials
		}
		dir = filepath.Join(home, ".docker")
	}
	path := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is no failure
	}
	if err != nil {
		return nil, err
	}
	c, err := credentials(b, registry)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func credentials(config []byte, registry string) (*Credentials, error) {
	var f struct {
		Auths map[string]struct {
			Auth, Username, Password, IdentityToken string
		}
		CredHelpers map[string]string
		CredsStore  string
	}
	if err := json.Unmarshal(config, &f); err != nil {
		return nil, err
	}
	keys := []string{registry, "https://" + registry, "https://" + registry + "/v1/", "https://" + registry + "/v2/"}
	if registry == "docker.io" {
		keys = append(keys, "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
	}
	for _, k := range keys {
		a, ok := f.Auths[k]
		if !ok {
			continue
		}
		if a.Auth != "" {
			text, err := base64.StdEncoding.DecodeString(a.Auth)
			user, password, colon := strings.Cut(strings.TrimRight(string(text), "\x00"), ":")
			if err != nil || !colon {
				return nil, fmt.Errorf("auth of %s is not user:password in base64", k)
			}
			return &Credentials{user, password}, nil
		}
		if a.Username != "" {
			return &Credentials{a.Username, a.Password}, nil
		}
		if f.CredsStore != "" || a.IdentityToken != "" {
			return nil, ErrHelper // docker login leaves an empty entry beside a helper
		}
	}
	for _, k := range keys {
		if f.CredHelpers[k] != "" {
			return nil, ErrHelper
		}
	}
	return nil, nil //nolint:nilnil // none is no failure
}
