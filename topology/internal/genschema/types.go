package main

// File is a topology file: what a lab consists of.
type File struct {
	// The lab's name, unique on the host. It begins with a letter or digit, followed by letters, digits, '.', '_' or '-', 63 at most.
	Name string `json:"name,omitempty" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9_.-]{0\\,62}$"`
	// Keys that every node has unless it says otherwise. Mappings are merged key by key and binds by target, anything else is replaced.
	Defaults *Node `json:"defaults,omitempty"`
	// The lab's nodes by name. A name is a DNS label: letters, digits and '-', 63 at most.
	Nodes map[string]Node `json:"nodes,omitempty"`
	// The lab's bridges by name. A name is 15 bytes at most.
	Bridges map[string]Bridge `json:"bridges,omitempty"`
	// The cables. Their order decides which address of a pool an interface gets.
	Links []Link `json:"links,omitempty"`
	// What all nodes together may use of the machine.
	Limits *LabLimits `json:"limits,omitempty"`
}

// LabLimits are what all nodes of a lab may use of the machine together.
type LabLimits struct {
	// Memory, files in memory included: at least 64MiB, or max for all there is. Three quarters of the machine's if not given.
	Memory MemoryOrMax `json:"memory,omitempty"`
}

// Node is one full container.
type Node struct {
	// Where the root filesystem comes from, always copy-on-write: host (the host's own root), dir:PATH (a directory), or an image: a reference such as debian:12, oci:DIR, oci-archive:FILE, docker-archive:FILE or docker-daemon:NAME.
	Image string `json:"image,omitempty" jsonschema:"minLength=1,default=host"`
	// The node's host name; the node's name if not given.
	Hostname string `json:"hostname,omitempty" jsonschema:"maxLength=64"`
	// What the node runs: a list of program and arguments, or a text that /bin/sh runs. Without it the node does what its image says, or is idle.
	Command Command `json:"command,omitempty"`
	// What the command is given to, instead of the image's entrypoint; with [] to nothing. The image's own command is not used then.
	Entrypoint Command `json:"entrypoint,omitempty"`
	// Environment variables of the node's processes.
	Env map[string]Scalar `json:"env,omitempty"`
	// The directory the command starts in.
	Workdir string `json:"workdir,omitempty" jsonschema:"pattern=^/,default=/"`
	// Who runs the command: user or user:group, by name or number, looked up in the node's own files.
	User Scalar `json:"user,omitempty"`
	// Files and directories of the host inside the node, as SOURCE:TARGET[:ro|rw][,idmap]. SOURCE may hold colons. A relative source begins at the topology file's directory. Read-only unless rw is given.
	Binds []Bind `json:"binds,omitempty"`
	// Empty directories in memory, as TARGET[:size=64MiB,mode=1777].
	Tmpfs []Tmpfs `json:"tmpfs,omitempty"`
	// Kernel settings of the node's own namespaces: net.*, fs.mqueue.*, kernel.sem, kernel.shm* and kernel.msg*.
	Sysctls map[string]Scalar `json:"sysctls,omitempty"`
	// Changes to the default capabilities: NAME adds, -NAME drops.
	Caps []Cap `json:"caps,omitempty"`
	// Runs the node as the host's root with all capabilities and without its own user namespace. Needs root.
	Privileged bool `json:"privileged,omitempty"`
	// The system call filter.
	Seccomp string `json:"seccomp,omitempty" jsonschema:"enum=default,enum=unconfined,default=default"`
	// No new privileges: set-user-ID programs gain nothing. Switch it off for images that need sudo.
	Nnp *bool `json:"nnp,omitempty" jsonschema:"default=true"`
	// Gives the node /dev/net/tun.
	Tun bool `json:"tun,omitempty"`
	// The node's resolv.conf. Without it the image's own stays.
	DNS *DNS `json:"dns,omitempty"`
	// Additional lines of /etc/hosts, as "ADDRESS NAME...".
	Hosts []HostsLine `json:"hosts,omitempty"`
	// Static routes.
	Routes []Route `json:"routes,omitempty"`
	// What the node may use of the machine.
	Limits *Limits `json:"limits,omitempty"`
	// Ports of the node published on the host, as [HOSTADDR:]HOSTPORT:PORT[/tcp|udp]. HOSTADDR is 127.0.0.1 if not given.
	Ports []Port `json:"ports,omitempty"`
	// Layers of the root filesystem above the image, the first wins: directories as DIR, or as {dir: DIR} or {image: IMAGE}. They are never changed.
	Layers []RootLayer `json:"layers,omitempty"`
	// Unions of directories at paths of the node.
	Unions []Union `json:"unions,omitempty"`
	// How layers become one tree: overlay (overlayfs), fuse (mergerfs, for unions alone), or copy. nsnet chooses if not given.
	Storage string `json:"storage,omitempty" jsonschema:"enum=overlay,enum=fuse,enum=copy"`
	// Keeps what the node writes in /var/lib/nsnet, across down and up.
	Persist bool `json:"persist,omitempty"`
	// How much memory the node's writable layer may take, at least 1MiB; a quarter of the machine's if not given.
	WritableSize Size `json:"writable_size,omitempty"`
	// What happens when the command ends: no, on-failure, on-failure:N (N tries at most, one after the other) or always. It is started again after 100 ms, then after twice as long each time, a minute at most.
	Restart string `json:"restart,omitempty" jsonschema:"pattern=^(no|always|on-failure(:[0-9]+)?)$,default=no"`
	// The signal that asks the command to end: SIGQUIT, QUIT or 3; that of the image, or SIGTERM, if not given.
	StopSignal Scalar `json:"stop_signal,omitempty"`
	// The check that tells whether the node is ready. Without it a node is ready when its image's check says so, or when its command runs.
	Ready *Ready `json:"ready,omitempty"`
	// Nodes that the command waits for: a list, or a mapping of names to conditions.
	DependsOn DependsOn `json:"depends_on,omitempty"`
}

