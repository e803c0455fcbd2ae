package bridge

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// lockTimeout is how long an iptables program waits for the lock that all of them share, in
// seconds.
const lockTimeout = 10

// Family is an IP version, as records spell it.
type Family string

// The families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// Families are both of them.
func Families() []Family { return []Family{IPv4, IPv6} }

// Rule is a rule in the host's own firewall, as recorded before it is inserted.
type Rule struct {
	Program string   `json:"program"` // "iptables-nft": what speaks the dialect of the rules in force
	Family  Family   `json:"family"`
	Table   string   `json:"table"`
	Chain   string   `json:"chain"`
	Spec    []string `json:"spec"` // never empty: that would be a rule for every packet
}

// Check refuses a rule that [PlanAccept] cannot have made for a lab. It comes from a file; root starts the program that it names, and
// removes what matches.
func (r Rule) Check(lab string) error {
	program, _, _ := strings.Cut(r.Program, "-")
	at := slices.Index(r.Spec, "--comment")
	switch {
	case program != "iptables" && program != "ip6tables", strings.Contains(r.Program, "/"):
		return fmt.Errorf("it has a firewall rule of the program %q", r.Program)
	case at < 0, at+1 >= len(r.Spec), r.Spec[at+1] != mark(lab):
		return fmt.Errorf("it has a firewall rule without the lab's mark: %q", r.Spec)
	}
	return nil
}

// dialect says which programs can put a rule into a chain.
type dialect string

const (
	nobodys  dialect = ""       // nftables without iptables: the chain has an owner who would not know our rule
	ofNFT    dialect = "nft"    // iptables on top of nftables
	ofLegacy dialect = "legacy" // iptables beside nftables
)

// forwardChain is a chain in which the host's firewall decides on what it forwards.
type forwardChain struct {
	family  Family
	table   string
	name    string
	dialect dialect
	drops   bool // what no rule of the chain accepts is dropped
	docker  bool // there is a DOCKER-USER chain, which is asked first and is meant for others
}

const dockerUser = "DOCKER-USER"

// PlanAccept tells which rules the host's own firewall needs for it to let packets from the
// legs pass, and the answers to them: none where nothing is dropped. Notes say what nsnet
// cannot do and the user has to. It starts no program unless old iptables are in force.
func PlanAccept(lab string, legs []string) (rules []Rule, notes []string, err error) {
	chains, err := forwardChains()
	if err != nil {
		return nil, nil, fmt.Errorf("look at the host's firewall: %w", err)
	}
	rules, notes = planAccept(lab, legs, chains, lookPath)
	return rules, notes, nil
}

// planAccept decides by what was seen.
func planAccept(lab string, legs []string, chains []forwardChain, look func(string) (string, error)) (rules []Rule, notes []string) {
	for _, c := range chains {
		if !c.drops && !c.docker || len(legs) == 0 {
			continue
		}
		if c.dialect == nobodys {
			notes = append(notes, fmt.Sprintf("the nftables chain %q of table %q drops forwarded %s packets, and an accept elsewhere does not help: "+
				"let it pass what comes in or goes out by %s", c.name, c.table, c.family, strings.Join(legs, ", ")))
			continue
		}
		program, ok := program(c, look)
		if !ok {
			notes = append(notes, fmt.Sprintf("iptables rules drop forwarded %s packets, but there is no iptables program to let the lab's pass: "+
				"install iptables", c.family))
			continue
		}
		chain := c.name
		if c.docker {
			chain = dockerUser
		}
		for _, leg := range legs {
			for _, match := range [][]string{
				{"-i", leg},
				{"-o", leg, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"},
			} {
				rules = append(rules, Rule{
					Program: program, Family: c.family, Table: c.table, Chain: chain,
					Spec: append(match, "-m", "comment", "--comment", mark(lab), "-j", "ACCEPT"),
				})
			}
		}
	}
	return rules, notes
}

// program finds the program for a chain's rules: the one that is named for the dialect, or the
// one the host's administrator chose.
func program(c forwardChain, look func(string) (string, error)) (string, bool) {
	name := "iptables"
	if c.family == IPv6 {
		name = "ip6tables"
	}
	for _, p := range []string{name + "-" + string(c.dialect), name} {
		if _, err := look(p); err == nil {
			return p, true
		}
	}
	return "", false
}

// lookPath finds a program also where a user's PATH does not lead, as after su.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, miss := exec.LookPath(filepath.Join(dir, name)); miss == nil {
			return path, nil
		}
	}
	return "", err
}

// forwardChains lists what decides on forwarded packets in the calling thread's network
// namespace.
func forwardChains() ([]forwardChain, error) {
	chains, err := nftForwardChains()
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		family Family
		tables string
	}{{IPv4, "ip_tables_names"}, {IPv6, "ip6_tables_names"}} {
		// Not /proc/net: that is the process's main thread's.
		b, err := os.ReadFile("/proc/thread-self/net/" + f.tables)
		if err != nil || !slices.Contains(strings.Fields(string(b)), "filter") {
			continue // the kernel has no old iptables, or nobody uses them
		}
		c := forwardChain{family: f.family, table: "filter", name: "FORWARD", dialect: ofLegacy}
		if c.drops, c.docker, err = readLegacy(c); err != nil {
			return nil, err
		}
		chains = append(chains, c)
	}
	return chains, nil
}

