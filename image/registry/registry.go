package registry

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"

	"github.com/nsnet/nsnet/topology"
)

// Errors that a caller may tell apart with errors.Is.
var (
	ErrNotFound = errors.New("the registry has no such image")
	ErrDenied   = errors.New("the registry denies access")
	ErrRefused  = errors.New("refused")
	ErrAnswer   = errors.New("the registry's answer makes no sense")
)

// MaxManifest is how large a manifest may be.
const MaxManifest = 4 << 20

// Credentials are what a registry knows the user by: a name and a password, or a token that its server of tokens takes
// for both.
type Credentials struct{ User, Password, IdentityToken string }

// Client asks registries on behalf of one user. The zero value asks as nobody.
type Client struct {
	// Credentials finds what a registry is told, by its name in references; nil or no result: nothing.
	Credentials func(ctx context.Context, registry string) (*Credentials, error)

	roots *x509.CertPool                   // nil: the system's
	proxy func(*url.URL) (*url.URL, error) // nil: the environment's
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	tokens map[string]string // Authorization by registry and repository
}

// Manifest gets the manifest that r means, or the one with this digest of the same repository.
func (c *Client) Manifest(ctx context.Context, r topology.Reference, digest string) ([]byte, error) {
	which := digest
	if which == "" {
		which = r.Digest
	}
	if which == "" {
		which = r.Tag
	}
	res, err := c.ask(ctx, r, "/manifests/"+which, strings.Join([]string{
		"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
	}, ", "))
	if err != nil {
		return nil, err
	}
	defer res.body.Close()
	b, err := io.ReadAll(io.LimitReader(res.body, MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("%w: a manifest of more than %d MiB", ErrAnswer, MaxManifest>>20)
	}
	return b, nil
}

// Blob gets a blob. Neither its length nor its content has been verified.
func (c *Client) Blob(ctx context.Context, r topology.Reference, digest string) (io.ReadCloser, error) {
	res, err := c.ask(ctx, r, "/blobs/"+digest, "*/*")
	if err != nil {
		return nil, err
	}
	return res.body, nil
}

// base is where a registry answers.
func base(registry string) string {
	if registry == "docker.io" {
		return "https://registry-1.docker.io"
	}
	if u, err := url.Parse("http://" + registry); err == nil && loopback(u) {
		return "http://" + registry
	}
	return "https://" + registry
}

// ask makes a request of a repository, and once more with what the registry asks for.
func (c *Client) ask(ctx context.Context, r topology.Reference, what, accept string) (*response, error) {
	u, err := url.Parse(base(r.Registry) + "/v2/" + r.Repository + what)
	if err != nil {
		return nil, err
	}
	key := r.Registry + "/" + r.Repository
	header := [][2]string{{"Accept", accept}}
	c.mu.Lock()
	auth := c.tokens[key]
	c.mu.Unlock()
	for try := 0; ; try++ {
		h := header
		if auth != "" {
			h = append(h[:1:1], [2]string{"Authorization", auth})
		}
		res, err := c.get(ctx, u, h)
		if err != nil {
			return nil, err
		}
		if res.status == 200 {
			return res, nil
		}
		detail := detailOf(res)
		res.body.Close()
		if res.status == 401 && try == 0 {
			if auth, err = c.authorize(ctx, r, res); err != nil {
				return nil, err
			}
			if auth != "" {
				c.mu.Lock()
				if c.tokens == nil {
					c.tokens = map[string]string{}
				}
				c.tokens[key] = auth
				c.mu.Unlock()
				continue
			}
		}
		switch res.status {
		case 401, 403:
			return nil, c.denied(ctx, r, plainURL(res.url)+detail)
		case 404:
			return nil, fmt.Errorf("%w: %s%s", ErrNotFound, plainURL(res.url), detail)
		}
		return nil, fmt.Errorf("%w: status %d of %s%s", ErrAnswer, res.status, plainURL(res.url), detail)
	}
}

// denied tells that access is denied, and why no password was given, where there is one.
func (c *Client) denied(ctx context.Context, r topology.Reference, detail string) error {
	err := fmt.Errorf("%w: %s", ErrDenied, detail)
	if c.Credentials == nil {
		return err
	}
	if _, cerr := c.Credentials(ctx, r.Registry); errors.Is(cerr, ErrHelper) {
		err = fmt.Errorf("%w: %w", err, cerr)
	}
	return err
}

// detailOf is what the registry says of a failure in its own words.
func detailOf(res *response) string {
	var body struct {
		Errors []struct{ Code, Message string }
	}
	b, err := io.ReadAll(io.LimitReader(res.body, 64<<10))
	if err != nil || json.Unmarshal(b, &body) != nil || len(body.Errors) == 0 {
		return ""
	}
	const most = 200
	text := strings.TrimSpace(body.Errors[0].Code + " " + body.Errors[0].Message)
	return " (" + text[:min(len(text), most)] + ")"
}
