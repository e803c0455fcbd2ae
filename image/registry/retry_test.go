package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func noWait(context.Context, time.Duration) error { return nil }

// waits is a clock that notes how long it was to wait.
type waits struct{ all []time.Duration }

func (w *waits) wait(_ context.Context, d time.Duration) error {
	w.all = append(w.all, d)
	return nil
}

func TestPause(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		try    int
		asked  time.Duration
		random float64
		want   time.Duration // negative: no more
	}{
		{0, 0, 0, firstWait / 2},
		{0, 0, 1, firstWait},
		{1, 0, 0, firstWait},
		{1, 0, 1, 2 * firstWait},
		{tries - 2, 0, 1, firstWait << (tries - 2)},
		{tries - 1, 0, 0, -1},
		{0, 7 * time.Second, 0, 7 * time.Second},
		{0, 7 * time.Second, 1, 7*time.Second + firstWait/2},
		{0, maxWait, 0, maxWait},
		{0, maxWait + 1, 0, -1},
	} {
		got, again := pause(tt.try, tt.asked, tt.random)
		if !again {
			got = -1
		}
		if got != tt.want {
			t.Errorf("try %d, asked for %v, random %v: %v, and not %v", tt.try, tt.asked, tt.random, got, tt.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "soon": 0, "1.5": 0, "99999999999999999999": 0, "2147483647": 2147483647 * time.Second,
		"Sun, 29 Nov 2026 12:00:20 GMT": 20 * time.Second, "Sun, 29 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, and not %v", value, got, want)
		}
	}
}

// A registry that is busy is asked again, after the time that it names.
func TestBusy(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway} {
		var asked atomic.Int32
		_, ref := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			switch asked.Add(1) {
			case 1:
				w.Header().Set("Retry-After", "5")
				w.WriteHeader(status)
			case 2:
				w.WriteHeader(status)
			default:
				_, _ = io.WriteString(w, "manifest")
			}
		})
		var clock waits
		b, err := (&Client{Wait: clock.wait}).Manifest(context.Background(), ref, "")
		if err != nil || string(b) != "manifest" {
			t.Errorf("%d: %q, %v", status, b, err)
		}
		if len(clock.all) != 2 || clock.all[0] < 5*time.Second || clock.all[0] > 6*time.Second || clock.all[1] > 2*firstWait {
			t.Errorf("%d: it waits for %v", status, clock.all)
		}
	}
}

// One that stays so is given up: after some tries, or at once where it asks for more than anybody waits.
func TestBusyForGood(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		after  string
		asked  int32
		want   error
		text   string
	}{
		{http.StatusTooManyRequests, "", tries, ErrTooMany, "status 429 of http://"},
		{http.StatusTooManyRequests, "21600", 1, ErrTooMany, "come again in 6h0m0s"},
		{http.StatusServiceUnavailable, "", tries, ErrUnavailable, "(UNAVAILABLE back soon)"},
		{http.StatusNotFound, "", 1, ErrNotFound, ""},
		{http.StatusTeapot, "", 1, ErrAnswer, ""},
	} {
		var asked atomic.Int32
		_, ref := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Retry-After", tt.after)
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAVAILABLE","message":"back soon"}]}`)
		})
		_, err := (&Client{Wait: noWait}).Manifest(context.Background(), ref, "")
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%d: %v, and not %v with %q", tt.status, err, tt.want, tt.text)
		}
		if n := asked.Load(); n != tt.asked {
			t.Errorf("%d, after %q: asked %d times, and not %d", tt.status, tt.after, n, tt.asked)
		}
	}
}

// A server of tokens may be busy, too, and that is no refusal.
func TestBusyTokens(t *testing.T) {
	t.Parallel()
	var tokens atomic.Int32
	var url string
	s, ref := serve(t, func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/token" && tokens.Add(1) == 1:
			w.WriteHeader(http.StatusTooManyRequests)
		case req.URL.Path == "/token":
			_, _ = io.WriteString(w, `{"token":"t"}`)
		case req.Header.Get("Authorization") == "Bearer t":
			_, _ = io.WriteString(w, "manifest")
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+url+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	url = s.URL
	if b, err := (&Client{Wait: noWait}).Manifest(context.Background(), ref, ""); err != nil || string(b) != "manifest" {
		t.Errorf("%q, %v", b, err)
	}
	tokens.Store(-1000)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+url+`/token"`)
		w.WriteHeader(map[bool]int{true: http.StatusTooManyRequests, false: http.StatusUnauthorized}[req.URL.Path == "/token"])
	})
	if _, err := (&Client{Wait: noWait}).Manifest(context.Background(), ref, ""); !errors.Is(err, ErrTooMany) || errors.Is(err, ErrDenied) {
		t.Errorf("a server of tokens that stays busy: %v", err)
	}
}

