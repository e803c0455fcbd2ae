package topology

// Modes of a restart policy.
const (
	RestartNo        = ""
	RestartOnFailure = "on-failure" // after an exit code other than 0, a signal, or a start that failed
	RestartAlways    = "always"     // whatever its end
)

// Restart says when a node's command is started again after its end. The zero value: never.
type Restart struct {
	Mode string `json:"mode,omitempty"`
	Max  int    `json:"max,omitempty"` // of on-failure: tries one after the other, 0: without a bound
}

// Conditions under which a dependency lets a node's command start.
const (
	DependStarted = "started" // its command was started
	DependReady   = "ready"   // its check has passed; without a check, its command runs
	DependExited  = "exited"  // its command has ended with exit code 0
)

// Dependency is another node that a node's command waits for.
type Dependency struct {
	Node      string `json:"node"`
	Condition string `json:"condition"`
}

// Ready is the check that tells whether a node is ready. One of Exec, TCP, HTTP and Log is set.
type Ready struct {
	Exec []string   `json:"exec,omitempty"` // a command in the node that exits with 0
	TCP  int        `json:"tcp,omitempty"`  // a port that accepts connections, on the node's addresses or loopback
	HTTP *HTTPCheck `json:"http,omitempty"`
	Log  string     `json:"log,omitempty"` // a regular expression (RE2) that a line of the command's output matches

	IntervalMS    int64 `json:"interval_ms"`     // from one check to the next
	TimeoutMS     int64 `json:"timeout_ms"`      // of one check
	StartPeriodMS int64 `json:"start_period_ms"` // from the start, in which failed checks do not count
	Retries       int   `json:"retries"`         // failed checks in a row that make a node unhealthy
}

// HTTPCheck asks a web server in the node, without TLS.
type HTTPCheck struct {
	Port   int    `json:"port"`
	Path   string `json:"path"`
	Status int    `json:"status,omitempty"` // 0: any of 200 to 399
}
