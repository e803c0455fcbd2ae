package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandsPage is docs/commands.md: its list of commands, and its sections by the commands that they are about.
func commandsPage(t *testing.T) (list []string, sections map[string]string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(b), "\n## ")
	for _, m := range regexp.MustCompile(`(?m)^    nsnet ([a-z]+)`).FindAllStringSubmatch(head, -1) {
		list = append(list, m[1])
	}
	sections = map[string]string{}
	for _, part := range strings.Split(string(b), "\n## nsnet ")[1:] {
		part, _, _ = strings.Cut(part, "\n## ")
		name, text, _ := strings.Cut(part, "\n")
		sections[name] = text
	}
	return list, sections
}

// flagsIn are the flags in the first columns of a section's tables.
func flagsIn(section string) []string {
	var all []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`-[^|]*) \\|").FindAllStringSubmatch(section, -1) {
		for _, m := range regexp.MustCompile("`(-[-a-z0-9]*)").FindAllStringSubmatch(row[1], -1) {
			all = append(all, m[1])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// flagsOf are those of a command and of the commands below it, without --help.
func flagsOf(cmd *cobra.Command) []string {
	all := map[string]bool{}
	for _, c := range append(cmd.Commands(), cmd) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			all["--"+f.Name] = true
			if f.Shorthand != "" {
				all["-"+f.Shorthand] = true
			}
		})
	}
	return slices.Sorted(maps.Keys(all))
}

// What docs/commands.md says there is, is there, and what is there it says: commands in its list and in its sections, and flags.
func TestDocumentedCommands(t *testing.T) {
	list, sections := commandsPage(t)
	captured(t, func(std stdio) {
		commands := map[string]*cobra.Command{}
		root := newRoot(std)
		root.InitDefaultHelpCmd()
		for _, c := range root.Commands() {
			if !c.Hidden {
				commands[c.Name()] = c
			}
		}
		names := slices.Sorted(maps.Keys(commands))
		equal(t, "the list", strings.Join(slices.Sorted(slices.Values(list)), " "), strings.Join(names, " "))
		equal(t, "the sections", strings.Join(slices.Sorted(maps.Keys(sections)), " "), strings.Join(names, " "))
		for name, cmd := range commands {
			equal(t, "flags of "+name, strings.Join(flagsIn(sections[name]), " "), strings.Join(flagsOf(cmd), " "))
		}
	})
}