// cutter is a registry whose transfers end after some bytes. It sends the rest that is asked for, or, ranges
// being false, always all of it.
func cutter(content []byte, each int, ranges, length bool, asked *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		from := 0
		if r := req.Header.Get("Range"); r != "" && ranges {
			if _, err := fmt.Sscanf(r, "bytes=%d-", &from); err != nil {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		head := "HTTP/1.1 200 OK\r\n"
		if from > 0 {
			head = fmt.Sprintf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\n", from, len(content)-1, len(content))
		}
		if length {
			head += fmt.Sprintf("Content-Length: %d\r\n", len(content)-from)
		}
		end := min(from+each, len(content))
		if !ranges { // so that it comes to an end, a piece more each time
			end = min(each*int(asked.Load()), len(content))
		}
		_, _ = io.WriteString(conn, head+"\r\n")
		_, _ = conn.Write(content[from:end])
	}
}

// A transfer that is cut goes on where it was cut.
func TestResume(t *testing.T) {
	t.Parallel()
	content := make([]byte, 300_000)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	for _, ranges := range []bool{true, false} {
		for _, length := range []bool{true, false} {
			var asked atomic.Int32
			_, ref := serve(t, cutter(content, 100_000, ranges, length, &asked))
			body, err := (&Client{Wait: noWait}).Blob(context.Background(), ref, "x", int64(len(content)))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(body)
			body.Close()
			if err != nil || !bytes.Equal(b, content) || asked.Load() != 3 {
				t.Errorf("ranges %v, length %v: %d bytes, the right ones: %v, asked %d times, %v", ranges, length, len(b), bytes.Equal(b, content), asked.Load(), err)
			}
		}
	}
}

// One that never gets further is given up, one that does is not, however often it is cut.
func TestResumeEnds(t *testing.T) {
	t.Parallel()
	content := make([]byte, 3*tries*progress)
	var asked atomic.Int32
	_, ref := serve(t, cutter(content, progress, true, true, &asked))
	body, err := (&Client{Wait: noWait}).Blob(context.Background(), ref, "x", int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, body); err != nil || n != int64(len(content)) {
		t.Errorf("cut %d times: %d bytes, %v", asked.Load(), n, err)
	}
	body.Close()

	asked.Store(0)
	_, ref = serve(t, cutter(content, 0, true, true, &asked))
	var clock waits
	if body, err = (&Client{Wait: clock.wait}).Blob(context.Background(), ref, "x", int64(len(content))); err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	_, err = io.ReadAll(body)
	if !errors.Is(err, ErrCut) || asked.Load() != tries || len(clock.all) != tries-1 || !slices.IsSorted(clock.all) {
		t.Errorf("asked %d times, waited for %v: %v", asked.Load(), clock.all, err)
	}
}

// An answer that begins elsewhere than where it was asked to is not taken for the rest.
func TestResumeElsewhere(t *testing.T) {
	t.Parallel()
	first := true
	_, ref := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if first {
			first = false
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "01234")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "0123456789")
	})
	body, err := (&Client{Wait: noWait}).Blob(context.Background(), ref, "x", 10)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); !errors.Is(err, ErrAnswer) {
		t.Errorf("%q, %v", b, err)
	}
}

// What waits ends with the pull.
func TestWaitIsCancelled(t *testing.T) {
	t.Parallel()
	_, ref := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	c := Client{Wait: func(ctx context.Context, _ time.Duration) error {
		cancel(cause)
		return (&Client{}).sleep(ctx, time.Hour)
	}}
	if _, err := c.Manifest(ctx, ref, ""); !errors.Is(err, cause) {
		t.Errorf("the error is %v", err)
	}
}

// Nobody who listens is no cut: without a network a pull fails at once.
func TestUnreachableIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	var clock waits
	if _, err := (&Client{Wait: clock.wait}).Manifest(context.Background(), reference(t, l.Addr().String()+"/i"), ""); err == nil || len(clock.all) > 0 {
		t.Errorf("%v, after %v", err, clock.all)
	}
}
