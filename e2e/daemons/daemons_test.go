package daemons

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/testenv"
)

// Files of nodes that several places name.
const (
	clientKey = "/id"
	hostKey   = "/etc/ssh/lab_key"
)

// daemonsOf returns all daemons, by their nodes.
func daemonsOf(t *testing.T) map[string]daemon {
	t.Helper()
	key1, key2 := newKey(t), newKey(t)
	client, public := sshKey(t)
	host, _ := sshKey(t)
	all := map[string]daemon{
		"bird": {unit: "bird.service", files: map[string]string{"/etc/bird/bird.conf": `
log stderr all;
router id 10.1.0.0;
protocol device {}
protocol kernel { ipv4 { export all; }; }
protocol static { ipv4; route 10.99.0.0/16 blackhole; }
protocol bfd { interface "eth0"; }
protocol ospf v2 { ipv4 { export all; }; area 0 { interface "eth0" { type ptp; hello 1; dead 4; }; }; }
`}},
		"frr": {unit: "frr.service", node: "caps: [SYS_ADMIN]", files: map[string]string{
			"/etc/frr/daemons":    "ospfd=yes\nbfdd=yes\nvtysh_enable=yes\n",
			"/etc/frr/vtysh.conf": "service integrated-vtysh-config\n",
			"/etc/frr/frr.conf": `
interface eth0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
router ospf
 network 10.1.0.0/31 area 0
`}},
		"keepalived": {unit: "keepalived.service", files: map[string]string{"/etc/keepalived/keepalived.conf": `
global_defs {
  vrrp_version 3
}
vrrp_instance lab {
  state MASTER
  interface eth0
  virtual_router_id 7
  priority 150
  advert_int 0.1
  virtual_ipaddress {
    10.7.0.200/24
  }
}
`}},
		"dnsmasq": {unit: "dnsmasq.service", files: map[string]string{"/etc/dnsmasq.d/lab.conf": "no-resolv\naddress=/lab.test/10.7.0.77\ndhcp-range=10.8.0.50,10.8.0.50,1h\n"}},
		"dhcpcd":  {unit: "dhcpcd.service"},
		"nginx":   {unit: "nginx.service", files: map[string]string{"/var/www/html/lab.txt": "served in a lab\n"}},
		"sshd": {unit: "ssh.service", secret: []string{hostKey, "/root/.ssh/authorized_keys"}, files: map[string]string{
			"/etc/ssh/sshd_config.d/lab.conf": "HostKey " + hostKey + "\n", hostKey: host, "/root/.ssh/authorized_keys": public, clientKey: client}},
		"starter":  {unit: "strongswan-starter.service"},
		"charon1":  {unit: "strongswan.service", files: map[string]string{"/etc/swanctl/conf.d/lab.conf": swanctl("10.2.0.1", "10.2.0.2")}},
		"charon2":  {unit: "strongswan.service", files: map[string]string{"/etc/swanctl/conf.d/lab.conf": swanctl("10.2.0.2", "10.2.0.1")}},
		"openvpn1": openvpn("openvpn-server@.service", "/etc/openvpn/server", "tls-server\ndh none\nifconfig 10.66.0.1 10.66.0.2\n", key1, key2),
		"openvpn2": openvpn("openvpn-client@.service", "/etc/openvpn/client", "tls-client\nremote 10.3.0.1\nifconfig 10.66.0.2 10.66.0.1\nconnect-retry 1\n", key2, key1),
		"ptp1":     {unit: "ptp4l@.service", instance: "eth0", more: []string{"-S"}},
		"ptp2":     {unit: "ptp4l@.service", instance: "eth0", more: []string{"-S"}},
	}
	return all
}

func swanctl(local, remote string) string {
	return fmt.Sprintf(`
connections {
  lab {
    local_addrs = %[1]s
    remote_addrs = %[2]s
    local {
      auth = psk
      id = %[1]s
    }
    remote {
      auth = psk
      id = %[2]s
    }
    children {
      net {
        local_ts = %[1]s/32
        remote_ts = %[2]s/32
      }
    }
  }
}
secrets {
  ike {
    secret = "not a secret"
  }
}
`, local, remote)
}

// openvpn is one end of a tunnel, which goes to nobody once it is set up.
func openvpn(unit, dir, conf string, own, peer key) daemon {
	return daemon{unit: unit, instance: "lab", node: "tun: true", secret: []string{dir + "/lab.key"}, files: map[string]string{
		dir + "/lab.conf": "dev tun\nuser nobody\ngroup nogroup\npersist-key\npersist-tun\ncert lab.crt\nkey lab.key\n<peer-fingerprint>\n" + peer.fingerprint + "\n</peer-fingerprint>\n" + conf,
		dir + "/lab.crt":  own.certificate,
		dir + "/lab.key":  own.key,
	}}
}

// key is a key with a certificate of its own.
type key struct{ key, certificate, fingerprint string }

func newKey(t *testing.T) key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	fingerprint := fmt.Sprintf("% X", sha256.Sum256(certificate))
	return key{block("PRIVATE KEY", der), block("CERTIFICATE", certificate), strings.ReplaceAll(fingerprint, " ", ":")}
}

func sshKey(t *testing.T) (private, public string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	testenv.MustCommand(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file)
	a, err1 := os.ReadFile(file)
	b, err2 := os.ReadFile(file + ".pub")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return string(a), string(b)
}

