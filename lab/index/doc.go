// Package index finds nodes by small files of labs' records, without reading a whole one.
//
// It imports little, for the sake of package early.
package index
