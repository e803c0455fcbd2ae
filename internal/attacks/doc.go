// Package attacks reads the table of docs/security.md: what has been tried against nsnet and others, and which tests try it again.
// There is no other list of these tests.
package attacks
