package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

const twoNodes = `
bridges: {lan0: {subnet: [10.7.0.0/24, "fd00:7::/64"]}}
links:
  - endpoints: ["server:eth0", "lan0"]
  - endpoints: ["client:eth0", "lan0"]
`

func TestNginxOfTheHost(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "nginx", "bash")
	testenv.Isolate(t, func(t *testing.T) {
		// Debian's own configuration, which logs to /var/log/nginx and serves /var/www/html.
		r := startText(t, `
nodes:
  server: {command: "mkdir -p /var/www/html && echo served by $(hostname) >/var/www/html/e2e.txt && exec nginx -g 'daemon off;'"}
  client: {}
`+twoNodes)
		for _, url := range []string{"10.7.0.1", "server"} {
			var page string
			testenv.Eventually(t, 10*time.Second, "nginx answers", func() bool {
				res := r.exec("client", "bash", "-c", "exec 3<>/dev/tcp/"+url+
					"/80 && printf 'GET /e2e.txt HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3")
				page = res.Stdout
				return res.Code == 0
			})
			if !strings.Contains(page, "200 OK") || !strings.HasSuffix(page, "served by server\n") {
				t.Errorf("page of http://%s:\n%s\nlogs: %s", url, page, testenv.Must(t, "logs", r.name+"/server"))
			}
		}
		if _, err := os.Stat("/var/www/html/e2e.txt"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the host has the node's page: %v", err)
		}
	})
}

func TestSshdOfTheHost(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "sshd", "ssh", "ssh-keygen")
	testenv.Isolate(t, func(t *testing.T) {
		// The host's own keys are closed to a node: it makes its own.
		r := startText(t, `
nodes:
  server: {command: "mkdir -p /run/sshd && ssh-keygen -q -A && exec /usr/sbin/sshd -D -e"}
  client: {}
`+twoNodes)
		key := r.sh("client", "mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 && cat /root/.ssh/id_ed25519.pub")
		r.sh("server", "mkdir -p -m 700 /root/.ssh && echo '"+key+"' >/root/.ssh/authorized_keys")
		var res testenv.Result
		for _, host := range []string{"10.7.0.1", "fd00:7::1", "server"} {
			testenv.Eventually(t, 20*time.Second, "sshd accepts the key", func() bool {
				res = r.exec("client", "ssh", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "root@"+host, "hostname; id -u; exit 7")
				return res.Code != 255
			})
			if res.Code != 7 || res.Stdout != "server\n0\n" {
				t.Errorf("ssh to %s: exit code %d\n%s%s\nlogs: %s", host, res.Code, res.Stdout, res.Stderr, testenv.Must(t, "logs", r.name+"/server"))
			}
		}
	})
}

func TestDnsmasqOfTheHost(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "dnsmasq", "getent")
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  server:
    command: [dnsmasq, -k, -C, /dev/null, -R, -h, --log-facility=-, --address=/e2e.test/10.7.0.77]
  client: {dns: {nameservers: [10.7.0.1], options: ["timeout:1"]}}
