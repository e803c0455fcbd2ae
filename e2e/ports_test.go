package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// echoServer is a program that answers each datagram with "echo " and what it got.
const echoServer = `package main

import "net"

func main() {
	c, err := net.ListenPacket("udp", ":7")
	if err != nil {
		panic(err)
	}
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(b)
		if err == nil {
			_, _ = c.WriteTo(append([]byte("echo "), b[:n]...), from)
		}
	}
}
`

// buildProgram builds a Go program of one file without cgo.
func buildProgram(t *testing.T, dir, name, source string) {
	t.Helper()
	testenv.Need(t, "go")
	writeFile(t, dir, name+".go", source)
	testenv.MustCommand(t, "env", "CGO_ENABLED=0", "go", "build", "-o", filepath.Join(dir, name), filepath.Join(dir, name+".go"))
}

// portsLab is a web server and a UDP server, whose ports the host shows.
func portsLab(t *testing.T) string {
	t.Helper()
	testenv.Need(t, "busybox")
	dir := t.TempDir()
	buildProgram(t, dir, "echo", echoServer)
	if err := os.Mkdir(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "www"), "index.html", "hello from the node\n")
	writeFile(t, filepath.Join(dir, "www"), "big", strings.Repeat("0123456789abcdef", 1<<18))
	return writeFile(t, dir, "lab.yaml", `
nodes:
  web:
    command: [busybox, httpd, -f, -p, "80", -h, /www]
    binds: ["./www:/www:ro"]
    ports: ["8080:80", "0.0.0.0:8081:80/tcp", "[::1]:8082:80"]
  echo:
    command: [/bin/echo-server]
    binds: ["./echo:/bin/echo-server:ro"]
    ports: ["8007:7/udp"]
  idle:
    ports: ["8090:99", "8091:99/udp"]
bridges:
  lan0: {subnet: 10.88.0.0/24}
links:
  - endpoints: ["web:eth0", "lan0"]
  - endpoints: ["echo:eth0", "lan0"]
`)
}

// get fetches a page, over a connection of its own.
func get(t *testing.T, url string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// ask sends a datagram and returns the answer. One that is lost before the server listens
// is sent again.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	b := make([]byte, 65536)
	answer := ""
	testenv.Eventually(t, 10*time.Second, c.RemoteAddr().String()+" answers", func() bool {
		if _, err := c.Write([]byte(text)); err != nil {
			return false
		}
		_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := c.Read(b)
		answer = string(b[:n])
		return err == nil
	})
	return answer
}

func dialUDP(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// free fails the test unless all of the lab's ports of the host can be bound.
func free(t *testing.T, when string) {
	t.Helper()
	for _, at := range []string{"127.0.0.1:8080", "0.0.0.0:8081", "[::1]:8082", "127.0.0.1:8090"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		_ = l.Close()
	}
	for _, at := range []string{"127.0.0.1:8007", "127.0.0.1:8091"} {
		c, err := net.ListenPacket("udp", at)
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		_ = c.Close()
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		outside := netns(t, "outside", "203.0.113.1/24", "203.0.113.2/24")
		start(t, portsLab(t))

		// The server may need a moment after its process runs; nsnet's part is there at once.
		for _, at := range []string{"127.0.0.1:8080", "127.0.0.1:8081", "203.0.113.1:8081", "[::1]:8082"} {
			testenv.Eventually(t, 10*time.Second, at+" serves", func() bool {
				body, err := get(t, "http://"+at+"/index.html")
				return err == nil && body == "hello from the node\n"
			})
		}
		if body, err := get(t, "http://127.0.0.1:8080/big"); err != nil || len(body) != 16<<18 {
			t.Errorf("of a big file came %d bytes, error %v", len(body), err)
		}

		// Without an address of its own a port is the host's alone.
		reach := func(address string) error {
			var err error
			within(t, outside, func() error {
				var c net.Conn
				if c, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp", address); err == nil {
					_ = c.Close()
				}
				return nil
			})
			return err
		}
		if err := reach("203.0.113.1:8080"); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("a port of 127.0.0.1, from outside: %v", err)
		}
		if err := reach("203.0.113.1:8081"); err != nil {
			t.Errorf("a port of every address, from outside: %v", err)
		}

		// Where nobody listens in the node the client is told.
		if body, err := get(t, "http://127.0.0.1:8090/"); err == nil {
			t.Errorf("a port that nobody listens at gave %q", body)
		}

		// Clients' answers do not get mixed up, and order and size are kept.
		one, two := dialUDP(t, "127.0.0.1:8007"), dialUDP(t, "127.0.0.1:8007")
		ask(t, one, "first")
		ask(t, two, "first")
		for i := range 20 {
			for name, c := range map[string]net.Conn{"one": one, "two": two} {
				text := fmt.Sprint(name, " ", i, " ", strings.Repeat("x", i*100))
				if got := ask(t, c, text); got != "echo "+text {
					t.Fatalf("%q was answered by %q", text, got)
				}
			}
		}
	})
}

