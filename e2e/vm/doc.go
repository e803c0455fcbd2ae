// Package vm tests nsnet on kernels that are not the machine's: in virtual machines, see
// [github.com/nsnet/nsnet/internal/vm].
//
// Each script of testdata is run on each kernel, by sh -eux, as root of a small Debian-like system:
// what is not on this machine's kernel, as bridges that filter VLANs, or set up otherwise, as control
// groups of version 2, is tested there alone. A script that fails shows all it printed, and so does one
// that leaves something behind; guest/lib.sh of internal/vm says what is looked for.
package vm
