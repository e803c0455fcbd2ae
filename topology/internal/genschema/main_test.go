package main

import (
	"os"
	"testing"
)

func TestSchemaIsUpToDate(t *testing.T) {
	want, err := generate(".")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("topology/schema.json is not what types.go says: run go generate ./topology")
	}
}
