package topology

import (
	"io/fs"
	"net/netip"
)

// Lab is a topology file with every default filled in and every address decided:
// what the file means. It is plain data, without positions but for its warnings, marshals to JSON, and is
// deterministic: the same file gives the same Lab on every machine.
//
// Nodes, Bridges and Links are in file order; that order decides pool addresses.
type Lab struct {
	Name    string   `json:"name"`
	Dir     string   `json:"dir"` // absolute directory that relative paths were resolved against: of a file its own, see File
	Nodes   []Node   `json:"nodes"`
	Bridges []Bridge `json:"bridges"`
	Links   []Link   `json:"links"`

	Limits LabLimits `json:"limits,omitzero"` // of all nodes together

	// File is the file that the lab was read from, absolute and without symbolic links; empty for text that is of no file, or of
	// a pipe. Such text has no directory of its own.
	File string `json:"-"`
	// Info is what File was when it was read; nil where there is none. DirInfo is what Dir was, which had that file then.
	Info    fs.FileInfo `json:"-"`
	DirInfo fs.FileInfo `json:"-"`
	// Paths are the host's paths that the lab names, by the way it names them; see HostPath.
	Paths map[string]HostPath `json:"-"`
	// AskedAt are the places of the file that ask for what a lab has to ask for, the first of each; see Asks.
	AskedAt map[Ask]Error `json:"-"`
	// Warnings are places of the file that are legal and may not be meant, in its order. They are no part of what it means.
	Warnings Errors `json:"-"`
}

// Node is one full container.
type Node struct {
	Name     string   `json:"name"`
	Image    Image    `json:"image"`
	Hostname string   `json:"hostname"`
	Command  []string `json:"command,omitempty"` // empty: an idle node
	// Entrypoint is what Command is given to, of an image with layers; elsewhere Command begins with it. What is not
	// given is the image's, and the image's command goes with its own entrypoint only.
	Entrypoint      []string `json:"entrypoint,omitempty"`
	EntrypointGiven bool     `json:"entrypoint_given,omitempty"`
	CommandGiven    bool     `json:"command_given,omitempty"`

	Env        []string          `json:"env,omitempty"`     // "K=V", sorted by key
	Workdir    string            `json:"workdir,omitempty"` // absolute; empty is "/"
	User       string            `json:"user,omitempty"`    // "user[:group]" by name or number, looked up in the node's own files; empty is root
	Binds      []Bind            `json:"binds,omitempty"`
	Tmpfs      []Tmpfs           `json:"tmpfs,omitempty"`
	Dirs       []string          `json:"dirs,omitempty"`    // made where the image lacks them: what an image's configuration names
	Sysctls    map[string]string `json:"sysctls,omitempty"` // "net.ipv4.ip_forward": "1"
	Caps       Caps              `json:"caps"`
	Privileged bool              `json:"privileged,omitempty"`
	Seccomp    string            `json:"seccomp"`         // "default" or "unconfined"
	NoNewPrivs bool              `json:"no_new_privs"`    // file key nnp, default true
	Tun        bool              `json:"tun,omitempty"`   // /dev/net/tun is present
	DNS        *DNS              `json:"dns,omitempty"`   // nil: the image's own resolv.conf stays
	Hosts      []string          `json:"hosts,omitempty"` // extra "ADDRESS NAME..." lines for /etc/hosts
	Routes     []Route           `json:"routes,omitempty"`
	Limits     Limits            `json:"limits"`
	Ports      []Port            `json:"ports,omitempty"`

	Layers   []Layer  `json:"layers,omitempty"` // above the image, read-only; the first wins
	Unions   []Union  `json:"unions,omitempty"`
	Storage  string   `json:"storage,omitempty"` // the driver of the root and of unions that say none; empty: nsnet chooses
	Writable Writable `json:"writable,omitzero"` // the node's own layer, above all others
	Restart  Restart  `json:"restart,omitzero"`
	// StopSignal asks the command to end: SIGQUIT. Empty: SIGTERM, or what the image says.
	StopSignal string       `json:"stop_signal,omitempty"`
	Ready      *Ready       `json:"ready,omitempty"` // nil: ready when its command runs
	DependsOn  []Dependency `json:"depends_on,omitempty"`
	// ReadyGiven is true where the file has the key, of an image with layers: then its own check is not used.
	ReadyGiven bool `json:"ready_given,omitempty"`
	// OfImage are the keys among stop_signal and ready that the image has filled in.
	OfImage []string `json:"of_image,omitempty"`
}

