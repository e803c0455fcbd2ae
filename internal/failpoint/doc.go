// Package failpoint is the one place that every act on the kernel or the disk passes, so that tests can
// kill, fail or delay nsnet right before any of them.
//
//	if err := failpoint.Hit("mount", path); err != nil {
//		return err
//	}
//
// In a binary that users get, Hit is an empty function that the compiler removes. With the build tag failpoint
// (GOFLAGS=-tags=failpoint sh scripts/build.sh OUTPUT) two variables of the environment count:
//
//	NSNET_TRACE=FILE           each act is appended to FILE, one a line, before it is done
//	NSNET_FAIL=POINT;POINT...  what happens at which act
//
// An act's name is what and on what, "netlink create link a:eth0 -- lan0", after the process where that is not the
// command itself: "lab init: mount proc". A line of the trace can be used as it is. A point is
//
//	NAME=ACTION     the first time that an act of this name is about to be done
//	NAME:3=ACTION   the third time
//	NAME*=ACTION    the first act whose name begins like this; with :N the Nth
//
// and an action one of
//
//	kill             the process ends at once, as by SIGKILL
//	error(ENOBUFS)   the act is not done and fails with this error
//	delay(200)       the act is done 200 milliseconds later
//
// # Traps
//
// A lab init cannot open FILE once it has left the host's root, and does so before; all users must be able to
// reach it, as its own are not root's.
//
// PID 1 of a pid namespace cannot kill itself with a signal: it exits, which to everybody else is the same.
//
// A node init has neither an environment nor a file. What it is to do is decided by who sends it a program; the
// program then has a step that fails or ends it.
//
// With points or a trace, acts that go to the kernel many at a time go one by one.
package failpoint
