package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nsnet/nsnet/internal/imagetest"
)

// configOf is a configuration whose part for the command is given.
func configOf(text string) []byte {
	return fmt.Appendf(nil, `{"os":"linux","architecture":%q,"config":{%s},"rootfs":{"diff_ids":["sha256:%s"]}}`, runtime.GOARCH, text, strings.Repeat("0", 64))
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                "null",
		`"Healthcheck":{"Test":["NONE"]}`: "null",
		`"Healthcheck":{"Test":[]}`:       "null",
		`"Healthcheck":{"Test":["CMD"]}`:  "null",
		`"Healthcheck":{"Test":["SOMETHING","x"]}`:      "null",
		`"Healthcheck":{"Test":["CMD","/check","-v"]}`:  `{"exec":["/check","-v"],"interval_ms":30000,"timeout_ms":30000,"start_period_ms":0,"retries":3}`,
		`"Healthcheck":{"Test":["CMD-SHELL","a || b"]}`: `{"exec":["/bin/sh","-c","a || b"],"interval_ms":30000,"timeout_ms":30000,"start_period_ms":0,"retries":3}`,
		`"Shell":["/bin/bash","-ec"],"Healthcheck":{"Test":["CMD-SHELL","a"],"Interval":1500000000,"Timeout":2000000,"StartPeriod":10000000000,"StartInterval":5,"Retries":7}`: `{"exec":["/bin/bash","-ec","a"],"interval_ms":1500,"timeout_ms":2,"start_period_ms":10000,"retries":7}`,
		`"Healthcheck":{"Test":["CMD","x"],"Interval":1,"Timeout":1,"StartPeriod":-5,"Retries":-1}`:                                                                            `{"exec":["x"],"interval_ms":10,"timeout_ms":1,"start_period_ms":0,"retries":3}`,
		`"Healthcheck":{"Test":["CMD","x"],"Interval":9223372036854775807,"Timeout":9223372036854775807,"StartPeriod":9223372036854775807,"Retries":9223372036854775807}`:      `{"exec":["x"],"interval_ms":86400000,"timeout_ms":86400000,"start_period_ms":86400000,"retries":1000}`,
	} {
		c, err := parseConfig(configOf(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := json.Marshal(c.public().Health)
		if err != nil || string(got) != want {
			t.Errorf("%s is %s, and not %s, %v", text, got, want, err)
		}
	}
	for _, text := range []string{`"Healthcheck":{"Test":["CMD","a\u0000b"]}`, `"StopSignal":"NOSIG"`, `"StopSignal":"0"`, `"Healthcheck":{"Interval":"1s"}`} {
		if _, err := parseConfig(configOf(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What an image says of its end and its check is kept, exported with the image, and found in a store of an older nsnet, too.
func TestStopSignalAndHealthAreKept(t *testing.T) {
	t.Parallel()
	r, s := newRegistry(t), newStore(t)
	config := v1.Config{StopSignal: "3", Healthcheck: &v1.HealthConfig{Test: []string{"CMD-SHELL", "true"}, Retries: 2}}
	ref := r.push("img:1", imagetest.Image(t, config, layerOf(t, map[string]string{"f": "x"})))
	want := Config{StopSignal: "SIGQUIT", Health: &Health{Exec: []string{"/bin/sh", "-c", "true"}, IntervalMS: 30000, TimeoutMS: 30000, Retries: 2}}
	text := func(c Config) string {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	img := pull(t, s, ref)
	mustEqual(t, "pulled", text(img.Config), text(want))
	file := s.nameFile(ref.String())
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var old map[string]any
	if err := json.Unmarshal(b, &old); err != nil {
		t.Fatal(err)
	}
	delete(old, "parsed")
	old["config"] = map[string]any{}
	if b, err = json.Marshal(old); err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Find(ref)
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "of an older store", text(found.Config), text(want))
	exported, err := json.Marshal(map[string]any{"config": want.exported()})
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseConfig(configOf(strings.TrimSuffix(strings.TrimPrefix(string(exported), `{"config":{`), `}}`)))
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "exported", text(again.public()), text(want))
}
