package bridge

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// LegName is the name of the interface in the host's network namespace by which a bridge of a
// lab reaches the host: "ns" and ten hexadecimal digits.
func LegName(lab, bridge string) string { return "ns" + Digest("leg", lab, bridge) }

// PortName is the name in the host's network namespace of the far end of a node's interface
// that is plugged into a bridge of the host: "ns" and ten hexadecimal digits.
func PortName(lab, node, iface string) string { return "ns" + Digest("port", lab, node, iface) }

// OwnName tells whether an interface of the host has a name as [LegName] and [PortName] make them.
func OwnName(name string) bool {
	digits, ok := strings.CutPrefix(name, "ns")
	b, err := hex.DecodeString(digits)
	return ok && err == nil && len(b) == 5 && digits == strings.ToLower(digits)
}

// TableName is the name of a lab's nftables table.
func TableName(lab string) string { return tablePrefix + Digest("table", lab) }

// isOurs reports whether a table is a lab's.
func isOurs(table string) bool { return strings.HasPrefix(table, tablePrefix) }

// tablePrefix begins the name of each lab's table.
const tablePrefix = "nsnet-"

// mark is the comment that tells whose a rule is.
func mark(lab string) string { return "nsnet:" + lab }

// Digest is 40 bits of a hash over words, in hexadecimal. Names have no NUL, so that different
// words are never hashed as the same bytes.
func Digest(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:5])
}
