package main

import (
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	zone := time.FixedZone("there", 2*3600)
	now := time.Date(2026, 11, 29, 12, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"":                          {},
		"10m":                       now.Add(-10 * time.Minute),
		"1h30m":                     now.Add(-90 * time.Minute),
		"0s":                        now,
		"11:45":                     time.Date(2026, 11, 29, 11, 45, 0, 0, zone),
		"11:45:10":                  time.Date(2026, 11, 29, 11, 45, 10, 0, zone),
		"2026-11-28":                time.Date(2026, 11, 28, 0, 0, 0, 0, zone),
		"2026-11-28 07:00":          time.Date(2026, 11, 28, 7, 0, 0, 0, zone),
		"2026-11-28T07:00:01":       time.Date(2026, 11, 28, 7, 0, 1, 0, zone),
		"2026-11-28T07:00:01.5Z":    time.Date(2026, 11, 28, 7, 0, 1, 5e8, time.UTC),
		"2026-11-28T07:00:01+05:00": time.Date(2026, 11, 28, 2, 0, 1, 0, time.UTC),
	} {
		got, err := parseSince(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q is %s, not %s; %v", text, got, want, err)
		}
	}
	for _, text := range []string{"-5m", "yesterday", "25:00", "10"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}

func TestParseTail(t *testing.T) {
	for text, want := range map[string]int{"all": -1, "0": 0, "12": 12} {
		if got, err := parseTail(text); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "x", "1.5"} {
		if got, err := parseTail(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
