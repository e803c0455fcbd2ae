package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/topology"
)

// consentOptions say what a file may have of what it asks for. The commands that may make a lab share them.
type consentOptions struct {
	Allow          []topology.AskKind
	AllowHostPaths bool
	Trust          bool
}

// AddFlags adds the options to f.
func (o *consentOptions) AddFlags(f *pflag.FlagSet) {
	f.Var((*askKinds)(&o.Allow), "allow", "allow what the file asks for of these `KINDS`: caps, external, nnp, paths, peers, ports, privileged, seccomp, subnets, writes")
	f.BoolVar(&o.AllowHostPaths, "allow-host-paths", false, "the same as --allow paths")
	f.BoolVar(&o.Trust, "trust", false, "allow all that the file asks for")
}

// given is what the options allow.
func (o *consentOptions) given() consent.Given {
	g := consent.Given{Kinds: o.Allow, All: o.Trust}
	if o.AllowHostPaths {
		g.Kinds = append(g.Kinds, topology.AskPaths)
	}
	return g
}

// askKinds is the value of --allow, which may be given several times.
type askKinds []topology.AskKind

func (k *askKinds) String() string { return strings.Trim(fmt.Sprint(*k), "[]") }

// Type implements pflag.Value.
func (k *askKinds) Type() string { return "string" }

// Set implements pflag.Value.
func (k *askKinds) Set(s string) error {
	kinds, err := consent.ParseKinds(s)
	*k = append(*k, kinds...)
	return err
}

// asked is what a file asks for, and where, as JSON has it.
type asked struct {
	topology.Ask
	topology.Error
}

// asksOf lists what a lab asks for, and where its file does.
func asksOf(l *topology.Lab) []asked {
	var all []asked
	for _, a := range l.Asks() {
		all = append(all, asked{a, l.AskedAt[a]})
	}
	return all
}

// asksText has a line for each thing that a file asks for and may have. Of the others an error tells.
func asksText(answers []consent.Answer) string {
	var b strings.Builder
	for _, a := range answers {
		if a.Why != "" {
			fmt.Fprintf(&b, "%s (%s)\n", plain(a.At.Error()), a.Why)
		}
	}
	return b.String()
}

// planAsks tells what a file asks for and may have, and returns the error of up if that is not all. Who is not root cannot know what
// root has allowed, and is told what is asked for.
func planAsks(l *topology.Lab, given consent.Given, std stdio) error {
	if os.Geteuid() != 0 {
		for _, a := range asksOf(l) {
			say(std.err, "%s\n", plain(a.Error.Error()))
		}
		return nil
	}
	v, err := consent.This().Judge(l, given)
	if err != nil {
		return err
	}
	say(std.err, "%s", asksText(v.Answers))
	return v.Refused()
}

// reportRefused prints a refusal with a line for each thing that was asked for, as those of an invalid file, and reports
// whether err is one.
func reportRefused(w io.Writer, err error) bool {
	var refused *consent.RefusedError
	if !asError(err, &refused) {
		return false
	}
	for _, m := range refused.Missing {
		say(w, "%s\n", plain(m.At.Error()))
	}
	say(w, "nsnet: nothing was changed; %s\n", plain(refused.Remedy()))
	return true
}