`+twoNodes)
		netns := r.node("client").Netns
		testenv.Eventually(t, 10*time.Second, "dnsmasq answers", func() bool {
			got, err := lookup(t, netns, "10.7.0.1:53", "www.e2e.test")
			if err == nil && got != "10.7.0.77" {
				t.Fatalf("dnsmasq answers %s", got)
			}
			return err == nil
		})
		if got := r.sh("client", "getent ahostsv4 mail.e2e.test"); !strings.HasPrefix(got, "10.7.0.77 ") {
			t.Errorf("name lookup in the node: %q", got)
		}
	})
}

// lookup asks a name server for an IPv4 address, in a network namespace (RFC 1035).
func lookup(t *testing.T, netns, server, name string) (string, error) {
	t.Helper()
	var conn net.Conn
	within(t, netns, func() (err error) {
		conn, err = net.Dial("udp", server)
		return err
	})
	defer func() { _ = conn.Close() }()
	query := []byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0} // id 7, recursion desired, one question
	for label := range strings.SplitSeq(name, ".") {
		query = append(append(query, byte(len(label))), label...)
	}
	query = append(query, 0, 0, 1, 0, 1) // type A, class IN
	if _, err := conn.Write(query); err != nil {
		return "", err
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	answer := make([]byte, 512)
	n, err := conn.Read(answer)
	if err != nil {
		return "", err
	}
	if n < len(query)+4 || binary.BigEndian.Uint16(answer[6:]) != 1 {
		return "", fmt.Errorf("not one answer in %x", answer[:n])
	}
	return net.IP(answer[n-4 : n]).String(), nil
}

// TestFilesOfTheHost holds what image host promises: root inside reads what an ordinary user
// of the host reads, and changes whatever it sees, of which the host notices nothing.
func TestFilesOfTheHost(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		// On the host's own file system, as what is mounted over it is not part of the image.
		dir, err := os.MkdirTemp("/usr/local", "nsnet-e2e-") //nolint:usetesting // a node has a /tmp of its own
		if err != nil {
			t.Skipf("the host's root cannot be written: %v", err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		secret := writeFile(t, dir, "secret", "not for nodes")
		open := writeFile(t, dir, "open", "for everyone")
		home := dir + "/home"
		if err := errors.Join(os.Chmod(secret, 0o600), os.Mkdir(home, 0o755)); err != nil {
			t.Fatal(err)
		}
		writeFile(t, home, "file", "in a home")
		if err := errors.Join(os.Chmod(home, 0o700), os.Chown(home, 1234, 1234)); err != nil {
			t.Fatal(err)
		}

		r := startText(t, "nodes: {n: {}}")
		late := writeFile(t, dir, "late", "made after up")
		if err := os.Chmod(late, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{secret, home + "/file", late} {
			r.refused("n", "cat "+path)
			r.refused("n", "chmod 777 "+path+"; cat "+path)
			r.refused("n", "mv "+path+" /tmp/moved && cat /tmp/moved")
		}
		shadow, err := os.ReadFile("/etc/shadow")
		if err != nil {
			t.Fatal(err)
		}
		if got := r.exec("n", "cat", "/etc/shadow"); got.Stdout == string(shadow) || strings.Contains(got.Stdout, "$") {
			t.Error("the node reads the host's /etc/shadow")
		}
		if got := r.sh("n", "ls -A /root"); got != "" {
			t.Errorf("the node sees the host's /root: %s", got)
		}

		// What it sees, it changes.
		before := stamp(t, open, "/etc/passwd", "/usr/bin/env", "/usr/bin/id", "/etc", "/usr/bin")
		r.sh("n", `
			echo more >>`+open+` && echo 'e2e:x:4242:4242::/:/bin/sh' >>/etc/passwd && [ "$(id -u e2e)" = 4242 ]
			chmod 600 /etc/passwd && chown 5:6 `+open+` && [ "$(stat -c %u:%g `+open+`)" = 5:6 ]
			rm /usr/bin/env && ! [ -e /usr/bin/env ] && mv /usr/bin/id /usr/bin/was-id && was-id
			mkdir /etc/new /usr/bin/new && ln -s x /etc/link && rmdir /etc/new`)
		if got := r.sh("n", "cat "+open+"; tail -n 1 /etc/passwd"); got != "for everyonemore\ne2e:x:4242:4242::/:/bin/sh" {
			t.Errorf("the node's changes: %q", got)
		}
		if after := stamp(t, open, "/etc/passwd", "/usr/bin/env", "/usr/bin/id", "/etc", "/usr/bin"); after != before {
			t.Errorf("the host's files were\n%s\nand are\n%s", before, after)
		}
		testenv.Must(t, "down", r.name)
		if after := stamp(t, open, "/etc/passwd", "/usr/bin/env", "/usr/bin/id", "/etc", "/usr/bin"); after != before {
			t.Errorf("after down the host's files are\n%s\nand were\n%s", after, before)
		}
	})
}

// stamp tells of each file what a change would change.
func stamp(t *testing.T, paths ...string) string {
	t.Helper()
	return testenv.MustCommand(t, append([]string{"stat", "-c", "%n %i %s %a %u:%g %y %z"}, paths...)...)
}
