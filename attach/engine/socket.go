package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long an engine may take to answer. Docker answers in a millisecond; podman, which
// systemd starts when somebody connects, in some hundred.
const patience = 5 * time.Second

// engine is where an engine listens.
type engine struct {
	name     string
	sockets  []string // the first that exists is asked
	absent   string   // why there are none
	remedy   string   // what to do when nobody listens
	patience time.Duration
}

// engines are Docker and podman, where the environment says they are.
func engines(getenv func(string) string) []engine {
	all := []engine{
		{name: "docker", sockets: []string{"/var/run/docker.sock", "/run/docker.sock"}},
		{name: "podman", sockets: []string{"/run/podman/podman.sock"}, remedy: " (systemctl start podman.socket)"},
	}
	for i, variable := range []string{"DOCKER_HOST", "CONTAINER_HOST"} {
		e := &all[i]
		e.patience = patience
		value := getenv(variable)
		if value == "" {
			continue
		}
		e.remedy = ", which " + variable + " names"
		path, ok := strings.CutPrefix(value, "unix://")
		if e.sockets = []string{path}; !ok {
			// The user's other tools speak of the containers there: those of the usual socket are not meant.
			e.sockets, e.absent = nil, fmt.Sprintf("%s is not asked: %s is %s, and not unix:// and a socket of this machine", e.name, variable, value)
		}
	}
	return all
}

// dial connects to the engine, and makes sure that it lives among the same processes.
func (e engine) dial(ctx context.Context) (*net.UnixConn, answer) {
	if len(e.sockets) == 0 {
		return nil, answer{kind: ErrNoEngine, detail: e.absent}
	}
	dialer := net.Dialer{Timeout: e.patience}
	for i, path := range e.sockets {
		conn, err := dialer.DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			if a := e.checkPeer(conn.(*net.UnixConn), path); a.kind != nil {
				conn.Close()
				return nil, a
			}
			return conn.(*net.UnixConn), answer{}
		case errors.Is(err, fs.ErrNotExist) && i+1 < len(e.sockets):
		case errors.Is(err, fs.ErrNotExist):
			return nil, answer{kind: ErrNoEngine, detail: fmt.Sprintf("%s: there is no socket %s%s", e.name, strings.Join(e.sockets, " nor "), e.remedy)}
		case errors.Is(err, unix.ECONNREFUSED):
			return nil, answer{kind: ErrNoEngine, detail: fmt.Sprintf("%s: nobody listens on %s%s", e.name, path, e.remedy)}
		default:
			return nil, e.failed(path, err)
		}
	}
	return nil, answer{}
}

// checkPeer refuses an engine that numbers processes otherwise than this process does: one behind a socket
// that was handed into a container, or out of one. unix(7), SO_PEERCRED.
func (e engine) checkPeer(conn *net.UnixConn, path string) answer {
	raw, err := conn.SyscallConn()
	if err != nil {
		return e.failed(path, err)
	}
	var peer *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		peer, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return e.failed(path, err)
	}
	if credErr != nil {
		return e.failed(path, credErr)
	}
	elsewhere := peer.Pid == 0 // not of this pid namespace, nor of one below it
	if !elsewhere {
		// Whoever has made the socket may be dead, or closed to us: then nothing speaks against it.
		theirs, theirErr := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", peer.Pid))
		ours, ourErr := os.Readlink("/proc/self/ns/pid")
		elsewhere = theirErr == nil && ourErr == nil && theirs != ours
	}
	if elsewhere {
		return answer{kind: ErrElsewhere, detail: fmt.Sprintf("%s (%s) is in another pid namespace, so that its process ids are strangers' here; run nsnet where the engine runs, or in a container with the machine's pid namespace", e.name, path)}
	}
	return answer{}
}

func (e engine) failed(path string, err error) answer {
	return answer{kind: ErrEngine, detail: fmt.Sprintf("%s (%s): %v", e.name, path, err)}
}
