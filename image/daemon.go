package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/printable"
)

// maxSaved is how large an image as Docker saves it may be.
const maxSaved = 64 << 30

// saveFromDaemon has the Docker Engine save an image, to a file that nobody else can see and that is gone when it is closed.
func saveFromDaemon(ctx context.Context, name, dir string) (*os.File, error) {
	conn, err := dialDocker(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	f, err := nameless(dir)
	if err != nil {
		return nil, err
	}
	if err := request(conn, name, f); err != nil {
		f.Close()
		return nil, cancelled(ctx, err)
	}
	return f, nil
}

// request asks in HTTP/1.0: the answer has no chunks and ends with the connection. A reference has no character that
// means anything in a path.
func request(conn net.Conn, name string, to io.Writer) error {
	if _, err := fmt.Fprintf(conn, "GET /images/%s/get HTTP/1.0\r\nHost: docker\r\n\r\n", name); err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxSaved))
	status, err := r.ReadString('\n')
	for line := status; err == nil && strings.TrimSpace(line) != ""; {
		line, err = r.ReadString('\n')
	}
	if err != nil {
		return fmt.Errorf("read docker's answer: %w", err)
	}
	_, code, _ := strings.Cut(status, " ")
	switch code, _, _ := strings.Cut(code, " "); code {
	case "200":
		_, err := io.Copy(to, r)
		return err
	case "404":
		return fmt.Errorf("%w: docker has no image %s; docker image ls lists what it has", ErrNotFound, name)
	}
	const enough = 1 << 10
	detail, _ := io.ReadAll(io.LimitReader(r, enough))
	return fmt.Errorf("docker answers %q: %s", strings.TrimSpace(status), printable.Text(strings.TrimSpace(string(detail))))
}

// dialDocker connects to the engine, where DOCKER_HOST or custom has it.
func dialDocker(ctx context.Context) (net.Conn, error) {
	sockets := []string{"/var/run/docker.sock", "/run/docker.sock"}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		path, ok := strings.CutPrefix(host, "unix://")
		if !ok {
			return nil, fmt.Errorf("DOCKER_HOST is %s, and not unix:// and a socket of this machine", host)
		}
		sockets = []string{path}
	}
	var d net.Dialer
	var err error
	for _, s := range sockets {
		var conn net.Conn
		if conn, err = d.DialContext(ctx, "unix", s); err == nil {
			return conn, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		err = fmt.Errorf("docker does not run: %w", err)
	}
	return nil, err
}

// nameless makes a file without a name, which a killed process does not leave behind.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create a temporary file in %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), "image"), nil
}