// A client's half-closed connection still gets its answer, and its end reaches it.
func TestPortPassesEndOfFile(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "busybox")
		startText(t, `
nodes:
  sum:
    command: [busybox, nc, -l, -p, "9", -e, md5sum]
    ports: ["8009:9"]
`)
		var answer []byte
		testenv.Eventually(t, 10*time.Second, "the sum comes", func() bool {
			c, err := net.Dial("tcp", "127.0.0.1:8009")
			if err != nil {
				return false
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Write([]byte("hello\n")); err != nil {
				return false
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				return false
			}
			answer, err = io.ReadAll(c)
			return err == nil && len(answer) > 0
		})
		if !strings.HasPrefix(string(answer), "b1946ac92492d2347c6235b4d2611184 ") {
			t.Errorf("the sum is %q", answer)
		}
	})
}

// Clients that are there when a node is made anew reach the new one: those of UDP at once, from the same port, those of TCP
// once they have connected again, which they are told to.
func TestPortsOfANodeMadeAnew(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "busybox")
		dir := t.TempDir()
		buildProgram(t, dir, "echo", echoServer)
		file := func(hostname string) string {
			return writeFile(t, dir, "lab.yaml", `
nodes:
  n:
    hostname: `+hostname+`
    command: [sh, -c, "busybox nc -ll -p 9 -e cat & exec /bin/echo-server"]
    binds: ["./echo:/bin/echo-server:ro"]
    ports: ["8007:7/udp", "8009:9"]
`)
		}
		r := start(t, file("one"))
		udp := dialUDP(t, "127.0.0.1:8007")
		ask(t, udp, "first")
		var tcp net.Conn
		testenv.Eventually(t, 10*time.Second, "TCP answers", func() bool {
			var err error
			if tcp, err = net.Dial("tcp", "127.0.0.1:8009"); err != nil {
				return false
			}
			_ = tcp.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err = tcp.Write([]byte("x")); err == nil {
				_, err = tcp.Read(make([]byte, 1))
			}
			if err != nil {
				_ = tcp.Close()
			}
			return err == nil
		})
		defer tcp.Close()
		testenv.Must(t, "up", "--name", r.name, file("two"))
		if got := strings.TrimSpace(r.sh("n", "hostname")); got != "two" {
			t.Fatalf("the node is %s", got)
		}
		if got := ask(t, udp, "second"); got != "echo second" {
			t.Errorf("the new node answers %q", got)
		}
		_ = tcp.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := tcp.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
			t.Errorf("a connection to the node that was there before: %v", err)
		}
	})
}

// A port that is taken is a conflict, and nothing is left of the lab: testenv looks.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file, name := portsLab(t), testenv.LabName(t)
		fails := func(what, port string) {
			t.Helper()
			res := testenv.Run(t, "up", file, "--name", name)
			if res.Code != 5 || !strings.Contains(res.Stderr, port) || !strings.Contains(res.Stderr, "choose another port") {
				t.Errorf("%s: exit code %d\n%s", what, res.Code, res.Stderr)
			}
			if list := testenv.Must(t, "ps", "--json"); !strings.Contains(list, `"labs": []`) {
				t.Errorf("%s: there is a lab: %s", what, list)
			}
			if entries, err := os.ReadDir("/run/nsnet"); err == nil {
				t.Errorf("%s: /run/nsnet holds %v", what, entries)
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:8080")
		if err != nil {
			t.Fatal(err)
		}
		fails("TCP", "127.0.0.1:8080/tcp")
		_ = l.Close()
		c, err := net.ListenPacket("udp", "127.0.0.1:8007")
		if err != nil {
			t.Fatal(err)
		}
		fails("UDP", "127.0.0.1:8007/udp")
		_ = c.Close()
		free(t, "after the failures")

		// A second lab with the same ports is refused, too, and the first serves on.
		first := start(t, file)
		res := testenv.Run(t, "up", file, "--name", name)
		if res.Code != 5 {
			t.Errorf("a second lab: exit code %d\n%s", res.Code, res.Stderr)
		}
		testenv.Eventually(t, 10*time.Second, "the first lab "+first.name+" serves", func() bool {
			_, err := get(t, "http://127.0.0.1:8080/index.html")
			return err == nil
		})
	})
}

