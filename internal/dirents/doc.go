// Package dirents reads directories in bulk: names and types, and no more, without an allocation for each.
package dirents
