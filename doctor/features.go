package doctor

import (
	"errors"
	"fmt"
	"net"
	"runtime"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
)

// Trial is a feature of the kernel and how to find out whether it is there.
type Trial struct {
	Name   string
	Needed bool   // by every lab
	For    string // what it is for
	Option string // of the kernel
	Try    func() error
}

// Features are what nsnet and programs in its nodes use of the network stack, each tried in
// an empty network namespace.
func Features() []Trial {
	add := func(l netlink.Link) func() error { return func() error { return netlink.LinkAdd(l) } }
	named := func(name string) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name = name
		return a
	}
	on := func(l func(parent int) netlink.Link) func() error {
		return func() error {
			parent, err := netlink.LinkByName("p0")
			if err != nil {
				return err
			}
			return netlink.LinkAdd(l(parent.Attrs().Index))
		}
	}
	filtering := true
	return []Trial{
		{"veth", true, "every link", "VETH", add(&netlink.Veth{LinkAttrs: named("p0"), PeerName: "p1"})},
		{"bridge", true, "every bridge", "BRIDGE", add(&netlink.Bridge{LinkAttrs: named("b0")})},
		{"nftables", false, "nat: true where there is no iptables", "NF_TABLES", tryNFTables},
		{"bridge VLANs", false, "attach --vlan", "BRIDGE_VLAN_FILTERING", add(&netlink.Bridge{LinkAttrs: named("b1"), VlanFiltering: &filtering})},
		{"bounds of what bridges learn", false, "nodes that send from ever new hardware addresses, each of which is memory of the kernel", "BRIDGE of Linux 6.6 or later", tryLearning},
		{"macvlan", false, "attach --macvlan", "MACVLAN", on(func(p int) netlink.Link {
			a := named("m0")
			a.ParentIndex = p
			return &netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE}
		})},
		{"VLAN interfaces", false, "nodes that make them", "VLAN_8021Q", on(func(p int) netlink.Link {
			a := named("v0")
			a.ParentIndex = p
			return &netlink.Vlan{LinkAttrs: a, VlanId: 5}
		})},
		{"VRF", false, "nodes that make them", "NET_VRF", add(&netlink.Vrf{LinkAttrs: named("r0"), Table: 100})},
		{"VXLAN", false, "nodes that make them", "VXLAN", add(&netlink.Vxlan{LinkAttrs: named("x0"), VxlanId: 5})},
		{"WireGuard", false, "nodes that make them", "WIREGUARD", add(&netlink.Wireguard{LinkAttrs: named("w0")})},
		{"dummy", false, "nodes that make them", "DUMMY", add(&netlink.Dummy{LinkAttrs: named("d0")})},
		{"IPsec", false, "nodes that encrypt by it, with strongSwan or ip xfrm", "XFRM_USER, INET_ESP and CRYPTO_GCM or CRYPTO_CBC", tryESP},
		{"netem", false, "delay and loss by tc in a node", "NET_SCH_NETEM", tryNetem},
	}
}

func tryLearning() error {
	if !bridge.BoundsLearning() {
		return errors.ErrUnsupported
	}
	return nil
}

func tryNetem() error {
	p, err := netlink.LinkByName("p0")
	if err != nil {
		return err
	}
	return netlink.QdiscAdd(netlink.NewNetem(netlink.QdiscAttrs{LinkIndex: p.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}, netlink.NetemQdiscAttrs{Latency: 1000}))
}

// tryESP adds a security association of ESP in tunnel mode, with the cipher that daemons propose first, or the one that all know.
// ip-xfrm(8), RFC 4303, RFC 4106, RFC 3602.
func tryESP() error {
	s := netlink.XfrmState{
		Src: net.IPv4(192, 0, 2, 1), Dst: net.IPv4(192, 0, 2, 2), Proto: netlink.XFRM_PROTO_ESP, Mode: netlink.XFRM_MODE_TUNNEL, Spi: 0x100,
		Aead: &netlink.XfrmStateAlgo{Name: "rfc4106(gcm(aes))", Key: make([]byte, 20), ICVLen: 128},
	}
	if netlink.XfrmStateAdd(&s) == nil {
		return nil
	}
	s.Aead = nil
	s.Crypt, s.Auth = &netlink.XfrmStateAlgo{Name: "cbc(aes)", Key: make([]byte, 16)}, &netlink.XfrmStateAlgo{Name: "hmac(sha256)", Key: make([]byte, 32), TruncateLen: 128}
	return netlink.XfrmStateAdd(&s)
}

func tryNFTables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.AddTable(&nftables.Table{Name: "doctor", Family: nftables.TableFamilyINet})
	return c.Flush()
}

// features tries all in one namespace, which goes with its thread.
func (m *Machine) features() []Finding {
	trials := m.Trials
	if trials == nil {
		trials = Features()
	}
	if m.UID != 0 {
		return []Finding{{Check: "kernel", Status: Note, Detail: "which features it has was not tried: it needs root"}}
	}
	result := make(chan []Finding)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- []Finding{{Check: "kernel", Status: Problem, Detail: fmt.Sprintf("a network namespace cannot be made: %v", err)}}
			return
		}
		var found []Finding
		for _, t := range trials {
			found = append(found, t.finding(t.Try()))
		}
		result <- found
	}()
	return <-result
}

// finding says what a trial's outcome means.
func (t *Trial) finding(err error) Finding {
	f := Finding{Check: "kernel: " + t.Name, Status: Good, Detail: "there"}
	if err == nil || errors.Is(err, unix.EEXIST) {
		return f
	}
	f.Status = Note
	if t.Needed {
		f.Status = Problem
	}
	f.Detail = fmt.Sprintf("missing, for %s: %v", t.For, err)
	f.Remedy = "take a kernel with the option " + t.Option + "; Ubuntu keeps some modules in the package linux-modules-extra"
	return f
}
