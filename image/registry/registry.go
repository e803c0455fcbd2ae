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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/topology"
)

// Errors that a caller may tell apart with errors.Is.
var (
	ErrNotFound = errors.New("the registry has no such image")
	ErrDenied   = errors.New("the registry denies access")
	ErrRefused  = errors.New("refused")
	ErrAnswer   = errors.New("the registry's answer makes no sense")
	ErrCut      = errors.New("the transfer was cut")
	ErrTooMany  = errors.New("the registry takes no more requests from here for now")
	// ErrUnavailable is an answer of a registry that does not work at present.
	ErrUnavailable = errors.New("the registry does not work at present")
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
	// Wait pauses for so long, or until ctx ends, before a request is made once more; nil: by the clock.
	Wait func(ctx context.Context, d time.Duration) error

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
	accept := strings.Join([]string{
		"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
	}, ", ")
	body, err := c.whole(ctx, -1, func(part string) (*response, error) { return c.ask(ctx, r, "/manifests/"+which, accept, part) })
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("%w: a manifest of more than %d MiB", ErrAnswer, MaxManifest>>20)
	}
	return b, nil
}

// Blob gets a blob of size bytes, or -1 where that is not known. When the transfer is cut it goes on from there. The
// content is not verified, nor is its length.
func (c *Client) Blob(ctx context.Context, r topology.Reference, digest string, size int64) (io.ReadCloser, error) {
	return c.whole(ctx, size, func(part string) (*response, error) { return c.ask(ctx, r, "/blobs/"+digest, "*/*", part) })
}

// whole is the body of an answer, and what follows of it in further ones when it is cut.
func (c *Client) whole(ctx context.Context, size int64, open func(part string) (*response, error)) (io.ReadCloser, error) {
	res, err := open("")
	if err != nil {
		return nil, err
	}
	return &resumable{ctx: ctx, client: c, open: open, res: res, size: size}, nil
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

// ask makes a request of a repository, and once more with what the registry asks for. Part is a Range
// (RFC 9110 section 14.2), or empty; the answer is all of it where its status is 200.
func (c *Client) ask(ctx context.Context, r topology.Reference, what, accept, part string) (*response, error) {
	u, err := url.Parse(base(r.Registry) + "/v2/" + r.Repository + what)
	if err != nil {
		return nil, err
	}
	key := r.Registry + "/" + r.Repository
	header := [][2]string{{"Accept", accept}}
	if part != "" {
		header = append(header, [2]string{"Range", part})
	}
	c.mu.Lock()
	auth := c.tokens[key]
	c.mu.Unlock()
	for try := 0; ; try++ {
		h := header
		if auth != "" {
			h = append(slices.Clip(h), [2]string{"Authorization", auth})
		}
		res, err := c.patiently(ctx, func() (*response, error) { return c.get(ctx, u, h) })
		if err != nil {
			return nil, err
		}
		if res.status == 200 || res.status == 206 && part != "" {
			return res, nil
		}
		if res.status == 416 && part != "" { // it has its own idea of ranges
			res.body.Close()
			return c.ask(ctx, r, what, accept, "")
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
		if res.status == 401 || res.status == 403 {
			return nil, c.denied(ctx, r, plainURL(res.url)+detail)
		}
		return nil, res.failure(detail)
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
	return " (" + printable.Text(text[:min(len(text), most)]) + ")"
}
