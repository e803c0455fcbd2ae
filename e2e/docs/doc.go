// Package docs holds the test that what the documentation shows is true: every command in it runs, exits
// as it says, and prints what it shows.
//
// # What is run
//
// README.md and docs/*.md are read. In a block fenced as sh, each line that begins with "$ " is a command. The
// blocks of a file are run in order, from the repository's root, in a small machine of their own (see
// package testenv) with nsnet in the path; what they leave fails the test, so that a file that brings a lab up takes
// it down, too.
//
// A command exits with 0, or with the code in a comment at its end: "# exit 2". The lines below it are
// lines of its output, in order, of which others may stand between; "..." stands for any text.
//
// Everything else, other fences and indented blocks, is for reading only. That the files and the commands
// which it names exist is asserted in package rules.
package docs