// nftForwardChains lists the base chains of nftables at the forward hook.
func nftForwardChains() ([]forwardChain, error) {
	conn := &nftables.Conn{}
	all, err := conn.ListChains()
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // the kernel has no nftables
	}
	if err != nil {
		return nil, fmt.Errorf("list nftables chains: %w", err)
	}
	var chains []forwardChain
	for _, c := range all {
		if isOurs(c.Table.Name) || c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward {
			continue
		}
		families := map[nftables.TableFamily][]Family{
			nftables.TableFamilyIPv4: {IPv4},
			nftables.TableFamilyIPv6: {IPv6},
			nftables.TableFamilyINet: {IPv4, IPv6},
		}[c.Table.Family]
		if families == nil {
			continue // a bridge's or a device's hooks have the same numbers
		}
		seen := forwardChain{table: c.Table.Name, name: c.Name}
		if seen.drops = c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop; !seen.drops {
			// A stranger's rule that cannot be decoded is no reason to refuse a lab.
			if rules, err := conn.GetRules(c.Table, c); err == nil && len(rules) > 0 {
				seen.drops = dropsAll(rules[len(rules)-1].Exprs)
			}
		}
		if c.Table.Name == "filter" && c.Name == "FORWARD" && len(families) == 1 {
			seen.dialect = ofNFT
			seen.docker = slices.ContainsFunc(all, func(d *nftables.Chain) bool {
				return d.Name == dockerUser && d.Table.Name == c.Table.Name && d.Table.Family == c.Table.Family
			})
		}
		for _, seen.family = range families {
			chains = append(chains, seen)
		}
	}
	return chains, nil
}

// dropsAll tells whether a rule, the last of its chain, drops or rejects without any condition.
func dropsAll(exprs []expr.Any) bool {
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Reject:
			return true
		case *expr.Verdict:
			return e.Kind == expr.VerdictDrop
		case *expr.Target:
			return e.Name == "REJECT" || e.Name == "DROP"
		default:
			return false
		}
	}
	return false
}

// readLegacy asks the old iptables.
func readLegacy(c forwardChain) (drops, docker bool, err error) {
	name, ok := program(c, lookPath)
	if !ok {
		return true, false, nil // unknown: the note that asks for the program says why
	}
	ipt, err := open(name, c.family)
	if err != nil {
		return false, false, err
	}
	rules, err := ipt.List(c.table, c.name)
	if err != nil {
		return false, false, err
	}
	docker, err = ipt.ChainExists(c.table, dockerUser)
	return legacyDrops(rules), docker, err
}

// legacyDrops reads the output of iptables -S for one chain.
func legacyDrops(rules []string) bool {
	if len(rules) == 0 {
		return false
	}
	if f := strings.Fields(rules[0]); len(f) == 3 && f[0] == "-P" && f[2] == "DROP" {
		return true
	}
	f := strings.Fields(rules[len(rules)-1])
	return len(f) >= 4 && f[0] == "-A" && f[2] == "-j" && (f[3] == "DROP" || f[3] == "REJECT")
}

// Insert puts rules at the top of their chains, those that are not there yet. On failure none
// of them is left.
func Insert(rules []Rule) error {
	for _, r := range slices.Backward(rules) {
		err := r.apply(func(ipt *iptables.IPTables) error {
			return ipt.InsertUnique(r.Table, r.Chain, 1, r.Spec...)
		})
		if err != nil {
			return errors.Join(fmt.Errorf("insert %s rule for %s: %w", r.Program, r.Chain, err), Remove(rules))
		}
	}
	return nil
}

// Remove takes rules away. One that is not there, or whose chain is gone, is no error. It goes
// on after a failure.
func Remove(rules []Rule) error {
	var errs []error
	for _, r := range rules {
		err := r.apply(func(ipt *iptables.IPTables) error {
			return ipt.DeleteIfExists(r.Table, r.Chain, r.Spec...)
		})
		var failed *iptables.Error
		if errors.As(err, &failed) && failed.IsNotExist() {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove %s rule from %s: %w", r.Program, r.Chain, err))
		}
	}
	return errors.Join(errs...)
}

func (r Rule) apply(do func(*iptables.IPTables) error) error {
	if len(r.Spec) == 0 {
		return errors.New("the rule has no specification, it would match every packet")
	}
	if err := failpoint.Hit("iptables", r.Chain); err != nil {
		return err
	}
	ipt, err := open(r.Program, r.Family)
	if err != nil {
		return err
	}
	return do(ipt)
}

// open prepares an iptables program for use.
func open(program string, f Family) (*iptables.IPTables, error) {
	path, err := lookPath(program)
	if err != nil {
		return nil, err
	}
	proto := iptables.ProtocolIPv4
	if f == IPv6 {
		proto = iptables.ProtocolIPv6
	}
	return iptables.New(iptables.Path(path), iptables.IPFamily(proto), iptables.Timeout(lockTimeout))
}

// Missing are those of rules that are not in force, because somebody has flushed them.
func Missing(rules []Rule) ([]Rule, error) {
	var missing []Rule
	for _, r := range rules {
		there := false
		err := r.apply(func(ipt *iptables.IPTables) (err error) {
			there, err = ipt.Exists(r.Table, r.Chain, r.Spec...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look for %s rule in %s: %w", r.Program, r.Chain, err)
		}
		if !there {
			missing = append(missing, r)
		}
	}
	return missing, nil
}