// checks are what each daemon has to do, by a node of it. They run side by side.
var checks = map[string]func(r run){
	"bird": func(r run) {
		r.eventually("bird", "birdc show status", "Daemon is up and running")
		r.eventually("bird", "birdc show ospf neighbors", "Full/PtP")
	},
	"frr": func(r run) {
		r.eventually("frr", "vtysh -c 'show ip route ospf'", "O>* 10.99.0.0/16", "10.1.0.0, eth0")
		r.eventually("frr", "ip route show proto ospf", "10.99.0.0/16 ")
	},
	"keepalived": func(r run) {
		r.eventually("keepalived", "ip -br address show eth0", "10.7.0.200/24")
		r.eventually("client", "ping -n -c 1 -W 1 10.7.0.200", " 0% packet loss")
	},
	"dnsmasq": func(r run) {
		r.eventually("dnsmasq", "cat /proc/$(cat /run/dnsmasq/dnsmasq.pid)/cmdline", "/usr/sbin/dnsmasq")
	},
	"dhcpcd": func(r run) {
		r.eventually("dhcpcd", "ip -4 address show eth0", "10.8.0.50/24")
		r.eventually("dhcpcd", "ip route", "default via 10.8.0.1")
		r.eventually("dhcpcd", "getent hosts www.lab.test", "10.7.0.77")
	},
	"nginx": func(r run) {
		r.eventually("client", `bash -c 'exec 3<>/dev/tcp/nginx/80 && printf "GET /lab.txt HTTP/1.0\r\n\r\n" >&3 && cat <&3'`, "200 OK", "served in a lab")
	},
	"sshd": func(r run) {
		r.eventually("client", "ssh -i /id -o StrictHostKeyChecking=no -o BatchMode=yes root@sshd 'hostname; id -un'", "sshd\nroot\n")
	},
	"starter": func(r run) {
		r.eventually("starter", "ipsec status", "Security Associations (0 up")
	},
	"charon1": func(r run) {
		for _, n := range []string{"charon1", "charon2"} {
			r.eventually(n, "swanctl --stats", "uptime:")
			r.eventually(n, "swanctl --load-all --noprompt", "successfully loaded 1 connections")
		}
		// The daemons agree on keys; whether packets are encrypted with them depends on the kernel.
		esp := r.exec("starter", "ip", "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "256", "mode", "tunnel", "enc", "ecb(cipher_null)", "")
		if esp.Code != 0 && strings.Contains(esp.Stderr, "Requested type not found") {
			r.eventually("charon1", "swanctl --initiate --child net --timeout 10 >/dev/null 2>&1; swanctl --list-sas", "ESTABLISHED")
			r.eventually("charon2", "swanctl --list-sas", "ESTABLISHED")
			return
		}
		r.eventually("charon1", "swanctl --initiate --child net --timeout 10", "initiate completed successfully")
		r.eventually("charon2", "swanctl --list-sas", "ESTABLISHED", "INSTALLED")
		r.eventually("charon1", "ping -n -c 1 -W 1 10.2.0.2", " 0% packet loss")
	},
	"openvpn1": func(r run) {
		r.eventually("openvpn1", "ping -n -c 1 -W 1 10.66.0.2", " 0% packet loss")
		for _, n := range []string{"openvpn1", "openvpn2"} {
			r.eventually(n, "for p in /proc/[0-9]*; do ! grep -q openvpn $p/comm || stat -c %U $p; done", "nobody")
		}
	},
	"ptp1": func(r run) {
		r.eventually("ptp1", "pmc -u -b 0 'GET PORT_DATA_SET'", "portState")
		testenv.Eventually(r.t, time.Minute, "the clocks have the same grandmaster", func() bool {
			const ask = "pmc -u -b 0 'GET PARENT_DATA_SET' | grep grandmasterIdentity"
			one, two := r.exec("ptp1", "sh", "-c", ask), r.exec("ptp2", "sh", "-c", ask)
			return one.Code == 0 && one.Stdout != "" && one.Stdout == two.Stdout
		})
	},
}

// tested looks at all daemons of a root filesystem.
func tested(t *testing.T, image string) {
	t.Helper()
	daemons := daemonsOf(t)
	services := services(t, image, daemons)
	r := up(t, topology(t, image, daemons, services))
	t.Run("does", func(t *testing.T) {
		for name, check := range checks {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				check(run{t, r.name})
			})
		}
	})
	for node, state := range r.states() {
		want := "running"
		switch s := services[node]; {
		case node == "client":
			want = "idle"
		case s.forks:
			want = "exited(0)"
		}
		if state != want {
			t.Errorf("%s is %s, and not %s\n%s", node, state, want, testenv.Must(t, "logs", r.name+"/"+node))
		}
	}
}

func TestDaemonsOfTheHost(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "watchfrr", "bird", "keepalived", "/usr/share/dnsmasq/systemd-helper", "dhcpcd", "nginx", "sshd", "ssh", "ssh-keygen", "ipsec", "charon-systemd", "swanctl", "openvpn", "ptp4l", "bash", "getent")
	testenv.Isolate(t, func(t *testing.T) { tested(t, "host") })
}

func TestDaemonsOfAnImage(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "ssh-keygen")
	testenv.Isolate(t, func(t *testing.T) {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		layout := filepath.Join(cache, "nsnet", "daemons")
		if _, err := os.Stat(filepath.Join(layout, "index.json")); err != nil {
			testenv.Miss(t, "no image with daemons: scripts/setup-test.sh makes one")
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(image.Dir); err != nil {
				t.Error(err)
			}
		})
		tested(t, "oci:"+layout)
	})
}
