package bench

import "time"

// Report is what a run measured.
type Report struct {
	Format  int     `json:"format"` // of this document; 1
	Target  Info    `json:"target"`
	Client  Client  `json:"client"`
	Setting Setting `json:"setting"`
	Levels  []Level `json:"levels"`
	// Interrupted says that the run was ended early; what it measured until then stands.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Info says what was measured.
type Info struct {
	Protocol string `json:"protocol"`
	Address  string `json:"address"`
	Model    string `json:"model"`
}

// Client says where the measuring was done.
type Client struct {
	Version string    `json:"version"`
	System  string    `json:"system"`
	CPUs    int       `json:"cpus"`
	Start   time.Time `json:"start"`
}

// Setting is the workload and its objectives.
type Setting struct {
	Seed         uint64  `json:"seed"`
	Form         Form    `json:"prompts"`
	Prompt       Lengths `json:"prompt_tokens"`
	Answer       Lengths `json:"max_tokens"`
	SharedPrefix int     `json:"shared_prefix"`
	IgnoreEOS    bool    `json:"ignore_eos"`
	Temperature  float64 `json:"temperature"`
	SLOTTFT      float64 `json:"slo_ttft_ms,omitempty"`
	SLOITL       float64 `json:"slo_itl_ms,omitempty"`
}

// Level is what was measured under one load.
type Level struct {
	// Streams or Rate is the load.
	Streams int     `json:"streams,omitempty"`
	Rate    float64 `json:"rate,omitempty"`

	// Sent is the number of requests: OK of them ended well, Failed did not, Interrupted ones were ended by us.
	Sent        int              `json:"sent"`
	OK          int              `json:"ok"`
	Failed      int              `json:"failed"`
	Interrupted int              `json:"interrupted,omitempty"`
	Errors      map[string]Fault `json:"errors,omitempty"`
	// Short is the number of requests that ended well with fewer tokens than were asked for.
	Short int `json:"short"`
	// NoUsage is the number of requests for which the server did not count tokens: their deltas are counted instead.
	NoUsage int `json:"no_usage,omitempty"`

	Elapsed           float64 `json:"elapsed_s"`
	PromptTokens      int64   `json:"prompt_tokens"`
	CachedTokens      int64   `json:"cached_tokens"`
	OutputTokens      int64   `json:"output_tokens"`
	RequestsPerSecond float64 `json:"requests_per_s"`
	OutputPerSecond   float64 `json:"output_tokens_per_s"`
	TotalPerSecond    float64 `json:"total_tokens_per_s"`
	// DecodePerSecond is how many tokens a second came while every stream of a closed loop was between its first token and
	// its end, so that no prompt was being read, and DecodeElapsed how long that was. 0: that never was.
	DecodePerSecond float64 `json:"decode_tokens_per_s,omitempty"`
	DecodeElapsed   float64 `json:"decode_s,omitempty"`

	TTFT     Distribution `json:"ttft_ms"`
	ITL      Distribution `json:"itl_ms"`
	DeltaGap Distribution `json:"delta_gap_ms"`
	TPOT     Distribution `json:"tpot_ms"`
	E2E      Distribution `json:"e2e_ms"`
	// Late is how long after they were due requests were sent.
	Late Distribution `json:"late_ms"`

	// Deltas is the number of deltas; MergedDeltas of them were seen to bring more than one token, and MergedTokens is
	// the number of tokens beyond the first of their delta.
	Deltas       int64 `json:"deltas"`
	MergedDeltas int64 `json:"merged_deltas"`
	MergedTokens int64 `json:"merged_tokens"`

	// Good is the number of requests that kept the objectives; Goodput is how many a second.
	Good    int     `json:"good"`
	Goodput float64 `json:"goodput_requests_per_s"`

	Timeline []Moment `json:"timeline"`
}

// Fault is a kind of failure.
type Fault struct {
	Count int `json:"count"`
	// Example is the first one's message.
	Example string `json:"example"`
}

// load is the level's load.
func (l *Level) load() Load { return Load{Streams: l.Streams, Rate: l.Rate} }
