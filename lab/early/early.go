package early

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nsnet/nsnet/container/conn"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/execute"
	"github.com/nsnet/nsnet/lab/index"
)

// Ran is what has become of a command.
type Ran struct {
	Options execute.Options
	Code    int
	Err     error // of execute.Run
}

// ran is set by init, and by nothing else.
var ran *Ran

// Result returns what has become of the command that this process was started for, nil where it has not been run: then it is
// to be run.
func Result() *Ran { return ran }

func init() {
	ref, o, ok := Parse(os.Args, os.LookupEnv)
	if !ok || os.Geteuid() != 0 {
		return
	}
	if o.Lab, o.Node, ok = index.Find(ref); !ok {
		return
	}
	path := filepath.Join(index.Dir(o.Lab), index.ControlFile)
	first, err := conn.Dial(path)
	if err != nil {
		return
	}
	dial := func() (*conn.Conn, error) {
		if c := first; c != nil {
			first = nil
			return c, nil
		}
		return conn.Dial(path)
	}
	done := make(chan struct{})
	// Not here: as long as packages are initialised this goroutine is bound to a thread, and each word from another one goes
	// through the kernel.
	go func() {
		defer close(done)
		code, err := execute.Run(waiting.With(context.Background(), say), dial, &o, false)
		if err == nil && code != 128+int(syscall.SIGKILL) && index.Settled() {
			os.Exit(code)
		}
		ran = &Ran{o, code, err}
	}()
	<-done
}

// say tells the user for whom the command waits.
func say(text string) { _, _ = os.Stderr.WriteString("nsnet: " + text + "\n") }

// Parse returns what "nsnet exec" is to do, as the command proper does. False: that is left to it.
func Parse(args []string, lookup func(string) (string, bool)) (ref string, o execute.Options, ok bool) {
	none := execute.Options{}
	if len(args) < 2 || args[1] != "exec" {
		return "", none, false
	}
	args = args[2:]
	o.Stdout, o.Stderr = os.Stdout, os.Stderr
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		flag := args[0]
		args = args[1:]
		if flag == "-i" || flag == "--interactive" {
			o.Stdin = os.Stdin
			continue
		}
		if len(args) == 0 {
			return "", none, false
		}
		value := args[0]
		args = args[1:]
		switch flag {
		case "-e", "--env":
			key, _, given := strings.Cut(value, "=")
			if key == "" {
				return "", none, false
			}
			if !given {
				v, set := lookup(key)
				if !set {
					continue
				}
				value += "=" + v
			}
			o.Env = append(o.Env, value)
		case "-w", "--workdir":
			o.Workdir = value
		case "-u", "--user":
			o.User = value
		default: // a terminal takes longer for whoever types there anyway
			return "", none, false
		}
	}
	if o.Workdir != "" && !strings.HasPrefix(o.Workdir, "/") {
		return "", none, false
	}
	if len(args) == 0 {
		return "", none, false
	}
	ref, o.Argv = args[0], args[1:]
	if len(o.Argv) > 0 && o.Argv[0] == "--" {
		o.Argv = o.Argv[1:]
	}
	if ref == "" || len(o.Argv) == 0 || o.Argv[0] == "" {
		return "", none, false
	}
	return ref, o, true
}
