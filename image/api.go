package image

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nsnet/nsnet/image/registry"
	"github.com/nsnet/nsnet/image/unpack"
)

// Dir is where the host's images are.
const Dir = "/var/lib/nsnet/images"

// Errors that a caller may tell apart with errors.Is.
var (
	ErrNotFound    = errors.New("no such image")
	ErrChanged     = errors.New("it has changed since it was unpacked") // its source, a file; an ErrNotFound, too
	ErrInUse       = errors.New("the image is in use")
	ErrDigest      = errors.New("the content is not what its digest says")
	ErrMalformed   = errors.New("not an image")
	ErrPlatform    = errors.New("the image is not for this machine")
	ErrPermission  = errors.New("needs root")
	ErrUnsupported = errors.ErrUnsupported
)

// Error is what every function of this package returns. Empty fields are left out of the text.
type Error struct {
	Image  string
	Layer  string // the beginning of its digest
	Op     string // lower-case verb phrase: "unpack"
	Err    error
	Remedy string // one sentence, without a full stop
}

func (e *Error) Error() string {
	var b strings.Builder
	for _, part := range []struct{ what, text string }{{"image ", e.Image}, {"layer ", e.Layer}, {"", e.Op}} {
		if part.text != "" {
			b.WriteString(part.what + part.text + ": ")
		}
	}
	b.WriteString(e.Err.Error())
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Image is what the store knows under a name.
type Image struct {
	Name     string    `json:"name"`             // as topology files and references say it, in full
	ID       string    `json:"id"`               // digest of the configuration
	Digest   string    `json:"digest,omitempty"` // of the manifest, where it came with one
	Platform string    `json:"platform"`         // "linux/amd64"
	Source   string    `json:"source,omitempty"` // where it came from, if that is not its name
	Pulled   time.Time `json:"pulled"`
	Layers   []Layer   `json:"layers"` // the lowest first
	Config   Config    `json:"config"`

	store, stamp string
}

// record is an image as the store keeps it.
type record struct {
	Image
	// Stamp tells whether a source that is a file is still what it was.
	Stamp string `json:"stamp,omitempty"`
	// Parsed is which version of the configuration's keys Config was made of.
	Parsed int `json:"parsed,omitempty"`
}

// Layer is one layer of an image.
type Layer struct {
	DiffID string `json:"diff_id"` // digest of the uncompressed archive
	Size   int64  `json:"size"`    // of its files' contents
}

// Config is what an image says about its command.
type Config struct {
	Entrypoint []string `json:"entrypoint,omitempty"`
	Command    []string `json:"command,omitempty"`
	Env        []string `json:"env,omitempty"`
	User       string   `json:"user,omitempty"`
	Workdir    string   `json:"workdir,omitempty"`
	Volumes    []string `json:"volumes,omitempty"`
	Ports      []string `json:"ports,omitempty"`
	StopSignal string   `json:"stop_signal,omitempty"` // "SIGQUIT"; empty: SIGTERM
	Health     *Health  `json:"health,omitempty"`
}

// Health is the check that an image has for its command.
type Health struct {
	Exec          []string `json:"exec"` // exits with 0
	IntervalMS    int64    `json:"interval_ms"`
	TimeoutMS     int64    `json:"timeout_ms"`
	StartPeriodMS int64    `json:"start_period_ms"` // in which failed checks do not count
	Retries       int      `json:"retries"`         // failed checks in a row
}

// Size is how large the image's layers are together.
func (i *Image) Size() int64 {
	var n int64
	for _, l := range i.Layers {
		n += l.Size
	}
	return n
}

// PullOptions are what Pull needs to know.
type PullOptions struct {
	// As is the name to keep the image under; empty: its own.
	As string
	// Progress is told how many layers are there; it may be nil, and is called from one goroutine at a time.
	Progress func(done, total int)
	// Credentials finds what registries are told; nil: Docker's configuration.
	Credentials func(ctx context.Context, registry string) (*registry.Credentials, error)
	// Wait pauses before a busy registry is asked once more; nil: by the clock.
	Wait func(ctx context.Context, d time.Duration) error
	// Limits of layers; the zero value is the documented ones.
	Limits unpack.Limits
	budget *unpack.Budget
}

// cancelled is the cause of ctx's end, if it has ended, or err.
func cancelled(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
