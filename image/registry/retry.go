package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How a request is tried again.
const (
	tries     = 6 // in all, without progress in between
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second // a registry that asks for more is not waited for
	progress  = 1 << 20          // bytes of a blob, after which the tries are counted anew
)

// pause returns how long to wait before request number try is made once more; the first is 0. Asked is what the
// server's Retry-After says, or 0. Again is false where there have been enough, or the server asks for too much.
// Random is at least 0 and less than 1: clients that were refused together must not come again together.
func pause(try int, asked time.Duration, random float64) (wait time.Duration, again bool) {
	if try >= tries-1 || asked > maxWait {
		return 0, false
	}
	backoff := min(firstWait<<try, maxWait)
	jitter := time.Duration(random * float64(backoff) / 2)
	if asked > 0 {
		return asked + jitter, true
	}
	return backoff/2 + jitter, true
}

// retryAfter understands the header of that name: seconds, or a date. RFC 9110 section 10.2.3.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	const date = "Mon, 02 Jan 2006 15:04:05 GMT"
	if t, err := time.Parse(date, value); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// busy reports whether a status says that the same request may be answered later.
func busy(status int) bool {
	switch status {
	case 408, 429, 500, 502, 503, 504:
		return true
	}
	return false
}

// isCut reports whether an exchange that had begun was cut. A server that does not answer at all is no such
// case, nor is an answer that makes no sense.
func isCut(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	for _, cut := range []error{io.EOF, io.ErrUnexpectedEOF, unix.ECONNRESET, unix.EPIPE, unix.ECONNABORTED, os.ErrDeadlineExceeded} {
		if errors.Is(err, cut) {
			return true
		}
	}
	return false
}

// sleep waits before a request is made once more.
func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Wait != nil {
		return c.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// patiently makes a request, and makes it again where the server is busy or the connection was cut. An answer that
// is still that of a busy server is returned like any other.
func (c *Client) patiently(ctx context.Context, request func() (*response, error)) (*response, error) {
	for try := 0; ; try++ {
		res, err := request()
		if ctx.Err() != nil || err != nil && !isCut(err) || err == nil && !busy(res.status) {
			return res, err
		}
		var asked time.Duration
		if err == nil {
			asked = retryAfter(res.get("retry-after"), time.Now())
		}
		wait, again := pause(try, asked, rand.Float64())
		if !again {
			return res, err
		}
		if err == nil {
			res.body.Close()
		}
		if err := c.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// failure is the error of an answer that is not the one hoped for.
func (r *response) failure(detail string) error {
	where := plainURL(r.url) + detail
	later := ""
	if asked := retryAfter(r.get("retry-after"), time.Now()); asked > 0 {
		later = fmt.Sprintf("; it asks to come again in %v", asked.Round(time.Second))
	}
	switch {
	case r.status == 404:
		return fmt.Errorf("%w: %s", ErrNotFound, where)
	case r.status == 429:
		return fmt.Errorf("%w: status 429 of %s%s", ErrTooMany, where, later)
	case busy(r.status):
		return fmt.Errorf("%w: status %d of %s%s", ErrUnavailable, r.status, where, later)
	}
	return fmt.Errorf("%w: status %d of %s", ErrAnswer, r.status, where)
}

// resumable is a blob that is asked for once more, from where it was cut.
type resumable struct {
	ctx    context.Context //nolint:containedctx // of the one pull that the blob is for
	client *Client
	open   func(part string) (*response, error)
	res    *response
	size   int64 // as it was promised; -1: unknown
	at     int64 // of the blob, what comes next
	since  int64 // where the tries were counted anew
	try    int
	cut    error // behind what was read last
}

func (r *resumable) Close() error { return r.res.body.Close() }

func (r *resumable) Read(p []byte) (int, error) {
	for {
		if r.cut != nil {
			if err := r.resume(); err != nil {
				return 0, err
			}
		}
		n, err := r.res.body.Read(p)
		r.at += int64(n)
		if errors.Is(err, io.EOF) {
			if r.at >= r.size || !r.res.untold() {
				return n, err
			}
			err = io.ErrUnexpectedEOF
		}
		if err != nil && (!isCut(err) || r.ctx.Err() != nil) {
			return n, err
		}
		if r.cut = err; n > 0 || err == nil {
			return n, nil
		}
	}
}

// untold reports whether the body's length is not told by the server, so that a cut looks like its end.
func (r *response) untold() bool { return r.length < 0 && r.get("transfer-encoding") == "" }

// rest is what is missing as a Range: with its end, where that is known, as not every server understands the open one.
func (r *resumable) rest() string {
	switch {
	case r.at == 0:
		return ""
	case r.size > r.at:
		return fmt.Sprintf("bytes=%d-%d", r.at, r.size-1)
	}
	return fmt.Sprintf("bytes=%d-", r.at)
}

// resume opens the rest of the blob. It returns what has cut it where that was tried often enough.
func (r *resumable) resume() error {
	if r.at-r.since >= progress {
		r.since, r.try = r.at, 0
	}
	for {
		wait, again := pause(r.try, 0, rand.Float64())
		if !again {
			return fmt.Errorf("%w %d times, at last at byte %d: %w", ErrCut, tries, r.at, r.cut)
		}
		r.try++
		if err := r.client.sleep(r.ctx, wait); err != nil {
			return err
		}
		res, err := r.open(r.rest())
		if err == nil {
			r.res.body.Close()
			r.res = res
			err = r.skip(res)
		}
		// A server that is being started again refuses connections.
		var network net.Error
		if err == nil || r.ctx.Err() != nil || !errors.As(err, &network) && !isCut(err) {
			if err == nil {
				r.cut = nil
			}
			return err
		}
		r.cut = err
	}
}

// skip brings an answer to where the blob was cut: a server may send all of it when a part was asked for.
func (r *resumable) skip(res *response) error {
	if res.status == 200 {
		if _, err := io.CopyN(io.Discard, res.body, r.at); err != nil {
			return fmt.Errorf("read its first %d bytes again: %w", r.at, err)
		}
		return nil
	}
	if got := res.get("content-range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", r.at)) {
		return fmt.Errorf("%w: bytes from %d on were asked for, and it gives %q", ErrAnswer, r.at, got)
	}
	return nil
}
