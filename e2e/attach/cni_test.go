package attach

import (
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/nsnet/nsnet/internal/testenv"
)

// cni reads a result as a container runtime does.
func cni(t *testing.T, out string) *current.Result {
	t.Helper()
	var head struct{ CNIVersion string }
	if err := json.Unmarshal([]byte(out), &head); err != nil || head.CNIVersion != "1.1.0" {
		t.Fatalf("version %q, %v:\n%s", head.CNIVersion, err, out)
	}
	result, err := version.NewResult(head.CNIVersion, []byte(out))
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	res, err := current.GetResult(result)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// The result is one of a CNI plugin, specification 1.1.0, and says what is there.
func TestCNIResult(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/24", "fd00:7::1/64")
		wire(t, "card0", "wire0")
		pid, peer := stranger(t), stranger(t)
		for _, args := range []string{
			"--bridge br0 --ip 10.7.0.2/24 --ip fd00:7::2/64 --default-route --route 10.50.0.0/16,10.7.0.9 --mtu 1400",
			toHost,
			"--ip 10.1.1.1/32 --peer-pid " + strconv.Itoa(peer) + " --peer-ip 10.1.1.2/32 --peer-ifname p0",
			"--macvlan card0 --ip 10.8.0.2/24",
			"--host-nic card0 --ip 10.8.0.2/24",
			"--bridge br0",
		} {
			out := must(t, "attach --pid %d --json %s", pid, args)
			res := cni(t, out)
			at := slices.IndexFunc(res.Interfaces, func(i *current.Interface) bool { return i.Name == "eth1" })
			if at < 0 {
				t.Fatalf("%s: no eth1 in\n%s", args, out)
			}
			n, eth1 := nics(t, pid)["eth1"], res.Interfaces[at]
			if eth1.Mac != n.MAC || eth1.Mtu != n.MTU || eth1.Sandbox != "/proc/"+strconv.Itoa(pid)+"/ns/net" {
				t.Errorf("%s: interface %+v; there is %+v", args, eth1, n)
			}
			var told []string
			for _, a := range res.IPs {
				if a.Interface == nil || *a.Interface < 0 || *a.Interface >= len(res.Interfaces) {
					t.Fatalf("%s: an address of no interface:\n%s", args, out)
				}
				if *a.Interface == at {
					told = append(told, a.Address.String())
				}
			}
			slices.Sort(told)
			if got := n.addresses(); !slices.Equal(told, got) {
				t.Errorf("%s: addresses %v; there are %v", args, told, got)
			}
			routes := ip(t, pid, "-4 route") + ip(t, pid, "-6 route")
			for _, r := range res.Routes {
				want := strings.TrimSuffix(strings.TrimSuffix(r.Dst.String(), "/32"), "/128") + " "
				if ones, _ := r.Dst.Mask.Size(); ones == 0 {
					want = "default "
				}
				if r.GW != nil {
					want += "via " + r.GW.String() + " "
				}
				if !strings.Contains(routes, want+"dev eth1 ") {
					t.Errorf("%s: route %q is not there:\n%s", args, want, routes)
				}
			}
			// The host's end is named where the host has it.
			for _, i := range res.Interfaces {
				if _, there := nics(t, 0)[i.Name]; i.Sandbox == "" && !there {
					t.Errorf("%s: the host has no %s", args, i.Name)
				}
			}
			if again := must(t, "attach --pid %d --json %s", pid, args); again != out {
				t.Errorf("%s: the same call again says\n%s\nand before\n%s", args, again, out)
			}
			must(t, "detach --pid %d --all", pid)
		}

		res := cni(t, must(t, "attach --pid %d --json --bridge br0 --ip 10.7.0.2/24 --default-route", pid))
		if len(res.Routes) != 1 || !res.Routes[0].GW.Equal(net.ParseIP("10.7.0.1")) || !res.IPs[0].Gateway.Equal(net.ParseIP("10.7.0.1")) {
			t.Errorf("routes %v, addresses %v", res.Routes, res.IPs)
		}
		var gone []struct{ Interface string }
		out := must(t, "detach --pid %d --all --json", pid)
		if err := json.Unmarshal([]byte(out), &gone); err != nil || len(gone) != 1 || gone[0].Interface != "eth1" {
			t.Errorf("detach --json: %v\n%s", err, out)
		}
		if out := must(t, "detach --pid %d --all --json", pid); strings.TrimSpace(out) != "[]" {
			t.Errorf("detach --json of nothing: %s", out)
		}
	})
}
