// Package imagetest makes images for tests, and a registry that has them: of go-containerregistry's making, so that this project's own
// understanding of the formats is not what it is tested with.
package imagetest
