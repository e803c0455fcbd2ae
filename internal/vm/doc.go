// Package vm boots Linux kernels other than the machine's under qemu and runs scripts there.
//
// scripts/fetch-kernels.sh unpacks Debian's kernels into a cache directory, see [Find]; nothing of
// them is installed. A [Machine] is such a kernel with an initramfs made in memory: a static busybox,
// the modules that are wanted and those that they name, programs of this machine with their
// shared libraries, and the scripts. The machine has no network device and no disk but those that are asked for.
//
// # The guest's root
//
// An initramfs is a ramfs, which a real host's root is not: idmapped mounts, extended attributes and
// pivot_root(2) differ. The guest's first program therefore copies everything to ext4 in a RAM disk
// and goes on from there, see guest/init.
//
// # Power cuts
//
// A [Machine] may have a disk, a file of this machine, and a script that resets it: nothing is synced, unmounted or flushed
// before. Another machine with the same disk is the next boot, and finds what had been written.
//
// # What comes back
//
// The console. Each script runs by itself, and is a [Result] with what it printed; lines that begin
// with VM: are the guest's word on where a script begins and how it ended. What the guest does not say
// has not happened: a script without an end, a kernel that complained, a guest that did not come
// to its last line are errors.
//
// # Time
//
// Everything is emulated, some twenty times slower than the machine, and beside other tests slower
// still: scripts may wait for events, and must not measure.
package vm
