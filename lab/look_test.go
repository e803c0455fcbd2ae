package lab

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

func TestLookAnswer(t *testing.T) {
	t.Parallel()
	failed := func(errno unix.Errno, text string) []byte {
		var w wire.Writer
		f := wire.Failure{Errno: uint32(errno), Text: text}
		f.Encode(&w)
		return w.Bytes()
	}
	refused := func(r proto.ExecFailed) []byte {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tc := range map[string]struct {
		k    wire.Kind
		body []byte
		is   error
		text string // empty: no error
	}{
		"good":                  {wire.Ready, nil, nil, ""},
		"missing":               {wire.Failed, failed(unix.ENOENT, "ngnix"), ErrNoCommand, "run ngnix"},
		"not executable":        {wire.Failed, failed(unix.EACCES, "/etc/passwd"), ErrNotExecutable, "/etc/passwd"},
		"no interpreter":        {wire.Failed, failed(unix.ELIBACC, "/a: its interpreter /b does not exist"), ErrNotExecutable, "/b does not exist"},
		"no directory":          {wire.Failed, failed(unix.ENOTDIR, "in /x"), unix.ENOTDIR, "in /x"},
		"no user":               {wire.Failed, failed(unix.EINVAL, "no user x"), nil, "no user x"},
		"found by an older one": {wire.Failed, failed(unix.EBADF, "stdio"), nil, ""},
		"not allowed to look":   {wire.Failed, failed(unix.EPERM, "/x"), nil, ""},
		"something else":        {wire.Failed, failed(unix.EIO, "/x"), unix.EIO, "look at its command"},
		"paused":                {proto.Failed, refused(proto.ExecFailed{Paused: true}), ErrPaused, "nsnet resume demo/a"},
		"dead":                  {proto.Failed, refused(proto.ExecFailed{Text: "its init has ended", Dead: true}), nil, "its init has ended"},
		"nonsense":              {wire.Started, nil, nil, "unexpected message"},
	} {
		err := lookAnswer("demo", "a", tc.k, tc.body)
		if tc.text == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), "node a") || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the file does not say is not what the command before had: the lab's init would fill that in.
func TestLookedAt(t *testing.T) {
	t.Parallel()
	c := lookedAt(&topology.Node{Command: []string{"nginx"}})
	if c.Workdir == "" || c.User == "" || !slices.ContainsFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, "PATH=/") }) || c.Streams != wire.Look {
		t.Errorf("%+v", c)
	}
	if c := lookedAt(&topology.Node{Command: []string{"nginx"}, Workdir: "/srv", User: "www"}); c.Workdir != "/srv" || c.User != "www" {
		t.Errorf("%+v", c)
	}
}
