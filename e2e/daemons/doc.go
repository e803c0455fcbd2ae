// Package daemons holds tests of the daemons that people run in labs - FRR, BIRD, keepalived, dnsmasq, dhcpcd, nginx,
// sshd, strongSwan, openvpn, ptp4l - as Debian's service files start them, in nodes on the host's root and in nodes of
// an image.
//
// Each command line is the unit file's own, ExecStart=, read from where the daemon is installed. Nothing is prepared
// as a service manager would: no ExecStartPre=, no directory in /run. The two exceptions that the documentation names
// are made: FRR's node has SYS_ADMIN, and ptp4l is told -S.
//
// One lab has them all, so that the machine waits for what takes them seconds (a lease, an election, a tunnel) once.
package daemons
