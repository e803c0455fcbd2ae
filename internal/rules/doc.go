// Package rules asserts, as tests, what the project has agreed on and a compiler does not see: the
// direction of imports, the budget of dependencies, the shape of files, and that the
// documentation speaks of files and commands that exist. The reason stands beside each rule.
//
// # Changing a rule
//
// A rule that is in the way is changed here, with its reason, in the commit that needs it.
package rules