// Bind is a file or directory of the host shown inside a node.
type Bind struct {
	Source   string `json:"source"` // absolute
	Target   string `json:"target"` // absolute, inside the node
	ReadOnly bool   `json:"read_only"`
	IDMap    bool   `json:"idmap"` // the host's ids appear as the node's own: always so when ReadOnly, by flag "idmap" otherwise
}

// Tmpfs is an empty in-memory directory inside a node.
type Tmpfs struct {
	Target string `json:"target"`
	Size   int64  `json:"size,omitempty"` // bytes; 0: a quarter of the machine's memory
	Mode   uint32 `json:"mode"`           // permission bits, default 01777
}

// Caps are changes to the default capability set, as names without CAP_, upper case, sorted.
type Caps struct {
	Add  []string `json:"add,omitempty"`
	Drop []string `json:"drop,omitempty"`
}

// DNS is a node's resolv.conf.
type DNS struct {
	Nameservers []string `json:"nameservers,omitempty"`
	Search      []string `json:"search,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// Route is a static route of a node. Via and Dev: at least one is set.
type Route struct {
	To     netip.Prefix `json:"to"` // "default" became 0.0.0.0/0 or ::/0
	Via    netip.Addr   `json:"via,omitzero"`
	Dev    string       `json:"dev,omitempty"`
	Metric int          `json:"metric,omitempty"`
}

// Port publishes a node's port on the host: "[HOSTADDR:]HOSTPORT:PORT[/tcp|udp]".
type Port struct {
	HostAddr netip.Addr `json:"host_addr"` // default 127.0.0.1
	HostPort uint16     `json:"host_port"`
	Port     uint16     `json:"port"`
	Protocol string     `json:"protocol"` // "tcp" or "udp"
}

// Bridge is a switch of the lab, or a bridge of the host when External.
type Bridge struct {
	Name      string         `json:"name"`
	Addresses []netip.Prefix `json:"addresses,omitempty"` // the host's addresses on it: the nodes' gateways. Empty: no leg to the host
	Subnets   []netip.Prefix `json:"subnets,omitempty"`   // pools, masked; one v4 and one v6 at most
	NAT       bool           `json:"nat,omitempty"`
	Peers     []string       `json:"peers,omitempty"` // "LAB/BRIDGE": bridges of other labs that this one reaches through the host, where they name it, too
	STP       bool           `json:"stp,omitempty"`
	MTU       int            `json:"mtu"`                // default 1500
	MAC       string         `json:"mac,omitempty"`      // of the bridge in the fabric; empty when External
	HostMAC   string         `json:"host_mac,omitempty"` // of the host's end of the leg, when there are Addresses
	External  bool           `json:"external,omitempty"`
	HostMTU   int            `json:"host_mtu,omitempty"` // of one that is External, as the host has it; 0: not known
}

// Link is a cable. A is always a node's end; B is a node's end (point to point) or a bridge port.
type Link struct {
	A Endpoint `json:"a"`
	B Endpoint `json:"b"`
}

// Endpoint is one end of a link: an interface of Node, or a port of Bridge (then only Bridge is set).
type Endpoint struct {
	Node      string         `json:"node,omitempty"`
	Bridge    string         `json:"bridge,omitempty"`
	Interface string         `json:"interface,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Peers     []netip.Prefix `json:"peers,omitempty"` // /32 and /128 routes through this interface to the other end of a point-to-point link
	MAC       string         `json:"mac,omitempty"`
	MTU       int            `json:"mtu,omitempty"` // default: the bridge's, or 1500
}
