package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nsnet/nsnet/image/registry"
	"github.com/nsnet/nsnet/internal/imagetest"
)

// flaky is a registry that is busy the first two times that it is asked for something, and cuts a blob in its middle the third.
type flaky struct {
	r *fakeRegistry

	mu     sync.Mutex
	seen   map[string]int
	ranges int
	waited time.Duration
}

func (f *flaky) wait(_ context.Context, d time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waited += d
	return nil
}

func (f *flaky) answer(w http.ResponseWriter, req *http.Request) bool {
	if req.Method != http.MethodGet || req.Header.Get("X-Inner") != "" {
		return false
	}
	f.mu.Lock()
	f.seen[req.URL.Path]++
	n := f.seen[req.URL.Path]
	if req.Header.Get("Range") != "" {
		f.ranges++
	}
	f.mu.Unlock()
	switch {
	case n == 1:
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
	case n == 2:
		w.WriteHeader(http.StatusServiceUnavailable)
	case n == 3 && strings.Contains(req.URL.Path, "/blobs/"):
		b := f.inner(req.URL.Path)
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

// inner is what the registry has.
func (f *flaky) inner(path string) []byte {
	req, err := http.NewRequest(http.MethodGet, f.r.URL+path, http.NoBody)
	if err != nil {
		return nil
	}
	req.Header.Set("X-Inner", "1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return b
}

// From a registry that is busy, and that cuts transfers, an image is pulled all the same.
func TestFlakyRegistry(t *testing.T) {
	t.Parallel()
	f, s := &flaky{r: newRegistry(t), seen: map[string]int{}}, newStore(t)
	large := ""
	for i := range 20_000 {
		large += fmt.Sprint(i * i)
	}
	ref := f.r.push("img:1", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"low": large}), layerOf(t, map[string]string{"top": "3"})))
	f.r.Front(f.answer)
	img, err := s.Pull(context.Background(), ref, PullOptions{Wait: f.wait})
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "low", content(img, "low"), large)
	mustEqual(t, "top", content(img, "top"), "3")
	mustEqual(t, "resumed transfers", f.ranges, 3) // of the configuration and two layers
	if f.waited < 4*3*time.Second {
		t.Errorf("it waits for %v in all, and not as long as it is told", f.waited)
	}
	sweep(t, s, nobody)
	checkWhole(t, s)
}

// One that stays busy is told so, with what helps; nothing of the image stays.
func TestBusyRegistry(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	ref := r.push("img:1", threeLayers(t))
	for status, want := range map[int]struct {
		err    error
		remedy string
	}{
		http.StatusTooManyRequests:    {registry.ErrTooMany, "docker login"},
		http.StatusUnauthorized:       {registry.ErrDenied, "docker login"},
		http.StatusServiceUnavailable: {registry.ErrUnavailable, "try again later"},
	} {
		r.Front(func(w http.ResponseWriter, req *http.Request) bool {
			busy := strings.Contains(req.URL.Path, "/blobs/")
			if busy {
				w.WriteHeader(status)
			}
			return busy
		})
		_, err := s.Pull(context.Background(), ref, PullOptions{Wait: func(context.Context, time.Duration) error { return nil }})
		var e *Error
		if !errors.Is(err, want.err) || !errors.As(err, &e) || !strings.Contains(e.Remedy, want.remedy) {
			t.Errorf("%d: %v, and not %v with %q", status, err, want.err, want.remedy)
		}
		sweep(t, s, nobody)
		checkWhole(t, s)
	}
}
