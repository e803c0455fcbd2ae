package engines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Image is the name of the image that every engine here has.
const Image = "localhost/busybox"

// patience is how long a daemon may take to start or to end, and a client's command.
const patience = 30 * time.Second

// Engine is a container engine that runs.
type Engine struct {
	Name   string // "docker" or "podman"
	Socket string // where it answers
	Dir    string // all its files

	parent string        // its control groups are below that one
	daemon []string      // what serves the socket
	client []string      // what commands are given to
	env    []string      // of both
	run    []string      // flags of each container
	cmd    *exec.Cmd     // the daemon; nil when it does not run
	exited chan struct{} // closed when the daemon has ended
	net    hostState     // of before
	hidden []string      // directories of the machine with a tmpfs on them
}

// start makes the directory, hides what is in the machine's, starts the daemon and imports the image.
func start(ctx context.Context, e *Engine, hide ...string) (*Engine, error) {
	err := e.prepare(hide)
	if err == nil {
		err = e.startDaemon(ctx)
	}
	if err == nil {
		err = e.importImage(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", e.Name, err), e.Stop())
	}
	return e, nil
}

func (e *Engine) prepare(hide []string) (err error) {
	if e.net, err = observe(); err != nil {
		return err
	}
	// Nobody has docker0's addresses; to detect that takes a second and a half. Stop writes the values back.
	for _, key := range []string{"accept_dad", "dad_transmits"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/"+key, []byte("0"), 0); err != nil {
			return err
		}
	}
	for _, dir := range hide {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
		}
		e.hidden = append(e.hidden, dir)
	}
	return nil
}

// makeDir makes the engine's directory, which root of a container's user namespace may pass through.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "nsnet-e-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

// environment is this process's, with the directories of system programs, and without what speaks of other engines.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		key, value, _ := strings.Cut(kv, "=")
		switch {
		case key == "PATH":
			kv = "PATH=" + value + ":/usr/sbin:/sbin"
		case strings.HasPrefix(key, "DOCKER_"), strings.HasPrefix(key, "CONTAINER"):
			continue
		}
		env = append(env, kv)
	}
	return env
}

// startDaemon starts what serves the socket, and waits until it answers.
func (e *Engine) startDaemon(ctx context.Context) error {
	log, err := os.OpenFile(e.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(e.daemon[0], e.daemon[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = e.env, log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(exited)
	}()
	e.cmd, e.exited = cmd, exited
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if e.answers() == nil {
			return nil
		}
		select {
		case <-exited:
			e.cmd = nil
			return fmt.Errorf("it ended: %s\n%s", cmd.ProcessState, e.Log())
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w\n%s", ctx.Err(), e.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// answers tells whether the daemon answers a request; it may let one wait until it is ready.
func (e *Engine) answers() error {
	conn, err := net.Dial("unix", e.Socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 64<<10))
	if err == nil && !bytes.Contains(answer, []byte(" 200 OK\r\n")) {
		err = fmt.Errorf("it answers %q", answer)
	}
	return err
}

func (e *Engine) log() string { return filepath.Join(e.Dir, "log") }

// Log is the end of what the daemon has written.
func (e *Engine) Log() string {
	text, err := os.ReadFile(e.log())
	if err != nil {
		return err.Error()
	}
	const enough = 8 << 10
	return string(text[max(0, len(text)-enough):])
}

// Command is the engine's own client with these arguments.
func (e *Engine) Command(args ...string) (argv, env []string) {
	return append(append([]string(nil), e.client...), args...), e.env
}

// Do runs the engine's own client, and returns what it printed.
func (e *Engine) Do(ctx context.Context, args ...string) (string, error) {
	return e.do(ctx, nil, args...)
}

func (e *Engine) do(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	argv, env := e.Command(args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, stdin, &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", e.Name, strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Run starts a container that sleeps, with more flags of the client's run, and returns its first process.
func (e *Engine) Run(ctx context.Context, name string, flags ...string) (pid int, err error) {
	args := append([]string{"run", "--detach", "--name", name, "--pull", "never"}, e.run...)
	if _, err := e.do(ctx, nil, append(append(args, flags...), Image, "sleep", "1000000")...); err != nil {
		return 0, err
	}
	if err := bridgeReady(); err != nil {
		return 0, err
	}
	return e.PID(ctx, name)
}

// PID is the first process of a container that runs.
func (e *Engine) PID(ctx context.Context, name string) (int, error) {
	text, err := e.Do(ctx, "inspect", "--format", "{{.State.Pid}}", name)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("container %s has process %s", name, text)
	}
	return pid, nil
}

// Remove kills containers and removes them.
func (e *Engine) Remove(ctx context.Context, names ...string) error {
	args := []string{"rm", "--force", "--volumes"}
	if e.Name == "podman" {
		args = append(args, "--time", "0")
	}
	_, err := e.Do(ctx, append(args, names...)...)
	return err
}

// RemoveAll removes all containers.
func (e *Engine) RemoveAll(ctx context.Context) error {
	ids, err := e.Do(ctx, "ps", "--all", "--quiet")
	if err != nil || ids == "" {
		return err
	}
	return e.Remove(ctx, strings.Fields(ids)...)
}

// Kill ends the daemon with this signal and waits for its end.
func (e *Engine) Kill(signal unix.Signal) error {
	if e.cmd == nil {
		return nil
	}
	if err := e.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("end %s: %w", e.Name, err)
	}
	select {
	case <-e.exited:
		e.cmd = nil
		return nil
	case <-time.After(patience):
		_ = e.cmd.Process.Kill()
		<-e.exited
		e.cmd = nil
		return fmt.Errorf("end %s: not within %s\n%s", e.Name, patience, e.Log())
	}
}

// Restart ends the daemon as its service manager would, and starts it anew. Containers go on when it has
// --live-restore, or is podman.
func (e *Engine) Restart(ctx context.Context) error {
	if err := e.Kill(unix.SIGTERM); err != nil {
		return err
	}
	return e.startDaemon(ctx)
}