// A published port is gone with its lab, however that ends.
func TestPortsGoWithTheLab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := portsLab(t)
		r := start(t, file)
		testenv.Eventually(t, 10*time.Second, "the lab serves", func() bool {
			_, err := get(t, "http://127.0.0.1:8080/index.html")
			return err == nil
		})
		ask(t, dialUDP(t, "127.0.0.1:8007"), "x")
		testenv.Must(t, "down", r.name)
		free(t, "after down")

		// Up again at once: connections of before do not keep a port taken.
		testenv.Must(t, "up", file, "--name", r.name)
		ask(t, dialUDP(t, "127.0.0.1:8007"), "x")
		pidfd, err := unix.PidfdOpen(r.status().InitPID, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pidfd)
		if err := unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0); err != nil {
			t.Fatal(err)
		}
		ended := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		if n, err := unix.Poll(ended, 10_000); n != 1 {
			t.Fatalf("the lab's init does not end: %v", err)
		}
		free(t, "when the lab's init was killed")
	})
}

// Many more connections than the lab's init has descriptors for: commands, changes and other ports do not notice, and all is as before when
// the flood is over.
func TestPortFlooded(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := portsLab(t)
		r := run{t, testenv.LabName(t)}
		testenv.MustCommand(t, "prlimit", "--nofile=256:256", testenv.Binary(t), "up", "--trust", file, "--name", r.name)
		atEnd(t, testenv.Binary(t), "down", r.name)
		serves := func(at string) func() bool {
			return func() bool {
				body, err := get(t, "http://"+at+"/index.html")
				return err == nil && body == "hello from the node\n"
			}
		}
		testenv.Eventually(t, 10*time.Second, "the web server is reached", serves("127.0.0.1:8080")) // until then connections are reset
		descriptors := func() int {
			entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.status().InitPID))
			if err != nil {
				t.Fatal(err)
			}
			return len(entries)
		}
		before := descriptors()
		var flood []net.Conn
		for i := range 1000 {
			c, err := net.DialTimeout("tcp", "127.0.0.1:8080", 10*time.Second)
			if err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			if i%2 == 0 { // a half-closed one
				_ = c.(*net.TCPConn).CloseWrite()
			}
			flood = append(flood, c)
		}
		testenv.Eventually(t, 10*time.Second, "the port has taken what it may", func() bool { return descriptors() >= before+20 })
		for range 5 {
			if got := r.exec("web", "echo", "here"); got.Stdout != "here\n" {
				t.Errorf("exec: %+v", got)
			}
		}
		testenv.Must(t, "ps", r.name)
		testenv.Eventually(t, 10*time.Second, "another port serves", serves("127.0.0.1:8081"))
		ask(t, dialUDP(t, "127.0.0.1:8007"), "x")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Dir(file), "lab.yaml", strings.Replace(string(text), "  idle:", "  more: {ports: [\"8085:80\"]}\n  idle:", 1))
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.exec("more", "echo", "here"); got.Stdout != "here\n" {
			t.Errorf("exec in a new node: %+v", got)
		}
		writeFile(t, filepath.Dir(file), "lab.yaml", string(text))
		testenv.Must(t, "up", file, "--name", r.name)
		if n := descriptors(); n > before+(256-before)*2/3 {
			t.Errorf("the lab's init has %d descriptors, %d before", n, before)
		}
		for _, c := range flood {
			_ = c.Close()
		}
		testenv.Eventually(t, time.Minute, "the web server is reached again", serves("127.0.0.1:8080"))
		testenv.Eventually(t, time.Minute, "the descriptors are back", func() bool { return descriptors() <= before+1 }) // the session of UDP
	})
}