// Union is a union of directories at a path of a node.
type Union struct {
	// Where the node has it: an absolute path.
	Path string `json:"path" jsonschema:"pattern=^/"`
	// The layers, the first wins: DIR[:ro|:rw], {dir: DIR, mode: rw} or {image: IMAGE}. They are read-only unless rw is given.
	Layers []Layer `json:"layers" jsonschema:"minItems=1"`
	// The driver; the node's if not given.
	Storage string `json:"storage,omitempty" jsonschema:"enum=overlay,enum=fuse,enum=copy"`
}

// LayerMapping is the long form of a layer: a directory or an image.
type LayerMapping struct {
	// A directory of the host. A relative one begins at the topology file's directory.
	Dir string `json:"dir,omitempty"`
	// An image: dir:PATH, a reference, oci:DIR, oci-archive:FILE, docker-archive:FILE or docker-daemon:NAME.
	Image string `json:"image,omitempty"`
	// rw: what is written through the union is written to the directory itself.
	Mode string `json:"mode,omitempty" jsonschema:"enum=ro,enum=rw,default=ro"`
}

// Ready is the check that tells whether a node is ready: one of exec, tcp, http and log.
type Ready struct {
	// A command in the node that exits with 0: a list of program and arguments, or a text that /bin/sh runs.
	Exec Command `json:"exec,omitempty"`
	// A TCP port that accepts connections, on one of the node's addresses or loopback.
	TCP int `json:"tcp,omitempty" jsonschema:"minimum=1,maximum=65535"`
	// A web server that answers, without TLS.
	HTTP *HTTP `json:"http,omitempty"`
	// A regular expression (RE2) that a line of the command's output matches.
	Log string `json:"log,omitempty" jsonschema:"minLength=1"`
	// The time from one check to the next. Until the node is ready for the first time checks are more frequent.
	Interval Duration `json:"interval,omitempty" jsonschema:"default=5s"`
	// How long one check may take.
	Timeout Duration `json:"timeout,omitempty" jsonschema:"default=3s"`
	// The time from the command's start in which failed checks do not count.
	StartPeriod Duration `json:"start_period,omitempty" jsonschema:"default=30s"`
	// So many failed checks in a row make the node unhealthy.
	Retries int `json:"retries,omitempty" jsonschema:"minimum=1,default=3"`
}

// HTTP asks a web server in the node.
type HTTP struct {
	// The port.
	Port int `json:"port,omitempty" jsonschema:"minimum=1,maximum=65535,default=80"`
	// The path, with its query.
	Path string `json:"path,omitempty" jsonschema:"pattern=^/,default=/"`
	// The status that the answer has; any of 200 to 399 if not given.
	Status int `json:"status,omitempty" jsonschema:"minimum=100,maximum=599"`
}

// Depend is what a node waits for in another.
type Depend struct {
	// started: its command was started; ready: its check has passed; exited: its command has ended with exit code 0.
	Condition string `json:"condition,omitempty" jsonschema:"enum=started,enum=ready,enum=exited,default=started"`
}

// DNS is a node's resolv.conf.
type DNS struct {
	// Addresses of name servers.
	Nameservers []string `json:"nameservers,omitempty"`
	// Domains that short names are looked up in.
	Search []string `json:"search,omitempty"`
	// Resolver options, such as ndots:1.
	Options []string `json:"options,omitempty"`
}

// Route is a static route. Via or dev is needed.
type Route struct {
	// The destination: a prefix, an address, or default.
	To string `json:"to"`
	// The next hop's address, on one of the node's subnets unless dev is given.
	Via string `json:"via,omitempty"`
	// The node's interface that the route leaves by.
	Dev string `json:"dev,omitempty"`
	// The route's metric; of two routes to the same destination the lower one is used.
	Metric uint32 `json:"metric,omitempty" jsonschema:"minimum=0,maximum=2147483647"`
}

