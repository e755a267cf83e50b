package model

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
)

// The kinds of pooling by which a model was trained to give embeddings, as Manifest.Pooling names them.
const (
	PoolingMean = "mean" // the mean of all tokens
	PoolingLast = "last" // the last token
	PoolingCLS  = "cls"  // the first token
)

// poolingName is where sentence-transformers keeps how a model's states are pooled.
var poolingName = filepath.Join("1_Pooling", configName) //nolint:gochecknoglobals // a path

// readPooling reads how a Hugging Face folder's model pools; "" if it does not say.
func readPooling(dir string) (string, error) {
	path := filepath.Join(dir, poolingName)
	var config struct {
		Mode string `json:"pooling_mode"` // of newer versions: one of them
		CLS  bool   `json:"pooling_mode_cls_token"`
		Mean bool   `json:"pooling_mode_mean_tokens"`
		Last bool   `json:"pooling_mode_lasttoken"`
		Max  bool   `json:"pooling_mode_max_tokens"`
		Root bool   `json:"pooling_mode_mean_sqrt_len_tokens"`
		By   bool   `json:"pooling_mode_weightedmean_tokens"`
	}
	if err := readJSON(path, maxConfig, &config); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return "", err
	}
	var modes []string
	for _, mode := range []struct {
		on   bool
		name string
	}{
		{config.CLS || config.Mode == "cls", PoolingCLS},
		{config.Mean || config.Mode == "mean", PoolingMean},
		{config.Last || config.Mode == "lasttoken", PoolingLast},
		{config.Max, "max"},
		{config.Root, "mean_sqrt_len_tokens"},
		{config.By, "weightedmean"},
	} {
		if mode.on {
			modes = append(modes, mode.name)
		}
	}
	if len(modes) == 0 {
		modes = []string{cmp.Or(config.Mode, "none")}
	}
	if len(modes) > 1 || !isPooling(modes[0]) {
		return "", unsupported(path, "pooling by %.40q is not supported, only by one of mean, last token and CLS", modes)
	}
	return modes[0], nil
}

// ggufPooling is what a GGUF says in pooling_type; "" if it does not say, or none of ours.
func (m *metadata) ggufPooling() string {
	switch m.sizeOr(m.text("general.architecture", "")+".pooling_type", 0) {
	case 1:
		return PoolingMean
	case 2:
		return PoolingCLS
	case 3:
		return PoolingLast
	}
	return ""
}

// isPooling says whether a kind of pooling is one of ours.
func isPooling(kind string) bool {
	return slices.Contains([]string{PoolingMean, PoolingLast, PoolingCLS}, kind)
}
