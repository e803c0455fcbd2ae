package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// one is a process of the node, as /proc shows it.
type one struct{ pid, parent, session int }

// killCommand is a request to signal the node's command, or all that belongs to it; with signal 0, just to look. From then on the lab init is told what is
// left of it each time that a process has ended, until nothing is.
func (s *state) killCommand(sig syscall.Signal, all bool) {
	s.ending, s.killing = true, sig == syscall.SIGKILL && all
	if sig != 0 && !all && s.main != 0 {
		signalOne(s.main, sig)
	}
	if sig != 0 && all {
		s.signalAll(sig)
	}
	s.tellLeft()
}

// signalAll signals every process of the command. Where there is no other in the node it does so at one moment, so that
// none can fork away: kill(2) to -1 is all of the pid namespace but the caller.
func (s *state) signalAll(sig syscall.Signal) {
	all := processes()
	ours := ofCommand(all, s.execs(), s.sessions)
	if len(ours) > 0 && len(ours) == len(all) {
		signalOne(-1, sig)
		return
	}
	for _, pid := range ours {
		signalOne(pid, sig)
	}
}

// signalOne signals a process, and makes one that is stopped go on, to be able to heed it.
func signalOne(pid int, sig syscall.Signal) {
	_ = syscall.Kill(pid, sig)
	if sig != syscall.SIGKILL {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// tellLeft tells the lab init what is left of the command. What came to be after SIGKILL gets it, too.
func (s *state) tellLeft() {
	left := ofCommand(processes(), s.execs(), s.sessions)
	if s.killing {
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if len(left) == 0 {
		s.ending, s.killing = false, false
	}
	var w wire.Writer
	for _, pid := range left {
		w.Uint(uint64(pid))
	}
	send(Socket, wire.Left, w.Bytes())
}

// execs are the commands that were asked for by exec and still run, and the processes between them and this one.
func (s *state) execs() map[int]bool {
	m := map[int]bool{}
	for pid, p := range s.procs {
		if p.client {
			m[pid] = true
		}
	}
	for pid := range s.betweens {
		m[pid] = true
	}
	return m
}

// forgetSession drops the session of an exec that has ended, unless a process is still in it: its number may come again.
func (s *state) forgetSession(session int) {
	for _, p := range processes() {
		if p.session == session {
			return
		}
	}
	delete(s.sessions, session)
}

// ofCommand picks the processes that belong to the node's command: all but this one, those that exec has started and what
// descends from them, and what is in a session that exec has opened. So a daemon that has left both its parent
// and its session behind is the command's, whoever has started it.
func ofCommand(all []one, execs, sessions map[int]bool) []int {
	parents := make(map[int]int, len(all))
	for _, p := range all {
		parents[p.pid] = p.parent
	}
	var ours []int
	for _, p := range all {
		foreign := sessions[p.session]
		for pid, steps := p.pid, 0; pid > 1 && !foreign && steps <= len(all); pid, steps = parents[pid], steps+1 {
			foreign = execs[pid]
		}
		if !foreign {
			ours = append(ours, p.pid)
		}
	}
	return ours
}

// processes are those of the node but its init.
func processes() []one {
	fd, err := syscall.Open("/proc", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	var all []one
	b := make([]byte, 8192)
	var stat []byte
	for {
		n, err := syscall.ReadDirent(fd, b)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return all
		}
		_, _, names := syscall.ParseDirent(b[:n], -1, nil)
		for _, name := range names {
			if pid := number(name); pid > 1 {
				if p, ok := parseStat(slurpInto(&stat, "/proc/"+name+"/stat")); ok {
					all = append(all, p)
				}
			}
		}
	}
}

// parseStat takes the parent and the session from /proc/PID/stat. proc_pid_stat(5): pid (name) state ppid pgrp session.
func parseStat(b []byte) (p one, ok bool) {
	end := lastByte(b, ')')
	if end < 0 {
		return p, false
	}
	var first int
	for first < len(b) && b[first] != ' ' {
		first++
	}
	p.pid = number(string(b[:first]))
	field, begin := 0, end+2
	for i := begin; i <= len(b); i++ {
		if i < len(b) && b[i] != ' ' {
			continue
		}
		switch field++; field {
		case 2:
			p.parent = number(string(b[begin:i]))
		case 4:
			p.session = number(string(b[begin:i]))
			return p, p.pid > 0
		}
		begin = i + 1
	}
	return p, false
}

// number is a text of decimal digits, -1: it is none.
func number(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || n > 1<<30 {
			return -1
		}
		n = 10*n + int(s[i]-'0')
	}
	if s == "" {
		return -1
	}
	return n
}