// Limits are what a node may use of the machine.
type Limits struct {
	// Processor time in cores: 0.2 is a fifth of one core.
	CPU float64 `json:"cpu,omitempty" jsonschema:"minimum=0.001,maximum=8192"`
	// The node's share of busy processors, relative to others; 100 is usual.
	CPUWeight uint64 `json:"cpu_weight,omitempty" jsonschema:"minimum=1,maximum=10000"`
	// The processors that the node may run on, as 0-2,5.
	CPUSet CPUs `json:"cpuset,omitempty"`
	// Memory, at least 4MiB, of which the node's init takes a little more than 2. A process that needs more is killed.
	Memory Size `json:"memory,omitempty"`
	// Memory and swap together; as much as memory, so no swap, if not given.
	MemorySwap Size `json:"memory_swap,omitempty"`
	// Memory that is left to the node when the host is short of it.
	MemoryReservation Size `json:"memory_reservation,omitempty"`
	// The number of processes and threads; 4096 if not given, and max for as many as the lab may have.
	Pids Pids `json:"pids,omitempty"`
	// Bounds on the traffic to block devices.
	IO []IO `json:"io,omitempty"`
	// Huge pages: an amount for each size of page, as 2MiB.
	HugeTLB map[string]Size `json:"hugetlb,omitempty"`
}

// IO bounds the traffic to one block device. At least one bound is needed.
type IO struct {
	// The device as a path, or MAJOR:MINOR.
	Device string `json:"device"`
	// Bytes read in a second.
	ReadBPS Size `json:"read_bps,omitempty"`
	// Bytes written in a second.
	WriteBPS Size `json:"write_bps,omitempty"`
	// Read operations in a second.
	ReadIOPS int64 `json:"read_iops,omitempty" jsonschema:"minimum=1"`
	// Write operations in a second.
	WriteIOPS int64 `json:"write_iops,omitempty" jsonschema:"minimum=1"`
	// The node's share of the busy device, relative to others; 100 is usual.
	Weight uint64 `json:"weight,omitempty" jsonschema:"minimum=1,maximum=1000"`
}

// Bridge is a switch of the lab, or one of the host that the lab's links are plugged into.
type Bridge struct {
	// The host's address on the bridge with its mask, or a list of them: one IPv4 and one IPv6 subnet at most. It is the gateway of the nodes on the bridge, and its subnet is their pool.
	Address OneOrList `json:"address,omitempty"`
	// The pool of the interfaces on the bridge, or a list of one IPv4 and one IPv6 subnet. The host has no address on a bridge with a subnet alone.
	Subnet OneOrList `json:"subnet,omitempty"`
	// Nodes reach the outside through the host, with the host's address. Needs address.
	NAT bool `json:"nat,omitempty"`
	// Bridges of other labs, each as "LAB/BRIDGE", that this one reaches through the host, and is reached from, where the other lab's file names this bridge, too. Needs address.
	Peers OneOrList `json:"peers,omitempty"`
	// The spanning tree protocol.
	STP bool `json:"stp,omitempty"`
	// The largest packet, in bytes.
	MTU int `json:"mtu,omitempty" jsonschema:"minimum=68,maximum=65535,default=1500"`
	// The bridge is one of the host's: it must exist, and is never made, changed or removed.
	External bool `json:"external,omitempty"`
}

// Link is a cable between two nodes, or a node and a bridge.
type Link struct {
	// The two ends, each as "NODE:INTERFACE", "BRIDGE" or a mapping.
	Endpoints []Endpoint `json:"endpoints" jsonschema:"minItems=2,maxItems=2"`
	// The address of the node's end of a link to a bridge, with its mask, or a list of them.
	Address OneOrList `json:"address,omitempty"`
	// On a link to a bridge the same as address. On a link of two nodes a list with one entry for each end; an entry may be a list.
	Addresses Addresses `json:"addresses,omitempty"`
	// The MTU of both ends; the bridge's, or 1500, if not given.
	MTU int `json:"mtu,omitempty" jsonschema:"minimum=68,maximum=65535"`
}

// EndpointMapping is the long form of an endpoint: node and interface, or bridge.
type EndpointMapping struct {
	// The node's name.
	Node string `json:"node,omitempty"`
	// The interface's name inside the node, 15 bytes at most.
	Interface string `json:"interface,omitempty" jsonschema:"maxLength=15"`
	// The bridge's name; then no other key is allowed.
	Bridge string `json:"bridge,omitempty"`
	// The interface's addresses with their masks, one or a list; an empty list for none.
	Addresses OneOrList `json:"addresses,omitempty"`
	// The interface's hardware address; derived from the names of lab, node and interface if not given.
	MAC string `json:"mac,omitempty"`
	// The interface's MTU; the link's if not given.
	MTU int `json:"mtu,omitempty" jsonschema:"minimum=68,maximum=65535"`
	// Addresses, default routes and prefixes from router advertisements are taken; false if not given.
	SLAAC bool `json:"slaac,omitempty"`
}
