package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is read from an engine. A container's description is some 10 KiB, more with many labels.
const (
	maxHeader = 64 << 10
	maxBody   = 4 << 20
)

// description is the part that matters of what an engine says about a container.
type description struct {
	ID    string `json:"Id"`
	Name  string // with a slash in front
	State struct {
		Running bool // also when paused
		Status  string
		PID     int `json:"Pid"`
	}
	HostConfig      struct{ NetworkMode string }
	NetworkSettings struct{ Networks map[string]struct{} }
}

// counts reports whether Docker may connect the container to more networks, and how many interfaces it has made for it at
// least. One that shares a network namespace, or has none of Docker's, stays as it is.
func (d *description) counts() (bool, int) {
	mode, _, _ := strings.Cut(d.HostConfig.NetworkMode, ":")
	switch mode {
	case "", "none", "host", "container":
		return false, 0
	}
	return true, len(d.NetworkSettings.Networks)
}

// inspect asks the engine for a container.
func (e engine) inspect(ctx context.Context, name string) answer {
	conn, a := e.dial(ctx)
	if conn == nil {
		return a
	}
	defer conn.Close()
	path := conn.RemoteAddr().String()
	if err := conn.SetDeadline(time.Now().Add(e.patience)); err != nil {
		return e.failed(path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := get(conn, "/containers/"+name+"/json")
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return e.failed(path, fmt.Errorf("no answer within %s", e.patience))
	case err != nil:
		return e.failed(path, err)
	case r.status == 200:
		return e.described(path, r)
	}
	var refusal struct{ Message string }
	if err := json.Unmarshal(r.body, &refusal); err != nil || refusal.Message == "" {
		return e.failed(path, fmt.Errorf("it answers as no engine does: HTTP status %d", r.status))
	}
	switch {
	case r.status == 404:
		return answer{kind: ErrNotFound, detail: fmt.Sprintf("%s (%s) does not have it", e.name, path)}
	// What docker and podman say to the beginning of several ids.
	case strings.Contains(refusal.Message, "Multiple IDs found"), strings.Contains(refusal.Message, "more than one result"):
		return answer{kind: ErrAmbiguous, detail: fmt.Sprintf("%s (%s): several ids begin so; give more of it", e.name, path)}
	}
	return e.failed(path, fmt.Errorf("HTTP status %d: %s", r.status, cut(refusal.Message)))
}

// described turns the engine's description into a container.
func (e engine) described(path string, r response) answer {
	var d description
	if err := json.Unmarshal(r.body, &d); err != nil {
		return e.failed(path, fmt.Errorf("it answers as no engine does: %w", err))
	}
	if d.ID == "" || d.State.PID < 0 || d.State.PID > math.MaxInt32 {
		return e.failed(path, errors.New("it answers as no engine does: a container without an id, or of an impossible process"))
	}
	c := &Container{Engine: e.name, ID: d.ID, Name: strings.TrimPrefix(d.Name, "/"), PID: d.State.PID}
	if strings.HasPrefix(r.server, "Libpod/") {
		c.Engine = "podman"
	}
	if c.Engine == "docker" {
		c.Counts, c.Count = d.counts()
	}
	// While it is restarted, it counts as running without a process.
	if !d.State.Running || d.State.PID == 0 {
		c.PID = 0
		return answer{container: c, kind: ErrNotRunning, detail: fmt.Sprintf("%s says that it is %s; start it first", e.name, cut(d.State.Status))}
	}
	return answer{container: c}
}

// cut shortens what somebody else has said.
func cut(s string) string {
	const enough = 300
	if len(s) > enough {
		return strings.ToValidUTF8(s[:enough], "") + "..."
	}
	return s
}

// response is the answer to a request.
type response struct {
	status int
	server string // what the program calls itself
	body   []byte
}

// get sends one request in HTTP/1.0, RFC 1945, and reads the answer up to the end of the connection.
func get(conn io.ReadWriter, path string) (response, error) {
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.0\r\nHost: localhost\r\nUser-Agent: nsnet\r\nAccept: application/json\r\n\r\n"); err != nil {
		return response{}, err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxHeader+maxBody))
	line, err := in.ReadString('\n')
	if err != nil {
		return response{}, unexpected(err)
	}
	protocol, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	code, _, _ := strings.Cut(rest, " ")
	r := response{}
	if r.status, err = strconv.Atoi(code); err != nil || !strings.HasPrefix(protocol, "HTTP/1.") {
		return response{}, errors.New("it does not speak HTTP")
	}
	length := -1
	for read := len(line); ; {
		if line, err = in.ReadString('\n'); err != nil {
			return response{}, unexpected(err)
		}
		if read += len(line); read > maxHeader {
			return response{}, fmt.Errorf("more than %d bytes of header", maxHeader)
		}
		line = strings.TrimSpace(line)
		if line == "" {
			break
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "server":
			r.server = value
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil || length < 0 {
				return response{}, fmt.Errorf("it announces %s bytes", cut(value))
			}
		case "transfer-encoding":
			return response{}, fmt.Errorf("it answers HTTP/1.0 with transfer encoding %s", cut(value))
		}
	}
	if r.body, err = io.ReadAll(io.LimitReader(in, maxBody+1)); err != nil {
		return response{}, err
	}
	switch {
	case len(r.body) > maxBody:
		return response{}, fmt.Errorf("more than %d bytes about one container", maxBody)
	case length >= 0 && len(r.body) != length:
		return response{}, fmt.Errorf("it announces %d bytes and sends %d", length, len(r.body))
	}
	return r, nil
}

// unexpected is the error of an answer that ends before it is complete.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the connection ends in the middle of the answer")
	}
	return err
}
