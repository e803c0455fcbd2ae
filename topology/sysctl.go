package topology

import (
	"errors"
	"strings"
)

// validateSysctl tells whether a node has a sysctl of its own: those of its network
// namespace, and of its IPC namespace. The others belong to the whole machine.
func validateSysctl(key string) error {
	if strings.Contains(key, "/") {
		return errors.New("is written with dots, not slashes")
	}
	for _, part := range strings.Split(key, ".") {
		if part == "" || strings.Trim(part, sysctlLetters) != "" {
			return errors.New("is not a sysctl's name, such as net.ipv4.ip_forward")
		}
	}
	first, rest, ok := strings.Cut(key, ".")
	switch {
	case !ok:
	case first == "net", strings.HasPrefix(key, "fs.mqueue."):
		return nil
	case first == "kernel" && (rest == "sem" || strings.HasPrefix(rest, "shm") || strings.HasPrefix(rest, "msg")):
		return nil
	}
	return errors.New("belongs to the whole machine, not to a node; a node has net.*, fs.mqueue.* and kernel.{sem,shm*,msg*} of its own")
}

const sysctlLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
