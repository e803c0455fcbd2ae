package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Kinds of failure that a caller may tell apart with errors.Is.
var (
	ErrName       = errors.New("not a container's name")           // no engine gives such names
	ErrNoEngine   = errors.New("no container engine is running")   // there is no socket, or nobody listens on it
	ErrNotFound   = errors.New("no such container")                // the engines that run do not know it
	ErrNotRunning = errors.New("not running")                      // it is known, and has no process
	ErrAmbiguous  = errors.New("more than one container is meant") // both engines have it, or several ids begin so
	ErrElsewhere  = errors.New("the engine runs elsewhere")        // its process ids mean nothing here
	ErrEngine     = errors.New("the engine cannot be asked")       // it hangs, fails, or is no engine
)

// Container is a container that runs.
type Container struct {
	Engine string // "docker" or "podman": what answered, whatever its socket is called
	ID     string // all of it
	Name   string
	PID    int // its first process, as this pid namespace numbers it
	// Counts is true for a container that Docker may connect to more of its networks. It calls its interfaces eth0, eth1 and so on, counts
	// on from what it has made, whatever else is there, and has got to Count at least.
	Counts bool
	Count  int
}

// Find returns the running container of this name, id or beginning of an id; "docker:" or "podman:" in front
// of it chooses the engine. A paused container runs. The sockets are those of DOCKER_HOST and CONTAINER_HOST,
// or else the usual ones. Each engine gets five seconds to answer. Errors are of this package's kinds, or the
// context's.
func Find(ctx context.Context, name string) (*Container, error) {
	c, err := find(ctx, name, engines(os.Getenv))
	if err != nil {
		return nil, fmt.Errorf("find container %s: %w", name, err)
	}
	return c, nil
}

func find(ctx context.Context, name string, all []engine) (*Container, error) {
	if chosen, rest, ok := strings.Cut(name, ":"); ok {
		i := slices.IndexFunc(all, func(e engine) bool { return e.name == chosen })
		if i < 0 {
			return nil, fmt.Errorf("%w: %q before the colon is neither docker nor podman", ErrName, chosen)
		}
		name, all = rest, all[i:i+1]
	}
	if !validName(name) {
		return nil, fmt.Errorf("%w: it begins with a letter or digit, and dots, dashes and underscores may follow", ErrName)
	}
	answers := make([]answer, len(all))
	done := make(chan struct{})
	for i, e := range all {
		go func() {
			answers[i] = e.inspect(ctx, name)
			done <- struct{}{}
		}()
	}
	for range all {
		<-done
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return choose(answers)
}

// answer is what came of asking one engine.
type answer struct {
	container *Container // without a PID when it does not run
	kind      error      // why there is none, or that it does not run
	detail    string     // about kind, in the user's words
}

// choose decides what the engines' answers mean together.
func choose(answers []answer) (*Container, error) {
	known := map[string]answer{} // by id: both sockets may be one engine's
	var failed, unknown []string
	var failure error
	kind := ErrNoEngine
	for _, a := range answers {
		switch {
		case a.container != nil:
			known[a.container.ID] = a
		case errors.Is(a.kind, ErrNoEngine):
			unknown = append(unknown, a.detail)
		case errors.Is(a.kind, ErrNotFound):
			unknown, kind = append(unknown, a.detail), ErrNotFound
		default:
			failed, failure = append(failed, a.detail), a.kind
		}
	}
	switch {
	case len(known) > 1:
		return nil, fmt.Errorf("%w: docker and podman both have one; say docker:NAME or podman:NAME", ErrAmbiguous)
	case len(failed) > 0 && len(answers) > len(failed):
		// Whether that engine has one of this name, too, is not known, and a guess may be a stranger's.
		return nil, fmt.Errorf("%w: %s; to ask the other engine alone, say docker:NAME or podman:NAME", failure, strings.Join(failed, "; "))
	case len(failed) > 0:
		return nil, fmt.Errorf("%w: %s", failure, strings.Join(failed, "; "))
	}
	for _, a := range known {
		if a.kind != nil {
			return nil, fmt.Errorf("%w: %s", a.kind, a.detail)
		}
		return a.container, nil
	}
	remedy := "name a container that runs, or its process with --pid"
	if errors.Is(kind, ErrNoEngine) {
		remedy = "start the engine, set DOCKER_HOST or CONTAINER_HOST to unix:// and its socket, or name the process with --pid"
	}
	return nil, fmt.Errorf("%w: %s; %s", kind, strings.Join(unknown, "; "), remedy)
}

// validName tells whether an engine could have given this name or id. None of its characters means
// anything in a path of HTTP, nor is it "." or "..".
func validName(name string) bool {
	for i, c := range []byte(name) {
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return name != "" && len(name) <= 255
}
