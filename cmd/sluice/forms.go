package main

import (
	"fmt"
	"strings"

	"github.com/sluiceml/sluice/inference/model/builder"
)

// formFlags say how weights are stored, besides --quantize.
type formFlags struct {
	Head       string   `name:"lm-head" help:"Form of the language model's head: int4, int8, fp16 or none. Default: int8 for --quantize int4, else as everything." placeholder:"FORM"`
	Part       []string `help:"Form of a part of every layer, such as down_proj=int8: qkv_proj, o_proj, gate_up_proj, down_proj, attention or mlp." placeholder:"PART=FORM"`
	BlockSize  int      `help:"Values that share a scale in int4 and int8: 16, 32, 64 or 128." default:"32" placeholder:"N"`
	Asymmetric bool     `help:"Give every 4-bit block an offset besides its scale."`
	Context    int      `help:"Shorten the model's context to so many tokens, and with it the tables of rotary angles. A model with LongRoPE then turns by the angles of its first, short context if it is no longer than that." placeholder:"TOKENS"`
	Method     string   `help:"How int4 rounds: gptq (by what the calibration texts show) or rtn (each weight to the nearest; reads no text)." enum:"gptq,rtn" default:"gptq" placeholder:"METHOD"`
}

// options are the builder's.
func (f *formFlags) options(quantize string) (builder.Options, error) {
	form, err := builder.ParseForm(quantize)
	if err != nil {
		return builder.Options{}, err
	}
	options := builder.Options{
		Quantize: form, Parts: map[builder.Part]builder.Form{}, BlockSize: f.BlockSize, Asymmetric: f.Asymmetric,
		ContextLength: f.Context,
		Method:        builder.Method(f.Method),
	}
	parts := f.Part
	if f.Head != "" {
		parts = append([]string{string(builder.PartHead) + "=" + f.Head}, parts...)
	}
	for _, s := range parts {
		name, form, ok := strings.Cut(s, "=")
		if !ok {
			return options, fmt.Errorf("--part %q is not PART=FORM", s)
		}
		options.Parts[builder.Part(name)] = builder.Form(form)
	}
	return options, options.Check()
}
