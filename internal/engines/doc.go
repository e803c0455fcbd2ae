// Package engines starts real container engines, Docker and podman, for tests and benchmarks, with all they have in a
// directory of their own, and takes them away without a trace. It needs root and a sandbox, see
// [github.com/nsnet/nsnet/internal/sandbox]: the bridge, the firewall rules and the sysctls that Docker makes are
// those of the calling process's network namespace, some of its mounts those of its mount namespace.
//
// The one image, [Image], is a busybox that is imported: no registry is asked.
//
// # Traps
//
// Both leave control groups behind. All are below the one that the caller names, and [Engine.Stop] removes it.
//
// Docker writes /etc/docker/key.json and podman /var/lib/containers/cache, whatever else they are told; a tmpfs is
// mounted there. The mount points are made on the machine when missing, and stay, as those of a sandbox do.
//
// dockerd opens its socket long before it answers. containerd is started, and ended, by dockerd; the shims of the
// containers are not, so that they survive a restart with --live-restore.
//
// A socket's path has at most 107 bytes, and containerd's are deep below: directories named after tests are too long.
//
// Names of containers have two characters at least.
package engines
