// Package bootdirs finds the directories that the services of a root filesystem expect a boot to make:
// /run/sshd and its like, which no package ships and which exist only where the service once ran.
//
// What is wanted is declared in three places, and read from there as data. Nothing is executed.
//
//	tmpfiles.d   lines of type d, D, v, q and Q (tmpfiles.d(5))
//	units        RuntimeDirectory=, StateDirectory=, CacheDirectory=, LogsDirectory= of services
//	             (systemd.exec(5)), with their modes, User= and Group=
//	ExecStartPre mkdir, install -d, chown and chmod, also those of a shell script that it names
//
// Directories below /run, /var/lib, /var/cache, /var/log and /var/spool count, and no others.
//
// # Traps
//
// A root filesystem is somebody else's. Files are opened without following any symbolic link and
// without crossing a mount, only regular ones are read, and names, sizes and numbers are bounded.
// What is beyond a bound, or not understood, is left out: a directory less is no harm that was not
// there before.
//
// The conditions of a script are not looked at: a directory that is wanted in one case is made in
// all.
package bootdirs
