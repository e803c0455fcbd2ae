package doctor

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/topology"
)

// need is what a program that people run in nodes wants of its node and does not have by default.
type need struct {
	programs []string
	met      func(n *topology.Node, args []string) bool
	detail   string // behind the program's name
	remedy   string
}

// needs are the programs that are known to need more than a node has by default. Each was tried.
func needs() []need {
	const admin = "caps: [SYS_ADMIN]"
	return []need{
		{[]string{"zebra", "watchfrr", "frrinit.sh", "docker-start"}, hasCapability(unix.CAP_SYS_ADMIN),
			"of FRR: zebra ends at once without the capability SYS_ADMIN, of which FRR's start script says nothing", "give the node " + admin},
		{[]string{"ptp4l"}, hasOption("-S", "software"),
			"wants hardware that stamps packets, which no node's interface has, and ends with \"failed to create a clock\"", "give ptp4l the option -S, or time_stamping software in its configuration"},
		{[]string{"openvpn"}, func(n *topology.Node, _ []string) bool { return n.Tun || n.Privileged },
			"opens /dev/net/tun, which the node has not", "give the node tun: true"},
		{[]string{"mount", "umount", "unshare"}, hasCapability(unix.CAP_SYS_ADMIN), "needs the capability SYS_ADMIN", "give the node " + admin},
	}
}

// hasCapability returns whether a node has a capability.
func hasCapability(bit uint) func(*topology.Node, []string) bool {
	return func(n *topology.Node, _ []string) bool {
		caps, err := container.Capabilities(n.Caps, n.Privileged)
		return err == nil && caps&(1<<bit) != 0
	}
}

// hasOption returns whether a program has an option of one letter, which may stand behind others, or
// a word.
func hasOption(letter, word string) func(*topology.Node, []string) bool {
	return func(_ *topology.Node, args []string) bool {
		return slices.ContainsFunc(args, func(a string) bool {
			return strings.HasPrefix(a, letter) || strings.Contains(a, word)
		})
	}
}

// ExamineNodes looks at the commands of a lab's nodes for programs that do not work with what the nodes have,
// and returns a note for each. Commands that images bring are not known, nor those of exec.
func ExamineNodes(l *topology.Lab) []Finding {
	var all []Finding
	for i := range l.Nodes {
		n := &l.Nodes[i]
		var said []string
		for _, argv := range programs(slices.Concat(n.Entrypoint, n.Command)) {
			name := path.Base(argv[0])
			for _, d := range needs() {
				if !slices.Contains(d.programs, name) || d.met(n, argv[1:]) || slices.Contains(said, d.detail) {
					continue
				}
				said = append(said, d.detail)
				all = append(all, Finding{Check: "node " + n.Name, Status: Note, Detail: name + " " + d.detail, Remedy: d.remedy})
			}
		}
	}
	return all
}

// programs returns the commands that a command line runs: itself, or those of the shell's text in it, and
// what others start for it.
func programs(argv []string) [][]string {
	for len(argv) > 0 {
		switch path.Base(argv[0]) {
		case "sh", "bash", "dash", "ash":
			if i := slices.IndexFunc(argv, func(a string) bool { return strings.HasPrefix(a, "-") && strings.HasSuffix(a, "c") }); i > 0 && i+1 < len(argv) {
				return scripted(argv[i+1])
			}
			return [][]string{argv}
		case "exec", "env", "nohup", "setsid", "nice", "timeout", "tini", "dumb-init", "strace":
			argv = argv[1:]
			for len(argv) > 0 && (strings.HasPrefix(argv[0], "-") || strings.Contains(argv[0], "=") || strings.Trim(argv[0], "0123456789.smhd") == "") {
				argv = argv[1:]
			}
		default:
			return [][]string{argv}
		}
	}
	return nil
}

// scripted returns the commands of a shell's text, as far as they can be told apart without a shell.
func scripted(text string) [][]string {
	var all [][]string
	for command := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("\n;&|(){}", r) }) {
		words := strings.Fields(command)
		for len(words) > 0 && (slices.Contains([]string{"if", "then", "else", "do", "while", "until", "!"}, words[0]) || strings.Contains(words[0], "=")) {
			words = words[1:]
		}
		if len(words) > 0 {
			for i := range words {
				words[i] = strings.Trim(words[i], `"'`)
			}
			all = append(all, programs(words)...)
		}
	}
	return all
}
