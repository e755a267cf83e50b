package model_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
)

// What a request may not say, its defaults may not say either: the sampler would refuse every request.
func TestGenerationConfigHasTheRangesOfARequest(t *testing.T) {
	tests := []struct{ json, want string }{
		{`{"temperature":2,"top_p":1,"min_p":1,"typical_p":1,"top_k":0,"repetition_penalty":0.1}`, ""},
		{`{"temperature":0,"top_p":0.01,"min_p":0}`, ""},
		{`{"temperature":null,"top_p":null}`, ""},
		{`{"temperature":3}`, "temperature: 3 is not from 0 to 2"},
		{`{"temperature":-0.5}`, "temperature: -0.5 is not from 0 to 2"},
		{`{"top_p":0}`, "top_p: 0 is not from 0 to 1, without 0 itself"},
		{`{"top_p":1e-60}`, "top_p: 1e-60 is not from 0 to 1, without 0 itself"},
		{`{"top_p":1.01}`, "top_p: 1.01 is not from 0 to 1, without 0 itself"},
		{`{"min_p":1.5}`, "min_p: 1.5 is not from 0 to 1"},
		{`{"typical_p":0}`, "typical_p: 0 is not from 0 to 1, without 0 itself"},
		{`{"repetition_penalty":0}`, "repetition_penalty: 0 is not from 0 to 3.4028234663852886e+38, without 0 itself"},
		{`{"top_k":-1}`, "top_k: -1 is not from 0 to 268435456"},
		{`{"max_new_tokens":0}`, "max_new_tokens: 0 is not from 1 to 268435456"},
	}
	for _, test := range tests {
		t.Run(test.json, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, dir, "generation_config.json", []byte(test.json))
			_, err := model.ReadGenerationConfig(dir)
			got := ""
			if err != nil {
				got = err.Error()
			}
			want := test.want
			if want != "" {
				want = filepath.Join(dir, "generation_config.json") + ": " + want
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestWhatAGenerationConfigAsksInVainIsNamed(t *testing.T) {
	tests := []struct {
		json string
		want []string
	}{
		{`{"temperature":0.5,"top_k":3,"max_new_tokens":9}`, nil},
		{`{"typical_p":1,"min_new_tokens":0,"no_repeat_ngram_size":0,"num_beams":1,"eta_cutoff":0,"stop_strings":[ ],"bad_words_ids":null}`, nil},
		{`{"typical_p":0.9,"min_new_tokens":3,"no_repeat_ngram_size":2}`, nil},
		{`{"num_beams":4,"epsilon_cutoff":0.1,"eta_cutoff":0.1}`, []string{"num_beams", "epsilon_cutoff", "eta_cutoff"}},
		{`{"stop_strings":"x","bad_words_ids":[[1]],"suppress_tokens":[2]}`, []string{"stop_strings", "bad_words_ids", "suppress_tokens"}},
	}
	for _, test := range tests {
		dir := t.TempDir()
		writeFile(t, dir, "generation_config.json", []byte(test.json))
		config, err := model.ReadGenerationConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, config.Ineffective()); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.json, diff)
		}
	}
}
